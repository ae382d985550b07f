//! The ledger as its only writer sees it: slices are put, and committed together.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::io;

use super::block::{
    BLOCK_LENGTH, BLOCK_SIZE_BYTES, BLOCKS_MAX, Block, ENTRY_LENGTH, HEADER_SIZE_BYTES, Header,
    JOURNAL_MAGIC, Journal, JournalHeader, Key, MAGIC, Slice, VERSION_MAJOR, VERSION_MINOR, ZERO,
    checksum,
};
use super::copy::{Copier, ENTRIES_KEPT};
use super::disk::{Disk, File};
use super::keyed::ByKey;
use super::parse::Contents;
use crate::broken;

/// Blocks that the file grows by at least, so that growing is rare.
const GROWTH_MIN_BLOCKS: u32 = 64;
/// A journal longer than this is cut after its commit: a first commit may be large.
const JOURNAL_KEPT_BYTES: u64 = 1 << 20;

/// Why a commit did not happen, or is not in place.
#[derive(Debug)]
pub struct CommitFailed {
    /// What was tried.
    pub step: &'static str,
    /// What the system says.
    pub error: io::Error,
}

impl fmt::Display for CommitFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.step, self.error)
    }
}

impl std::error::Error for CommitFailed {}

/// A slice that has a block.
#[derive(Debug, Clone, Copy)]
struct Held {
    block: u32,
    /// Of the words as last put; 0 if nobody has worked it out.
    hash: u64,
}

/// How far the commit under way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing of what is staged is committed.
    Gathering,
    /// The journal holds it; it is to be copied into place.
    Copying,
}

/// A ledger that is open for writing.
pub struct Ledger {
    disk: Box<dyn Disk>,
    id: [u8; 16],
    /// What its contents need the reader to know.
    minor: u16,
    created_unix_ns: u64,
    /// The last commit that is in place.
    sequence: u64,
    /// Whether the file has a header.
    is_born: bool,
    index: HashMap<Key, Held, ByKey>,
    free: Vec<u32>,
    block_count: u32,
    /// Blocks that the file has room for.
    room_blocks: u32,
    staged: Journal,
    phase: Phase,
    journal_size_bytes: u64,
    /// Random, so that nobody can make words that hash like others.
    seed: u64,
    written_bytes: u64,
    copier: Copier,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, block_count, .. } = self;
        write!(f, "Ledger {{ sequence: {sequence}, block_count: {block_count} }}")
    }
}

impl Ledger {
    /// A new ledger; its file gets its header with the first commit.
    pub fn new(disk: Box<dyn Disk>, id: [u8; 16], created_unix_ns: u64) -> Self {
        Self {
            disk,
            id,
            minor: 0,
            created_unix_ns,
            sequence: 0,
            is_born: false,
            index: HashMap::with_hasher(ByKey::new()),
            free: Vec::new(),
            block_count: 0,
            room_blocks: 0,
            staged: Journal::new(),
            phase: Phase::Gathering,
            journal_size_bytes: u64::MAX,
            seed: std::hash::RandomState::new().hash_one(0),
            written_bytes: 0,
            copier: Copier::default(),
        }
    }

    /// Goes on with a ledger that was read. Before anything is put, a commit has to copy into
    /// place once more what the journal holds.
    pub fn resume(disk: Box<dyn Disk>, contents: &Contents) -> Self {
        let mut ledger = Self::new(disk, contents.id, contents.created_unix_ns);
        ledger.is_born = true;
        ledger.minor = contents.minor;
        ledger.block_count = contents.block_count;
        ledger.room_blocks = contents.block_count;
        ledger.sequence = contents.sequence;
        if !contents.replayed.is_empty() {
            // The journal must stay until its blocks are in place.
            ledger.phase = Phase::Copying;
            ledger.sequence = contents.sequence.saturating_sub(1);
        }
        ledger.free.clone_from(&contents.free);
        for (key, (block, words)) in &contents.slices {
            let hash = ledger.hash(words);
            ledger.index.insert(*key, Held { block: *block, hash });
        }
        let by_number: HashMap<u32, (Key, &Slice)> =
            contents.slices.iter().map(|(key, (at, words))| (*at, (*key, words))).collect();
        for number in &contents.replayed {
            let (key, words) = by_number.get(number).copied().unwrap_or((Block::FREE, &ZERO));
            ledger.stage(*number, key, words);
        }
        ledger
    }

