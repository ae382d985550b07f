//! The agent's web server: metrics, health, readiness and a landing page.
//!
//! ```text
//!   bind ► serve ─ accept ─ TLS ─ guard ─ answer ─┬─ negotiate ► scrape ► Renderer ► body
//!                    │        │     │             └─ landing page, /-/healthy, /-/ready
//!                    │        │     └─ rate limit, login, scrapes in flight
//!                    │        └─ Watched: bytes to the socket ► ScrapesServed
//!                    └─ Registry: who is connected, and who has to go
//! ```
//!
//! TLS, users and headers come from a file ([`settings`]), which [`source`] follows. The server
//! speaks HTTP/1.1 only: scrapers need no other, and the streams of HTTP/2 would need limits of
//! their own (floods of streams that are reset at once).
//!
//! Shutdown, as `run` wires it: at SIGTERM publish the final snapshot, go on serving until
//! [`ScrapesServed::wait_for_generation`] sees it delivered or the linger has passed, and only
//! then complete the `shutdown` future of [`server::serve`].

mod activity;
mod answer;
mod clients;
mod connection;
mod files;
pub mod guard;
mod landing;
pub mod listen;
mod logins;
mod negotiate;
pub mod server;
pub mod settings;
pub mod source;
mod tls;
mod watchman;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::config::TelemetryPath;
use crate::expose::RenderOptions;
use crate::snapshot::Snapshot;

/// What the server asks of the stages before it.
pub trait Pipeline: Send + Sync + 'static {
    /// A snapshot with everything that was recorded before the call.
    ///
    /// Concurrent calls may share one snapshot; the server renders a generation once.
    fn scrape(&self) -> impl Future<Output = Result<Arc<Snapshot>, NotReady>> + Send;

    /// Reads the configuration again; completes when it is in force.
    ///
    /// # Errors
    ///
    /// Why it is not, in words for whoever asked; what was in force before still is.
    fn reload(&self) -> impl Future<Output = Result<(), String>> + Send {
        std::future::ready(Err("nothing can be read again".to_owned()))
    }
    /// Told before a scrape that shows native histograms, which otherwise are not made.
    fn expect_native_histograms(&self) {}

    /// Whether scrapes would be answered; until then `/metrics` and `/-/ready` say 503.
    fn is_ready(&self) -> bool;

    /// Whether the process still does its work; if not, `/-/healthy` says 503, so that a
    /// supervisor restarts it.
    fn is_healthy(&self) -> bool {
        true
    }
}

/// Why there is no snapshot; the text goes to the scraper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// One sentence, without a line feed.
    pub reason: String,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for NotReady {}

/// The server's limits. A connection costs at most its buffers (32 KiB each way, with TLS as much
/// again) and its share of the rendered pages, which all scrapes of a generation have in common: of
/// each format two, and one compressed; of the newest snapshot four with selected families.
#[derive(Debug, Clone)]
pub struct WebOptions {
    /// Where metrics are served.
    pub telemetry_path: TelemetryPath,
    /// Whether `/-/reload` may be asked. Default no.
    pub enable_lifecycle: bool,
    /// What is in the formats besides what must be. Default: nothing.
    pub render: RenderOptions,
    /// Connections at a time, over all listeners; for one more, that which is silent for longest
    /// is closed. Listeners for health alone have 16 of their own. Default 256.
    pub connections_max: usize,
    /// For a request's head to arrive, counted from the connection or from its first byte, and
    /// for the TLS handshake. Default 10 s.
    pub head_timeout: Duration,
    /// For the next request to begin. Default 2 min: more than the usual scrape intervals, so
    /// that a scraper keeps its connection.
    pub idle_timeout: Duration,
    /// A connection older than this is closed behind a response. Default 1 h.
    pub connection_age_max: Duration,
    /// For a scrape to be collected. Default 10 s, as Prometheus' own.
    pub scrape_timeout: Duration,
    /// For a response to be taken by the client, from the first time that the socket is full.
    /// Default 30 s.
    pub write_timeout: Duration,
    /// For requests in flight to end at shutdown. Default 5 s.
    pub shutdown_grace: Duration,
}

impl WebOptions {
    /// The defaults, with metrics at `telemetry_path`.
    pub fn new(telemetry_path: TelemetryPath) -> Self {
        Self {
            telemetry_path,
            enable_lifecycle: false,
            render: RenderOptions::default(),
            connections_max: 256,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            connection_age_max: Duration::from_secs(3600),
            scrape_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

/// The scrapes whose bodies were fully handed to the kernel, not merely produced; cheap to clone,
/// all clones are one counter.
#[derive(Debug, Clone)]
pub struct ScrapesServed {
    latest: Arc<watch::Sender<Served>>,
    renders: Arc<AtomicU64>,
}

/// What [`ScrapesServed`] has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Served {
    /// Scrapes served: GET, status 200, last byte written.
    pub count: u64,
    /// The newest generation among them.
    pub generation: Option<u64>,
}

impl Served {
    fn add(&mut self, more: Self) {
        self.count = self.count.saturating_add(more.count);
        self.generation = self.generation.max(more.generation);
    }
}

impl ScrapesServed {
    /// Nothing served yet.
    pub fn new() -> Self {
        Self { latest: Arc::new(watch::Sender::new(Served::default())), renders: Arc::default() }
    }

    /// What has been served so far.
    pub fn get(&self) -> Served {
        *self.latest.borrow()
    }

    /// How many pages were rendered for them, of whatever format.
    pub fn renders(&self) -> u64 {
        self.renders.load(Ordering::Relaxed)
    }

    fn note_renders(&self, count: u64) {
        self.renders.fetch_add(count, Ordering::Relaxed);
    }

    /// Waits until a scrape of this generation or a later one has been served.
    pub async fn wait_for_generation(&self, generation: u64) {
        let mut receiver = self.latest.subscribe();
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = receiver.wait_for(|served| served.generation >= Some(generation)).await;
    }

    fn add(&self, more: Served) {
        self.latest.send_modify(|served| served.add(more));
    }
}

impl Default for ScrapesServed {
    fn default() -> Self {
        Self::new()
    }
}
