//! The fast path. One of three modules with `unsafe`.
//!
//! A handle holds a [`Binding`]: the packed first word of its records, the offset of its cell and
//! of its producer's slot in the thread's block. Recording is one comparison and four stores:
//!
//! ```text
//!     if CURSOR == END { slow path }           zero slot, full lane, wrap: all the same
//!     [CURSOR + 8] = value
//!     [CURSOR]     = word
//!     [TAIL]       = (CURSOR + 16 + BIAS) / 16     release: the record is published
//!     CURSOR      += 16
//!     prefetch for writing, eight lines ahead
//! ```

#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU32, Ordering};

use ringmeter_layout::cell::{GAUGE_SIZE_BYTES, GaugeCell, is_retired};
use ringmeter_layout::lane;
use ringmeter_layout::record::{Operation, RECORD_SIZE_BYTES};
use ringmeter_layout::word::Word;

use crate::cells::{GaugeChange, Operand};
use crate::leaked::Leaked;
use crate::registry::{Family, Series};
use crate::slow;
use crate::thread::{
    self, BASE, BIAS, Block, CURSOR, END, NULL_SLOT, SIGNAL_SLOT, SLOT_WORDS, SLOTS, Slot, TAIL,
};

/// How far ahead lines are taken for writing: the agent's reading has made them shared.
const PREFETCH_AHEAD_BYTES: u64 = 512;
const RECORD_STEP_BYTES: u64 = RECORD_SIZE_BYTES as u64;
#[expect(clippy::cast_possible_truncation, reason = "64 bytes")]
const SLOT_SIZE_BYTES: u32 = (SLOT_WORDS * 8) as u32;

/// What a handle needs to record. Unbound until its metric is registered.
#[derive(Debug)]
pub(crate) struct Binding {
    /// Offset of the producer's slot in a thread's block, bytes. Always one of a slot.
    slot_offset_bytes: AtomicU32,
    /// Offset of the cell in the segment, in units of eight bytes.
    cell_offset_words: AtomicU32,
    /// First word of the records.
    word: Word,
    series: Leaked<Series>,
}

impl core::fmt::Debug for Series {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}{:?}", self.family.definition.name, self.label_values)
    }
}

