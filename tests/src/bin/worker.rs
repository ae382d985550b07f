//! An instrumented process for the tests: it does what its arguments say, prints `done`, and ends
//! when its input is closed.
#![allow(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the test reads it")]
#![expect(clippy::expect_used, clippy::panic, reason = "a worker that fails fails its test")]

use std::io::BufRead;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringmeter::{Counter, CounterVec, Exemplar, Gauge, Histogram, Producer, Summary};

static COUNT: Counter = Counter::new("worker_count_total", "Increments.");
static CHILD: Counter = Counter::new("worker_child_total", "Increments by forked children.");
static FORKS: Counter = Counter::new("worker_forks_total", "Children forked.");
static VALUES: Histogram = Histogram::new("worker_values", "Observed values.")
    .with_buckets(&[1.0, 2.0, 5.0, 10.0, 100.0, 1000.0]);
static SUMMARY: Summary = Summary::new("worker_summary", "Observed values.")
    .with_objectives(&[0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0]);
static LEVEL: Gauge = Gauge::new("worker_level", "A level.");
static LABELS: CounterVec = CounterVec::new("worker_labelled_total", "By label.", &["text"]);
static WIDE: CounterVec = CounterVec::new("worker_wide_total", "By number.", &["number"]);

/// What the arguments say: `--name value` in any order behind the scenario.
struct Arguments(Vec<String>);

impl Arguments {
    fn number(&self, name: &str, default: u64) -> u64 {
        let at = self.0.iter().position(|argument| argument == name);
        at.map_or(default, |at| self.0[at + 1].parse().expect("a number"))
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }
}

fn main() {
    let mut words = std::env::args().skip(1);
    let scenario = words.next().expect("a scenario");
    let arguments = Arguments(words.collect());
    // The first process of a pod, which does nothing at all.
    if scenario == "pause" {
        loop {
            std::thread::park();
        }
    }
    // What the application itself has allocated, touched, before it opens a segment.
    let ballast = vec![1_u8; usize::try_from(arguments.number("--ballast", 0)).expect("a size")];
    let producer = producer(&arguments);
    println!("{:?}", producer.status());
    match scenario.as_str() {
        "idle" => drop(ringmeter::register!(COUNT, VALUES, SUMMARY, LEVEL)),
        "count" => count(&arguments),
        "observe" => observe(&arguments),
        "exemplars" => exemplars(&arguments),
        "churn" => churn(&arguments),
        "fork" => fork(&arguments),
        "labels" => labels(),
        "wide" => wide(&arguments),
        "small" => small(&arguments, producer),
        "retry" => retry(producer),
        "pending" => pending(producer),
        "grow" => grow(producer, &arguments),
        "handover" => handover(producer),
        "lanes" => lanes(&arguments),
        "hog" => hog(&arguments),
        "closefrom" => closefrom(&arguments),
        "signal" => signal(&arguments),
        "atexit" => atexit(),
        "load" => load(&arguments),
        other => panic!("no scenario {other:?}"),
    }
    println!("done");
    serve_input();
    drop(std::hint::black_box(ballast));
}

fn producer(arguments: &Arguments) -> Producer {
    let number = |name, default| u32::try_from(arguments.number(name, default)).expect("32 bits");
    Producer::builder()
        .lane_capacity_records(number("--lane-capacity", 4096))
        .lanes_max(number("--lanes", 64))
        .lane_cells(number("--lane-cells", 512))
        .segments_max(number("--segments", 1024))
        .series_max(number("--series", 10_000).max(10_000) + 1000)
        .install_global()
}

/// Answers one line at a time until the input ends: `count N`, `status`, `stop`, and of the counter
/// by label `label TEXT`, which counts one, and `remove TEXT`.
fn serve_input() {
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("count"), Some(times)) => {
                for _ in 0..times.parse().expect("a number") {
                    COUNT.inc();
                }
                println!("done");
            }
            (Some("label"), Some(text)) => {
                LABELS.with(&[text]).inc();
                println!("done");
            }
            (Some("remove"), Some(text)) => {
                assert!(LABELS.remove(&[text]), "{text:?} is not there");
                println!("done");
            }
            (Some("stop"), None) => println!("loaded {}", stop_load()),
            (Some("status"), None) => println!("{:?}", Producer::global().status()),
            _ => panic!("no command {line:?}"),
        }
    }
}

fn threads(count: u64, work: impl Fn(u64) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..count {
            let work = &work;
            scope.spawn(move || work(thread));
        }
    });
}

/// `count --threads T --times N [--rate R]`: N increments by each of T threads, R a second each.
fn count(arguments: &Arguments) {
    let times = arguments.number("--times", 1_000_000);
    let rate = arguments.number("--rate", 0);
    threads(arguments.number("--threads", 1), |_| {
        if rate == 0 {
            for _ in 0..times {
                COUNT.inc();
            }
        } else {
            paced(times, rate);
        }
    });
}

