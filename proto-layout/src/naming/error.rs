//! Why a name, a list or a code was refused, in words that say what to do.

use core::fmt;

/// What a [`NameError`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameField {
    /// A metric's name.
    MetricName,
    /// A label's name.
    LabelName,
    /// A label's value.
    LabelValue,
    /// A metric's help text.
    Help,
    /// A metric's unit.
    Unit,
    /// A service's name.
    ServiceName,
    /// The name of a segment, ack or temporary file.
    FileName,
}

impl NameField {
    /// The field's name in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MetricName => "metric name",
            Self::LabelName => "label name",
            Self::LabelValue => "label value",
            Self::Help => "help text",
            Self::Unit => "unit",
            Self::ServiceName => "service name",
            Self::FileName => "file name",
        }
    }

    /// What the field may be made of, as the end of "use only …".
    const fn alphabet(self) -> &'static str {
        match self {
            Self::MetricName => "letters, digits, '_' and ':', and no digit first",
            Self::LabelName => "letters, digits and '_', and no digit first",
            Self::Unit => "letters, digits and '_'",
            Self::ServiceName => "letters, digits, '_', '.' and '-', and no '.' or '-' first",
            Self::FileName => "a service name, '-' and 32 lower-case hexadecimal digits",
            Self::LabelValue | Self::Help => "UTF-8",
        }
    }
}

