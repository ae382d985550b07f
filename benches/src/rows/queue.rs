//! A record beside a push into a queue.

use super::{beside, dense_row};
use crate::error::Outcome;
use crate::peers::{self, Peers};
use crate::row::Row;
use crate::setup::Setup;
use crate::work::dense;

const HELP: &str = "Values of calls.";

pub(super) fn pushes(setup: &Setup) -> Outcome<Row> {
    let name = "bench_queue";
    let histogram = setup.producer.histogram((name, HELP))?;
    let ours = setup.ours(name, move |_, calls| {
        dense!(calls, _call => histogram.observe(1.0));
    });
    let queues = vec![peers::rtrb(setup), peers::array_queue(setup)];
    let subjects = beside(ours, Peers { subjects: queues, rivals: 2 });
    let title = "histogram, beside a push of 16 bytes into a queue that nobody empties meanwhile";
    Ok(dense_row(setup, 1, ["queue", title], subjects, None))
}
