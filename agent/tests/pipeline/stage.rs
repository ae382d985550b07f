//! A directory, a pipeline over it, and a clock that stands still until it is moved.

use std::cell::Cell;
use std::sync::Arc;

use ringmeter_agent::attach::Files;
use ringmeter_agent::discover::Watcher;
use ringmeter_agent::expose::text;
use ringmeter_agent::ledger::Place;
use ringmeter_agent::limits::Limits;
use ringmeter_agent::pipeline::{PassReport, Pipeline, Scope, Waste};
use ringmeter_agent::snapshot::Snapshot;

use crate::scratch::Scratch;

pub(crate) struct Stage {
    pub(crate) pipeline: Pipeline,
    watcher: Watcher,
    now_ns: Cell<u64>,
}

impl Stage {
    pub(crate) fn new(scratch: &Scratch) -> Self {
        Self::with(scratch, Limits::default())
    }

    pub(crate) fn with(scratch: &Scratch, limits: Limits) -> Self {
        let path = scratch.path();
        let files = Files::new(path.join("segments"), path.join("agent"));
        let watcher = Watcher::new(files.segments(), limits.directory_entries_max);
        let place = Place::new(path.join("agent/ledger"));
        let now_ns = 1_000_000_000;
        let pipeline = Pipeline::open(files, &place, limits, now_ns).expect("a ledger");
        Self { pipeline, watcher, now_ns: Cell::new(now_ns) }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    pub(crate) fn later(&self, by_ms: u64) {
        self.now_ns.set(self.now_ns.get() + by_ms * 1_000_000);
    }

    pub(crate) fn list(&mut self) {
        let now_ns = self.now_ns.get();
        let listing = self.watcher.list(|| now_ns);
        self.pipeline.reconcile(&listing, now_ns);
    }

    pub(crate) fn pass(&mut self) -> PassReport {
        let now_ns = self.now_ns.get();
        let report = self.pipeline.pass(Scope::All, &|| now_ns);
        self.pipeline.take_waste().into_iter().for_each(Waste::put_away);
        report
    }

    /// A pass that no scrape waits for.
    pub(crate) fn due(&mut self) -> PassReport {
        self.due_unless(&|| false)
    }

    /// A pass of an agent that is not ready yet.
    pub(crate) fn start(&mut self) -> PassReport {
        let now_ns = self.now_ns.get();
        self.pipeline.pass(Scope::Start, &|| now_ns)
    }

    /// A pass that no scrape waits for when it begins.
    pub(crate) fn due_unless(&mut self, is_wanted: &impl Fn() -> bool) -> PassReport {
        let now_ns = self.now_ns.get();
        self.pipeline.pass_unless(Scope::Due, &|| now_ns, is_wanted)
    }

    /// A pass that no scrape waits for, on a clock that moves by this each time it is looked at.
    pub(crate) fn due_at_pace(&mut self, step_ns: u64) -> PassReport {
        let now_ns = &self.now_ns;
        let clock = || {
            now_ns.set(now_ns.get() + step_ns);
            now_ns.get()
        };
        self.pipeline.pass(Scope::Due, &clock)
    }

    /// Lists, passes over everything a second later, and renders.
    pub(crate) fn scrape(&mut self) -> String {
        self.later(1000);
        self.list();
        self.pass();
        self.render()
    }

    /// Renders what is committed.
    pub(crate) fn render(&mut self) -> String {
        let snapshot = self.pipeline.snapshot(self.now_ns.get());
        assert_eq!(snapshot.duplicates_dropped(), 0);
        let mut bytes = Vec::new();
        text::encode(&snapshot, &mut bytes);
        String::from_utf8(bytes).expect("UTF-8")
    }

    /// As `scrape`, not rendered, with the wall clock at `epoch_ns` when the stage's is 0.
    pub(crate) fn scrape_snapshot(&mut self, epoch_ns: u64) -> Arc<Snapshot> {
        self.later(1000);
        let now_ns = self.now_ns.get();
        self.pipeline.set_unix_time(epoch_ns + now_ns, now_ns);
        self.list();
        self.pass();
        self.pipeline.snapshot(now_ns)
    }

    /// The value of the sample whose line starts with `series` and a blank.
    pub(crate) fn value(&mut self, series: &str) -> Option<f64> {
        find(&self.scrape(), series)
    }
}

pub(crate) fn find(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().expect("a number"))
}
