//! The rows of the table.

mod counter;
mod full;
mod gauge;
mod histogram;
mod live;
mod lookup;
mod render;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringmeter::Producer;
use ringmeter_layout::lane::CAPACITY_DEFAULT_RECORDS;

use crate::error::Outcome;
use crate::measure::{Plan, Stretches, Subject};
use crate::row::{Count, Row};
use crate::scratch::Scratch;
use crate::stand_in::{StandIn, Total};

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
    /// Rounds per row.
    pub rounds: usize,
    /// Random numbers for data start here.
    pub seed: u64,
}

impl Setup {
    /// Makes the process-wide producer and its stand-in agent.
    ///
    /// # Errors
    /// When there is no memory-backed directory to be had.
    pub fn new(agent: Option<&Path>, rounds: usize, seed: u64) -> Outcome<Self> {
        let scratch = Scratch::new()?;
        let directory = scratch.directory("drained")?;
        let builder = Producer::builder().directory(&directory).service("bench");
        let producer = builder.install_global();
        let stand_in = Arc::new(StandIn::new(&producer, &directory, true)?);
        let agent = agent.map(Path::to_owned);
        Ok(Self { scratch, producer, stand_in, agent, rounds, seed })
    }

    /// Dense calls by so many threads, in stretches of half a lane.
    const fn dense(&self, threads: usize) -> Plan {
        Plan { threads, rounds: self.rounds, stretches: 32, calls: HALF_A_LANE }
    }

    /// A subject that records into the drained producer.
    fn ours(
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
    fn peer(
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

    fn spilled(&self) -> Option<Count> {
        let stand_in = Arc::clone(&self.stand_in);
        Some(Box::new(move || stand_in.spilled()))
    }

    fn pause(&self) -> Box<dyn Fn() -> Outcome<()> + Send + Sync> {
        let stand_in = Arc::clone(&self.stand_in);
        Box::new(move || stand_in.drain_own())
    }
}

/// Records that a stretch makes: the lane starts each stretch with at least that much room.
const HALF_A_LANE: u64 = CAPACITY_DEFAULT_RECORDS as u64 / 2;

/// Every call adds one.
fn one_per_call(before: Total, stretches: Stretches) -> Total {
    let calls = stretches.total_calls() as f64;
    Total { count: before.count + calls, sum: before.sum + calls }
}

/// A total whose sum is its count.
const fn count(value: f64) -> Total {
    Total { count: value, sum: value }
}

/// A dense loop. Nothing is kept in registers from one call to the next, as in a program that
/// does something else in between; the fence is for the compiler and costs no instruction.
macro_rules! dense {
    ($calls:expr, $call:ident => $body:expr) => {
        for $call in 0..$calls {
            let _ = $body;
            core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
        }
    };
}
use dense;

/// Makes a row.
pub type Maker = fn(&Setup) -> Outcome<Row>;

/// All rows, in the order of the table.
pub const ALL: &[(&str, Maker)] = &[
    ("counter-1", counter::one_thread),
    ("counter-2", counter::two_threads),
    ("counter-2-different", counter::two_threads_two_metrics),
    ("counter-lane", counter::by_lane),
    ("counter-macro", counter::by_macro),
    ("histogram-1", histogram::one_thread),
    ("histogram-2", histogram::two_threads),
    ("lookup-1", lookup::one_thread),
    ("lookup-2", lookup::two_threads),
    ("lookup-2-different", lookup::two_threads_two_series),
    ("gauge-set", gauge::set),
    ("gauge-add", gauge::add),
    ("live-burst", live::burst),
    ("full-1", full::one_thread),
    ("full-2", full::two_threads),
    ("full-histogram-1", full::histogram),
    ("full-histogram-2", full::histogram_two_threads),
    ("render", render::next_page),
    ("render-first", render::first_page),
];
