//! One error enum per operation, one variant per reason, the numbers inside.

use core::fmt;
use std::io;
use std::path::PathBuf;

use ringmeter_layout::definition::DefinitionError;
use ringmeter_layout::directory::DirectoryError;
use ringmeter_layout::lane::{CAPACITY_MAX_RECORDS, CAPACITY_MIN_RECORDS};
use ringmeter_layout::naming::{Kind, NameError};

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number outside of its range.
    OutOfRange {
        /// The setting.
        name: &'static str,
        /// What was given.
        found: u64,
        /// Smallest allowed.
        low: u64,
        /// Largest allowed.
        high: u64,
    },
    /// A lane capacity that is no power of two within its limits.
    LaneCapacity {
        /// Records given.
        found: u32,
    },
    /// A service name against the rules.
    Service {
        /// The name.
        name: String,
        /// The rule.
        error: NameError,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { name, found, low, high } => {
                write!(f, "{name} is {found}; set it between {low} and {high}")
            }
            Self::LaneCapacity { found } => write!(
                f,
                "lane_capacity_records is {found}; set it to a power of two from \
                 {CAPACITY_MIN_RECORDS} to {CAPACITY_MAX_RECORDS}"
            ),
            Self::Service { name, error } => write!(f, "service name {name:?}: {error}"),
        }
    }
}

impl core::error::Error for ConfigError {}

/// Why a producer has no segment, or its segment no room for more.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// This system is not a 64-bit little-endian Linux.
    Unsupported,
    /// The producer was made to count privately.
    PrivateOnly,
    /// Settings cannot be used; all of them.
    Config(Vec<ConfigError>),
    /// The directory was not found, or may not be used.
    Directory(DirectoryError),
    /// The directory is not on a memory-backed file system.
    NotMemoryBacked {
        /// The directory.
        path: PathBuf,
    },
    /// There are as many segments as the limit allows: is the agent running?
    TooManySegments {
        /// The limit.
        limit: u32,
    },
    /// There are as many lanes in the segment as the limit allows, and threads own all of them.
    TooManyLanes {
        /// The limit.
        limit: u32,
    },
    /// The segment would grow beyond what is left of the container's memory limit.
    MemoryLimit {
        /// Bytes needed.
        needed_bytes: u64,
        /// Bytes left.
        left_bytes: u64,
    },
    /// The segment would take room in its file system that the agent needs for acks and ledger.
    FileSystemFull {
        /// Bytes needed.
        needed_bytes: u64,
        /// Bytes that producers may still take.
        left_bytes: u64,
    },
    /// The segment would grow beyond RLIMIT_FSIZE.
    FileSizeLimit {
        /// Size needed.
        needed_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The segment would grow beyond its own limit.
    SegmentSizeLimit {
        /// The limit.
        limit_bytes: u64,
    },
    /// The kept descriptor of the segment is another file's now.
    DescriptorTaken,
    /// There are no random bytes for an id yet.
    NoRandomBytes,
    /// All places for producers with a segment are taken in this process.
    TooManyProducers {
        /// How many there are.
        limit: u32,
    },
    /// A system call failed.
    Io {
        /// Which one.
        call: &'static str,
        /// How.
        error: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => {
                f.write_str("segments need 64-bit little-endian Linux; counting in this process")
            }
            Self::PrivateOnly => f.write_str("made for reading back in this process"),
            Self::Config(errors) => {
                for (index, error) in errors.iter().enumerate() {
                    write!(f, "{}{error}", if index == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
            Self::Directory(error) => error.fmt(f),
            Self::NotMemoryBacked { path } => write!(
                f,
                "{} is not on tmpfs: a segment on a disk can stall its writer for seconds; mount \
                 a tmpfs there, or accept it with ProducerBuilder::allow_any_filesystem",
                path.display()
            ),
            Self::TooManySegments { limit } => write!(
                f,
                "there are {limit} segments in the directory already, the limit; start the agent, \
                 which removes those of ended processes, or raise segments_max"
            ),
            Self::TooManyLanes { limit } => {
                write!(f, "threads own all {limit} lanes; raise lanes_max, or have fewer threads")
            }
            Self::MemoryLimit { needed_bytes, left_bytes } => write!(
                f,
                "{needed_bytes} bytes of shared memory are needed and the memory limit leaves \
                 {left_bytes}; raise the container's memory limit"
            ),
            Self::FileSystemFull { needed_bytes, left_bytes } => write!(
                f,
                "the segment needs {needed_bytes} more bytes and the file system has {left_bytes} \
                 left for producers; start the agent, which removes segments of ended processes, \
                 or make the tmpfs larger"
            ),
            Self::FileSizeLimit { needed_bytes, limit_bytes } => write!(
                f,
                "the segment needs {needed_bytes} bytes and RLIMIT_FSIZE allows {limit_bytes}; \
                 raise `ulimit -f`"
            ),
            Self::SegmentSizeLimit { limit_bytes } => {
                write!(f, "the segment has reached segment_size_max_bytes ({limit_bytes})")
            }
            Self::DescriptorTaken => f.write_str(
                "the segment's file descriptor was closed behind our back and is another file's \
                 now; the segment stays as it is",
            ),
            Self::NoRandomBytes => f.write_str("the system has no random bytes yet"),
            Self::TooManyProducers { limit } => {
                write!(f, "{limit} producers with segments exist in this process already")
            }
            Self::Io { call, error } => write!(f, "{call}: {error}"),
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Directory(error) => Some(error),
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl OpenError {
    /// For `map_err`: what failed in `call`.
    #[cfg(target_os = "linux")]
    pub(crate) fn io(call: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io { call, error }
    }
}

/// One side of a conflict between two registrations of a name.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Aspect {
    /// The kind.
    Kind(Kind),
    /// The help text.
    Help(String),
    /// The unit.
    Unit(String),
    /// The label names.
    LabelNames(Vec<String>),
    /// The bucket bounds.
    Buckets(Vec<f64>),
    /// A summary's quantiles and window.
    Window {
        /// Quantiles shown.
        objectives: Vec<f64>,
        /// Length of the window, milliseconds.
        max_age_ms: u64,
        /// Steps in which old observations leave it.
        age_buckets: u32,
    },
    /// How gauges of several processes merge.
    GaugeRule(ringmeter_layout::naming::GaugeRule),
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "a {kind}"),
            Self::Help(help) => write!(f, "help {help:?}"),
            Self::Unit(unit) => write!(f, "unit {unit:?}"),
            Self::LabelNames(names) => write!(f, "label names {names:?}"),
            Self::Buckets(bounds) => write!(f, "buckets {bounds:?}"),
            Self::Window { objectives, max_age_ms, age_buckets } => write!(
                f,
                "quantiles {objectives:?} over {max_age_ms} ms in {age_buckets} age buckets"
            ),
            Self::GaugeRule(rule) => write!(f, "gauge rule {rule:?}"),
        }
    }
}

/// Why a metric was not registered.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RegisterError {
    /// A name, label, bound or objective against the rules.
    Name {
        /// The metric.
        name: String,
        /// The rule.
        error: NameError,
    },
    /// The name is registered already, as something else.
    Conflict {
        /// The metric.
        name: String,
        /// What it is registered as.
        registered: Aspect,
        /// What was asked for.
        requested: Aspect,
    },
    /// A sample of the metric would have the same name as one of a metric registered already: a
    /// histogram `x` has samples `x_bucket`, `x_count` and `x_sum`.
    SampleConflict {
        /// The metric.
        name: String,
        /// Its kind.
        kind: Kind,
        /// The metric registered already.
        registered: String,
        /// Its kind.
        registered_kind: Kind,
        /// The name that samples of both would have.
        sample: String,
    },
    /// `with` was given another number of label values than the family has names.
    LabelCount {
        /// The metric.
        name: String,
        /// Label names.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// Something else about the metric breaks a rule.
    Definition {
        /// The metric.
        name: String,
        /// The rule.
        error: DefinitionError,
    },
    /// There is no room for the metric.
    NoSpace {
        /// The metric.
        name: String,
        /// What is used up.
        reason: String,
    },
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name, error } => write!(f, "metric {name:?}: {error}"),
            Self::Conflict { name, registered, requested } => write!(
                f,
                "metric {name:?} is registered as {registered}, and was now asked for as \
                 {requested}; use one of them, or two names"
            ),
            Self::SampleConflict { name, kind, registered, registered_kind, sample } => write!(
                f,
                "metric {name:?}, a {kind}, and {registered:?}, which is registered as a \
                 {registered_kind}, would both have samples called {sample}; rename one of them"
            ),
            Self::LabelCount { name, expected, found } => {
                write!(f, "metric {name:?} has {expected} label names and was given {found} values")
            }
            Self::Definition { name, error } => write!(f, "metric {name:?}: {error}"),
            Self::NoSpace { name, reason } => {
                write!(f, "no room for metric {name:?}: {reason}")
            }
        }
    }
}

