//! One visit of a segment, in the order that keeps honest numbers right.
//!
//! ```text
//!   begin   lane control lines     tails and spill counts, first of all
//!           live words             counts that were published before those
//!           chunk table            once more after the counts, so that every counted thing
//!                                  lies in a chunk that is known
//!   step    definitions, then records of each lane up to its tail, a round at a time
//!   finish  spill cells, cells of lanes, and gauges
//! ```
//!
//! A series is published before a record names it, and a chunk before anything in it. Reading
//! the later thing first, an honest record never names an unknown series.

use ringmeter_layout::exemplar::RECORD_SLOTS_MAX;
use ringmeter_layout::lane;
use ringmeter_layout::record::RECORD_SIZE_BYTES;
use ringmeter_layout::segment::{
    ChunkTable, LANE_CLAIMED, LANES_MAX, LIVE_OFFSET_BYTES, LaneGeometry, RawChunk, RawControl,
    RawLive, chunk_entry_offset_bytes, control_offset_bytes,
};
use ringmeter_layout::word::fence_acquire;

use crate::context::Context;
use crate::definitions::Surroundings;
use crate::long_records::Slots;
use crate::quarantine::{Reason, Refusal};
use crate::reject::{ExemplarDrop, RejectReason};
use crate::segment::{Before, KeptLane, Lane, Phase, Segment};
use crate::source::Source;
use crate::spill::{Lanes, Take};

/// Control lines read beyond the known lanes, so that new ones rarely need a second read.
const LINES_AHEAD: usize = 4;

impl Segment {
    /// Looks what is there: liveness, tails, and what was published.
    pub fn begin(&mut self, context: &mut Context<'_>) -> Result<(), Refusal> {
        self.is_visited = true;
        self.begun_ns = context.now_ns;
        self.ask_for_life(context);
        let mut lines = (self.lanes.len() + LINES_AHEAD).min(LANES_MAX as usize);
        let mut live = self.read_heads(lines, context)?;
        let count = |live: &RawLive, known| {
            ChunkTable::check_lane_count(known, live.lane_count)
                .map_err(|error| Refusal::new(Reason::Lanes, error))
        };
        let known = u32::try_from(self.lanes.len()).unwrap_or(LANES_MAX);
        if count(&live, known)? as usize > lines {
            lines = LANES_MAX as usize;
            live = self.read_heads(lines, context)?;
        }
        let lane_count = count(&live, known)?;
        if live.definition_count != self.live.definition_count || lane_count > known {
            // Read after the counts: the live words are not copied in any certain order.
            let chunk_count = read_live(&*self.source)?.chunk_count;
            self.read_chunks(chunk_count)?;
        }
        self.definitions.publish(live.definition_count)?;
        self.add_lanes(known..lane_count, context)?;
        self.aim(context)?;
        self.follow_live(&live, context);
        Ok(())
    }

    fn ask_for_life(&mut self, context: &Context<'_>) {
        let waited = context.now_ns.saturating_sub(self.life_asked_ns);
        if self.phase == Phase::Live && waited >= context.limits.life_interval_ns {
            self.life_asked_ns = context.now_ns;
            // A query that fails says nothing.
            if matches!(self.source.is_alive(), Ok(false)) {
                self.phase = Phase::Dying;
            }
        }
    }

    /// Records that are published by now and not read. A tail that cannot be right counts as none:
    /// who aims at it is told.
    pub fn published(&self, context: &mut Context<'_>) -> Result<u64, Refusal> {
        let controls = context.buffers.controls.get_mut(..self.lanes.len()).unwrap_or_default();
        self.source
            .read(control_offset_bytes(0), bytemuck::cast_slice_mut(controls))
            .map_err(|error| Refusal::of_read(&error))?;
        let each = self.lanes.iter().zip(&*controls);
        Ok(each.fold(0, |sum: u64, (lane, line)| {
            let own = lane::readable(self.capacity(), lane.position, line.tail);
            sum.saturating_add(own.unwrap_or(0))
        }))
    }

