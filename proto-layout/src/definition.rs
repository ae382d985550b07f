//! Definitions: what the dense ids in records mean. Append-only, immutable once published.
//!
//! A definition chunk holds entries one after the other; an entry never crosses the end of its
//! chunk. The live word `definition_count` says how many entries, over all definition chunks in
//! the order of the chunk table, are published. Every entry starts with
//!
//! ```text
//! offset size field
//!      0    4 length_bytes   of the whole entry, a multiple of 8
//!      4    2 type           1 family, 2 series, 3 end of chunk (the next entry is in the next
//!                            definition chunk; counts as no entry)
//!      6    2 reserved       zero
//! ```
//!
//! A family, what a metric is:
//!
//! ```text
//!      8    4 id             dense, counting families from 0
//!     12    1 kind           1 counter, 2 gauge, 3 histogram, 4 summary
//!     13    1 gauge_rule     how gauges of several processes merge; 0 for other kinds
//!     14    2 bounds         how many classic bucket bounds, without +Inf; 0 for counters, gauges
//!     16    2 objectives     how many quantiles; 0 for counters and gauges
//!     18    2 label_names    how many labels
//!     20    4 age_buckets    slots of a summary's sliding window, at least 1
//!     24    8 max_age_ms     length of a summary's sliding window, at least 1 ms per slot
//!     32  8·n bounds, then objectives, as f64
//!      …      name, help, unit, then the label names: each a u16 length and UTF-8 bytes
//!      …      zeros up to a multiple of 8
//! ```
//!
//! A series, one set of label values of a family:
//!
//! ```text
//!      8    4 id             dense, counting series from 0
//!     12    4 family         id of a family that was defined before
//!     16    8 cell_offset_bytes  where its cell is in the file; see `cell`
//!     24    2 label_values   how many; as many as the family has label names, or none in the
//!                            overflow series
//!     26    2 flags          bit 0: the family's overflow series
//!     28      the values: each a u16 length and UTF-8 bytes
//!      …      zeros up to a multiple of 8
//! ```

use core::fmt;

use crate::naming::{self, GaugeRule, Kind, NameError};

/// Size of an entry's head.
const HEAD_SIZE_BYTES: usize = 8;
const TYPE_FAMILY: u16 = 1;
const TYPE_SERIES: u16 = 2;
const TYPE_END_OF_CHUNK: u16 = 3;
/// Largest entry: 32 label values of 1 KiB and their lengths stay below 34 KiB; the limit is the
/// smallest chunk less room for its end mark.
pub const ENTRY_SIZE_MAX_BYTES: usize = 65_528;
/// What an entry allocates besides its own bytes: a list of 32 labels, each a `String` of 24 B,
/// is 768 B, and a duplicate's name in an error is shorter than that.
pub const ENTRY_OVERHEAD_MAX_BYTES: usize = 1024;
/// Longest sliding window of a summary: 30 days.
pub const MAX_AGE_LIMIT_MS: u64 = 30 * 24 * 3600 * 1000;
/// Most slots in a sliding window.
pub const AGE_BUCKETS_LIMIT: u32 = 60;

/// What a metric is.
#[derive(Debug, Clone, PartialEq)]
pub struct FamilyDefinition {
    /// Dense id within the segment.
    pub id: u32,
    /// Counter, gauge, histogram or summary.
    pub kind: Kind,
    /// How gauges of several processes merge.
    pub gauge_rule: GaugeRule,
    /// Metric name.
    pub name: String,
    /// What the metric means.
    pub help: String,
    /// Base unit, or empty.
    pub unit: String,
    /// Names of the labels, constant ones included.
    pub label_names: Vec<String>,
    /// Upper bounds of the classic buckets, increasing, without +Inf.
    pub bounds: Vec<f64>,
    /// Quantiles of a summary, each from 0 to 1.
    pub objectives: Vec<f64>,
    /// Length of a summary's sliding window, milliseconds.
    pub max_age_ms: u64,
    /// Slots of the sliding window.
    pub age_buckets: u32,
}

/// One set of label values of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesDefinition {
    /// Dense id within the segment.
    pub id: u32,
    /// The family's id.
    pub family: u32,
    /// Where the series' cell is in the file.
    pub cell_offset_bytes: u64,
    /// Values of the labels, in the order of the family's label names; none in the overflow
    /// series.
    pub label_values: Vec<String>,
    /// Whether this is the family's overflow series: it takes what is recorded under label
    /// values beyond a limit, and is exposed with the one label `ringmeter_overflow="true"`.
    pub is_overflow: bool,
}

