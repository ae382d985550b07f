//! Exemplars: single observations with labels that lead elsewhere, such as to a trace.

use std::fmt;

use ringmeter_layout::naming::{self, NameError};

use super::LabelText;

/// Names and values of an exemplar's labels together may have this many characters
/// (OpenMetrics 1.0, "Exemplars").
pub const EXEMPLAR_LENGTH_MAX_CHARACTERS: usize = 128;

/// One observation, with labels and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    labels: LabelText,
    value: f64,
    unix_ms: u64,
}

impl Exemplar {
    /// An observation of `value` at `unix_ms`, milliseconds since 1970; any input is fine.
    ///
    /// # Errors
    ///
    /// When labels are too long, or no labels.
    pub fn new(pairs: &[(&str, &str)], value: f64, unix_ms: u64) -> Result<Self, ExemplarError> {
        let characters: usize =
            pairs.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
        if characters > EXEMPLAR_LENGTH_MAX_CHARACTERS {
            return Err(ExemplarError::TooLong { characters });
        }
        for (at, (name, _)) in pairs.iter().enumerate() {
            naming::label_name(name).map_err(ExemplarError::Name)?;
            if pairs.iter().take(at).any(|(before, _)| before == name) {
                return Err(ExemplarError::Twice { name: (*name).to_owned() });
            }
        }
        if !value.is_finite() {
            return Err(ExemplarError::Value);
        }
        Ok(Self { labels: LabelText::new(pairs), value, unix_ms })
    }

    /// Its labels; perhaps none.
    pub fn labels(&self) -> &LabelText {
        &self.labels
    }

    /// What was observed.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// When, in milliseconds since 1970.
    pub fn unix_ms(&self) -> u64 {
        self.unix_ms
    }

    /// What it costs to keep, bytes.
    pub fn cost_bytes(&self) -> u64 {
        self.labels.as_str().len() as u64 + 32
    }
}

/// Why an observation is no exemplar. It counts all the same.
#[derive(Debug, Clone, PartialEq)]
pub enum ExemplarError {
    /// More than [`EXEMPLAR_LENGTH_MAX_CHARACTERS`].
    TooLong {
        /// As many as there are.
        characters: usize,
    },
    /// A label with a name that it may not have.
    Name(NameError),
    /// A label that stands twice.
    Twice {
        /// Its name.
        name: String,
    },
    /// Infinite, or not a number.
    Value,
}

impl fmt::Display for ExemplarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { characters } => write!(
                f,
                "labels of {characters} characters, of which there may be \
                 {EXEMPLAR_LENGTH_MAX_CHARACTERS}"
            ),
            Self::Name(error) => error.fmt(f),
            Self::Twice { name } => write!(f, "label {name} stands twice"),
            Self::Value => f.write_str("the value is not finite"),
        }
    }
}

impl std::error::Error for ExemplarError {}

/// An exemplar at its place in a block.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedExemplar {
    /// Index of the series in the block.
    pub series: u32,
    /// Index of the bucket; 0 for a counter.
    pub edge: u32,
    /// The exemplar.
    pub exemplar: Exemplar,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_limited_in_characters_and_not_in_bytes() {
        let long = "é".repeat(EXEMPLAR_LENGTH_MAX_CHARACTERS - 2);
        assert!(Exemplar::new(&[("id", &long)], 1.0, 1).is_ok());
        let longer = long.clone() + "x";
        let error = Exemplar::new(&[("id", &longer)], 1.0, 1);
        assert_eq!(error, Err(ExemplarError::TooLong { characters: 129 }));
    }

    #[test]
    fn what_no_format_can_show_is_refused() {
        let twice = Exemplar::new(&[("a", "1"), ("a", "2")], 1.0, 1);
        assert_eq!(twice, Err(ExemplarError::Twice { name: "a".into() }));
        for name in ["", "1a", "a-b", "__a", "a\n"] {
            let error = Exemplar::new(&[(name, "x")], 1.0, 1);
            assert!(matches!(error, Err(ExemplarError::Name(_))), "{name:?}: {error:?}");
        }
        for value in [f64::NAN, f64::INFINITY] {
            assert_eq!(Exemplar::new(&[], value, 1), Err(ExemplarError::Value));
        }
    }
}
