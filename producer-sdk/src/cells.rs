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
}

impl Rejection {
    const fn live_offset(self) -> usize {
        match self {
            Self::NotANumber => offset_of!(RawLive, rejected_nan),
            Self::Negative => offset_of!(RawLive, rejected_negative),
            Self::Unregistered => offset_of!(RawLive, rejected_unregistered),
            Self::Overflowed => offset_of!(RawLive, overflowed_lookups),
        }
    }
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
    let Some(words) = memory.and_then(|memory| series.cell(memory)) else { return };
    let schema = series.producer().config.spill_schema;
    let bounds = &series.family.definition.bounds;
    match operand.operation {
        Operation::AddU64 => cell::add_u64(words, operand.value),
        Operation::AddF64 => cell::add_f64(words, f64::from_bits(operand.value)),
        Operation::ObserveF64 => {
            cell::observe(words, schema, bounds, f64::from_bits(operand.value));
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

/// Moves what a series has counted privately into the segment. Each count moves once: a word is
/// taken by exchanging it for zero.
pub(crate) fn move_series(inner: &Inner, segment: &Segment, series: &Series) {
    let Some(private) = &inner.private else { return };
    let kind = series.kind();
    let to = segment.memory().and_then(|memory| series.cell(memory));
    let (Some(from), Some(to)) = (series.cell(private), to) else { return };
    let mut moved = false;
    for (index, (from, to)) in from.iter().zip(to).enumerate() {
        let taken = if index == cell::state_word(kind) { 0 } else { from.swap_acq_rel(0) };
        if taken == 0 {
            continue;
        }
        moved = true;
        if holds_float(kind, index) {
            to.add_f64_relaxed(f64::from_bits(taken));
        } else {
            to.add_relaxed(taken);
        }
    }
    if moved && kind != Kind::Gauge {
        segment.publish_shared_spill();
    }
}

const fn holds_float(kind: Kind, word: usize) -> bool {
    match kind {
        Kind::Counter => word == cell::COUNTER_FLOAT,
        Kind::Gauge => word == cell::GAUGE_VALUE,
        Kind::Histogram | Kind::Summary => word == cell::DISTRIBUTION_SUM,
    }
}

/// Moves a plain count into the same place of the segment.
pub(crate) fn move_word(from: &Word, segment: &Segment, offset_bytes: u64) {
    let taken = from.swap_acq_rel(0);
    if let Some(to) = segment.memory().and_then(|memory| memory.word(offset_bytes)) {
        to.add_relaxed(taken);
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
