//! How fast the agent is, on one core: whole passes over full lanes, by kind of record and number
//! of series. A pass reads (`pread`), decodes, aggregates, commits to the ledger, and acks.
//!
//! `cargo build --release -p ringmeter-tests --example pass_speed`, then
//! `target/release/examples/pass_speed`. One line for each mix: millions of records a second of
//! the whole pass (median, fastest and slowest of the passes), nanoseconds per record, and what
//! part of a pass was the commit. Times are the processor's, so that neighbours on the machine show
//! in the caches only. With `--profile`, the mixed records of 1,000 series only, for so
//! many seconds.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a measurement that prints")]

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use ringmeter::{Counter, Histogram, Options, Producer, Summary};
use ringmeter_agent::attach::Files;
use ringmeter_agent::discover::Watcher;
use ringmeter_agent::ledger::Place;
use ringmeter_agent::limits::Limits;
use ringmeter_agent::pipeline::{Pipeline, Scope};
use ringmeter_tests::directory::Directory;
use ringmeter_tests::random::Random;

/// Lanes, all full when a pass begins: as many as a process has by default.
const LANES: usize = 64;
/// Records of a lane.
const CAPACITY: usize = 4096;
const PASSES: usize = 61;
/// Passes for what one takes: the first ones read definitions.
const DUE_PASSES_MAX: usize = 200;
/// Between two passes, by the agent's clock.
const NAP_NS: u64 = 2_000_000;

/// Parts of a hundred: counters as integers, counters as floats, histograms, summaries.
const MIXES: &[(&str, [usize; 4], usize)] = &[
    ("counters beyond lane cells", [100, 0, 0, 0], 1000),
    ("counters, float", [0, 100, 0, 0], 1000),
    ("histograms, 11 bounds", [0, 0, 100, 0], 1000),
    ("summaries", [0, 0, 0, 100], 1000),
    ("mixed 70/5/20/5", [70, 5, 20, 5], 1),
    ("mixed 70/5/20/5", [70, 5, 20, 5], 1000),
    ("mixed 70/5/20/5", [70, 5, 20, 5], 10_000),
    ("mixed 70/5/20/5", [70, 5, 20, 5], 100_000),
];

/// All series of one kind, as handles.
enum Metric {
    Integer(Counter),
    Float(Counter),
    Histogram(Histogram),
    Summary(Summary),
}

impl Metric {
    fn record(&self, value: f64) {
        match self {
            Self::Integer(counter) => counter.inc(),
            Self::Float(counter) => counter.inc_by_f64(value),
            Self::Histogram(histogram) => histogram.observe(value),
            Self::Summary(summary) => summary.observe(value),
        }
    }
}

fn main() {
    let seconds = std::env::args().skip_while(|word| word != "--profile").nth(1);
    println!("{LANES} lanes of {CAPACITY} records, seed 1; millions of records a second");
    for (name, parts, series) in MIXES {
        if let Some(seconds) = &seconds {
            if *series == 1000 && name.starts_with("mixed") {
                let seconds: f64 = seconds.parse().expect("a number of seconds");
                measure(name, parts, *series, Some(seconds));
            }
        } else {
            measure(name, parts, *series, None);
        }
    }
}

/// Series by kind, in these parts.
fn metrics(producer: Producer, parts: &[usize; 4], series: usize) -> Vec<Metric> {
    let help = "Recorded.";
    let integers = producer.counter_vec(("pass_integer_total", help), &["n"]).expect("a family");
    let floats = producer.counter_vec(("pass_float_total", help), &["n"]).expect("a family");
    let options = Options::new("pass_histogram_seconds", help);
    let histograms = producer.histogram_vec(options, &["n"]).expect("a family");
    let options = Options::new("pass_summary_seconds", help).objectives(&[0.5, 0.99]);
    let summaries = producer.summary_vec(options, &["n"]).expect("a family");
    let mut metrics = Vec::new();
    for (kind, part) in parts.iter().enumerate() {
        let count = if *part == 0 { 0 } else { (series * part / 100).max(1) };
        metrics.extend((0..count).map(|n| {
            let n = n.to_string();
            match kind {
                0 => Metric::Integer(integers.with(&[&n])),
                1 => Metric::Float(floats.with(&[&n])),
                2 => Metric::Histogram(histograms.with(&[&n])),
                _ => Metric::Summary(summaries.with(&[&n])),
            }
        }));
    }
    metrics
}

/// For each lane what it records, drawn at random: a metric, and a value over four decades.
fn schedule(metrics: &[Metric], parts: &[usize; 4], random: &mut Random) -> Vec<(usize, f64)> {
    let kind_of = |metric: &Metric| match metric {
        Metric::Integer(_) => 0,
        Metric::Float(_) => 1,
        Metric::Histogram(_) => 2,
        Metric::Summary(_) => 3,
    };
    let first = |kind| metrics.iter().position(|metric| kind_of(metric) == kind);
    let count = |kind| metrics.iter().filter(|metric| kind_of(metric) == kind).count();
    let places: Vec<(usize, usize)> =
        (0..4).map(|kind| (first(kind).unwrap_or(0), count(kind))).collect();
    let one = |_| {
        let mut drawn = random.below(100);
        let mut kind = 0;
        while drawn >= parts[kind] {
            drawn -= parts[kind];
            kind += 1;
        }
        let (first, count) = places[kind];
        let decade = [0.001, 0.01, 0.1, 1.0][random.below(4)];
        let value = decade * (1.0 + random.below(9000) as f64 / 1000.0);
        (first + random.below(count), value)
    };
    (0..CAPACITY).map(one).collect()
}

