//! The agent's processor time by what is offered: beyond the point where records begin to spill
//! it must not grow. Producer and agent each have a processor of their own.

use std::cell::Cell;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ringmeter::Histogram;

use super::Found;
use crate::agent::{Agent, Apart};
use crate::error::{Failure, Outcome};
use crate::figure::Figure;
use crate::offer::{Offer, paced, spinning};
use crate::plot::{Axis, Curve, Plot};
use crate::setup::Setup;
use crate::statistics::{Goal, Random, ratio};

const SERIES: usize = 100;
/// Offered rates, millions a second; above a tenth, the producer spins. Then as fast as it goes.
const RATES: &[f64] = &[0.01, 0.1, 1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0];
const PACED_MAX: f64 = 0.1;
/// A quick run looks for the spill point only.
const QUICK_MIN: f64 = 2.0;
/// Records begin to spill when this share of them does.
const SPILL_SHARE: f64 = 0.01;
/// The nap and the caches settle.
const SETTLE: Duration = Duration::from_millis(25);
const PAIRS: usize = 30;
const RESTS_MAX: u32 = 1000;

/// One stretch of time at one rate.
#[derive(Debug, Clone, Copy)]
struct Window {
    offered_per_s: f64,
    spilled_share: f64,
    cpu_share: f64,
    cpu_s_per_million: f64,
}

struct Bench {
    offer: Offer,
    agent: Agent,
    histograms: Arc<Vec<Histogram>>,
    made: Cell<u64>,
}

impl Bench {
    fn run(&self, millions: f64, time: Duration) -> u64 {
        let per_second = millions * 1e6;
        let made = if millions <= PACED_MAX {
            paced(&self.histograms, per_second, time)
        } else {
            spinning(&self.histograms, per_second, time)
        };
        self.made.set(self.made.get() + made);
        made
    }

    fn window(&self, millions: f64, time: Duration) -> Outcome<Window> {
        self.run(millions, SETTLE);
        let (begin, cpu) = (Instant::now(), self.agent.cpu_time()?);
        let spilled = self.offer.reader.spilled()?;
        let made = self.run(millions, time);
        let spilled = (self.offer.reader.spilled()? - spilled) as f64;
        let cpu = self.agent.cpu_time()?.saturating_sub(cpu).as_secs_f64();
        let wall = begin.elapsed().as_secs_f64();
        Ok(Window {
            offered_per_s: made as f64 / wall,
            spilled_share: spilled / made as f64,
            cpu_share: cpu / wall,
            cpu_s_per_million: cpu / (made as f64 * 1e-6),
        })
    }

    /// Every record is in the totals, by whichever way it came.
    fn check(&self) -> Outcome<()> {
        for _ in 0..RESTS_MAX {
            if self.offer.reader.is_acknowledged()? {
                break;
            }
            sleep(Duration::from_millis(2));
        }
        let page = self.agent.scrape()?;
        let counts = page.lines().filter_map(|line| line.strip_prefix("bench_offered_count{"));
        let taken: f64 =
            counts.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        let made = self.made.get();
        if taken != made as f64 {
            return Err(Failure::new(format!("{taken} of {made} records arrived")));
        }
        Ok(())
    }
}

fn plots(windows: &[Window]) -> Vec<Plot> {
    let points = |y: fn(&Window) -> f64| {
        windows.iter().map(|window| (window.offered_per_s, y(window))).collect::<Vec<_>>()
    };
    let curve = |name: &str, points| Curve { name: name.to_owned(), points };
    vec![
        Plot {
            id: "agent-cpu",
            title: "The agent's processor time by offered rate: one thread, 100 histograms",
            x: Axis::logarithmic("records offered per second"),
            y: Axis::linear("% of a core; % of records"),
            curves: vec![
                curve("agent", points(|window| window.cpu_share * 100.0)),
                curve("spilled records", points(|window| window.spilled_share * 100.0)),
            ],
        },
        Plot {
            id: "agent-cpu-per-million",
            title: "The agent's processor time per million records offered",
            x: Axis::logarithmic("records offered per second"),
            y: Axis::logarithmic("ms per million records"),
            curves: vec![curve("agent", points(|window| window.cpu_s_per_million * 1e3))],
        },
    ]
}

pub(super) fn by_offered_rate(setup: &Setup, random: &mut Random) -> Outcome<Found> {
    let directory = setup.scratch.directory("flat")?;
    let offer = Offer::new(&directory, 1000, 0)?;
    let histograms = offer.histograms("bench_offered", SERIES)?;
    let agent = Agent::start(setup.agent_binary()?, &directory)?;
    let _apart = Apart::from(&agent)?;
    let bench = Bench { offer, agent, histograms, made: Cell::new(0) };
    let mut windows = Vec::new();
    let lowest = setup.extent.pick(QUICK_MIN, 0.0);
    let rates = RATES.iter().copied().filter(|rate| *rate >= lowest).chain([f64::INFINITY]);
    for rate in rates {
        // What the producer cannot offer is offered once, as fast as it goes.
        let is_fast = |(rate, window): &(f64, Window)| window.offered_per_s >= rate * 0.9e6;
        if rate.is_infinite() || windows.last().is_none_or(is_fast) {
            windows.push((rate, bench.window(rate, setup.seconds(0.1, 1.0))?));
        }
    }
    let spills = |(_, window): &&(f64, Window)| window.spilled_share > SPILL_SHARE;
    let (point, at_point) = *windows.iter().find(spills).ok_or_else(|| {
        Failure::new("nothing spilled at any rate: the producer is too slow for this row")
    })?;
    let (mut at, mut beyond) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let mut sides = [(point, &mut at), (f64::INFINITY, &mut beyond)];
        if pair % 2 == 1 {
            sides.reverse();
        }
        for (rate, shares) in sides {
            shares.push(bench.window(rate, setup.seconds(0.05, 0.25))?.cpu_share);
        }
    }
    bench.check()?;
    let fastest = windows.last().map_or(0.0, |(_, window)| window.offered_per_s);
    let title = "agent's processor time at the fastest a producer goes, to that at the spill point";
    let flat = Figure::estimated("agent-flat", title, "ratio", ratio(&beyond, &at, random), PAIRS)
        .wanted(Goal::AtMost(1.5))
        .noted(format!(
            "spill point {:.0} M/s at {:.0} % of a core, fastest {:.0} M/s",
            point,
            at_point.cpu_share * 100.0,
            fastest * 1e-6,
        ));
    let mut figures = vec![flat];
    for (rate, window) in &windows {
        let speed = if rate.is_finite() { format!("{rate} M") } else { "all it can".to_owned() };
        let title = format!("agent's processor time per million records, offered {speed} a second");
        let ms = window.cpu_s_per_million * 1e3;
        let id = format!("agent-cpu-{}", speed.replace(' ', "-"));
        figures.push(Figure::of(id, title, "ms", &[ms], random).noted(format!(
            "{:.2} M records/s, {:.1} % of a core, {:.1} % of records spilled",
            window.offered_per_s * 1e-6,
            window.cpu_share * 100.0,
            window.spilled_share * 100.0,
        )));
    }
    let windows: Vec<Window> = windows.into_iter().map(|(_, window)| window).collect();
    Ok(Found { figures, plots: plots(&windows) })
}
