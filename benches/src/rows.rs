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

use crate::entry::{Entry, long, quick};
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
    long("counter-2-different", counter::two_threads_two_metrics),
    long("counter-lane", counter::by_lane),
    long("counter-macro", counter::by_macro),
    long("counter-context-1", context::counter_one_thread),
    long("counter-context-2", context::counter_two_threads),
    quick("histogram-1", histogram::one_thread),
    quick("histogram-2", histogram::two_threads),
    long("histogram-2-different", histogram::two_threads_two_metrics),
    long("histogram-context-1", context::histogram_one_thread),
    long("histogram-context-2", context::histogram_two_threads),
    long("summary-1", histogram::summary),
    long("gauge-set", gauge::set),
    long("gauge-add", gauge::add),
    quick("lookup-1", lookup::one_thread),
    long("lookup-2", lookup::two_threads),
    long("lookup-2-different", lookup::two_threads_two_series),
    quick("live-burst", live::burst),
    quick("full-1", full::one_thread),
    quick("full-2", full::two_threads),
    quick("full-histogram-1", full::histogram),
    quick("full-histogram-2", full::histogram_two_threads),
    long("absent-1", full::absent_one_thread),
    long("absent-histogram-1", full::absent_histogram),
    quick("statsd", statsd::buffered),
    long("statsd-unbuffered", statsd::unbuffered),
    long("queue", queue::pushes),
    long("registration", registration::new_labels),
    quick("render", render::next_page),
    long("render-first", render::first_page),
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
