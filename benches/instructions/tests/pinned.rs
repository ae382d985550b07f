//! The instructions of a record are those that are written in the tree.
//!
//! Counting runs the program under valgrind, twice for each call. Without valgrind, or with one
//! that does not know an instruction, these tests fail.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test tells what it did not do"
)]

use std::fs;
use std::path::Path;

use ringmeter_instructions::callgrind::{CountError, Recorder};
use ringmeter_instructions::pins::{self, Pins};

fn recorder() -> Recorder {
    // Unoptimised code says nothing about what ships.
    if cfg!(debug_assertions) {
        panic!("run this with --release, as `make check-instructions` does");
    }
    Recorder::new(Path::new(env!("CARGO_BIN_EXE_recorder"))).expect("the recorder answers")
}

fn pins() -> Pins {
    let text = fs::read_to_string(pins::path()).expect("the counts are written in the tree");
    Pins::parse(&text).expect("the file is well-formed")
}

#[test]
fn calls_take_what_is_written() {
    let recorder = recorder();
    let counts = recorder.count_all().unwrap_or_else(|error| panic!("{error}"));
    let pins = pins();
    let comparison = pins.compare(recorder.toolchain(), &counts);
    if !comparison.is_exact {
        eprintln!(
            "NOT COMPARED EXACTLY, only with the goals: built by {}, but the counts are of {}",
            recorder.toolchain(),
            pins.toolchain
        );
    }
    assert!(
        comparison.differences.is_empty(),
        "{}\nIf that is meant: `make instructions` writes the counts anew.",
        comparison.differences.join("\n")
    );
}

#[test]
fn a_planted_instruction_is_noticed() {
    let recorder = recorder();
    let count = |case| recorder.count(case).unwrap_or_else(|error| panic!("{error}"));
    let (right, mut planted) = (count("counter"), count("counter_planted"));
    assert_eq!(planted.instructions, right.instructions + 1.0);
    // As if it were the counter's code: the file, with the counter alone, must refuse it.
    planted.case = right.case.clone();
    let mut pins = pins();
    pins.call.retain(|case, _| *case == right.case);
    pins.toolchain = recorder.toolchain().clone();
    pins.call.get_mut(&right.case).expect("the counter is written").instructions =
        right.instructions;
    assert_eq!(pins.compare(recorder.toolchain(), &[right]).differences, [""; 0]);
    let differences = pins.compare(recorder.toolchain(), &[planted]).differences;
    assert_eq!(differences.len(), 1, "{differences:?}");
}

#[test]
fn what_cannot_be_counted_is_an_error() {
    let error = recorder().count("nothing").expect_err("there is no such case");
    assert!(matches!(error, CountError::UnknownCase(_)), "{error}");
}
