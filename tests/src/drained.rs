//! What a directory holds, as an agent tells: its own stages, run to the end in this process.

use std::path::Path;
use std::time::Instant;

use ringmeter_agent::attach::Files;
use ringmeter_agent::discover::Watcher;
use ringmeter_agent::expose::text::encode;
use ringmeter_agent::ledger::Place;
use ringmeter_agent::limits::Limits;
use ringmeter_agent::pipeline::{Pipeline, Scope};

use crate::exposition::Scrape;

/// An agent without a process of its own.
pub struct Drained {
    pipeline: Pipeline,
    watcher: Watcher,
    start: Instant,
}

impl std::fmt::Debug for Drained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drained").finish_non_exhaustive()
    }
}

impl Drained {
    /// Begins on a shared directory, with a ledger in it.
    ///
    /// # Panics
    /// When the ledger cannot be opened.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its agent is no test")]
    pub fn new(directory: &Path) -> Self {
        let (segments, own) = (directory.join("segments"), directory.join("agent"));
        std::fs::create_dir_all(&own).expect("the agent's directory");
        let limits = Limits::default();
        let watcher = Watcher::new(&segments, limits.directory_entries_max);
        let place = Place::new(own.join("ledger"));
        let files = Files::new(segments, own);
        let pipeline = Pipeline::open(files, &place, limits, 0).expect("open the ledger");
        Self { pipeline, watcher, start: Instant::now() }
    }

    /// Takes everything that is there.
    ///
    /// # Panics
    /// When that does not come to an end.
    pub fn drain(&mut self) {
        let start = self.start;
        let clock = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX) + 1;
        for _ in 0..100 {
            let listing = self.watcher.list(clock);
            let has_more = self.pipeline.reconcile(&listing, clock());
            let report = self.pipeline.pass(Scope::All, &clock);
            if report.is_complete && !has_more {
                return;
            }
        }
        unreachable!("a hundred passes have not taken everything");
    }

    /// As [`drain`](Self::drain), and what a scrape would show then.
    ///
    /// # Panics
    /// As [`drain`](Self::drain).
    #[expect(clippy::expect_used, reason = "an exposition is text")]
    pub fn scrape(&mut self) -> Scrape {
        self.drain();
        let mut bytes = Vec::new();
        encode(&self.pipeline.snapshot(1), &mut bytes);
        Scrape::parse(std::str::from_utf8(&bytes).expect("UTF-8"))
    }
}
