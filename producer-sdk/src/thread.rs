//! Each thread's block of hot words: where its lanes stand.
//!
//! A block is private memory that a forked child finds zeroed. Sixty-four slots of one cache line
//! each, one per producer, and behind them a cache of label lookups:
//!
//! ```text
//! word of a slot   what                                               while there is no lane
//!  0 SEGMENT       address of the `Segment` that all this belongs to     0
//!  1 LANE          index of the lane plus one, and in the upper half     0
//!                  how many records may spill before the ack is asked for
//!  2 CURSOR        address of the next record                         0
//!  3 END           address at which the fast path stops               0
//!  4 TAIL          address of the lane's tail                         0
//!  5 LANE_CELLS    address of the lane's cells          0, also when it has none
//!  6 BASE          address of the segment, for gauges                 0, or set without a lane
//!  7 ACK           the ack as last read                               records until the next try
//! ```
//!
//! Blocks and segments start on pages, slots and control lines on cache lines, and a tail is the
//! first word of its line. So that no word of the fast path has the offset of a tail within its
//! page, the first two words are such as only the slow path reads: processors guess by the low
//! bits of addresses which load needs which earlier store, and a wrong guess at every record
//! costs more than the record.
//!
//! In a slot of zeros CURSOR equals END: the fast path takes it for full and leaves for the slow
//! path, which finds out why. So an unregistered thread, a forked child and a full lane cost the
//! fast path one comparison together. LANE_CELLS of zero does the same for counters, which know no
//! full lane.

use core::cell::Cell;

use ringmeter_layout::mapping::Mapping;
use ringmeter_layout::word::Word;

use crate::leaked::{Leaked, ThreadRef};
use crate::os::ThreadExit;

/// Words of a slot.
pub(crate) const SLOT_WORDS: usize = 8;
/// Slots in a block.
pub(crate) const SLOTS: usize = 64;
#[expect(clippy::cast_possible_truncation, reason = "64 bytes")]
pub(crate) const SLOT_SIZE_BYTES: u32 = (SLOT_WORDS * 8) as u32;
/// A slot that stays zero: handles that are not bound, and producers without a segment.
pub(crate) const NULL_SLOT: u32 = 63;
/// A slot that stays zero: handles that may be used in signal handlers.
pub(crate) const SIGNAL_SLOT: u32 = 62;
/// Slots that producers may have.
pub(crate) const PRODUCER_SLOTS: u32 = 62;

pub(crate) const SEGMENT: usize = 0;
pub(crate) const LANE: usize = 1;
/// One record that may spill without a look at the ack, in LANE.
pub(crate) const PATIENCE_UNIT: u64 = 1 << 32;
pub(crate) const CURSOR: usize = 2;
pub(crate) const END: usize = 3;
pub(crate) const TAIL: usize = 4;
pub(crate) const LANE_CELLS: usize = 5;
pub(crate) const BASE: usize = 6;
pub(crate) const ACK: usize = 7;

/// A slot's and a lane cell's offset, bytes, in one word, so that both belong together.
pub(crate) const fn lane_cell(slot_offset_bytes: u32, cell_offset_bytes: u32) -> u64 {
    (slot_offset_bytes as u64) << 32 | cell_offset_bytes as u64
}

/// The same for what has no cell in lanes: a slot in which no lane ever is.
pub(crate) const NO_LANE_CELL: u64 = lane_cell(NULL_SLOT * SLOT_SIZE_BYTES, 0);

/// Entries of the lookup cache; see `hot::lookup`.
pub(crate) const LOOKUPS: usize = 512;
const _: () = assert!(LOOKUPS.is_power_of_two());
/// Half a cache line.
const LOOKUP_WORDS: usize = 4;
pub(crate) const BLOCK_WORDS: usize = SLOTS * SLOT_WORDS + LOOKUPS * LOOKUP_WORDS;
const BLOCK_SIZE_BYTES: u64 = BLOCK_WORDS as u64 * 8;

/// A thread's hot words.
pub(crate) type Block = [Word; BLOCK_WORDS];
/// A producer's hot words in one thread.
pub(crate) type Slot = [Word; SLOT_WORDS];

/// An entry of the lookup cache.
pub(crate) type LookupEntry = [Word; LOOKUP_WORDS];

/// What every thread starts with: all slots say "full". Never written.
static EMPTY: Block = [const { Word::new(0) }; BLOCK_WORDS];

