//! Reads a segment's definitions as they are published, and places its series.

use ringmeter_layout::cell;
use ringmeter_layout::definition::{
    Definition, DefinitionError, FamilyDefinition, SeriesDefinition,
};
use ringmeter_layout::naming::Kind;
use ringmeter_layout::segment::{Chunk, ChunkKind, ChunkTable, DEFINITIONS_MAX, Geometry};

use crate::aggregate::{Local, LocalSeries, Placed};
use crate::context::Context;
use crate::quarantine::{Reason, Refusal};
use crate::source::Source;
use crate::spill::{CellPlace, Cells};

/// What a metric costs for each segment that defines it, besides its label names.
const FAMILY_COST_BYTES: u64 = 64;
/// What a series costs for each segment that defines it: its cell and its slots.
const SERIES_COST_BYTES: u64 = 128;

/// A metric as this segment defines it.
#[derive(Debug)]
struct LocalFamily {
    /// Its number in the agent; `None` when it was refused.
    family: Option<u32>,
    kind: Kind,
    bounds: u32,
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

    /// The agent's numbers of the metrics that this segment holds.
    pub fn families(&self) -> impl Iterator<Item = u32> {
        self.families.iter().filter_map(|family| family.family)
    }

    /// Reads at most as many definitions as one round may.
    pub fn read(
        &mut self,
        around: &mut Surroundings<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let mut left = context.limits.definitions_per_round;
        while left > 0 && !self.is_complete() {
            let chunks = around.chunks.chunks().iter();
            let mut own = chunks.filter(|chunk| chunk.kind == ChunkKind::Definitions);
            let Some(chunk) = own.nth(self.chunks_done).copied() else {
                let detail = "definition_count: more than the definition chunks hold";
                return Err(Refusal::new(Reason::Definitions, detail));
            };
            self.read_some(chunk, &mut left, around, context)?;
        }
        Ok(())
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
            used += size;
            if definition == Definition::EndOfChunk {
                self.next_chunk();
                return Ok(());
            }
            self.place(definition, around, context)?;
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

    fn place(
        &mut self,
        definition: Definition,
        around: &mut Surroundings<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        match definition {
            Definition::Family(family) => self.place_family(&family, around, context),
            Definition::Series(series) => self.place_series(&series, around, context),
            Definition::EndOfChunk => Ok(()),
        }
    }

    fn place_family(
        &mut self,
        definition: &FamilyDefinition,
        around: &mut Surroundings<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        dense("family id", definition.id, self.families.len())?;
        let names = definition.label_names.iter().map(|name| name.len() as u64 + 16);
        around.cells.hold(FAMILY_COST_BYTES + names.sum::<u64>(), context)?;
        let family = context.aggregate.hold_family(definition, context.now_ns);
        if let Err(refused) = family {
            tracing::debug!(metric = definition.name, ?refused, "metric refused");
        }
        self.families.push(LocalFamily {
            family: family.ok(),
            kind: definition.kind,
            bounds: u32::try_from(definition.bounds.len()).unwrap_or(u32::MAX),
            label_names: definition.label_names.iter().map(|name| name.as_str().into()).collect(),
        });
        Ok(())
    }

    fn place_series(
        &self,
        definition: &SeriesDefinition,
        around: &mut Surroundings<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        dense("series id", definition.id, around.local.len())?;
        around.cells.hold(SERIES_COST_BYTES, context)?;
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
        let lane_cell = match kind {
            Kind::Counter => around.cells.number_counter(around.geometry.lane_cells),
            Kind::Gauge | Kind::Histogram | Kind::Summary => None,
        };
        let placed = own.family.and_then(|family| {
            if definition.is_overflow {
                return context.aggregate.hold_overflow(family);
            }
            let names = own.label_names.iter().map(|name| &**name);
            let values = definition.label_values.iter().map(String::as_str);
            let pairs: Vec<(&str, &str)> = names.zip(values).collect();
            let has_room = around.local.len() < context.limits.series_per_segment_max;
            context.aggregate.hold_series(family, &pairs, has_room, context.now_ns)
        });
        let offset_bytes = definition.cell_offset_bytes;
        around.local.push(match (placed, kind) {
            (None, _) => Local::Refused,
            (Some(_), Kind::Gauge) => Local::Gauge,
            (Some(Placed { slot, .. }), Kind::Counter) => Local::Counter(slot),
            (Some(Placed { slot, .. }), _) => Local::Distribution(slot),
        });
        if let Some(placed) = placed {
            let place = CellPlace { kind, bounds, offset_bytes, size_bytes, lane_cell };
            around.cells.push(&place, placed, context);
        }
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
