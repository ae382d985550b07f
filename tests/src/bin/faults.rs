//! An instrumented process that does to itself what applications do: it cancels threads, panics,
//! becomes a daemon, starts programs and becomes another one, all while it records.
//!
//! `faults SCENARIO [PROGRESS]`; the scenarios are functions below. It ends when its input does.
#![allow(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the test reads it")]
#![expect(clippy::expect_used, clippy::panic, reason = "a program that fails fails its test")]

use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::unistd::{ForkResult, fork, setsid};
use ringmeter::{Counter, Gauge, Histogram, Producer, register};
use ringmeter_tests::progress::{self, Words, word};
use ringmeter_tests::random::Random;

static COUNT: Counter = Counter::new("faults_count_total", "Calls.");
static CHILD: Counter = Counter::new("faults_child_total", "Calls by children.");
static TIMES: Histogram = Histogram::new("faults_seconds", "Times.");
static IN_PROGRESS: Gauge = Gauge::new("faults_in_progress", "Work being done.");

fn main() {
    let mut arguments = std::env::args().skip(1);
    let scenario = arguments.next().expect("a scenario");
    let notes = arguments.next();
    let _ = Producer::builder().lane_capacity_records(64).install_global();
    register!(COUNT, CHILD, TIMES, IN_PROGRESS).expect("register");
    match scenario.as_str() {
        "cancel" => cancel(),
        "panic" => panics(),
        "daemon" => daemon(),
        "spawn" => spawn(),
        "exec" => exec(&notes.expect("a progress file")),
        "after-exec" => (0..10).for_each(|_| CHILD.inc()),
        "inherit" => inherit(),
        other => panic!("no scenario {other:?}"),
    }
    println!("done");
    wait_for_end();
}

fn wait_for_end() {
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
}

static BEGUN: AtomicU64 = AtomicU64::new(0);
static COMPLETED: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    fn pthread_cancel(thread: libc::pthread_t) -> libc::c_int;
    fn pthread_testcancel();
}

/// What a thread does until it is cancelled. Unwinding passes through here, and there is nothing
/// to clean up on its way.
extern "C-unwind" fn record_until_cancelled(_: *mut libc::c_void) -> *mut libc::c_void {
    loop {
        for _ in 0..1000 {
            BEGUN.fetch_add(1, Ordering::Relaxed);
            COUNT.inc();
            TIMES.observe(0.5);
            COMPLETED.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY:
        // - Takes nothing, and unwinds only through frames without destructors.
        unsafe { pthread_testcancel() };
    }
}

type Start = extern "C" fn(*mut libc::c_void) -> *mut libc::c_void;
type UnwindingStart = extern "C-unwind" fn(*mut libc::c_void) -> *mut libc::c_void;

/// `cancel`: threads that are cancelled while they record; prints how many calls were begun and
/// completed. With a full lane they enter system calls, which are where cancellation happens.
fn cancel() {
    let mut random = Random::seeded("cancel");
    // SAFETY:
    // - The types differ in nothing but that the function may be unwound through, which the C
    //   library, its caller, allows.
    let start = unsafe { std::mem::transmute::<UnwindingStart, Start>(record_until_cancelled) };
    for _ in 0..500 {
        let mut thread: libc::pthread_t = 0;
        // SAFETY:
        // - `thread` is ours to write; no attributes; the function takes no argument.
        let made = unsafe {
            libc::pthread_create(&raw mut thread, std::ptr::null(), start, std::ptr::null_mut())
        };
        assert_eq!(made, 0, "pthread_create");
        std::thread::sleep(Duration::from_micros(random.below(500) as u64));
        // SAFETY:
        // - The thread was made above and is not joined yet.
        assert_eq!(unsafe { pthread_cancel(thread) }, 0, "pthread_cancel");
        // SAFETY: as above; nobody else joins it, and its result is not wanted.
        assert_eq!(unsafe { libc::pthread_join(thread, std::ptr::null_mut()) }, 0, "pthread_join");
    }
    let (begun, completed) = (BEGUN.load(Ordering::Relaxed), COMPLETED.load(Ordering::Relaxed));
    println!("calls {completed} {begun}");
}

/// `panic`: a thousand threads that panic within a timer and a gauge of work in progress.
fn panics() {
    std::panic::set_hook(Box::new(|_| {}));
    for _ in 0..1000 {
        let panicking = || {
            let _progress = IN_PROGRESS.track_in_progress();
            COUNT.inc();
            TIMES.time(|| panic!("in the middle of it"));
        };
        let ended = std::thread::spawn(move || catch_unwind(AssertUnwindSafe(panicking))).join();
        assert!(ended.expect("a thread").is_err());
    }
}

/// `daemon`: becomes one by forking twice and closing every descriptor, and goes on recording.
fn daemon() {
    (0..100).for_each(|_| COUNT.inc());
    // SAFETY:
    // - There is one thread.
    if let ForkResult::Parent { child } = unsafe { fork() }.expect("fork") {
        nix::sys::wait::waitpid(child, None).expect("wait for the child");
        std::process::exit(0);
    }
    setsid().expect("setsid");
    // SAFETY:
    // - There is one thread.
    if let ForkResult::Parent { .. } = unsafe { fork() }.expect("fork") {
        std::process::exit(0);
    }
    // SAFETY:
    // - Nothing in this scenario uses a descriptor that was opened before, except for its input
    //   and output.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    assert_eq!(closed, 0, "close_range");
    (0..1000).for_each(|_| CHILD.inc());
}

/// Threads record, counting their calls, while `work` is done.
fn while_recording(work: impl FnOnce()) {
    let is_stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_stopped.load(Ordering::Relaxed) {
                    for _ in 0..100 {
                        COUNT.inc();
                    }
                    COMPLETED.fetch_add(100, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_micros(100));
                }
            });
        }
        work();
        is_stopped.store(true, Ordering::Relaxed);
    });
}

