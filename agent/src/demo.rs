//! `ringmeter demo`: the whole path on real input, for everybody to see.
//!
//! ```text
//!   load ── HTTP ──► service ── records ──► lanes in a tmpfs ──► agent ◄── scrape ── view
//!    │              (process)                                  (process)              │
//!    └───────────────────────── requests_sent ≤ requests_scraped ─────────────────────┘
//! ```
//!
//! Whichever way it ends, its children end first, and then its directory goes: both are guards,
//! so errors and panics take them along. See `child` for what happens when it is killed.

mod error;

mod samples;

mod figures;

mod child;
mod place;

mod children;

pub mod bench;

mod load;
mod report;
mod view;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

pub use child::become_child;
use error::DemoError;

use crate::config::{DemoConfig, EXIT_START};
use crate::web::server::{Either, first_of};
use children::Children;
use figures::{Figures, Rates};
use load::Load;
use place::Place;
use report::Report;
use view::{Picture, Screen};

/// Between two pictures on a terminal, and between two lines elsewhere.
const PICTURE_INTERVAL: Duration = Duration::from_millis(500);
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the demo to its end; reports errors on standard error.
///
/// Must be called on the main thread, because the children are bound to it. The code is 0 if
/// everything that was sent has been scraped, else 1.
pub fn run(config: &DemoConfig) -> ExitCode {
    let ended = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| DemoError::Io { purpose: "start the runtime", error })
        .and_then(|runtime| runtime.block_on(demo(config)));
    let report = match ended {
        Ok(report) => report,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(EXIT_START);
        }
    };
    if !report.is_complete() {
        complain("fewer requests were scraped than sent");
    }
    let written = writeln!(io::stdout().lock(), "{report}");
    if report.is_complete() && written.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_START)
    }
}

/// With nobody to read it, the exit code says it.
fn complain(problem: &str) {
    let _ = writeln!(io::stderr().lock(), "ringmeter demo: {problem}");
}

async fn demo(config: &DemoConfig) -> Result<Report, DemoError> {
    let mut signals =
        Signals::new().map_err(|error| DemoError::Io { purpose: "handle signals", error })?;
    // Dropped in the opposite order: first the children, then the directory.
    let place = Place::prepare(config.directory.as_deref())?;
    let mut children =
        unless_interrupted(&mut signals, Children::start(config, place.path())).await?;
    let mut show = Show::new();
    show.text(&introduction(config, &children, &place))?;
    show.baseline(&Figures::of(&children.scrape().await?));
    let mut load = Load::start(children.service_address, config.requests_per_second);
    watch(config, &mut children, &load, &mut show, &mut signals).await?;
    // From here on a second signal ends it at once.
    let report =
        unless_interrupted(&mut signals, compare(&mut children, &mut load, &mut show)).await?;
    for name in children.end() {
        complain(&format!("the {name} did not end when told to, and was killed"));
    }
    place.remove()?;
    Ok(report)
}

fn introduction(config: &DemoConfig, children: &Children, place: &Place) -> String {
    let until = match config.duration {
        Some(duration) => format!("for {} s", duration.as_secs()),
        None => "until Ctrl-C".to_owned(),
    };
    format!(
        "An HTTP service under load, its metrics in shared memory, and an agent to scrape.\n\n\
         app      {app}\n\
         scrape   {scrape}\n\
         files    {files}\n\n\
         Requests of your own are in the scrape as soon as they are answered:\n\n\
         curl '{app}/work?ms=20' && curl -s {scrape} | grep http_requests_total\n\n\
         For prometheus.yml:\n\n\
         scrape_configs:\n\
         \x20 - job_name: ringmeter-demo\n\
         \x20   scrape_interval: 1s\n\
         \x20   static_configs:\n\
         \x20     - targets: [\"{agent}\"]\n\n\
         {rate} requests per second, {until}.\n",
        app = children.app_url(),
        scrape = children.scrape_url(),
        files = place.path().display(),
        agent = children.agent_address,
        rate = config.requests_per_second,
    )
}

/// Shows figures until the time is over or a signal comes.
async fn watch(
    config: &DemoConfig,
    children: &mut Children,
    load: &Load,
    show: &mut Show,
    signals: &mut Signals,
) -> Result<(), DemoError> {
    let end = config.duration.map(|duration| show.start + duration);
    let interval = if show.screen.is_terminal() { PICTURE_INTERVAL } else { LINE_INTERVAL };
    let mut next = show.start + interval;
    loop {
        let wake = end.map_or(next, |end| end.min(next));
        if let Either::First(()) = first_of(signals.next(), tokio::time::sleep_until(wake)).await {
            return Ok(());
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return Ok(());
        }
        children.check()?;
        show.scrape(children, load).await?;
        // After a slow scrape the pictures go on from now, and do not catch up.
        next = (next + interval).max(Instant::now());
    }
}

/// Ends the load, waits for what is in flight, and scrapes once more.
async fn compare(
    children: &mut Children,
    load: &mut Load,
    show: &mut Show,
) -> Result<Report, DemoError> {
    load.stop().await;
    let figures = show.scrape(children, load).await?;
    Ok(Report {
        requests_sent: load.answered(),
        requests_scraped: figures.requests,
        records: figures.records(),
        dropped: figures.dropped,
        scrape_url: children.scrape_url(),
        app_url: children.app_url(),
    })
}

/// What is shown, and since when.
struct Show {
    screen: Screen<io::Stdout>,
    rates: Rates,
    start: Instant,
}

impl Show {
    fn new() -> Self {
        let (screen, rates) = (Screen::standard_output(), Rates::default());
        Self { screen, rates, start: Instant::now() }
    }

    fn text(&mut self, text: &str) -> Result<(), DemoError> {
        self.screen.print(text).map_err(DemoError::Output)
    }

    /// From here on time and rates count.
    fn baseline(&mut self, figures: &Figures) {
        self.start = Instant::now();
        self.rates.add(Duration::ZERO, figures.requests, figures.records());
    }

    /// Scrapes, and shows what comes.
    async fn scrape(&mut self, children: &mut Children, load: &Load) -> Result<Figures, DemoError> {
        // Before the scrape, so that it must show at least as much.
        let (sent, failed) = (load.answered(), load.failed());
        let figures = Figures::of(&children.scrape().await?);
        for message in children.messages() {
            self.text(&message)?;
        }
        let elapsed = self.start.elapsed();
        let (requests_per_second, records_per_second) =
            self.rates.add(elapsed, figures.requests, figures.records());
        let picture =
            Picture { elapsed, sent, failed, requests_per_second, records_per_second, figures };
        self.screen.show(&picture).map_err(DemoError::Output)?;
        Ok(figures)
    }
}

async fn unless_interrupted<T>(
    signals: &mut Signals,
    work: impl Future<Output = Result<T, DemoError>>,
) -> Result<T, DemoError> {
    match first_of(signals.next(), work).await {
        Either::First(()) => Err(DemoError::Interrupted),
        Either::Second(outcome) => outcome,
    }
}

/// The signals that end the demo.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    quit: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) {
        let usual = first_of(self.interrupt.recv(), self.terminate.recv());
        first_of(usual, first_of(self.hangup.recv(), self.quit.recv())).await;
    }
}
