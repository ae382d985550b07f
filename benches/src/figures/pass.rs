//! The agent's whole pass on one core, in this process: read, decode, aggregate, commit to the
//! ledger, acknowledge.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Instant;

use ringmeter::{Counter, Histogram, Summary};
use ringmeter_agent::attach::Files;
use ringmeter_agent::discover::Watcher;
use ringmeter_agent::expose::text;
use ringmeter_agent::ledger::Place;
use ringmeter_agent::limits::Limits;
use ringmeter_agent::pipeline::{Pipeline, Scope};

use super::Found;
use crate::error::{Failure, Outcome};
use crate::figure::Figure;
use crate::measure::{CPU_SHARE_MIN, cpu_time};
use crate::offer::Offer;
use crate::setup::Setup;
use crate::statistics::{Goal, Random};

/// Threads that fill a lane each: the default most of a process.
const LANES: usize = 64;
/// Records that each makes before a pass: nearly a lane.
const RECORDS: usize = 4000;
/// Records whose series are drawn at random; then they repeat.
const DRAWN: usize = 1 << 14;

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kinds {
    Counters,
    Histograms,
    Summaries,
    /// Of 100 records 75 are counts, 19 go to histograms and 6 to summaries.
    Mixed,
}

impl Kinds {
    const fn name(self) -> &'static str {
        match self {
            Self::Counters => "counters",
            Self::Histograms => "histograms",
            Self::Summaries => "summaries",
            Self::Mixed => "mixed",
        }
    }

    /// Shares of counters, histograms and summaries, in hundredths.
    const fn shares(self) -> [usize; 3] {
        match self {
            Self::Counters => [100, 0, 0],
            Self::Histograms => [0, 100, 0],
            Self::Summaries => [0, 0, 100],
            Self::Mixed => [75, 19, 6],
        }
    }
}

/// Something to record.
enum Record {
    Count(Counter),
    Observe(Histogram, f64),
    Summarise(Summary, f64),
}

impl Record {
    fn make(&self) {
        match self {
            Self::Count(counter) => counter.inc(),
            Self::Observe(histogram, value) => histogram.observe(*value),
            Self::Summarise(summary, value) => summary.observe(*value),
        }
    }
}

/// Records of so many series, in a random order.
fn records(offer: &Offer, kinds: Kinds, series: usize, seed: u64) -> Outcome<Vec<Record>> {
    let mut random = Random::new(seed);
    let counts = kinds.shares().map(|share| (series * share).div_ceil(100));
    let counters = offer.counters("bench_pass_total", counts[0])?;
    let histograms = offer.histograms("bench_pass_seconds", counts[1])?;
    let summaries = offer.summaries("bench_pass_size", counts[2])?;
    let [to_counters, to_histograms, _] = kinds.shares();
    Ok((0..DRAWN)
        .map(|_| {
            let value = (1 + random.below(1 << 14)) as f64 / 1024.0;
            match random.below(100) {
                share if share < to_counters => {
                    Record::Count(counters[random.below(counters.len())].clone())
                }
                share if share < to_counters + to_histograms => {
                    Record::Observe(histograms[random.below(histograms.len())].clone(), value)
                }
                _ => Record::Summarise(summaries[random.below(summaries.len())].clone(), value),
            }
        })
        .collect())
}

/// An agent without threads, and without an address.
fn pipeline(directory: &Path) -> Outcome<(Pipeline, Watcher)> {
    let agent = directory.join("agent");
    std::fs::create_dir_all(&agent)?;
    let segments = directory.join("segments");
    let limits = Limits::default();
    let watcher = Watcher::new(&segments, limits.directory_entries_max);
    let files = Files::new(segments, agent.clone());
    let pipeline = Pipeline::open(files, &Place::new(agent.join("ledger")), limits, 0)?;
    Ok((pipeline, watcher))
}

/// Passes over full lanes.
struct Passes {
    per_second: Vec<f64>,
    disturbed: usize,
}

