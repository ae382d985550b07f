//! Cells: what apps put there while a lane was full, and what counters count in lanes, is taken by
//! difference; gauges are read.
//!
//! Cells are cumulative and the agent never resets one. It remembers what it took of each, and
//! adds what is new. Marks are made when something is first taken, so cells that are never used
//! cost nothing.

mod lanes;
mod marks;
mod state;

pub use lanes::Lanes;

use ringmeter_layout::bucket::{SpillSlot, spill_bucket_count};
use ringmeter_layout::cell;
use ringmeter_layout::naming::{GaugeRule, Kind};

use crate::aggregate::{Aggregate, Placed};
use crate::budget::Shortage;
use crate::context::{BUFFER_WORDS, Context};
use crate::distribution::Place;
use crate::quarantine::Refusal;
use crate::reject::RejectReason;
use crate::series::SeriesRef;
use crate::source::Source;
use crate::view::GaugeSample;
use state::{State, state_offset_bytes};

/// Gaps between cells up to this size are read over rather than read around.
const GAP_MAX_BYTES: u64 = 4096;

/// What is done with the contents of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// They were taken by an agent before this one: only what comes later counts.
    Baseline,
    /// What is new is added, and enters sliding windows.
    Fresh,
    /// What is new is added to totals only, because it may be old.
    Late,
}

/// A cell that takes spill.
#[derive(Debug)]
struct SpillCell {
    offset_bytes: u64,
    words: usize,
    kind: Kind,
    bounds: u32,
    /// Number of its cell in each lane, for the first series.
    lane_cell: Option<u32>,
    /// `None` where the metric was refused: what comes is told as rejected.
    placed: Option<Placed>,
    /// The words as taken, the state among them; none while all others are zero. A counter's
    /// integer and a distribution's sum have what is in lanes added to them.
    taken: Option<Box<[u64]>>,
    state: State,
}

/// A gauge's cell.
#[derive(Debug)]
struct GaugeCell {
    offset_bytes: u64,
    placed: Placed,
    value: f64,
    changes: u64,
    moved_ns: u64,
    is_read: bool,
    state: State,
}

/// All cells of a segment.
#[derive(Debug, Default)]
pub struct Cells {
    spill: Vec<SpillCell>,
    gauges: Vec<GaugeCell>,
    /// Series whose cells are beyond a limit: held as long as the segment is there.
    unread: Vec<SeriesRef>,
    is_sorted: bool,
    has_most_recent: bool,
    size_bytes: u64,
    held_bytes: u64,
    marks: marks::Marks,
    lanes: lanes::LaneSums,
    /// The process is dead: what is in the cells is taken now or never, whatever memory there is.
    pub is_last: bool,
    /// Something may be in the cells that was not taken.
    pub is_due: bool,
    /// When nothing was left in the cells for the last time.
    pub settled_ns: u64,
    /// When cells were read for the last time.
    pub taken_ns: u64,
    /// When the cells of lanes were read for the last time.
    pub lanes_taken_ns: u64,
    /// When something new was last found in the cells of lanes or in gauges.
    pub moved_ns: u64,
}

/// A series' cell, whose place in the segment is checked.
#[derive(Debug, Clone, Copy)]
pub struct CellPlace {
    /// The series' kind.
    pub kind: Kind,
    /// Declared buckets.
    pub bounds: u32,
    /// Where it starts in the file.
    pub offset_bytes: u64,
    /// How long it is.
    pub size_bytes: u64,
    /// Number of the series' cell in each lane.
    pub lane_cell: Option<u32>,
}

trait Placeable {
    fn span(&self) -> (u64, u64);
}

impl Placeable for SpillCell {
    fn span(&self) -> (u64, u64) {
        (self.offset_bytes, self.words as u64 * 8)
    }
}

impl Placeable for GaugeCell {
    fn span(&self) -> (u64, u64) {
        (self.offset_bytes, cell::GAUGE_SIZE_BYTES)
    }
}

impl Cells {
    /// No cells yet, and nothing in them at `now_ns`.
    pub fn new(now_ns: u64) -> Self {
        Self { settled_ns: now_ns, ..Self::default() }
    }

