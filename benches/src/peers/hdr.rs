//! hdrhistogram: of one thread, and nobody else sees it.

use std::sync::{Arc, Mutex, PoisonError};

use hdrhistogram::Histogram;

use crate::error::{Failure, Outcome};
use crate::measure::Subject;
use crate::setup::{Setup, count};
use crate::work::{Values, dense};

#[inline(always)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 16 s")]
fn microseconds(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}

/// Three significant digits, up to an hour in microseconds.
///
/// # Errors
/// Never: its limits are constant.
pub fn histogram(setup: &Setup) -> Outcome<Subject> {
    let made = Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3);
    let histogram = made.map_err(|error| Failure::new(error.to_string()))?;
    // The lock is taken once a stretch, for the benchmark's sake.
    let histogram = Arc::new(Mutex::new(histogram));
    let (shown, values) = (Arc::clone(&histogram), Values::new(setup.seed));
    let mut subject = setup.peer(
        "hdrhistogram (of one thread, not scrapeable)",
        move |_, calls| {
            let mut histogram = histogram.lock().unwrap_or_else(PoisonError::into_inner);
            dense!(calls, call => histogram.record(microseconds(values.of(call))));
        },
        move || count(shown.lock().unwrap_or_else(PoisonError::into_inner).len() as f64),
    );
    subject.expected = Values::counted();
    Ok(subject)
}
