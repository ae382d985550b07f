//! Exemplars: single observations with labels that lead elsewhere, such as to a trace.

use std::fmt;

use ringmeter_layout::exemplar;

use super::LabelText;

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
        exemplar::check(pairs.iter().copied()).map_err(ExemplarError::Labels)?;
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
    /// Its labels are none.
    Labels(exemplar::ExemplarError),
    /// Infinite, or not a number.
    Value,
}

impl fmt::Display for ExemplarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Labels(error) => error.fmt(f),
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
    fn what_no_format_can_show_is_refused() {
        let long = "é".repeat(exemplar::EXEMPLAR_LENGTH_MAX_CHARACTERS - 2);
        assert!(Exemplar::new(&[("id", &long)], 1.0, 1).is_ok());
        let error = Exemplar::new(&[("id", &(long + "x"))], 1.0, 1);
        let too_long = exemplar::ExemplarError::TooLong { characters: 129 };
        assert_eq!(error, Err(ExemplarError::Labels(too_long)));
        let twice = exemplar::ExemplarError::Twice { first: 0, second: 1 };
        let error = Exemplar::new(&[("a", "1"), ("a", "2")], 1.0, 1);
        assert_eq!(error, Err(ExemplarError::Labels(twice)));
        for name in ["", "1a", "a-b", "__a", "a\n"] {
            let error = Exemplar::new(&[(name, "x")], 1.0, 1);
            assert!(matches!(error, Err(ExemplarError::Labels(_))), "{name:?}: {error:?}");
        }
        for value in [f64::NAN, f64::INFINITY] {
            assert_eq!(Exemplar::new(&[], value, 1), Err(ExemplarError::Value));
        }
    }
}
