//! The fast path. One of three modules with `unsafe`.
//!
//! A handle holds a [`Binding`]: the packed first word of its records, the offset of its cell and
//! of its producer's slot in the thread's block. Counting is one comparison and one store, into
//! the counter's own word in the lane of this thread:
//!
//! ```text
//!     if LANE_CELLS == 0 { slow path }      zero slot, lane without cells: write a record instead
//!     [LANE_CELLS + offset] += amount
//! ```
//!
//! Observing is one comparison and four stores:
//!
//! ```text
//!     if CURSOR == END { slow path }           zero slot, full lane, wrap: all the same
//!     [CURSOR + 8] = value
//!     [CURSOR]     = word
//!     [TAIL]      += 1                             release: the record is published
//!     CURSOR      += 16
//!     prefetch for writing, eight lines ahead
//! ```
//!
//! While the lane was full a moment ago, observations go to the series' shared cell without another
//! look, and their sum to the series' word in the lane.

#![allow(unsafe_code)]

mod lookup;

use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, Ordering};

use ringmeter_layout::cell::{self, GAUGE_SIZE_BYTES, GaugeCell};
use ringmeter_layout::lane;
use ringmeter_layout::record::{Operation, RECORD_SIZE_BYTES};
use ringmeter_layout::segment::RawControl;
use ringmeter_layout::word::Word;

use crate::cells::{self, GaugeChange, Operand};
use crate::leaked::Leaked;
use crate::registry::Series;
use crate::slow;
use crate::thread::{
    self, BASE, Block, CURSOR, END, LANE, LANE_CELLS, NO_LANE_CELL, NULL_SLOT, PATIENCE_UNIT,
    SIGNAL_SLOT, SLOT_SIZE_BYTES, SLOT_WORDS, SLOTS, Slot, TAIL, lane_cell,
};

/// How far ahead lines are taken for writing: the agent's reading has made them shared.
const PREFETCH_AHEAD_BYTES: u64 = 512;
const RECORD_STEP_BYTES: u64 = RECORD_SIZE_BYTES as u64;

pub(crate) use lookup::Lookup;

const NULL_SLOT_OFFSET_BYTES: u32 = NULL_SLOT * SLOT_SIZE_BYTES;

/// The word of a binding whose metric cannot be registered: no record has it, and its slot is the
/// null slot.
const FAILED: u64 = u64::MAX;

/// What a handle needs to record. Unbound until its metric is registered.
#[derive(Debug)]
pub(crate) struct Binding {
    /// Offset of the producer's slot in a thread's block, bytes. Always one of a slot.
    slot_offset_bytes: AtomicU32,
    /// The same for a counter that has a cell in each lane; else that of the null slot.
    cell_slot_offset_bytes: AtomicU32,
    /// Offset of the cell, bytes: of a gauge's in the segment, which has at most 2^30, of a
    /// counter's among those of a lane.
    cell_offset_bytes: AtomicU32,
    /// First word of the records.
    word: Word,
    series: Leaked<Series>,
}

impl Clone for Binding {
    fn clone(&self) -> Self {
        match self.series.get() {
            Some(series) => {
                let copy = Self::unbound();
                copy.bind(series);
                if self.is_signal_safe() { copy.signal_safe() } else { copy }
            }
            None => Self::unbound(),
        }
    }
}

impl Binding {
    /// A binding whose every record takes the slow path, which finds it unbound.
    pub(crate) const fn unbound() -> Self {
        Self {
            slot_offset_bytes: AtomicU32::new(NULL_SLOT * SLOT_SIZE_BYTES),
            cell_slot_offset_bytes: AtomicU32::new(NULL_SLOT * SLOT_SIZE_BYTES),
            cell_offset_bytes: AtomicU32::new(0),
            word: Word::new(0),
            series: Leaked::empty(),
        }
    }

    /// A binding to a series.
    pub(crate) fn to(series: &'static Series) -> Self {
        find_slot(series);
        Self::again(series)
    }

    /// A binding to a series whose slot was found before. Made in one place and by whole fields:
    /// a lookup makes one for each record, and uses it at once.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "both are offsets below 2^30")]
    pub(crate) fn again(series: &'static Series) -> Self {
        // PAIRS WITH: `handle-slot`, the store in `find_slot`.
        let slot = match series.handle_slot.load_acquire().checked_sub(1) {
            Some(slot) => slot as u32,
            None => find_slot(series),
        };
        let cell_slot =
            if series.lane_cell_offset_bytes.is_some() { slot } else { NULL_SLOT_OFFSET_BYTES };
        let cell = series.lane_cell_offset_bytes.unwrap_or(series.cell_offset_bytes as u32);
        Self {
            slot_offset_bytes: AtomicU32::new(slot),
            cell_slot_offset_bytes: AtomicU32::new(cell_slot),
            cell_offset_bytes: AtomicU32::new(cell),
            word: Word::new(series.record_word),
            series: Leaked::of(series),
        }
    }

