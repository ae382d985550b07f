//! Reads a segment's definitions as they are published, and places its series.

mod service;

use std::collections::HashSet;

use ringmeter_layout::cell;
use ringmeter_layout::definition::{
    Definition, DefinitionError, FamilyDefinition, SeriesDefinition,
};
use ringmeter_layout::naming::Kind;
use ringmeter_layout::segment::{Chunk, ChunkKind, ChunkTable, DEFINITIONS_MAX, Geometry};

use crate::aggregate::{Local, LocalSeries, Placed};
use crate::budget::Shortage;
use crate::context::Context;
use crate::quarantine::{Reason, Refusal};
use crate::series::{FamilyRefused, SeriesRef};
use crate::source::Source;
use crate::spill::{CellPlace, Cells};

/// What a metric costs for each segment that defines it, besides its label names.
const FAMILY_COST_BYTES: u64 = 64;
/// What a series costs for each segment that defines it: its cell and its slots.
const SERIES_COST_BYTES: u64 = 128;
/// What a series' cell in lanes costs on top: what was read of it and what was taken.
const LANE_CELL_COST_BYTES: u64 = 32;

/// A definition takes the time of so many records.
const COST_RECORDS: u64 = 256;
/// A segment that others leave no memory for asks again after this.
const STARVED_RETRY_NS: u64 = 1_000_000_000;

/// A metric as this segment defines it.
#[derive(Debug)]
struct LocalFamily {
    /// Its number in the agent; `None` when it was refused.
    family: Option<u32>,
    kind: Kind,
    bounds: u32,
    /// Those of the definition, without the service's.
    label_names: Box<[Box<str>]>,
}

/// The rest of a segment, as far as definitions concern it.
pub struct Surroundings<'a> {
    /// The file's bytes.
    pub source: &'a dyn Source,
    /// The header.
    pub geometry: &'a Geometry,
    /// Chunks accepted so far.
    pub chunks: &'a ChunkTable,
    /// Gets what each series id means.
    pub local: &'a mut LocalSeries,
    /// Gets each series' cell.
    pub cells: &'a mut Cells,
}

/// How far the definitions are read.
#[derive(Debug, Default)]
pub struct Definitions {
    families: Vec<LocalFamily>,
    /// Their names: one of each, or a segment could take every variant of a name.
    names: HashSet<Box<str>>,
    /// The agent's series that this segment defines.
    series: Vec<SeriesRef>,
    /// Until when it makes no sense to go on: others have the memory. 0 if it does.
    starved_until_ns: u64,
    /// Its process is dead, and it may have all memory that is left.
    is_last: bool,
    read: u64,
    published: u64,
    /// How many definition chunks are read to their end.
    chunks_done: usize,
    /// Offset of the next entry in the chunk after those.
    offset_bytes: u64,
}

impl Definitions {
    /// Whether everything published is read.
    pub fn is_complete(&self) -> bool {
        self.read == self.published
    }

    /// Takes note of the published count.
    pub(crate) fn publish(&mut self, count: u64) -> Result<(), Refusal> {
        if count > DEFINITIONS_MAX || count < self.published {
            let detail = format!(
                "definition_count: {count} is not from {} to {DEFINITIONS_MAX}",
                self.published
            );
            return Err(Refusal::new(Reason::Definitions, detail));
        }
        self.published = count;
        Ok(())
    }

    /// Whether others have the memory that is needed to go on.
    pub fn is_starved(&self, now_ns: u64) -> bool {
        now_ns < self.starved_until_ns
    }

    /// Whether it was so when last tried.
    pub fn was_starved(&self) -> bool {
        self.starved_until_ns > 0
    }

    /// Gives it all memory that is left, because its process is dead: it gives back what it holds
    /// when it is read. One at a time, or several could keep one another waiting.
    pub fn hurry(&mut self) {
        self.is_last = true;
    }

    /// The agent's series that this segment defines.
    pub fn series(&self) -> &[SeriesRef] {
        &self.series
    }

    /// The agent's numbers of the metrics that this segment holds.
    pub fn families(&self) -> impl Iterator<Item = u32> {
        self.families.iter().filter_map(|family| family.family)
    }

