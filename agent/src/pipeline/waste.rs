//! Waste: segments that have left, whose files are removed and closed while nobody waits for it.
//!
//! Closing and removing a large file gives its memory back, which takes milliseconds, and a removal
//! waits for whoever changes the directory at that moment. Neither is a reason to keep a scrape
//! waiting, or the records of those that live. So another thread may do it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// Segments that have left. Dropping it closes them without removing their files, which the next
/// listing finds then.
pub struct Waste {
    files: Files,
    segments: Vec<Leaving>,
    unclosed: Unclosed,
}

impl Waste {
    /// Removes the files of which everything was taken, and closes all.
    pub fn put_away(mut self) {
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
    /// Hands over the segments that have left as of the last commit, if there are any. Acks of
    /// files that are gone are small: they are removed here.
    pub fn take_waste(&mut self) -> Option<Waste> {
        self.remove_acks();
        if self.waste.is_empty() {
            return None;
        }
        let segments = std::mem::take(&mut self.waste);
        self.unclosed.add(segments.len());
        Some(Waste { files: self.files.clone(), segments, unclosed: self.unclosed.clone() })
    }

    /// Removes the acks of segments whose files are gone.
    pub(super) fn remove_acks(&mut self) {
        let files = &self.files;
        self.gone.retain(|(name, number)| number.is_some() || files.remove_ack(name).is_err());
    }
}