impl Clone for Binding {
    fn clone(&self) -> Self {
        match self.series.get() {
            Some(series) => {
                let copy = Self::unbound();
                copy.bind(series);
                let slot = self.slot_offset_bytes.load(Ordering::Relaxed);
                copy.slot_offset_bytes.store(slot, Ordering::Relaxed);
                copy
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
            cell_offset_words: AtomicU32::new(0),
            word: Word::new(0),
            series: Leaked::empty(),
        }
    }

    /// A binding to a series.
    pub(crate) fn to(series: &'static Series) -> Self {
        let binding = Self::unbound();
        binding.bind(series);
        binding
    }

    /// Binds to a series; the slot last, so that the fast path never sees half a binding.
    pub(crate) fn bind(&self, series: &'static Series) {
        let cell = u32::try_from(series.cell_offset_bytes / 8).unwrap_or(0);
        self.cell_offset_words.store(cell, Ordering::Relaxed);
        self.word.store_relaxed(series.record_word());
        self.series.set(series);
        // A series that its segment has had no room for must not take the fast path: bound to
        // the null slot, it asks the slow path each time, which binds it anew once it may.
        let inner = series.producer();
        let is_pending = inner.segment().is_some_and(|s| !s.has_defined(series.log_index));
        let slot = if is_pending { NULL_SLOT } else { inner.slot.min(NULL_SLOT) };
        // PAIRS WITH: `binding`, the load in `slot`.
        self.slot_offset_bytes.store(slot * SLOT_SIZE_BYTES, Ordering::Release);
    }

    /// The same series, recorded into cells only, so that a signal handler may do it.
    pub(crate) fn signal_safe(&self) -> Self {
        let copy = self.clone();
        copy.slot_offset_bytes.store(SIGNAL_SLOT * SLOT_SIZE_BYTES, Ordering::Relaxed);
        copy
    }

    fn is_signal_safe(&self) -> bool {
        self.slot_offset_bytes.load(Ordering::Relaxed) == SIGNAL_SLOT * SLOT_SIZE_BYTES
    }

    /// Remembers that the metric cannot be registered, so that no use tries again.
    pub(crate) fn fail(&self) {
        self.cell_offset_words.store(u32::MAX, Ordering::Relaxed);
    }

    /// Whether [`fail`](Self::fail) was called.
    pub(crate) fn has_failed(&self) -> bool {
        self.series.get().is_none() && self.cell_offset_words.load(Ordering::Relaxed) == u32::MAX
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

    /// Records an event; `bind` registers the metric where that has not happened yet.
    #[inline(always)]
    pub(crate) fn record(
        &self,
        operation: Operation,
        value: u64,
        bind: impl FnOnce() -> Option<&'static Series>,
    ) {
        let slot = self.slot();
        let cursor = slot[CURSOR].load_relaxed();
        if cursor == slot[END].load_relaxed() {
            self.record_slowly(operation, value, bind);
            return;
        }
        let word = word_for(self.word.load_relaxed(), operation);
        push(slot, cursor, word, value);
    }

    #[cold]
    #[inline(never)]
    fn record_slowly(
        &self,
        operation: Operation,
        value: u64,
        bind: impl FnOnce() -> Option<&'static Series>,
    ) {
        let Some(series) = self.series().or_else(bind) else { return };
        let operand = Operand { operation, value };
        if self.is_signal_safe() {
            slow::record_in_cells(series, operand);
        } else {
            slow::record(series, operand);
            self.bind_again(series);
        }
    }

    /// Sets a gauge: two loads and three stores when this thread knows the segment.
    #[inline(always)]
    pub(crate) fn set_gauge(&self, value: f64, bind: impl FnOnce() -> Option<&'static Series>) {
        match self.gauge() {
            Some(gauge) => gauge.set(value),
            None => self.change_gauge_slowly(GaugeChange::Set(value), bind),
        }
    }

    /// Adds to a gauge.
    #[inline(always)]
    pub(crate) fn add_gauge(&self, value: f64, bind: impl FnOnce() -> Option<&'static Series>) {
        match self.gauge() {
            Some(gauge) => gauge.add(value),
            None => self.change_gauge_slowly(GaugeChange::Add(value), bind),
        }
    }

    #[cold]
    #[inline(never)]
    fn change_gauge_slowly(
        &self,
        change: GaugeChange,
        bind: impl FnOnce() -> Option<&'static Series>,
    ) {
        let Some(series) = self.series().or_else(bind) else { return };
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

    #[inline(always)]
    fn gauge(&self) -> Option<GaugeCell<'static>> {
        let base = self.slot()[BASE].load_relaxed();
        if base == 0 {
            return None;
        }
        let offset = u64::from(self.cell_offset_words.load(Ordering::Relaxed)) * 8;
        let address = base + offset;
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
        Operation::AddU64 | Operation::ObserveF64 => word,
    }
}

/// The slot at an offset of a block.
#[inline(always)]
fn slot_at(block: &'static Block, offset_bytes: u32) -> &'static Slot {
    const _: () = assert!(SLOTS * SLOT_WORDS * 8 <= size_of::<Block>());
    let first = core::ptr::from_ref(block).cast::<Slot>();
    // SAFETY:
    // - The offset is that of one of the 64 slots: bindings and lane handles store no other.
    // - A block holds that many slots.
    let slot = unsafe { first.byte_add(offset_bytes as usize) };
    // SAFETY:
    // - It points to a whole slot of the block, aligned like its words, valid for ever.
    // - Words are atomics, so a shared reference is enough.
    unsafe { &*slot }
}

/// Writes a record at the cursor of a slot that is not full.
#[inline(always)]
fn push(slot: &Slot, cursor: u64, word: u64, value: u64) {
    let next = cursor.wrapping_add(RECORD_STEP_BYTES);
    let position = next.wrapping_add(slot[BIAS].load_relaxed()) / RECORD_STEP_BYTES;
    let tail = slot[TAIL].load_relaxed();
    lane::write(word_at(cursor), word_at(cursor + 8), word_at(tail), word, value, position);
    slot[CURSOR].store_relaxed(next);
    prefetch_for_writing(cursor.wrapping_add(PREFETCH_AHEAD_BYTES));
}

/// A word of the lane that this thread owns.
#[inline(always)]
fn word_at(address: u64) -> &'static Word {
    // SAFETY:
    // - CURSOR differs from END, so `slow::resume` has set CURSOR, END and TAIL of this slot to
    //   addresses in the segment that this thread's lane is in; a forked child reads zeros.
    // - CURSOR walks from there to END, both within the ring, in steps of a record.
    // - The mapping is never unmapped, the addresses are multiples of eight, and words are atomics.
    unsafe { &*core::ptr::with_exposed_provenance::<Word>(usize_of(address)) }
}

/// Takes a cache line for writing ahead of time. A hint: any address will do.
#[inline(always)]
fn prefetch_for_writing(address: u64) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY:
    // - A prefetch reads nothing architecturally and never faults, whatever the address. Every
    //   64-bit x86 processor decodes it, if only as a no-op.
    unsafe {
        core::arch::asm!(
            "prefetchw [{0}]",
            in(reg) address,
            options(nostack, preserves_flags, nomem)
        );
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above, for PRFM.
    unsafe {
        core::arch::asm!(
            "prfm pstl1keep, [{0}]",
            in(reg) address,
            options(nostack, preserves_flags, nomem)
        );
    }
    #[cfg(any(not(any(target_arch = "x86_64", target_arch = "aarch64")), miri))]
    let _ = address;
}

/// The series of these label values, if this thread looked it up before.
#[inline]
pub(crate) fn cached_series(
    family: &'static Family,
    constant: &[&str],
    hash: u64,
    values: &[&str],
) -> Option<&'static Series> {
    let (tag, pointer) = thread::lookup(thread::block(), hash);
    let address = pointer.load_relaxed();
    if tag.load_relaxed() != hash || address == 0 {
        return None;
    }
    // SAFETY:
    // - The word is zero or the address of a `Series`, stored by `cache_series` alone in this
    //   thread's own block; a forked child reads zero.
    // - Series are leaked: the address is valid until the process ends.
    let series = unsafe { &*core::ptr::with_exposed_provenance::<Series>(usize_of(address)) };
    let same = core::ptr::eq(series.family, family)
        && series.label_values.len() == constant.len() + values.len()
        && series
            .label_values
            .iter()
            .zip(constant.iter().chain(values))
            .all(|(known, value)| **known == **value);
    (same && !is_retired(series.state.load_relaxed())).then_some(series)
}

/// Remembers a lookup for this thread.
pub(crate) fn cache_series(hash: u64, series: &'static Series) {
    let Some(block) = thread::own_block() else { return };
    let (tag, pointer) = thread::lookup(block, hash);
    tag.store_relaxed(hash);
    pointer.store_relaxed(core::ptr::from_ref(series).expose_provenance() as u64);
}

/// A hash of label values for the cache of lookups: quick, and safe against nothing but chance.
/// A collision costs a lookup, never a wrong series.
#[inline]
pub(crate) fn hash(family: &'static Family, values: &[&str]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = core::ptr::from_ref(family).addr() as u64;
    let mut mix = |word: u64| {
        hash = (hash ^ word).wrapping_mul(FACTOR);
        hash ^= hash >> 29;
    };
    for value in values {
        let bytes = value.as_bytes();
        mix(bytes.len() as u64);
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            mix(chunk.try_into().map_or(0, u64::from_le_bytes));
        }
        let rest = chunks.remainder();
        mix(rest.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)));
    }
    hash
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
    /// As [`record`](Self::record), by way of a slot that was found before. A metric of another
    /// producer, or one that is not bound yet, goes its own way.
    #[inline(always)]
    pub(crate) fn record_in(
        &self,
        thread: ThreadSlot,
        operation: Operation,
        value: u64,
        bind: impl FnOnce() -> Option<&'static Series>,
    ) {
        if self.slot_offset_bytes.load(Ordering::Acquire) != thread.offset_bytes {
            self.record(operation, value, bind);
            return;
        }
        let cursor = thread.slot[CURSOR].load_relaxed();
        if cursor == thread.slot[END].load_relaxed() {
            self.record_slowly(operation, value, bind);
            return;
        }
        push(thread.slot, cursor, word_for(self.word.load_relaxed(), operation), value);
    }
}