    /// Adds the cell of a series, which is held unless it [was retired](Self::was_retired), or of
    /// one whose metric was refused.
    pub fn push(&mut self, place: &CellPlace, placed: Option<Placed>, context: &mut Context<'_>) {
        let CellPlace { kind, bounds, offset_bytes, size_bytes, lane_cell } = *place;
        self.is_sorted = false;
        self.is_due = true;
        let state = self.restored_state(kind, offset_bytes);
        if kind == Kind::Gauge {
            let Some(placed) = placed else { return };
            let family = context.aggregate.registry().family(placed.series.family);
            self.has_most_recent |=
                family.is_some_and(|family| family.shape.gauge_rule == GaugeRule::MostRecent);
            let (value, changes, moved_ns, is_read) = (0.0, 0, 0, false);
            let gauge =
                GaugeCell { offset_bytes, placed, value, changes, moved_ns, is_read, state };
            self.gauges.push(gauge);
            return;
        }
        let most_bytes = context.limits.cells_per_segment_max_bytes;
        // What is refused leaves half to what counts.
        let most_bytes = if placed.is_some() { most_bytes } else { most_bytes / 2 };
        let size_with_bytes = self.size_bytes + size_bytes;
        // Counters are small, and bounded by the number of series.
        if kind != Kind::Counter && size_with_bytes > most_bytes {
            context.counts.cells_deferred = context.counts.cells_deferred.saturating_add(1);
            self.unread.extend(placed.filter(|_| !state.is_retired()).map(|own| own.series));
            return;
        }
        self.size_bytes = size_with_bytes;
        let words = usize::try_from(size_bytes / 8).unwrap_or(0);
        let taken = self.marks.restored(offset_bytes, words, cell::state_word(kind));
        if taken.is_some() {
            self.hold_restored(words, context.aggregate.budget());
        }
        self.spill.push(SpillCell {
            offset_bytes,
            words,
            kind,
            bounds,
            lane_cell,
            placed,
            taken,
            state,
        });
    }

    fn sort(&mut self) {
        if !self.is_sorted {
            self.spill.sort_by_key(|cell| cell.offset_bytes);
            self.gauges.sort_by_key(|gauge| gauge.offset_bytes);
            self.lanes.index(&self.spill);
            self.is_sorted = true;
        }
    }

    /// Takes memory for what is known of one definition, until the segment goes.
    ///
    /// # Errors
    /// When this segment has had its share, or others have the rest for now.
    pub fn hold(
        &mut self,
        bytes: u64,
        is_last: bool,
        context: &mut Context<'_>,
    ) -> Result<(), Shortage> {
        let share_max_bytes = context.limits.segment_memory_max_bytes;
        let budget = context.aggregate.budget();
        budget.take_share(&mut self.held_bytes, bytes, share_max_bytes, is_last)
    }

    /// Gives back what was taken for a definition that was not placed after all.
    pub fn give_back(&mut self, bytes: u64, context: &mut Context<'_>) {
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
        context.aggregate.budget().give_back(bytes);
    }

    /// Bytes held.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// How long to wait between two looks at the spill: reading cells costs a fifth of the time
    /// at most, at a byte per nanosecond.
    pub fn interval_ns(&self, at_least_ns: u64) -> u64 {
        at_least_ns.max(self.size_bytes.saturating_add(self.lanes.size_bytes()).saturating_mul(5))
    }

    /// Whether gauges are to be read between scrapes.
    pub fn follows_gauges(&self) -> bool {
        self.has_most_recent
    }

