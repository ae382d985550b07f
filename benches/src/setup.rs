//! What every row is made with: places, the producer, and what a subject looks like.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ringmeter::Producer;
use ringmeter_layout::lane::CAPACITY_DEFAULT_RECORDS;

use crate::error::{Failure, Outcome};
use crate::measure::{Plan, Stretches, Subject};
use crate::scratch::Scratch;
use crate::stand_in::{StandIn, Total};

/// How much of the suite is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What has a goal, in less than a minute.
    Quick,
    /// Everything, within a quarter of an hour.
    Full,
}

impl Extent {
    /// One of the two.
    #[must_use]
    pub fn pick<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

/// What the rows are made with.
pub struct Setup {
    /// Where segments live.
    pub scratch: Scratch,
    /// The process-wide producer, drained by the stand-in.
    pub producer: Producer,
    /// Drains it.
    pub stand_in: Arc<StandIn>,
    /// The agent's binary, if it is known.
    pub agent: Option<PathBuf>,
    /// How much is measured.
    pub extent: Extent,
    /// Rounds per row.
    pub rounds: usize,
    /// Random numbers for data start here.
    pub seed: u64,
}

/// Records that a stretch makes: the lane starts each stretch with at least that much room.
pub const HALF_A_LANE: u64 = CAPACITY_DEFAULT_RECORDS as u64 / 2;

impl Setup {
    /// Makes the process-wide producer and its stand-in agent.
    ///
    /// # Errors
    /// When there is no memory-backed directory to be had.
    pub fn new(agent: Option<&Path>, extent: Extent, rounds: usize, seed: u64) -> Outcome<Self> {
        let scratch = Scratch::new()?;
        let directory = scratch.directory("drained")?;
        let builder = Producer::builder().directory(&directory).service("bench");
        let producer = builder.install_global();
        let stand_in = Arc::new(StandIn::new(&producer, &directory, true)?);
        let agent = agent.map(Path::to_owned);
        Ok(Self { scratch, producer, stand_in, agent, extent, rounds, seed })
    }

    /// The agent's binary.
    ///
    /// # Errors
    /// When it is not known.
    pub fn agent_binary(&self) -> Outcome<&Path> {
        self.agent.as_deref().ok_or_else(|| Failure::new("no agent binary"))
    }

    /// So long, or so much longer in a full run.
    #[must_use]
    pub fn seconds(&self, quick: f64, full: f64) -> Duration {
        Duration::from_secs_f64(self.extent.pick(quick, full))
    }

    /// Dense calls by so many threads, in stretches of half a lane.
    #[must_use]
    pub const fn dense(&self, threads: usize) -> Plan {
        Plan { threads, rounds: self.rounds, stretches: 32, calls: HALF_A_LANE }
    }

    /// A subject that records into the drained producer.
    pub fn ours(
        &self,
        metric: &'static str,
        calls: impl Fn(usize, u64) + Send + Sync + 'static,
    ) -> Subject {
        let shown = Arc::clone(&self.stand_in);
        Subject {
            name: "ringmeter".to_owned(),
            calls: Box::new(calls),
            pause: self.pause(),
            total: Box::new(move || shown.total(metric)),
            expected: Box::new(one_per_call),
            parks: false,
        }
    }

    /// Another crate's subject. It gets the same pause, so that both sides find the caches alike.
    pub fn peer(
        &self,
        name: &str,
        calls: impl Fn(usize, u64) + Send + Sync + 'static,
        total: impl Fn() -> Total + Send + Sync + 'static,
    ) -> Subject {
        Subject {
            name: name.to_owned(),
            calls: Box::new(calls),
            pause: self.pause(),
            total: Box::new(move || Ok(total())),
            expected: Box::new(one_per_call),
            parks: false,
        }
    }

    /// Counts what the drained lanes had no room for.
    #[must_use]
    pub fn spilled(&self) -> Option<Box<dyn Fn() -> Outcome<u64>>> {
        let stand_in = Arc::clone(&self.stand_in);
        Some(Box::new(move || stand_in.spilled()))
    }

    /// Takes what is in this thread's lane.
    #[must_use]
    pub fn pause(&self) -> Box<dyn Fn() -> Outcome<()> + Send + Sync> {
        let stand_in = Arc::clone(&self.stand_in);
        Box::new(move || stand_in.drain_own())
    }
}

/// Every call adds one.
#[must_use]
pub fn one_per_call(before: Total, stretches: Stretches) -> Total {
    let calls = stretches.total_calls() as f64;
    Total { count: before.count + calls, sum: before.sum + calls }
}

/// A total whose sum is its count.
#[must_use]
pub const fn count(value: f64) -> Total {
    Total { count: value, sum: value }
}
