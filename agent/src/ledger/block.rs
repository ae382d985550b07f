//! The structs of the files, and their checksums.

use std::mem::offset_of;

use bytemuck::{Pod, Zeroable};

/// First bytes of a ledger.
pub(super) const MAGIC: [u8; 8] = *b"RINGLED\0";
/// First bytes of a journal.
pub(super) const JOURNAL_MAGIC: [u8; 8] = *b"RINGJNL\0";
/// Layout version that this agent writes.
pub const VERSION_MAJOR: u16 = 1;
/// Latest minor layout version that this agent writes and reads. It writes the lowest one whose
/// readers know what the ledger holds; one from which others have to be kept sets it aside.
pub const VERSION_MINOR: u16 = MINOR_STARTS;
/// From this one on definitions may be written with their numbers, because a series has left.
pub const MINOR_NUMBERS: u16 = 1;
/// From this one on there are `Area::Starts`, and counts of exemplars in `Area::Segment`.
pub const MINOR_STARTS: u16 = 2;
/// Words of a slice.
pub const SLICE_WORDS: usize = 32;
/// Where the blocks begin.
pub const HEADER_SIZE_BYTES: u64 = 4096;
/// Size of a block.
pub const BLOCK_SIZE_BYTES: u64 = BLOCK_LENGTH as u64;
/// The same, as the header says it.
pub(super) const BLOCK_LENGTH: u32 = 288;
/// Size of an entry of the journal, as its header says it.
pub(super) const ENTRY_LENGTH: u32 = 296;
/// Blocks in a ledger, at most: 2 GiB. The agent's memory limit of 512 MiB for buckets and
/// marks, and totals of 262,144 series, need less.
pub const BLOCKS_MAX: u32 = (2 << 30) / BLOCK_LENGTH;

/// The words of a slice.
pub type Slice = [u64; SLICE_WORDS];
/// A slice without a block.
pub const ZERO: Slice = [0; SLICE_WORDS];

/// Which slice: the area by its number, because a file may say anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Number of the area.
    pub area: u32,
    /// Whose it is.
    pub owner: u32,
    /// Which slice of the area.
    pub slice: u32,
}

/// The head of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Header {
    pub(super) magic: [u8; 8],
    pub(super) version_major: u16,
    pub(super) version_minor: u16,
    pub(super) block_size_bytes: u32,
    pub(super) id: [u8; 16],
    pub(super) created_unix_ns: u64,
    pub(super) sequence: u64,
    pub(super) block_count: u64,
    pub(super) reserved: [u64; 8],
    pub(super) checksum: u64,
}

/// One slice in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    pub(super) checksum: u64,
    pub(super) sequence: u64,
    pub(super) area: u32,
    pub(super) owner: u32,
    pub(super) slice: u32,
    pub(super) reserved: u32,
    pub(super) words: Slice,
}

/// The head of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct JournalHeader {
    pub(super) magic: [u8; 8],
    pub(super) version_major: u16,
    pub(super) version_minor: u16,
    pub(super) entry_size_bytes: u32,
    pub(super) id: [u8; 16],
    pub(super) sequence: u64,
    pub(super) block_count: u64,
    pub(super) entry_count: u64,
    pub(super) checksum: u64,
}

/// One block in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) block: Block,
}

/// Words of the head of the journal, and of an entry.
const HEAD_WORDS: usize = size_of::<JournalHeader>() / 8;
const ENTRY_WORDS: usize = size_of::<Entry>() / 8;
/// Where in an entry the block begins.
const BLOCK_AT: usize = offset_of!(Entry, block) / 8;

/// A journal as it is written, so that its entries are copied once: into it.
#[derive(Debug)]
pub(super) struct Journal {
    words: Vec<u64>,
}

impl Journal {
    /// Room for the head, and no entries.
    pub(super) fn new() -> Self {
        Self { words: vec![0; HEAD_WORDS] }
    }

    /// Removes all entries, and gives back what a large commit took.
    pub(super) fn clear(&mut self, entries_kept: usize) {
        self.words.truncate(HEAD_WORDS);
        self.words.shrink_to(HEAD_WORDS + entries_kept.saturating_mul(ENTRY_WORDS));
    }

    /// Adds a sealed block.
    pub(super) fn push(
        &mut self,
        id: &[u8; 16],
        number: u32,
        sequence: u64,
        key: Key,
        words: &Slice,
    ) {
        let Key { area, owner, slice } = key;
        let ids: [u64; 2] = bytemuck::cast([area, owner, slice, 0]);
        let at = self.words.len();
        let head: [u64; ENTRY_WORDS - SLICE_WORDS] = [number.into(), 0, sequence, ids[0], ids[1]];
        self.words.reserve(ENTRY_WORDS);
        self.words.extend_from_slice(&head);
        self.words.extend_from_slice(words);
        if let Some([checksum, rest @ ..]) = self.words.get_mut(at + BLOCK_AT..) {
            *checksum = block_sum(id, number, rest);
        }
    }

    /// Its entries.
    pub(super) fn entries(&self) -> &[Entry] {
        let words = self.words.get(HEAD_WORDS..).unwrap_or_default();
        bytemuck::try_cast_slice(words).unwrap_or_default()
    }