    /// Binds to a series, unless it is bound already; returns the series that it is bound to.
    ///
    /// Who comes first decides for good, and everybody writes what follows from that series; the
    /// slot last, so that the fast path never sees half a binding.
    pub(crate) fn bind(&self, series: &'static Series) -> &'static Series {
        self.series.set_if(None, series);
        let series = self.series.get().unwrap_or(series);
        let in_segment = u32::try_from(series.cell_offset_bytes).unwrap_or(0);
        let cell = series.lane_cell_offset_bytes.unwrap_or(in_segment);
        self.cell_offset_bytes.store(cell, Ordering::Relaxed);
        self.word.store_relaxed(series.record_word);
        let slot = find_slot(series);
        if !self.is_signal_safe() {
            if series.lane_cell_offset_bytes.is_some() {
                // PAIRS WITH: `binding`, the load in `add_in_lane`.
                self.cell_slot_offset_bytes.store(slot, Ordering::Release);
            }
            // PAIRS WITH: `binding`, the load in `slot`.
            self.slot_offset_bytes.store(slot, Ordering::Release);
        }
        series
    }

    /// The same series, recorded into cells only, so that a signal handler may do it.
    pub(crate) fn signal_safe(&self) -> Self {
        let copy = Self::unbound();
        if let Some(series) = self.series.get() {
            copy.bind(series);
        }
        copy.slot_offset_bytes.store(SIGNAL_SLOT * SLOT_SIZE_BYTES, Ordering::Relaxed);
        copy.cell_slot_offset_bytes.store(SIGNAL_SLOT * SLOT_SIZE_BYTES, Ordering::Relaxed);
        copy
    }

    pub(crate) fn is_signal_safe(&self) -> bool {
        self.slot_offset_bytes.load(Ordering::Relaxed) == SIGNAL_SLOT * SLOT_SIZE_BYTES
    }

    /// Remembers that the metric cannot be registered, so that no use tries again. Without effect
    /// where another thread has bound it meanwhile.
    pub(crate) fn fail(&self) {
        let _ = self.word.compare_exchange_acquire(0, FAILED);
    }

    /// Whether [`fail`](Self::fail) was called.
    pub(crate) fn has_failed(&self) -> bool {
        self.series.get().is_none() && self.word.load_relaxed() == FAILED
    }

    /// The series, once it is bound.
    pub(crate) fn series(&self) -> Option<&'static Series> {
        self.series.get()
    }