    /// Reads every spill cell and the cells of lanes, and adds what is new.
    pub fn take(
        &mut self,
        lanes: &Lanes<'_>,
        source: &dyn Source,
        schema: u8,
        take: Take,
        context: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        self.sort();
        let Context { aggregate, buffers, counts, now_ns, limits } = context;
        self.lanes.read(lanes, source, &mut buffers.words)?;
        // Where a later read fails, some marks have these sums and others the ones before: then
        // only the marks tell, the next time.
        self.lanes.forget();
        let (held, marks, sums) = (&mut self.held_bytes, &mut self.marks, &self.lanes);
        let share_max_bytes = limits.segment_memory_max_bytes;
        // What is in the cells of the dead is taken now or never, whatever memory there is.
        // And what a baseline does not remember would be added later as if it were new.
        let is_forced = self.is_last || take == Take::Baseline;
        let share_max_bytes = if is_forced { None } else { Some(share_max_bytes) };
        let mut is_left = false;
        each_cell(&mut self.spill, source, &mut buffers.words, |cell, words| {
            sums.add_to(words, cell.kind, cell.lane_cell);
            let words = &*words;
            if let Some(taken) = &cell.taken {
                marks.note(cell.offset_bytes, taken, words);
            }
            let (is_new, state) = (cell.taken.is_none(), cell.state);
            if !cell.take(words, schema, take, *now_ns, (held, share_max_bytes), aggregate) {
                counts.cells_deferred = counts.cells_deferred.saturating_add(1);
                is_left = true;
            } else if is_new && cell.taken.is_some() {
                marks.note(cell.offset_bytes, &[], words);
            } else if is_new {
                let offset_bytes = state_offset_bytes(cell.kind, cell.offset_bytes);
                marks.note(offset_bytes, &[state.0], &[cell.state.0]);
            }
        })?;
        self.lanes.settle();
        self.taken_ns = *now_ns;
        self.lanes_taken_ns = *now_ns;
        self.is_due = is_left;
        if !is_left {
            self.settled_ns = *now_ns;
        }
        Ok(())
    }

    /// Reads every gauge.
    pub fn read_gauges(
        &mut self,
        source: &dyn Source,
        context: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        self.sort();
        let Context { aggregate, buffers, now_ns, .. } = context;
        each_cell(&mut self.gauges, source, &mut buffers.words, |gauge, words| {
            gauge.read(words, *now_ns, aggregate);
        })?;
        let moved = self.gauges.iter().map(|gauge| gauge.moved_ns).max();
        self.moved_ns = self.moved_ns.max(moved.unwrap_or(0));
        Ok(())
    }

    /// The gauges that are not retired, as last read.
    pub fn samples(&self, process: u64) -> impl Iterator<Item = GaugeSample> {
        let shown = self.gauges.iter().filter(|gauge| gauge.is_read && !gauge.state.is_retired());
        shown.map(move |gauge| GaugeSample {
            slot: gauge.placed.slot,
            value: gauge.value,
            moved_ns: gauge.moved_ns,
            process,
        })
    }

    /// Gives up everything when the segment goes.
    pub fn release(&mut self, aggregate: &mut Aggregate) {
        let spill = self.spill.iter().map(|cell| (cell.state, cell.placed));
        let gauges = self.gauges.iter().map(|gauge| (gauge.state, Some(gauge.placed)));
        let held = spill.chain(gauges).filter(|(state, _)| !state.is_retired());
        let held = held.filter_map(|(_, placed)| Some(placed?.series));
        for series in held.chain(self.unread.drain(..)) {
            aggregate.registry().release(series);
        }
        aggregate.budget().give_back(self.held_bytes);
        *self = Self::default();
    }
}

/// Reads sorted cells in as few stretches as fit the buffer, and hands each its words.
fn each_cell<C: Placeable>(
    cells: &mut [C],
    source: &dyn Source,
    buffer: &mut [u64],
    mut apply: impl FnMut(&mut C, &mut [u64]),
) -> Result<(), Refusal> {
    let mut rest = cells;
    while let Some(start) = rest.first().map(|cell| cell.span().0) {
        let mut end = start;
        let fits = |cell: &&C| {
            let (offset, size) = cell.span();
            let next = end.max(offset + size);
            let is_near = offset <= end + GAP_MAX_BYTES;
            let is_in = next - start <= BUFFER_WORDS as u64 * 8;
            if is_near && is_in {
                end = next;
            }
            is_near && is_in
        };
        // A single cell always fits: the largest is below 18 KiB.
        let count = rest.iter().take_while(fits).count().max(1);
        let length = usize::try_from((end - start) / 8).unwrap_or(0);
        let Some(words) = buffer.get_mut(..length) else { return Ok(()) };
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
        source.read(start, bytes).map_err(|error| Refusal::of_read(&error))?;
        let (now, later) = rest.split_at_mut(count);
        for cell in now {
            let (offset, size) = cell.span();
            let at = usize::try_from((offset - start) / 8).unwrap_or(usize::MAX);
            let own =
                words.get_mut(at..).and_then(|own| own.get_mut(..usize::try_from(size / 8).ok()?));
            if let Some(own) = own {
                apply(cell, own);
            }
        }
        rest = later;
    }
    Ok(())
}