/// Increments in bursts of half a millisecond, at `rate` a second.
fn paced(times: u64, rate: u64) {
    let start = Instant::now();
    let burst = (rate / 2000).max(1);
    let mut done = 0;
    while done < times {
        for _ in 0..burst.min(times - done) {
            COUNT.inc();
        }
        done += burst.min(times - done);
        let due = Duration::from_nanos(done.saturating_mul(1_000_000_000) / rate);
        if let Some(early) = due.checked_sub(start.elapsed()) {
            std::thread::sleep(early);
        }
    }
}

/// The thread of `load`, which counts its rounds.
static LOAD: Mutex<Option<JoinHandle<u64>>> = Mutex::new(None);
static IS_STOPPED: AtomicBool = AtomicBool::new(false);

/// `load`: about 20,000 rounds a second, in all kinds, until `stop`. Values go from 0.001 to 1.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn load(_: &Arguments) {
    ringmeter::register!(COUNT, VALUES, SUMMARY, LEVEL).expect("register");
    let thread = std::thread::spawn(|| {
        let mut rounds = 0;
        while !IS_STOPPED.load(Ordering::Relaxed) {
            for _ in 0..20 {
                let value = (rounds % 1000 + 1) as f64 / 1000.0;
                COUNT.inc();
                VALUES.observe(value);
                SUMMARY.observe(value);
                LEVEL.set(value);
                LABELS.with(&[if rounds % 2 == 0 { "even" } else { "odd" }]).inc();
                rounds += 1;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        rounds
    });
    *LOAD.lock().expect("the load") = Some(thread);
}

fn stop_load() -> u64 {
    IS_STOPPED.store(true, Ordering::Relaxed);
    let thread = LOAD.lock().expect("the load").take().expect("a load");
    thread.join().expect("the load ends")
}

/// `observe --times N`: the values 0.25, 0.5, … N/4, each once, in the histogram and the summary.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn observe(arguments: &Arguments) {
    let times = arguments.number("--times", 10_000);
    let count = arguments.number("--threads", 1);
    let barrier = Barrier::new(usize::try_from(count).expect("threads"));
    threads(count, |thread| {
        Producer::global().prepare_thread();
        // So that each thread has a lane of its own.
        barrier.wait();
        for number in 1..=times {
            if number % count == thread {
                let value = number as f64 * 0.25;
                VALUES.observe(value);
                SUMMARY.observe(value);
            }
        }
    });
    LEVEL.set(times as f64);
    LEVEL.add(0.5);
}

/// `exemplars --times N`: values of 1 to 1,000 and counts, each with the id of a trace of its own,
/// as fast as they go, and one more of each that there is room for.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn exemplars(arguments: &Arguments) {
    for number in 1..=arguments.number("--times", 10_000) {
        let value = (number % 1000 + 1) as f64;
        let trace = u128::from(number).to_be_bytes();
        VALUES.observe_with_exemplar(value, Exemplar::of_trace(trace, [0x0f; 8]));
        COUNT.inc_with_exemplar(&[("trace_id", &*number.to_string())]);
    }
    // An agent takes what is in the lane.
    std::thread::sleep(Duration::from_millis(500));
    // After looks at the ack that brought nothing, up to 511 records go to cells before the next.
    (0..512).for_each(|_| SUMMARY.observe(1.0));
    VALUES.observe_with_exemplar(3.0, &[("trace_id", "last"), ("user", "\u{e9} \"\n")]);
    COUNT.inc_by_with_exemplar(5, &[("trace_id", "last")]);
    VALUES.observe_with_exemplar(3.0, &[("no-name", "refused")]);
}

/// `churn --threads T`: T threads, one after the other, one increment each.
fn churn(arguments: &Arguments) {
    for _ in 0..arguments.number("--threads", 1000) {
        std::thread::spawn(|| COUNT.inc()).join().expect("a thread");
    }
}

