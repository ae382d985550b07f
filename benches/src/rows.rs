//! The rows of the table: ringmeter beside its peers.

mod context;
mod counter;
mod full;
mod gauge;
mod histogram;
mod live;
mod lookup;
pub(crate) mod pages;
mod queue;
mod registration;
mod render;
mod statsd;

use crate::entry::{Entry, full, quick};
use crate::error::Outcome;
use crate::measure::{Plan, Subject};
use crate::peers::Peers;
use crate::row::{Row, Unit};
use crate::setup::Setup;

/// Makes a row.
pub type Maker = fn(&Setup) -> Outcome<Row>;

/// All rows, in the order of the table.
pub const ALL: &[Entry<Maker>] = &[
    quick("counter-1", counter::one_thread),
    quick("counter-2", counter::two_threads),
    full("counter-2-different", counter::two_threads_two_metrics),
    full("counter-lane", counter::by_lane),
    full("counter-macro", counter::by_macro),
    full("counter-context-1", context::counter_one_thread),
    full("counter-context-2", context::counter_two_threads),
    quick("histogram-1", histogram::one_thread),
    quick("histogram-2", histogram::two_threads),
    full("histogram-2-different", histogram::two_threads_two_metrics),
    full("histogram-context-1", context::histogram_one_thread),
    full("histogram-context-2", context::histogram_two_threads),
    full("summary-1", histogram::summary),
    full("gauge-set", gauge::set),
    full("gauge-add", gauge::add),
    quick("lookup-1", lookup::one_thread),
    full("lookup-2", lookup::two_threads),
    full("lookup-2-different", lookup::two_threads_two_series),
    quick("live-burst", live::burst),
    quick("full-1", full::one_thread),
    quick("full-2", full::two_threads),
    quick("full-histogram-1", full::histogram),
    quick("full-histogram-2", full::histogram_two_threads),
    full("absent-1", full::absent_one_thread),
    full("absent-histogram-1", full::absent_histogram),
    quick("statsd", statsd::buffered),
    full("statsd-unbuffered", statsd::unbuffered),
    full("queue", queue::pushes),
    full("registration", registration::new_labels),
    quick("render", render::next_page),
    full("render-first", render::first_page),
];

/// Ours, and the peers.
fn beside(ours: Subject, peers: Peers) -> (Vec<Subject>, usize) {
    let mut subjects = vec![ours];
    subjects.extend(peers.subjects);
    (subjects, peers.rivals)
}

/// A row of dense calls into lanes that have room.
fn dense_row(
    setup: &Setup,
    threads: usize,
    [id, title]: [&'static str; 2],
    (subjects, rivals): (Vec<Subject>, usize),
    goal: Option<f64>,
) -> Row {
    row(setup, setup.dense(threads), [id, title], (subjects, rivals), goal)
}

/// A row by any plan.
fn row(
    setup: &Setup,
    plan: Plan,
    [id, title]: [&'static str; 2],
    (subjects, rivals): (Vec<Subject>, usize),
    goal: Option<f64>,
) -> Row {
    Row {
        id,
        title,
        plan,
        subjects,
        rivals,
        goal,
        unit: Unit::Nanoseconds,
        spilled: setup.spilled(),
        has_tail: false,
    }
}
