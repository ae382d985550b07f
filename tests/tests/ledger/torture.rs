//! A supervisor that kills agents and recorders at random and checks the totals.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::exposition::Scrape;
use ringmeter_tests::progress::{self, FLOAT_STEP, HISTOGRAM_VALUE, KINDS, SUMMARY_VALUE};
use ringmeter_tests::random::Random;
use ringmeter_tests::worker::Worker;

use crate::watch::Watch;

/// Recorders that live at a time.
const RECORDERS: usize = 3;

/// What to torture, and for how long.
pub(crate) struct Plan<'a> {
    /// Name of the agent's binary.
    pub(crate) binary: &'a Path,
    /// Its environment.
    pub(crate) variables: &'a [(&'a str, &'a str)],
    /// Ends after so many kills of the agent,
    pub(crate) agent_kills: u32,
    /// or after this time,
    pub(crate) limit: Duration,
    /// or at the first problem that scrapes show.
    pub(crate) stops_early: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) agent_kills: u32,
    pub(crate) recorder_kills: u32,
    pub(crate) scrapes: u64,
    pub(crate) records: u64,
    pub(crate) spilled: f64,
    pub(crate) problems: Vec<String>,
}

struct Recorder {
    worker: Worker,
    progress: PathBuf,
}

struct Torture<'a> {
    plan: &'a Plan<'a>,
    directory: Directory,
    notes: Directory,
    random: Random,
    recorders: Vec<Recorder>,
    /// Progress files of recorders that are dead.
    dead: Vec<PathBuf>,
    started: u32,
}

pub(crate) fn run(plan: &Plan<'_>) -> Outcome {
    let mut torture = Torture {
        plan,
        directory: Directory::new(),
        notes: Directory::new(),
        random: Random::seeded("crash"),
        recorders: Vec::new(),
        dead: Vec::new(),
        started: 0,
    };
    for _ in 0..RECORDERS {
        torture.start_recorder();
    }
    let watch = Watch::start();
    let begin = Instant::now();
    let mut outcome = Outcome::default();
    while outcome.agent_kills < plan.agent_kills && begin.elapsed() < plan.limit {
        if plan.stops_early && watch.has_problems() {
            break;
        }
        torture.one_life(&watch, &mut outcome);
    }
    torture.finish(&watch, &mut outcome);
    let (scrapes, problems) = watch.finish();
    outcome.scrapes = scrapes;
    outcome.problems.extend(problems);
    outcome
}

impl Torture<'_> {
    fn agent(&self) -> Agent {
        Agent::spawn(self.plan.binary, self.directory.path(), self.plan.variables)
    }

    fn start_recorder(&mut self) {
        self.started += 1;
        let progress = self.notes.path().join(format!("progress-{}", self.started));
        std::fs::write(&progress, vec![0; progress::WORDS * 8]).expect("a progress file");
        let capacity = 64 << self.random.below(7);
        let arguments = format!(
            "--progress {} --threads {} --lane-capacity {capacity} --lanes {} --seed {}",
            progress.display(),
            1 + self.random.below(3),
            1 + self.random.below(3),
            self.random.next() % 1_000_000,
        );
        let worker = Worker::start_named("recorder", self.directory.path(), &arguments);
        self.recorders.push(Recorder { worker, progress });
    }

    /// An agent lives for a while, and is killed.
    fn one_life(&mut self, watch: &Watch, outcome: &mut Outcome) {
        let mut agent = self.agent();
        watch.follow(agent.address());
        // Some are killed before they are ready.
        if self.random.below(4) > 0 {
            agent.wait_until_ready();
        }
        std::thread::sleep(Duration::from_micros(self.random.below(250_000) as u64));
        if self.random.below(6) == 0 {
            let mut victim = self.recorders.swap_remove(self.random.below(RECORDERS));
            victim.worker.process().signal(Signal::SIGKILL);
            victim.worker.process().wait(Duration::from_secs(5));
            self.dead.push(victim.progress);
            self.start_recorder();
            outcome.recorder_kills += 1;
            std::thread::sleep(Duration::from_micros(self.random.below(400_000) as u64));
        }
        agent.process().signal(Signal::SIGKILL);
        agent.process().wait(Duration::from_secs(5));
        outcome.agent_kills += 1;
    }

    /// Stops recording and compares the totals with the calls.
    fn finish(&mut self, watch: &Watch, outcome: &mut Outcome) {
        let agent = self.agent();
        watch.follow(agent.address());
        agent.wait_until_ready();
        for recorder in &mut self.recorders {
            recorder.worker.send("stop");
            recorder.worker.wait_until_done();
        }
        let living = self.recorders.iter().map(|recorder| &recorder.progress);
        let mut calls = [(0, 0); KINDS.len()];
        for path in living.chain(&self.dead) {
            for (sum, own) in calls.iter_mut().zip(progress::read(path)) {
                *sum = (sum.0 + own.0, sum.1 + own.1);
            }
        }
        outcome.records = calls.iter().map(|(completed, _)| completed).sum();
        let scrape = agent.scrape();
        outcome.spilled = scrape.value("ringmeter_records_spilled_total");
        outcome.problems.extend(compare(&scrape, &calls));
    }
}

/// Totals that are none of those that the calls allow.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn compare(scrape: &Scrape, calls: &[(u64, u64); KINDS.len()]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |what: &str, found: f64, kind: usize, step: f64| {
        let (completed, begun) = calls[kind];
        let (low, high) = (completed as f64 * step, begun as f64 * step);
        if found < low || found > high {
            problems.push(format!("{what}: {found}, but calls make {low} to {high}"));
        }
    };
    check("integer", scrape.value("crash_integer_total"), 0, 1.0);
    check("float", scrape.value("crash_float_total"), 1, FLOAT_STEP);
    check("histogram count", scrape.value("crash_histogram_count"), 2, 1.0);
    check("histogram bucket", scrape.value("crash_histogram_bucket{le=\"1.0\"}"), 2, 1.0);
    check("histogram sum", scrape.value("crash_histogram_sum"), 2, HISTOGRAM_VALUE);
    check("summary count", scrape.value("crash_summary_count"), 3, 1.0);
    check("summary sum", scrape.value("crash_summary_sum"), 3, SUMMARY_VALUE);
    check("labelled", scrape.sum("crash_labelled_total"), 4, 1.0);
    if scrape.lost() > 0.0 {
        problems.push(format!("{} records dropped or rejected", scrape.lost()));
    }
    let set_aside = scrape.sum("ringmeter_ledger_set_aside_total");
    if set_aside > 0.0 {
        problems.push(format!("{set_aside} ledgers set aside"));
    }
    problems
}
