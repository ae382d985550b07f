//! What is measured by itself: the agent, and an application's own latency.

mod first;
mod flat;
mod idle;
mod instructions;
mod memory;
mod pass;
pub mod processes;
mod restart;
mod scrape;
mod steady;
mod tail;
mod threads;

use crate::entry::{Entry, long, quick};
use crate::error::Outcome;
use crate::figure::Figure;
use crate::plot::Plot;
use crate::setup::Setup;
use crate::statistics::Random;

/// What one of them found.
#[derive(Debug, Default)]
pub struct Found {
    /// Values.
    pub figures: Vec<Figure>,
    /// Curves.
    pub plots: Vec<Plot>,
}

impl From<Vec<Figure>> for Found {
    fn from(figures: Vec<Figure>) -> Self {
        Self { figures, plots: Vec::new() }
    }
}

/// Measures some figures.
pub type Maker = fn(&Setup, &mut Random) -> Outcome<Found>;

/// All of them, in the order of the table.
pub const ALL: &[Entry<Maker>] = &[
    quick("instructions", instructions::pinned),
    quick("steady", steady::rate),
    quick("agent-pass", pass::rates),
    quick("agent-idle", idle::idle),
    quick("agent-flat", flat::by_offered_rate),
    quick("app-tail", tail::requests),
    long("first", first::records),
    long("threads", threads::growth),
    long("scrape", scrape::by_series),
    long("memory", memory::growth),
    long("restart", restart::times),
    long("processes", processes::many),
];
