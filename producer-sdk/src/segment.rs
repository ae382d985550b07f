//! The segment of this process, from birth through growth: everything that writes its fixed
//! parts.
//!
//! One [`Segment`] is one segment of one process. Its memory is mapped once, for the largest size
//! the segment may reach; the file grows under it chunk by chunk, and no byte is touched before
//! `fallocate` has given it a page, so a full tmpfs is an error here and never a signal there.

use core::mem::offset_of;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, RwLock, TryLockError};

use nix::fcntl::{FallocateFlags, fallocate};
use ringmeter_layout::ack::{self, AckHeader};
use ringmeter_layout::definition::{ENTRY_SIZE_MAX_BYTES, end_of_chunk};
use ringmeter_layout::file::{Identity, open_foreign};
use ringmeter_layout::lane::{self, Capacity};
use ringmeter_layout::mapping::Mapping;
use ringmeter_layout::segment::{
    CHUNK_ALIGN_BYTES, CHUNKS_MAX, ChunkKind, DEFINITIONS_MAX, HEADER_SIZE_BYTES, LANES_MAX,
    RawChunk, RawControl, RawLive, chunk_entry_offset_bytes, control_offset_bytes,
    live_word_offset_bytes,
};
use ringmeter_layout::word::{Word, fence_acquire};

use crate::error::OpenError;
use crate::os::Uncancelled;

mod birth;
mod lanes;
mod limits;

pub(crate) use birth::{BirthPlan, sweep};
pub(crate) use lanes::{NoLane, Patience};

/// One process' segment. Blank until [`birth`] fills it, so that a forked child can open a
/// segment of its own without allocating.
pub(crate) struct Segment {
    parts: OnceLock<Parts>,
    growth: Mutex<Growth>,
    ack: RwLock<Option<AckFile>>,
    /// How often a read of the ack brought nothing new.
    ack_fruitless_reads: Word,
    /// Per lane, the last look at the ack.
    ack_looks: [AckLook; LANES_MAX as usize],
}

/// When the owners of a lane looked at the ack last. Written by the lane's owner only.
struct AckLook {
    /// How many records they had made then.
    made: Word,
    /// How many looks in a row have brought nothing new.
    looks_in_vain: Word,
}

impl AckLook {
    const fn never() -> Self {
        Self { made: Word::new(0), looks_in_vain: Word::new(0) }
    }
}

/// What is fixed from birth on.
struct Parts {
    incarnation: u64,
    id: [u8; 16],
    memory: Mapping,
    file: File,
    identity: Identity,
    lane_capacity: Capacity,
    lanes_max: u32,
    lane_cells: u32,
    size_limit_bytes: u64,
    ack_path: PathText,
    path: PathText,
    temporary_path: PathText,
}

/// What grows, under one lock; recording only ever tries it.
struct Growth {
    chunks: [Range; CHUNKS_MAX as usize],
    chunk_count: u32,
    /// How many of the registry's cell chunks are placed: the first ones.
    cell_chunk_count: u32,
    lane_count: u32,
    lane_cells_next: u64,
    lane_cells_end: u64,
    definition_count: u64,
    definitions_next: u64,
    definitions_end: u64,
}

/// A range of the file that a chunk takes.
#[derive(Clone, Copy)]
struct Range {
    offset_bytes: u64,
    length_bytes: u64,
}

struct AckFile {
    file: File,
    identity: Identity,
}

#[expect(clippy::cast_possible_truncation, reason = "2176")]
const ACK_SIZE_MAX_BYTES: usize = ack::SIZE_MAX_BYTES as usize;
/// How often the records between two looks at an ack are doubled while it stands still: to 512.
const ACK_READ_DOUBLINGS_MAX: u64 = 3;
/// After so many attempts to read an ack file that is not there it is looked for again.
const ACK_MISSING_READS: u64 = 2;
/// After so many reads of one that is there, and brings nothing new, it is opened anew: an agent
/// may have made another. Rarely, because to open costs as much as several reads.
const ACK_SILENT_READS: u64 = 32;

/// A path in a fixed array, so that a forked child can use it without allocating.
#[derive(Clone)]
pub(crate) struct PathText {
    bytes: [u8; PATH_LENGTH_MAX_BYTES],
    length: usize,
}