impl fmt::Display for NameField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a name, a list or a code was refused.
///
/// It holds numbers and words of the rules only, never the refused text, so it is `Copy`,
/// costs no allocation, and carries nothing of a hostile producer into a log.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum NameError {
    /// Something that needs a name has none.
    Empty {
        /// What is empty.
        field: NameField,
    },
    /// The text is longer than its limit.
    TooLong {
        /// What is too long.
        field: NameField,
        /// Its length.
        length_bytes: usize,
        /// The longest that is allowed.
        limit_bytes: usize,
    },
    /// A character is not allowed, or not at this place.
    Character {
        /// What holds it.
        field: NameField,
        /// Where it starts, from 0.
        position_bytes: usize,
        /// The character.
        found: char,
    },
    /// The name starts as only names of others may.
    ReservedPrefix {
        /// What starts so.
        field: NameField,
        /// The reserved beginning.
        prefix: &'static str,
    },
    /// The name belongs to Prometheus or to Ringmeter.
    ReservedName {
        /// What is called so.
        field: NameField,
        /// The reserved name.
        name: &'static str,
    },
    /// More label names than a family may have.
    TooManyLabels {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Two labels of a family have the same name.
    DuplicateLabel {
        /// Position of the first of the two, from 0.
        first: usize,
        /// Position of the second, from 0.
        second: usize,
    },
    /// More bucket bounds than a histogram may have.
    TooManyBounds {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A bucket bound is NaN or infinite.
    BoundNotFinite {
        /// Its position, from 0.
        position: usize,
        /// The bound.
        bound: f64,
    },
    /// A bucket bound is not above the one before it.
    BoundsNotIncreasing {
        /// Position of the bound that is too low, from 0.
        position: usize,
        /// The bound before it.
        previous: f64,
        /// The bound.
        bound: f64,
    },
    /// More quantile objectives than a summary may have.
    TooManyObjectives {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A quantile objective is NaN, below 0 or above 1.
    ObjectiveOutOfRange {
        /// Its position, from 0.
        position: usize,
        /// The objective.
        objective: f64,
    },
    /// A quantile objective is not above the one before it.
    ObjectivesNotIncreasing {
        /// Position of the objective that is too low, from 0.
        position: usize,
        /// The objective before it.
        previous: f64,
        /// The objective.
        objective: f64,
    },
    /// A file name does not end as a file of its sort does.
    FileNameForm {
        /// The form it should have.
        expected: &'static str,
    },
    /// No [`Kind`](super::Kind) has this code.
    UnknownKind {
        /// The code.
        code: u8,
    },
    /// No [`GaugeRule`](super::GaugeRule) has this code.
    UnknownGaugeRule {
        /// The code.
        code: u8,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty { .. }
            | Self::TooLong { .. }
            | Self::Character { .. }
            | Self::ReservedPrefix { .. }
            | Self::ReservedName { .. }
            | Self::FileNameForm { .. } => self.write_text_error(f),
            Self::TooManyLabels { .. }
            | Self::DuplicateLabel { .. }
            | Self::TooManyBounds { .. }
            | Self::BoundNotFinite { .. }
            | Self::BoundsNotIncreasing { .. }
            | Self::TooManyObjectives { .. }
            | Self::ObjectiveOutOfRange { .. }
            | Self::ObjectivesNotIncreasing { .. } => self.write_list_error(f),
            Self::UnknownKind { code } => {
                write!(f, "{code} is no metric kind: use 1 to 4")
            }
            Self::UnknownGaugeRule { code } => {
                write!(f, "{code} is no gauge rule: use 0 to 5")
            }
        }
    }
}

impl NameError {
    fn write_text_error(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty { field } => write!(f, "the {field} is empty: give one"),
            Self::TooLong { field, length_bytes, limit_bytes } => write!(
                f,
                "the {field} has {length_bytes} bytes: shorten it to at most {limit_bytes}"
            ),
            Self::Character { field, position_bytes, found } => write!(
                f,
                "the {field} has {found:?} at byte {position_bytes}: use only {}",
                field.alphabet()
            ),
            Self::ReservedPrefix { field, prefix } => {
                write!(f, "the {field} starts with {prefix:?}, which is reserved: choose another")
            }
            Self::ReservedName { field, name } => {
                write!(f, "the {field} {name:?} is reserved here: choose another")
            }
            Self::FileNameForm { expected } => {
                write!(f, "the file name is not of the form {expected}")
            }
            _ => Ok(()),
        }
    }

    fn write_list_error(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooManyLabels { count, limit } => {
                write!(f, "there are {count} labels: use at most {limit}")
            }
            Self::DuplicateLabel { first, second } => {
                write!(f, "labels {first} and {second} have the same name: rename one")
            }
            Self::TooManyBounds { count, limit } => {
                write!(f, "there are {count} bucket bounds: use at most {limit}")
            }
            Self::BoundNotFinite { position, bound } => write!(
                f,
                "bucket bound {position} is {bound:?}: use finite bounds (+Inf is always added)"
            ),
            Self::BoundsNotIncreasing { position, previous, bound } => write!(
                f,
                "bucket bound {position} is {bound:?} after {previous:?}: sort the bounds and \
                 remove duplicates"
            ),
            Self::TooManyObjectives { count, limit } => {
                write!(f, "there are {count} quantiles: use at most {limit}")
            }
            Self::ObjectiveOutOfRange { position, objective } => {
                write!(f, "quantile {position} is {objective:?}: use numbers from 0 to 1")
            }
            Self::ObjectivesNotIncreasing { position, previous, objective } => write!(
                f,
                "quantile {position} is {objective:?} after {previous:?}: sort the quantiles and \
                 remove duplicates"
            ),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_says_what_to_do() {
        let field = NameField::MetricName;
        let cases = [
            (NameError::Empty { field }, "the metric name is empty: give one"),
            (
                NameError::TooLong { field, length_bytes: 300, limit_bytes: 256 },
                "the metric name has 300 bytes: shorten it to at most 256",
            ),
            (
                NameError::Character { field, position_bytes: 3, found: '-' },
                "the metric name has '-' at byte 3: use only letters, digits, '_' and ':', \
                 and no digit first",
            ),
            (
                NameError::BoundsNotIncreasing { position: 2, previous: 0.5, bound: 0.1 },
                "bucket bound 2 is 0.1 after 0.5: sort the bounds and remove duplicates",
            ),
            (
                NameError::ObjectiveOutOfRange { position: 0, objective: 99.0 },
                "quantile 0 is 99.0: use numbers from 0 to 1",
            ),
            (NameError::UnknownKind { code: 9 }, "9 is no metric kind: use 1 to 4"),
        ];
        for (error, expected) in cases {
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn no_variant_has_an_empty_message() {
        let field = NameField::LabelName;
        let all = [
            NameError::ReservedPrefix { field, prefix: "__" },
            NameError::ReservedName { field, name: "le" },
            NameError::TooManyLabels { count: 33, limit: 32 },
            NameError::DuplicateLabel { first: 0, second: 1 },
            NameError::TooManyBounds { count: 129, limit: 128 },
            NameError::BoundNotFinite { position: 0, bound: f64::NAN },
            NameError::TooManyObjectives { count: 17, limit: 16 },
            NameError::ObjectivesNotIncreasing { position: 1, previous: 0.5, objective: 0.5 },
            NameError::FileNameForm { expected: "x" },
            NameError::UnknownGaugeRule { code: 6 },
        ];
        for error in all {
            assert!(error.to_string().len() > 10, "{error:?}");
        }
    }
}
