//! One directory with its recorders, in which one agent after the other lives and is killed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::crew::Crew;
use super::watch::Watch;
use super::{Outcome, Plan};
use crate::agent::Agent;
use crate::directory::Directory;
use crate::exposition::Scrape;
use crate::random::Random;

/// Lives of agents between two moments at which all recorders pause and every total is exact.
const LIVES: u32 = 15;
/// Checks until it begins anew in another directory.
const CHECKS: u32 = 4;

/// What all arenas share.
#[derive(Debug, Default)]
pub struct Shared {
    /// They are to end, because there was enough of everything or something is wrong.
    pub is_stopped: AtomicBool,
    /// Kills of agents.
    pub agent_kills: AtomicU64,
    /// Kills of recorders.
    pub producer_kills: AtomicU64,
}

/// A directory, and what lives in it.
pub(super) struct Arena<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    address: SocketAddr,
    directory: Directory,
    crew: Arc<Crew>,
    watch: Watch,
    random: Random,
}

impl<'a> Arena<'a> {
    /// Makes a directory with recorders that record.
    #[must_use]
    pub(super) fn new(plan: &'a Plan, shared: &'a Shared, address: SocketAddr, seed: u64) -> Self {
        let directory = Directory::new();
        let mut random = Random::new(seed);
        let crew = Arc::new(Crew::new(directory.path()));
        crew.fill(&mut random);
        let watch = Watch::start(address, &crew);
        Self { plan, shared, address, directory, crew, watch, random }
    }

    /// Kills until there is enough of it, checks, and says what was seen.
    #[must_use]
    pub(super) fn run(mut self) -> Outcome {
        let mut outcome = Outcome::default();
        for _ in 0..CHECKS {
            for _ in 0..LIVES {
                if self.is_over(&outcome) {
                    break;
                }
                self.one_life(&mut outcome);
            }
            self.check(&mut outcome);
            if self.is_over(&outcome) {
                break;
            }
        }
        outcome.records = self.crew.range().calls;
        let seen = self.watch.finish();
        outcome.scrapes = seen.scrapes;
        outcome.late = seen.late;
        outcome.decreases = seen.decreases;
        outcome.doubled = outcome.doubled.max(seen.doubled);
        outcome.problems.extend(seen.problems);
        outcome
    }

    fn is_over(&self, outcome: &Outcome) -> bool {
        let is_enough = self.plan.is_reached(
            self.shared.agent_kills.load(Ordering::Relaxed),
            self.shared.producer_kills.load(Ordering::Relaxed),
        );
        let has_problems = !outcome.problems.is_empty() || self.watch.has_problems();
        if is_enough || has_problems {
            self.shared.is_stopped.store(true, Ordering::Relaxed);
        }
        self.shared.is_stopped.load(Ordering::Relaxed)
    }

    fn agent(&self) -> Agent {
        let Plan { agent, variables, .. } = self.plan;
        Agent::spawn_at(agent, self.directory.path(), variables, self.address)
    }

    fn nap(&mut self, most_us: usize) {
        std::thread::sleep(Duration::from_micros(self.random.below(most_us) as u64));
    }

    /// An agent lives for a while, in which recorders die, and is killed.
    fn one_life(&mut self, outcome: &mut Outcome) {
        let mut agent = self.agent();
        // Some are killed before they are ready, most soon after that, and some live so long that
        // they see for themselves that a process ends.
        let (is_awaited, life_us) = match self.random.below(20) {
            0..=4 => (false, 8_000),
            5..=14 => (true, 15_000),
            15..=18 => (true, 60_000),
            _ => (true, 600_000),
        };
        if is_awaited && !wait_until_ready(&agent) {
            outcome.problems.push("an agent was not ready within 20 s".to_owned());
        }
        if self.random.below(8) == 0 {
            self.crew.let_in();
        }
        for _ in 0..=life_us / 60_000 {
            self.nap(life_us / (1 + life_us / 60_000));
            self.kill_recorder(outcome);
        }
        match self.random.below(8) {
            0 => {
                agent.process().signal(Signal::SIGSTOP);
                self.nap(30_000);
            }
            1 => {
                agent.process().signal(Signal::SIGSTOP);
                self.nap(30_000);
                agent.process().signal(Signal::SIGCONT);
                self.nap(5_000);
            }
            _ => self.nap(2_000),
        }
        if !agent.process().kill() {
            outcome.problems.push("an agent has ended by itself".to_owned());
        }
        outcome.agent_kills += 1;
        self.shared.agent_kills.fetch_add(1, Ordering::Relaxed);
        if self.random.below(4) == 0 {
            // Nobody drains: lanes fill up.
            self.nap(20_000);
            self.kill_recorder(outcome);
        }
    }

    fn kill_recorder(&mut self, outcome: &mut Outcome) {
        if !self.crew.kill_one(&mut self.random) {
            outcome.problems.push("a recorder has ended by itself".to_owned());
        }
        outcome.producer_kills += 1;
        self.shared.producer_kills.fetch_add(1, Ordering::Relaxed);
        self.crew.fill(&mut self.random);
    }

    /// All recorders pause, an agent takes over, and every total has to be right.
    fn check(&self, outcome: &mut Outcome) {
        let mut agent = self.agent();
        if !wait_until_ready(&agent) {
            outcome.problems.push("an agent was not ready within 20 s".to_owned());
            return;
        }
        if let Err(problem) = self.crew.pause() {
            outcome.problems.push(problem);
            return;
        }
        outcome.checks += 1;
        let range = self.crew.range();
        let begin = Instant::now();
        loop {
            let scrape = agent.scrape();
            let deviation = range.deviation(&scrape);
            let mut problems = deviation.problems;
            problems.extend(self.crew.wrong_gauges(&scrape));
            problems.extend(told_by_agent(&scrape));
            let is_final = deviation.doubled > 0 || begin.elapsed() > self.plan.patience;
            if problems.is_empty() || is_final {
                outcome.lost += deviation.lost;
                outcome.doubled += deviation.doubled;
                outcome.spilled = scrape.value("ringmeter_records_spilled_total");
                outcome.problems.extend(problems);
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.crew.resume();
        if !agent.process().kill() {
            outcome.problems.push("an agent has ended by itself".to_owned());
        }
        outcome.agent_kills += 1;
        self.shared.agent_kills.fetch_add(1, Ordering::Relaxed);
    }
}

fn wait_until_ready(agent: &Agent) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(20) {
        if agent.try_get("/-/ready").is_some_and(|answer| answer.status == 200) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// What no kill may make the agent say.
fn told_by_agent(scrape: &Scrape) -> Vec<String> {
    let never = [
        "ringmeter_records_dropped_total",
        "ringmeter_records_rejected_total",
        "ringmeter_ledger_set_aside_total",
        "ringmeter_lanes_rebased_total",
        "ringmeter_segments_baselined_total",
        "ringmeter_segments_quarantined",
    ];
    let told = |name: &&str| match scrape.of(name).next() {
        // A name that is not there would say nothing for ever.
        None => Some(format!("{name} is not told")),
        Some(_) if scrape.sum(name) > 0.0 => Some(format!("{name} is {}", scrape.sum(name))),
        Some(_) => None,
    };
    never.iter().filter_map(told).collect()
}