const PATH_LENGTH_MAX_BYTES: usize = 380;

impl PathText {
    /// `directory/name`, unless it is too long.
    pub(crate) fn join(directory: &Path, name: &str) -> Option<Self> {
        use std::os::unix::ffi::OsStrExt;
        let mut path = Self { bytes: [0; PATH_LENGTH_MAX_BYTES], length: 0 };
        for part in [directory.as_os_str().as_bytes(), b"/", name.as_bytes()] {
            let end = path.length.checked_add(part.len())?;
            path.bytes.get_mut(path.length..end)?.copy_from_slice(part);
            path.length = end;
        }
        Some(path)
    }

    pub(crate) fn as_path(&self) -> &Path {
        use std::os::unix::ffi::OsStrExt;
        Path::new(std::ffi::OsStr::from_bytes(&self.bytes[..self.length]))
    }
}

impl Segment {
    /// Whether nothing of a segment is there yet.
    pub(crate) fn is_blank(&self) -> bool {
        self.parts.get().is_none()
    }

    /// A blank one, kept until the process ends.
    pub(crate) fn blank() -> Option<&'static Self> {
        Some(Box::leak(Box::new(Self::new())))
    }

    fn new() -> Self {
        Self {
            parts: OnceLock::new(),
            growth: Mutex::new(Growth {
                chunks: [Range { offset_bytes: 0, length_bytes: 0 }; CHUNKS_MAX as usize],
                chunk_count: 0,
                cell_chunk_count: 0,
                lane_count: 0,
                lane_cells_next: 0,
                lane_cells_end: 0,
                definition_count: 0,
                definitions_next: 0,
                definitions_end: 0,
            }),
            ack: RwLock::new(None),
            ack_fruitless_reads: Word::new(0),
            ack_looks: [const { AckLook::never() }; LANES_MAX as usize],
        }
    }

    /// Whether this is a segment of the process with this incarnation.
    #[inline]
    pub(crate) fn is_of(&self, incarnation: u64) -> bool {
        self.parts.get().is_some_and(|parts| parts.incarnation == incarnation)
    }

    pub(crate) fn memory(&self) -> Option<&Mapping> {
        self.parts.get().map(|parts| &parts.memory)
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.parts.get().map(|parts| parts.path.as_path())
    }

    fn live(&self, offset: usize) -> Option<&'static Word> {
        self.memory()?.word(live_word_offset_bytes(offset))
    }

    fn control(&self, lane: u32, offset: usize) -> Option<&'static Word> {
        self.memory()?.word(control_offset_bytes(lane) + offset as u64)
    }

    /// Counts something the SDK refused; `offset` is that of a field of [`RawLive`].
    pub(crate) fn count_live(&self, offset: usize) {
        if let Some(word) = self.live(offset) {
            word.add_relaxed(1);
        }
    }

    /// Says that cells have changed without a lane; after the change.
    pub(crate) fn publish_shared_spill(&self) {
        if let Some(word) = self.live(offset_of!(RawLive, shared_spill_count)) {
            // PAIRS WITH: `shared-spill`, the agent's read of the live words before cells.
            word.add_release(1);
        }
    }

    /// Says that cells have changed for want of room in `lane`; after the change.
    pub(crate) fn publish_lane_spill(&self, lane: u32) {
        if let Some(word) = self.control(lane, offset_of!(RawControl, spill_count)) {
            // PAIRS WITH: `lane-spill`, the agent's read of the control lines before cells.
            word.store_release(word.load_relaxed().wrapping_add(1));
        }
    }

    /// Says that the states of series have changed; after the change.
    pub(crate) fn publish_retire_change(&self) {
        if let Some(word) = self.live(offset_of!(RawLive, retire_changes)) {
            // PAIRS WITH: `retire`, the agent's read of the live words before states.
            word.add_release(1);
        }
    }

    fn try_growth(&self) -> Option<MutexGuard<'_, Growth>> {
        match self.growth.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Waits for the lock: for registration, never for recording.
    fn lock_growth(&self) -> MutexGuard<'_, Growth> {
        self.growth.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Chooses where a chunk for cells will lie, anywhere but in `taken`; nothing is placed. The
    /// place is kept by `reserve`, before anything else can be placed there.
    pub(crate) fn reserve_place(
        &self,
        length_bytes: u64,
        taken: impl Iterator<Item = (u64, u64)> + Clone,
        reserve: impl FnOnce(u64) -> bool,
    ) -> Result<u64, OpenError> {
        let limit_bytes = self.parts.get().map_or(0, |parts| parts.size_limit_bytes);
        let growth = self.lock_growth();
        let offset = growth.first_fit(length_bytes, limit_bytes, taken)?;
        if reserve(offset) { Ok(offset) } else { Err(OpenError::SegmentSizeLimit { limit_bytes }) }
    }

    /// Whether the entry at an index of the registry's log is defined in this segment.
    #[inline]
    pub(crate) fn has_defined(&self, log_index: u64) -> bool {
        self.live(offset_of!(RawLive, definition_count))
            // PAIRS WITH: `definition-count`, the store in `define`.
            .is_some_and(|count| count.load_acquire() > log_index)
    }

    /// Adds a chunk: room in the file first, then the entry, then the count.
    fn grow(
        &self,
        growth: &mut Growth,
        kind: ChunkKind,
        length_bytes: u64,
        taken: impl Iterator<Item = (u64, u64)> + Clone,
    ) -> Result<u64, OpenError> {
        let parts = self.parts.get().ok_or(OpenError::Unsupported)?;
        let offset = growth.first_fit(length_bytes, parts.size_limit_bytes, taken)?;
        self.place(growth, kind, offset, length_bytes)?;
        Ok(offset)
    }

    /// Gives a range of the file to a chunk.
    fn place(
        &self,
        growth: &mut Growth,
        kind: ChunkKind,
        offset_bytes: u64,
        length_bytes: u64,
    ) -> Result<(), OpenError> {
        let parts = self.parts.get().ok_or(OpenError::Unsupported)?;
        if growth.chunk_count >= CHUNKS_MAX {
            return Err(OpenError::SegmentSizeLimit { limit_bytes: parts.size_limit_bytes });
        }
        if !parts.identity.is(&parts.file) {
            return Err(OpenError::DescriptorTaken);
        }
        limits::check(&parts.file, offset_bytes + length_bytes, length_bytes)?;
        allocate(&parts.file, offset_bytes, length_bytes)?;
        parts.memory.populate(offset_bytes, length_bytes);
        let entry = RawChunk {
            kind: kind as u32,
            reserved_0: 0,
            offset_bytes,
            length_bytes,
            reserved_1: 0,
        };
        let index = growth.chunk_count;
        let at = chunk_entry_offset_bytes(index);
        let fits = parts.memory.copy_in(at, bytemuck::bytes_of(&entry));
        let count = self.live(offset_of!(RawLive, chunk_count)).filter(|_| fits);
        let Some(count) = count else { return Err(OpenError::Unsupported) };
        growth.chunks[index as usize] = Range { offset_bytes, length_bytes };
        growth.chunk_count += 1;
        // PAIRS WITH: `chunk-count`, the agent's read of the live words before entries.
        count.store_release(growth.chunk_count.into());
        Ok(())
    }

    /// Writes a definition behind the others and publishes it. A new chunk for it takes its
    /// place anywhere but in `taken`.
    pub(crate) fn define(
        &self,
        encoded: &[u8],
        taken: impl Iterator<Item = (u64, u64)> + Clone,
    ) -> Result<(), OpenError> {
        let growth = &mut *self.lock_growth();
        let parts = self.parts.get().ok_or(OpenError::Unsupported)?;
        let limit = OpenError::SegmentSizeLimit { limit_bytes: parts.size_limit_bytes };
        if encoded.len() > ENTRY_SIZE_MAX_BYTES || growth.definition_count >= DEFINITIONS_MAX {
            return Err(limit);
        }
        let length = encoded.len() as u64;
        if growth.definitions_next + length > growth.definitions_end {
            let mark = end_of_chunk();
            let (at, end) = (growth.definitions_next, growth.definitions_end);
            let chunk = CHUNK_ALIGN_BYTES.into();
            let offset = self.grow(growth, ChunkKind::Definitions, chunk, taken)?;
            if at + mark.len() as u64 <= end && !parts.memory.copy_in(at, &mark) {
                return Err(limit);
            }
            growth.definitions_next = offset;
            growth.definitions_end = offset + u64::from(CHUNK_ALIGN_BYTES);
        }
        if !parts.memory.copy_in(growth.definitions_next, encoded) {
            return Err(limit);
        }
        growth.definitions_next += length;
        growth.definition_count += 1;
        if let Some(count) = self.live(offset_of!(RawLive, definition_count)) {
            // PAIRS WITH: `definition-count`, the agent's read of the live words.
            count.store_release(growth.definition_count);
        }
        Ok(())
    }

    /// How many records the owner of `lane` makes until it may look at the ack again; 0: now.
    ///
    /// [`lane::ACK_READ_INTERVAL_RECORDS`] at the least, counted strictly: an agent that acks one
    /// record at a time must not make every record read. Twice as many after each look in a row
    /// that brought nothing, [`ACK_READ_DOUBLINGS_MAX`] times: with a look for every 64 records,
    /// half of what a record costs without an agent would be looking for one.
    pub(crate) fn records_until_look(&self, lane: u32) -> u64 {
        let Some(look) = self.ack_looks.get(lane as usize) else { return u64::MAX };
        let doublings = look.looks_in_vain.load_relaxed().min(ACK_READ_DOUBLINGS_MAX);
        let interval = u64::from(lane::ACK_READ_INTERVAL_RECORDS) << doublings;
        interval.saturating_sub(self.records_made(lane).wrapping_sub(look.made.load_relaxed()))
    }

    /// What the owner of a lane before this one found out about the ack is of another time.
    pub(crate) fn forget_looks(&self, lane: u32) {
        if let Some(look) = self.ack_looks.get(lane as usize) {
            look.looks_in_vain.store_relaxed(0);
        }
    }

    /// How many records the owners of `lane` have made, wherever they went.
    fn records_made(&self, lane: u32) -> u64 {
        let position = self.tail(lane).map_or(0, Word::load_relaxed);
        let spilled = self.control(lane, offset_of!(RawControl, spill_count));
        position.wrapping_add(spilled.map_or(0, Word::load_relaxed))
    }

    /// Looks how far the agent has committed `lane`, unless it is too early for that; `last` where
    /// there is nothing new. For the lane's owner only.
    pub(crate) fn look_at_ack(&self, lane: u32, last: u64, position: u64) -> u64 {
        let Some(look) = self.ack_looks.get(lane as usize) else { return last };
        if self.records_until_look(lane) > 0 {
            return last;
        }
        look.made.store_relaxed(self.records_made(lane));
        let ack = self.read_ack(lane, last, position);
        let fruitless = look.looks_in_vain.load_relaxed();
        look.looks_in_vain.store_relaxed(if ack == last { fruitless.saturating_add(1) } else { 0 });
        ack
    }

    /// Reads how far the agent has committed `lane`; `last` where that cannot be told.
    ///
    /// One system call while the agent makes progress: the file's head, read along with the
    /// position, tells that the descriptor still stands for this segment's ack file. Only reads
    /// that bring nothing new lead, now and then, to opening it anew.
    pub(crate) fn read_ack(&self, lane: u32, last: u64, tail: u64) -> u64 {
        let _uncancelled = Uncancelled::new();
        let found = self.try_read_ack(lane);
        let read = found.map_or(last, |read| lane::accept_ack(last, tail, read));
        if read != last {
            return read;
        }
        let interval = if found.is_some() { ACK_SILENT_READS } else { ACK_MISSING_READS };
        let fruitless = self.ack_fruitless_reads.add_relaxed(1);
        // Eagerly at first: an agent that starts after the app makes the file then.
        let is_early = fruitless < 2 || fruitless.is_power_of_two();
        if !is_early && fruitless % interval != 0 {
            return last;
        }
        self.reopen_ack();
        self.try_read_ack(lane).map_or(last, |read| lane::accept_ack(last, tail, read))
    }

    fn try_read_ack(&self, lane: u32) -> Option<u64> {
        let ack = self.ack.try_read().ok()?;
        let mut bytes = [0; ACK_SIZE_MAX_BYTES];
        let at = usize::try_from(ack::position_offset_bytes(lane)).ok()?;
        let read = bytes.get_mut(..at + 8)?;
        ack.as_ref()?.file.read_exact_at(read, 0).ok()?;
        AckHeader::parse(read, &self.parts.get()?.id)?;
        let position = read.get(at..)?.try_into().ok()?;
        // What the agent read of the lane before it wrote the ack must not be overtaken by what
        // is written next. PAIRS WITH: `lane-ack`, by way of the file.
        fence_acquire();
        Some(u64::from_le_bytes(position))
    }

    #[cold]
    fn reopen_ack(&self) {
        let Some(parts) = self.parts.get() else { return };
        let Ok(mut ack) = self.ack.try_write() else { return };
        let opened = open_foreign(parts.ack_path.as_path()).ok();
        let new = opened.and_then(|file| {
            let identity = Identity::of(&file).ok()?;
            Some(AckFile { file, identity })
        });
        // One that cannot be opened now (no descriptor left, another root) is no reason to give
        // up the one that is.
        if new.is_some() {
            if let Some(old) = core::mem::replace(&mut *ack, new) {
                old.close();
            }
        }
    }

    /// After a fork, in the child: closes the descriptors that came from the parent, so that
    /// they do not keep the parent alive in the agent's eyes.
    pub(crate) fn close_inherited(&self) {
        let Some(parts) = self.parts.get() else { return };
        if parts.identity.is(&parts.file) {
            birth::close(&parts.file);
        }
    }
}

