//! How far a recorder got, in a file that outlives it: for each of its threads and kinds of
//! record, how many calls it began and how many it completed.
//!
//! A call that was in flight when its process was killed may count or not, so a total is right
//! from the completed to the begun calls, and exactly right where no call was in flight.

use std::path::Path;

/// Threads of a recorder, at most.
pub const THREADS_MAX: usize = 4;
/// What a recorder records, one call of each after the other.
pub const KINDS: [&str; 5] = ["integer", "float", "histogram", "summary", "labelled"];
/// Words of the file: begun and completed for each thread and kind.
pub const WORDS: usize = THREADS_MAX * KINDS.len() * 2;
/// What a float counter grows by with a call.
pub const FLOAT_STEP: f64 = 0.5;
/// What the histogram observes.
pub const HISTOGRAM_VALUE: f64 = 0.75;
/// What the summary observes.
pub const SUMMARY_VALUE: f64 = 1.5;

/// The word with the calls begun by a thread; the next one holds those completed.
#[must_use]
pub const fn word(thread: usize, kind: usize) -> usize {
    (thread * KINDS.len() + kind) * 2
}

/// Calls of all threads by kind: completed, and begun.
///
/// # Panics
/// When the file is not there.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without its file is no test")]
pub fn read(path: &Path) -> [(u64, u64); KINDS.len()] {
    let bytes = std::fs::read(path).expect("a progress file");
    let words: Vec<u64> = bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect();
    let at = |at: usize| words.get(at).copied().unwrap_or(0);
    let mut calls = [(0, 0); KINDS.len()];
    for thread in 0..THREADS_MAX {
        for (kind, (completed, begun)) in calls.iter_mut().enumerate() {
            *begun += at(word(thread, kind));
            *completed += at(word(thread, kind) + 1);
        }
    }
    calls
}