    /// All of it, with this head, whose checksum is worked out.
    pub(super) fn sealed(&mut self, head: JournalHeader) -> &[u8] {
        let (own, entries) = self.words.split_at_mut(HEAD_WORDS);
        let mut head = JournalHeader { checksum: 0, ..head };
        head.checksum = journal_checksum(&head, entries);
        own.copy_from_slice(bytemuck::cast_slice(&[head]));
        bytemuck::cast_slice(&self.words)
    }
}

/// The checksum of a journal whose header has zero in its place.
pub(super) fn journal_checksum(header: &JournalHeader, entries: &[u64]) -> u64 {
    checksum(checksum(0, bytemuck::cast_slice(&[*header])), entries)
}

const _: () = {
    assert!(size_of::<Header>() == 128);
    assert!(offset_of!(Header, version_major) == 8);
    assert!(offset_of!(Header, version_minor) == 10);
    assert!(offset_of!(Header, block_size_bytes) == 12);
    assert!(offset_of!(Header, id) == 16);
    assert!(offset_of!(Header, created_unix_ns) == 32);
    assert!(offset_of!(Header, sequence) == 40);
    assert!(offset_of!(Header, block_count) == 48);
    assert!(offset_of!(Header, reserved) == 56);
    assert!(offset_of!(Header, checksum) == 120);
};
const _: () = {
    assert!(size_of::<Block>() == BLOCK_LENGTH as usize);
    assert!(offset_of!(Block, checksum) == 0);
    assert!(offset_of!(Block, sequence) == 8);
    assert!(offset_of!(Block, area) == 16);
    assert!(offset_of!(Block, owner) == 20);
    assert!(offset_of!(Block, slice) == 24);
    assert!(offset_of!(Block, reserved) == 28);
    assert!(offset_of!(Block, words) == 32);
};
const _: () = {
    assert!(size_of::<JournalHeader>() == 64);
    assert!(offset_of!(JournalHeader, version_major) == 8);
    assert!(offset_of!(JournalHeader, version_minor) == 10);
    assert!(offset_of!(JournalHeader, entry_size_bytes) == 12);
    assert!(offset_of!(JournalHeader, id) == 16);
    assert!(offset_of!(JournalHeader, sequence) == 32);
    assert!(offset_of!(JournalHeader, block_count) == 40);
    assert!(offset_of!(JournalHeader, entry_count) == 48);
    assert!(offset_of!(JournalHeader, checksum) == 56);
    assert!(size_of::<Entry>() == ENTRY_LENGTH as usize);
    assert!(offset_of!(Entry, block) == 8);
};

impl Header {
    pub(super) fn seal(&mut self) {
        self.checksum = 0;
        self.checksum = checksum(0, bytemuck::cast_slice(&[*self]));
    }

    pub(super) fn is_whole(&self) -> bool {
        let mut again = *self;
        again.seal();
        again.checksum == self.checksum
    }
}

impl Block {
    /// A block that no slice has.
    pub(super) const FREE: Key = Key { area: 0, owner: 0, slice: 0 };

    fn sum(&self, id: &[u8; 16], number: u32) -> u64 {
        let blocks = [*self];
        let words: &[u64] = bytemuck::cast_slice(&blocks);
        block_sum(id, number, words.get(1..).unwrap_or_default())
    }

    pub(super) fn is_whole(&self, id: &[u8; 16], number: u32) -> bool {
        self.checksum == self.sum(id, number) && self.reserved == 0
    }

    pub(super) fn key(&self) -> Key {
        Key { area: self.area, owner: self.owner, slice: self.slice }
    }
}

/// The checksum of a block whose words but the first these are.
fn block_sum(id: &[u8; 16], number: u32, words: &[u64]) -> u64 {
    let [high, low]: [u64; 2] = bytemuck::cast(*id);
    let seed = high ^ low.rotate_left(32) ^ u64::from(number).wrapping_mul(FACTORS[0]);
    checksum(seed, words)
}

/// Odd numbers without a pattern, the golden ratio among them.
const FACTORS: [u64; 4] =
    [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0x85eb_ca77_c2b2_ae63];

/// A checksum in which every word counts: each step can be undone, so two inputs that differ in
/// one word of four, or in one bit, never have the same. Four lanes, for speed.
pub(super) fn checksum(seed: u64, words: &[u64]) -> u64 {
    let mut lanes = FACTORS.map(|factor| factor ^ seed);
    let mut chunks = words.chunks_exact(4);
    for chunk in &mut chunks {
        for ((lane, word), factor) in lanes.iter_mut().zip(chunk).zip(FACTORS) {
            *lane = step(*lane, *word, factor);
        }
    }
    let rest = chunks.remainder().iter().chain(&lanes);
    let mut sum = rest.fold(seed ^ words.len() as u64, |sum, word| step(sum, *word, FACTORS[1]));
    sum ^= sum >> 29;
    sum = sum.wrapping_mul(FACTORS[2]);
    sum ^ (sum >> 32)
}

#[inline]
fn step(state: u64, word: u64, factor: u64) -> u64 {
    (state ^ word).wrapping_mul(factor).rotate_left(29)
}
