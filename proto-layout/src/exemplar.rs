//! What stands behind a record that has an exemplar: its time and its labels.
//!
//! ```text
//! slot offset size field
//!    0      0   16 record    one of the operations with an exemplar, and how many slots there are
//!    1      0    8 unix_ms   milliseconds since 1970, or 0: the agent takes its own time
//!    1      8    … labels    one after the other, then zeros up to the end of the last slot
//!
//! label offset size field
//!            0    1 name length, bytes; 0 where no label follows
//!            1    2 value length, bytes, low byte first
//!            3    … name, value
//! ```
//!
//! Names and values together have at most 128 characters (OpenMetrics 1.0, "Exemplars"). A name
//! has at least one, of one byte, and a value's character at most four bytes; so labels never take
//! more than 4 bytes for each character, lengths included: 512 bytes, and 34 slots for a record.

use crate::lane::CAPACITY_MIN_RECORDS;
use crate::naming;
use crate::record::{Operation, RECORD_SIZE_BYTES, Record, pack_long};

/// Names and values of an exemplar's labels together may have this many characters.
pub const EXEMPLAR_LENGTH_MAX_CHARACTERS: usize = 128;

/// Lengths before a label.
const LABEL_HEAD_BYTES: usize = 3;
const TIME_SIZE_BYTES: usize = 8;
const LABELS_MAX_BYTES: usize = 4 * EXEMPLAR_LENGTH_MAX_CHARACTERS;
/// Slots behind the first one, at most.
const TAIL_MAX_SLOTS: usize = (TIME_SIZE_BYTES + LABELS_MAX_BYTES).div_ceil(RECORD_SIZE_BYTES);
/// Slots of the longest record there is.
pub const RECORD_SLOTS_MAX: usize = 1 + TAIL_MAX_SLOTS;

const _: () = {
    assert!(RECORD_SLOTS_MAX == 34);
    assert!(RECORD_SLOTS_MAX <= u8::MAX as usize);
    // Else no empty lane would have room for it.
    assert!(RECORD_SLOTS_MAX <= CAPACITY_MIN_RECORDS as usize);
};

/// Why labels are none of an exemplar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ExemplarError {
    /// More than [`EXEMPLAR_LENGTH_MAX_CHARACTERS`].
    TooLong {
        /// Characters of all names and values.
        characters: usize,
    },
    /// A label's name is none.
    Name(naming::NameError),
    /// A label's name stands twice.
    Twice {
        /// Where it stands first.
        first: usize,
        /// Where it stands again.
        second: usize,
    },
}

impl core::fmt::Display for ExemplarError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooLong { characters } => write!(
                f,
                "{characters} characters of labels; an exemplar has at most \
                 {EXEMPLAR_LENGTH_MAX_CHARACTERS}"
            ),
            Self::Name(error) => error.fmt(f),
            Self::Twice { first, second } => {
                write!(f, "labels {first} and {second} have the same name; use each name once")
            }
        }
    }
}

impl core::error::Error for ExemplarError {}

/// Checks the labels of an exemplar, without allocating.
///
/// ```
/// use ringmeter_layout::exemplar::check;
///
/// assert!(check([("trace_id", "4bf92f3577b34da6")].into_iter()).is_ok());
/// assert!(check([("trace-id", "4bf92f3577b34da6")].into_iter()).is_err());
/// assert!(check([("text", "x".repeat(125).as_str())].into_iter()).is_err());
/// ```
///
/// # Errors
/// The first rule that is broken.
pub fn check<'a>(
    labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Result<(), ExemplarError> {
    let length = |(name, value): (&str, &str)| name.chars().count() + value.chars().count();
    let characters = labels.clone().map(length).sum();
    // Before names are compared each with each: so there are few.
    if characters > EXEMPLAR_LENGTH_MAX_CHARACTERS {
        return Err(ExemplarError::TooLong { characters });
    }
    for (second, (name, _)) in labels.clone().enumerate() {
        naming::label_name(name).map_err(ExemplarError::Name)?;
        let earlier = labels.clone().take(second).position(|(other, _)| other == name);
        if let Some(first) = earlier {
            return Err(ExemplarError::Twice { first, second });
        }
    }
    Ok(())
}

/// A record with an exemplar, ready to be written into a lane.
#[derive(Debug, Clone, Copy)]
pub struct LongRecord {
    slots: [Record; RECORD_SLOTS_MAX],
    count: usize,
}

impl LongRecord {
    /// The record that does `operation` to `series` with `value`, and the exemplar behind it;
    /// `unix_ms` is 0 where the agent is to take its own time. Does not allocate.
    ///
    /// # Errors
    /// When the labels are none of an exemplar.
    #[expect(clippy::cast_possible_truncation, reason = "128 characters and 34 slots at most")]
    pub fn new<'a>(
        series: u32,
        operation: Operation,
        value: u64,
        unix_ms: u64,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<Self, ExemplarError> {
        check(labels.clone())?;
        let mut slots = [Record { word: 0, value: 0 }; RECORD_SLOTS_MAX];
        let room: &mut [u8] = bytemuck::cast_slice_mut(&mut slots);
        let mut used = RECORD_SIZE_BYTES + TIME_SIZE_BYTES;
        for (name, value) in labels {
            let [low, high] = (value.len() as u16).to_le_bytes();
            let head = [name.len() as u8, low, high];
            for part in [&head, name.as_bytes(), value.as_bytes()] {
                // What was checked fits; see the module's arithmetic.
                if let Some(place) = room.get_mut(used..used + part.len()) {
                    place.copy_from_slice(part);
                }
                used += part.len();
            }
        }
        let count = used.div_ceil(RECORD_SIZE_BYTES);
        let word = pack_long(series, operation.with_exemplar(), count as u8);
        slots[0] = Record { word, value };
        slots[1].word = unix_ms;
        Ok(Self { slots, count })
    }

    /// Its slots, the record itself first.
    #[must_use]
    pub fn slots(&self) -> &[Record] {
        self.slots.get(..self.count).unwrap_or_default()
    }
}

/// An exemplar as the agent found it behind a record: lengths and UTF-8 are checked, and nothing
/// else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// The app's time, or 0.
    pub unix_ms: u64,
    /// Names and values.
    pub labels: Vec<(&'a str, &'a str)>,
}

/// Reads the slots behind a record with an exemplar; `None` when they hold none. Any bytes will
/// do, and no more is allocated than their length allows.
#[must_use]
pub fn parse(tail: &[Record]) -> Option<Found<'_>> {
    if tail.len() > TAIL_MAX_SLOTS {
        return None;
    }
    let unix_ms = tail.first()?.word;
    let bytes: &[u8] = bytemuck::cast_slice(tail);
    let mut rest = bytes.get(TIME_SIZE_BYTES..)?;
    let mut labels = Vec::new();
    while let Some(length) = rest.first().map(|length| usize::from(*length)) {
        if length == 0 {
            let is_end = rest.iter().all(|byte| *byte == 0);
            return is_end.then_some(Found { unix_ms, labels });
        }
        let value_length = usize::from(u16::from_le_bytes([*rest.get(1)?, *rest.get(2)?]));
        let (name, after) = rest.get(LABEL_HEAD_BYTES..)?.split_at_checked(length)?;
        let (value, after) = after.split_at_checked(value_length)?;
        labels.push((core::str::from_utf8(name).ok()?, core::str::from_utf8(value).ok()?));
        rest = after;
    }
    Some(Found { unix_ms, labels })
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