/// All metrics of [`register!`](crate::register) that were not registered, and why.
///
/// `Debug` prints the same text as `Display`, so that `expect` and a `main` that returns it say
/// what is wrong; `?` takes it, as any error. The single errors are there by iteration.
///
/// ```
/// use ringmeter::Counter;
///
/// static ORDERS: Counter = Counter::new("orders total", "Orders taken.");
///
/// let errors = ringmeter::register!(ORDERS).unwrap_err();
/// assert_eq!(errors.iter().count(), 1);
/// assert!(format!("{errors:?}").contains("orders total"));
/// ```
#[derive(Clone, PartialEq)]
pub struct RegisterErrors(Vec<RegisterError>);

impl RegisterErrors {
    /// Nothing, where there are none.
    pub(crate) fn check(errors: Vec<RegisterError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// The errors, in the order of the metrics; at least one.
    pub fn iter(&self) -> core::slice::Iter<'_, RegisterError> {
        self.0.iter()
    }
}

impl fmt::Display for RegisterErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for RegisterErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for RegisterErrors {}

impl IntoIterator for RegisterErrors {
    type Item = RegisterError;
    type IntoIter = std::vec::IntoIter<RegisterError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a RegisterErrors {
    type Item = &'a RegisterError;
    type IntoIter = core::slice::Iter<'a, RegisterError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl core::error::Error for RegisterError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Name { error, .. } => Some(error),
            Self::Definition { error, .. } => Some(error),
            _ => None,
        }
    }
}
