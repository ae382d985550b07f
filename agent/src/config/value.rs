//! The types that a setting can have, and how each is read.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// The port that the agent serves on by default; outside 9100-9999, where every number is taken.
pub const DEFAULT_PORT: u16 = 19_310;

/// A telemetry path may be this long.
pub const TELEMETRY_PATH_LENGTH_MAX_BYTES: usize = 256;

/// Where the server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// Every interface: IPv6 and IPv4 together, or IPv4 alone on hosts without IPv6.
    AllInterfaces {
        /// The TCP port; 0 for any free one.
        port: u16,
    },
    /// One address; a port of 0 means any free one.
    One(SocketAddr),
}

impl ListenAddress {
    /// The addresses to try, in this order, until one can be bound.
    pub fn candidates(self) -> impl Iterator<Item = SocketAddr> {
        let (first, second) = match self {
            Self::AllInterfaces { port } => {
                let fallback = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
                (SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), Some(fallback))
            }
            Self::One(address) => (address, None),
        };
        std::iter::once(first).chain(second)
    }
}

impl Default for ListenAddress {
    fn default() -> Self {
        Self::AllInterfaces { port: DEFAULT_PORT }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllInterfaces { port } => write!(f, ":{port}"),
            Self::One(address) => address.fmt(f),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = Reason;

    fn from_str(text: &str) -> Result<Self, Reason> {
        if let Some(port) = text.strip_prefix(':') {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port.parse().ok().filter(|_| digits);
            return port.map(|port| Self::AllInterfaces { port }).ok_or(Reason::ListenAddress);
        }
        text.parse().map(Self::One).map_err(|_| Reason::ListenAddress)
    }
}

/// The path of the metrics page: starts with `/`, and collides with no other page.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TelemetryPath(String);

impl TelemetryPath {
    /// The path as requests carry it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TelemetryPath {
    fn default() -> Self {
        Self("/metrics".into())
    }
}

impl FromStr for TelemetryPath {
    type Err = Reason;

    fn from_str(text: &str) -> Result<Self, Reason> {
        // Only characters that no client escapes, so that paths can be compared byte by byte.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        let usable = text.starts_with('/')
            && !text.starts_with("/-/")
            && !text.contains("//")
            && text.len() <= TELEMETRY_PATH_LENGTH_MAX_BYTES
            && !text.split('/').any(|part| part == "." || part == "..")
            && text.bytes().all(plain);
        if usable { Ok(Self(text.into())) } else { Err(Reason::TelemetryPath) }
    }
}

/// How severe a message must be to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What an operator wants to know afterwards.
    #[default]
    Info,
    /// What an operator should look at.
    Warn,
    /// What does not work.
    Error,
}

impl FromStr for LogLevel {
    type Err = Reason;

    fn from_str(text: &str) -> Result<Self, Reason> {
        match text {
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            _ => Err(Reason::LogLevel),
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LogFormat {
    /// `key=value`, quoted where needed.
    #[default]
    Logfmt,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = Reason;

    fn from_str(text: &str) -> Result<Self, Reason> {
        match text {
            "logfmt" => Ok(Self::Logfmt),
            "json" => Ok(Self::Json),
            _ => Err(Reason::LogFormat),
        }
    }
}

/// Why a value cannot be used; its text says what could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The environment variable is not UTF-8.
    NotUtf8,
    /// Not an absolute path, or one with `..` in it.
    Directory,
    /// Not an address and port.
    ListenAddress,
    /// More addresses than the limit.
    TooManyAddresses {
        /// As many as are allowed.
        limit: usize,
    },
    /// Not a path that can be served.
    TelemetryPath,
    /// Not a duration, or above the limit.
    Duration {
        /// The longest duration allowed.
        limit: Duration,
    },
    /// Not a whole number, or outside of its limits.
    Number {
        /// The smallest number allowed.
        low: u64,
        /// The largest number allowed.
        high: u64,
    },
    /// Neither true nor false.
    Flag,
    /// Not a level.
    LogLevel,
    /// Not a format.
    LogFormat,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("must be UTF-8"),
            Self::Directory => f.write_str("must be an absolute path without `..`"),
            Self::ListenAddress => f.write_str(
                "must be an IP address and a port, as 10.0.0.1:19310, [::1]:19310, or :19310 \
                 for all interfaces",
            ),
            Self::TooManyAddresses { limit } => {
                write!(f, "at most {limit} different addresses can be served")
            }
            Self::TelemetryPath => write!(
                f,
                "must start with / and not with /-/, and consist of letters, digits and -._~ \
                 between single slashes, up to {TELEMETRY_PATH_LENGTH_MAX_BYTES} bytes, as /metrics"
            ),
            Self::Duration { limit } => write!(
                f,
                "must be a duration of up to {} s, as 500ms, 20s or 1m30s",
                limit.as_secs()
            ),
            Self::Number { low, high } => write!(f, "must be a whole number from {low} to {high}"),
            Self::Flag => f.write_str("must be true or false"),
            Self::LogLevel => f.write_str("must be one of debug, info, warn, error"),
            Self::LogFormat => f.write_str("must be one of logfmt, json"),
        }
    }
}
