//! Runs a program and decides about each of its system calls: it is made, or it returns an error
//! instead. By `ptrace`, on x86-64.
//!
//! A traced program says where it stands with [`mark`]: a system call of a number that no kernel
//! has, which therefore does nothing.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Numbers from here on are marks.
const MARK_FIRST: u64 = 0x5000;
const MARKS: u64 = 256;

/// Tells a supervisor, if there is one, that this thread begins a phase.
// The one call that nix has no name for, because it does not exist.
#[allow(unsafe_code)]
pub fn mark(phase: u8) {
    let number = libc::c_long::from(phase) + 0x5000;
    // SAFETY:
    // - No kernel has a system call of this number: it returns ENOSYS and touches nothing.
    unsafe { libc::syscall(number) };
}

/// A system call that is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// Its thread, counted from 0 in the order in which threads and processes began.
    pub thread: u32,
    /// The last phase that its thread has marked; 0 before.
    pub phase: u8,
    /// Its number.
    pub number: u64,
    /// How often its thread has made it in this phase before.
    pub occurrence: u32,
}

/// What decides about system calls.
pub trait Plan: Send {
    /// What to return instead of making the call; nothing to make it.
    fn decide(&mut self, call: &Call, arguments: &Arguments) -> Option<Errno>;

    /// A thread has begun a phase; the program stands still meanwhile.
    fn marked(&mut self, thread: u32, phase: u8) {
        let _ = (thread, phase);
    }
}

/// What a system call was given.
#[derive(Debug, Clone, Copy)]
pub struct Arguments {
    /// The thread's id.
    pub id: Pid,
    /// The first three.
    pub values: [u64; 3],
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(Signal),
    /// By force: it took too long.
    TimedOut,
}

/// A thread that is traced.
#[derive(Debug, Default)]
struct Traced {
    number: u32,
    phase: u8,
    counts: BTreeMap<(u8, u64), u32>,
    /// What its call is to return when it comes back.
    returns: Option<Errno>,
}

/// Runs `command` to its end under a plan; `started` gets its id.
///
/// # Panics
/// When it cannot be started or traced.
#[expect(clippy::expect_used, reason = "a test without its program is no test")]
pub fn run(
    command: &mut Command,
    plan: &mut dyn Plan,
    limit: Duration,
    started: Option<&Sender<Pid>>,
) -> Ended {
    // A thread of its own: it waits for its children and traced ones, and for nobody else's.
    std::thread::scope(|scope| {
        let tracer = scope.spawn(|| run_here(command, plan, limit, started));
        tracer.join().expect("the tracer ends")
    })
}

#[expect(clippy::expect_used, reason = "as above")]
#[expect(clippy::zombie_processes, reason = "it is waited for by its id")]
fn run_here(
    command: &mut Command,
    plan: &mut dyn Plan,
    limit: Duration,
    started: Option<&Sender<Pid>>,
) -> Ended {
    let child = trace(command).spawn().expect("start the program");
    let root = Pid::from_raw(i32::try_from(child.id()).expect("process ids fit"));
    let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    let first = waitpid(root, Some(flags)).expect("wait for the program");
    assert!(matches!(first, WaitStatus::Stopped(_, Signal::SIGTRAP)), "{first:?}");
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(root, options).expect("trace the program");
    if let Some(started) = started {
        started.send(root).expect("somebody waits for the id");
    }
    let (over, watched) = channel::<()>();
    let watch = std::thread::spawn(move || {
        let is_late = watched.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
        if is_late {
            let _ = kill(root, Signal::SIGKILL);
        }
        is_late
    });
    let mut tracer = Tracer { root, threads: BTreeMap::new(), met: 0, plan };
    tracer.meet(root);
    resume(root, None);
    let ended = tracer.follow(flags);
    drop(over);
    if watch.join().expect("the watch ends") { Ended::TimedOut } else { ended }
}

