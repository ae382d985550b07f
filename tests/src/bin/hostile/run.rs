//! The whole run: an agent, honest producers, attackers, and the verdict.

use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use ringmeter_agent::limits::Limits;
use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;

use ringmeter_tests::random::Random;

use crate::attacks::{ATTACKS, BOMBS};
use crate::honest::{Honest, KINDS, shown};
use crate::watch::{Seen, watch};

/// What an agent takes besides the memory that it holds on behalf of producers: the ledger's index
/// and the largest commit, two snapshots and two texts of a scrape. ARCHITECTURE.md has the sum.
const RSS_BEYOND_BYTES: u64 = 256 << 20;
/// What an agent may log in the first minute, and in each further second: twenty lines a minute.
const LOG_BYTES: u64 = 16 << 10;
const LOG_BYTES_PER_SECOND: u64 = 200;
/// At least one segment is refused for each of these reasons.
const NOTICED: [&str; 6] = ["tail", "short", "header", "version", "definitions", "not_regular"];

/// Phase 0 is that without anybody else; then each attack has one; then all at once, with
/// [PROCESSORS], then greedy.
const PHASE_ALL: usize = ATTACKS.len() + 1;
const PHASE_GREEDY: usize = ATTACKS.len() + 2;
const PHASE_BOMBS: usize = ATTACKS.len() + 3;
/// Somebody wants the processors, and attacks nothing.
const PHASE_BUSY: usize = ATTACKS.len() + 4;
/// All attackers have started, and prepare what they attack with.
const PHASE_PREPARING: usize = ATTACKS.len() + 5;

/// What all attackers may use of the processors, so that these are not what is attacked: any
/// neighbour can make them busy, and the limits of a container are against that.
const PROCESSORS: f64 = 0.25;

/// Runs for about `seconds`; expects `withheld` calls more than there are.
pub(crate) fn run(seconds: u64, withheld: u64) -> ExitCode {
    let mut random = Random::seeded("hostile");
    let directory = Directory::new();
    let log_path = directory.path().join("log");
    let log = std::fs::File::create(&log_path).expect("a log");
    let mut agent = Agent::start_logged(directory.path(), log);
    let mut honest = Honest::start(directory.path(), random.next() >> 1);
    let (phase, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let address = agent.address();
    let (seen, mut problems) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(address, &honest, &phase, &is_over));
        #[expect(clippy::cast_precision_loss, reason = "seconds")]
        let problems = phases(directory.path(), seconds as f64, &phase, &mut random);
        is_over.store(true, Ordering::Relaxed);
        (watcher.join().expect("the scraper"), problems)
    });
    honest.stop();
    let text = agent.scrape_text();
    problems.extend(seen.problems.iter().cloned());
    let totals = honest.calls();
    for ((kind, (_, name)), now) in totals.iter().zip(KINDS).zip(shown(&text)) {
        if now != kind.0 + withheld || kind.0 != kind.1 {
            problems.push(format!("honest totals: {name} is {now}, {} calls", kind.0 + withheld));
        }
    }
    let rss_bytes = peak_bytes(agent.process().id());
    let log_bytes = log_path.metadata().map_or(u64::MAX, |metadata| metadata.len());
    let rss_limit_bytes = Limits::default().memory_max_bytes + RSS_BEYOND_BYTES;
    let log_limit_bytes = LOG_BYTES + LOG_BYTES_PER_SECOND * seconds;
    if rss_bytes > rss_limit_bytes {
        problems.push(format!("resident: {rss_bytes} bytes, limit {rss_limit_bytes}"));
    }
    if log_bytes > log_limit_bytes {
        problems.push(format!("log: {log_bytes} bytes, limit {log_limit_bytes}"));
    }
    if !text.contains("\nringmeter_panics_total 0\n") {
        problems.push("the agent had to catch a panic".to_owned());
    }
    if text.contains("\nringmeter_exemplars_dropped_total{reason=\"malformed\"} 0\n") {
        problems.push("no exemplar was found to be malformed".to_owned());
    }
    for reason in NOTICED.into_iter().filter(|reason| !seen.quarantined.contains_key(*reason)) {
        problems.push(format!("nothing was quarantined as {reason}"));
    }
    let calls: u64 = totals.iter().map(|(completed, _)| completed).sum();
    report(&seen, &problems);
    println!(
        "hostile: seconds={seconds} attacks={} scrapes={} {} rss_peak_bytes={rss_bytes} \
         rss_limit_bytes={rss_limit_bytes} log_bytes={log_bytes} \
         log_limit_bytes={log_limit_bytes} quarantined={} honest_calls={calls} problems={}",
        ATTACKS.len() + BOMBS.len(),
        seen.scrapes,
        times(&seen),
        reasons(&seen),
        problems.len()
    );
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// To find texts with the same hash takes half a second, in which their processor is not shared.
const PREPARING: Duration = Duration::from_secs(1);

