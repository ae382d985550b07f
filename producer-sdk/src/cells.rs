//! Cells from the app's side: applying events to them, and moving what was counted privately
//! into a segment.

use core::mem::offset_of;

use ringmeter_layout::cell;
use ringmeter_layout::mapping::Mapping;
use ringmeter_layout::naming::Kind;
use ringmeter_layout::record::Operation;
use ringmeter_layout::segment::{RawLive, live_word_offset_bytes};
use ringmeter_layout::word::{Word, fence_all};

use crate::registry::{Inner, Series};
use crate::segment::Segment;

/// What a record says, without its series.
#[derive(Clone, Copy)]
pub(crate) struct Operand {
    pub(crate) operation: Operation,
    pub(crate) value: u64,
}

/// Something that the SDK refuses to record.
#[derive(Clone, Copy)]
pub(crate) enum Rejection {
    /// An observation that is not a number.
    NotANumber,
    /// A counter increment below zero, infinite or not a number.
    Negative,
    /// A metric whose registration failed.
    Unregistered,
    /// A lookup of label values beyond a limit, answered with the overflow series.
    Overflowed,
    /// A lookup with another number of label values than the family has names, answered likewise.
    LabelCount,
    /// An exemplar whose labels are none of one; the event is recorded.
    ExemplarLabels,
    /// An exemplar that no lane had room for; the event is recorded.
    ExemplarRoom,
}

impl Rejection {
    const fn live_offset(self) -> usize {
        match self {
            Self::NotANumber => offset_of!(RawLive, rejected_nan),
            Self::Negative => offset_of!(RawLive, rejected_negative),
            Self::Unregistered => offset_of!(RawLive, rejected_unregistered),
            Self::Overflowed => offset_of!(RawLive, overflowed_lookups),
            Self::LabelCount => offset_of!(RawLive, mislabeled_lookups),
            Self::ExemplarLabels => offset_of!(RawLive, rejected_exemplars),
            Self::ExemplarRoom => offset_of!(RawLive, dropped_exemplars),
        }
    }
}

/// How often something was rejected, as far as it is known in this process.
#[cfg(feature = "testing")]
pub(crate) fn rejected(inner: &Inner, rejection: Rejection) -> u64 {
    let at = live_word_offset_bytes(rejection.live_offset());
    let memories = [inner.private.as_ref(), inner.segment().and_then(Segment::memory)];
    let words = memories.into_iter().flatten().filter_map(|memory| memory.word(at));
    words.map(Word::load_relaxed).sum()
}

/// Counts a rejection where the agent, or a test, finds it.
#[cold]
pub(crate) fn reject(inner: &'static Inner, rejection: Rejection) {
    let offset = rejection.live_offset();
    if let Some(segment) = inner.segment() {
        segment.count_live(offset);
        return;
    }
    let Some(private) = &inner.private else { return };
    if let Some(word) = private.word(live_word_offset_bytes(offset)) {
        word.add_relaxed(1);
        fence_all();
        if let Some(segment) = inner.segment() {
            move_word(word, segment, live_word_offset_bytes(offset));
        }
    }
}

/// Applies an event to a series' cell.
pub(crate) fn apply(memory: Option<&Mapping>, series: &Series, operand: Operand) {
    if let Some(words) = memory.and_then(|memory| series.cell(memory)) {
        apply_to(words, None, series, operand);
    }
}

/// Applies an event to the words of a series' cell, and to its cell in this thread's lane where
/// there is one.
#[inline(always)]
pub(crate) fn apply_to(words: &[Word], lane_sum: Option<&Word>, series: &Series, operand: Operand) {
    let schema = series.producer().config.spill_schema;
    let bounds = &series.family.padded_bounds;
    match operand.operation {
        Operation::AddU64 | Operation::AddU64Exemplar => cell::add_u64(words, operand.value),
        Operation::AddF64 | Operation::AddF64Exemplar => {
            cell::add_f64(words, f64::from_bits(operand.value));
        }
        Operation::ObserveF64 | Operation::ObserveF64Exemplar => {
            cell::observe(words, lane_sum, schema, bounds, f64::from_bits(operand.value));
        }
    }
}