/// Makes a command's process ask to be traced.
// Between fork and exec: nix' wrapper is one system call.
#[allow(unsafe_code)]
fn trace(command: &mut Command) -> &mut Command {
    // SAFETY:
    // - The closure makes one system call, which allocates nothing and takes no lock.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(std::io::Error::from)) }
}

/// Lets a thread go on to its next system call. One that was killed meanwhile is gone.
fn resume(id: Pid, signal: Option<Signal>) {
    let _ = ptrace::syscall(id, signal);
}

struct Tracer<'a> {
    root: Pid,
    threads: BTreeMap<Pid, Traced>,
    /// How many threads there have been.
    met: u32,
    plan: &'a mut dyn Plan,
}

impl Tracer<'_> {
    fn follow(&mut self, flags: WaitPidFlag) -> Ended {
        let mut ended = None;
        loop {
            match waitpid(Pid::from_raw(-1), Some(flags)) {
                Ok(WaitStatus::PtraceSyscall(id)) => {
                    self.at_call(id);
                    resume(id, None);
                }
                Ok(WaitStatus::Stopped(id, signal)) => {
                    let is_new = self.meet(id);
                    // A new thread's first stop is the tracer's; all else is the program's.
                    let is_own = is_new && signal == Signal::SIGSTOP;
                    resume(id, Some(signal).filter(|_| !is_own));
                }
                Ok(WaitStatus::PtraceEvent(id, ..)) => resume(id, None),
                Ok(WaitStatus::Exited(id, code)) => self.end(id, Ended::Exited(code), &mut ended),
                Ok(WaitStatus::Signaled(id, signal, _)) => {
                    self.end(id, Ended::Signaled(signal), &mut ended);
                }
                Ok(_) | Err(Errno::EINTR | Errno::EINVAL) => {}
                Err(_) => return ended.unwrap_or(Ended::TimedOut),
            }
        }
    }

    /// Notes a thread's end; with the program, whatever it has left behind ends, too.
    fn end(&mut self, id: Pid, how: Ended, ended: &mut Option<Ended>) {
        self.threads.remove(&id);
        if id == self.root {
            *ended = Some(how);
            for left in self.threads.keys() {
                let _ = kill(*left, Signal::SIGKILL);
            }
        }
    }

    /// Takes a thread in; says whether it was new.
    fn meet(&mut self, id: Pid) -> bool {
        if self.threads.contains_key(&id) {
            return false;
        }
        self.threads.insert(id, Traced { number: self.met, ..Traced::default() });
        self.met += 1;
        true
    }

    /// A thread enters a system call, or comes back from one.
    fn at_call(&mut self, id: Pid) {
        self.meet(id);
        let Some(thread) = self.threads.get_mut(&id) else { return };
        let (Ok(info), Ok(mut registers)) = (ptrace::syscall_info(id), ptrace::getregs(id)) else {
            return;
        };
        if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
            if let Some(error) = thread.returns.take() {
                registers.rax = i64::from(-(error as i32)).cast_unsigned();
                let _ = ptrace::setregs(id, registers);
            }
            return;
        }
        let number = registers.orig_rax;
        if (MARK_FIRST..MARK_FIRST + MARKS).contains(&number) {
            thread.phase = u8::try_from(number - MARK_FIRST).unwrap_or(0);
            self.plan.marked(thread.number, thread.phase);
            return;
        }
        let count = thread.counts.entry((thread.phase, number)).or_default();
        let occurrence = *count;
        *count += 1;
        let call = Call { thread: thread.number, phase: thread.phase, number, occurrence };
        let arguments = Arguments { id, values: [registers.rdi, registers.rsi, registers.rdx] };
        if let Some(error) = self.plan.decide(&call, &arguments) {
            thread.returns = Some(error);
            // A number that no kernel has: nothing is done.
            registers.orig_rax = u64::MAX;
            let _ = ptrace::setregs(id, registers);
        }
    }
}
