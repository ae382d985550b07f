//! Registration: from what the application asks for to a series with a cell.
//!
//! May wait for another registration, allocate and make system calls. Recording never comes
//! here, except a static's first use and a lookup of labels never seen before.

use ringmeter_layout::cell;
use ringmeter_layout::definition::{DefinitionError, FamilyDefinition};
use ringmeter_layout::naming::{self, Kind, SharedSample};
use ringmeter_layout::record::{Operation, pack};
use ringmeter_layout::segment::{ChunkKind, chunk_aligned_bytes};
use ringmeter_layout::word::Word;

use crate::cells::{Rejection, reject};
use crate::error::{Aspect, OpenError, RegisterError};
use crate::leaked::Leaked;
use crate::registry::{
    CellChunk, Entry, Family, Inner, Maps, Registration, Series, encode_series, padded,
};
use crate::segment::first_fit;
use crate::thread::NO_LANE_CELL;

/// Chunks of cells grow with what there is, up to this.
const CELL_CHUNK_MAX_BYTES: u64 = 4 << 20;

impl Inner {
    /// The family of this definition, registered now if it is new.
    ///
    /// # Errors
    /// See [`RegisterError`]; nothing is registered then.
    pub(crate) fn family(
        &'static self,
        definition: FamilyDefinition,
        has_variable_labels: bool,
    ) -> Result<&'static Family, RegisterError> {
        definition.validate().map_err(|error| match error {
            DefinitionError::Name(error) => {
                RegisterError::Name { name: definition.name.clone(), error }
            }
            error => RegisterError::Definition { name: definition.name.clone(), error },
        })?;
        let registration = self.registration(&definition.name)?;
        let mut maps = registration.maps();
        if let Some(known) = maps.families.get(definition.name.as_str()).copied() {
            conflict(&known.definition, &definition)?;
            if has_variable_labels && known.overflow.get().is_none() {
                // It was registered by a metric with constant labels of these names.
                self.add_series(&registration, &mut maps, known, Box::new([]), true)?;
            }
            return Ok(known);
        }
        sample_conflict(&maps, &definition)?;
        let definition = FamilyDefinition { id: maps.family_count, ..definition };
        let encoded = definition.encode().into_boxed_slice();
        let family: &'static Family = Box::leak(Box::new(Family {
            padded_bounds: padded(&definition.bounds),
            definition,
            encoded,
            producer: self,
            overflow: Leaked::empty(),
            #[cfg(feature = "testing")]
            misuse: Leaked::empty(),
        }));
        self.publish(&registration, Entry::Family(family))
            .map_err(|error| no_space(&family.definition.name, &error))?;
        maps.add_family(family);
        if has_variable_labels {
            self.add_series(&registration, &mut maps, family, Box::new([]), true)?;
        }
        Ok(family)
    }

    /// The series of these label values, registered now if it is new, shown again if it was
    /// removed.
    ///
    /// # Errors
    /// See [`RegisterError`]; [`RegisterError::NoSpace`] at a limit.
    pub(crate) fn series(
        &'static self,
        family: &'static Family,
        values: &[&str],
    ) -> Result<&'static Series, RegisterError> {
        let definition = &family.definition;
        if values.len() != definition.label_names.len() {
            return Err(RegisterError::LabelCount {
                name: definition.name.clone(),
                expected: definition.label_names.len(),
                found: values.len(),
            });
        }
        for value in values {
            naming::label_value(value, self.config.label_value_length_max_bytes)
                .map_err(|error| RegisterError::Name { name: definition.name.clone(), error })?;
        }
        let registration = self.registration(&definition.name)?;
        let mut maps = registration.maps();
        let values: Box<[Box<str>]> = values.iter().map(|value| Box::from(*value)).collect();
        if let Some(known) = maps.series.get(&(definition.id, &*values)).copied() {
            self.set_retired(known, false);
            return Ok(known);
        }
        self.add_series(&registration, &mut maps, family, values, false)
    }

    /// As [`series`](Self::series), and the family's overflow series where that fails.
    pub(crate) fn series_or_overflow(
        &'static self,
        family: &'static Family,
        values: &[&str],
    ) -> Option<&'static Series> {
        let error = match self.series(family, values) {
            Ok(series) => return Some(series),
            Err(error) => error,
        };
        if matches!(error, RegisterError::LabelCount { .. }) {
            reject(self, Rejection::LabelCount);
            #[cfg(feature = "testing")]
            if family.misuse.get().is_none() {
                family.misuse.set_if(None, Box::leak(Box::new(error)));
            }
        } else {
            reject(self, Rejection::Overflowed);
        }
        family.overflow.get()
    }

    /// Retires the series of these label values; says whether there was one.
    pub(crate) fn remove(&'static self, family: &'static Family, values: &[&str]) -> bool {
        let Some(registration) = self.lock() else { return false };
        let maps = registration.maps();
        let values: Box<[Box<str>]> = values.iter().map(|value| Box::from(*value)).collect();
        let known = maps.series.get(&(family.definition.id, &*values)).copied();
        known.is_some_and(|series| self.set_retired(series, true))
    }

    /// Changes a series' state; says whether it was another. Under the registration lock.
    fn set_retired(&self, series: &Series, retired: bool) -> bool {
        let state = series.state.load_relaxed();
        if cell::is_retired(state) == retired {
            return false;
        }
        series.state.store_relaxed(state + 1);
        let at = series.cell_offset_bytes + cell::state_word(series.kind()) as u64 * 8;
        // Where the series is not defined yet, its cell may lie behind the end of the file.
        if let Some(segment) = self.segment_with(series) {
            if let Some(word) = segment.memory().and_then(|memory| memory.word(at)) {
                word.store_relaxed(state + 1);
            }
            segment.publish_retire_change();
        }
        true
    }

    fn registration(&self, name: &str) -> Result<Registration<'_>, RegisterError> {
        // Registering may allocate; opening a segment, in the child of a fork above all, may not.
        self.refill_spares();
        self.lock().ok_or_else(|| no_space(name, &"the process has no memory left"))
    }

    fn add_series(
        &'static self,
        registration: &Registration<'_>,
        maps: &mut Maps,
        family: &'static Family,
        label_values: Box<[Box<str>]>,
        is_overflow: bool,
    ) -> Result<&'static Series, RegisterError> {
        let name = &family.definition.name;
        let limit = self.config.series_max;
        if maps.series_count >= limit && !is_overflow {
            return Err(no_space(name, &format_args!("series_max ({limit}) is reached")));
        }
        let id = maps.series_count;
        let cell_offset_bytes = self
            .add_cell(registration, &family.definition)
            .map_err(|error| no_space(name, &error))?;
        let has_lane_cell = cell::has_lane_cell(family.definition.kind)
            && maps.lane_cell_count < self.config.lane_cells;
        let encoded = encode_series(id, family, &label_values, cell_offset_bytes, is_overflow);
        let series: &'static Series = Box::leak(Box::new(Series {
            id,
            family,
            label_values,
            cell_offset_bytes,
            cell_words: usize::try_from(self.cell_size_bytes(&family.definition) / 8).unwrap_or(0),
            lane_cell_offset_bytes: has_lane_cell.then_some(maps.lane_cell_count * 8),
            encoded,
            record_word: pack(id, most_frequent_operation(family.definition.kind)),
            handle_slot: Word::new(0),
            lane_cell: Word::new(NO_LANE_CELL),
            log_index: self.registry.log.len() as u64,
            state: Word::new(0),
        }));
        self.publish(registration, Entry::Series(series))
            .map_err(|error| no_space(name, &error))?;
        // Once it is listed: a child that is forked before that makes one of its own.
        if is_overflow {
            family.overflow.set(series);
        }
        maps.add_series(series);
        Ok(series)
    }

    /// Appends an entry to the lists and defines it in the segment, if there is one.
    ///
    /// A segment that has no room now (a full tmpfs, a memory limit) gets the definition later:
    /// until then the series counts privately.
    fn publish(&self, _: &Registration<'_>, entry: Entry) -> Result<(), OpenError> {
        let is_listed = match entry {
            Entry::Series(series) => self.registry.series.push(series),
            Entry::Family(_) => true,
        };
        if !is_listed || !self.registry.log.push(Box::leak(Box::new(entry))) {
            let limit_bytes = self.config.segment_size_max_bytes;
            return Err(OpenError::SegmentSizeLimit { limit_bytes });
        }
        if let Some(segment) = self.segment() {
            // What fails here is tried again by the slow path.
            if let Err(error) = self.catch_up(segment) {
                self.keep_reason(error);
            }
        }
        Ok(())
    }

    /// Takes a cell for a series of this family.
    fn add_cell(
        &self,
        registration: &Registration<'_>,
        definition: &FamilyDefinition,
    ) -> Result<u64, OpenError> {
        let size = self.cell_size_bytes(definition);
        let (room, kind) = match definition.kind {
            Kind::Gauge => (&self.registry.gauge_room, ChunkKind::Gauges),
            Kind::Counter | Kind::Histogram | Kind::Summary => {
                (&self.registry.cell_room, ChunkKind::Cells)
            }
        };
        if let Some(offset) = room.take(size) {
            return Ok(offset);
        }
        let (offset, length) = self.add_cell_chunk(registration, kind, size)?;
        room.reset(offset, length);
        let full = OpenError::SegmentSizeLimit { limit_bytes: self.config.segment_size_max_bytes };
        room.take(size).ok_or(full)
    }

    fn cell_size_bytes(&self, definition: &FamilyDefinition) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "at most BOUNDS_MAX bounds")]
        let bounds = definition.bounds.len() as u32;
        cell::size_bytes(definition.kind, self.config.spill_schema, bounds)
    }

    fn add_cell_chunk(
        &self,
        _: &Registration<'_>,
        kind: ChunkKind,
        size_bytes: u64,
    ) -> Result<(u64, u64), OpenError> {
        let chunks = &self.registry.cell_chunks;
        let of_kind: u64 =
            chunks.iter().filter(|chunk| chunk.kind == kind).map(|chunk| chunk.length_bytes).sum();
        // Growing by a quarter keeps the number of chunks small and the waste below a quarter.
        let length = chunk_aligned_bytes((of_kind / 4).clamp(size_bytes, CELL_CHUNK_MAX_BYTES));
        let limit_bytes = self.config.segment_size_max_bytes;
        let taken = self.registry.cell_ranges();
        let reserve = |offset_bytes| {
            chunks.push(Box::leak(Box::new(CellChunk { kind, offset_bytes, length_bytes: length })))
        };
        // An opening that failed half-way has placed chunks already, and goes on with them.
        let offset = match self.segment().or_else(|| self.unfinished_segment()) {
            Some(segment) => segment.reserve_place(length, taken, reserve)?,
            None => first_fit(length, limit_bytes, taken)
                .filter(|offset| reserve(*offset))
                .ok_or(OpenError::SegmentSizeLimit { limit_bytes })?,
        };
        Ok((offset, length))
    }
}

