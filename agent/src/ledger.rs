//! The ledger: what the agent has counted, in a file that a kill at any instruction leaves whole.
//!
//! The ledger is a sparse memory of 64-bit words. What belongs together is an *area* of an
//! *owner*: the integer totals of all counters, the buckets of one distribution, the lanes of one
//! segment. An area is cut into *slices* of 32 words, and a slice that is not all zero has one
//! block in the file. What a word means is said by the module that puts it there.
//!
//! ```text
//! <path>            header in 4096 bytes, then block_count blocks of 288 bytes each
//! <path>.journal    the blocks of the last commit, as they are to be
//!
//! header: offset size field
//!              0    8 magic            "RINGLED\0"
//!              8    2 version_major    a larger version than ours is set aside
//!             10    2 version_minor    1 once definitions are written with their numbers, 2 once
//!                                      it is known when series began
//!             12    4 block_size_bytes 288
//!             16   16 id               random; each ack file carries it
//!             32    8 created_unix_ns
//!             40    8 sequence         of the last commit that is in place
//!             48    8 block_count
//!             56   64 reserved         zero
//!            120    8 checksum         of the 120 bytes before
//!
//! block:       0    8 checksum         of the rest, seeded with the id and the block's number
//!              8    8 sequence         of the commit that wrote it; not above the header's
//!             16    4 area             0: the block is free
//!             20    4 owner            such as a slot, or a segment's number
//!             24    4 slice            words 32·slice to 32·slice + 31 of the area
//!             28    4 reserved         zero
//!             32  256 words
//!
//! journal:     0    8 magic            "RINGJNL\0"
//!              8    2 version_major
//!             10    2 version_minor
//!             12    4 entry_size_bytes 296
//!             16   16 id               of the ledger
//!             32    8 sequence         of the commit
//!             40    8 block_count      of the ledger after it
//!             48    8 entry_count
//!             56    8 checksum         of the header with this word zero, and of all entries
//!             64      entries: a block's number, 8 bytes, and the block
//! ```
//!
//! # A commit
//!
//! 1. Every block that it needs is allocated: the file is made long enough.
//! 2. The changed blocks go to the journal as absolute values, with a checksum over everything.
//!    When the last byte is written, the commit has happened.
//! 3. The blocks are copied into place, with what lies between near ones as it was read, then the
//!    header. Only after that the caller acks, and only after that the journal is written again.
//!
//! A kill in 1 or 2 leaves the commit before; in 3 the journal is copied again at the next start,
//! which may happen any number of times. A killed process leaves the page cache behind, so
//! nothing is synchronised to the medium: that would only help after a crash of the machine, and
//! with the machine goes the shared memory that the positions speak of.
//!
//! A commit costs in proportion to the slices that changed. A checksum of each slice is kept, so
//! putting what is there already costs no write; whoever knows that a slice differs skips it
//! ([`Ledger::put_changed`]).

mod block;
mod copy;
mod dirty;
mod disk;
mod keyed;
mod parse;
mod store;

use std::fmt;

pub use block::{
    BLOCK_SIZE_BYTES, BLOCKS_MAX, HEADER_SIZE_BYTES, Key, MINOR_NUMBERS, MINOR_STARTS, SLICE_WORDS,
    Slice, VERSION_MAJOR, VERSION_MINOR, ZERO,
};
pub use dirty::Dirty;
pub use disk::{Disk, File, Files, Place};
pub use parse::{Contents, parse};
pub use store::{CommitFailed, Ledger};

/// What the words of a slice are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Area {
    /// Metrics and series in the order in which they appeared, as definition entries.
    Definitions = 1,
    /// Slice 0: how many words of definitions there are, and their form; slice 1: the service.
    Facts = 2,
    /// A bit for each metric: whether it is the one exposed under its name.
    Exposed = 3,
    /// A bit for each series in order of appearance: whether it is retired.
    Retired = 4,
    /// Integer totals of counters, a word for each slot.
    Integers = 5,
    /// Float totals of counters, two words for each slot: the sum, and what rounding took.
    Floats = 6,
    /// Sum, rare places and classic buckets of the distribution whose slot is the owner.
    Distribution = 7,
    /// Its positive base-2 buckets, an octave for each slice.
    Positive = 8,
    /// Its negative base-2 buckets.
    Negative = 9,
    /// Name, state, counts and lanes of the segment whose number is the owner.
    Segment = 10,
    /// What was taken from its cells: words of the segment file, at their offsets.
    Marks = 11,
    /// The agent's own counters.
    Own = 12,
    /// When each series began, in order of appearance: milliseconds since 1970, or 0. An agent
    /// older than version 1.2 would take the area for damage.
    Starts = 13,
}

impl Area {
    /// Every area.
    pub const ALL: [Self; 13] = [
        Self::Definitions,
        Self::Facts,
        Self::Exposed,
        Self::Retired,
        Self::Integers,
        Self::Floats,
        Self::Distribution,
        Self::Positive,
        Self::Negative,
        Self::Segment,
        Self::Marks,
        Self::Own,
        Self::Starts,
    ];

    /// The key of one slice.
    pub const fn key(self, owner: u32, slice: u32) -> Key {
        Key { area: self as u32, owner, slice }
    }
}

/// Why a ledger is not used but set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Its contents contradict themselves: damaged, or cut off.
    Corrupt,
    /// It is no ledger, or acks say that another one stood behind them.
    Foreign,
    /// A later version of the agent wrote it.
    Newer,
    /// Acks are ahead of it: an old copy.
    Stale,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Corrupt, Self::Foreign, Self::Newer, Self::Stale];

    /// The reason as a label value and in file names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Corrupt => "corrupt",
            Self::Foreign => "foreign",
            Self::Newer => "newer",
            Self::Stale => "stale",
        }
    }
}

/// Why bytes are no ledger that this agent goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerError {
    /// What kind of trouble.
    pub reason: Reason,
    /// What exactly is wrong.
    pub detail: String,
}

impl LedgerError {
    /// An error for `reason`.
    pub fn new(reason: Reason, detail: impl ToString) -> Self {
        Self { reason, detail: detail.to_string() }
    }

    /// Contents that contradict themselves.
    pub fn corrupt(detail: impl ToString) -> Self {
        Self::new(Reason::Corrupt, detail)
    }
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.detail)
    }
}

impl std::error::Error for LedgerError {}

#[cfg(test)]
mod tests;
