//! Wires the stages: one thread that drains, one that serves, one that looks for segments, and one
//! that puts away files.
//!
//! ```text
//!   main thread       scrape ─ request                      ┌► render ► socket
//!                      ▼ eventfd                            │ one-shot channels
//!   drain thread      nap ► events ─┐   ┌► attach ► pass ► snapshot ► waste
//!                                   ▼   │ channels                     │ channel
//!   discovery thread               list ► inspect                      │
//!   janitor thread                                                     └► remove ► close
//! ```
//!
//! A scrape wakes the drain thread and joins the *next* pass: what was recorded before the scrape
//! was asked for is in it. Where something has changed, the drain thread lists and inspects itself
//! before that. Main and drain thread share lists of requests and orders, and a few flags and
//! counts; janitor and drain thread a count and the names of acks that are not removed yet; the
//! discovery thread shares nothing but the eventfd. Neither of those two changes a total or the
//! ledger. The runtime's threads make long pages, verify passwords and read the configuration
//! again.

mod discovery;
mod drain_thread;
mod exclusive;
mod janitor;
mod reload;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ringmeter_layout::directory::{self, Directory, DirectoryError, Subdirectory};
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::attach::Files;
use crate::config::file::FileConfig;
use crate::config::{AccessConfig, AgentConfig, EXIT_CONFIGURATION, EXIT_START, WebConfig};
use crate::descriptor_limit;
use crate::discover::Watcher;
use crate::ledger::Place;
use crate::limits::Limits;
use crate::memory_limit::container_limit_bytes;
use crate::pipeline::Pipeline;
use crate::web::guard::Guard;
use crate::web::listen::{self, BindError, Listeners};
use crate::web::server::{Either, first_of, serve};
use crate::web::source::SettingsSource;
use crate::web::{Pipeline as _, ScrapesServed, WebOptions};
use crate::web_counts::WebCounts;
use crate::yaml::Problem;
use drain_thread::DrainThread;
use exclusive::Exclusive;
use reload::{Reloader, fit, unix_seconds};

/// Name of the ledger in the agent's own directory.
const LEDGER_FILE: &str = "ledger";

/// Why the agent did not start, or did not go on.
#[derive(Debug)]
pub enum RunError {
    /// The shared directory cannot be used.
    Directory(DirectoryError),
    /// Another agent drains this directory.
    Occupied {
        /// The file that it holds locked.
        path: PathBuf,
        /// Its process, in its own pid namespace, if it says so.
        process: Option<u32>,
    },
    /// The ledger cannot be opened.
    Ledger {
        /// Where it is.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The web configuration cannot be used.
    WebConfig {
        /// The file.
        path: PathBuf,
        /// All that is wrong with it.
        problems: Vec<Problem>,
    },
    /// An address cannot be listened on.
    Bind(BindError),
    /// A system call failed.
    Io {
        /// What it was for.
        purpose: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// A thread without which nothing is drained has ended, which it never should.
    Drain,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(error) => error.fmt(f),
            Self::Occupied { path, process } => {
                f.write_str("another agent")?;
                if let Some(process) = process {
                    write!(f, ", process {process},")?;
                }
                write!(
                    f,
                    " holds {}: stop that one, or give this one another directory (RINGMETER_DIR)",
                    path.display()
                )
            }
            Self::Ledger { path, error } => {
                write!(f, "cannot open the ledger {}: {error}", path.display())
            }
            Self::WebConfig { path, problems } => {
                write!(f, "{} cannot be used:", path.display())?;
                let mut problems = problems.iter();
                problems.try_for_each(|problem| write!(f, "\n  {}:{problem}", path.display()))
            }
            Self::Bind(error) => error.fmt(f),
            Self::Io { purpose, error } => write!(f, "cannot {purpose}: {error}"),
            Self::Drain => {
                f.write_str("a thread of the agent has ended: report what is logged above")
            }
        }
    }
}

impl std::error::Error for RunError {}

impl RunError {
    /// What the process exits with.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::WebConfig { .. }) { EXIT_CONFIGURATION } else { EXIT_START }
    }
}

fn io_error(purpose: &'static str) -> impl FnOnce(io::Error) -> RunError {
    move |error| RunError::Io { purpose, error }
}

/// Runs the agent until it is told to stop.
///
/// # Errors
/// [`RunError`] when it cannot start, or cannot go on.
pub fn run(config: &AgentConfig, mut file: FileConfig) -> Result<(), RunError> {
    descriptor_limit::raise();
    fit(&mut file, container_limit_bytes());
    let limits = file.limits.clone();
    let counts = Arc::new(WebCounts::default());
    let guard = guard(&config.web.access, &counts)?;
    let directory = open_directory(config)?;
    // Held until the end: the lock falls with it.
    let _exclusive = Exclusive::take(&directory.agent_path())?;
    announce(&directory);
    let files = Files::new(directory.segments_path(), directory.agent_path());
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(io_error("start the runtime"))?;
    let outcome = runtime.block_on(async {
        let listeners = bind(&config.web).await.map_err(RunError::Bind)?;
        let stops = Stops::new().map_err(io_error("handle signals"))?;
        let hangups = signal(SignalKind::hangup()).map_err(io_error("handle signals"))?;
        let watcher = Watcher::new(files.segments(), limits.directory_entries_max);
        let mut pipeline = open_ledger(config, &directory, files, limits)?;
        pipeline.show_web_counts(counts);
        pipeline.set_up(&file, !config.web.disable_exporter_metrics, unix_seconds());
        pipeline.configure(file, unix_seconds(), 0);
        let reloader = Reloader::new(config.config_file.as_deref());
        let (drain, ended) = DrainThread::start(pipeline, watcher, reloader)
            .map_err(io_error("start the threads that look for segments and drain them"))?;
        let drain = Arc::new(drain);
        let reloads = tokio::spawn(reload_on_signal(Arc::clone(&drain), hangups));
        let outcome =
            serve_until_stopped(&config.web, listeners, guard, &drain, ended, stops).await;
        reloads.abort();
        drain.stop();
        outcome
    });
    // A password that is being verified is not waited for.
    runtime.shutdown_background();
    outcome
}