/// An entry of a definition chunk.
#[derive(Debug, Clone, PartialEq)]
pub enum Definition {
    /// A metric.
    Family(FamilyDefinition),
    /// A series of a metric.
    Series(SeriesDefinition),
    /// Nothing more in this chunk.
    EndOfChunk,
}

/// Why an entry is not a definition.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DefinitionError {
    /// The entry ends before the field does, or is longer than what is left of the chunk.
    Short {
        /// The field.
        field: &'static str,
        /// Bytes left.
        left_bytes: usize,
        /// Bytes needed.
        needed_bytes: usize,
    },
    /// A length that is too small, or not a multiple of 8.
    Length {
        /// Length found.
        found: u32,
    },
    /// A code without a meaning.
    Code {
        /// The field.
        field: &'static str,
        /// Code found.
        found: u32,
    },
    /// A number beyond its limit.
    Limit {
        /// The field.
        field: &'static str,
        /// Value found.
        found: u64,
        /// Largest value allowed.
        limit: u64,
    },
    /// Bytes that are not UTF-8.
    Utf8 {
        /// The field.
        field: &'static str,
        /// The first byte that is wrong, from the text's start.
        position_bytes: usize,
    },
    /// A name, value, bound or objective against the naming rules.
    Name(NameError),
    /// Bytes that are defined as zero are not, or are more than padding.
    Reserved {
        /// The field.
        field: &'static str,
        /// How many bytes there are.
        length_bytes: usize,
        /// The first that is not zero, or 0.
        found: u8,
    },
    /// A field that families of this kind do not have is not zero.
    Misplaced {
        /// The field.
        field: &'static str,
        /// The family's kind.
        kind: Kind,
        /// Value found.
        found: u64,
    },
    /// A summary whose sliding window has no slots, or slots of less than a millisecond.
    Window {
        /// Length of the window found.
        max_age_ms: u64,
        /// Slots found.
        age_buckets: u32,
    },
    /// A label name stands twice.
    DuplicateLabel {
        /// The label's name.
        name: String,
    },
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { field, left_bytes, needed_bytes } => {
                write!(f, "definition {field}: {left_bytes} bytes left, {needed_bytes} needed")
            }
            Self::Length { found } => {
                write!(f, "definition length_bytes: {found} is not a multiple of 8 from 8 on")
            }
            Self::Code { field, found } => write!(f, "definition {field}: {found} is unknown"),
            Self::Limit { field, found, limit } => {
                write!(f, "definition {field}: {found} is beyond the limit of {limit}")
            }
            Self::Utf8 { field, position_bytes } => {
                write!(f, "definition {field}: not UTF-8 from byte {position_bytes} on")
            }
            Self::Name(error) => write!(f, "definition: {error}"),
            Self::Reserved { field, length_bytes, found } => write!(
                f,
                "definition {field}: {length_bytes} bytes with a {found}, expected fewer than 8 \
                 and all of them 0"
            ),
            Self::Misplaced { field, kind, found } => {
                write!(f, "definition {field}: {found}, expected 0 for a {kind}")
            }
            Self::Window { max_age_ms, age_buckets } => write!(
                f,
                "definition age_buckets: {age_buckets} slots in max_age_ms {max_age_ms}, expected \
                 at least one slot of at least 1 ms each"
            ),
            Self::DuplicateLabel { name } => {
                write!(f, "definition: label {name:?} stands twice")
            }
        }
    }
}

impl core::error::Error for DefinitionError {}

impl From<NameError> for DefinitionError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

struct Encoder(Vec<u8>);

impl Encoder {
    fn new(entry_type: u16) -> Self {
        let mut bytes = vec![0; HEAD_SIZE_BYTES];
        bytes[4..6].copy_from_slice(&entry_type.to_le_bytes());
        Self(bytes)
    }

    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Lengths are bounded by the naming rules, far below 2^16; a longer one is cut, and the
    /// reader refuses the entry.
    fn length(&mut self, length: usize) {
        self.put(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.put(text.as_bytes());
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.0.len().next_multiple_of(8);
        self.0.resize(length, 0);
        let length_bytes = u32::try_from(length).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length_bytes.to_le_bytes());
        self.0
    }
}

