//! The smallest instrumented program. Start `ringmeter agent` beside it and scrape the agent.

use ringmeter::{Counter, HistogramVec};

static JOBS: Counter = Counter::new("hello_jobs_total", "Jobs done.");
static TIME: HistogramVec = HistogramVec::new("hello_job_seconds", "Time per job.", &["kind"]);

#[expect(clippy::print_stdout, reason = "a program that shows something")]
fn main() {
    println!("{:?}", ringmeter::Producer::global().status());
    for kind in ["small", "large"].into_iter().cycle().take(5000) {
        TIME.with(&[kind]).time(|| std::thread::sleep(std::time::Duration::from_millis(1)));
        JOBS.inc();
    }
}
