//! What a record costs on this machine: the producer's side of `ringmeter bench`, which starts it,
//! gives it a directory (`RINGMETER_DIR`), and makes a table of its lines:
//!
//! ```text
//! cost   TITLE    MEDIAN  P99  P99.9      nanoseconds per call
//! calls  METRIC   NUMBER                  for whoever compares them with a scrape
//! note   TEXT                             what its reader should know
//! ```
//!
//! `record_cost SECONDS live` makes a burst of half a lane, then lets the agent take it;
//! `record_cost SECONDS alone` makes calls without a pause, and fills the lane before.
//!
//! A clock takes ten times as long as a call, so batches of 64 calls are timed, what the clock
//! takes is subtracted, and the tail is that of batches.

use std::hint::black_box;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};
use std::time::{Duration, Instant};

use ringmeter::{
    Counter, CounterVec, Gauge, Histogram, HistogramVec, Producer, RegisterErrors, Status, Summary,
};

/// Calls in one batch.
const CALLS: u64 = 64;
/// Batches in one burst: half a lane of 4,096 records.
const BATCHES: usize = 32;
/// Between two bursts: long enough for an agent to wake up and read.
const PAUSE: Duration = Duration::from_millis(2);
/// Batches of a kind; more would not change a percentile.
const BATCHES_MAX: usize = 1 << 20;

static HANDLE: Counter = Counter::new("cost_counter_total", "Calls.");
static LANE: Counter = Counter::new("cost_lane_total", "Calls.");
static FLOAT: Counter = Counter::new("cost_float_total", "Calls.");
static GAUGE: Gauge = Gauge::new("cost_gauge", "The last value.");
static HISTOGRAM: Histogram = Histogram::new("cost_histogram_seconds", "Calls.");
static SUMMARY: Summary =
    Summary::new("cost_summary_seconds", "Calls.").with_objectives(&[0.5, 0.99]);
static BY_LABELS: CounterVec =
    CounterVec::new("cost_labels_total", "Calls.", &["region", "method"]);
static TIMES_BY_LABELS: HistogramVec =
    HistogramVec::new("cost_labels_seconds", "Calls.", &["region", "method"]);
/// For comparison: what the simplest counter for all threads costs here, and for one thread.
static ATOMIC: AtomicU64 = AtomicU64::new(0);
static PLAIN: AtomicU64 = AtomicU64::new(0);
/// For comparison: the stores of a record and nothing else, into as much memory as a lane has.
static RING: [AtomicU64; 8192] = [const { AtomicU64::new(0) }; 8192];
static CURSOR: AtomicU64 = AtomicU64::new(0);
static TAIL: AtomicU64 = AtomicU64::new(0);

/// How calls are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Situation {
    /// In bursts, which an agent takes.
    Live,
    /// Without a pause, into a full lane.
    Alone,
}

struct Bench {
    situation: Situation,
    /// For each kind of call.
    time: Duration,
    /// Nanoseconds for looking at the clock twice.
    clock_ns: f64,
    output: io::Stdout,
}

impl Bench {
    /// Times one kind of call, and writes its line and that of its metric, if it has one.
    fn measure(&mut self, title: &str, metric: &str, call: impl Fn(f64)) -> io::Result<()> {
        let mut calls = 0;
        if self.situation == Situation::Alone {
            // Fills the lane: afterwards all is as it stays.
            calls = 2 * BATCHES as u64 * CALLS;
            (0..calls).for_each(|number| call(value(number)));
        }
        let mut batches = Vec::with_capacity(BATCHES_MAX);
        let begin = Instant::now();
        while begin.elapsed() < self.time && batches.len() + BATCHES <= BATCHES_MAX {
            for _ in 0..BATCHES {
                batches.push(batch(&call));
            }
            calls += BATCHES as u64 * CALLS;
            if self.situation == Situation::Live {
                std::thread::sleep(PAUSE);
            }
        }
        batches.sort_unstable();
        let shown = [500, 990, 999].map(|per_mille| {
            let taken = batches.get(batches.len() * per_mille / 1000);
            let taken = taken.map_or(0.0, |taken| *taken as f64);
            (taken - self.clock_ns).max(0.0) / CALLS as f64
        });
        let [median, p99, p999] = shown;
        writeln!(self.output, "cost\t{title}\t{median:.2}\t{p99:.2}\t{p999:.2}")?;
        if metric.is_empty() { Ok(()) } else { writeln!(self.output, "calls\t{metric}\t{calls}") }
    }
}