impl FamilyDefinition {
    /// The entry's bytes; a multiple of 8 of them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::new(TYPE_FAMILY);
        to.put(&self.id.to_le_bytes());
        to.put(&[self.kind as u8, self.gauge_rule as u8]);
        to.length(self.bounds.len());
        to.length(self.objectives.len());
        to.length(self.label_names.len());
        to.put(&self.age_buckets.to_le_bytes());
        to.put(&self.max_age_ms.to_le_bytes());
        for number in self.bounds.iter().chain(&self.objectives) {
            to.put(&number.to_le_bytes());
        }
        for text in [&self.name, &self.help, &self.unit].into_iter().chain(&self.label_names) {
            to.text(text);
        }
        to.finish()
    }

    /// Checks every rule that a family must obey, whoever made it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), DefinitionError> {
        self.validate_kind()?;
        naming::metric_name(&self.name)?;
        naming::help(&self.help)?;
        naming::unit(&self.unit)?;
        limit("label_names", self.label_names.len() as u64, naming::LABELS_MAX as u64)?;
        for (at, name) in self.label_names.iter().enumerate() {
            naming::label_name_for(self.kind, name)?;
            if self.label_names[..at].contains(name) {
                return Err(DefinitionError::DuplicateLabel { name: name.clone() });
            }
        }
        naming::bounds(&self.bounds)?;
        naming::objectives(&self.objectives)?;
        limit("max_age_ms", self.max_age_ms, MAX_AGE_LIMIT_MS)?;
        limit("age_buckets", self.age_buckets.into(), AGE_BUCKETS_LIMIT.into())
    }

    /// What only some kinds have must be zero in the others, and a window must have slots: who
    /// reads a family divides by them.
    fn validate_kind(&self) -> Result<(), DefinitionError> {
        let kind = self.kind;
        let absent = |field, is_absent: bool, found: u64| {
            let misplaced = DefinitionError::Misplaced { field, kind, found };
            if is_absent && found != 0 { Err(misplaced) } else { Ok(()) }
        };
        absent("gauge_rule", kind != Kind::Gauge, u64::from(self.gauge_rule.code()))?;
        absent("bounds", !kind.is_distribution(), self.bounds.len() as u64)?;
        absent("objectives", !kind.is_distribution(), self.objectives.len() as u64)?;
        let (max_age_ms, age_buckets) = (self.max_age_ms, self.age_buckets);
        let has_window = age_buckets > 0 && max_age_ms >= u64::from(age_buckets);
        if kind == Kind::Summary && !has_window {
            return Err(DefinitionError::Window { max_age_ms, age_buckets });
        }
        Ok(())
    }
}

impl SeriesDefinition {
    /// The entry's bytes; a multiple of 8 of them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::new(TYPE_SERIES);
        to.put(&self.id.to_le_bytes());
        to.put(&self.family.to_le_bytes());
        to.put(&self.cell_offset_bytes.to_le_bytes());
        to.length(self.label_values.len());
        to.put(&u16::from(self.is_overflow).to_le_bytes());
        for value in &self.label_values {
            to.text(value);
        }
        to.finish()
    }
}

/// The mark that ends a chunk before its last byte.
#[must_use]
pub fn end_of_chunk() -> [u8; HEAD_SIZE_BYTES] {
    let mut bytes = [0; HEAD_SIZE_BYTES];
    bytes[0] = 8;
    bytes[4..6].copy_from_slice(&TYPE_END_OF_CHUNK.to_le_bytes());
    bytes
}

fn limit(field: &'static str, found: u64, limit: u64) -> Result<(), DefinitionError> {
    if found <= limit { Ok(()) } else { Err(DefinitionError::Limit { field, found, limit }) }
}

struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    fn take(&mut self, field: &'static str, size: usize) -> Result<&'a [u8], DefinitionError> {
        let Some((taken, rest)) = self.0.split_at_checked(size) else {
            let left_bytes = self.0.len();
            return Err(DefinitionError::Short { field, left_bytes, needed_bytes: size });
        };
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DefinitionError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(field, N)?);
        Ok(bytes)
    }

    fn u8(&mut self, field: &'static str) -> Result<u8, DefinitionError> {
        self.array::<1>(field).map(|bytes| bytes[0])
    }

    fn u16(&mut self, field: &'static str) -> Result<u16, DefinitionError> {
        self.array(field).map(u16::from_le_bytes)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, DefinitionError> {
        self.array(field).map(u32::from_le_bytes)
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, DefinitionError> {
        self.array(field).map(u64::from_le_bytes)
    }

    fn numbers(&mut self, field: &'static str, n: u16) -> Result<Vec<f64>, DefinitionError> {
        let bytes = self.take(field, usize::from(n) * 8)?;
        Ok(bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect())
    }

    fn text(&mut self, field: &'static str) -> Result<String, DefinitionError> {
        let length = self.u16(field)?;
        let bytes = self.take(field, length.into())?;
        let text = core::str::from_utf8(bytes).map_err(|error| DefinitionError::Utf8 {
            field,
            position_bytes: error.valid_up_to(),
        })?;
        Ok(text.to_owned())
    }

    fn padding(self) -> Result<(), DefinitionError> {
        let found = self.0.iter().copied().find(|byte| *byte != 0);
        if self.0.len() < 8 && found.is_none() {
            return Ok(());
        }
        let (length_bytes, found) = (self.0.len(), found.unwrap_or(0));
        Err(DefinitionError::Reserved { field: "padding", length_bytes, found })
    }
}

impl Definition {
    /// Reads the entry at the start of `chunk`; returns it with its length in bytes.
    ///
    /// Total and bounded: an entry allocates at most its own length, which is at most
    /// [`ENTRY_SIZE_MAX_BYTES`], and [`ENTRY_OVERHEAD_MAX_BYTES`]. Ids are not checked here: the
    /// reader knows what came before.
    ///
    /// # Errors
    /// What is wrong with the entry. Definitions after it cannot be found then.
    pub fn parse(chunk: &[u8]) -> Result<(Self, usize), DefinitionError> {
        let mut head = Decoder(chunk);
        let found = head.u32("length_bytes")?;
        let entry_type = head.u16("type")?;
        let reserved = head.u16("reserved")?;
        let length = found as usize;
        if length < HEAD_SIZE_BYTES || length % 8 != 0 {
            return Err(DefinitionError::Length { found });
        }
        limit("length_bytes", found.into(), ENTRY_SIZE_MAX_BYTES as u64)?;
        limit("reserved", reserved.into(), 0)?;
        let body = Decoder(Decoder(chunk).take("entry", length)?.split_at(HEAD_SIZE_BYTES).1);
        let definition = match entry_type {
            TYPE_FAMILY => Self::Family(parse_family(body)?),
            TYPE_SERIES => Self::Series(parse_series(body)?),
            TYPE_END_OF_CHUNK => {
                limit("end of chunk length_bytes", found.into(), HEAD_SIZE_BYTES as u64)?;
                Self::EndOfChunk
            }
            other => return Err(DefinitionError::Code { field: "type", found: other.into() }),
        };
        Ok((definition, length))
    }
}

fn parse_family(mut from: Decoder<'_>) -> Result<FamilyDefinition, DefinitionError> {
    let id = from.u32("family id")?;
    let kind = from.u8("kind")?;
    let rule = from.u8("gauge_rule")?;
    let bounds = from.u16("bounds")?;
    let objectives = from.u16("objectives")?;
    let label_names = from.u16("label_names")?;
    let age_buckets = from.u32("age_buckets")?;
    let max_age_ms = from.u64("max_age_ms")?;
    limit("label_names", label_names.into(), naming::LABELS_MAX as u64)?;
    let mut names = Vec::with_capacity(label_names.into());
    let code = |field, found: u8| DefinitionError::Code { field, found: found.into() };
    let mut family = FamilyDefinition {
        id,
        kind: Kind::try_from(kind).map_err(|_| code("kind", kind))?,
        gauge_rule: GaugeRule::try_from(rule).map_err(|_| code("gauge_rule", rule))?,
        age_buckets,
        max_age_ms,
        bounds: from.numbers("bounds", bounds)?,
        objectives: from.numbers("objectives", objectives)?,
        name: from.text("name")?,
        help: from.text("help")?,
        unit: from.text("unit")?,
        label_names: Vec::new(),
    };
    for _ in 0..label_names {
        names.push(from.text("label name")?);
    }
    family.label_names = names;
    from.padding()?;
    family.validate()?;
    Ok(family)
}

fn parse_series(mut from: Decoder<'_>) -> Result<SeriesDefinition, DefinitionError> {
    let id = from.u32("series id")?;
    let family = from.u32("family")?;
    let cell_offset_bytes = from.u64("cell_offset_bytes")?;
    let count = from.u16("label_values")?;
    let flags = from.u16("series flags")?;
    limit("label_values", count.into(), naming::LABELS_MAX as u64)?;
    limit("series flags", flags.into(), 1)?;
    let mut label_values = Vec::with_capacity(count.into());
    for _ in 0..count {
        let value = from.text("label value")?;
        naming::label_value(&value, ENTRY_SIZE_MAX_BYTES)?;
        label_values.push(value);
    }
    from.padding()?;
    Ok(SeriesDefinition { id, family, cell_offset_bytes, label_values, is_overflow: flags == 1 })
}
