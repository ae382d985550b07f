//! The agent with many producing processes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Found;
use crate::agent::Agent;
use crate::error::{Failure, Outcome};
use crate::figure::Figure;
use crate::offer::{Offer, paced};
use crate::setup::Setup;
use crate::statistics::Random;

/// The first word of a worker's command line.
pub const WORKER: &str = "worker";

const PROCESSES: [usize; 3] = [1, 8, 64];
/// Over all processes, and nothing at all.
const PER_SECOND: [u32; 2] = [1_000_000, 0];
const SERIES: usize = 100;
const TAKEN: &str = "bench_worker_count{";
const WINDOW: Duration = Duration::from_millis(200);
const WINDOWS: usize = 30;
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Records at a rate until it is killed.
///
/// # Errors
/// When the command line is not a worker's, or there is no segment to be had.
pub fn work(arguments: &[String]) -> Outcome<()> {
    let [directory, per_second] = arguments else {
        return Err(Failure::new("worker DIRECTORY RECORDS_PER_SECOND"));
    };
    let per_second: f64 = per_second.parse().map_err(|_| Failure::new("no rate"))?;
    let offer = Offer::new(Path::new(directory), 1000, 512)?;
    let histograms = offer.histograms("bench_worker", SERIES)?;
    histograms.iter().for_each(|histogram| histogram.observe(1.0));
    loop {
        if per_second > 0.0 {
            paced(&histograms, per_second, PATIENCE);
        } else {
            sleep(PATIENCE);
        }
    }
}

/// Workers that end with this.
struct Workers(Vec<Child>);

impl Workers {
    fn start(directory: &Path, count: usize, per_second: f64) -> Outcome<Self> {
        let mut workers = Self(Vec::new());
        for _ in 0..count {
            let worker = Command::new(std::env::current_exe()?)
                .arg(WORKER)
                .arg(directory)
                .arg(per_second.to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()?;
            workers.0.push(worker);
        }
        Ok(workers)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &mut self.0 {
            // It may have ended by itself, which the figures would show.
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

/// The sum of the samples whose line begins so.
fn sum(agent: &Agent, name: &str) -> Outcome<f64> {
    let page = agent.scrape()?;
    let samples = page.lines().filter_map(|line| line.strip_prefix(name));
    Ok(samples.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

pub(super) fn many(setup: &Setup, random: &mut Random) -> Outcome<Found> {
    let mut figures = Vec::new();
    for processes in PROCESSES {
        for per_second in PER_SECOND {
            let name = format!("processes-{processes}-{per_second}");
            let directory = setup.scratch.directory(&name)?;
            let agent = Agent::start(setup.agent_binary()?, &directory)?;
            let each = f64::from(per_second) / processes as f64;
            let workers = Workers::start(&directory, processes, each)?;
            let begin = Instant::now();
            while sum(&agent, "ringmeter_producers{")? < processes as f64 {
                if begin.elapsed() > PATIENCE {
                    return Err(Failure::new(format!(
                        "the agent does not see {processes} processes"
                    )));
                }
                sleep(POLL);
            }
            sleep(Duration::from_secs(1));
            let before = sum(&agent, TAKEN)?;
            let (mut shares, begin) = (Vec::new(), Instant::now());
            for _ in 0..WINDOWS {
                let (window, cpu) = (Instant::now(), agent.cpu_time()?);
                sleep(WINDOW);
                let used = agent.cpu_time()?.saturating_sub(cpu).as_secs_f64();
                shares.push(used / window.elapsed().as_secs_f64() * 100.0);
            }
            let made = (sum(&agent, TAKEN)? - before) / begin.elapsed().as_secs_f64();
            drop(workers);
            let what = if per_second == 0 { "idle" } else { "1 M records/s together" };
            let title = format!("agent's processor time, {processes} processes, {what}");
            figures.push(
                Figure::of(name, title, "% of a core", &shares, random)
                    .noted(format!("{:.3} M records/s taken", made * 1e-6)),
            );
        }
    }
    Ok(figures.into())
}