    /// This thread's slot for the producer.
    #[inline(always)]
    fn slot(&self) -> &'static Slot {
        // PAIRS WITH: `binding`, the store in `bind`.
        let offset = self.slot_offset_bytes.load(Ordering::Acquire);
        slot_at(thread::block(), offset)
    }

    /// Adds to the counter's cell in this thread's lane; says whether there is one.
    #[inline(always)]
    pub(crate) fn add_in_lane(&self, amount: u64) -> bool {
        // PAIRS WITH: `binding`, the store in `bind`.
        let offset = self.cell_slot_offset_bytes.load(Ordering::Acquire);
        self.add_in_lane_at(slot_at(thread::block(), offset), amount)
    }

    #[inline(always)]
    fn add_in_lane_at(&self, slot: &Slot, amount: u64) -> bool {
        let base = own(&slot[LANE_CELLS]);
        if base == 0 {
            return false;
        }
        let offset = self.cell_offset_bytes.load(Ordering::Relaxed);
        cell::add_in_lane(lane_cell_at(base, offset), amount);
        true
    }

    /// Records an event if that is quickly done; says whether it was. Where it was not, the
    /// metric registers itself if need be and goes on to [`record_slowly`](Self::record_slowly).
    #[inline(always)]
    pub(crate) fn record(&self, operation: Operation, value: u64) -> bool {
        self.record_at(self.slot(), operation, value)
    }

    #[inline(always)]
    fn record_at(&self, slot: &Slot, operation: Operation, value: u64) -> bool {
        let cursor = own(&slot[CURSOR]);
        if cursor == own(&slot[END]) {
            return false;
        }
        push(slot, cursor, word_for(self.word.load_relaxed(), operation), value);
        true
    }

    /// Records an event of the series that this is bound to, wherever there is room.
    #[inline(always)]
    pub(crate) fn record_slowly(&self, series: &'static Series, operation: Operation, value: u64) {
        let operand = Operand { operation, value };
        if !self.spill(series, operand) {
            self.record_slowest(series, operand);
        }
    }

    #[cold]
    #[inline(never)]
    fn record_slowest(&self, series: &'static Series, operand: Operand) {
        if self.is_signal_safe() {
            slow::record_in_cells(series, operand);
        } else {
            slow::record(series, operand);
            self.bind_again(series);
        }
    }

    /// Puts an event into the series' cell, if this thread's lane was full a moment ago and it is
    /// not yet time to ask whether it still is; says whether it did.
    #[inline(always)]
    fn spill(&self, series: &'static Series, operand: Operand) -> bool {
        let slot = self.slot();
        let lane = own(&slot[LANE]);
        if lane < PATIENCE_UNIT {
            return false;
        }
        slot[LANE].store_relaxed(lane - PATIENCE_UNIT);
        cells::apply_to(spill_cell(slot, series), lane_sum(slot, series), series, operand);
        let spill_count = word_at(own(&slot[TAIL]) + SPILL_COUNT_AFTER_TAIL_BYTES);
        // PAIRS WITH: `lane-spill`, the agent's read of the control lines before cells.
        spill_count.store_release(spill_count.load_relaxed().wrapping_add(1));
        true
    }

    /// Changes a gauge of the series that this is bound to, wherever it lives.
    pub(crate) fn change_gauge_slowly(&self, series: &'static Series, change: GaugeChange) {
        slow::change_gauge(series, change, self.is_signal_safe());
        if !self.is_signal_safe() {
            self.bind_again(series);
        }
    }

    /// Gives a handle that was bound while its series was pending its way to the fast path.
    fn bind_again(&self, series: &'static Series) {
        let is_null = self.slot_offset_bytes.load(Ordering::Relaxed) == NULL_SLOT * SLOT_SIZE_BYTES;
        if is_null && series.producer().slot != NULL_SLOT {
            self.bind(series);
        }
    }

    /// The gauge's words, when this thread knows the segment.
    #[inline(always)]
    pub(crate) fn gauge(&self) -> Option<GaugeCell<'static>> {
        let base = own(&self.slot()[BASE]);
        if base == 0 {
            return None;
        }
        let address = base + u64::from(self.cell_offset_bytes.load(Ordering::Relaxed));
        // SAFETY:
        // - BASE is the address of the segment that this thread has entered (`slow::enter`), or
        //   zero; a forked child reads zero, so the mapping it does not have is never reached.
        // - The binding is bound (its slot is not the null slot, whose BASE stays zero), and the
        //   series' cell of four words was placed in this segment before it was defined.
        // - Cells are atomics in a mapping that is never unmapped.
        let words = unsafe {
            core::slice::from_raw_parts(
                core::ptr::with_exposed_provenance::<Word>(usize_of(address)),
                GAUGE_WORDS,
            )
        };
        GaugeCell::new(words)
    }
}

/// Offset of the slot that handles of a series use in this process, bytes; remembered for the
/// handles that lookups make.
///
/// A series that its segment has had no room for must not take the fast path: bound to the null
/// slot, it asks the slow path each time, which binds it anew once it may.
#[cold]
#[inline(never)]
fn find_slot(series: &'static Series) -> u32 {
    let inner = series.producer();
    let is_pending = inner.segment().is_some_and(|s| !s.has_defined(series.log_index));
    let slot = if is_pending { NULL_SLOT } else { inner.slot.min(NULL_SLOT) };
    let offset = slot * SLOT_SIZE_BYTES;
    let cell = series.lane_cell_offset_bytes.filter(|_| !is_pending);
    // PAIRS WITH: `lane-cell`, the load in `add_in_lane_of`.
    series.lane_cell.store_release(cell.map_or(NO_LANE_CELL, |cell| lane_cell(offset, cell)));
    // PAIRS WITH: `handle-slot`, the loads in `again` and `observe_of`.
    series.handle_slot.store_release(if is_pending { 0 } else { u64::from(offset) + 1 });
    offset
}

