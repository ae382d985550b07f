//! A process that is killed after any instruction of a call has made that call or has not.
//!
//! Each way that a call can take is stepped through, one machine instruction after the other, by
//! as many processes as it has instructions: the first is killed before its first one, the second
//! after it, and so on. Then an agent takes over, and must find each call wholly in or wholly out.
//! `RINGMETER_STEPS_MAX` says how many instructions of each way are tried, at random; `make step`
//! tries all of those that the record path itself has.
#![allow(clippy::expect_used, reason = "tests")]
#![expect(clippy::print_stdout, reason = "what was done belongs to the result")]

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::exposition::Scrape;
use ringmeter_tests::process::{Process, binary, wait_until};
use ringmeter_tests::progress::{FLOAT_STEP, Progress, VALUES};
use ringmeter_tests::random::Random;

/// Instructions tried of each way, unless said otherwise.
const STEPS_MAX: usize = 64;
/// Of ways with more instructions than this,
const LONG_INSTRUCTIONS: usize = 1000;
/// so many are tried, because each takes a tenth of a second.
const LONG_STEPS: usize = 12;
/// Processes that are stepped before an agent looks at them.
const BATCH: usize = 64;
/// More instructions than any way has.
const INSTRUCTIONS_MAX: usize = 100_000;
/// Records of a lane.
const LANE: u64 = 64;
/// Observations with exemplars that fill one: twelve of five slots, and four without exemplars.
const LANE_EXEMPLARS: u64 = 16;

/// A way that a call can take.
#[derive(Clone, Copy)]
struct Way<'a> {
    what: &'a str,
    call: &'static str,
    /// Calls before it, which make it go this way.
    before: u64,
    /// An agent runs all the time and has taken the calls before.
    is_drained: bool,
}

const fn way<'a>(what: &'a str, call: &'static str, before: u64) -> Way<'a> {
    Way { what, call, before, is_drained: false }
}

/// A traced process that has stopped before its call.
struct Stepped {
    process: Process,
    progress: File,
    number: usize,
}

impl Stepped {
    fn start(way: Way<'_>, directory: &Directory, notes: &Directory, number: usize) -> Self {
        let path = notes.path().join(format!("{}-{number}", way.call));
        let progress = Progress::create(&path).expect("a progress file");
        let child = Command::new(binary("stepped"))
            .arg(&path)
            .args([way.call, &number.to_string(), &way.before.to_string()])
            .env("RINGMETER_DIR", directory.path())
            .env("RINGMETER_SERVICE", "stepped")
            .stdin(Stdio::null())
            .spawn()
            .expect("start a process to step through");
        let stepped = Self { process: child.into(), progress, number };
        assert_eq!(stepped.wait(), Signal::SIGSTOP);
        stepped
    }

    fn id(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.id()).expect("ids fit"))
    }

    fn wait(&self) -> Signal {
        match waitpid(self.id(), None).expect("wait for a traced process") {
            WaitStatus::Stopped(_, signal) => signal,
            other => unreachable_status(&other),
        }
    }

    fn step(&self) {
        ptrace::step(self.id(), None).expect("step");
        assert_eq!(self.wait(), Signal::SIGTRAP);
    }

    fn calls(&self) -> (u64, u64) {
        let progress = Progress::read(&self.progress).expect("progress");
        (progress.begun(0)[0], progress.completed(0)[0])
    }

    /// Steps to the call, then through it by so many instructions, or to its end. Says how many
    /// that were.
    fn step_through(&self, most: usize) -> usize {
        while self.calls().0 == 0 {
            self.step();
        }
        for steps in 0..most {
            if self.calls().1 == 1 {
                return steps;
            }
            self.step();
        }
        most
    }
}

fn unreachable_status(status: &WaitStatus) -> Signal {
    assert!(matches!(status, WaitStatus::Stopped(..)), "the traced process: {status:?}");
    Signal::SIGTRAP
}

/// What came of one process.
struct Found {
    steps: usize,
    is_complete: bool,
    /// Whether each of the series' numbers has the call.
    is_in: Vec<bool>,
}