    /// Reads at most as many definitions as one round may; returns how many records could be read
    /// in that time. Stops where others have the memory.
    pub fn read(
        &mut self,
        around: &mut Surroundings<'_>,
        context: &mut Context<'_>,
    ) -> Result<u64, Refusal> {
        self.starved_until_ns = 0;
        let before = self.read;
        let mut left = context.limits.definitions_per_round;
        while left > 0 && !self.is_complete() && !self.was_starved() {
            let chunks = around.chunks.chunks().iter();
            let mut own = chunks.filter(|chunk| chunk.kind == ChunkKind::Definitions);
            let Some(chunk) = own.nth(self.chunks_done).copied() else {
                let detail = "definition_count: more than the definition chunks hold";
                return Err(Refusal::new(Reason::Definitions, detail));
            };
            self.read_some(chunk, &mut left, around, context)?;
        }
        Ok(self.read.saturating_sub(before).saturating_mul(COST_RECORDS).max(1))
    }

    /// Reads entries from one buffer's length of a chunk.
    fn read_some(
        &mut self,
        chunk: Chunk,
        left: &mut u32,
        around: &mut Surroundings<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let start = self.offset_bytes;
        let rest = chunk.length_bytes.saturating_sub(start);
        if rest == 0 {
            self.next_chunk();
            return Ok(());
        }
        // The buffer leaves while the definitions are placed, and comes back below.
        let mut words = std::mem::take(&mut context.buffers.words);
        let result =
            self.read_buffer((chunk.offset_bytes + start, rest), &mut words, left, around, context);
        context.buffers.words = words;
        result
    }

    fn read_buffer(
        &mut self,
        (at, rest): (u64, u64),
        words: &mut [u64],
        left: &mut u32,
        around: &mut Surroundings<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
        let length = usize::try_from(rest).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = bytes.get_mut(..length).unwrap_or_default();
        around.source.read(at, bytes).map_err(|error| Refusal::of_read(&error))?;
        let mut used = 0;
        while *left > 0 && !self.is_complete() {
            let entry = bytes.get(used..).unwrap_or_default();
            if entry.is_empty() {
                // The buffer ends with an entry; so may a chunk, without an end mark then.
                break;
            }
            let (definition, size) = match Definition::parse(entry) {
                Ok(parsed) => parsed,
                // It may go on behind the buffer, if it is not the first in it.
                Err(DefinitionError::Short { .. }) if used > 0 && (length as u64) < rest => break,
                Err(error) => return Err(error.into()),
            };
            if definition == Definition::EndOfChunk {
                self.next_chunk();
                return Ok(());
            }
            if !self.place(definition, around, context)? {
                self.starved_until_ns = context.now_ns.saturating_add(STARVED_RETRY_NS);
                break;
            }
            used += size;
            self.read += 1;
            *left -= 1;
        }
        self.offset_bytes += used as u64;
        Ok(())
    }

    fn next_chunk(&mut self) {
        self.chunks_done += 1;
        self.offset_bytes = 0;
    }

    /// Places a definition; says whether there was the memory for it.
    fn place(
        &mut self,
        definition: Definition,
        around: &mut Surroundings<'_>,
        context: &mut Context<'_>,
    ) -> Result<bool, Refusal> {
        let bytes = match &definition {
            Definition::Family(family) => {
                let names = family.label_names.iter().map(|name| name.len() as u64 + 16);
                FAMILY_COST_BYTES + family.name.len() as u64 + names.sum::<u64>()
            }
            Definition::Series(series) if self.has_lane_cell(series, around) => {
                SERIES_COST_BYTES + LANE_CELL_COST_BYTES
            }
            Definition::Series(_) | Definition::EndOfChunk => SERIES_COST_BYTES,
        };
        let too_many = |held_bytes: u64| {
            let detail = format!("definitions: {held_bytes} bytes to know them are too many");
            Refusal::new(Reason::Memory, detail)
        };
        let held_bytes = around.cells.held_bytes().saturating_add(bytes);
        match around.cells.hold(bytes, self.is_last, context) {
            Ok(()) => {}
            Err(Shortage::Others) => return Ok(false),
            Err(Shortage::Own) => return Err(too_many(held_bytes)),
        }
        let is_placed = match definition {
            Definition::Family(family) => self.place_family(&family, context)?,
            Definition::Series(series) => {
                self.place_series(&series, around, context)?;
                true
            }
            Definition::EndOfChunk => true,
        };
        if !is_placed {
            around.cells.give_back(bytes, context);
        }
        Ok(is_placed)
    }

    fn has_lane_cell(&self, series: &SeriesDefinition, around: &Surroundings<'_>) -> bool {
        let family = self.families.get(series.family as usize);
        family.is_some_and(|family| cell::has_lane_cell(family.kind))
            && around.cells.has_lane_cell_left(around.geometry.lane_cells)
    }

