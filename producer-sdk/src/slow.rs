//! The slow path: what a record does when the fast path cannot place it.
//!
//! It finishes the record itself, in this order of preference: into this thread's lane, into the
//! series' cells in the segment, into the series' private cells. Nothing here waits, and nothing
//! allocates while there is a segment. Records of several slots always come here, and go into a
//! lane or nowhere.

use ringmeter_layout::exemplar::LongRecord;
use ringmeter_layout::lane::{self, ACK_READ_INTERVAL_RECORDS};
use ringmeter_layout::word::Word;

use crate::cells::{GaugeChange, Operand, apply, apply_change, apply_privately, change_privately};
use crate::registry::{Inner, Series};
use crate::segment::{NoLane, Patience, Segment};
use crate::thread::{
    self, ACK, BASE, Block, CURSOR, END, LANE, LANE_CELLS, NULL_SLOT, PATIENCE_UNIT,
    PRODUCER_SLOTS, SEGMENT, Slot, TAIL,
};

/// Producers by slot, for handing lanes back at the end of a thread.
pub(crate) static PRODUCERS: [crate::leaked::Leaked<Inner>; PRODUCER_SLOTS as usize] =
    [const { crate::leaked::Leaked::empty() }; PRODUCER_SLOTS as usize];

/// Records an event of a counter, histogram or summary.
#[cold]
#[inline(never)]
pub(crate) fn record(series: &'static Series, operand: Operand) {
    let inner = series.producer();
    let Some(segment) = inner.segment_for(series) else {
        apply_privately(inner, series, operand);
        return;
    };
    match own_slot(inner) {
        Some(slot) => record_in_lane(segment, slot, series, operand),
        None => spill_without_lane(segment, series, operand),
    }
}

/// Does ahead of time what this thread's first record would: opens the segment if that is
/// possible, takes a block, claims a lane.
pub(crate) fn prepare_thread(inner: &'static Inner) {
    let Some(segment) = inner.segment().or_else(|| inner.try_open()) else { return };
    let Some(slot) = own_slot(inner) else { return };
    enter(segment, slot);
    if slot[LANE].load_relaxed() == 0 {
        slot[ACK].store_relaxed(0);
        claim(inner, segment, slot, Patience::Wait);
    }
}

/// Records into cells only: for signal handlers.
#[cold]
#[inline(never)]
pub(crate) fn record_in_cells(series: &'static Series, operand: Operand) {
    match series.producer().segment_with(series) {
        Some(segment) => spill_without_lane(segment, series, operand),
        None => apply_privately(series.producer(), series, operand),
    }
}

/// What the upper half of LANE holds.
const PATIENCE_MAX: u64 = u64::MAX / PATIENCE_UNIT;

fn record_in_lane(
    segment: &'static Segment,
    slot: &'static Slot,
    series: &'static Series,
    operand: Operand,
) {
    enter(segment, slot);
    let lane = match lane_of(slot) {
        Some(lane) => lane,
        None => match claim(series.producer(), segment, slot, Patience::None) {
            Some(lane) => lane,
            None => {
                spill_without_lane(segment, series, operand);
                return;
            }
        },
    };
    if !write(segment, slot, lane, series, operand) {
        apply(segment.memory(), series, operand);
        segment.publish_lane_spill(lane);
        // The next ones need not ask: `hot` spills them itself.
        let patience = segment.records_until_look(lane).min(PATIENCE_MAX) * PATIENCE_UNIT;
        slot[LANE].store_relaxed(patience + u64::from(lane) + 1);
    }
}

/// The lane that a slot's thread owns.
fn lane_of(slot: &[Word]) -> Option<u32> {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    let lane = slot[LANE].load_relaxed() as u32;
    lane.checked_sub(1)
}

/// This thread's slot of a producer.
fn own_slot(inner: &Inner) -> Option<&'static Slot> {
    let own = if inner.slot == NULL_SLOT { None } else { thread::own_block() };
    own.and_then(|block| thread::slot(block, inner.slot))
}

/// A thread's first record into a segment: from here on its gauges need no slow path.
fn enter(segment: &Segment, slot: &Slot) {
    let address = core::ptr::from_ref(segment).addr() as u64;
    if slot[SEGMENT].load_relaxed() == address {
        return;
    }
    for word in slot {
        word.store_relaxed(0);
    }
    slot[SEGMENT].store_relaxed(address);
    slot[BASE].store_relaxed(segment.memory().map_or(0, |memory| memory.address(0)));
}

/// Records between two tries to claim a lane, after another thread was in the way.
const CONTENDED_INTERVAL_RECORDS: u64 = 4;

/// Claims a lane, or counts down to the next try.
fn claim(inner: &Inner, segment: &Segment, slot: &Slot, patience: Patience) -> Option<u32> {
    let wait = slot[ACK].load_relaxed();
    if wait > 0 {
        slot[ACK].store_relaxed(wait - 1);
        return None;
    }
    let lane = match segment.claim_lane(inner.registry.cell_ranges(), patience) {
        Ok(lane) => {
            inner.keep_lane_refusal(None);
            lane
        }
        Err(NoLane::Contended) => {
            slot[ACK].store_relaxed(CONTENDED_INTERVAL_RECORDS);
            return None;
        }
        Err(NoLane::Left(error)) => {
            inner.keep_lane_refusal(Some(error));
            slot[ACK].store_relaxed(ACK_READ_INTERVAL_RECORDS.into());
            return None;
        }
    };
    let tail = segment.tail(lane)?;
    let position = lane::published(tail);
    segment.forget_looks(lane);
    // How far the lane is acked is not known here: what the agent says, else a whole lane back.
    let capacity = segment.lane_capacity()?.records();
    let oldest = position.saturating_sub(capacity);
    let ack = segment.read_ack(lane, oldest, position);
    slot[ACK].store_relaxed(ack);
    slot[LANE].store_relaxed(u64::from(lane) + 1);
    slot[TAIL].store_relaxed(core::ptr::from_ref(tail).expose_provenance() as u64);
    slot[LANE_CELLS].store_relaxed(segment.lane_cells_address(lane));
    resume(segment, slot, lane, position, ack);
    Some(lane)
}

