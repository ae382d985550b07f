//! A service that crashes again and again, with an agent and without one.
#![allow(clippy::expect_used, reason = "tests")]

use std::time::Duration;

use nix::sys::statvfs::statvfs;
use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::process::wait_until;
use ringmeter_tests::worker::Worker;

const SIZE_BYTES: u64 = 64 << 20;
const RESTARTS: u32 = 500;
/// Increments of each life, by two threads.
const COUNTED: u32 = 2000;
const COUNT: &str = "worker_count_total";

fn used_bytes(directory: &Directory) -> u64 {
    let all = statvfs(directory.path()).expect("statvfs");
    (all.blocks() - all.blocks_free()) * all.fragment_size()
}

/// A service starts, counts and is killed. Returns how it counted.
fn one_life(directory: &Directory, segments: u32) -> String {
    let arguments = format!("count --threads 2 --times {} --segments {segments}", COUNTED / 2);
    let mut worker = Worker::start(directory.path(), &arguments);
    worker.wait_until_done();
    // Afterwards: there may be room for a segment and none for its metrics.
    worker.send("status");
    let status = worker.line();
    assert!(worker.process().kill());
    status
}

/// Whether everything was counted in a segment.
fn is_shared(status: &str) -> bool {
    status.starts_with("Shared") && status.contains("pending: None")
}

#[test]
fn a_crash_loop_never_fills_its_tmpfs_and_every_life_is_counted() {
    let directory = Directory::of_size(SIZE_BYTES);
    let agent = Agent::start(directory.path());
    let mut most_bytes = 0;
    for life in 0..RESTARTS {
        let status = one_life(&directory, 1024);
        assert!(status.starts_with("Shared"), "life {life}: {status}");
        most_bytes = used_bytes(&directory).max(most_bytes);
    }
    println!("crash loop: {RESTARTS} restarts used at most {most_bytes} of {SIZE_BYTES} bytes");
    assert_eq!(agent.scrape().value(COUNT), f64::from(RESTARTS * COUNTED));
    wait_until("all segments go", Duration::from_secs(20), || directory.segments().is_empty());
    assert_eq!(agent.scrape().value(COUNT), f64::from(RESTARTS * COUNTED));
    assert!(used_bytes(&directory) < SIZE_BYTES / 16, "nothing is left behind");
}

#[test]
fn without_an_agent_a_crash_loop_ends_up_counting_privately_and_says_so() {
    let directory = Directory::of_size(SIZE_BYTES);
    let limit = 100;
    for life in 0..RESTARTS {
        let status = one_life(&directory, limit);
        if life < limit {
            assert!(status.starts_with("Shared"), "life {life}: {status}");
        } else {
            let is_told = status.starts_with("Private") && status.contains("100 segments");
            assert!(is_told, "life {life}: {status}");
        }
    }
    let used_bytes = used_bytes(&directory);
    println!("no agent: {RESTARTS} restarts, {limit} segments use {used_bytes} bytes");
    assert!(used_bytes < SIZE_BYTES);
    // Segments that nobody took are kept: an agent that comes late takes all of them.
    let agent = Agent::start(directory.path());
    assert_eq!(agent.scrape().value(COUNT), f64::from(limit * COUNTED));
    wait_until("there is room again", Duration::from_secs(20), || directory.segments().is_empty());
    assert!(one_life(&directory, limit).starts_with("Shared"));
    assert_eq!(agent.scrape().value(COUNT), f64::from((limit + 1) * COUNTED));
}

#[test]
fn an_agent_that_finds_its_tmpfs_full_of_segments_takes_them_and_makes_room() {
    let directory = Directory::of_size(SIZE_BYTES);
    let mut shared = 0;
    let mut status = String::new();
    for _ in 0..RESTARTS {
        status = one_life(&directory, 1024);
        shared += u32::from(is_shared(&status));
    }
    println!("full: {shared} lives in segments, then {status}");
    assert!(shared < RESTARTS && status.starts_with("Private"), "or the tmpfs is not full");
    let agent = Agent::start(directory.path());
    wait_until("the agent makes room", Duration::from_secs(20), || directory.segments().is_empty());
    assert_eq!(agent.scrape().value(COUNT), f64::from(shared * COUNTED));
    assert!(one_life(&directory, 1024).starts_with("Shared"));
}
