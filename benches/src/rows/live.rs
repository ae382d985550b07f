//! The agent at work in another process: what its reading does to the producer.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use ringmeter::Producer;

use crate::agent::{Agent, Apart};
use crate::error::{Failure, Outcome};
use crate::measure::Plan;
use crate::row::{Row, Unit};
use crate::setup::{HALF_A_LANE, Setup, count};
use crate::stand_in::StandIn;
use crate::work::dense;

const HELP: &str = "Counts calls.";
/// Time between bursts: several of the agent's passes.
const REST: Duration = Duration::from_millis(2);
/// How often an agent may be found behind before it counts as stuck: 2 s.
const RESTS_MAX: u32 = 1000;

/// Bursts of half a lane, with the agent reading behind them and, on a lane of another segment,
/// without. Both rest equally long before each burst.
pub(super) fn burst(setup: &Setup) -> Outcome<Row> {
    let directory = setup.scratch.directory("live")?;
    let agent = Arc::new(Agent::start(setup.agent_binary()?, &directory)?);
    let apart = Apart::from(&agent)?;
    let name = "bench_live";
    let producer = Producer::builder().directory(&directory).service("bench-live").try_build()?;
    let reader = Arc::new(StandIn::new(&producer, &directory, false)?);
    let histogram = producer.histogram((name, HELP))?;
    let mut live = setup.ours(name, move |_, calls| {
        dense!(calls, _call => histogram.observe(1.0));
    });
    live.name = "ringmeter, agent reading".to_owned();
    live.parks = true;
    let behind = Arc::clone(&reader);
    live.pause = Box::new(move || {
        // Held as long as the row is.
        let _ = &apart;
        sleep(REST);
        // After a time without records the agent naps longer.
        for _ in 0..RESTS_MAX {
            if behind.is_acknowledged()? {
                return Ok(());
            }
            sleep(REST);
        }
        Err(Failure::new("the agent does not drain the lane"))
    });
    live.total = Box::new(move || Ok(count(agent.scraped("bench_live_count")?)));

    let name = "bench_burst";
    let histogram = setup.producer.histogram((name, HELP))?;
    let mut alone = setup.ours(name, move |_, calls| {
        dense!(calls, _call => histogram.observe(1.0));
    });
    alone.name = "ringmeter, no agent".to_owned();
    alone.parks = true;
    let drain = setup.pause();
    alone.pause = Box::new(move || {
        sleep(REST);
        drain()
    });
    Ok(Row {
        id: "live-burst",
        title: "histogram, bursts of half a lane, agent reading in another process",
        plan: Plan { threads: 1, rounds: setup.rounds, stretches: 4, calls: HALF_A_LANE },
        subjects: vec![live, alone],
        rivals: 1,
        goal: Some(1.5),
        unit: Unit::Nanoseconds,
        spilled: Some(Box::new(move || reader.spilled())),
        has_tail: false,
    })
}