/// Lets the fast path write from `position` to the next place where it must ask.
fn resume(segment: &Segment, slot: &Slot, lane: u32, position: u64, ack: u64) {
    if let Some(stretch) = segment.stretch(lane, position, ack) {
        slot[CURSOR].store_relaxed(stretch.cursor);
        slot[END].store_relaxed(stretch.end);
    }
}

/// Writes a record into the lane if there is room; looks at the ack if there seems to be none.
fn write(
    segment: &'static Segment,
    slot: &Slot,
    lane: u32,
    series: &Series,
    operand: Operand,
) -> bool {
    let Some(capacity) = segment.lane_capacity() else { return false };
    let Some(tail) = segment.tail(lane) else { return false };
    // Published by this thread, or by the lane's owner before it.
    let position = tail.load_relaxed();
    let mut ack = slot[ACK].load_relaxed();
    if position.wrapping_sub(ack) >= capacity.records() {
        let known = ack;
        ack = segment.look_at_ack(lane, ack, position);
        if ack == known {
            return false;
        }
        slot[ACK].store_relaxed(ack);
    }
    resume(segment, slot, lane, position, ack);
    let at = segment.ring_offset_bytes(lane) + capacity.slot(position) * 16;
    let place = segment.memory().and_then(|memory| memory.words(at, 2));
    let Some([word, value]) = place else { return false };
    let packed = series.record_word_for(operand.operation);
    let next = position.wrapping_add(1);
    lane::write(word, value, tail, packed, operand.value, next);
    slot[CURSOR].store_relaxed(slot[CURSOR].load_relaxed() + 16);
    true
}

/// Records an event of several slots, if this thread's lane has room for all of them; says whether
/// it has. No system call while the lane has room.
#[inline(never)]
pub(crate) fn record_long(series: &'static Series, record: &LongRecord) -> bool {
    let inner = series.producer();
    let Some(segment) = inner.segment_for(series) else { return false };
    let Some(slot) = own_slot(inner) else { return false };
    enter(segment, slot);
    let lane = lane_of(slot).or_else(|| claim(inner, segment, slot, Patience::None));
    lane.is_some_and(|lane| write_long(segment, slot, lane, record))
}

fn write_long(segment: &'static Segment, slot: &Slot, lane: u32, record: &LongRecord) -> bool {
    let Some(capacity) = segment.lane_capacity() else { return false };
    let Some(tail) = segment.tail(lane) else { return false };
    let position = tail.load_relaxed();
    let slots = record.slots();
    let has_room = |ack| capacity.limit(ack).wrapping_sub(position) >= slots.len() as u64;
    let mut ack = slot[ACK].load_relaxed();
    if !has_room(ack) {
        let known = ack;
        ack = segment.look_at_ack(lane, ack, position);
        slot[ACK].store_relaxed(ack);
        if ack != known {
            // There is some room: the next ones need not spill unasked.
            slot[LANE].store_relaxed(u64::from(lane) + 1);
        }
    }
    if !has_room(ack) {
        return false;
    }
    let ring = segment.ring_offset_bytes(lane);
    let place = |position| {
        let place = segment.memory()?.words(ring + capacity.slot(position) * 16, 2)?;
        place.split_first().and_then(|(word, rest)| Some((word, rest.first()?)))
    };
    if !lane::write_long(slots, position, tail, place) {
        return false;
    }
    // There was room a moment ago: the next ones need not spill unasked.
    slot[LANE].store_relaxed(u64::from(lane) + 1);
    resume(segment, slot, lane, tail.load_relaxed(), ack);
    true
}

fn spill_without_lane(segment: &Segment, series: &'static Series, operand: Operand) {
    apply(segment.memory(), series, operand);
    segment.publish_shared_spill();
}

/// Changes a gauge when the fast path has no base to find it by.
#[cold]
#[inline(never)]
pub(crate) fn change_gauge(series: &'static Series, change: GaugeChange, in_signal: bool) {
    let inner = series.producer();
    let segment = if in_signal { inner.segment_with(series) } else { inner.segment_for(series) };
    if let Some(segment) = segment {
        if !in_signal {
            if let Some(slot) = own_slot(inner) {
                enter(segment, slot);
            }
        }
        apply_change(segment.memory(), series, change);
        return;
    }
    change_privately(inner, series, change);
}

/// Hands back every lane of a block; runs when its thread ends.
pub(crate) static RELEASE_LANES: fn(&Block) = release_lanes;

fn release_lanes(block: &Block) {
    for (slot, producer) in block.chunks(thread::SLOT_WORDS).zip(&PRODUCERS) {
        let lane = lane_of(slot);
        let Some(segment) = producer.get().and_then(Inner::segment) else { continue };
        let address = core::ptr::from_ref(segment).addr() as u64;
        if let (Some(lane), true) = (lane, slot[SEGMENT].load_relaxed() == address) {
            segment.release_lane(lane);
        }
    }
}