fn word(words: &[u64], at: usize) -> u64 {
    words.get(at).copied().unwrap_or(0)
}

impl GaugeCell {
    fn read(&mut self, words: &[u64], now_ns: u64, aggregate: &mut Aggregate) {
        self.state.follow(word(words, cell::SCALAR_STATE), self.placed.series, aggregate);
        let changes = word(words, cell::GAUGE_CHANGES);
        if changes != self.changes {
            (self.changes, self.moved_ns) = (changes, now_ns.max(1));
        }
        self.value = f64::from_bits(word(words, cell::GAUGE_VALUE));
        self.is_read = true;
    }
}

impl SpillCell {
    /// Makes sure that there are marks; says whether there was memory for them.
    fn remember(
        &mut self,
        (held_bytes, share_max_bytes): (&mut u64, Option<u64>),
        aggregate: &mut Aggregate,
    ) -> bool {
        if self.taken.is_some() {
            return true;
        }
        let size_bytes = self.words as u64 * 8;
        let budget = aggregate.budget();
        match share_max_bytes {
            Some(most) => {
                if budget.take_share(held_bytes, size_bytes, most, false).is_err() {
                    return false;
                }
            }
            None => {
                // Given back with the segment, at the end of this pass.
                budget.force(size_bytes);
                *held_bytes = held_bytes.saturating_add(size_bytes);
            }
        }
        let mut taken = vec![0; self.words];
        if let Some(word) = taken.get_mut(cell::state_word(self.kind)) {
            *word = self.state.0;
        }
        self.taken = Some(taken.into());
        true
    }

    /// Adds what is new; says whether there was memory to remember it.
    fn take(
        &mut self,
        words: &[u64],
        schema: u8,
        take: Take,
        now_ns: u64,
        (held_bytes, share_max_bytes): (&mut u64, Option<u64>),
        aggregate: &mut Aggregate,
    ) -> bool {
        let state_at = cell::state_word(self.kind);
        let state = word(words, state_at);
        if let Some(taken) = &self.taken {
            if &**taken != words {
                self.add(words, schema, take, now_ns, aggregate);
            }
        } else if words.iter().enumerate().any(|(at, word)| *word != 0 && at != state_at) {
            if !self.remember((held_bytes, share_max_bytes), aggregate) {
                return false;
            }
            self.add(words, schema, take, now_ns, aggregate);
        }
        // Last, so that a series leaves with everything that was recorded.
        match self.placed {
            Some(placed) => self.state.follow(state, placed.series, aggregate),
            None => self.state = State(state),
        }
        true
    }

    fn add(
        &mut self,
        words: &[u64],
        schema: u8,
        take: Take,
        now_ns: u64,
        aggregate: &mut Aggregate,
    ) {
        let Some(taken) = &mut self.taken else { return };
        let cell = || DistributionCell { words, taken, schema, bounds: self.bounds };
        match (take, self.kind, self.placed) {
            (Take::Baseline, ..) | (_, Kind::Gauge, _) => {}
            (_, Kind::Counter, placed) => add_counter(words, taken, placed, aggregate),
            (_, Kind::Histogram | Kind::Summary, Some(placed)) => {
                let moment = (take == Take::Fresh).then_some(now_ns);
                cell().add(placed.slot, moment, aggregate);
            }
            (_, Kind::Histogram | Kind::Summary, None) => cell().reject(aggregate),
        }
        taken.copy_from_slice(words);
    }
}

/// The difference of two floats of which one came after the other, if both are numbers.
fn float_difference(now: u64, before: u64) -> Option<f64> {
    let difference = f64::from_bits(now) - f64::from_bits(before);
    difference.is_finite().then_some(difference)
}

fn add_counter(words: &[u64], taken: &[u64], placed: Option<Placed>, aggregate: &mut Aggregate) {
    let integer =
        word(words, cell::COUNTER_INTEGER).wrapping_sub(word(taken, cell::COUNTER_INTEGER));
    // Nobody counts 2^63 between two looks: a word that went back looks like that.
    let integer = if integer > u64::MAX / 2 {
        aggregate.rejected.add(RejectReason::Cell, 1);
        0
    } else {
        integer
    };
    let Some(Placed { slot, .. }) = placed else {
        return aggregate.rejected.add(RejectReason::Family, integer);
    };
    let (now, before) = (word(words, cell::COUNTER_FLOAT), word(taken, cell::COUNTER_FLOAT));
    let float = float_difference(now, before).filter(|float| *float >= 0.0);
    if float.is_none() {
        aggregate.rejected.add(RejectReason::Cell, 1);
    }
    aggregate.add_counter(slot, integer, float.unwrap_or(0.0));
}

