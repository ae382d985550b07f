//! Who waits for what, in a directory of files that are made here.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ringmeter_layout::naming::SegmentName;

use super::*;
use crate::attach::Files;
use crate::ledger::Place;
use crate::limits::Limits;
use crate::segment::sample::header_page;

/// Long enough for the other thread on any machine.
const PATIENCE: Duration = Duration::from_secs(60);
const SECOND_NS: u64 = 1_000_000_000;

/// Where the other thread can be stopped: it looks at the clock before a listing and after.
#[derive(Default)]
struct Gate {
    /// Looks that it may still have, if they are limited, and whether it waits for one.
    state: Mutex<(Option<u32>, bool)>,
    changed: Condvar,
    /// Looks that it has had.
    looks: AtomicU32,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        while state.0 == Some(0) {
            state.1 = true;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap();
        }
        *state = (state.0.map(|left| left - 1), false);
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    fn set(&self, looks: Option<u32>) {
        self.state.lock().unwrap().0 = looks;
        self.changed.notify_all();
    }

    fn wait_until_it_waits(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| !state.1).unwrap());
    }
}

/// A directory, what reads it, and a clock that is moved by hand.
struct Stage {
    base: PathBuf,
    pipeline: Pipeline,
    discovery: Discovery,
    now_ns: Arc<AtomicU64>,
    gate: Arc<Gate>,
    /// The looks that the other thread had had before this one went on.
    looks: u32,
    /// One message for each time that the drain thread would be woken.
    woken: Receiver<()>,
}

static MADE: AtomicU32 = AtomicU32::new(0);

impl Stage {
    fn new() -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let directory = format!("ringmeter-discovery-{}-{number}", std::process::id());
        let base = std::env::temp_dir().join(directory);
        for part in ["segments", "agent"] {
            fs::create_dir_all(base.join(part)).unwrap();
        }
        let files = Files::new(base.join("segments"), base.join("agent"));
        let limits = Limits::default();
        let watcher = Watcher::new(files.segments(), limits.directory_entries_max);
        let place = Place::new(base.join("agent/ledger"));
        let pipeline = Pipeline::open(files, &place, limits, 0).unwrap();
        let now_ns = Arc::new(AtomicU64::new(SECOND_NS));
        let gate = Arc::<Gate>::default();
        let (own, clock) = (Arc::clone(&gate), Arc::clone(&now_ns));
        let look = move || {
            own.pass();
            tick(&clock)
        };
        let (wake, woken) = channel();
        let tell = move || wake.send(()).unwrap_or_default();
        let discovery = Discovery::start(watcher, look, tell).unwrap();
        Self { base, pipeline, discovery, now_ns, gate, looks: 0, woken }
    }

    fn later(&self, by_ns: u64) {
        self.now_ns.fetch_add(by_ns, Ordering::Relaxed);
    }

    fn go_on(&mut self, scope: Scope) {
        let now_ns = Arc::clone(&self.now_ns);
        self.looks = self.gate.looks.load(Ordering::Relaxed);
        self.discovery.go_on(&mut self.pipeline, scope, &|| tick(&now_ns)).unwrap();
    }

    /// On a machine where each look at the clock takes a millisecond.
    fn go_on_slowly(&mut self, scope: Scope) {
        let now_ns = Arc::clone(&self.now_ns);
        let clock = || now_ns.fetch_add(1_000_000, Ordering::Relaxed);
        self.discovery.go_on(&mut self.pipeline, scope, &clock).unwrap();
    }

    /// Goes on as the drain thread does while nobody waits, until nothing is under way.
    fn go_on_alone(&mut self) {
        self.go_on(Scope::Due);
        while self.discovery.watcher.is_none() {
            self.woken.recv_timeout(PATIENCE).unwrap();
            self.go_on(Scope::Due);
        }
    }

    /// Whether the other thread was given nothing to do when this one last went on. A message that
    /// wakes says nothing of that: it comes after what it is about, so it may be an older one.
    fn has_begun_nothing(&self) -> bool {
        let looks = self.gate.looks.load(Ordering::Relaxed);
        self.discovery.watcher.is_some() && looks == self.looks
    }

    fn add_segment(&self, number: u8) {
        let name = SegmentName::new("shop", [number; 16]).unwrap();
        let path = self.base.join("segments").join(name.segment_file());
        fs::write(path, header_page("shop", number)).unwrap();
    }

    fn add_strangers(&self, from: usize, count: usize) {
        for number in from..from + count {
            let path = self.base.join("segments").join(format!("stranger-{number}"));
            fs::write(path, b"").unwrap();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.gate.set(None);
        let _ = fs::remove_dir_all(&self.base);
    }
}

/// Everything takes a microsecond.
fn tick(now_ns: &AtomicU64) -> u64 {
    now_ns.fetch_add(1000, Ordering::Relaxed)
}