pub(crate) fn apply_privately(inner: &'static Inner, series: &'static Series, operand: Operand) {
    apply(inner.private.as_ref(), series, operand);
    // Either whoever opens the segment sees this count and moves it, or this thread sees the
    // segment and moves it itself: both look after a full fence.
    fence_all();
    if let Some(segment) = inner.segment_with(series) {
        move_series(inner, segment, series);
    }
}

/// Moves what a counter or distribution has counted privately into the segment. Each count moves
/// once: a word is taken by exchanging it for zero. (Gauges are taken over before, see
/// [`Inner::take_over`].)
pub(crate) fn move_series(inner: &Inner, segment: &Segment, series: &Series) {
    let Some(private) = &inner.private else { return };
    let kind = series.kind();
    if kind == Kind::Gauge {
        return;
    }
    let to = segment.memory().and_then(|memory| series.cell(memory));
    let (Some(from), Some(to)) = (series.cell(private), to) else { return };
    let mut moved = false;
    for (index, (from, to)) in from.iter().zip(to).enumerate() {
        if index == cell::state_word(kind) {
            continue;
        }
        moved |= if holds_float(kind, index) {
            cell::move_float(from, to)
        } else {
            cell::move_integer(from, to)
        };
    }
    if moved {
        segment.publish_shared_spill();
    }
}

const fn holds_float(kind: Kind, word: usize) -> bool {
    match kind {
        Kind::Counter => word == cell::COUNTER_FLOAT,
        Kind::Gauge => false,
        Kind::Histogram | Kind::Summary => word == cell::DISTRIBUTION_SUM,
    }
}

/// Moves a plain count into the same place of the segment.
pub(crate) fn move_word(from: &Word, segment: &Segment, offset_bytes: u64) {
    if let Some(to) = segment.memory().and_then(|memory| memory.word(offset_bytes)) {
        cell::move_integer(from, to);
    }
}

/// A change of a gauge.
#[derive(Clone, Copy)]
pub(crate) enum GaugeChange {
    Set(f64),
    Add(f64),
}

pub(crate) fn apply_change(memory: Option<&Mapping>, series: &Series, change: GaugeChange) {
    let words = memory.and_then(|memory| memory.words(series.cell_offset_bytes, 4));
    let Some(gauge) = words.and_then(cell::GaugeCell::new) else { return };
    match change {
        GaugeChange::Set(value) => gauge.set(value),
        GaugeChange::Add(value) => gauge.add(value),
    }
}

/// A private gauge's value once the gauge lives in a segment: a not-a-number that no calculation
/// yields.
const TAKEN_OVER: u64 = 0x7ff8_5249_4e47_4d54;

/// Changes a gauge in private memory, or in the segment that it has been taken over to.
pub(crate) fn change_privately(inner: &Inner, series: &Series, change: GaugeChange) {
    let Some(word) = inner.private.as_ref().and_then(|p| p.word(series.cell_offset_bytes)) else {
        return;
    };
    let mut seen = word.load_relaxed();
    loop {
        if seen == TAKEN_OVER {
            // PAIRS WITH: `gauges`: set before the first gauge was taken over to it.
            fence_all();
            let segment = inner.gauges.get();
            apply_change(segment.and_then(Segment::memory), series, change);
            return;
        }
        let new = match change {
            GaugeChange::Set(value) => value,
            GaugeChange::Add(value) => f64::from_bits(seen) + value,
        };
        match word.compare_exchange_weak_relaxed(seen, new.to_bits()) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}

impl Inner {
    /// Gives a gauge's private value to a segment, before anybody records there. From the moment
    /// at which the private word says so, every change goes to the segment, so none is lost and
    /// none is applied to an older value. Under the registration lock.
    pub(crate) fn take_over(&self, segment: &'static Segment, series: &Series) {
        if series.kind() != Kind::Gauge {
            return;
        }
        let at = series.cell_offset_bytes;
        let from = self.private.as_ref().and_then(|private| private.word(at));
        let to = segment.memory().and_then(|memory| memory.words(at, 2));
        let (Some(from), Some([value, changes])) = (from, to) else { return };
        self.gauges.set(segment);
        let mut seen = from.load_relaxed();
        while seen != TAKEN_OVER {
            value.store_relaxed(seen);
            changes.store_relaxed(u64::from(seen != 0));
            // PAIRS WITH: `gauges`: a change that finds its gauge taken over finds the segment, and
            // the value there.
            fence_all();
            match from.compare_exchange_acquire(seen, TAKEN_OVER) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}