/// Adds to a counter's cell in this thread's lane, without a handle; says whether there is one.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "two halves")]
pub(crate) fn add_in_lane_of(series: &'static Series, amount: u64) -> bool {
    // PAIRS WITH: `lane-cell`, the store in `find_slot`.
    let lane_cell = series.lane_cell.load_acquire();
    let slot = slot_at(thread::block(), (lane_cell >> 32) as u32);
    let base = own(&slot[LANE_CELLS]);
    if base == 0 {
        return false;
    }
    cell::add_in_lane(lane_cell_at(base, lane_cell as u32), amount);
    true
}

/// Records an observation, without a handle, if that is quickly done; says whether it was.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "an offset below 2^30")]
pub(crate) fn observe_of(series: &'static Series, value: u64) -> bool {
    // PAIRS WITH: `handle-slot`, the store in `find_slot`.
    let Some(offset) = series.handle_slot.load_acquire().checked_sub(1) else { return false };
    let slot = slot_at(thread::block(), offset as u32);
    let cursor = own(&slot[CURSOR]);
    if cursor == own(&slot[END]) {
        return false;
    }
    push(slot, cursor, series.record_word, value);
    true
}

const GAUGE_WORDS: usize = (GAUGE_SIZE_BYTES / 8) as usize;

/// An address from a word.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "it was the address of this process' memory")]
const fn usize_of(address: u64) -> usize {
    address as usize
}

/// The handle's word, for another operation on the same series.
#[inline(always)]
const fn word_for(word: u64, operation: Operation) -> u64 {
    match operation {
        // Handles of counters are packed for integers; the two codes follow each other.
        Operation::AddF64 => word + (1 << 32),
        // Records with exemplars are packed where they are made, and never come here.
        _ => word,
    }
}

/// The slot at an offset of a block.
#[inline(always)]
fn slot_at(block: &'static Block, offset_bytes: u32) -> &'static Slot {
    const _: () = assert!(SLOTS * SLOT_WORDS * 8 <= size_of::<Block>());
    let first = core::ptr::from_ref(block).cast::<Slot>();
    // SAFETY:
    // - The offset is that of one of the 64 slots: bindings, lane handles and `find_slot` store no
    //   other.
    // - A block holds that many slots.
    let slot = unsafe { first.byte_add(offset_bytes as usize) };
    // SAFETY:
    // - It points to a whole slot of the block, aligned like its words, valid for ever.
    // - Words are atomics, so a shared reference is enough.
    unsafe { &*slot }
}

/// A word of this thread's slot, read plainly, so that it can be compared where it is.
#[inline(always)]
fn own(word: &Word) -> u64 {
    // SAFETY:
    // - Only slots come here, of this thread's block or of the empty one (`Binding::slot`,
    //   `ThreadSlot`). A block is written by its thread alone, the empty one by nobody: there is
    //   no concurrent write. A block's next thread has acquired it (`block-owner`).
    // - A word is eight bytes, initialised and aligned, and the reference keeps it valid.
    unsafe { core::ptr::from_ref(word).cast::<u64>().read() }
}

/// Writes a record at the cursor of a slot that is not full.
#[inline(always)]
fn push(slot: &Slot, cursor: u64, word: u64, value: u64) {
    let tail = word_at(own(&slot[TAIL]));
    lane::append(word_at(cursor), word_at(cursor + 8), tail, word, value);
    slot[CURSOR].store_relaxed(cursor.wrapping_add(RECORD_STEP_BYTES));
    prefetch_for_writing(cursor);
}

/// A word of the lane that this thread owns.
#[inline(always)]
fn word_at(address: u64) -> &'static Word {
    // SAFETY:
    // - CURSOR differs from END, or the upper half of LANE is not zero: so `slow::claim` and
    //   `slow::resume` have set CURSOR, END and TAIL of this slot to addresses in the segment that
    //   this thread's lane is in; a forked child reads zeros.
    // - The spill count is in the same control line as the tail.
    // - CURSOR walks from there to END, both within the ring, in steps of a record.
    // - The mapping is never unmapped, the addresses are multiples of eight, and words are atomics.
    unsafe { &*core::ptr::with_exposed_provenance::<Word>(usize_of(address)) }
}

