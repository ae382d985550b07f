//! Makes so many calls of one kind; see the library.

use core::sync::atomic::{AtomicU64, Ordering, compiler_fence};
use std::hint::{black_box, spin_loop};
use std::process::ExitCode;

use ringmeter::{Counter, Producer};
use ringmeter_instructions::callgrind::{EMPTY, UNKNOWN_CASE_STATUS};

/// Observations after which a default lane, of 4,096 records, is full and known to be: the next
/// 63 do not look at the ack. (Looking is libc's instructions, which are not ours to pin.)
const A_LANE_AND_ONE: u64 = 4097;
const HELP: &str = "Counts calls.";
/// The bits of what is observed. In memory, so that each call meets it as a program would: not
/// known, and not tested before.
static VALUE: AtomicU64 = AtomicU64::new(0x3fd0_0000_0000_0000);

fn value() -> f64 {
    f64::from_bits(VALUE.load(Ordering::Relaxed))
}

type Failure = Box<dyn std::error::Error>;
type Case = fn(&Producer, u64) -> Result<(), Failure>;

/// What `--cases` shows: id, title, and what makes the calls.
const CASES: &[(&str, &str, Case)] = &[
    ("counter", "counter, through the thread", counter),
    ("counter_static", "counter in a static, through the thread", counter_static),
    ("counter_macro", "counter by macro", counter_macro),
    ("counter_lane", "counter by lane handle", counter_lane),
    ("counter_labels", "counter by two label values", counter_labels),
    ("counter_labels_handle", "counter by two label values, with a handle made", labels_handle),
    ("histogram_labels", "histogram by two label values", histogram_labels),
    ("counter_record", "counter without lane cell (a record), through the thread", record),
    ("counter_record_lane", "counter without lane cell (a record), by lane handle", record_lane),
    ("histogram", "histogram, lane with room, through the thread", histogram),
    ("histogram_lane", "histogram, lane with room, by lane handle", histogram_lane),
    ("histogram_full", "histogram, lane full, between two looks at the ack", histogram_full),
    ("gauge_set", "gauge set, through the thread", gauge_set),
];

/// What `--cases` does not show: the loop alone, and a call that is one instruction too long.
const HIDDEN: &[(&str, Case)] = &[(EMPTY, empty), ("counter_planted", counter_planted)];

/// The loop; its name is [`COUNTED_FUNCTION`](ringmeter_instructions::callgrind).
///
/// How often it turns is hidden from the compiler at each turn: nothing is unrolled. And nothing
/// is carried from one call to the next in registers, as in a program that does something else in
/// between; the fence costs no instruction.
#[inline(never)]
fn make_calls(calls: u64, call: impl Fn()) {
    let mut left = calls;
    while black_box(left) > 0 {
        call();
        compiler_fence(Ordering::SeqCst);
        left -= 1;
    }
}

fn empty(_: &Producer, calls: u64) -> Result<(), Failure> {
    make_calls(calls, || {});
    Ok(())
}

fn counter(producer: &Producer, calls: u64) -> Result<(), Failure> {
    let counter = producer.counter(("calls_total", HELP))?;
    counter.inc();
    make_calls(calls, || counter.inc());
    Ok(())
}

/// One instruction more than [`counter`], as if it had crept into the hot path.
fn counter_planted(producer: &Producer, calls: u64) -> Result<(), Failure> {
    let counter = producer.counter(("calls_total", HELP))?;
    counter.inc();
    make_calls(calls, || {
        counter.inc();
        spin_loop();
    });
    Ok(())
}

fn counter_static(_: &Producer, calls: u64) -> Result<(), Failure> {
    static CALLS: Counter = Counter::new("calls_total", HELP);
    CALLS.inc();
    make_calls(calls, || CALLS.inc());
    Ok(())
}

fn counter_macro(_: &Producer, calls: u64) -> Result<(), Failure> {
    let call = || ringmeter::counter!("calls_total", HELP, "kind" => "macro").inc();
    call();
    make_calls(calls, call);
    Ok(())
}

fn counter_lane(producer: &Producer, calls: u64) -> Result<(), Failure> {
    let counter = producer.counter(("calls_total", HELP))?;
    let lane = producer.lane();
    let counter = &counter;
    make_calls(calls, move || lane.inc(counter));
    Ok(())
}