fn measure(setup: &Setup, kinds: Kinds, series: usize, rounds: usize) -> Outcome<Passes> {
    let name = format!("pass-{}-{series}", kinds.name());
    let directory = setup.scratch.directory(&name)?;
    let offer = Offer::new(&directory, 110_000, 0)?;
    let records = records(&offer, kinds, series, setup.seed)?;
    let (mut pipeline, mut watcher) = pipeline(&directory)?;
    let begin = Instant::now();
    let clock = || u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    pipeline.reconcile(&watcher.list(clock), clock());
    let (start, done) = (Barrier::new(LANES + 1), Barrier::new(LANES + 1));
    let (lanes, is_over) = (Mutex::new(()), AtomicBool::new(false));
    let made = (rounds + 1) * LANES * RECORDS;
    let mut passes = Passes { per_second: Vec::new(), disturbed: 0 };
    let mut samples = Vec::new();
    thread::scope(|scope| {
        for lane in 0..LANES {
            let (records, start, done, is_over) = (&records, &start, &done, &is_over);
            let (lanes, offer) = (&lanes, &offer);
            scope.spawn(move || {
                // One after the other: a record never waits for a lane, and would spill.
                let alone = lanes.lock();
                offer.producer.prepare_thread();
                drop(alone);
                let mut own = records.iter().cycle().skip(lane * DRAWN / LANES);
                loop {
                    start.wait();
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    own.by_ref().take(RECORDS).for_each(|record| record.make());
                    done.wait();
                }
            });
        }
        for round in 0..=rounds {
            start.wait();
            done.wait();
            let (wall, cpu) = (Instant::now(), cpu_time());
            pipeline.pass(Scope::All, &clock);
            let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_time().saturating_sub(cpu));
            let mut is_whole = true;
            while !offer.reader.is_acknowledged().unwrap_or(true) {
                is_whole = false;
                pipeline.pass(Scope::All, &clock);
            }
            // The first one learns the definitions; one that needed another is none.
            if round > 0 {
                let per_second = (LANES * RECORDS) as f64 / wall;
                samples.push((per_second, is_whole && cpu.as_secs_f64() / wall >= CPU_SHARE_MIN));
            }
        }
        is_over.store(true, Ordering::Relaxed);
        start.wait();
    });
    check(&mut pipeline, made, clock())?;
    let spilled = offer.reader.spilled()?;
    if spilled > 0 {
        return Err(Failure::new(format!("{spilled} of {made} records were spilled")));
    }
    let quiet: Vec<f64> = samples.iter().filter(|sample| sample.1).map(|sample| sample.0).collect();
    passes.disturbed = samples.len() - quiet.len();
    passes.per_second =
        if quiet.len() >= 30 { quiet } else { samples.iter().map(|sample| sample.0).collect() };
    Ok(passes)
}

/// Every record is in what the agent would show.
fn check(pipeline: &mut Pipeline, made: usize, now_ns: u64) -> Outcome<()> {
    let mut page = Vec::new();
    text::encode(&pipeline.snapshot(now_ns), &mut page);
    let page = String::from_utf8_lossy(&page);
    let names = ["bench_pass_total{", "bench_pass_seconds_count{", "bench_pass_size_count{"];
    let is_count = |line: &&str| names.iter().any(|name| line.starts_with(name));
    let values = page.lines().filter(is_count).filter_map(|line| line.rsplit(' ').next());
    let taken: f64 = values.filter_map(|value| value.parse::<f64>().ok()).sum();
    if taken == made as f64 {
        return Ok(());
    }
    Err(Failure::new(format!("the agent shows {taken} of {made} records")))
}

pub(super) fn rates(setup: &Setup, random: &mut Random) -> Outcome<Found> {
    let mut plan = vec![(Kinds::Mixed, 1000)];
    if setup.extent == crate::setup::Extent::Full {
        for kinds in [Kinds::Counters, Kinds::Histograms, Kinds::Summaries, Kinds::Mixed] {
            plan.extend([1, 100, 1000, 10_000].map(|series| (kinds, series)));
        }
        plan.push((Kinds::Counters, 100_000));
        plan.remove(0);
    }
    let mut figures = Vec::new();
    for (kinds, series) in plan {
        let passes = measure(setup, kinds, series, setup.extent.pick(100, 200))?;
        let millions: Vec<f64> = passes.per_second.iter().map(|rate| rate * 1e-6).collect();
        let name = kinds.name();
        let title = format!("agent's whole pass on one core, {name}, {series} series");
        let id = format!("agent-pass-{name}-{series}");
        let figure = Figure::of(id, title, "M records/s", &millions, random)
            .disturbed(passes.disturbed)
            .noted(format!("{} passes of {} records", millions.len(), LANES * RECORDS));
        let has_goal = kinds == Kinds::Mixed && series == 1000;
        figures.push(if has_goal { figure.wanted(Goal::AtLeast(100.0)) } else { figure });
    }
    Ok(figures.into())
}
