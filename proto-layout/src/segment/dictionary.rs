//! The definitions of a segment, each checked against those before it.

use core::fmt;

use super::{ChunkKind, ChunkTable, DEFINITIONS_MAX, Geometry, SegmentError};
use crate::cell;
use crate::definition::{Definition, DefinitionError, FamilyDefinition, SeriesDefinition};
use crate::naming::Kind;

/// Why a definition does not go with those before it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DictionaryError {
    /// The entry is no definition at all.
    Entry(DefinitionError),
    /// An id that does not count on from the one before.
    Id {
        /// The field.
        field: &'static str,
        /// Id found.
        found: u32,
        /// Id that it must have.
        expected: u64,
    },
    /// A series of a family that was not defined before it.
    Family {
        /// Family id found.
        found: u32,
        /// Families known so far: a valid id is below this.
        known: u64,
    },
    /// Another number of label values than the family has label names, or than the none that an
    /// overflow series has.
    Labels {
        /// Label values found.
        found: u64,
        /// Label values that it must have.
        expected: u64,
    },
    /// The series' cell is not in a chunk for such cells.
    Cell(SegmentError),
    /// More definitions than a segment may hold.
    Full {
        /// The limit.
        limit: u64,
    },
}

impl fmt::Display for DictionaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(error) => error.fmt(f),
            Self::Id { field, found, expected } => {
                write!(f, "{field}: {found}, expected {expected}")
            }
            Self::Family { found, known } => {
                write!(f, "family: {found} is not below the {known} that are defined")
            }
            Self::Labels { found, expected } => {
                write!(f, "label_values: {found}, expected {expected}")
            }
            Self::Cell(error) => error.fmt(f),
            Self::Full { limit } => write!(f, "definition_count: beyond the limit of {limit}"),
        }
    }
}

impl core::error::Error for DictionaryError {}

impl From<DefinitionError> for DictionaryError {
    fn from(error: DefinitionError) -> Self {
        Self::Entry(error)
    }
}

/// The definitions that were accepted so far: at most [`DEFINITIONS_MAX`], dense by id.
///
/// Two series of a family may carry the same label values: who merges series must add them up.
#[derive(Debug, Clone, Default)]
pub struct Dictionary {
    families: Vec<FamilyDefinition>,
    series: Vec<SeriesDefinition>,
}

impl Dictionary {
    /// The families; the id is the index.
    #[must_use]
    pub fn families(&self) -> &[FamilyDefinition] {
        &self.families
    }

    /// The series; the id is the index.
    #[must_use]
    pub fn series(&self) -> &[SeriesDefinition] {
        &self.series
    }

    /// How many definitions were accepted, to compare with `definition_count`.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.families.len() as u64 + self.series.len() as u64
    }

    /// Size of a series' cell in bytes, or nothing for a series of an unknown family.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "at most BOUNDS_MAX bounds")]
    pub fn cell_size_bytes(&self, series: &SeriesDefinition, geometry: &Geometry) -> Option<u64> {
        let family = self.families.get(series.family as usize)?;
        Some(cell::size_bytes(family.kind, geometry.spill_schema, family.bounds.len() as u32))
    }

    /// Accepts the next definition. The end of a chunk is none, and changes nothing.
    ///
    /// # Errors
    /// What does not fit with the definitions so far; the dictionary is unchanged then.
    pub fn push(
        &mut self,
        definition: Definition,
        geometry: &Geometry,
        chunks: &ChunkTable,
    ) -> Result<(), DictionaryError> {
        if self.count() >= DEFINITIONS_MAX && definition != Definition::EndOfChunk {
            return Err(DictionaryError::Full { limit: DEFINITIONS_MAX });
        }
        match definition {
            Definition::Family(family) => {
                next_id("family id", family.id, self.families.len())?;
                self.families.push(family);
            }
            Definition::Series(series) => {
                next_id("series id", series.id, self.series.len())?;
                self.check(&series, geometry, chunks)?;
                self.series.push(series);
            }
            Definition::EndOfChunk => {}
        }
        Ok(())
    }

    fn check(
        &self,
        series: &SeriesDefinition,
        geometry: &Geometry,
        chunks: &ChunkTable,
    ) -> Result<(), DictionaryError> {
        let unknown =
            DictionaryError::Family { found: series.family, known: self.families.len() as u64 };
        let family = self.families.get(series.family as usize).ok_or(unknown.clone())?;
        let size_bytes = self.cell_size_bytes(series, geometry).ok_or(unknown)?;
        let found = series.label_values.len() as u64;
        let expected = if series.is_overflow { 0 } else { family.label_names.len() as u64 };
        if found != expected {
            return Err(DictionaryError::Labels { found, expected });
        }
        let kind = if family.kind == Kind::Gauge { ChunkKind::Gauges } else { ChunkKind::Cells };
        chunks
            .containing("cell_offset_bytes", kind, series.cell_offset_bytes, size_bytes)
            .map_err(DictionaryError::Cell)?;
        Ok(())
    }
}

fn next_id(field: &'static str, found: u32, known: usize) -> Result<(), DictionaryError> {
    let expected = known as u64;
    if u64::from(found) == expected {
        Ok(())
    } else {
        Err(DictionaryError::Id { field, found, expected })
    }
}