/// A quarter of the time without anybody, one for one attack after the other, and one for all; a
/// sixteenth on busy processors, and one for all of them greedy; an eighth for the bombs.
fn phases(directory: &Path, seconds: f64, phase: &AtomicUsize, random: &mut Random) -> Vec<String> {
    #[expect(clippy::cast_precision_loss, reason = "some attacks")]
    let single = seconds / 4.0 / ATTACKS.len() as f64;
    let mut attack = |names: &str, seconds: f64, processors: f64| {
        attack(directory, names, seconds, random.next() >> 1, processors)
    };
    std::thread::sleep(Duration::from_secs_f64(seconds / 4.0));
    let mut problems = Vec::new();
    phase.store(PHASE_BUSY, Ordering::Relaxed);
    problems.extend(Attackers::start(&["compute", &(seconds / 16.0).to_string()]).end());
    for (number, (name, _)) in ATTACKS.iter().enumerate() {
        phase.store(number + 1, Ordering::Relaxed);
        problems.extend(attack(name, single, f64::INFINITY).end());
    }
    let preparing = PREPARING.min(Duration::from_secs_f64(seconds / 16.0));
    for (number, what, seconds, processors) in [
        (PHASE_ALL, "all at once", seconds / 4.0, PROCESSORS),
        (PHASE_GREEDY, "all, greedy", seconds / 16.0, f64::INFINITY),
    ] {
        let (before, seconds) = (used_seconds(), seconds + preparing.as_secs_f64());
        phase.store(PHASE_PREPARING, Ordering::Relaxed);
        let attackers = attack(&names(ATTACKS), seconds, processors);
        std::thread::sleep(preparing);
        phase.store(number, Ordering::Relaxed);
        problems.extend(attackers.end());
        println!("  {what:20} {:.2} processors", (used_seconds() - before) / seconds);
    }
    phase.store(PHASE_BOMBS, Ordering::Relaxed);
    problems.extend(attack(&names(BOMBS), seconds / 8.0, f64::INFINITY).end());
    problems
}

/// Processor time of all children that have ended, seconds.
fn used_seconds() -> f64 {
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).expect("what children used");
    #[expect(clippy::cast_precision_loss, reason = "microseconds")]
    let microseconds = (used.user_time() + used.system_time()).num_microseconds() as f64;
    microseconds / 1e6
}

fn names(attacks: &[(&str, crate::attacks::Attack)]) -> String {
    attacks.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(",")
}

/// Starts attacks.
fn attack(directory: &Path, names: &str, seconds: f64, seed: u64, processors: f64) -> Attackers {
    let directory = directory.to_str().expect("a path");
    let numbers = [seconds.to_string(), seed.to_string(), processors.to_string()];
    let [seconds, seed, processors] = numbers.each_ref().map(String::as_str);
    Attackers::start(&["attack", directory, names, seconds, seed, processors])
}

/// This program in a process of its own.
struct Attackers {
    process: Child,
    arguments: String,
}

impl Attackers {
    /// Starts them at the lowest priority: the machine is not what is attacked.
    fn start(arguments: &[&str]) -> Self {
        let own = std::env::current_exe().expect("the path of this program");
        let process = Command::new("nice")
            .args(["-n", "19"])
            .arg(own)
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .expect("start an attacker");
        Self { process, arguments: format!("{arguments:?}") }
    }

    /// Waits until their time is over; returns what went wrong.
    fn end(mut self) -> Option<String> {
        let status = self.process.wait().expect("an attacker ends");
        (!status.success()).then(|| format!("{}: {status}", self.arguments))
    }
}

/// The most memory that a process had, bytes.
fn peak_bytes(process_id: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process_id}/status")).expect("status");
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib * 1024
}

fn report(seen: &Seen, problems: &[String]) {
    for (number, (name, _)) in ATTACKS.iter().enumerate() {
        let at = |quantile| seen.at(|phase| phase == number + 1, quantile);
        println!("  {name:20} p50 {:7.2} ms  p99 {:7.2} ms", at(0.5), at(0.99));
    }
    println!("  largest scrape: {} bytes", seen.bytes_max);
    problems.iter().for_each(|problem| println!("  PROBLEM {problem}"));
}

fn times(seen: &Seen) -> String {
    let at = |number: usize, quantile| seen.at(move |phase| phase == number, quantile);
    let both = |number| [at(number, 0.5), at(number, 0.99)];
    let ([p50, p99], [all_p50, all_p99]) = (both(0), both(PHASE_ALL));
    let ([busy_p50, busy_p99], [greedy_p50, greedy_p99]) = (both(PHASE_BUSY), both(PHASE_GREEDY));
    format!(
        "p50_ms={p50:.2}/{all_p50:.2} p99_ms={p99:.2}/{all_p99:.2} p99_ratio={:.2} \
         busy_p50_ms={busy_p50:.2}/{greedy_p50:.2} busy_p99_ms={busy_p99:.2}/{greedy_p99:.2} \
         busy_p99_ratio={:.2} bombs_p50_ms={:.2} bombs_p99_ms={:.2}",
        all_p99 / p99,
        greedy_p99 / busy_p99,
        at(PHASE_BOMBS, 0.5),
        at(PHASE_BOMBS, 0.99),
    )
}

fn reasons(seen: &Seen) -> String {
    let own = seen.quarantined.iter().map(|(reason, most)| format!("{reason}:{most}"));
    own.collect::<Vec<_>>().join(",")
}
