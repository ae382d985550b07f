//! What the program `injected` and its supervisor have agreed on.

/// Where the program stands; system calls of [`Phase::App`] are its own, not the SDK's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// The program's own calls.
    App,
    /// Making the producer.
    Open,
    /// Registering statics.
    Register,
    /// The first record of the main thread.
    First,
    /// The first record of another thread.
    Thread,
    /// Registering more than the segment has room for.
    Grow,
    /// Recording into a full lane, without an agent.
    Full,
    /// The same, with an agent's ack.
    Ack,
    /// Removing a series, and using it again.
    Remove,
    /// Recording in the child of a fork.
    Child,
    /// The last record.
    Last,
    /// Nothing is injected any more.
    Healed,
    /// Recording while the agent stands still.
    Record,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::App,
        Self::Open,
        Self::Register,
        Self::First,
        Self::Thread,
        Self::Grow,
        Self::Full,
        Self::Ack,
        Self::Remove,
        Self::Child,
        Self::Last,
        Self::Healed,
        Self::Record,
    ];
}

/// Tells the supervisor that this thread begins a phase.
pub fn mark(phase: Phase) {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    crate::supervisor::mark(phase as u8);
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    let _ = phase;
}

/// What a process says about its counts when it ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// It has no segment, and counts privately.
    pub is_private: bool,
    /// It has not even memory for that.
    pub is_disabled: bool,
    /// It has a segment, which has no room for some series.
    pub is_pending: bool,
    /// What the process sees of its counts: all of them if it is private.
    pub calls: f64,
    /// As above.
    pub labelled: f64,
    /// As above.
    pub observations: u64,
}

impl Report {
    /// One line.
    #[must_use]
    pub fn encode(&self) -> String {
        let Self { is_private, is_disabled, is_pending, calls, labelled, observations } = self;
        format!("{is_private} {is_disabled} {is_pending} {calls} {labelled} {observations}")
    }

    /// Reads a line.
    #[must_use]
    pub fn decode(line: &str) -> Option<Self> {
        let mut words = line.split('\t').next()?.split(' ');
        Some(Self {
            is_private: words.next()?.parse().ok()?,
            is_disabled: words.next()?.parse().ok()?,
            is_pending: words.next()?.parse().ok()?,
            calls: words.next()?.parse().ok()?,
            labelled: words.next()?.parse().ok()?,
            observations: words.next()?.parse().ok()?,
        })
    }
}
