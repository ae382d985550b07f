//! How fast the agent sees a death, and how fast it is ready again after its own, with 1,000 lanes
//! and 100,000 series.
//!
//! `cargo build --profile e2e -p ringmeter-agent -p ringmeter-tests --bins --examples`, then
//! `target/e2e/examples/recovery`.
#![expect(clippy::print_stdout, reason = "a measurement that prints")]

use std::time::{Duration, Instant};

use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::worker::Worker;

const SERIES: u32 = 100_000;
const PROCESSES: usize = 16;
const THREADS: usize = 64;
const ROUNDS: usize = 15;

fn main() {
    let directory = Directory::new();
    let mut wide = Worker::start(directory.path(), &format!("wide --series {SERIES}"));
    wide.wait_until_done();
    let arguments = format!("small --threads {THREADS} --series 4");
    let mut workers: Vec<Worker> =
        (0..PROCESSES).map(|_| Worker::start(directory.path(), &arguments)).collect();
    workers.iter_mut().for_each(Worker::wait_until_done);
    let mut agent = Agent::start(directory.path());
    let scrape = agent.scrape();
    println!(
        "recovery: {} lanes, {} series, {} processes",
        scrape.sum("ringmeter_lanes"),
        scrape.value("ringmeter_series"),
        scrape.sum("ringmeter_producers"),
    );
    let mut restarts = Vec::new();
    for _ in 0..ROUNDS {
        agent.process().kill();
        let begin = Instant::now();
        agent = Agent::start(directory.path());
        restarts.push(begin.elapsed());
    }
    tell("agent killed to ready again", restarts);
    // Its segment is removed once everything in it is taken and committed.
    let segments = || directory.segments().len();
    let mut deaths = Vec::new();
    for _ in 0..ROUNDS {
        let Some(mut worker) = workers.pop() else { break };
        let before = segments();
        worker.process().kill();
        let begin = Instant::now();
        while segments() == before && begin.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        deaths.push(begin.elapsed());
    }
    tell("process killed to its segment taken and removed", deaths);
    println!("counted: {}", agent.scrape().value("worker_count_total"));
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (median, most) = (times.get(times.len() / 2), times.last());
    println!("{what}: median {median:?}, most {most:?} of {}", times.len());
}