#[test]
fn a_scrape_shows_what_came_a_moment_ago_and_nobody_has_to_be_woken() {
    let mut stage = Stage::new();
    for number in 1..=3 {
        stage.add_segment(number);
        stage.go_on(Scope::All);
        assert_eq!(stage.pipeline.attached(), usize::from(number));
        assert!(stage.has_begun_nothing());
    }
}

#[test]
fn without_a_scrape_the_other_thread_lists_and_looks_into_files() {
    let mut stage = Stage::new();
    stage.add_segment(1);
    stage.gate.set(Some(0));
    stage.go_on(Scope::Due);
    assert_eq!(stage.pipeline.attached(), 0, "nobody waits");
    assert!(!stage.discovery.is_over() && stage.discovery.next().1.is_none());
    assert_eq!(stage.discovery.next().0, u64::MAX, "it wakes whoever sleeps");
    stage.gate.set(None);
    stage.go_on_alone();
    assert_eq!(stage.pipeline.attached(), 1);
    assert!(stage.discovery.is_over());
    let (next_ns, changes) = stage.discovery.next();
    assert!(next_ns > stage.now_ns.load(Ordering::Relaxed), "nothing has changed since");
    assert!(changes.is_some(), "and a change would be told");
    stage.add_segment(2);
    stage.go_on(Scope::Due);
    assert!(stage.has_begun_nothing(), "there is a pause");
    assert!(stage.discovery.next().1.is_none(), "in which further changes wake nobody");
}

/// What is under way may have looked at the directory before the scrape was asked for.
#[test]
fn a_scrape_waits_for_what_is_under_way_and_lists_again() {
    let mut stage = Stage::new();
    stage.go_on_alone();
    stage.add_segment(1);
    stage.later(SECOND_NS);
    stage.gate.set(Some(1));
    stage.go_on(Scope::Due);
    stage.gate.wait_until_it_waits();
    stage.add_segment(2);
    stage.gate.set(None);
    stage.go_on(Scope::All);
    assert_eq!(stage.pipeline.attached(), 2);
}

#[test]
fn of_a_crowded_directory_a_scrape_takes_nothing_in_for_a_second() {
    let mut stage = Stage::new();
    stage.go_on(Scope::All);
    stage.add_strangers(0, ENTRIES_BESIDE + 1);
    stage.go_on(Scope::All);
    stage.add_segment(1);
    stage.go_on(Scope::All);
    assert_eq!(stage.pipeline.attached(), 0, "others come first");
    assert!(stage.has_begun_nothing());
    stage.later(PATIENCE_NS);
    stage.gate.set(Some(0));
    stage.go_on(Scope::All);
    assert!(stage.discovery.watcher.is_none(), "it has a listing begun, and does not wait for it");
    stage.gate.set(None);
    stage.go_on_alone();
    assert_eq!(stage.pipeline.attached(), 1);
    // As many segments that are read make no crowd.
    for number in 2..=10 {
        stage.add_segment(number);
    }
    stage.later(PATIENCE_NS);
    stage.go_on_alone();
    stage.add_segment(11);
    stage.go_on(Scope::All);
    assert_eq!(stage.pipeline.attached(), 11);
}

#[test]
fn each_scrape_takes_in_more_of_many_that_came_at_once() {
    let mut stage = Stage::new();
    (1..=200).for_each(|number| stage.add_segment(number));
    stage.go_on_slowly(Scope::All);
    assert_eq!(stage.pipeline.attached(), 128);
    stage.go_on(Scope::Due);
    assert!(stage.has_begun_nothing(), "nobody waits, so there is a pause");
    stage.go_on(Scope::All);
    assert_eq!(stage.pipeline.attached(), 200);
}

/// Of a crowded directory too, though not all at one listing.
#[test]
fn to_become_ready_an_agent_waits_for_all_files() {
    let mut stage = Stage::new();
    (1..=200).for_each(|number| stage.add_segment(number));
    stage.add_strangers(0, 3 * ENTRIES_BESIDE);
    stage.go_on_slowly(Scope::Start);
    assert_eq!((stage.pipeline.attached(), stage.discovery.is_over()), (128, false));
    // At once: it becomes ready after some passes in any case, however short they are.
    stage.go_on(Scope::Start);
    assert_eq!((stage.pipeline.attached(), stage.discovery.is_over()), (200, true));
}

#[test]
fn the_end_of_the_other_thread_is_noticed() {
    let mut stage = Stage::new();
    // Its channel is closed, as it is after a panic.
    let (errands, _) = channel();
    stage.discovery.errands = Some(errands);
    stage.discovery.thread.take().unwrap().join().unwrap();
    stage.woken.try_iter().for_each(drop);
    assert_eq!(stage.woken.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    let result = stage.discovery.go_on(&mut stage.pipeline, Scope::Due, &|| 2 * SECOND_NS);
    assert!(result.is_err());
    let result = stage.discovery.go_on(&mut stage.pipeline, Scope::Start, &|| 2 * SECOND_NS);
    assert!(result.is_err(), "nor is its answer waited for");
}
