//! No kill of agents or instrumented processes loses, doubles or takes back anything; and the test
//! would notice if one did.
#![allow(clippy::expect_used, reason = "tests")]
#![expect(clippy::print_stdout, reason = "what was done belongs to the result")]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ringmeter_agent::broken::{self, Break};
use ringmeter_tests::process::binary;
use ringmeter_tests::random::Random;
use ringmeter_tests::torture::{Outcome, Plan, Shared, run};

/// Kills of agents, and as many of recorders.
const KILLS: u64 = 500;
/// Kills in which a broken promise has to be noticed. It takes a handful.
const BROKEN_KILLS: u64 = 400;
/// What is lost stays lost, and what is late comes within this on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);
const BROKEN_PATIENCE: Duration = Duration::from_secs(3);
/// Liveness only: this is no measurement.
const LIMIT: Duration = Duration::from_secs(300);

fn plan(agent: PathBuf, variables: Vec<(String, String)>, kills: u64) -> Plan {
    let seed = Random::seeded("torture").next();
    let is_broken = variables.iter().any(|(name, _)| name == broken::VARIABLE);
    let patience = if is_broken { BROKEN_PATIENCE } else { PATIENCE };
    Plan { agent, variables, seed, arenas: 3, kills, limit: LIMIT, patience }
}

fn report(what: &str, outcome: &Outcome) {
    let Outcome { checks, scrapes, late, records, problems, duration, .. } = outcome;
    println!("{what}: {outcome}");
    println!("  {records} records, {checks} checks, {scrapes} scrapes of which {late} late");
    println!("  {duration:?}");
    problems.iter().take(5).for_each(|problem| println!("  {problem}"));
}

#[test]
fn no_kill_of_agent_or_producer_loses_doubles_or_takes_back_anything() {
    let outcome = run(&plan(binary("ringmeter"), Vec::new(), KILLS), &Shared::default());
    report("500 kills of each", &outcome);
    assert!(outcome.problems.is_empty() && !outcome.is_caught(), "{:#?}", outcome.problems);
    assert!(outcome.agent_kills.min(outcome.producer_kills) >= KILLS, "in time");
    assert!(outcome.checks > 10 && outcome.scrapes > 100, "or the kills show nothing");
    assert!(outcome.spilled > 0.0, "lanes have to be full now and then");
}

/// The agent with the feature `broken`, in the same profile as this test.
fn broken_agent() -> PathBuf {
    let agent = binary("ringmeter");
    let directory = agent.parent().expect("a directory");
    let profile = directory.file_name().and_then(|name| name.to_str()).expect("a profile");
    let profile = if profile == "debug" { "dev" } else { profile };
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "ringmeter-agent", "--features", "broken"])
        .args(["--bin", "ringmeter-broken", "--profile", profile, "--target-dir"])
        .arg(directory.parent().expect("a target directory"))
        .status()
        .expect("run cargo");
    assert!(status.success(), "build the agent with the feature `broken`");
    directory.join("ringmeter-broken")
}

#[test]
fn broken_promises_are_noticed_and_only_those() {
    let agent = broken_agent();
    // The moments between two steps are stretched, so that many kills fall into them.
    let pause = |name: &str| [(name.to_owned(), "5000".to_owned())].to_vec();
    let stretched = pause(broken::PAUSE_VARIABLE);
    let outcome = run(&plan(agent.clone(), stretched, 60), &Shared::default());
    report("nothing broken", &outcome);
    assert!(outcome.problems.is_empty() && !outcome.is_caught(), "{:#?}", outcome.problems);
    for promise in Break::ALL {
        let variables = promise.variables("5000").to_vec();
        let outcome = run(&plan(agent.clone(), variables, BROKEN_KILLS), &Shared::default());
        report(promise.name(), &outcome);
        let Outcome { lost, doubled, decreases, agent_kills, .. } = outcome;
        println!(
            "broken: {} is caught after {agent_kills} kills: {lost} lost, {doubled} doubled, \
             {decreases} decreases",
            promise.name()
        );
        assert!(outcome.is_caught(), "{} was not noticed", promise.name());
    }
}
