//! What the web server counts: written by its thread, read by the one that makes snapshots.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection or a request was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Refusal {
    /// More connections than the limit: the longest silent one had to go, or the new one.
    Connections,
    /// Nothing could be accepted, mostly for want of descriptors.
    Accept,
    /// The TLS handshake failed.
    Handshake,
    /// The head of a request took too long.
    SlowHead,
    /// The client did not take its response.
    SlowReader,
    /// More requests than the rate limit.
    RateLimit,
    /// No valid user and password.
    Unauthorized,
    /// Too many logins waited for their verification.
    LoginsWaiting,
    /// More scrapes at a time than `--web.max-requests`.
    MaxRequests,
}

impl Refusal {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Connections,
        Self::Accept,
        Self::Handshake,
        Self::SlowHead,
        Self::SlowReader,
        Self::RateLimit,
        Self::Unauthorized,
        Self::LoginsWaiting,
        Self::MaxRequests,
    ];

    /// The name in the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connection_limit",
            Self::Accept => "accept_failed",
            Self::Handshake => "tls_handshake",
            Self::SlowHead => "slow_request",
            Self::SlowReader => "slow_reader",
            Self::RateLimit => "rate_limit",
            Self::Unauthorized => "unauthorized",
            Self::LoginsWaiting => "logins_waiting",
            Self::MaxRequests => "max_requests",
        }
    }
}

/// The counts. They begin anew with the agent: they tell of its clients, not of its producers.
#[derive(Debug, Default)]
pub struct WebCounts {
    refused: [AtomicU64; Refusal::ALL.len()],
    connections: AtomicU64,
    /// 0 without a file, 1 for a failed reload, 2 for a good one.
    config_state: AtomicU64,
    config_success_seconds: AtomicU64,
}

impl WebCounts {
    /// One more was turned away.
    pub fn refuse(&self, reason: Refusal) {
        if let Some(count) = self.refused.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were turned away for this reason.
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refused.get(reason as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// As many connections are open now.
    pub fn set_connections(&self, count: usize) {
        self.connections.store(count as u64, Ordering::Relaxed);
    }

    /// Connections that are open.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// The web configuration was read again, or could not be.
    pub fn note_reload(&self, is_good: bool, unix_seconds: u64) {
        if is_good {
            self.config_success_seconds.store(unix_seconds, Ordering::Relaxed);
        }
        self.config_state.store(1 + u64::from(is_good), Ordering::Relaxed);
    }

    /// Whether the last reading was good; `None` without a file.
    pub fn is_config_good(&self) -> Option<bool> {
        match self.config_state.load(Ordering::Relaxed) {
            0 => None,
            state => Some(state == 2),
        }
    }

    /// When the configuration in force was read, seconds since 1970; `None` without a file.
    pub fn config_success_seconds(&self) -> Option<u64> {
        self.is_config_good().map(|_| self.config_success_seconds.load(Ordering::Relaxed))
    }
}
