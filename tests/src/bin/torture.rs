//! `make torture`: kills agents and instrumented processes until the time is over.
//!
//! `torture [--seconds-max N] [--seed S] [--arenas N] [--break NAME]`
//!
//! The last line says what was done. The exit code is 0 when nothing was lost, doubled or taken
//! back, and 1 else. With `--break` it is the other way round: an agent that breaks a promise is
//! tortured until that is noticed, and the exit code is 0 when it was.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{SigSet, Signal};
use ringmeter_agent::broken::Break;
use ringmeter_tests::process::binary;
use ringmeter_tests::torture::{Outcome, Plan, Shared, run};

/// For wrong arguments, as the agent has it.
const EXIT_USAGE: u8 = 64;
/// Directories at a time, unless said otherwise.
const ARENAS: usize = 4;
/// How far the moments between two steps of a broken agent are stretched.
const PAUSE_US: &str = "5000";
/// How often it says how far it is.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

struct Arguments {
    seconds_max: u64,
    seed: u64,
    arenas: usize,
    promise: Option<Break>,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("torture: {problem}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    println!("torture: seed={} seconds_max={}", arguments.seed, arguments.seconds_max);
    let shared = Arc::new(Shared::default());
    stop_on_signals(&shared);
    report_now_and_then(&shared);
    let outcome = run(&plan(&arguments), &shared);
    tell(&arguments, &outcome)
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = now.map_or(1, |now| u64::from(now.subsec_nanos()));
    let mut own = Arguments { seconds_max: 3600, seed, arenas: ARENAS, promise: None };
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{name} needs a number"));
        match name.as_str() {
            "--seconds-max" => own.seconds_max = number()?,
            "--seed" => own.seed = number()?,
            "--arenas" => own.arenas = usize::try_from(number()?.clamp(1, 64)).unwrap_or(1),
            "--break" => own.promise = Some(promise(&value)?),
            _ => return Err(format!("there is no {name}")),
        }
    }
    Ok(own)
}

fn promise(name: &str) -> Result<Break, String> {
    Break::of_name(name).ok_or_else(|| {
        let names: Vec<&str> = Break::ALL.iter().map(|promise| promise.name()).collect();
        format!("nothing called {name} can be broken; there are: {}", names.join(", "))
    })
}

fn plan(arguments: &Arguments) -> Plan {
    let (agent, variables, patience_s) = match arguments.promise {
        None => ("ringmeter", Vec::new(), 20),
        Some(promise) => ("ringmeter-broken", promise.variables(PAUSE_US).to_vec(), 3),
    };
    Plan {
        agent: binary(agent),
        variables,
        seed: arguments.seed,
        arenas: arguments.arenas,
        kills: u64::MAX,
        limit: Duration::from_secs(arguments.seconds_max),
        patience: Duration::from_secs(patience_s),
    }
}

/// So that an interrupted run removes its directories and says how far it came.
fn stop_on_signals(shared: &Arc<Shared>) {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    // Inherited by all threads, but not by programs that are started.
    if let Err(error) = signals.thread_block() {
        eprintln!("torture: cannot handle signals: {error}");
    }
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        let _ = signals.wait();
        shared.is_stopped.store(true, Ordering::Relaxed);
    });
}

fn report_now_and_then(shared: &Arc<Shared>) {
    let (shared, begin) = (Arc::clone(shared), Instant::now());
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(REPORT_INTERVAL);
            let agents = shared.agent_kills.load(Ordering::Relaxed);
            let producers = shared.producer_kills.load(Ordering::Relaxed);
            let seconds = begin.elapsed().as_secs();
            eprintln!("after {seconds} s: {agents} kills of agents, {producers} of producers");
        }
    });
}

fn tell(arguments: &Arguments, outcome: &Outcome) -> ExitCode {
    let Outcome { checks, scrapes, late, records, problems, .. } = outcome;
    println!("records={records} checks={checks} scrapes={scrapes} of which late={late}");
    for problem in problems.iter().take(20) {
        println!("  {problem}");
    }
    println!("{outcome} seed={}", arguments.seed);
    let is_as_expected = match arguments.promise {
        None => problems.is_empty() && !outcome.is_caught(),
        Some(_) => outcome.is_caught(),
    };
    if is_as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_broken_is_told_what_can() {
        let words = ["--break", "everything"].map(str::to_owned);
        let problem = parse(words.into_iter()).err().unwrap_or_default();
        for promise in Break::ALL {
            assert!(problem.contains(promise.name()), "{problem}");
        }
    }
}