    /// Reads control lines and then live words.
    fn read_heads(&self, lines: usize, context: &mut Context<'_>) -> Result<RawLive, Refusal> {
        let controls = context.buffers.controls.get_mut(..lines).unwrap_or_default();
        self.source
            .read(control_offset_bytes(0), bytemuck::cast_slice_mut(controls))
            .map_err(|error| Refusal::of_read(&error))?;
        // PAIRS WITH: `lane-tail`: the records before the tails just read,
        // PAIRS WITH: `lane-spill`: and the cells behind the spill counts, are read after this.
        fence_acquire();
        read_live(&*self.source)
    }

    fn read_chunks(&mut self, published: u64) -> Result<(), Refusal> {
        let refuse = |error| Refusal::new(Reason::Chunks, error);
        let count = self.chunks.check_count(published).map_err(refuse)?;
        let known = self.chunks.count();
        if count == known {
            return Ok(());
        }
        let read = |error| Refusal::of_read(&error);
        let file_size_bytes = self.source.size_bytes().map_err(read)?;
        // PAIRS WITH: `chunk-count`, read before in the live words.
        let mut entries = vec![RawChunk::default(); (count - known) as usize];
        let at = chunk_entry_offset_bytes(known);
        self.source.read(at, bytemuck::cast_slice_mut(&mut entries)).map_err(read)?;
        for entry in &entries {
            self.chunks.push(entry, &self.geometry, file_size_bytes).map_err(refuse)?;
        }
        Ok(())
    }

    fn add_lanes(
        &mut self,
        new: std::ops::Range<u32>,
        context: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        for index in new {
            // PAIRS WITH: `lane-count`, read before in the live words. The line in the buffer may
            // be older than the count that published the lane.
            let mut line = [RawControl::default()];
            self.source
                .read(control_offset_bytes(index), bytemuck::cast_slice_mut(&mut line))
                .map_err(|error| Refusal::of_read(&error))?;
            let [line] = line;
            let geometry = LaneGeometry::parse(&line, &self.geometry, &self.chunks)
                .map_err(|error| Refusal::new(Reason::Lanes, format!("lane {index}: {error}")))?;
            let tail = context.buffers.controls.get(index as usize).map_or(0, |line| line.tail);
            let kept = match &self.before {
                Before::Kept(lanes) => lanes.get(index as usize).copied().unwrap_or_default(),
                _ => KeptLane::default(),
            };
            let before = match &self.before {
                Before::Nothing => Some(0),
                Before::Kept(_) => Some(kept.position),
                Before::Positions(all) => Some(all.get(index as usize).copied().unwrap_or(0)),
                Before::Unknown => None,
            };
            // A tail before what was acked is a lie, which ends the segment: positions never go
            // back, or the ledger would look older than the acks.
            let is_resumed = matches!(self.before, Before::Kept(_));
            let usable = |at: &u64| {
                is_resumed || *at > tail || lane::readable(self.capacity(), *at, tail).is_ok()
            };
            let position = before.filter(usable).unwrap_or_else(|| {
                // The ack is lost. What the lane holds may have been taken before.
                context.counts.lanes_rebased = context.counts.lanes_rebased.saturating_add(1);
                tail
            });
            let is_known = !self.before.is_vague();
            self.lanes.push(Lane {
                ring_offset_bytes: geometry.ring_offset_bytes,
                cells_offset_bytes: geometry.cells_offset_bytes,
                position,
                target: position,
                // The ack may be behind the ledger: then it is written again.
                acked: if is_resumed { 0 } else { before.unwrap_or(0) },
                skip: kept.skip,
                // Spill before this agent is in the cells' baseline.
                spill_count: if is_known || self.complete_ns > 0 {
                    kept.spill_count
                } else {
                    line.spill_count
                },
                tail_failures: 0,
                is_claimed: false,
            });
        }
        Ok(())
    }

    /// Sets for each lane how far this pass reads.
    fn aim(&mut self, context: &mut Context<'_>) -> Result<(), Refusal> {
        let capacity = self.capacity();
        for (index, (lane, line)) in
            self.lanes.iter_mut().zip(&context.buffers.controls).enumerate()
        {
            lane.is_claimed = line.state == LANE_CLAIMED;
            if line.tail != lane.position {
                self.moved_ns = context.now_ns;
            }
            match lane::readable(capacity, lane.position, line.tail) {
                Ok(_) => (lane.target, lane.tail_failures) = (line.tail, 0),
                Err(error) => {
                    lane.target = lane.position;
                    lane.tail_failures += 1;
                    if lane.tail_failures >= context.limits.tail_failures_max {
                        let detail = format!("lane {index}: {error}");
                        return Err(Refusal::new(Reason::Tail, detail));
                    }
                }
            }
            let spilled = line.spill_count.saturating_sub(lane.spill_count);
            if line.spill_count != lane.spill_count {
                context.counts.spilled = context.counts.spilled.saturating_add(spilled);
                lane.spill_count = line.spill_count;
                self.cells.is_due = true;
                self.moved_ns = context.now_ns;
            }
        }
        Ok(())
    }

