//! Threads without a lane: nothing is lost, and the status says why.
//!
//! A process of its own: it changes a resource limit.
#![allow(clippy::expect_used, clippy::panic, reason = "tests")]
#![cfg(all(target_os = "linux", feature = "testing"))]

use std::fs;
use std::path::PathBuf;
use std::sync::Barrier;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ringmeter::{Histogram, Producer, Status};

/// More than the interval at which a thread asks again for a lane.
const TIMES: u64 = 200;

fn producer(name: &str, lanes_max: u32) -> (Producer, PathBuf) {
    let name = format!("/dev/shm/ringmeter-test-lanes-{name}-{}", std::process::id());
    let path = PathBuf::from(name);
    fs::create_dir_all(&path).expect("a directory");
    let builder = Producer::builder().service("lanes").directory(&path);
    (builder.lanes_max(lanes_max).build(), path)
}

fn no_lane(producer: &Producer) -> Option<String> {
    let Status::Shared { no_lane, .. } = producer.status() else { panic!("no segment") };
    no_lane
}

fn observe(histogram: &Histogram) {
    (0..TIMES).for_each(|_| histogram.observe(1.0));
}

#[test]
fn the_status_says_why_there_is_no_lane_until_there_is_one() {
    let (producer, path) = producer("max", 1);
    let histogram = producer.histogram(("h_seconds", "A histogram.")).expect("registered");
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            observe(&histogram);
            assert_eq!(no_lane(&producer), None, "it has the only one");
            barrier.wait();
            barrier.wait();
        });
        barrier.wait();
        scope.spawn(|| observe(&histogram)).join().expect("a thread");
        let said = no_lane(&producer).expect("the second thread got none");
        assert!(said.contains("all 1 lanes") && said.contains("lanes_max"), "{said}");
        barrier.wait();
        first.join().expect("a thread");
    });
    assert_eq!(no_lane(&producer), None, "the lane is free");

    // And what the system refuses: the segment may not grow.
    let (producer, other) = self::producer("size", 64);
    let histogram = producer.histogram(("h_seconds", "A histogram.")).expect("registered");
    let Status::Shared { path: file, .. } = producer.status() else { panic!("no segment") };
    let size = fs::metadata(&file).expect("the segment").len();
    let (soft, hard) = getrlimit(Resource::RLIMIT_FSIZE).expect("a limit");
    setrlimit(Resource::RLIMIT_FSIZE, size, hard).expect("no growth");
    observe(&histogram);
    let said = no_lane(&producer).expect("there was no room");
    assert!(said.contains("RLIMIT_FSIZE allows"), "{said}");
    setrlimit(Resource::RLIMIT_FSIZE, soft, hard).expect("growth");
    observe(&histogram);
    assert_eq!(no_lane(&producer), None, "there is room");
    for path in [path, other] {
        fs::remove_dir_all(path).expect("remove the directory");
    }
}
