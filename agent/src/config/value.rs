//! The types that a setting can have, and how each is read.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ringmeter_layout::lane::{CAPACITY_MAX_RECORDS, CAPACITY_MIN_RECORDS};

/// The port that the agent serves on by default; outside 9100-9999, where every number is taken.
pub const DEFAULT_PORT: u16 = 19_310;

/// A telemetry path may be this long.
pub const TELEMETRY_PATH_LENGTH_MAX_BYTES: usize = 256;

/// A unix socket's path may be this long: what the system's address has room for.
pub const UNIX_PATH_LENGTH_MAX_BYTES: usize = 107;

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// Every interface: IPv6 and IPv4 together, or IPv4 alone on hosts without IPv6.
    AllInterfaces {
        /// The TCP port; 0 for any free one.
        port: u16,
    },
    /// One address; a port of 0 means any free one.
    One(SocketAddr),
    /// A unix socket, by its absolute path.
    Unix(PathBuf),
}

impl ListenAddress {
    /// The addresses to try, in this order, until one can be bound; none for a unix socket.
    pub fn candidates(&self) -> impl Iterator<Item = SocketAddr> {
        let (first, second) = match self {
            Self::AllInterfaces { port } => {
                let fallback = SocketAddr::from((Ipv4Addr::UNSPECIFIED, *port));
                (Some(SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port))), Some(fallback))
            }
            Self::One(address) => (Some(*address), None),
            Self::Unix(_) => (None, None),
        };
        first.into_iter().chain(second)
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
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
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
        if let Some(path) = text.strip_prefix("unix:") {
            let is_usable = path.starts_with('/')
                && path.len() <= UNIX_PATH_LENGTH_MAX_BYTES
                && !path.contains('\0');
            return if is_usable { Ok(Self::Unix(path.into())) } else { Err(Reason::UnixPath) };
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
    /// Not the path of a file.
    File,
    /// Not an address and port.
    ListenAddress,
    /// Not a path that a unix socket can have.
    UnixPath,
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
    /// Not a power of two within the limits of a lane.
    LaneCapacity,
    /// Not a URL that the health check can ask.
    Url,
    /// An address with port 0, which is another one at each start.
    AnyPort,
    /// A unix socket, which the health check does not ask.
    UnixHealth,
    /// Not a form of output.
    OutputFormat,
    /// Neither true nor false.
    Boolean,
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
                 for all interfaces, or unix:/path",
            ),
            Self::File => f.write_str("must be the path of a file"),
            Self::UnixPath => write!(
                f,
                "must be unix: and an absolute path of up to {UNIX_PATH_LENGTH_MAX_BYTES} bytes"
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
            Self::LaneCapacity => write!(
                f,
                "must be a power of two from {CAPACITY_MIN_RECORDS} to {CAPACITY_MAX_RECORDS}"
            ),
            Self::Url => f.write_str(
                "must be plain http, with localhost or an IP address, as \
                 http://127.0.0.1:19310/-/healthy",
            ),
            Self::AnyPort => f.write_str("port 0 is any free port: say with --url which it is"),
            Self::UnixHealth => f.write_str(
                "the health check asks TCP addresses only: give the agent one with \
                 --web.health-listen-address, or say with --url what to ask",
            ),
            Self::OutputFormat => f.write_str("must be one of text, json, yaml"),
            Self::Boolean => f.write_str("must be one of true, false"),
            Self::LogLevel => f.write_str("must be one of debug, info, warn, error"),
            Self::LogFormat => f.write_str("must be one of logfmt, json"),
        }
    }
}