/// The numbers of a series, each divided by what a call adds to it.
fn calls_in(scrape: &Scrape, call: &str, number: usize) -> Vec<f64> {
    let label = format!("number=\"{number}\"");
    let get = |name: &str| scrape.value(&format!("stepped{name}{{{label}}}"));
    let bucket = |le: &str| {
        let names = [format!("{{{label},le=\"{le}\"}}"), format!("{{le=\"{le}\",{label}}}")];
        names.iter().find_map(|labels| scrape.get(&format!("stepped_bucket{labels}")))
    };
    match call {
        "inc_by_f64" => vec![get("_total") / FLOAT_STEP],
        "histogram" | "exemplar" => {
            let (some, all) = (bucket("1.0"), bucket("+Inf"));
            assert_eq!(all, Some(get("_count")), "the count is the sum of the buckets");
            assert_eq!(some, all, "{}", scrape.value("stepped_count"));
            vec![get("_count"), get("_sum") / VALUES[1]]
        }
        "summary" => vec![get("_count"), get("_sum") / VALUES[1]],
        "gauge_set" | "gauge_add" => vec![get("")],
        _ => vec![get("_total")],
    }
}

fn report(way: Way<'_>, instructions: usize, found: &[Found]) {
    let numbers = found.first().map_or(0, |found| found.is_in.len());
    let first_in: Vec<Option<usize>> = (0..numbers)
        .map(|at| found.iter().filter(|found| found.is_in[at]).map(|found| found.steps).min())
        .collect();
    println!(
        "{}: {instructions} instructions, killed after {} of them, in from {first_in:?} on",
        way.what,
        found.len()
    );
}

/// Steps through all of a way, or as much of it as is to be tried.
fn try_way(way: Way<'_>, random: &mut Random) {
    let notes = Directory::new();
    let instructions = {
        let directory = Directory::new();
        let agent = way.is_drained.then(|| Agent::start(directory.path()));
        let probe = Stepped::start(way, &directory, &notes, 1_000_000);
        agent.iter().for_each(|agent| wait_until_drained(way, agent, 1));
        let instructions = probe.step_through(INSTRUCTIONS_MAX);
        assert!((2..INSTRUCTIONS_MAX).contains(&instructions), "{}: {instructions}", way.what);
        instructions
    };
    let written = std::env::var("RINGMETER_STEPS_MAX").ok().and_then(|text| text.parse().ok());
    let is_long = instructions > LONG_INSTRUCTIONS;
    let most = if is_long { LONG_STEPS } else { written.unwrap_or(STEPS_MAX).max(3) };
    // Before the first one and after the last one always, others at random from equal parts. The
    // number of instructions may differ a little from one process to the other.
    let parts = (most - 2).min(instructions);
    let inner = (0..parts).map(|part| {
        let (from, to) = (part * instructions / parts, (part + 1) * instructions / parts);
        1 + from + random.below(to - from)
    });
    let chosen: Vec<usize> = [0].into_iter().chain(inner).chain([INSTRUCTIONS_MAX]).collect();
    let found: Vec<Found> =
        chosen.chunks(BATCH).flat_map(|batch| try_batch(way, &notes, batch)).collect();
    report(way, instructions, &found);
    for Found { steps, is_complete, is_in } in &found {
        let is_all = is_in.iter().all(|is_in| *is_in);
        let is_any = is_in.iter().any(|is_in| *is_in);
        assert!(is_all || !is_complete, "{}: lost after {steps}: {is_in:?}", way.what);
        // Only where the lane is full, sum and buckets are words of their own.
        let filling = if way.call == "exemplar" { LANE_EXEMPLARS } else { LANE };
        let is_full = way.before >= filling && !way.is_drained;
        assert!(is_all == is_any || is_full, "{}: torn after {steps}: {is_in:?}", way.what);
        assert!(*steps > 0 || !is_any, "{}: in before it began: {is_in:?}", way.what);
    }
    assert!(found.iter().any(|found| found.is_complete), "{}: no call was completed", way.what);
}

fn wait_until_drained(way: Way<'_>, agent: &Agent, processes: usize) {
    let step = if way.call == "inc_by_f64" { FLOAT_STEP } else { 1.0 };
    let expected = way.before as f64 * step * processes as f64;
    wait_until("the agent has taken what came before", Duration::from_secs(20), || {
        // What a scrape shows is acked before it is answered.
        let scrape = agent.scrape();
        scrape.sum("stepped_total") + scrape.sum("stepped_count") >= expected
    });
}

