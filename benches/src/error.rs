//! Why a benchmark could not be run: a sentence for whoever runs it.

use std::fmt;

/// What went wrong, with the numbers inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// A failure with this message.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// The same failure, with what was being done in front of it.
    #[must_use]
    pub fn during(self, what: &str) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

macro_rules! from_display {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(error.to_string())
            }
        })*
    };
}

from_display!(
    cadence::MetricError,
    std::io::Error,
    fmt::Error,
    nix::Error,
    prometheus::Error,
    serde_json::Error,
    toml::de::Error,
    ringmeter::OpenError,
    ringmeter::RegisterError,
    ringmeter_agent::snapshot::ShapeError,
    ringmeter_layout::definition::DefinitionError,
    ringmeter_layout::segment::SegmentError,
);

/// What a benchmark's step returns.
pub type Outcome<T> = Result<T, Failure>;