/// `fork --forks F --threads T --times N [--raw]`: F children of N increments each, while T
/// threads record; prints how often they did.
fn fork(arguments: &Arguments) {
    let stop = std::sync::atomic::AtomicBool::new(false);
    let total = std::sync::atomic::AtomicU64::new(0);
    let forks = arguments.number("--forks", 100);
    let times = arguments.number("--times", 100);
    ringmeter::register!(COUNT, CHILD, FORKS).expect("register");
    std::thread::scope(|scope| {
        for _ in 0..arguments.number("--threads", 8) {
            scope.spawn(|| {
                let mut done = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    for _ in 0..100 {
                        COUNT.inc();
                    }
                    done += 100;
                    std::thread::sleep(Duration::from_micros(200));
                }
                total.fetch_add(done, std::sync::atomic::Ordering::Relaxed);
            });
        }
        for _ in 0..forks {
            fork_once(times, arguments.has("--raw"));
            FORKS.inc();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    println!("counted {}", total.into_inner());
}

fn fork_once(times: u64, raw: bool) {
    let child = if raw {
        // SAFETY:
        // - The child only records metrics and leaves by _exit: both are allowed after a fork of
        //   a process with threads, which is what this scenario is there to show.
        unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) }
    } else {
        // SAFETY: as above.
        unsafe { libc::fork() }.into()
    };
    if child == 0 {
        for _ in 0..times {
            CHILD.inc();
        }
        // SAFETY:
        // - Ends the child without running what the parent registered for its own end.
        unsafe { libc::_exit(0) };
    }
    assert!(child > 0, "fork");
    let mut status = 0;
    // SAFETY:
    // - `status` is ours to write, and the child is ours to wait for.
    let waited = unsafe { libc::waitpid(child.try_into().expect("an id"), &raw mut status, 0) };
    assert!(i64::from(waited) == child && status == 0, "child {child} ended with {status}");
}

/// `labels`: one increment for each nasty label value.
fn labels() {
    for value in ringmeter_tests::worker::nasty_labels() {
        LABELS.with(&[&value]).inc();
    }
}

/// `wide --series S`: one increment for each of S series of one metric.
fn wide(arguments: &Arguments) {
    for number in 0..arguments.number("--series", 1000) {
        WIDE.with(&[&number.to_string()]).inc();
    }
}

/// `small --threads T --series S`: a small service: T threads, S series of all kinds.
fn small(arguments: &Arguments, producer: Producer) {
    let series = arguments.number("--series", 100);
    for number in 0..series / 4 {
        let name = |kind| format!("worker_{kind}_{number}");
        producer.counter((name("count") + "_total", "c")).expect("counter").inc();
        producer.gauge((name("gauge"), "g")).expect("gauge").set(1.0);
        producer.histogram((name("histogram"), "h")).expect("histogram").observe(1.0);
        producer.summary((name("summary"), "s")).expect("summary").observe(1.0);
    }
    let barrier = Barrier::new(usize::try_from(arguments.number("--threads", 8)).expect("threads"));
    threads(arguments.number("--threads", 8), |_| {
        producer.prepare_thread();
        barrier.wait();
        COUNT.inc();
    });
}

/// `lanes --threads T --times N`: N observations by each of T threads, which ask for a lane each;
/// says how things stand while all of them live.
fn lanes(arguments: &Arguments) {
    let (count, times) = (arguments.number("--threads", 8), arguments.number("--times", 100));
    let barrier = Barrier::new(usize::try_from(count).expect("threads"));
    threads(count, |thread| {
        // Waits for its turn; a thread that only records does not.
        Producer::global().prepare_thread();
        for _ in 0..times {
            VALUES.observe(1.0);
        }
        barrier.wait();
        if thread == 0 {
            println!("{:?}", Producer::global().status());
        }
        barrier.wait();
    });
}

/// `hog --times N`: N increments, and then memory without end.
fn hog(arguments: &Arguments) {
    for _ in 0..arguments.number("--times", 1_000_000) {
        COUNT.inc();
        VALUES.observe(1.0);
    }
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1_u8; 1 << 20]);
        std::hint::black_box(&taken);
    }
}

/// `retry`: counts, waits for a line, counts again; the directory appears in between.
fn retry(_: Producer) {
    LEVEL.set(3.0);
    LEVEL.add(4.0);
    VALUES.observe(2.0);
    for _ in 0..1000 {
        COUNT.inc();
    }
}

/// `closefrom --threads T`: closes every descriptor behind our back, gives their numbers to files
/// of its own, and goes on recording in T new threads, which needs new lanes.
fn closefrom(arguments: &Arguments) {
    COUNT.inc();
    // SAFETY:
    // - Nothing in this scenario uses a descriptor that was opened before, which is the point.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    assert_eq!(closed, 0, "close_range");
    let path = std::env::temp_dir().join(format!("ringmeter-database-{}", std::process::id()));
    let databases: Vec<std::fs::File> = (0..20)
        .map(|_| std::fs::File::options().create(true).append(true).read(true).open(&path))
        .map(|file| file.expect("a database"))
        .collect();
    let count = arguments.number("--threads", 8);
    let barrier = Barrier::new(usize::try_from(count).expect("threads"));
    threads(count, |_| {
        for _ in 0..10_000 {
            COUNT.inc();
        }
        barrier.wait();
    });
    LABELS.with(&["registered later"]).inc();
    let size = databases[0].metadata().expect("its size").len();
    std::fs::remove_file(&path).expect("clean up");
    println!("database {size}");
}