fn counter_labels(producer: &Producer, calls: u64) -> Result<(), Failure> {
    let family = producer.counter_vec(("calls_total", HELP), &["region", "method"])?;
    let (family, [region, method]) = (&family, black_box(["us", "GET"]));
    family.inc(&[region, method]);
    make_calls(calls, move || family.inc(&[region, method]));
    Ok(())
}

fn labels_handle(producer: &Producer, calls: u64) -> Result<(), Failure> {
    let family = producer.counter_vec(("calls_total", HELP), &["region", "method"])?;
    let (family, [region, method]) = (&family, black_box(["us", "GET"]));
    family.with(&[region, method]).inc();
    make_calls(calls, move || family.with(&[region, method]).inc());
    Ok(())
}

fn histogram_labels(producer: &Producer, calls: u64) -> Result<(), Failure> {
    let family = producer.histogram_vec(("wait_seconds", HELP), &["region", "method"])?;
    let (family, [region, method]) = (&family, black_box(["us", "GET"]));
    family.observe(&[region, method], value());
    make_calls(calls, move || family.observe(&[region, method], value()));
    Ok(())
}

/// A counter of a producer without cells in lanes.
fn beyond_the_cells() -> Result<(Producer, Counter), Failure> {
    let directory = std::env::args().nth(3).ok_or("no directory")?;
    let producer = Producer::builder().directory(directory).lane_cells(0).build();
    let counter = producer.counter(("calls_total", HELP))?;
    Ok((producer, counter))
}

fn record(_: &Producer, calls: u64) -> Result<(), Failure> {
    let (_, counter) = beyond_the_cells()?;
    counter.inc();
    make_calls(calls, || counter.inc());
    Ok(())
}

fn record_lane(_: &Producer, calls: u64) -> Result<(), Failure> {
    let (producer, counter) = beyond_the_cells()?;
    let lane = producer.lane();
    lane.inc(&counter);
    let counter = &counter;
    make_calls(calls, move || lane.inc(counter));
    Ok(())
}

fn histogram(producer: &Producer, calls: u64) -> Result<(), Failure> {
    observe(producer, calls, 1)
}

fn histogram_full(producer: &Producer, calls: u64) -> Result<(), Failure> {
    observe(producer, calls, A_LANE_AND_ONE)
}

fn observe(producer: &Producer, calls: u64, before: u64) -> Result<(), Failure> {
    let histogram = producer.histogram(("wait_seconds", HELP))?;
    for _ in 0..before {
        histogram.observe(value());
    }
    make_calls(calls, || histogram.observe(value()));
    Ok(())
}

fn histogram_lane(producer: &Producer, calls: u64) -> Result<(), Failure> {
    let histogram = producer.histogram(("wait_seconds", HELP))?;
    let (histogram, lane) = (&histogram, producer.lane());
    lane.observe(histogram, value());
    make_calls(calls, move || lane.observe(histogram, value()));
    Ok(())
}

fn gauge_set(producer: &Producer, calls: u64) -> Result<(), Failure> {
    let gauge = producer.gauge(("queue_length", HELP))?;
    gauge.set(value());
    make_calls(calls, || gauge.set(value()));
    Ok(())
}

/// `recorder CASE CALLS DIRECTORY`
fn run(case: Case) -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(2);
    let calls = arguments.next().ok_or("no number of calls")?.parse()?;
    let directory = arguments.next().ok_or("no directory")?;
    let producer = Producer::builder().directory(directory).service("recorder").install_global();
    if let ringmeter::Status::Shared { .. } = producer.status() {
        case(&producer, calls)
    } else {
        Err(format!("no segment: {:?}", producer.status()).into())
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is read by the library")]
fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    match wanted.as_str() {
        "--cases" => {
            for (id, title, _) in CASES {
                println!("{id}\t{title}");
            }
            return ExitCode::SUCCESS;
        }
        "--toolchain" => {
            println!("{}\n{}\n{}", env!("BUILT_BY"), env!("BUILT_FOR"), env!("BUILT_WITH"));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let shown = CASES.iter().find(|(id, _, _)| *id == wanted).map(|(_, _, case)| *case);
    let hidden = || HIDDEN.iter().find(|(id, _)| *id == wanted).map(|(_, case)| *case);
    let Some(case) = shown.or_else(hidden) else {
        eprintln!("recorder: no case `{wanted}`; `recorder --cases` shows all");
        return ExitCode::from(UNKNOWN_CASE_STATUS);
    };
    match run(case) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("recorder: {wanted}: {failure}");
            ExitCode::FAILURE
        }
    }
}
