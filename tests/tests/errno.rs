//! Errors of the system: whatever a system call returns, the app is unharmed, and its counts
//! arrive or are counted privately; the agent recovers.
//!
//! `make errno` tries every combination; `make check` tries a sample of them, by a seed.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::time::{Duration, Instant};

use ringmeter_tests::random::Random;

#[path = "errno/agent.rs"]
mod agent;
#[path = "errno/recording.rs"]
mod recording;
#[path = "errno/sdk.rs"]
mod sdk;

/// How long a sample may take, unless `RINGMETER_ERRNO_SECONDS` says otherwise.
const SAMPLE_SECONDS: u64 = 10;

fn limit() -> Duration {
    let written = std::env::var("RINGMETER_ERRNO_SECONDS").ok();
    let seconds = written.and_then(|text| text.parse().ok()).unwrap_or(SAMPLE_SECONDS);
    Duration::from_secs(seconds)
}

/// Whether a case is to be tried: all, unless `RINGMETER_ERRNO_ONLY` is a part of its name.
fn is_wanted(case: &&impl std::fmt::Debug) -> bool {
    let only = std::env::var("RINGMETER_ERRNO_ONLY").unwrap_or_default();
    format!("{case:?}").contains(&only)
}

/// Tries cases in a random order, at least one of each group, until the time is over; prints how
/// many, and fails with what went wrong. Returns how many.
fn try_all<C: std::fmt::Debug, G: Ord>(
    what: &str,
    cases: Vec<C>,
    group: impl Fn(&C) -> G,
    mut attempt: impl FnMut(&C) -> Result<(), String>,
) -> u32 {
    let cases = shuffled(what, cases, group);
    let (start, limit) = (Instant::now(), limit());
    let mut problems = Vec::new();
    let mut tried = 0;
    for case in cases.iter().filter(is_wanted) {
        if start.elapsed() > limit || problems.len() >= 40 {
            break;
        }
        tried += 1;
        if let Err(problem) = attempt(case) {
            println!("{what}: {case:?}: {problem}");
            problems.push(format!("{case:?}: {problem}"));
        }
    }
    println!(
        "{what}: combinations={} tried={tried} problems={} seconds={}",
        cases.len(),
        problems.len(),
        start.elapsed().as_secs()
    );
    assert!(tried > 0 && problems.is_empty(), "{problems:#?}");
    tried
}

/// One of each group first, then the others, each part in a random order.
fn shuffled<C, G: Ord>(what: &str, mut cases: Vec<C>, group: impl Fn(&C) -> G) -> Vec<C> {
    let mut random = Random::seeded(what);
    for last in (1..cases.len()).rev() {
        cases.swap(last, random.below(last + 1));
    }
    let mut seen = std::collections::BTreeSet::new();
    let (mut first, rest): (Vec<C>, Vec<C>) =
        cases.into_iter().partition(|case| seen.insert(group(case)));
    first.extend(rest);
    first
}