/// A distribution's cell now and as taken.
struct DistributionCell<'a> {
    words: &'a [u64],
    taken: &'a [u64],
    schema: u8,
    bounds: u32,
}

impl<'a> DistributionCell<'a> {
    /// What came to a counting word; a word that went back counts as rejected.
    fn new_at(&self, at: usize, went_back: &mut u64) -> u64 {
        let difference = word(self.words, at).wrapping_sub(word(self.taken, at));
        // Nobody makes 2^63 observations between two looks.
        if difference > u64::MAX / 2 {
            *went_back += 1;
            return 0;
        }
        difference
    }

    /// Which words differ, of those from `first` up to `end`. Most are as they were, and that is
    /// seen of many at once.
    fn changed(&self, first: usize, end: usize) -> impl Iterator<Item = usize> {
        const AT_ONCE: usize = 16;
        let own = |words: &'a [u64]| words.get(first..end.min(words.len())).unwrap_or_default();
        let pairs = own(self.words).chunks(AT_ONCE).zip(own(self.taken).chunks(AT_ONCE));
        let different = (first..).step_by(AT_ONCE).zip(pairs).filter(|(_, (a, b))| a != b);
        different.flat_map(|(at, (now, before))| {
            let each = (at..).zip(now.iter().zip(before));
            each.filter(|(_, (a, b))| a != b).map(|(at, _)| at)
        })
    }

    /// Where the classic buckets begin, of which every observation is in one.
    fn classic(&self) -> usize {
        cell::DISTRIBUTION_HEAD_WORDS + spill_bucket_count(self.schema) as usize
    }

    /// Tells how many observations came to a metric that was refused.
    fn reject(&self, aggregate: &mut Aggregate) {
        let (first, mut went_back) = (self.classic(), 0);
        let all = (first..=first + self.bounds as usize).map(|at| self.new_at(at, &mut went_back));
        let count = all.fold(0, u64::saturating_add);
        aggregate.rejected.add(RejectReason::Family, count);
        aggregate.rejected.add(RejectReason::Cell, went_back);
    }

    fn add(&self, slot: u32, now_ns: Option<u64>, aggregate: &mut Aggregate) {
        let mut went_back = 0;
        let classic = self.classic();
        if let Some((distribution, budget)) = aggregate.distribution(slot) {
            for (at, spill) in [
                (cell::DISTRIBUTION_ZERO, SpillSlot::Zero),
                (cell::DISTRIBUTION_NEGATIVE, SpillSlot::Negative),
                (cell::DISTRIBUTION_UNDERFLOW, SpillSlot::Underflow),
                (cell::DISTRIBUTION_OVERFLOW, SpillSlot::Overflow),
            ] {
                let count = self.new_at(at, &mut went_back);
                if count > 0 {
                    let place = Place::of_spill(spill, self.schema);
                    distribution.place(place, count, now_ns, budget);
                }
            }
            for at in self.changed(cell::DISTRIBUTION_HEAD_WORDS, classic) {
                let count = self.new_at(at, &mut went_back);
                let position = u32::try_from(at - cell::DISTRIBUTION_HEAD_WORDS);
                if let Some(position) = position.ok().filter(|_| count > 0) {
                    let place = Place::of_spill(SpillSlot::Bucket(position), self.schema);
                    distribution.place(place, count, now_ns, budget);
                }
            }
            for at in self.changed(classic, classic + self.bounds as usize + 1) {
                distribution.add_classic(at - classic, self.new_at(at, &mut went_back));
            }
            let sum = cell::DISTRIBUTION_SUM;
            match float_difference(word(self.words, sum), word(self.taken, sum)) {
                Some(difference) => distribution.add_sum(difference),
                None => went_back += 1,
            }
        }
        aggregate.rejected.add(RejectReason::Cell, went_back);
    }
}

#[cfg(test)]
mod tests;
