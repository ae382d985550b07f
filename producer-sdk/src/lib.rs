//! Prometheus metrics at ring speed.
//!
//! A hot service records into shared memory: about two nanoseconds an observation, one a count,
//! without a lock, a system call or an allocation. An agent beside it, `ringmeter agent`,
//! aggregates and answers Prometheus' scrapes.
//!
//! ```
//! use ringmeter::{Counter, HistogramVec};
//!
//! static ORDERS: Counter = Counter::new("app_orders_total", "Orders taken.");
//! static LATENCY: HistogramVec =
//!     HistogramVec::new("app_latency_seconds", "Time to answer.", &["route"]);
//!
//! ORDERS.inc();
//! LATENCY.with(&["/orders"]).observe(0.012);
//! ```
//!
//! Nothing here can fail the application. Without an agent, without a directory to share, out of
//! memory, in a forked child: recording goes on, what is counted is kept and handed over when
//! that becomes possible, and [`Producer::status`] says how things stand. On systems other than
//! 64-bit little-endian Linux everything compiles, and counts in the process itself.
//!
//! # Where records go
//!
//! | situation | an observation goes to | cost |
//! |---|---|---|
//! | normally | this thread's lane, a ring in shared memory | ~2 ns |
//! | lane full, or none left | the series' cells in shared memory | as an in-process library |
//! | no segment | the series' private cells, moved later | as an in-process library |
//!
//! Counters among the first 512 series ([`lane_cells`](ProducerBuilder::lane_cells)) have a
//! word of their own beside the ring of each lane, which is never full: about 1 ns, with or
//! without an agent. Further counters, threads without a lane, and what [`Counter::inc_by_f64`]
//! adds, take the way of observations. A gauge always lives in its cell. `make bench` in the
//! repository measures all of it.
//!
//! [`Histogram::observe_with_exemplar`] and its likes write a longer record, of several slots, in
//! the same way; where there is no lane with room for all of it, the event is recorded as usual,
//! and its [`Exemplar`] is given up and counted.
//!
//! # Threads, forks, signals
//!
//! Handles may be used from any thread, also while it ends, and in the child of a `fork` or raw
//! `clone`, which counts in a segment of its own. In a signal handler use a handle from
//! [`signal_safe`](Counter::signal_safe), made beforehand. Two things are not supported:
//!
//! - *Asynchronous cancellation* (`PTHREAD_CANCEL_ASYNCHRONOUS`) of a thread that records: POSIX
//!   allows such a thread hardly any call. Deferred cancellation, the default, is supported: it
//!   waits until a record's slow path is over.
//! - *A fork inside a signal handler that interrupted a record, if the child returns from the
//!   handler*: it goes on with that record in its parent's segment, which a child does not have,
//!   and may end by SIGSEGV. Call `_exit` or `exec` in such children.
//!
//! # Limits
//!
//! See [`ProducerBuilder`]: series, label lengths, lanes, sizes; each has a default and a reason.

// Other systems never open a segment, so what only a segment needs is unused there.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]

// Modules stand in the order in which they build on one another: a module uses only those above
// it. (A blank line between two keeps the formatter from sorting them.)

mod error;

mod config;

mod leaked;

mod os;

mod keys;

#[cfg_attr(not(target_os = "linux"), path = "segment/none.rs")]
mod segment;

mod labels;

mod registry;

mod thread;

mod cells;

mod open;

mod register;

mod slow;

mod hot;

pub mod buckets;

mod options;

mod producer;

mod exemplar;

mod timer;

mod metric;

mod metrics;

mod family;

mod producer_metrics;

mod lane_handle;

mod macros;

#[cfg(feature = "testing")]
pub mod testing;

pub use config::{
    LANES_DEFAULT, SEGMENT_SIZE_DEFAULT_BYTES, SEGMENT_SIZE_MIN_BYTES, SEGMENTS_DEFAULT,
    SERIES_DEFAULT, SERIES_LIMIT, SERVICE_VARIABLE,
};
pub use error::{Aspect, ConfigError, OpenError, RegisterError, RegisterErrors};
pub use exemplar::{Exemplar, ExemplarError};
pub use family::{CounterVec, GaugeVec, HistogramVec, SummaryVec};
pub use lane_handle::Lane;
pub use metric::{Metric, Register, register_all};
pub use metrics::{Counter, Gauge, Histogram, InProgress, Summary};
pub use options::{AGE_BUCKETS_DEFAULT, MAX_AGE_DEFAULT, Options};
pub use producer::{Producer, ProducerBuilder, Status, Warning};
pub use ringmeter_layout::naming::{GaugeRule, Kind, NameError};
pub use timer::{Observe, Timer};