fn measure(name: &str, parts: &[usize; 4], series: usize, seconds: Option<f64>) {
    let directory = Directory::new();
    let builder = Producer::builder().directory(directory.path()).lane_cells(0);
    let builder = builder.series_max(200_000).segment_size_max_bytes(1 << 30);
    let producer = builder.service("pass").build();
    let metrics = Arc::new(metrics(producer, parts, series));
    let barrier = Arc::new(Barrier::new(LANES + 1));
    let mut random = Random::new(1);
    for _ in 0..LANES {
        let (metrics, barrier) = (Arc::clone(&metrics), Arc::clone(&barrier));
        let schedule = schedule(&metrics, parts, &mut random);
        // Each fills its lane when it is told to; they end with the process.
        thread::spawn(move || {
            // A record would not wait for a lane that others are claiming.
            producer.prepare_thread();
            loop {
                barrier.wait();
                schedule.iter().for_each(|(metric, value)| metrics[*metric].record(*value));
                barrier.wait();
            }
        });
    }
    let mut agent = Agent::new(directory.path());
    let (mut took, mut commits) = (Vec::new(), 0.0);
    let begin = Instant::now();
    let is_over = |passes: usize| match seconds {
        Some(seconds) => begin.elapsed().as_secs_f64() > seconds,
        // The first ones make series and buckets.
        None => passes >= PASSES + 4,
    };
    while !is_over(took.len()) {
        barrier.wait();
        barrier.wait();
        let (records, ns, commit_ns) = agent.pass();
        took.push(ns as f64 / records as f64);
        commits += commit_ns as f64 / records as f64;
    }
    let all: f64 = took.iter().sum();
    let mut steady = took.split_off(4.min(took.len()));
    steady.sort_by(f64::total_cmp);
    let rate = |ns: f64| 1000.0 / ns;
    let median = steady[steady.len() / 2];
    println!(
        "{name:28} {series:>7} series  {:6.1} ({:6.1} to {:6.1})  {:5.2} ns  commit {:4.1} %",
        rate(median),
        rate(steady[steady.len() - 1]),
        rate(steady[0]),
        median,
        commits / all * 100.0
    );
}

/// Processor time of this thread.
fn processor_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock");
    u64::try_from(time.num_nanoseconds()).expect("time is not negative")
}

struct Agent {
    pipeline: Pipeline,
    watcher: Watcher,
    start: Instant,
    /// Added to the clock, so that every pass is due.
    ahead_ns: u64,
}

impl Agent {
    fn new(directory: &Path) -> Self {
        let (segments, own) = (directory.join("segments"), directory.join("agent"));
        std::fs::create_dir_all(&own).expect("the agent's directory");
        // Without the limit that keeps one producer from taking the whole core.
        let limits = Limits { records_per_second: 1 << 40, ..Limits::default() };
        let watcher = Watcher::new(&segments, limits.directory_entries_max);
        let place = Place::new(own.join("ledger"));
        let files = Files::new(segments, own);
        let pipeline = Pipeline::open(files, &place, limits, 0).expect("open the ledger");
        Self { pipeline, watcher, start: Instant::now(), ahead_ns: 0 }
    }

    /// Passes until one finds nothing more, which is mostly one: records taken, nanoseconds of
    /// the passes and of their commits. A record that met the lane of a thread that was about to
    /// find the ack is in a cell, and not among them.
    fn pass(&mut self) -> (u64, u64, u64) {
        let before = self.pipeline.counts().drained;
        let (mut pass_ns, mut commit_ns) = (0, 0);
        for _ in 0..DUE_PASSES_MAX {
            let known = self.pipeline.counts().drained;
            self.ahead_ns += NAP_NS;
            let (start, ahead_ns) = (self.start, self.ahead_ns);
            let clock = || {
                let elapsed_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
                elapsed_ns + ahead_ns
            };
            if known == 0 {
                let listing = self.watcher.list(clock);
                self.pipeline.reconcile(&listing, clock());
            }
            let begin_ns = processor_ns();
            self.pipeline.pass(Scope::Due, &clock);
            let own_ns = processor_ns() - begin_ns;
            if known > before && known == self.pipeline.counts().drained {
                return (known - before, pass_ns, commit_ns);
            }
            pass_ns += own_ns;
            // What the agent's clock calls the commit, as a share of the pass.
            let timing = self.pipeline.timing();
            commit_ns += own_ns * timing.commit_ns / timing.pass_ns.max(1);
        }
        unreachable!("the agent does not come to an end of what was recorded");
    }
}
