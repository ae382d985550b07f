//! An instrumented process for the crash tests: it records in all kinds at changing speed until
//! it is told to stop or is killed, and notes in a file how far it got.
//!
//! `recorder --progress FILE --threads N --lane-capacity R --lanes L --seed S`
#![allow(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the test reads it")]
#![expect(clippy::expect_used, reason = "a recorder that fails fails its test")]

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ringmeter::{Counter, CounterVec, Histogram, Producer, Summary};
use ringmeter_tests::progress::{
    FLOAT_STEP, HISTOGRAM_VALUE, KINDS, SUMMARY_VALUE, THREADS_MAX, WORDS, word,
};
use ringmeter_tests::random::Random;

static INTEGER: Counter = Counter::new("crash_integer_total", "Calls.");
static FLOAT: Counter = Counter::new("crash_float_total", "Half a call each.");
static HISTOGRAM: Histogram =
    Histogram::new("crash_histogram", "Observations.").with_buckets(&[0.5, 1.0, 2.0]);
static SUMMARY: Summary = Summary::new("crash_summary", "Observations.");
static LABELLED: CounterVec = CounterVec::new("crash_labelled_total", "Calls.", &["turn"]);
static IS_STOPPED: AtomicBool = AtomicBool::new(false);

fn argument(name: &str) -> String {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name).expect("an argument");
    arguments.next().expect("its value")
}

fn number(name: &str) -> u64 {
    argument(name).parse().expect("a number")
}

fn progress() -> &'static [AtomicU64; WORDS] {
    let path = argument("--progress");
    let file = OpenOptions::new().read(true).write(true).open(path).expect("a progress file");
    // SAFETY:
    // - The kernel chooses the address; the file stays open until the call is over.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size_of::<[AtomicU64; WORDS]>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    assert!(address != libc::MAP_FAILED, "map the progress file");
    // SAFETY:
    // - The mapping is as long as the array, aligned to a page, and never unmapped.
    // - Others only read the file.
    unsafe { &*address.cast() }
}

fn main() {
    let capacity = u32::try_from(number("--lane-capacity")).expect("32 bits");
    let lanes = u32::try_from(number("--lanes")).expect("32 bits");
    let _: Producer =
        Producer::builder().lane_capacity_records(capacity).lanes_max(lanes).install_global();
    let (words, seed) = (progress(), number("--seed"));
    let count = usize::try_from(number("--threads")).expect("threads").min(THREADS_MAX);
    println!("ready");
    std::thread::scope(|scope| {
        for thread in 0..count {
            scope.spawn(move || record(thread, words, Random::new(seed + thread as u64)));
        }
        // Ends the threads when it is told to, or when the test is gone.
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line);
        IS_STOPPED.store(true, Ordering::Relaxed);
    });
    println!("done");
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
}

/// Bursts of calls, each followed by a pause; some bursts are as fast as they can be.
fn record(thread: usize, words: &[AtomicU64; WORDS], mut random: Random) {
    let labels = ["a", "b", "c"];
    let mut turn = 0;
    while !IS_STOPPED.load(Ordering::Relaxed) {
        let calls = 1 << random.below(12);
        for _ in 0..calls {
            turn += 1;
            let kind = turn % KINDS.len();
            let at = word(thread, kind);
            let before = words[at].load(Ordering::Relaxed);
            words[at].store(before + 1, Ordering::Relaxed);
            match kind {
                0 => INTEGER.inc(),
                1 => FLOAT.inc_by_f64(FLOAT_STEP),
                2 => HISTOGRAM.observe(HISTOGRAM_VALUE),
                3 => SUMMARY.observe(SUMMARY_VALUE),
                _ => LABELLED.with(&[labels[turn % 3]]).inc(),
            }
            words[at + 1].store(before + 1, Ordering::Relaxed);
        }
        std::thread::sleep(Duration::from_micros(random.below(3000) as u64));
    }
}
