//! Producers: where metrics are registered and which segment their records go to.

use core::fmt;
use std::path::PathBuf;
use std::sync::Mutex;

use ringmeter_layout::mapping::Mapping;
use ringmeter_layout::naming::Kind;
use ringmeter_layout::naming::lint::{Lint, lint};
use ringmeter_layout::word::Word;

use crate::config::Settings;
use crate::error::{ConfigError, OpenError, RegisterError};
use crate::leaked::Leaked;
use crate::options::Options;
use crate::os;
use crate::registry::{Entry, Inner, Registry, Series};
use crate::slow::{self, PRODUCERS};
use crate::thread::{self, NULL_SLOT, PRODUCER_SLOTS};

/// Registers metrics and owns the segment that their records go to.
///
/// Cheap to copy. A producer lives until the process ends, whether or not a `Producer` value is
/// kept: handles stay valid in statics, in other threads and in destructors. Most applications
/// need one only, [`Producer::global`], and reach it through statics and macros.
///
/// ```
/// let producer = ringmeter::Producer::private();
/// let orders = producer.counter(("app_orders_total", "Orders taken."))?;
/// orders.inc();
/// # Ok::<(), ringmeter::RegisterError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Producer {
    pub(crate) inner: &'static Inner,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("service", &self.inner.config.service)
            .field("status", &self.status())
            .finish()
    }
}

/// Where a producer's records go.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Status {
    /// Into a segment, for the agent.
    Shared {
        /// The segment's file.
        path: PathBuf,
        /// Why metrics that were registered last are not in the segment yet, if that is so. They
        /// count in this process' own memory until there is room.
        pending: Option<String>,
        /// Why threads get no lane, if that is so. They record into cells until there is one:
        /// nothing is lost, each record costs several times as much.
        no_lane: Option<String>,
        /// Settings that could not be used and were replaced by their defaults.
        problems: Vec<ConfigError>,
    },
    /// Into this process' own memory, until a segment can be opened; what is counted meanwhile
    /// moves into it then.
    Private {
        /// Why there is no segment.
        reason: String,
    },
    /// Nowhere: the system has not even memory to count privately.
    Disabled {
        /// Why.
        reason: String,
    },
}

/// Something about a registered metric that Prometheus' conventions advise against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The metric.
    pub metric: String,
    /// The advice, in the words of `promtool check metrics`.
    pub lint: Lint,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.metric, self.lint)
    }
}

/// The process-wide producer.
static GLOBAL: Leaked<Inner> = Leaked::empty();
/// Who is making it: an incarnation, or 0.
static GLOBAL_LOCK: Word = Word::new(0);
/// Slots given to producers so far.
static SLOTS_GIVEN: Word = Word::new(0);

impl Producer {
    /// The process-wide producer: made from the environment at first use, unless
    /// [`ProducerBuilder::install_global`] was called before.
    ///
    /// Never fails: where no segment can be opened it counts privately, see [`status`].
    ///
    /// [`status`]: Self::status
    #[must_use]
    pub fn global() -> Self {
        if let Some(inner) = GLOBAL.get() {
            return Self { inner };
        }
        Self::builder().install_global()
    }

    /// Settings for a producer of one's own.
    #[must_use]
    pub fn builder() -> ProducerBuilder {
        ProducerBuilder { settings: Settings::default() }
    }

    /// A producer that counts in this process only and never opens a segment.
    #[must_use]
    pub fn private() -> Self {
        let settings = Settings { private_only: true, ..Settings::default() };
        Self::from_settings(&settings)
    }

