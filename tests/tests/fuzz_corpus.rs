//! Every kept fuzz input runs through the same entry function as under the fuzzer.
//!
//! `tests/fuzz/corpus/<target>/` holds inputs that reach something of their own,
//! `tests/fuzz/regressions/<target>/` inputs that once found a defect.
#![allow(clippy::expect_used, reason = "a test whose premises fail must fail loudly")]

use std::fs;
use std::path::Path;

use ringmeter_tests::fuzz;

type Entry = fn(&[u8]);

const TARGETS: [(&str, Entry); 4] = [
    ("segment", fuzz::segment),
    ("definition", fuzz::definition),
    ("ledger", fuzz::ledger),
    ("config", fuzz::config),
];

fn inputs(directory: &str, target: &str) -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(directory).join(target);
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    entries
        .map(|entry| {
            let path = entry.expect("a directory entry").path();
            (path.display().to_string(), fs::read(path).expect("an input"))
        })
        .collect()
}

#[test]
fn every_kept_input_still_passes() {
    for (target, entry) in TARGETS {
        let corpus = inputs("corpus", target);
        assert!(corpus.len() >= 8, "{} inputs for {target}: where is the corpus?", corpus.len());
        for (path, input) in corpus.into_iter().chain(inputs("regressions", target)) {
            let outcome = std::panic::catch_unwind(|| entry(&input));
            assert!(outcome.is_ok(), "{path}: {} bytes", input.len());
        }
    }
}

#[test]
fn an_empty_input_passes() {
    for (_, entry) in TARGETS {
        entry(&[]);
        entry(&[0]);
        entry(&[1]);
    }
}
