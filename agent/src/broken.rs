//! Negative controls: promises that a build for tests can be told to break, so that the crash
//! test can show that it would notice. Without the feature `broken` nothing here does anything.

/// A promise to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Acks are written before the commit that they rest on.
    AckBeforeCommit,
    /// A journal's values are added on restart instead of set.
    JournalAsDeltas,
    /// Commits come late, and scrapes do not wait for them.
    ServeUncommitted,
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

/// Stretches the moment between two steps of a commit, so that more kills fall into it.
pub fn linger() {
    #[cfg(feature = "broken")]
    std::thread::sleep(chosen::pause());
}

#[cfg(feature = "broken")]
mod chosen {
    use std::sync::OnceLock;
    use std::time::Duration;

    use super::Break;

    pub(super) fn promise() -> Option<Break> {
        static CHOSEN: OnceLock<Option<Break>> = OnceLock::new();
        *CHOSEN.get_or_init(|| match std::env::var("RINGMETER_BREAK").ok()?.as_str() {
            "ack-before-commit" => Some(Break::AckBeforeCommit),
            "journal-as-deltas" => Some(Break::JournalAsDeltas),
            "serve-uncommitted" => Some(Break::ServeUncommitted),
            _ => None,
        })
    }

    pub(super) fn pause() -> Duration {
        static PAUSE: OnceLock<Duration> = OnceLock::new();
        *PAUSE.get_or_init(|| {
            let written = std::env::var("RINGMETER_BREAK_PAUSE_US").ok();
            Duration::from_micros(written.and_then(|text| text.parse().ok()).unwrap_or(0))
        })
    }
}