    /// Adds what moved in the live words.
    fn follow_live(&mut self, live: &RawLive, context: &mut Context<'_>) {
        let is_resumed = self.needs_baseline();
        let seen = std::mem::replace(&mut self.live, *live);
        let is_moved = live.shared_spill_count != seen.shared_spill_count
            || live.retire_changes != seen.retire_changes;
        // PAIRS WITH: `shared-spill`: cells are read after the live words,
        // PAIRS WITH: `retire`: and so are states.
        self.cells.is_due |= is_moved;
        if is_moved {
            self.moved_ns = context.now_ns;
        }
        if is_resumed {
            return;
        }
        let more = |now: u64, before: u64| now.saturating_sub(before);
        let counts = &mut context.counts;
        let spilled = more(live.shared_spill_count, seen.shared_spill_count);
        counts.spilled = counts.spilled.saturating_add(spilled);
        let overflowed = more(live.overflowed_lookups, seen.overflowed_lookups);
        counts.overflowed_lookups = counts.overflowed_lookups.saturating_add(overflowed);
        let mislabeled = more(live.mislabeled_lookups, seen.mislabeled_lookups);
        counts.mislabeled_lookups = counts.mislabeled_lookups.saturating_add(mislabeled);
        let rejected = &mut context.aggregate.rejected;
        rejected.add(RejectReason::Nan, more(live.rejected_nan, seen.rejected_nan));
        let negative = more(live.rejected_negative, seen.rejected_negative);
        rejected.add(RejectReason::Negative, negative);
        let unregistered = more(live.rejected_unregistered, seen.rejected_unregistered);
        rejected.add(RejectReason::Unregistered, unregistered);
        let dropped = &mut context.aggregate.exemplars_dropped;
        let labels = more(live.rejected_exemplars, seen.rejected_exemplars);
        dropped.add(ExemplarDrop::Labels, labels);
        dropped.add(ExemplarDrop::Lane, more(live.dropped_exemplars, seen.dropped_exemplars));
    }

    /// Does one round: definitions, or when all are read, a share of each lane. What it takes is
    /// spent from what the segment is allowed.
    pub fn step(&mut self, context: &mut Context<'_>) -> Result<(), Refusal> {
        if !self.definitions.is_complete() {
            let start_unix_ms = self.start_of_new_series(context);
            context.aggregate.begin_series_at(start_unix_ms);
            let mut around = Surroundings {
                source: &*self.source,
                geometry: &self.geometry,
                chunks: &self.chunks,
                local: &mut self.local,
                cells: &mut self.cells,
            };
            let spent = self.definitions.read(&mut around, context)?;
            self.pace.spend(spent);
            return Ok(());
        }
        let mut left = context.limits.records_per_step.min(self.pace.allowance());
        let count = self.lanes.len();
        for _ in 0..count {
            let drained = self.drain_lane(self.next_lane % count, left, context)?;
            self.pace.spend(drained);
            left = left.saturating_sub(drained);
            self.next_lane = (self.next_lane + 1) % count;
            if left == 0 {
                break;
            }
        }
        Ok(())
    }

    /// The latest time at which a series that is defined now was certainly 0, in milliseconds
    /// since 1970. A process that lies about its birth can only make its series look older.
    fn start_of_new_series(&self, context: &Context<'_>) -> u64 {
        let now_ms = context.aggregate.unix_ms(context.now_ns);
        if self.complete_ns > 0 {
            // It was not there when everything was read.
            context.aggregate.unix_ms(self.complete_ns)
        } else if self.before.is_vague() {
            // What was taken before is not in our totals.
            now_ms
        } else {
            (self.geometry.created_unix_ns / 1_000_000).min(now_ms)
        }
    }

