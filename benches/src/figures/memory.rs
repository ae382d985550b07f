//! Memory: of segments by lanes and by series, of the agent by series.

use std::os::unix::fs::MetadataExt;
use std::sync::Barrier;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use ringmeter::Status;

use super::Found;
use crate::agent::Agent;
use crate::error::{Failure, Outcome};
use crate::figure::Figure;
use crate::offer::Offer;
use crate::plot::{Axis, Curve, Plot};
use crate::setup::Setup;
use crate::statistics::Random;

const LANES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
const SERIES: [usize; 4] = [100, 1000, 10_000, 100_000];
/// Their cells take 2 KiB each.
const HISTOGRAMS_MAX: usize = 10_000;
const MEBIBYTE: f64 = 1048576.0;
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Memory that a segment has taken, MiB.
fn segment(offer: &Offer) -> Outcome<f64> {
    let Status::Shared { path, .. } = offer.producer.status() else {
        return Err(Failure::new("no segment"));
    };
    Ok(std::fs::metadata(path)?.blocks() as f64 * 512.0 / MEBIBYTE)
}

fn by_lanes(setup: &Setup) -> Outcome<Vec<(f64, f64)>> {
    let mut points = Vec::new();
    for lanes in LANES {
        let directory = setup.scratch.directory(&format!("lanes-{lanes}"))?;
        let offer = Offer::new(&directory, 1000, 512)?;
        let counters = offer.counters("bench_lanes_total", 100)?;
        let barrier = Barrier::new(lanes + 1);
        let taken = thread::scope(|scope| {
            for _ in 0..lanes {
                scope.spawn(|| {
                    offer.producer.prepare_thread();
                    counters.iter().for_each(|counter| counter.inc());
                    barrier.wait();
                    barrier.wait();
                });
            }
            barrier.wait();
            let taken = segment(&offer);
            barrier.wait();
            taken
        });
        points.push((lanes as f64, taken?));
    }
    Ok(points)
}

/// Segment and agent, MiB.
fn of_series(setup: &Setup, kind: &str, series: usize) -> Outcome<[f64; 2]> {
    let directory = setup.scratch.directory(&format!("memory-{kind}-{series}"))?;
    let offer = Offer::new(&directory, 110_000, 512)?;
    if kind == "counters" {
        offer.counters("bench_memory_total", series)?.iter().for_each(|counter| counter.inc());
    } else {
        let histograms = offer.histograms("bench_memory_seconds", series)?;
        histograms.iter().for_each(|histogram| histogram.observe(1.0));
    }
    let agent = Agent::start(setup.agent_binary()?, &directory)?;
    let begin = Instant::now();
    while agent.scraped("ringmeter_series")? < series as f64 {
        if begin.elapsed() > PATIENCE {
            return Err(Failure::new(format!("the agent does not show {series} series")));
        }
        sleep(POLL);
    }
    agent.scrape()?;
    Ok([segment(&offer)?, agent.resident_bytes()? as f64 / MEBIBYTE])
}

pub(super) fn growth(setup: &Setup, random: &mut Random) -> Outcome<Found> {
    let mut found = Found::default();
    let lanes = by_lanes(setup)?;
    for (count, taken) in &lanes {
        let title = format!("a segment's memory with {count} lanes and 100 counters");
        let id = format!("memory-lanes-{count}");
        found.figures.push(Figure::of(id, title, "MiB", &[*taken], random));
    }
    let mut curves = Vec::new();
    for kind in ["counters", "histograms"] {
        let mut points = [Vec::new(), Vec::new()];
        let most = if kind == "counters" { usize::MAX } else { HISTOGRAMS_MAX };
        for series in SERIES.into_iter().filter(|series| *series <= most) {
            let taken = of_series(setup, kind, series)?;
            for (index, of) in ["a segment's", "the agent's"].into_iter().enumerate() {
                let title = format!("{of} memory with {series} {kind}, one lane");
                let id = format!("memory-{kind}-{series}-{}", ["segment", "agent"][index]);
                found.figures.push(Figure::of(id, title, "MiB", &[taken[index]], random));
                points[index].push((series as f64, taken[index]));
            }
        }
        let [segment, agent] = points;
        curves.push(Curve { name: format!("segment, {kind}"), points: segment });
        curves.push(Curve { name: format!("agent, {kind}"), points: agent });
    }
    let y = Axis::logarithmic("MiB");
    found.plots.push(Plot {
        id: "memory-series",
        title: "Memory by series of one process, one lane",
        x: Axis::logarithmic("series"),
        y: y.clone(),
        curves,
    });
    found.plots.push(Plot {
        id: "memory-lanes",
        title: "A segment's memory by lanes (recording threads), 100 counters",
        x: Axis::linear("lanes"),
        y: Axis::linear("MiB"),
        curves: vec![Curve { name: "segment".to_owned(), points: lanes }],
    });
    Ok(found)
}
