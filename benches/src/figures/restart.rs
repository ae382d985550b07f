//! How long an agent that was killed takes until it serves again.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Found;
use crate::agent::Agent;
use crate::error::{Failure, Outcome};
use crate::figure::Figure;
use crate::offer::Offer;
use crate::setup::Setup;
use crate::statistics::Random;

const SERIES: [usize; 3] = [1000, 10_000, 100_000];
const TIMES: usize = 15;
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Waits until the agent shows every count of it.
fn wait_for(agent: &Agent, count: usize) -> Outcome<()> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let page = agent.scrape()?;
        let counts = page.lines().filter(|line| line.starts_with("bench_restart_total{"));
        let values = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        if values.sum::<f64>() == count as f64 {
            return Ok(());
        }
        sleep(POLL);
    }
    Err(Failure::new(format!("the agent does not show {count} counts")))
}

pub(super) fn times(setup: &Setup, random: &mut Random) -> Outcome<Found> {
    let mut figures = Vec::new();
    for series in SERIES {
        let directory = setup.scratch.directory(&format!("restart-{series}"))?;
        let offer = Offer::new(&directory, 110_000, 0)?;
        offer.counters("bench_restart_total", series)?.iter().for_each(|counter| counter.inc());
        let mut agent = Agent::start(setup.agent_binary()?, &directory)?;
        wait_for(&agent, series)?;
        let mut samples = Vec::new();
        for _ in 0..TIMES {
            agent.crash()?;
            let begin = Instant::now();
            agent = Agent::start(setup.agent_binary()?, &directory)?;
            samples.push(begin.elapsed().as_secs_f64() * 1e3);
            // What it served before, it serves again.
            wait_for(&agent, series)?;
        }
        let title = format!("agent killed, until it is ready again, {series} counter series");
        figures.push(Figure::of(format!("restart-{series}"), title, "ms", &samples, random));
    }
    Ok(figures.into())
}