/// Threads that can have a block at once; further ones record into cells.
const BLOCKS_MAX: usize = 1024;
/// Calls between two searches for a block, while there is none left.
const SEARCH_INTERVAL: u32 = 4096;
/// Blocks made so far. In ordinary memory: a child must know which ones are taken.
static BLOCKS: [Leaked<Block>; BLOCKS_MAX] = [const { Leaked::empty() }; BLOCKS_MAX];
/// One where a block is a living thread's.
static TAKEN: [Word; BLOCKS_MAX] = [const { Word::new(0) }; BLOCKS_MAX];
static EXIT: ThreadExit = ThreadExit::new();
/// What hands a thread's lanes back; set before the first block is made.
static RELEASE: Leaked<fn(&Block)> = Leaked::empty();

thread_local! {
    // Constant and without a destructor: reaching it is one instruction, at any time of a
    // thread's life, and takes no lock of the loader.
    static BLOCK: ThreadRef<Block> = const { ThreadRef::new(&EMPTY) };
    /// Calls of `own_block` until this thread looks for a block again, after it found none.
    static PATIENCE: Cell<u32> = const { Cell::new(0) };
}

/// This thread's block, or the empty one.
#[inline(always)]
pub(crate) fn block() -> &'static Block {
    ThreadRef::of(&BLOCK)
}

/// The slot of a producer in a block.
pub(crate) fn slot(block: &'static Block, slot: u32) -> Option<&'static Slot> {
    let at = slot as usize * SLOT_WORDS;
    block.get(at..at + SLOT_WORDS)?.try_into().ok()
}

/// The entry of a lookup with this hash; there always is one.
#[inline(always)]
pub(crate) fn lookup(block: &'static Block, hash: u64) -> Option<&'static LookupEntry> {
    #[expect(clippy::cast_possible_truncation, reason = "the highest bits: an entry's number")]
    let number = (hash >> (64 - LOOKUPS.ilog2())) as usize;
    block.get(SLOTS * SLOT_WORDS + number * LOOKUP_WORDS..)?.first_chunk()
}

/// Whether a block may be written.
pub(crate) fn is_own(block: &'static Block) -> bool {
    !core::ptr::eq(block, &EMPTY)
}

/// Makes sure that thread exits will be noticed; called when a producer is made.
pub(crate) fn prepare(release: &'static fn(&Block)) -> bool {
    RELEASE.set_if(None, release);
    EXIT.prepare(at_exit)
}

/// This thread's own block, taken now if it has none; `None` when no more are to be had.
///
/// Two system calls at the most, and no allocation.
pub(crate) fn own_block() -> Option<&'static Block> {
    let block = block();
    if is_own(block) {
        return Some(block);
    }
    let patience = PATIENCE.with(Cell::get);
    if patience > 0 {
        PATIENCE.with(|cell| cell.set(patience - 1));
        return None;
    }
    let found = (0..BLOCKS_MAX)
        // PAIRS WITH: `block-owner`, the store in `at_exit`.
        .find(|index| TAKEN[*index].compare_exchange_acquire(0, 1).is_ok());
    let Some(index) = found else {
        // Looking through all of them for every record would cost microseconds.
        PATIENCE.with(|cell| cell.set(SEARCH_INTERVAL));
        return None;
    };
    let made = BLOCKS[index].get().or_else(|| make(index));
    let armed = made.filter(|_| EXIT.arm(index + 1));
    match armed {
        Some(block) => BLOCK.with(|cell| cell.set(block)),
        None => TAKEN[index].store_release(0),
    }
    armed
}

fn make(index: usize) -> Option<&'static Block> {
    let words = Mapping::private(BLOCK_SIZE_BYTES).ok()?.words(0, BLOCK_WORDS)?;
    let block: &'static Block = words.try_into().ok()?;
    BLOCKS[index].set(block);
    Some(block)
}

/// Runs when a thread ends: hands back its lanes, then its block.
extern "C" fn at_exit(value: *mut libc::c_void) {
    let Some(index) = value.addr().checked_sub(1).filter(|index| *index < BLOCKS_MAX) else {
        return;
    };
    BLOCK.with(|cell| cell.set(&EMPTY));
    if let (Some(block), Some(release)) = (BLOCKS[index].get(), RELEASE.get()) {
        release(block);
        for word in block {
            word.store_relaxed(0);
        }
    }
    // PAIRS WITH: `block-owner`, the compare-exchange in `own_block`.
    TAKEN[index].store_release(0);
}
