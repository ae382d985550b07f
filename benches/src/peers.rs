//! The crates that an application would use instead, each as subjects of the same calls.
//!
//! A *peer* is thread-safe and can be scraped at any time without the caller flushing. What is not
//! is measured too, says so in its name, and is never what a ratio is taken to.

mod cadence;
mod client;
mod hdr;
mod measured;
mod metrics;
mod metriken;
mod otel;
mod prometheus;
mod queue;

use std::sync::Arc;

use crate::error::Outcome;
use crate::measure::Subject;
use crate::setup::Setup;
use crate::work::Values;

pub use self::metrics::Exporter;
pub use cadence::{Link, statsd};
pub use hdr::histogram as hdr_histogram;
pub use otel::Reader;
pub use queue::{array_queue, rtrb};

/// Subjects, and how many of them, from the first on, are peers.
pub struct Peers {
    /// Peers first.
    pub subjects: Vec<Subject>,
    /// How many are peers.
    pub rivals: usize,
}

impl Peers {
    fn new(peers: Vec<Subject>, others: Vec<Subject>) -> Self {
        let rivals = peers.len();
        Self { subjects: peers.into_iter().chain(others).collect(), rivals }
    }
}

/// Counters by a handle that was resolved before: `metrics` of them, threads take turns. With
/// `CONTEXT`, there is work between two calls.
///
/// # Errors
/// When a crate refuses.
pub fn counters<const CONTEXT: bool>(setup: &Setup, metrics: usize) -> Outcome<Peers> {
    let peers = vec![
        prometheus::int_counter::<CONTEXT>(setup, metrics)?,
        prometheus::counter::<CONTEXT>(setup, metrics)?,
        client::counter::<CONTEXT>(setup, metrics),
        measured::counter::<CONTEXT>(setup, metrics),
        metriken::counter::<CONTEXT>(setup, metrics),
        metriken::sharded_counter::<CONTEXT>(setup, metrics),
        self::metrics::counter::<CONTEXT>(setup, metrics),
        otel::counter::<CONTEXT>(setup, metrics),
    ];
    let others = vec![prometheus::local_counter::<CONTEXT>(setup)?];
    Ok(Peers::new(peers, others))
}

/// Histograms with the eleven default bounds, or as near to that as a crate comes.
///
/// # Errors
/// When a crate refuses.
pub fn histograms<const CONTEXT: bool>(
    setup: &Setup,
    values: &Arc<Values>,
    metrics: usize,
) -> Outcome<Peers> {
    let peers = vec![
        prometheus::histogram::<CONTEXT>(setup, values, metrics)?,
        client::histogram::<CONTEXT>(setup, values, metrics),
        measured::histogram::<CONTEXT>(setup, values, metrics),
        otel::histogram::<CONTEXT>(setup, values, metrics),
        self::metrics::histogram::<CONTEXT>(setup, values, metrics)?,
    ];
    // Log-linear buckets of integers without a sum, which Prometheus' histograms have.
    let others = vec![
        metriken::histogram::<CONTEXT>(setup, metrics),
        metriken::sharded_histogram::<CONTEXT>(setup, metrics),
    ];
    Ok(Peers::new(peers, others))
}

/// Summaries: quantiles over a sliding window.
///
/// # Errors
/// When a crate refuses.
pub fn summaries(setup: &Setup, values: &Arc<Values>) -> Outcome<Peers> {
    let peers = vec![self::metrics::summary(setup, values)?];
    Ok(Peers::new(peers, vec![hdr::histogram(setup)?]))
}

/// A gauge that is set.
///
/// # Errors
/// When a crate refuses.
pub fn gauges_set(setup: &Setup, values: &Arc<Values>) -> Outcome<Peers> {
    let peers = vec![
        prometheus::gauge_set(setup, values)?,
        client::gauge_set(setup, values),
        measured::gauge_set(setup, values),
        self::metrics::gauge_set(setup, values),
        otel::gauge_set(setup, values),
    ];
    Ok(Peers::new(peers, Vec::new()))
}

/// A gauge that is added to.
///
/// # Errors
/// When a crate refuses.
pub fn gauges_add(setup: &Setup) -> Outcome<Peers> {
    let peers = vec![
        prometheus::gauge_add(setup)?,
        client::gauge_add(setup),
        measured::gauge_add(setup),
        self::metrics::gauge_add(setup),
        otel::up_down_counter(setup),
    ];
    Ok(Peers::new(peers, Vec::new()))
}

/// Counters by two label values, looked up at every call.
///
/// # Errors
/// When a crate refuses.
pub fn lookups(setup: &Setup, is_shared: bool) -> Outcome<Peers> {
    let peers = vec![
        prometheus::lookup(setup, is_shared)?,
        client::lookup(setup, is_shared),
        otel::attributes(setup, is_shared),
        self::metrics::lookup(setup, is_shared),
    ];
    Ok(Peers::new(peers, vec![measured::lookup(setup, is_shared)]))
}

/// Counters by a macro at the place of the call.
///
/// # Errors
/// When a crate refuses.
pub fn macros(setup: &Setup) -> Outcome<Peers> {
    let peers = vec![
        prometheus::registered(setup)?,
        metriken::by_static(setup),
        self::metrics::by_macro(setup)?,
    ];
    Ok(Peers::new(peers, Vec::new()))
}

/// A counter's new label values: every call registers a series.
///
/// # Errors
/// When a crate refuses.
pub fn registrations(setup: &Setup) -> Outcome<Peers> {
    let peers = vec![
        prometheus::registration(setup)?,
        client::registration(setup),
        self::metrics::registration(setup),
    ];
    Ok(Peers::new(peers, Vec::new()))
}

/// Label values by thread, and their names.
const LABEL_NAMES: [&str; 2] = ["region", "method"];
const LABEL_VALUES: [[&str; 2]; 2] = [["us", "GET"], ["eu", "POST"]];

/// The label values of a thread, which the compiler does not know.
#[inline(always)]
fn labels(thread: usize, is_shared: bool) -> [&'static str; 2] {
    let set = if is_shared { 0 } else { thread % LABEL_VALUES.len() };
    std::hint::black_box(LABEL_VALUES[set])
}

const HELP: &str = "Values of calls.";
