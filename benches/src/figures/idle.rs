//! What an agent costs that has nothing to do.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Found;
use crate::agent::Agent;
use crate::error::{Failure, Outcome};
use crate::figure::Figure;
use crate::offer::Offer;
use crate::setup::Setup;
use crate::statistics::{Goal, Random};

/// What a medium service has.
const COUNTERS: usize = 600;
const GAUGES: usize = 200;
const HISTOGRAMS: usize = 150;
const SUMMARIES: usize = 50;
const MANY: usize = 100_000;
const WINDOW: Duration = Duration::from_millis(500);
/// How long the agent may take to show everything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Scrapes until the agent has so many series, then twice more: as it is in operation.
fn settle(agent: &Agent, series: usize) -> Outcome<()> {
    let begin = Instant::now();
    while agent.scraped("ringmeter_series")? < series as f64 {
        if begin.elapsed() > PATIENCE {
            return Err(Failure::new(format!("the agent does not show {series} series")));
        }
        sleep(WINDOW / 10);
    }
    for _ in 0..2 {
        agent.scrape()?;
    }
    Ok(())
}

fn mebibytes(agent: &Agent) -> Outcome<f64> {
    Ok(agent.resident_bytes()? as f64 / f64::from(1 << 20))
}

pub(super) fn idle(setup: &Setup, random: &mut Random) -> Outcome<Found> {
    let directory = setup.scratch.directory("idle")?;
    let offer = Offer::new(&directory, 2000, 512)?;
    offer.counters("bench_idle_total", COUNTERS)?.iter().for_each(|counter| counter.inc());
    offer.gauges("bench_idle_level", GAUGES)?;
    let histograms = offer.histograms("bench_idle_seconds", HISTOGRAMS)?;
    histograms.iter().for_each(|histogram| histogram.observe(1.0));
    let summaries = offer.summaries("bench_idle_size", SUMMARIES)?;
    summaries.iter().for_each(|summary| summary.observe(1.0));
    let agent = Agent::start(setup.agent_binary()?, &directory)?;
    settle(&agent, COUNTERS + GAUGES + HISTOGRAMS + SUMMARIES)?;
    // Its naps grow to their longest.
    sleep(Duration::from_secs(1));
    let mut shares = Vec::new();
    for _ in 0..setup.extent.pick(8, 60) {
        let (begin, cpu) = (Instant::now(), agent.cpu_time()?);
        sleep(WINDOW);
        let used = agent.cpu_time()?.saturating_sub(cpu);
        shares.push(used.as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0);
    }
    let title = "agent idle with 1,000 series: processor time";
    let cpu = Figure::of("agent-idle-cpu", title, "% of a core", &shares, random)
        .wanted(Goal::AtMost(0.3))
        .noted(format!("windows of {} ms", WINDOW.as_millis()));
    let title = "agent with 1,000 series, scraped: resident memory";
    let few = Figure::of("agent-memory-1000", title, "MiB", &[mebibytes(&agent)?], random)
        .wanted(Goal::AtMost(12.0));
    drop(agent);
    let directory = setup.scratch.directory("many")?;
    let offer = Offer::new(&directory, 110_000, 0)?;
    offer.counters("bench_many_total", MANY)?.iter().for_each(|counter| counter.inc());
    let agent = Agent::start(setup.agent_binary()?, &directory)?;
    settle(&agent, MANY)?;
    let title = "agent with 100,000 counter series, scraped: resident memory";
    let many = Figure::of("agent-memory-100000", title, "MiB", &[mebibytes(&agent)?], random)
        .wanted(Goal::AtMost(96.0));
    Ok(vec![cpu, few, many].into())
}