/// The child of a `vfork`: it borrows the memory of the thread that waits for it.
extern "C" fn record_and_exec(_: *mut libc::c_void) -> libc::c_int {
    CHILD.inc();
    let arguments = [c"true".as_ptr(), std::ptr::null()];
    // SAFETY:
    // - Path and arguments are strings that live for ever, and the list ends with a null.
    unsafe { libc::execv(c"/bin/true".as_ptr(), arguments.as_ptr()) };
    // SAFETY:
    // - Ends the child without running what its parent registered.
    unsafe { libc::_exit(1) }
}

/// `spawn`: starts programs while threads record: as the standard library does, and by vfork with
/// a record in the child. Prints the calls, and the id of a program that outlives it.
#[expect(clippy::zombie_processes, reason = "the program outlives this process")]
fn spawn() {
    let mut stack = vec![0_u64; 8192];
    while_recording(|| {
        for _ in 0..100 {
            assert!(Command::new("/bin/true").status().expect("run a program").success());
            // SAFETY:
            // - The stack is ours, large enough, and outlives the child's use of it: with
            //   CLONE_VFORK this thread waits until the child runs a program or ends.
            // - The child touches nothing but a metric.
            let child = unsafe {
                libc::clone(
                    record_and_exec,
                    stack.as_mut_ptr_range().end.cast(),
                    libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
                    std::ptr::null_mut(),
                )
            };
            assert!(child > 0, "clone");
            let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None);
            assert!(matches!(status, Ok(nix::sys::wait::WaitStatus::Exited(_, 0))), "{status:?}");
        }
    });
    println!("calls {}", COMPLETED.load(Ordering::Relaxed));
    let survivor = Command::new("/bin/sleep").arg("1000").spawn().expect("run a program");
    println!("survivor {}", survivor.id());
}

fn note_and_count(words: &Words, thread: usize) {
    loop {
        let at = word(thread, 0);
        let before = words[at].load(Ordering::Relaxed);
        words[at].store(before + 1, Ordering::Release);
        COUNT.inc();
        words[at + 1].store(before + 1, Ordering::Release);
    }
}

/// `exec PROGRESS`: becomes another program while threads record, which records as well.
fn exec(notes: &str) {
    let words = progress::map(Path::new(notes));
    for thread in 0..2 {
        std::thread::spawn(move || note_and_count(words, thread));
    }
    std::thread::sleep(Duration::from_millis(20));
    let own = std::env::current_exe().expect("its own path");
    panic!("exec: {}", Command::new(own).arg("after-exec").exec());
}

/// `inherit`: records, and has a child that inherits everything, records nothing and stays.
fn inherit() {
    (0..100).for_each(|_| COUNT.inc());
    // SAFETY:
    // - There is one thread, and the child only sleeps.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => println!("survivor {child}"),
        ForkResult::Child => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
    }
}
