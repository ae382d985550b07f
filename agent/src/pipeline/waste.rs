//! Waste: segments that have left, whose files are removed and closed, and acks of segments whose
//! files are gone, which are removed, while nobody waits for it.
//!
//! Closing and removing a large file gives its memory back, which takes milliseconds, and a removal
//! waits for whoever changes the directory at that moment. Neither is a reason to keep a scrape
//! waiting, or the records of those that live. So another thread may do it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringmeter_layout::naming::SegmentName;

use super::Pipeline;
use super::commit::Leaving;
use crate::attach::Files;

/// How many segments were handed over and are not closed yet: until then each has its descriptors.
/// The count orders nothing else, so relaxed is enough: what is seen late waits for a listing more.
#[derive(Debug, Clone, Default)]
pub(super) struct Unclosed(Arc<AtomicUsize>);

impl Unclosed {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, count: usize) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn subtract(&self, count: usize) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }
}

/// Acks of segments whose files are gone, until they are removed. One that cannot be is tried again
/// with the next waste. No file of such a name is attached meanwhile: its ack would be removed.
/// There are no more than ack files: a directory that lets none go takes no new one either.
#[derive(Debug, Clone, Default)]
pub(super) struct OldAcks(Arc<Mutex<BTreeSet<SegmentName>>>);

impl OldAcks {
    fn names(&self) -> MutexGuard<'_, BTreeSet<SegmentName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn contains(&self, name: &SegmentName) -> bool {
        self.names().contains(name)
    }

    fn remove(&self, files: &Files) {
        // Nobody waits for the lock while files are removed.
        let mut names = self.names().clone();
        names.retain(|name| files.remove_ack(name).is_ok());
        self.names().retain(|name| !names.contains(name));
    }
}

/// Segments that have left, and acks of segments whose files are gone. Dropping it closes the
/// segments without removing anything: the next listing finds their files, and the next waste has
/// the acks.
pub struct Waste {
    files: Files,
    segments: Vec<Leaving>,
    unclosed: Unclosed,
    old_acks: OldAcks,
}

impl Waste {
    /// Removes acks and the files of which everything was taken, and closes all.
    pub fn put_away(mut self) {
        self.old_acks.remove(&self.files);
        while let Some(Leaving { segment, is_final }) = self.segments.pop() {
            if is_final {
                // Where it may not be removed, its ack tells the next start of an SDK to do so.
                let _ = self.files.remove_segment(&segment.name, segment.identity);
            }
            drop(segment);
            self.unclosed.subtract(1);
        }
    }
}

impl Drop for Waste {
    fn drop(&mut self) {
        let count = self.segments.len();
        self.segments.clear();
        self.unclosed.subtract(count);
    }
}

impl Pipeline {
    /// Hands over the segments that have left as of the last commit, and the acks of those whose
    /// files are gone, if there are any.
    pub fn take_waste(&mut self) -> Option<Waste> {
        let is_forgotten = |(_, number): &(SegmentName, Option<u32>)| number.is_none();
        if self.waste.is_empty() && !self.gone.iter().any(is_forgotten) {
            return None;
        }
        let forgotten = self.gone.extract_if(.., |gone| is_forgotten(gone));
        self.old_acks.names().extend(forgotten.map(|(name, _)| name));
        let segments = std::mem::take(&mut self.waste);
        self.unclosed.add(segments.len());
        let (files, unclosed) = (self.files.clone(), self.unclosed.clone());
        Some(Waste { files, segments, unclosed, old_acks: self.old_acks.clone() })
    }
}
