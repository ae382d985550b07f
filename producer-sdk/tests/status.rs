//! What a producer without a segment says.
#![allow(clippy::expect_used, reason = "tests")]
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;

use ringmeter::{Producer, Status};

#[test]
fn a_system_call_that_failed_is_told_with_its_place() {
    let name = format!("/dev/shm/ringmeter-test-status-{}", std::process::id());
    let path = Path::new(&name);
    fs::create_dir_all(path).expect("a directory");
    // Opens, and cannot be listed.
    fs::write(path.join("segments"), "").expect("a file");
    let status = Producer::builder().service("status").directory(path).build().status();
    fs::remove_dir_all(path).expect("remove the directory");
    let Status::Private { reason } = status else { panic!("a segment: {status:?}") };
    let place = format!("segments are to be in {}", path.join("segments").display());
    assert!(reason.contains(&place), "{reason}");
    assert!(!reason.contains("fsGroup"), "it was not refused: {reason}");
}
