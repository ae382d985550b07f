//! A supervisor that kills agents and instrumented processes at random, while they record in all
//! kinds, and checks that nothing is lost, doubled or taken back.
//!
//! It runs several arenas at a time: directories with recorders of their own, in which one agent
//! after the other is started and killed. Meanwhile each is scraped a hundred times a second. Now
//! and then all recorders pause, and every total must be exactly what they noted; a call that was
//! in flight when its process was killed may count or not.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::random::Random;

mod arena;
mod crew;
mod expect;
mod watch;

use arena::Arena;
pub use arena::Shared;

/// What to torture, and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The agent's binary.
    pub agent: PathBuf,
    /// Variables of its environment.
    pub variables: Vec<(String, String)>,
    /// What all random numbers come from.
    pub seed: u64,
    /// Directories at a time.
    pub arenas: usize,
    /// It ends after so many kills of agents and as many of recorders,
    pub kills: u64,
    /// or after this time.
    pub limit: Duration,
    /// What is missing, or not gone, so long after all recording has paused is taken to stay so.
    pub patience: Duration,
}

impl Plan {
    fn is_reached(&self, agent_kills: u64, producer_kills: u64) -> bool {
        agent_kills.min(producer_kills) >= self.kills
    }
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Kills of agents.
    pub agent_kills: u64,
    /// Kills of recorders.
    pub producer_kills: u64,
    /// Calls that no total has.
    pub lost: u64,
    /// Calls that some total has twice.
    pub doubled: u64,
    /// Series that a scrape showed with less than the one before, or not at all.
    pub decreases: u64,
    /// Comparisons of every total while nothing was in flight.
    pub checks: u64,
    /// Scrapes.
    pub scrapes: u64,
    /// Scrapes that came before something that was recorded earlier.
    pub late: u64,
    /// Calls of recorders.
    pub records: u64,
    /// Records that went to cells, in the last directory of each arena.
    pub spilled: f64,
    /// How long it took.
    pub duration: Duration,
    /// What was wrong, in words.
    pub problems: Vec<String>,
}

impl Outcome {
    /// Whether something was lost, doubled or taken back.
    #[must_use]
    pub const fn is_caught(&self) -> bool {
        self.lost > 0 || self.doubled > 0 || self.decreases > 0
    }

    fn add(&mut self, other: Self) {
        self.agent_kills += other.agent_kills;
        self.producer_kills += other.producer_kills;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.decreases += other.decreases;
        self.checks += other.checks;
        self.scrapes += other.scrapes;
        self.late += other.late;
        self.records += other.records;
        self.spilled += other.spilled;
        self.problems.extend(other.problems);
    }
}

/// The line that a run ends with, without the seed.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agent_kills, producer_kills, lost, doubled, decreases, duration, .. } = self;
        let seconds = duration.as_secs();
        write!(
            f,
            "torture: agent_kills={agent_kills} producer_kills={producer_kills} lost={lost} \
             doubled={doubled} decreases={decreases} seconds={seconds}"
        )
    }
}

/// Tortures until the plan is fulfilled, something is wrong, or `shared` says to stop.
#[must_use]
pub fn run(plan: &Plan, shared: &Shared) -> Outcome {
    let begin = Instant::now();
    let total = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for number in 0..plan.arenas {
            let total = &total;
            scope.spawn(move || {
                let mut random = Random::new(plan.seed.wrapping_add(number as u64));
                let address = own_address(number);
                while !shared.is_stopped.load(Ordering::Relaxed) {
                    let outcome = Arena::new(plan, shared, address, random.next()).run();
                    total.lock().unwrap_or_else(PoisonError::into_inner).add(outcome);
                }
            });
        }
        while !shared.is_stopped.load(Ordering::Relaxed) {
            if begin.elapsed() >= plan.limit {
                shared.is_stopped.store(true, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut outcome = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome.duration = begin.elapsed();
    outcome
}

/// An address that nobody else takes, so that agents one after the other can have it: outgoing
/// connections have 127.0.0.1 at their end.
#[expect(clippy::expect_used, reason = "a test without a port is no test")]
fn own_address(number: usize) -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    let third = u8::try_from(number % 100).unwrap_or(0);
    let address = Ipv4Addr::new(127, 100 + third, high, low);
    let listener = TcpListener::bind((address, 0)).expect("a free port");
    listener.local_addr().expect("its address")
}
