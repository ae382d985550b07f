//! An instrumented process for the crash tests: it records in all kinds at changing speed until
//! its input ends or it is killed, and notes in a file how far it got.
//!
//! `recorder --progress FILE --threads N --lane-capacity R --lanes L --lane-cells C --seed S`
#![expect(clippy::expect_used, reason = "a recorder that fails fails its test")]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringmeter::{
    Counter, CounterVec, Exemplar, Gauge, GaugeRule, Histogram, Producer, Status, Summary, register,
};
use ringmeter_tests::progress::{
    self, BOUNDS, COMMAND, FLOAT, FLOAT_STEP, HISTOGRAM, INTEGER, IS_READY, IS_SHARED, KINDS,
    LABELLED, LEVEL, PAUSED, SAFE, SET, SUMMARY, THREADS_MAX, TURNS, VALUES, Words, gauge_value,
    word,
};
use ringmeter_tests::random::Random;

static INTEGERS: Counter = Counter::new("torture_integer_total", "Calls.");
static FLOATS: Counter = Counter::new("torture_float_total", "Half a call each.");
static OBSERVED: Histogram =
    Histogram::new("torture_histogram", "Observations.").with_buckets(&BOUNDS);
static SUMMED: Summary = Summary::new("torture_summary", "Observations.");
static BY_TURN: CounterVec = CounterVec::new("torture_labelled_total", "Calls.", &["turn"]);
static BY_CELL: Counter = Counter::new("torture_safe_total", "Calls.");
static ADDED: Gauge = Gauge::new("torture_level", "Calls.");
static GAUGES: [Gauge; 5] = [
    Gauge::new("torture_low", "A gauge.").with_gauge_rule(GaugeRule::Min),
    Gauge::new("torture_high", "A gauge.").with_gauge_rule(GaugeRule::Max),
    Gauge::new("torture_mean", "A gauge.").with_gauge_rule(GaugeRule::Mean),
    Gauge::new("torture_recent", "A gauge.").with_gauge_rule(GaugeRule::MostRecent),
    Gauge::new("torture_each", "A gauge.").with_gauge_rule(GaugeRule::PerProcess),
];

/// Threads that have begun a burst since everything was found to be in a segment.
static IN_SEGMENT: AtomicUsize = AtomicUsize::new(0);

fn argument(name: &str) -> String {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name).expect("an argument");
    arguments.next().expect("its value")
}

fn number(name: &str) -> u64 {
    argument(name).parse().expect("a number")
}

fn main() {
    let capacity = u32::try_from(number("--lane-capacity")).expect("32 bits");
    let lanes = u32::try_from(number("--lanes")).expect("32 bits");
    let cells = u32::try_from(number("--lane-cells")).expect("32 bits");
    let producer: Producer = Producer::builder()
        .lane_capacity_records(capacity)
        .lanes_max(lanes)
        .lane_cells(cells)
        .install_global();
    let words = progress::map(Path::new(&argument("--progress")));
    let seed = number("--seed");
    let count = usize::try_from(number("--threads")).expect("threads").min(THREADS_MAX);
    register!(INTEGERS, FLOATS, OBSERVED, SUMMED, BY_TURN, BY_CELL, ADDED).expect("register");
    GAUGES.iter().for_each(|gauge| gauge.register().expect("register"));
    words[IS_READY].store(1, Ordering::Release);
    for thread in 0..count {
        let random = Random::new(seed.wrapping_add(thread as u64));
        std::thread::spawn(move || generations(thread, words, seed, random));
    }
    std::thread::spawn(move || say_when_shared(producer, words, count));
    // Ends with whoever started it.
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
}

/// Notes when nothing is left in private memory, which a kill would take with it.
fn say_when_shared(producer: Producer, words: &Words, threads: usize) {
    while !matches!(producer.status(), Status::Shared { .. }) {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Takes the lock that is held while private counts move.
    producer.counter(("torture_shared_total", "Registered in a segment.")).expect("register");
    IN_SEGMENT.store(1, Ordering::Release);
    // A call that was in flight meanwhile moves counts itself: each thread has to get beyond it.
    while IN_SEGMENT.load(Ordering::Acquire) <= threads {
        std::thread::sleep(Duration::from_micros(200));
    }
    words[IS_SHARED].store(1, Ordering::Release);
}

/// Threads one after the other, each for some bursts, so that lanes change hands.
fn generations(thread: usize, words: &'static Words, seed: u64, mut random: Random) {
    let mut has_told = false;
    loop {
        let mut own = Random::new(random.next());
        let recording = move || {
            let mut told = has_told;
            for _ in 0..=own.below(200) {
                wait_while_paused(thread, words);
                if !told && IN_SEGMENT.load(Ordering::Acquire) > 0 {
                    told = true;
                    IN_SEGMENT.fetch_add(1, Ordering::AcqRel);
                }
                burst(thread, words, seed, 1 << own.below(15));
                std::thread::sleep(Duration::from_micros(own.below(3000) as u64));
            }
            told
        };
        has_told = std::thread::spawn(recording).join().expect("a thread");
    }
}

fn wait_while_paused(thread: usize, words: &Words) {
    loop {
        let command = words[COMMAND].load(Ordering::Acquire);
        words[PAUSED + thread].store(command, Ordering::Release);
        if command.is_multiple_of(2) {
            return;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// What labels of exemplars are cut from.
const TEXT: &str = "the newest exemplar of each bucket is kept, and all of its slots, or none, are \
                    seen by whoever reads the lane that it is written to";

/// Calls of all kinds in turn, as fast as they can be.
fn burst(thread: usize, words: &Words, seed: u64, calls: usize) {
    let safe = BY_CELL.signal_safe();
    for turn in 0..calls {
        let kind = turn % KINDS;
        if kind == SET && thread > 0 {
            continue;
        }
        let at = word(thread, kind);
        let before = words[at].load(Ordering::Relaxed);
        words[at].store(before + 1, Ordering::Release);
        let place = usize::try_from(before).unwrap_or(0);
        // Of two to ten slots, so that long records stand everywhere in a lane.
        let label = [("id", &TEXT[..place % TEXT.len()])];
        let exemplar = Exemplar::new(&label);
        match kind {
            INTEGER if place % 8 == 3 => INTEGERS.inc_with_exemplar(exemplar),
            INTEGER => INTEGERS.inc(),
            FLOAT => FLOATS.inc_by_f64(FLOAT_STEP),
            HISTOGRAM if place % 8 == 5 => {
                OBSERVED.observe_with_exemplar(VALUES[place % VALUES.len()], exemplar);
            }
            HISTOGRAM => OBSERVED.observe(VALUES[place % VALUES.len()]),
            SUMMARY => SUMMED.observe(VALUES[place % VALUES.len()]),
            LABELLED => BY_TURN.with(&[TURNS[place % TURNS.len()]]).inc(),
            SAFE => safe.inc(),
            LEVEL => ADDED.inc(),
            _ => GAUGES.iter().for_each(|gauge| gauge.set(gauge_value(seed, before + 1))),
        }
        words[at + 1].store(before + 1, Ordering::Release);
    }
}