/// Reads the web configuration, before anything is touched.
fn guard(access: &AccessConfig, counts: &Arc<WebCounts>) -> Result<Guard, RunError> {
    let source = match &access.config_file {
        Some(path) => SettingsSource::of_file(path, Arc::clone(counts))
            .map_err(|problems| RunError::WebConfig { path: path.clone(), problems })?,
        None => SettingsSource::open_to_all(Arc::clone(counts)),
    };
    Guard::new(source, access.max_requests).map_err(|_| RunError::Io {
        purpose: "get random numbers",
        error: io::ErrorKind::Other.into(),
    })
}

async fn bind(web: &WebConfig) -> Result<Listeners, BindError> {
    let main = if web.access.systemd_socket {
        listen::from_systemd()?
    } else {
        listen::bind(&web.listen_addresses).await?
    };
    Ok(Listeners { main, health: listen::bind(&web.access.health_listen_addresses).await? })
}

fn open_directory(config: &AgentConfig) -> Result<Directory, RunError> {
    let directory = directory::find(config.directory.as_deref()).map_err(RunError::Directory)?;
    directory::open_subdirectory(&directory, Subdirectory::Agent).map_err(RunError::Directory)?;
    Ok(directory)
}

fn announce(directory: &Directory) {
    let path = directory.path().display();
    tracing::info!(directory = %path, found_by = directory.source().as_str(), "draining");
    // In the hardened deployment only the subdirectories are volumes.
    let segments = directory::is_memory_backed(&directory.segments_path());
    let in_memory = segments.or_else(|_| directory::is_memory_backed(directory.path()));
    if matches!(in_memory, Ok(false)) {
        tracing::warn!(
            directory = %path,
            "not in memory: producers refuse this directory by default; mount a tmpfs there"
        );
    }
}

fn open_ledger(
    config: &AgentConfig,
    directory: &Directory,
    files: Files,
    limits: Limits,
) -> Result<Pipeline, RunError> {
    let usual = || directory.agent_path().join(LEDGER_FILE);
    let place = Place::new(config.ledger_path.clone().unwrap_or_else(usual));
    Pipeline::open(files, &place, limits, 0).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            RunError::Occupied { path: place.path().to_owned(), process: None }
        }
        _ => RunError::Ledger { path: place.path().to_owned(), error },
    })
}

/// Serves; after a stop signal, until one scrape of the final values or the linger is over.
async fn serve_until_stopped(
    web: &WebConfig,
    listeners: Listeners,
    guard: Guard,
    drain: &Arc<DrainThread>,
    ended: oneshot::Receiver<()>,
    mut stops: Stops,
) -> Result<(), RunError> {
    let served = ScrapesServed::new();
    let mut options = WebOptions::new(web.telemetry_path.clone());
    options.enable_lifecycle = web.enable_lifecycle;
    options.render.created_samples = web.openmetrics_created;
    let (waiting, linger) = (served.clone(), web.shutdown_linger);
    let mut outcome = Ok(());
    let shutdown = async {
        let asked = stopped(&mut stops, drain, &waiting, linger);
        if let Either::Second(_) = first_of(asked, ended).await {
            outcome = Err(RunError::Drain);
        }
    };
    serve(listeners, Arc::clone(drain), options, guard, served, shutdown).await;
    outcome
}

/// SIGHUP reads the configuration again; what came of it is logged and in a metric.
async fn reload_on_signal(drain: Arc<DrainThread>, mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        let _ = drain.reload().await;
    }
}

/// Completes when the agent may go: after a signal, and one scrape, the linger or a second signal.
async fn stopped(
    stops: &mut Stops,
    drain: &Arc<DrainThread>,
    served: &ScrapesServed,
    linger: Duration,
) {
    stops.next().await;
    tracing::info!(
        linger_ms = u64::try_from(linger.as_millis()).unwrap_or(0),
        "stopping: waiting for one last scrape; signal again to stop now"
    );
    let last_scrape = async {
        // Not ready yet: then there is nothing that a scrape could fetch.
        if let Ok(snapshot) = drain.scrape().await {
            served.wait_for_generation(snapshot.generation()).await;
        }
    };
    let patience = first_of(tokio::time::sleep(linger), stops.next());
    match first_of(last_scrape, patience).await {
        Either::First(()) => tracing::info!("final values served"),
        Either::Second(Either::First(())) => tracing::info!("linger is over"),
        Either::Second(Either::Second(())) => tracing::info!("second signal"),
    }
}

/// The signals that end the agent.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        first_of(self.terminate.recv(), self.interrupt.recv()).await;
    }
}
