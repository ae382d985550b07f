//! One series without room in an open segment: what it counted meanwhile moves in.
//!
//! A process of its own: it changes a resource limit.
#![allow(clippy::expect_used, reason = "tests")]
#![cfg(all(target_os = "linux", feature = "testing"))]

use std::fs;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ringmeter::{Counter, Producer, Status};

/// Registers series of one metric until one has no room: then it alone is not defined.
fn fill(producer: &Producer) -> Counter {
    let family = producer.counter_vec(("c_total", "A counter."), &["n"]).expect("registered");
    let has_no_room =
        |_: &Counter| matches!(producer.status(), Status::Shared { pending: Some(_), .. });
    let mut all = (0..9_000).map(|number| family.with(&[&number.to_string()]));
    all.find(has_no_room).expect("the chunk is full")
}

#[test]
fn a_series_that_had_no_room_keeps_what_it_counted_meanwhile() {
    let name = format!("/dev/shm/ringmeter-test-pending-{}", std::process::id());
    let path = Path::new(&name);
    fs::create_dir_all(path).expect("a directory");
    let producer = Producer::builder()
        .service("pending")
        .directory(path)
        // Counts are in cells then, where they can be read back.
        .lane_cells(8192)
        .build();
    producer.histogram(("h_seconds", "A histogram.")).expect("registered").observe(1.0);
    let Status::Shared { path: file, .. } = producer.status() else { panic!("no segment") };
    let size = fs::metadata(&file).expect("the segment").len();
    let (soft, hard) = getrlimit(Resource::RLIMIT_FSIZE).expect("a limit");
    setrlimit(Resource::RLIMIT_FSIZE, size, hard).expect("no growth");
    let counter = fill(&producer);
    (0..500).for_each(|_| counter.inc());
    assert_eq!(ringmeter::testing::value(&counter), 500.0, "counted privately");
    setrlimit(Resource::RLIMIT_FSIZE, soft, hard).expect("growth");
    (0..5000).for_each(|_| counter.inc());
    let status = producer.status();
    let value = ringmeter::testing::value(&counter);
    fs::remove_dir_all(path).expect("remove the directory");
    assert!(matches!(status, Status::Shared { pending: None, .. }), "{status:?}");
    // The call that got the series its room is a record in the lane.
    assert_eq!(value, 5499.0);
}