    pub(crate) fn from_settings(settings: &Settings) -> Self {
        let (config, config_problems) = settings.check();
        let watched = thread::prepare(&slow::RELEASE_LANES);
        let slot = if config.private_only || !watched { NULL_SLOT } else { next_slot() };
        let private = Mapping::private(config.segment_size_max_bytes).ok();
        let inner: &'static Inner = Box::leak(Box::new(Inner {
            config,
            config_problems,
            slot,
            private,
            shared: Leaked::empty(),
            spares: [const { Leaked::empty() }; 2],
            gauges: Leaked::empty(),
            registry: Registry::new(),
            place: Leaked::empty(),
            reason: Mutex::new(None),
            lane_refusal: Mutex::new(None),
        }));
        if let Some(producer) = PRODUCERS.get(slot as usize) {
            producer.set(inner);
        }
        inner.refill_spares();
        inner.try_open();
        inner.refill_spares();
        Self { inner }
    }

    /// The name of the service that this producer belongs to.
    #[must_use]
    pub fn service(&self) -> &'static str {
        &self.inner.config.service
    }

    /// Where the records go, and if not into a segment, why.
    #[must_use]
    pub fn status(&self) -> Status {
        let reason = said(&self.inner.reason);
        if let Some((segment, path)) = self.inner.segment().and_then(|s| Some((s, s.path()?))) {
            let is_behind = segment.definition_count() < self.inner.registry.log.len();
            return Status::Shared {
                path: path.to_owned(),
                pending: reason.filter(|_| is_behind),
                no_lane: said(&self.inner.lane_refusal).filter(|_| !segment.has_free_lane()),
                problems: self.inner.config_problems.clone(),
            };
        }
        let reason = reason.map(|reason| self.with_place(reason));
        let problem = self.inner.config_problems.first().map(ToString::to_string);
        if self.inner.private.is_none() {
            return Status::Disabled { reason: "no memory for private counts".to_owned() };
        }
        let reason = problem.or(reason).unwrap_or_else(|| OpenError::PrivateOnly.to_string());
        Status::Private { reason }
    }

    /// What a system call says, with the place that it was about, and what may be missing there.
    fn with_place(self, reason: String) -> String {
        let inner = self.inner;
        let is_denied = inner.reason.try_lock().ok().and_then(|reason| match &*reason {
            Some(OpenError::Io { error, .. }) => {
                Some(error.kind() == std::io::ErrorKind::PermissionDenied)
            }
            _ => None,
        });
        let (Some(is_denied), Some(place)) = (is_denied, inner.place.get()) else { return reason };
        let path = place.segments_path.display();
        let advice = "; the application has to be able to search and write it: as its owner, or \
                      in its group (in Kubernetes fsGroup)";
        format!("{reason}; segments are to be in {path}{}", if is_denied { advice } else { "" })
    }

    /// Tries now to open a segment, or to give it what it had no room for; says whether there is
    /// one with everything in it.
    ///
    /// Also happens by itself while records are made.
    pub fn open(&self) -> bool {
        self.inner.try_open().is_some()
    }

    /// Makes this thread ready, so that its first record already takes the fast path: claims a
    /// lane, for which it may wait a moment while another thread does the same.
    pub fn prepare_thread(&self) {
        slow::prepare_thread(self.inner);
    }

    /// Advice on the metrics registered so far, by the rules of `promtool check metrics`.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let families = self.inner.registry.log.iter().filter_map(|entry| match entry {
            Entry::Family(family) => Some(&family.definition),
            Entry::Series(_) => None,
        });
        families
            .flat_map(|family| {
                lint(family.kind, &family.name, &family.help, &family.label_names)
                    .into_iter()
                    .map(|lint| Warning { metric: family.name.clone(), lint })
            })
            .collect()
    }

    pub(crate) fn series_of(
        self,
        kind: Kind,
        options: &Options,
    ) -> Result<&'static Series, RegisterError> {
        let family = self.inner.family(options.definition(kind, &[]), false)?;
        self.inner.series(family, &options.label_values())
    }
}

/// What the last attempt failed with, unless somebody is writing it.
fn said(reason: &Mutex<Option<OpenError>>) -> Option<String> {
    reason.try_lock().ok()?.as_ref().map(ToString::to_string)
}

/// Slots given back by producers that were not kept.
static SLOTS_FREE: [Word; PRODUCER_SLOTS as usize] =
    [const { Word::new(0) }; PRODUCER_SLOTS as usize];

fn give_back_slot(slot: u32) {
    if let Some(free) = SLOTS_FREE.get(slot as usize) {
        free.store_release(1);
    }
}

/// The next free slot, or the null slot when all are taken.
fn next_slot() -> u32 {
    let is_free = |free: &Word| free.compare_exchange_acquire(1, 0).is_ok();
    if let Some(slot) = SLOTS_FREE.iter().position(is_free) {
        return u32::try_from(slot).unwrap_or(NULL_SLOT);
    }
    let given = SLOTS_GIVEN.add_relaxed(1);
    u32::try_from(given).ok().filter(|slot| *slot < PRODUCER_SLOTS).unwrap_or(NULL_SLOT)
}

/// Settings for a [`Producer`]; whatever is not set has a default.
///
/// ```no_run
/// let producer = ringmeter::Producer::builder()
///     .directory("/run/ringmeter")
///     .service("checkout")
///     .lanes_max(128)
///     .build();
/// println!("{:?}", producer.status());
/// ```
#[derive(Debug, Clone)]
pub struct ProducerBuilder {
    settings: Settings,
}

