//! What the ledger remembers of a segment, as words and back.
//!
//! ```text
//! word  of Area::Segment; the owner is the segment's number in the ledger
//!    0  1: being read, 2: everything was taken
//!    1  id, 16 bytes
//!    3  length of the service name, bytes
//!    4  service name, 64 bytes
//!   12  1: its cells are still to be taken as a baseline
//!   13  number of lanes
//!   14  live words as last seen: shared_spill_count
//!   15  retire_changes
//!   16  overflowed_lookups
//!   17  rejected_nan
//!   18  rejected_negative
//!   19  rejected_unregistered
//!   20  rejected_exemplars
//!   21  dropped_exemplars
//!   22  mislabeled_lookups
//!   23  reserved, zero, up to 32
//!   32  four words for each lane: position, spill count, slots that belong to a record begun
//!       before the position, reserved
//! ```
//!
//! `Area::Marks` is the part of the segment file that cells are in, as taken, with their state
//! words: slice n are the 256 bytes from 256·n on.

use std::collections::BTreeMap;

use ringmeter_layout::naming::SegmentName;
use ringmeter_layout::segment::{LANES_MAX, RawLive};

use super::{Before, Segment};
use crate::ledger::{Area, Contents, Ledger, LedgerError, MINOR_STARTS, SLICE_WORDS, Slice, ZERO};

const STATE_ACTIVE: u64 = 1;
const STATE_FINAL: u64 = 2;
const ID_AT: usize = 1;
const SERVICE_LENGTH_AT: usize = 3;
const SERVICE_AT: usize = 4;
const SERVICE_WORDS: usize = 8;
const BASELINE_AT: usize = 12;
const LANES_AT: usize = 13;
const LIVE_AT: usize = 14;
const LIVE_WORDS: usize = 9;
const LANE_WORDS: usize = 4;

/// One lane as remembered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeptLane {
    /// Position up to which records are in the totals.
    pub position: u64,
    /// Spill count as last seen.
    pub spill_count: u64,
    /// Slots that still belong to a record begun before the position.
    pub skip: u32,
}

/// A segment as remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its number in the ledger.
    pub number: u32,
    /// Name of its file.
    pub name: SegmentName,
    /// Everything in it was taken.
    pub is_final: bool,
    /// What its cells held when it was attached is still to be left out.
    pub needs_baseline: bool,
    /// Its lanes.
    pub lanes: Vec<KeptLane>,
    /// Live words as last seen, those that count.
    pub live: RawLive,
    /// What was taken from its cells, by slices of the file.
    pub marks: BTreeMap<u32, Slice>,
}

impl Kept {
    /// Every segment that the ledger remembers.
    ///
    /// # Errors
    /// When the contents contradict themselves.
    pub fn all(contents: &Contents) -> Result<Vec<Self>, LedgerError> {
        let mut all: BTreeMap<u32, Self> = BTreeMap::new();
        for (number, slice, words) in contents.of(Area::Segment) {
            let refuse = || LedgerError::corrupt(format!("segment {number}: slice {slice}"));
            if slice == 0 {
                all.insert(number, Self::head(number, words).ok_or_else(refuse)?);
                continue;
            }
            let kept = all.get_mut(&number).ok_or_else(refuse)?;
            kept.take_lanes(slice, words).ok_or_else(refuse)?;
        }
        for (number, slice, words) in contents.of(Area::Marks) {
            let refuse = || LedgerError::corrupt(format!("marks of {number}: slice {slice}"));
            all.get_mut(&number).ok_or_else(refuse)?.marks.insert(slice, *words);
        }
        let mut all: Vec<Self> = all.into_values().collect();
        let count = all.len();
        all.sort_by_key(|kept| kept.name);
        all.dedup_by_key(|kept| kept.name);
        if all.len() < count {
            return Err(LedgerError::corrupt("a segment that stands twice"));
        }
        Ok(all)
    }