static SIGNALS: std::sync::OnceLock<Counter> = std::sync::OnceLock::new();
static HANDLED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

extern "C" fn on_signal(_: libc::c_int) {
    if let Some(counter) = SIGNALS.get() {
        counter.inc();
        HANDLED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// `signal --times N`: N increments while a timer interrupts them a thousand times a second, and
/// its handler counts as well; prints how often it did.
fn signal(arguments: &Arguments) {
    COUNT.register().expect("register");
    SIGNALS.get_or_init(|| COUNT.signal_safe());
    // SAFETY:
    // - The handler touches nothing but atomics and metrics made for signal handlers.
    // - The structures are plain data, for which zeros are valid, and ours.
    unsafe { install_timer() };
    for _ in 0..arguments.number("--times", 1_000_000) {
        COUNT.inc();
    }
    // SAFETY: as above; the timer ends.
    unsafe { stop_timer() };
    println!("handled {}", HANDLED.load(Ordering::Relaxed));
}

/// # Safety
/// The handler may run at any moment from here on.
unsafe fn install_timer() {
    // SAFETY: a function for the whole life of the process, of the type that `signal` takes.
    unsafe { libc::signal(libc::SIGALRM, on_signal as *const () as libc::sighandler_t) };
    let period = libc::timeval { tv_sec: 0, tv_usec: 1000 };
    let timer = libc::itimerval { it_interval: period, it_value: period };
    // SAFETY: the structure is ours and complete.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

/// # Safety
/// None beyond that of the system call.
unsafe fn stop_timer() {
    let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let timer = libc::itimerval { it_interval: never, it_value: never };
    // SAFETY: the structure is ours and complete.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

extern "C" fn at_exit() {
    for _ in 0..100 {
        COUNT.inc();
    }
    LEVEL.set(5.0);
}

/// `atexit`: records again when the process ends, behind everything else.
fn atexit() {
    ringmeter::register!(COUNT, LEVEL).expect("register");
    std::thread::spawn(|| COUNT.inc()).join().expect("a thread");
    // SAFETY:
    // - The function is there for the whole life of the process and touches only metrics.
    let registered = unsafe { libc::atexit(at_exit) };
    assert_eq!(registered, 0, "atexit");
}

/// `pending`: fills the tmpfs, registers what has no room then, and removes and revives it.
fn pending(producer: Producer) {
    COUNT.inc();
    let directory = std::env::var_os("RINGMETER_DIR").expect("a directory");
    let filler = std::path::Path::new(&directory).join("filler");
    let _ = std::fs::write(&filler, vec![1; 64 << 20]);
    let family = producer.histogram_vec(("worker_many", "Many."), &["number"]).expect("register");
    for round in 0..2 {
        for number in 0..100_u32 {
            let text = number.to_string();
            family.with(&[&text]).observe(1.0);
            LEVEL.set(1.0);
            assert!(family.remove(&[&text]), "round {round}");
        }
    }
    for number in 0..100_u32 {
        family.with(&[&number.to_string()]).observe(1.0);
    }
    std::fs::remove_file(&filler).expect("make room");
    assert!(producer.open());
}

/// `handover`: sets gauges while the private counts move into a segment.
fn handover(producer: Producer) {
    let gauges: Vec<Gauge> = (0..2000)
        .map(|number| producer.gauge((format!("worker_gauge_{number}"), "A gauge.")))
        .map(|gauge| gauge.expect("register"))
        .collect();
    gauges.iter().for_each(|gauge| gauge.set(5.0));
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for part in gauges.chunks(500) {
            let stop = &stop;
            scope.spawn(move || {
                let mut is_last = false;
                while !is_last {
                    is_last = stop.load(std::sync::atomic::Ordering::Relaxed);
                    part.iter().for_each(|gauge| gauge.set(7.0));
                }
                part.iter().for_each(|gauge| gauge.add(1.0));
            });
        }
        while !producer.open() {}
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// `grow --threads T`: T threads take lanes while one registers, so that the segment grows at both
/// ends at once.
fn grow(producer: Producer, arguments: &Arguments) {
    let count = arguments.number("--threads", 16);
    let barrier = Barrier::new(usize::try_from(count).expect("threads"));
    threads(count, |thread| {
        barrier.wait();
        if thread % 8 == 0 {
            for number in 0..150_u32 {
                let name = format!("worker_grow_{thread}_{number}");
                producer.histogram((name, "A histogram.")).expect("register").observe(1.0);
            }
        }
        std::thread::sleep(Duration::from_micros(thread * 100));
        for _ in 0..100 {
            COUNT.inc();
        }
        barrier.wait();
    });
}
