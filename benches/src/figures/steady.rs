//! A steady million records a second on each of two threads: does the agent come in time?

use std::thread::{self, sleep};
use std::time::Duration;

use super::Found;
use crate::agent::Agent;
use crate::error::{Failure, Outcome};
use crate::figure::Figure;
use crate::offer::{Offer, paced};
use crate::setup::Setup;
use crate::statistics::{Estimate, Goal, Random};

const THREADS: usize = 2;
const PER_SECOND: u32 = 1_000_000;
const SERIES: usize = 100;
const FIRST: Duration = Duration::from_secs(1);

/// What one go found.
struct Go {
    first_share: f64,
    later_spilled: f64,
    later_made: u64,
}

/// Idle, then a second that begins suddenly, then some more.
fn go(offer: &Offer, idle: Duration, later: Duration) -> Outcome<Go> {
    let histograms = offer.histograms("bench_steady", SERIES)?;
    sleep(idle);
    let run = |time: Duration| -> u64 {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| scope.spawn(|| paced(&histograms, PER_SECOND.into(), time)))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
        })
    };
    let before = offer.reader.spilled()?;
    let first_made = run(FIRST);
    let between = offer.reader.spilled()?;
    let later_made = run(later);
    let after = offer.reader.spilled()?;
    if first_made < u64::from(PER_SECOND) / 2 * THREADS as u64 {
        return Err(Failure::new(format!("only {first_made} records in the first second")));
    }
    Ok(Go {
        first_share: (between - before) as f64 / first_made as f64 * 100.0,
        later_spilled: (after - between) as f64,
        later_made,
    })
}

pub(super) fn rate(setup: &Setup, random: &mut Random) -> Outcome<Found> {
    let directory = setup.scratch.directory("steady")?;
    let offer = Offer::new(&directory, 1000, 0)?;
    let _agent = Agent::start(setup.agent_binary()?, &directory)?;
    let later = setup.seconds(0.8, 3.0);
    let idle = setup.seconds(0.8, 2.0);
    let goes: Outcome<Vec<Go>> =
        (0..setup.extent.pick(3, 8)).map(|_| go(&offer, idle, later)).collect();
    let goes = goes?;
    let of = |value: fn(&Go) -> f64| goes.iter().map(value).collect::<Vec<f64>>();
    let made: u64 = goes.iter().map(|go| go.later_made).sum();
    // The worst go counts; the interval is from the best to the worst.
    let spilled = of(|go| go.later_spilled);
    let most = spilled.iter().copied().fold(0.0, f64::max);
    let least = spilled.iter().copied().fold(f64::INFINITY, f64::min);
    let estimate = Estimate { value: most, low: least, high: most };
    let title = "records spilled at a steady 1 M records/s on each of two threads";
    let steady = Figure::estimated("steady-spilled", title, "records", estimate, goes.len())
        .wanted(Goal::AtMost(0.0))
        .noted(format!("the worst of {} goes; {made} records in all", goes.len()));
    let title = "share of records spilled in the first second after idling, two threads";
    let shares = of(|go| go.first_share);
    let after_idle =
        Figure::of("steady-after-idle", title, "%", &shares, random).wanted(Goal::AtMost(10.0));
    Ok(vec![steady, after_idle].into())
}