    fn head(number: u32, words: &Slice) -> Option<Self> {
        let mut id = [0; 16];
        id.copy_from_slice(bytemuck::cast_slice(words.get(ID_AT..SERVICE_LENGTH_AT)?));
        let service: &[u8] =
            bytemuck::cast_slice(words.get(SERVICE_AT..SERVICE_AT + SERVICE_WORDS)?);
        let length = usize::try_from(words[SERVICE_LENGTH_AT]).ok()?;
        let service = std::str::from_utf8(service.get(..length)?).ok()?;
        let lanes = usize::try_from(words[LANES_AT]).ok()?;
        let is_good = matches!(words[0], STATE_ACTIVE | STATE_FINAL)
            && words[BASELINE_AT] <= 1
            && lanes <= LANES_MAX as usize
            && words.get(LIVE_AT + LIVE_WORDS..)?.iter().all(|word| *word == 0);
        let live = RawLive {
            shared_spill_count: words[LIVE_AT],
            retire_changes: words[LIVE_AT + 1],
            overflowed_lookups: words[LIVE_AT + 2],
            rejected_nan: words[LIVE_AT + 3],
            rejected_negative: words[LIVE_AT + 4],
            rejected_unregistered: words[LIVE_AT + 5],
            rejected_exemplars: words[LIVE_AT + 6],
            dropped_exemplars: words[LIVE_AT + 7],
            mislabeled_lookups: words[LIVE_AT + 8],
            ..RawLive::default()
        };
        // Before anything is made of the numbers: `lanes` says how much to allocate.
        if !is_good {
            return None;
        }
        Some(Self {
            number,
            name: SegmentName::new(service, id).ok()?,
            is_final: words[0] == STATE_FINAL,
            needs_baseline: words[BASELINE_AT] == 1,
            lanes: vec![KeptLane::default(); lanes],
            live,
            marks: BTreeMap::new(),
        })
    }

    fn take_lanes(&mut self, slice: u32, words: &Slice) -> Option<()> {
        let first = (slice as usize - 1) * (SLICE_WORDS / LANE_WORDS);
        for (index, lane) in (first..).zip(words.chunks_exact(LANE_WORDS)) {
            if lane.iter().all(|word| *word == 0) {
                continue;
            }
            let skip = u32::try_from(lane[2]).ok().filter(|_| lane[3] == 0)?;
            *self.lanes.get_mut(index)? =
                KeptLane { position: lane[0], spill_count: lane[1], skip };
        }
        Some(())
    }

    /// Positions, one for each lane.
    pub fn positions(&self) -> Vec<u64> {
        self.lanes.iter().map(|lane| lane.position).collect()
    }
}

/// Everything that the ledger has of a segment, to be removed.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Its number in the ledger.
    pub number: u32,
    lanes: usize,
    marks: Vec<u32>,
}

impl Entry {
    /// That of a segment of which the ledger has nothing yet.
    pub fn new(number: u32) -> Self {
        Self { number, ..Self::default() }
    }

    /// That of a segment that was not attached since.
    pub fn of(kept: &Kept) -> Self {
        let marks = kept.marks.keys().copied().collect();
        Self { number: kept.number, lanes: kept.lanes.len(), marks }
    }

    /// Takes lanes and marks out of the ledger; name and state stay.
    fn strip(&mut self, ledger: &mut Ledger) {
        let slices = (self.lanes * LANE_WORDS).div_ceil(SLICE_WORDS);
        for slice in (1..).take(slices) {
            ledger.put(Area::Segment.key(self.number, slice), &ZERO);
        }
        for slice in self.marks.drain(..) {
            ledger.put(Area::Marks.key(self.number, slice), &ZERO);
        }
        self.lanes = 0;
    }

    /// Takes all of it out of the ledger.
    pub fn remove(&mut self, ledger: &mut Ledger) {
        self.strip(ledger);
        ledger.put(Area::Segment.key(self.number, 0), &ZERO);
    }
}