    fn place_family(
        &mut self,
        definition: &FamilyDefinition,
        context: &mut Context<'_>,
    ) -> Result<bool, Refusal> {
        let count = self.families.len();
        dense("family id", definition.id, count)?;
        if self.names.contains(definition.name.as_str()) {
            let detail = format!("family {}: {} stands twice", definition.id, definition.name);
            return Err(Refusal::new(Reason::Definitions, detail));
        }
        let has_room = count < context.limits.families_per_segment_max
            && count < context.aggregate.families_left();
        let (labelled, label_names) =
            service::labelled(definition, context.aggregate.service_label());
        let (aggregate, now_ns) = (&mut *context.aggregate, context.now_ns);
        let held = labelled.map(|own| aggregate.hold_family_of(&own, has_room, now_ns));
        match held {
            // Without room for the service's label it cannot be told from others'.
            None | Some(Ok(_)) => {}
            Some(Err(FamilyRefused::Memory)) => return Ok(false),
            Some(Err(reason)) => {
                context.counts.refuse_family(reason);
                tracing::debug!(metric = definition.name, ?reason, "metric refused");
            }
        }
        self.names.insert(definition.name.as_str().into());
        self.families.push(LocalFamily {
            family: held.and_then(Result::ok),
            kind: definition.kind,
            bounds: u32::try_from(definition.bounds.len()).unwrap_or(u32::MAX),
            label_names,
        });
        Ok(true)
    }

    fn place_series(
        &mut self,
        definition: &SeriesDefinition,
        around: &mut Surroundings<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let count = around.local.len();
        dense("series id", definition.id, count)?;
        let unknown = || {
            let detail = format!("series {}: no family {}", definition.id, definition.family);
            Refusal::new(Reason::Definitions, detail)
        };
        let families = &self.families;
        let own = families.get(definition.family as usize).ok_or_else(unknown)?;
        check_labels(definition, own)?;
        let (kind, bounds) = (own.kind, own.bounds);
        let size_bytes = cell::size_bytes(kind, around.geometry.spill_schema, bounds);
        let chunk = if kind == Kind::Gauge { ChunkKind::Gauges } else { ChunkKind::Cells };
        around
            .chunks
            .containing("cell_offset_bytes", chunk, definition.cell_offset_bytes, size_bytes)
            .map_err(|error| Refusal::new(Reason::Definitions, error))?;
        let lane_cell = around.cells.number_lane_cell(kind, around.geometry.lane_cells);
        let offset_bytes = definition.cell_offset_bytes;
        let was_retired = around.cells.was_retired(kind, offset_bytes);
        let placed = own.family.and_then(|family| {
            if definition.is_overflow {
                return context.aggregate.place_overflow(family, was_retired);
            }
            let names = own.label_names.iter().map(|name| &**name);
            let values = definition.label_values.iter().map(String::as_str);
            let label = context.aggregate.service_label();
            let service = label.as_deref().map(|label| (label, &*around.geometry.service));
            let pairs: Vec<(&str, &str)> = names.zip(values).chain(service).collect();
            let has_room = count < context.limits.series_per_segment_max
                && count < context.aggregate.series_left();
            let now_ns = context.now_ns;
            context.aggregate.place_series(family, &pairs, has_room, was_retired, now_ns)
        });
        around.local.push(match (placed, kind) {
            (None, _) => Local::Refused,
            (Some(_), Kind::Gauge) => Local::Gauge,
            (Some(Placed { slot, .. }), Kind::Counter) => Local::Counter(slot),
            (Some(Placed { slot, .. }), _) => Local::Distribution(slot),
        });
        if let Some(placed) = placed {
            context.aggregate.registry().define(placed.series);
            self.series.push(placed.series);
        }
        let place = CellPlace { kind, bounds, offset_bytes, size_bytes, lane_cell };
        around.cells.push(&place, placed, context);
        Ok(())
    }
}

fn dense(field: &str, found: u32, expected: usize) -> Result<(), Refusal> {
    if found as usize == expected {
        return Ok(());
    }
    let detail = format!("{field}: {found}, expected {expected}, because ids are dense");
    Err(Refusal::new(Reason::Definitions, detail))
}

fn check_labels(series: &SeriesDefinition, family: &LocalFamily) -> Result<(), Refusal> {
    let expected = if series.is_overflow { 0 } else { family.label_names.len() };
    let found = series.label_values.len();
    if found == expected {
        return Ok(());
    }
    let detail = format!("series {}: {found} label values, expected {expected}", series.id);
    Err(Refusal::new(Reason::Definitions, detail))
}