impl ProducerBuilder {
    /// The directory shared with the agent; by default `$RINGMETER_DIR`, else `/run/ringmeter`,
    /// else `$XDG_RUNTIME_DIR/ringmeter`, else `/dev/shm/ringmeter-<uid>`.
    #[must_use]
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.directory = Some(path.into());
        self
    }

    /// The service's name; by default `$RINGMETER_SERVICE`, else the program's file name without
    /// its extension and without the 16 digits that cargo puts behind the names of test programs.
    #[must_use]
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.settings.service = Some(name.into());
        self
    }

    /// Records per lane, a power of two from 64 to 4194304; 4096 by default, 64 KiB.
    #[must_use]
    pub const fn lane_capacity_records(mut self, records: u32) -> Self {
        self.settings.lane_capacity_records = records;
        self
    }

    /// Most lanes at once, 1 to 256; 64 by default. Threads beyond it record into cells.
    #[must_use]
    pub const fn lanes_max(mut self, lanes: u32) -> Self {
        self.settings.lanes_max = lanes;
        self
    }

    /// Most series, 1 to 524288; 10000 by default. Beyond it a family's lookups are answered
    /// with its overflow series; a metric without variable labels is refused
    /// ([`RegisterError::NoSpace`]) and its records count as rejected.
    #[must_use]
    pub const fn series_max(mut self, series: u32) -> Self {
        self.settings.series_max = series;
        self
    }

    /// Longest label value, bytes; 1024 by default.
    #[must_use]
    pub const fn label_value_length_max_bytes(mut self, bytes: u32) -> Self {
        self.settings.label_value_length_max_bytes = bytes;
        self
    }

    /// Largest size of the segment, bytes, 448 KiB to 1 GiB; 64 MiB by default. Memory is used
    /// only as it is needed.
    #[must_use]
    pub const fn segment_size_max_bytes(mut self, bytes: u64) -> Self {
        self.settings.segment_size_max_bytes = bytes;
        self
    }

    /// Segments in the directory beyond which a new process counts privately; 1024 by default,
    /// which is also how many an agent attaches.
    #[must_use]
    pub const fn segments_max(mut self, segments: u32) -> Self {
        self.settings.segments_max = segments;
        self
    }

    /// Series that have a cell in every lane, 0 to 8192; 512 by default, which take 4 KiB for each
    /// lane; rounded up to a multiple of 8. Gauges need none. Counters registered after so many
    /// write records, as histograms do; histograms and summaries take longer for what they record
    /// while their lane is full.
    #[must_use]
    pub const fn lane_cells(mut self, series: u32) -> Self {
        self.settings.lane_cells = series;
        self
    }

    /// Schema of the base-2 buckets in cells, 0 to 5; 2 by default, which is exact to 8.7 % and
    /// takes 2 KiB for each histogram or summary.
    #[must_use]
    pub const fn spill_schema(mut self, schema: u8) -> Self {
        self.settings.spill_schema = schema;
        self
    }

    /// Accepts a directory on a disk, where writing a record may stall for as long as the disk
    /// does; refused by default.
    #[must_use]
    pub const fn allow_any_filesystem(mut self, allow: bool) -> Self {
        self.settings.allow_any_filesystem = allow;
        self
    }

    #[cfg(feature = "testing")]
    pub(crate) const fn private_only(mut self) -> Self {
        self.settings.private_only = true;
        self
    }

    /// Makes the producer. Never fails: see [`Producer::status`] for whether it has a segment.
    #[must_use]
    pub fn build(self) -> Producer {
        Producer::from_settings(&self.settings)
    }

    /// Makes the producer and insists on a segment.
    ///
    /// # Errors
    /// Why there is none. The producer made meanwhile stays, unused, until the process ends.
    pub fn try_build(self) -> Result<Producer, OpenError> {
        let (_, problems) = self.settings.check();
        if !problems.is_empty() {
            return Err(OpenError::Config(problems));
        }
        if let Err(error) = ringmeter_layout::directory::find(self.settings.directory.as_deref()) {
            return Err(OpenError::Directory(error));
        }
        let producer = self.build();
        if producer.inner.segment().is_some() {
            return Ok(producer);
        }
        // Nobody has a handle of it, so its slot may be another's.
        give_back_slot(producer.inner.slot);
        let reason = producer.inner.reason.try_lock().ok().and_then(|mut reason| reason.take());
        Err(reason.unwrap_or(OpenError::Unsupported))
    }

    /// Makes the process-wide producer, unless there is one already; returns the one there is.
    ///
    /// May wait for another thread that is making it.
    pub fn install_global(self) -> Producer {
        // The lock holds the incarnation of who has it: a child forked meanwhile takes it over.
        let own = os::incarnation();
        loop {
            if let Some(inner) = GLOBAL.get() {
                return Producer { inner };
            }
            let holder = GLOBAL_LOCK.load_relaxed();
            let is_free = holder == 0 || holder != own;
            // PAIRS WITH: `global`, the store below.
            if is_free && GLOBAL_LOCK.compare_exchange_acquire(holder, own).is_ok() {
                break;
            }
            std::thread::sleep(core::time::Duration::from_micros(20));
        }
        let inner = GLOBAL.get().unwrap_or_else(|| self.build().inner);
        GLOBAL.set(inner);
        // PAIRS WITH: `global`, the compare-exchange above.
        GLOBAL_LOCK.store_release(0);
        Producer { inner }
    }
}
