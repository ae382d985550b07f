//! Opening: from counting privately to having a segment, whenever that becomes possible.

use ringmeter_layout::cell;
use ringmeter_layout::segment::{LIVE_OFFSET_BYTES, RawLive};
use ringmeter_layout::word::fence_all;

use crate::cells::{move_series, move_word};
use crate::error::OpenError;
use crate::registry::{Entry, Inner, PRIVATE_RECORDS_OFFSET_BYTES, Series};
use crate::segment::Segment;
use crate::thread::NULL_SLOT;

/// Between two attempts from the 1024th private record on.
const ATTEMPT_INTERVAL_RECORDS: u64 = 1024;

impl Inner {
    /// Counts a record made without a segment, and now and then tries to open one: after 1, 2,
    /// 4, … 1024 records, then every 1024.
    pub(crate) fn open_if_due(&'static self) -> Option<&'static Segment> {
        let records = self.private.as_ref().and_then(|p| p.word(PRIVATE_RECORDS_OFFSET_BYTES))?;
        let made = records.add_relaxed(1) + 1;
        let is_due = made.is_power_of_two() || made % ATTEMPT_INTERVAL_RECORDS == 0;
        if !is_due || self.config.private_only {
            return None;
        }
        self.try_open()
    }

    /// As [`open_if_due`](Self::open_if_due), until this series can be recorded in a segment.
    pub(crate) fn segment_for(&'static self, series: &Series) -> Option<&'static Segment> {
        self.segment_with(series).or_else(|| {
            self.open_if_due();
            self.segment_with(series)
        })
    }

    /// Opens a segment unless somebody else is doing so; keeps the reason if it cannot be.
    pub(crate) fn try_open(&'static self) -> Option<&'static Segment> {
        let registration = self.try_lock()?;
        let opened = match self.segment() {
            Some(segment) => self.catch_up(segment).map(|()| segment),
            None => self.open_now(),
        };
        drop(registration);
        match opened {
            Ok(segment) => Some(segment),
            Err(error) => {
                self.keep_reason(error);
                None
            }
        }
    }

    /// Remembers what failed, for whoever asks how things stand.
    pub(crate) fn keep_reason(&self, error: OpenError) {
        if let Ok(mut reason) = self.reason.try_lock() {
            *reason = Some(error);
        }
    }

    /// Remembers why a thread got no lane, or that one got one. Neither waits nor frees memory:
    /// called while recording.
    pub(crate) fn keep_lane_refusal(&self, error: Option<OpenError>) {
        if let Ok(mut refusal) = self.lane_refusal.try_lock() {
            *refusal = error;
        }
    }

    /// Gives a segment what was registered while it had no room. The caller holds the
    /// registration lock.
    pub(crate) fn catch_up(&self, segment: &'static Segment) -> Result<(), OpenError> {
        let done = segment.definition_count();
        let all = self.registry.log.len();
        if done == all {
            return Ok(());
        }
        let filled = self.fill(segment);
        self.move_private_counts(segment, done);
        filled
    }

    /// Keeps blank segments in stock, so that opening one need not allocate.
    pub(crate) fn refill_spares(&self) {
        for spare in &self.spares {
            if self.slot == NULL_SLOT || spare.get().is_some() {
                continue;
            }
            if let Some(blank) = Segment::blank() {
                spare.set_if(None, blank);
            }
        }
    }

    /// Writes what is registered and not in the segment yet: cells at the places they have in
    /// every segment of this line of processes, then the definitions in their order.
    fn fill(&self, segment: &'static Segment) -> Result<(), OpenError> {
        for chunk in self.registry.cell_chunks.iter_from(segment.cell_chunk_count()) {
            segment.place_cells(chunk.kind, chunk.offset_bytes, chunk.length_bytes)?;
        }
        for entry in self.registry.log.iter_from(segment.definition_count()) {
            if let Entry::Series(series) = entry {
                self.take_over(segment, series);
            }
            segment.define(entry.encoded(), self.registry.cell_ranges())?;
        }
        Ok(())
    }

    /// Moves what was counted before the entries from `first` on had their place.
    fn move_private_counts(&self, segment: &Segment, first: usize) {
        // See `slow::apply_privately` for the other half of this fence.
        fence_all();
        let mut is_any_changed = false;
        for entry in self.registry.log.iter_from(first) {
            let Entry::Series(series) = entry else { continue };
            if !segment.has_defined(series.log_index) {
                continue;
            }
            move_series(self, segment, series);
            let state = series.state.load_relaxed();
            let at = series.cell_offset_bytes + cell::state_word(series.kind()) as u64 * 8;
            if let Some(word) = segment.memory().and_then(|memory| memory.word(at)) {
                word.store_relaxed(state);
            }
            is_any_changed |= state != 0;
        }
        if is_any_changed {
            segment.publish_retire_change();
        }
        let Some(private) = &self.private else { return };
        let rejections = core::mem::offset_of!(RawLive, rejected_nan) as u64
            ..core::mem::offset_of!(RawLive, reserved) as u64;
        for offset in rejections.step_by(8) {
            let at = u64::from(LIVE_OFFSET_BYTES) + offset;
            if let Some(word) = private.word(at) {
                move_word(word, segment, at);
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn open_now(&'static self) -> Result<&'static Segment, OpenError> {
        Err(OpenError::Unsupported)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use ringmeter_layout::directory;

    use super::{Inner, NULL_SLOT, OpenError};
    use crate::leaked::Leaked;
    use crate::os;
    use crate::registry::Place;
    use crate::segment::{BirthPlan, Segment, sweep};
    use crate::thread::PRODUCER_SLOTS;

    impl Inner {
        /// Makes a segment and moves what was counted meanwhile into it. The caller holds the
        /// registration lock.
        pub(super) fn open_now(&'static self) -> Result<&'static Segment, OpenError> {
            if self.config.private_only {
                return Err(OpenError::PrivateOnly);
            }
            if cfg!(not(all(target_pointer_width = "64", target_endian = "little"))) {
                return Err(OpenError::Unsupported);
            }
            if self.slot == NULL_SLOT {
                return Err(OpenError::TooManyProducers { limit: PRODUCER_SLOTS });
            }
            let place = self.place()?;
            let plan = BirthPlan {
                incarnation: os::incarnation(),
                config: &self.config,
                directory: &place.directory,
                segments_path: &place.segments_path,
                agent_path: &place.agent_path,
            };
            let segment = self.blank_segment(plan.incarnation).ok_or(OpenError::Unsupported)?;
            segment.open(&plan, || self.fill(segment)).inspect_err(|_| {
                // Keeps what was achieved for the next attempt.
                self.spares[0].set(segment);
            })?;
            let ancestor = self.shared.get();
            self.shared.set(segment);
            // A parent's is not this process'.
            self.keep_lane_refusal(None);
            if let Some(ancestor) = ancestor {
                ancestor.close_inherited();
            }
            self.move_private_counts(segment, 0);
            Ok(segment)
        }

        /// The place is looked for until it is found, then kept.
        fn place(&'static self) -> Result<&'static Place, OpenError> {
            if let Some(place) = self.place.get() {
                return Ok(place);
            }
            let directory =
                directory::find(self.config.directory.as_deref()).map_err(OpenError::Directory)?;
            sweep(&directory);
            let (segments_path, agent_path) = (directory.segments_path(), directory.agent_path());
            self.place.set(Box::leak(Box::new(Place { directory, segments_path, agent_path })));
            self.place.get().ok_or(OpenError::Unsupported)
        }

        /// The spare one if this process may use it, else a new one.
        fn blank_segment(&self, incarnation: u64) -> Option<&'static Segment> {
            let is_usable = |spare: &&Segment| spare.is_blank() || spare.is_of(incarnation);
            let mut spares = self.spares.iter().filter_map(Leaked::take).inspect(|spare| {
                // A parent's that it has not finished: its lock is the parent's to hold.
                if !is_usable(spare) {
                    spare.close_inherited();
                }
            });
            spares.find(is_usable).or_else(Segment::blank)
        }
    }
}