impl AckFile {
    /// Closes the descriptor if it is still this file's: its number may be the app's by now.
    fn close(self) {
        let Self { file, identity } = self;
        if !identity.is(&file) {
            core::mem::forget(file);
        }
    }
}

impl Growth {
    fn first_fit(
        &self,
        length_bytes: u64,
        size_limit_bytes: u64,
        taken: impl Iterator<Item = (u64, u64)> + Clone,
    ) -> Result<u64, OpenError> {
        let used = &self.chunks[..self.chunk_count as usize];
        let ranges = used.iter().map(|range| (range.offset_bytes, range.length_bytes));
        first_fit(length_bytes, size_limit_bytes, ranges.chain(taken))
            .ok_or(OpenError::SegmentSizeLimit { limit_bytes: size_limit_bytes })
    }
}

/// The first offset behind the header where `length_bytes` overlap none of `used`.
pub(crate) fn first_fit(
    length_bytes: u64,
    size_limit_bytes: u64,
    used: impl Iterator<Item = (u64, u64)> + Clone,
) -> Option<u64> {
    let mut offset = u64::from(HEADER_SIZE_BYTES);
    loop {
        let end = offset.checked_add(length_bytes)?;
        if end > size_limit_bytes {
            return None;
        }
        let blocker = used.clone().find(|(start, length)| *start < end && offset < start + length);
        match blocker {
            Some((start, length)) => offset = start + length,
            None => return Some(offset),
        }
    }
}