impl Segment {
    /// Puts positions, counts, and marks that changed.
    pub fn put(&mut self, ledger: &mut Ledger) {
        let lanes = self.kept_lanes();
        self.put_head(STATE_ACTIVE, lanes.len(), ledger);
        let words: Vec<u64> = lanes
            .iter()
            .flat_map(|lane| [lane.position, lane.spill_count, lane.skip.into(), 0])
            .collect();
        ledger.put_all(Area::Segment.key(self.number, 1), &words);
        self.cells.put_marks(self.number, ledger);
    }

    /// Puts that everything was taken; nothing else needs to be remembered then.
    pub fn put_final(&mut self, ledger: &mut Ledger) -> Entry {
        let mut entry = self.entry();
        entry.strip(ledger);
        self.put_head(STATE_FINAL, 0, ledger);
        entry
    }

    /// What the ledger has of it.
    pub fn entry(&self) -> Entry {
        let (number, lanes) = (self.number, self.kept_lanes().len());
        Entry { number, lanes, marks: self.cells.marked() }
    }

    /// The lanes, and those that the ledger knows and the segment does not show (yet): their
    /// positions are acked.
    fn kept_lanes(&self) -> Vec<KeptLane> {
        let own = self.lanes.iter().map(|lane| KeptLane {
            position: lane.position,
            spill_count: lane.spill_count,
            skip: lane.skip,
        });
        let more: Vec<KeptLane> = match &self.before {
            Before::Kept(lanes) => lanes.clone(),
            Before::Positions(positions) => {
                let lane = |position: &u64| KeptLane { position: *position, ..Default::default() };
                let used = positions.iter().rposition(|position| *position > 0);
                positions.iter().take(used.map_or(0, |at| at + 1)).map(lane).collect()
            }
            Before::Nothing | Before::Unknown => Vec::new(),
        };
        own.chain(more.into_iter().skip(self.lanes.len())).take(LANES_MAX as usize).collect()
    }

    fn put_head(&self, state: u64, lanes: usize, ledger: &mut Ledger) {
        let live = &self.live;
        let late = [live.rejected_exemplars, live.dropped_exemplars, live.mislabeled_lookups];
        if late.iter().any(|count| *count > 0) {
            ledger.use_minor(MINOR_STARTS);
        }
        ledger.put(Area::Segment.key(self.number, 0), &self.head(state, lanes));
    }

    fn head(&self, state: u64, lanes: usize) -> Slice {
        let mut words = ZERO;
        words[0] = state;
        let id: [u64; 2] = bytemuck::cast(self.name.id());
        words[ID_AT..SERVICE_LENGTH_AT].copy_from_slice(&id);
        let service = self.name.service().as_bytes();
        words[SERVICE_LENGTH_AT] = service.len() as u64;
        let room: &mut [u8] =
            bytemuck::cast_slice_mut(&mut words[SERVICE_AT..SERVICE_AT + SERVICE_WORDS]);
        room.iter_mut().zip(service).for_each(|(to, from)| *to = *from);
        words[BASELINE_AT] = u64::from(self.needs_baseline());
        words[LANES_AT] = lanes as u64;
        words[LIVE_AT] = self.live.shared_spill_count;
        words[LIVE_AT + 1] = self.live.retire_changes;
        words[LIVE_AT + 2] = self.live.overflowed_lookups;
        words[LIVE_AT + 3] = self.live.rejected_nan;
        words[LIVE_AT + 4] = self.live.rejected_negative;
        words[LIVE_AT + 5] = self.live.rejected_unregistered;
        words[LIVE_AT + 6] = self.live.rejected_exemplars;
        words[LIVE_AT + 7] = self.live.dropped_exemplars;
        words[LIVE_AT + 8] = self.live.mislabeled_lookups;
        words
    }
}