    /// The ledger's id.
    pub fn id(&self) -> [u8; 16] {
        self.id
    }

    /// When it was made, nanoseconds since 1970.
    pub fn created_unix_ns(&self) -> u64 {
        self.created_unix_ns
    }

    /// The last commit that is in place.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Size of the file, without what it may grow into.
    pub fn size_bytes(&self) -> u64 {
        HEADER_SIZE_BYTES + u64::from(self.block_count) * BLOCK_SIZE_BYTES
    }

    /// Bytes written so far, journal included.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes.saturating_add(self.copier.written_bytes)
    }

    /// From the next commit on, only a reader of this minor version or a later one reads it.
    pub fn use_minor(&mut self, minor: u16) {
        self.minor = self.minor.max(minor.min(VERSION_MINOR));
    }

    /// Whether anything was put that is not committed and in place.
    pub fn is_changed(&self) -> bool {
        !self.staged.entries().is_empty()
    }

    #[cfg(test)]
    pub(super) fn staged_count(&self) -> usize {
        self.staged.entries().len()
    }

    /// Whether a commit has happened that is not in place yet. Until it is, nothing may be put.
    pub fn is_behind(&self) -> bool {
        self.phase == Phase::Copying
    }

    /// Puts the words of a slice, for the next commit. What is there already costs nothing.
    pub fn put(&mut self, key: Key, words: &Slice) {
        debug_assert_eq!(self.phase, Phase::Gathering, "what is being copied must not change");
        if *words == ZERO {
            if let Some(held) = self.index.remove(&key) {
                self.free.push(held.block);
                self.stage(held.block, Block::FREE, &ZERO);
            }
            return;
        }
        let hash = self.hash(words);
        if self.index.get(&key).is_none_or(|held| held.hash != hash) {
            self.put_as(key, words, hash);
        }
    }

    /// As [`put`](Self::put), for words that are known to differ from those that are there.
    /// `block` remembers where they are, for whoever puts them again; 0 if it does not know.
    pub fn put_changed(&mut self, key: Key, words: &Slice, block: &mut u32) {
        debug_assert_eq!(self.phase, Phase::Gathering, "what is being copied must not change");
        let is_zero = words.iter().fold(0, |all, word| all | word) == 0;
        if is_zero {
            *block = 0;
            self.put(key, words);
        } else if let Some(number) = block.checked_sub(1) {
            debug_assert_eq!(self.index.get(&key).map(|held| held.block), Some(number));
            self.stage(number, key, words);
        } else {
            *block = self.put_as(key, words, 0).saturating_add(1);
        }
    }

    /// Puts words with this hash; returns their block.
    fn put_as(&mut self, key: Key, words: &Slice, hash: u64) -> u32 {
        let Self { index, free, block_count, .. } = self;
        let held = index.entry(key).or_insert_with(|| {
            let block = free.pop().unwrap_or(*block_count);
            *block_count = (*block_count).max(block.saturating_add(1));
            Held { block, hash }
        });
        held.hash = hash;
        let block = held.block;
        self.stage(block, key, words);
        block
    }

    fn hash(&self, words: &Slice) -> u64 {
        checksum(self.seed, words).max(1)
    }

    /// Puts an area of one owner from its first slice on; the last slice is filled with zeros.
    pub fn put_all(&mut self, key: Key, words: &[u64]) {
        for (slice, part) in (key.slice..).zip(words.chunks(ZERO.len())) {
            let mut full = ZERO;
            if let Some(target) = full.get_mut(..part.len()) {
                target.copy_from_slice(part);
            }
            self.put(Key { slice, ..key }, &full);
        }
    }

    fn stage(&mut self, number: u32, key: Key, words: &Slice) {
        self.staged.push(&self.id, number, self.sequence.saturating_add(1), key, words);
    }

    /// Commits what was put: all of it or nothing, whatever happens meanwhile.
    ///
    /// # Errors
    /// When it is not committed, or not in place; it is tried again with the next call.
    pub fn commit(&mut self) -> Result<(), CommitFailed> {
        if !self.is_changed() {
            return Ok(());
        }
        if self.phase == Phase::Gathering {
            self.allocate()?;
            self.write_journal()?;
            self.phase = Phase::Copying;
        }
        broken::linger();
        self.copy_into_place()?;
        self.sequence = self.sequence.saturating_add(1);
        self.staged.clear(ENTRIES_KEPT);
        self.phase = Phase::Gathering;
        self.shorten_journal();
        Ok(())
    }

    /// Makes room for every block, so that no copy into place can lack it.
    fn allocate(&mut self) -> Result<(), CommitFailed> {
        let fail = |step| move |error| CommitFailed { step, error };
        if self.block_count > BLOCKS_MAX {
            let error = io::Error::other("it would be longer than a ledger may be");
            return Err(CommitFailed { step: "grow the ledger", error });
        }
        if self.block_count > self.room_blocks || !self.is_born {
            let ahead = (self.block_count / 8).max(GROWTH_MIN_BLOCKS);
            let blocks = self.block_count.saturating_add(ahead);
            let size_bytes = HEADER_SIZE_BYTES + u64::from(blocks) * BLOCK_SIZE_BYTES;
            self.disk.reserve(size_bytes).map_err(fail("grow the ledger"))?;
            self.room_blocks = blocks;
        }
        if !self.is_born {
            self.write_header(0, 0).map_err(fail("write the ledger's header"))?;
            self.is_born = true;
        }
        Ok(())
    }

    fn write_header(&mut self, sequence: u64, block_count: u32) -> io::Result<()> {
        let mut header = Header {
            magic: MAGIC,
            version_major: VERSION_MAJOR,
            version_minor: self.minor,
            block_size_bytes: BLOCK_LENGTH,
            id: self.id,
            created_unix_ns: self.created_unix_ns,
            sequence,
            block_count: block_count.into(),
            reserved: [0; 8],
            checksum: 0,
        };
        header.seal();
        self.write(File::Ledger, 0, bytemuck::bytes_of(&header))
    }

    fn write(&mut self, file: File, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.written_bytes = self.written_bytes.saturating_add(bytes.len() as u64);
        self.disk.write(file, at, bytes)
    }

    fn write_journal(&mut self) -> Result<(), CommitFailed> {
        let header = JournalHeader {
            magic: JOURNAL_MAGIC,
            version_major: VERSION_MAJOR,
            version_minor: self.minor,
            entry_size_bytes: ENTRY_LENGTH,
            id: self.id,
            sequence: self.sequence.saturating_add(1),
            block_count: self.block_count.into(),
            entry_count: self.staged.entries().len() as u64,
            checksum: 0,
        };
        // A slice that was put again after a commit that failed: the sequence is still right,
        // because sequences move with commits only.
        let bytes = self.staged.sealed(header);
        self.journal_size_bytes = bytes.len() as u64;
        self.written_bytes = self.written_bytes.saturating_add(bytes.len() as u64);
        let written = self.disk.write(File::Journal, 0, bytes);
        written.map_err(|error| CommitFailed { step: "write the journal", error })
    }

    /// Copies the journal's blocks into the file, the header last.
    fn copy_into_place(&mut self) -> Result<(), CommitFailed> {
        let fail = |error| CommitFailed { step: "write the ledger", error };
        self.copier.copy(self.staged.entries(), &mut *self.disk).map_err(fail)?;
        self.write_header(self.sequence.saturating_add(1), self.block_count).map_err(fail)
    }

    /// Gives back what a large commit took; its blocks are in place. A failure costs memory only.
    fn shorten_journal(&mut self) {
        if self.journal_size_bytes > JOURNAL_KEPT_BYTES
            && self.disk.shorten_journal(JOURNAL_KEPT_BYTES).is_ok()
        {
            self.journal_size_bytes = JOURNAL_KEPT_BYTES;
        }
    }
}