/// A series' cell in the lane that this thread owns.
#[inline(always)]
fn lane_cell_at(base: u64, offset_bytes: u32) -> &'static Word {
    let address = usize_of(base + u64::from(offset_bytes));
    // SAFETY:
    // - LANE_CELLS is not zero, so `slow::claim` has set it to the cells of this thread's lane; a
    //   forked child reads zero.
    // - Only with a series that has a cell there goes a slot in which LANE_CELLS is ever set
    //   (`cell_slot_offset_bytes` of a binding, `find_slot`; `lane_sum` asks the series), and the
    //   series' offset is below the number of cells that every lane of its producer has
    //   (`Inner::add_series`).
    // - The mapping is never unmapped, the address is a multiple of eight, and words are atomics.
    unsafe { &*core::ptr::with_exposed_provenance::<Word>(address) }
}

/// Where the count of spilled records stands in a lane's control line.
const SPILL_COUNT_AFTER_TAIL_BYTES: u64 =
    (offset_of!(RawControl, spill_count) - offset_of!(RawControl, tail)) as u64;

/// The cell of a series in the segment that this slot's thread has a lane in.
#[inline(always)]
fn spill_cell(slot: &Slot, series: &'static Series) -> &'static [Word] {
    let address = usize_of(own(&slot[BASE]) + series.cell_offset_bytes);
    // SAFETY:
    // - The upper half of LANE is not zero, so `slow::record_in_lane` has written it after it
    //   entered the segment: BASE is its address. A forked child reads zeros.
    // - The slot is that of the series' producer, and no slot is given to a handle before the
    //   series is defined in the segment (`find_slot`): its cell has its place there.
    // - The mapping is never unmapped, and words are atomics.
    unsafe {
        core::slice::from_raw_parts(
            core::ptr::with_exposed_provenance::<Word>(address),
            series.cell_words,
        )
    }
}

/// The cell of a distribution in the lane of this slot's thread, if it has one. Only where the
/// upper half of LANE is not zero.
#[inline(always)]
fn lane_sum(slot: &Slot, series: &'static Series) -> Option<&'static Word> {
    let base = own(&slot[LANE_CELLS]);
    let offset = series.lane_cell_offset_bytes.filter(|_| base != 0)?;
    Some(lane_cell_at(base, offset))
}

/// Takes the cache line [`PREFETCH_AHEAD_BYTES`] behind an address for writing. A hint: any
/// address will do.
#[inline(always)]
fn prefetch_for_writing(address: u64) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY:
    // - A prefetch reads nothing architecturally and never faults, whatever the address. Every
    //   64-bit x86 processor decodes it, if only as a no-op.
    unsafe {
        core::arch::asm!(
            "prefetchw [{0} + {1}]",
            in(reg) address,
            const PREFETCH_AHEAD_BYTES,
            options(nostack, preserves_flags, nomem)
        );
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above, for PRFM.
    unsafe {
        core::arch::asm!(
            "prfm pstl1keep, [{0}, #{1}]",
            in(reg) address,
            const PREFETCH_AHEAD_BYTES,
            options(nostack, preserves_flags, nomem)
        );
    }
    #[cfg(any(not(any(target_arch = "x86_64", target_arch = "aarch64")), miri))]
    let _ = address;
}

/// This thread's slot of a producer, found once: saves the fast path two loads.
#[derive(Clone, Copy)]
pub(crate) struct ThreadSlot {
    slot: &'static Slot,
    offset_bytes: u32,
    /// Keeps the handle on its thread.
    not_send: core::marker::PhantomData<*const ()>,
}

impl ThreadSlot {
    /// The slot at this number in this thread's block.
    pub(crate) fn of(slot: u32) -> Self {
        let offset_bytes = slot.min(NULL_SLOT) * SLOT_SIZE_BYTES;
        let slot = slot_at(thread::block(), offset_bytes);
        Self { slot, offset_bytes, not_send: core::marker::PhantomData }
    }
}

impl Binding {
    /// As [`record`](Self::record), by way of a slot that was found before. Not done for a metric
    /// of another producer, or one that is not bound yet.
    #[inline(always)]
    pub(crate) fn record_in(&self, thread: ThreadSlot, operation: Operation, value: u64) -> bool {
        let offset = self.slot_offset_bytes.load(Ordering::Acquire);
        offset == thread.offset_bytes && self.record_at(thread.slot, operation, value)
    }

    /// As [`add_in_lane`](Self::add_in_lane), by way of a slot that was found before.
    #[inline(always)]
    pub(crate) fn add_in_lane_in(&self, thread: ThreadSlot, amount: u64) -> bool {
        let offset = self.cell_slot_offset_bytes.load(Ordering::Acquire);
        offset == thread.offset_bytes && self.add_in_lane_at(thread.slot, amount)
    }
}
