//! The closed sets that both sides of the shared memory must read alike.

use core::fmt;

use super::NameError;

/// The four metric kinds, with the codes they have in a segment.
///
/// Zero is no kind, so a definition that was never written cannot be mistaken for one.
///
/// ```
/// use ringmeter_layout::naming::Kind;
///
/// assert_eq!(Kind::try_from(3), Ok(Kind::Histogram));
/// assert_eq!(Kind::Histogram.code(), 3);
/// assert_eq!(Kind::Histogram.to_string(), "histogram");
/// assert!(Kind::try_from(0).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A total that only grows.
    Counter = 1,
    /// A value that goes up and down.
    Gauge = 2,
    /// Observations, exposed as buckets.
    Histogram = 3,
    /// Observations, exposed as quantiles over a sliding window.
    Summary = 4,
}

impl Kind {
    /// Every kind, in the order of the codes.
    pub const ALL: [Self; 4] = [Self::Counter, Self::Gauge, Self::Histogram, Self::Summary];

    /// The code that stands for this kind in a segment.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The word for this kind in a `# TYPE` line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }

    /// Whether the kind takes observations, so that it has distribution cells.
    #[must_use]
    pub const fn is_distribution(self) -> bool {
        matches!(self, Self::Histogram | Self::Summary)
    }
}

impl TryFrom<u8> for Kind {
    type Error = NameError;

    fn try_from(code: u8) -> Result<Self, NameError> {
        match code {
            1 => Ok(Self::Counter),
            2 => Ok(Self::Gauge),
            3 => Ok(Self::Histogram),
            4 => Ok(Self::Summary),
            _ => Err(NameError::UnknownKind { code }),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How the values of one gauge, one per live process, become the value that is exposed.
///
/// ```
/// use ringmeter_layout::naming::GaugeRule;
///
/// assert_eq!(GaugeRule::try_from(4), Ok(GaugeRule::MostRecent));
/// assert_eq!(GaugeRule::MostRecent.to_string(), "most_recent");
/// assert_eq!(GaugeRule::default(), GaugeRule::Sum);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum GaugeRule {
    /// All values added up.
    #[default]
    Sum = 0,
    /// The smallest value.
    Min = 1,
    /// The largest value.
    Max = 2,
    /// The arithmetic mean.
    Mean = 3,
    /// The value that changed last.
    MostRecent = 4,
    /// One series for each process.
    PerProcess = 5,
}

impl GaugeRule {
    /// Every rule, in the order of the codes.
    pub const ALL: [Self; 6] =
        [Self::Sum, Self::Min, Self::Max, Self::Mean, Self::MostRecent, Self::PerProcess];

    /// The code that stands for this rule in a segment.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The word for this rule in configuration and documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::MostRecent => "most_recent",
            Self::PerProcess => "per_process",
        }
    }
}

impl TryFrom<u8> for GaugeRule {
    type Error = NameError;

    fn try_from(code: u8) -> Result<Self, NameError> {
        match code {
            0 => Ok(Self::Sum),
            1 => Ok(Self::Min),
            2 => Ok(Self::Max),
            3 => Ok(Self::Mean),
            4 => Ok(Self::MostRecent),
            5 => Ok(Self::PerProcess),
            _ => Err(NameError::UnknownGaugeRule { code }),
        }
    }
}

impl fmt::Display for GaugeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_no_other_is_a_kind() {
        for code in 0..=u8::MAX {
            let expected = Kind::ALL.into_iter().find(|kind| kind.code() == code);
            assert_eq!(Kind::try_from(code).ok(), expected, "code {code}");
            if expected.is_none() {
                assert_eq!(Kind::try_from(code), Err(NameError::UnknownKind { code }));
            }
        }
    }

    #[test]
    fn every_code_reads_back_and_no_other_is_a_gauge_rule() {
        for code in 0..=u8::MAX {
            let expected = GaugeRule::ALL.into_iter().find(|rule| rule.code() == code);
            assert_eq!(GaugeRule::try_from(code).ok(), expected, "code {code}");
            if expected.is_none() {
                assert_eq!(GaugeRule::try_from(code), Err(NameError::UnknownGaugeRule { code }));
            }
        }
    }

    #[test]
    fn only_histograms_and_summaries_take_observations() {
        let distributions: Vec<Kind> =
            Kind::ALL.into_iter().filter(|kind| kind.is_distribution()).collect();
        assert_eq!(distributions, [Kind::Histogram, Kind::Summary]);
    }
}
