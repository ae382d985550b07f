//! What applications do to themselves while they record: nothing of it loses or doubles a count.
#![allow(clippy::expect_used, reason = "tests")]

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::process::wait_until;
use ringmeter_tests::progress::{Progress, THREADS_MAX};
use ringmeter_tests::worker::Worker;

const COUNT: &str = "faults_count_total";
const CHILD: &str = "faults_child_total";
const PATIENCE: Duration = Duration::from_secs(20);

fn start(directory: &Directory, arguments: &str) -> Worker {
    Worker::start_named("faults", directory.path(), arguments)
}

/// The numbers of a line that begins with a word.
fn numbers(worker: &mut Worker, word: &str) -> Vec<f64> {
    loop {
        let line = worker.line();
        if let Some(rest) = line.strip_prefix(word) {
            return rest.split_whitespace().map(|n| n.parse().expect("a number")).collect();
        }
    }
}

/// A process that outlives the one that started it, until this is dropped.
struct Survivor(Pid);

impl Survivor {
    fn of(worker: &mut Worker) -> Self {
        let line = worker.line();
        let id = line.strip_prefix("survivor ").and_then(|id| id.parse().ok());
        Self(Pid::from_raw(id.expect("an id")))
    }
}

impl Drop for Survivor {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

#[test]
fn cancelled_threads_lose_at_most_the_call_they_were_in() {
    // Without an agent lanes are full, and threads enter system calls to look at the ack.
    for is_drained in [false, true] {
        let directory = Directory::new();
        let running = is_drained.then(|| Agent::start(directory.path()));
        let mut worker = start(&directory, "cancel");
        let calls = numbers(&mut worker, "calls ");
        worker.wait_until_done();
        let agent = running.unwrap_or_else(|| Agent::start(directory.path()));
        let scrape = agent.scrape();
        for series in [COUNT, "faults_seconds_count"] {
            let found = scrape.value(series);
            assert!((calls[0]..=calls[1]).contains(&found), "{series} {found}, calls {calls:?}");
        }
        let lanes = scrape.sum("ringmeter_lanes");
        assert!(lanes <= 4.0, "cancelled threads hand back their lanes: {lanes} lanes");
        assert!(worker.finish().success());
    }
}

#[test]
fn a_panic_in_the_middle_is_counted_like_any_end() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = start(&directory, "panic");
    worker.wait_until_done();
    let scrape = agent.scrape();
    assert_eq!(scrape.value(COUNT), 1000.0);
    assert_eq!(scrape.value("faults_seconds_count"), 1000.0);
    assert_eq!(scrape.get("faults_in_progress"), Some(0.0));
}

#[test]
fn a_daemon_that_forked_twice_counts_for_itself() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = start(&directory, "daemon");
    worker.wait_until_done();
    let scrape = agent.scrape();
    assert_eq!((scrape.value(COUNT), scrape.value(CHILD)), (100.0, 1000.0));
    // The daemon holds nothing of the process that it came from.
    wait_until("the first segment goes", PATIENCE, || directory.segments().len() == 1);
    assert!(worker.finish().success());
    wait_until("the daemon's goes with it", PATIENCE, || directory.segments().is_empty());
    let scrape = agent.scrape();
    assert_eq!((scrape.value(COUNT), scrape.value(CHILD)), (100.0, 1000.0));
}

#[test]
fn programs_are_started_and_outlive_it_without_harm() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = start(&directory, "spawn");
    let calls = numbers(&mut worker, "calls ");
    let survivor = Survivor::of(&mut worker);
    worker.wait_until_done();
    assert!(worker.process().kill());
    wait_until("its death is seen", PATIENCE, || directory.segments().is_empty());
    let scrape = agent.scrape();
    assert_eq!((scrape.value(COUNT), scrape.value(CHILD)), (calls[0], 100.0));
    drop(survivor);
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn a_process_that_becomes_another_program_is_dead_as_a_producer() {
    let (directory, notes) = (Directory::new(), Directory::new());
    let agent = Agent::start(directory.path());
    let path = notes.path().join("progress");
    let progress = Progress::create(&path).expect("a progress file");
    let mut worker = start(&directory, &format!("exec {}", path.display()));
    worker.wait_until_done();
    wait_until("the first segment goes", PATIENCE, || directory.segments().len() == 1);
    let progress = Progress::read(&progress).expect("progress");
    let sum = |calls: &dyn Fn(usize) -> u64| (0..THREADS_MAX).map(calls).sum::<u64>() as f64;
    let completed = sum(&|thread| progress.completed(thread)[0]);
    let begun = sum(&|thread| progress.begun(thread)[0]);
    let scrape = agent.scrape();
    let found = scrape.value(COUNT);
    assert!((completed..=begun).contains(&found), "{found}, calls {completed} to {begun}");
    assert!(completed > 0.0 && begun - completed <= 2.0);
    assert_eq!(scrape.value(CHILD), 10.0);
}

#[test]
fn a_child_that_inherits_the_lock_delays_the_end_and_loses_nothing() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = start(&directory, "inherit");
    let survivor = Survivor::of(&mut worker);
    worker.wait_until_done();
    assert!(worker.process().kill());
    assert_eq!(agent.scrape().value(COUNT), 100.0);
    drop(survivor);
    wait_until("the segment goes with the child", PATIENCE, || directory.segments().is_empty());
    assert_eq!(agent.scrape().value(COUNT), 100.0);
}
