//! Negative controls: promises that a build for tests can be told to break, so that the crash
//! test can show that it would notice. Without the feature `broken` nothing here does anything.

/// Variable that names the promise to break.
pub const VARIABLE: &str = "RINGMETER_BREAK";
/// Variable with the time by which [`linger`] stretches a moment, µs.
pub const PAUSE_VARIABLE: &str = "RINGMETER_BREAK_PAUSE_US";

/// A promise to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Acks are written before the commit that they rest on.
    AckBeforeCommit,
    /// A journal's values are added on restart instead of set.
    JournalAsDeltas,
    /// Marks of what was taken from cells do not outlive the agent. So it would be if it set cells
    /// back to zero instead of remembering what it took: an agent that is killed between its
    /// commit and that leaves the next one full cells of which nothing is remembered.
    CellsReset,
    /// Commits come late, and scrapes do not wait for them.
    ServeUncommitted,
    /// Liveness is asked for after a producer's last records were read instead of before.
    FinaliseEarly,
}

impl Break {
    /// Everything that can be broken.
    pub const ALL: [Self; 5] = [
        Self::AckBeforeCommit,
        Self::JournalAsDeltas,
        Self::CellsReset,
        Self::ServeUncommitted,
        Self::FinaliseEarly,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AckBeforeCommit => "ack-before-commit",
            Self::JournalAsDeltas => "journal-as-deltas",
            Self::CellsReset => "cells-reset",
            Self::ServeUncommitted => "serve-uncommitted",
            Self::FinaliseEarly => "finalise-early",
        }
    }

    /// The one of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|promise| promise.name() == name)
    }

    /// What the environment of `ringmeter-broken` has to say.
    pub fn variables(self, pause_us: &str) -> [(String, String); 2] {
        [(VARIABLE, self.name()), (PAUSE_VARIABLE, pause_us)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    }
}

/// Whether this promise is to be broken.
#[cfg(feature = "broken")]
pub fn is(promise: Break) -> bool {
    chosen::promise() == Some(promise)
}

/// Whether this promise is to be broken: never in what ships.
#[cfg(not(feature = "broken"))]
pub const fn is(_promise: Break) -> bool {
    false
}

/// Stretches the moment between two steps, so that more kills fall into it.
pub fn linger() {
    #[cfg(feature = "broken")]
    std::thread::sleep(chosen::pause());
}

#[cfg(feature = "broken")]
mod chosen {
    use std::sync::OnceLock;
    use std::time::Duration;

    use super::{Break, PAUSE_VARIABLE, VARIABLE};

    pub(super) fn promise() -> Option<Break> {
        static CHOSEN: OnceLock<Option<Break>> = OnceLock::new();
        *CHOSEN.get_or_init(|| Break::of_name(&std::env::var(VARIABLE).ok()?))
    }

    pub(super) fn pause() -> Duration {
        static PAUSE: OnceLock<Duration> = OnceLock::new();
        *PAUSE.get_or_init(|| {
            let written = std::env::var(PAUSE_VARIABLE).ok();
            Duration::from_micros(written.and_then(|text| text.parse().ok()).unwrap_or(0))
        })
    }
}