fn try_batch(way: Way<'_>, notes: &Directory, steps: &[usize]) -> Vec<Found> {
    let directory = Directory::new();
    let running = way.is_drained.then(|| Agent::start(directory.path()));
    let mut all: Vec<(usize, Stepped)> = steps
        .iter()
        .map(|steps| (*steps, Stepped::start(way, &directory, notes, *steps)))
        .collect();
    running.iter().for_each(|agent| wait_until_drained(way, agent, all.len()));
    for (steps, stepped) in &mut all {
        *steps = stepped.step_through(*steps);
    }
    let is_gauge = way.call.starts_with("gauge");
    let kill = |all: &mut Vec<(usize, Stepped)>| {
        all.iter_mut().for_each(|(_, stepped)| assert!(stepped.process.kill()));
    };
    // A gauge leaves with its process: it is looked at while that stands still.
    if !is_gauge {
        kill(&mut all);
    }
    let agent = running.unwrap_or_else(|| Agent::start(directory.path()));
    let scrape = agent.scrape();
    assert_eq!(scrape.lost(), 0.0);
    let half = "ringmeter_exemplars_dropped_total{reason=\"malformed\"}";
    assert_eq!(scrape.get(half), Some(0.0), "an exemplar is there as a whole");
    let found = all.iter().map(|(steps, stepped)| {
        let numbers = calls_in(&scrape, way.call, stepped.number);
        let is_in = numbers.iter().map(|calls| {
            let more = calls - way.before as f64;
            assert!(more == 0.0 || more == 1.0, "{} after {steps}: {more} calls", way.what);
            more == 1.0
        });
        let is_complete = stepped.calls().1 == 1;
        Found { steps: *steps, is_complete, is_in: is_in.collect() }
    });
    let found = found.collect();
    if is_gauge {
        kill(&mut all);
        wait_until("gauges leave with their processes", Duration::from_secs(20), || {
            agent.scrape().of("stepped").count() == 0
        });
    }
    found
}

#[test]
fn a_call_is_in_or_out_wherever_it_is_killed_while_there_is_room_in_the_lane() {
    let mut random = Random::seeded("stepping");
    for way in [
        way("counter", "inc", 1),
        way("counter without a cell in lanes", "inc_recorded", 1),
        way("counter, float", "inc_by_f64", 1),
        way("counter by label", "with", 1),
        way("histogram", "histogram", 1),
        way("histogram with an exemplar", "exemplar", 1),
        way("counter with an exemplar", "exemplar_counter", 1),
        way("summary", "summary", 1),
        way("gauge, set", "gauge_set", 1),
        way("gauge, add", "gauge_add", 1),
    ] {
        try_way(way, &mut random);
    }
}

#[test]
fn a_call_is_in_or_out_wherever_it_is_killed_while_the_lane_is_full() {
    let mut random = Random::seeded("stepping");
    for way in [
        way("counter", "inc", LANE + 1),
        way("counter without a cell in lanes, lane full", "inc_recorded", LANE + 1),
        way("counter, float, lane full", "inc_by_f64", LANE + 1),
        way("histogram, lane full, ack asked for", "histogram", LANE),
        way("histogram, lane full", "histogram", LANE + 1),
        // An exemplar takes five slots: after twelve of them there are four left, ...
        way("exemplar that has no room", "exemplar", 12),
        // ... and one that is given up leaves its event, until the lane is full.
        way("exemplar, lane full", "exemplar", 20),
        way("counter with an exemplar, lane full", "exemplar_counter", 20),
        way("summary, lane full", "summary", LANE + 1),
        way("counter for signal handlers", "signal_safe", 1),
    ] {
        try_way(way, &mut random);
    }
}

#[test]
fn a_call_is_in_or_out_wherever_it_is_killed_at_the_turns_of_a_lane() {
    let mut random = Random::seeded("stepping");
    for call in ["inc", "inc_recorded", "histogram"] {
        try_way(way(&format!("{call}, first of a thread"), call, 0), &mut random);
    }
    for call in ["inc_recorded", "inc_by_f64", "histogram"] {
        let what = format!("{call}, lane full and acked");
        try_way(Way { is_drained: true, ..way(&what, call, LANE) }, &mut random);
    }
}