fn no_space(name: &str, reason: &dyn core::fmt::Display) -> RegisterError {
    RegisterError::NoSpace { name: name.to_owned(), reason: reason.to_string() }
}

/// What most records of a kind do.
const fn most_frequent_operation(kind: Kind) -> Operation {
    match kind {
        Kind::Counter => Operation::AddU64,
        Kind::Gauge | Kind::Histogram | Kind::Summary => Operation::ObserveF64,
    }
}

/// Looks for a metric of another name whose samples could not be told from those of this one.
fn sample_conflict(maps: &Maps, new: &FamilyDefinition) -> Result<(), RegisterError> {
    let known = |name: &str| {
        let family = maps.families.get(name)?;
        Some((family.definition.kind, &family.definition))
    };
    match naming::shared_sample(new.kind, &new.name, known) {
        None => Ok(()),
        Some(SharedSample { sample, other }) => Err(RegisterError::SampleConflict {
            name: new.name.clone(),
            kind: new.kind,
            registered: other.name.clone(),
            registered_kind: other.kind,
            sample,
        }),
    }
}

/// Compares two definitions of one name.
fn conflict(known: &FamilyDefinition, new: &FamilyDefinition) -> Result<(), RegisterError> {
    let aspects = |family: &FamilyDefinition| {
        [
            Aspect::Kind(family.kind),
            Aspect::LabelNames(family.label_names.clone()),
            Aspect::Buckets(family.bounds.clone()),
            Aspect::Window {
                objectives: family.objectives.clone(),
                max_age_ms: family.max_age_ms,
                age_buckets: family.age_buckets,
            },
            Aspect::GaugeRule(family.gauge_rule),
            Aspect::Unit(family.unit.clone()),
            Aspect::Help(family.help.clone()),
        ]
    };
    let difference = aspects(known).into_iter().zip(aspects(new)).find(|(a, b)| a != b);
    match difference {
        None => Ok(()),
        Some((registered, requested)) => {
            Err(RegisterError::Conflict { name: known.name.clone(), registered, requested })
        }
    }
}