    /// Reads a share of one lane, at most `most` slots and what the last record has beyond;
    /// returns how many that was.
    fn drain_lane(
        &mut self,
        index: usize,
        most: u64,
        context: &mut Context<'_>,
    ) -> Result<u64, Refusal> {
        let capacity = self.capacity();
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(0) };
        let share = lane.backlog().min(context.limits.records_per_round).min(most);
        if share == 0 {
            return Ok(0);
        }
        // A record is taken whole, whatever the share: what may belong to the last one is read.
        let ahead = share.saturating_add(RECORD_SLOTS_MAX as u64 - 1).min(lane.backlog());
        let records = context.buffers.records.get_mut(..usize::try_from(ahead).unwrap_or(0));
        let records = records.unwrap_or_default();
        let slot = capacity.slot(lane.position);
        let to_wrap = usize::try_from(capacity.records() - slot).unwrap_or(usize::MAX);
        let (first, wrapped) = records.split_at_mut(to_wrap.min(records.len()));
        for (slot, part) in [(slot, first), (0, wrapped)] {
            if !part.is_empty() {
                let at = lane.ring_offset_bytes + slot * RECORD_SIZE_BYTES as u64;
                self.source
                    .read(at, bytemuck::cast_slice_mut(part))
                    .map_err(|error| Refusal::of_read(&error))?;
            }
        }
        let slots = Slots { read: records, wanted: usize::try_from(share).unwrap_or(0) };
        let taken = context.aggregate.gather(slots, &self.local, &mut lane.skip, context.now_ns);
        context.counts.drained = context.counts.drained.saturating_add(taken.records);
        lane.position = lane.position.wrapping_add(taken.slots);
        Ok(taken.slots)
    }

    /// Reads cells and gauges where that is due. `is_scrape` makes them due.
    pub fn finish(&mut self, is_scrape: bool, context: &mut Context<'_>) -> Result<(), Refusal> {
        if !self.is_caught_up() {
            return Ok(());
        }
        let schema = self.geometry.spill_schema;
        let is_last = self.phase == Phase::Dying;
        self.cells.is_last = is_last;
        let waited = context.now_ns.saturating_sub(self.cells.taken_ns);
        let interval_ns = self.cells.interval_ns(context.limits.spill_interval_ns);
        let is_time = waited >= interval_ns || is_scrape;
        let is_first = self.complete_ns == 0;
        let offsets: Vec<u64> =
            self.lanes.iter().filter_map(|lane| lane.cells_offset_bytes).collect();
        let lanes = Lanes { cells: self.geometry.lane_cells, offsets_bytes: &offsets };
        if self.needs_baseline() {
            context.counts.segments_baselined += 1;
            self.cells.take(&lanes, &*self.source, schema, Take::Baseline, context)?;
        } else if is_last || (self.cells.is_due && is_time) {
            let age = context.now_ns.saturating_sub(self.cells.settled_ns);
            let is_late = (is_first && self.is_old) || age > context.limits.spill_late_after_ns;
            let take = if is_late { Take::Late } else { Take::Fresh };
            self.cells.take(&lanes, &*self.source, schema, take, context)?;
        } else if !self.cells.is_due {
            self.cells.settled_ns = context.now_ns;
        }
        let waited = context.now_ns.saturating_sub(self.cells.lanes_taken_ns);
        let is_taken = self.cells.taken_ns == context.now_ns;
        if !is_taken && (is_scrape || waited >= self.cells.lanes_interval_ns(context.limits)) {
            self.cells.take_lanes(&lanes, &*self.source, context)?;
        }
        if !is_last && (is_scrape || is_first || (is_time && self.cells.follows_gauges())) {
            self.cells.read_gauges(&*self.source, context)?;
        }
        // As of the counts that it was read up to.
        self.complete_ns = self.begun_ns.max(1);
        Ok(())
    }
}

fn read_live(source: &dyn Source) -> Result<RawLive, Refusal> {
    let mut live = [RawLive::default()];
    source
        .read(LIVE_OFFSET_BYTES.into(), bytemuck::cast_slice_mut(&mut live))
        .map_err(|error| Refusal::of_read(&error))?;
    // PAIRS WITH: `definition-count`: what the counts stand for is read after them.
    fence_acquire();
    let [live] = live;
    Ok(live)
}

#[cfg(test)]
mod tests;