/// Nanoseconds for a batch, with the clock. The fence keeps the compiler from carrying anything
/// from one call to the next; it costs no instruction.
fn batch(call: &impl Fn(f64)) -> u64 {
    let begin = Instant::now();
    for number in 0..CALLS {
        call(value(number));
        compiler_fence(Ordering::SeqCst);
    }
    u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Values over four orders of magnitude, without a division.
fn value(number: u64) -> f64 {
    f64::from_bits(0.001_f64.to_bits() + ((number % 14) << 52))
}

/// Nanoseconds for looking at the clock twice: the median of many.
fn clock_ns() -> f64 {
    let mut taken: Vec<u64> = (0..1001)
        .map(|_| {
            let begin = Instant::now();
            u64::try_from(begin.elapsed().as_nanos()).unwrap_or(0)
        })
        .collect();
    taken.sort_unstable();
    taken[500] as f64
}

/// As a lane's only writer adds: without an instruction for several.
fn add_plainly(word: &AtomicU64, amount: u64) {
    word.store(word.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

fn four_stores(value: f64) {
    // Even, and below 8,192.
    let at = (CURSOR.load(Ordering::Relaxed) & 8190) as usize;
    RING[at + 1].store(value.to_bits(), Ordering::Relaxed);
    RING[at].store(1, Ordering::Relaxed);
    add_plainly(&TAIL, 1);
    CURSOR.store(at as u64 + 2, Ordering::Relaxed);
}

fn register() -> Result<(), RegisterErrors> {
    ringmeter::register!(HANDLE, LANE, FLOAT, GAUGE, HISTOGRAM, SUMMARY, BY_LABELS, TIMES_BY_LABELS)
}

fn run(situation: Situation, seconds: f64) -> io::Result<()> {
    const KINDS: u32 = 12;
    let producer = Producer::global();
    if let Err(errors) = register() {
        return Err(io::Error::other(format!("cannot register: {errors}")));
    }
    let Status::Shared { .. } = producer.status() else {
        let status = producer.status();
        return Err(io::Error::other(format!(
            "nothing is shared, so no agent can read: {status:?}"
        )));
    };
    let time = Duration::from_secs_f64(seconds) / KINDS;
    let clock_ns = clock_ns();
    let mut bench = Bench { situation, time, clock_ns, output: io::stdout() };
    if cfg!(debug_assertions) {
        let note = "This is a debug build: what ships takes a tenth of it (build with --release).";
        writeln!(bench.output, "note\t{note}")?;
    }
    let lane = producer.lane();
    let [region, method] = black_box(["eu-1", "GET"]);
    bench.measure("counter", "cost_counter_total", |_| HANDLE.inc())?;
    bench.measure("counter, by lane handle", "cost_lane_total", |_| lane.inc(&LANE))?;
    bench.measure("counter, adding a float", "cost_float_total", |_| FLOAT.inc_by_f64(1.0))?;
    bench.measure("counter, two labels looked up", "cost_labels_total", |_| {
        BY_LABELS.inc(&[region, method]);
    })?;
    bench.measure("gauge, set", "", |value| GAUGE.set(value))?;
    bench.measure("gauge, add", "", |value| GAUGE.add(value))?;
    bench.measure("histogram", "cost_histogram_seconds_count", |value| HISTOGRAM.observe(value))?;
    bench.measure("summary", "cost_summary_seconds_count", |value| SUMMARY.observe(value))?;
    bench.measure("histogram, two labels looked up", "cost_labels_seconds_count", |value| {
        TIMES_BY_LABELS.observe(&[region, method], value);
    })?;
    bench.measure("comparison: an atomic addition", "", |_| {
        ATOMIC.fetch_add(1, Ordering::Relaxed);
    })?;
    bench.measure("comparison: a plain addition", "", |_| add_plainly(&PLAIN, 1))?;
    bench.measure("comparison: four stores of a record", "", four_stores)
}

#[expect(clippy::print_stderr, reason = "the tool that runs it shows what it writes")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match arguments.as_slice() {
        [seconds, situation] => seconds.parse::<f64>().ok().zip(match situation.as_str() {
            "live" => Some(Situation::Live),
            "alone" => Some(Situation::Alone),
            _ => None,
        }),
        _ => None,
    };
    let Some((seconds, situation)) = parsed.filter(|(seconds, _)| (0.1..3600.0).contains(seconds))
    else {
        eprintln!("usage: record_cost SECONDS live|alone (`ringmeter bench` runs it)");
        return ExitCode::from(64);
    };
    match run(situation, seconds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("record_cost: {error}");
            ExitCode::FAILURE
        }
    }
}