/// Gives a range of a file its pages; repeats when a signal came in between.
fn allocate(file: &File, offset_bytes: u64, length_bytes: u64) -> Result<(), OpenError> {
    let offset = i64::try_from(offset_bytes).unwrap_or(i64::MAX);
    let length = i64::try_from(length_bytes).unwrap_or(i64::MAX);
    let mut attempts = 0;
    loop {
        match fallocate(file, FallocateFlags::empty(), offset, length) {
            Ok(()) => return Ok(()),
            Err(nix::errno::Errno::EINTR) if attempts < 100 => attempts += 1,
            Err(error) => return Err(OpenError::io("fallocate")(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_take_the_first_gap_that_fits() {
        let unit = u64::from(CHUNK_ALIGN_BYTES);
        let used = [(unit, unit), (4 * unit, unit)];
        let fit =
            |length: u64, limit: u64| first_fit(length * unit, limit * unit, used.into_iter());
        assert_eq!(fit(1, 10), Some(2 * unit));
        assert_eq!(fit(2, 10), Some(2 * unit));
        assert_eq!(fit(3, 10), Some(5 * unit));
        assert_eq!(fit(6, 10), None);
        assert_eq!(fit(5, 10), Some(5 * unit));
    }

    #[test]
    fn a_path_that_does_not_fit_is_none() {
        assert!(PathText::join(Path::new("/run/ringmeter"), "name").is_some());
        assert!(PathText::join(Path::new(&"x".repeat(400)), "name").is_none());
    }
}
