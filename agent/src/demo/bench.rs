//! `ringmeter bench`: what a record costs on this machine, in one table.
//!
//! The program `record_cost`, an example of the SDK, makes the calls and times them: first without
//! an agent, then with one that reads. The agent that comes then has to show every call of both.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use hyper::StatusCode;
use tokio::runtime;
use tokio::time::Instant;

use super::child::Child;
use super::children::{find, start, start_agent};
use super::error::DemoError;
use super::place::Place;
use super::samples::Samples;
use super::{Signals, unless_interrupted};
use crate::client::Client;
use crate::config::{BenchConfig, EXIT_START, ListenAddress};

const PRODUCER: &str = "recording program";
/// Starting, stopping, registering; the rest is for calls.
const OVERHEAD: Duration = Duration::from_secs(1);
/// Beyond what it was told to take, for the recording program to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// For the agent to show what a dead process has left.
const SCRAPE_PATIENCE: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const LAST_LINES: usize = 15;

/// Measures, and prints the table; errors go to standard error.
///
/// Must be called on the main thread, because the children are bound to it.
pub fn run(config: &BenchConfig) -> ExitCode {
    let table = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| DemoError::Io { purpose: "start the runtime", error })
        .and_then(|runtime| runtime.block_on(bench(config)));
    let written =
        table.and_then(|table| write!(io::stdout().lock(), "{table}").map_err(DemoError::Output));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With nobody to read it, the exit code says it.
            let _ = writeln!(io::stderr().lock(), "ringmeter bench: {error}");
            ExitCode::from(EXIT_START)
        }
    }
}

async fn bench(config: &BenchConfig) -> Result<Table, DemoError> {
    let mut signals =
        Signals::new().map_err(|error| DemoError::Io { purpose: "handle signals", error })?;
    let named = config.producer_binary.as_deref();
    let program = find("record_cost", named)?.map_err(|tried| DemoError::NoProducer { tried })?;
    // Dropped in the opposite order: first the children, then the directory.
    let place = Place::prepare(config.directory.as_deref())?;
    let table = measure(config.duration, &program, place.path());
    let table = unless_interrupted(&mut signals, table).await?;
    place.remove()?;
    Ok(table)
}

async fn measure(duration: Duration, program: &Path, directory: &Path) -> Result<Table, DemoError> {
    let half = duration.saturating_sub(OVERHEAD) / 2;
    let alone = record(program, half, "alone", directory).await?;
    let any_port = ListenAddress::One(([127, 0, 0, 1], 0).into());
    let (_agent, address) = start_agent(&any_port, directory).await?;
    wait_for(address, &[&alone]).await?;
    let live = record(program, half, "live", directory).await?;
    let calls = wait_for(address, &[&alone, &live]).await?;
    Ok(Table { live: live.costs, alone: alone.costs, calls, notes: live.notes })
}

/// What the recording program told.
#[derive(Debug, Default)]
struct Told {
    costs: Vec<Cost>,
    /// Metric and calls.
    calls: Vec<(String, u64)>,
    /// What the table's reader should know.
    notes: Vec<String>,
}

/// Nanoseconds per call: median, 99 % and 99.9 % of batches.
#[derive(Debug, Clone, PartialEq)]
struct Cost {
    title: String,
    ns: [f64; 3],
}

impl Told {
    fn add(&mut self, line: &str) -> Result<(), DemoError> {
        let fields: Vec<&str> = line.split('\t').collect();
        let understood = match fields.as_slice() {
            ["cost", title, median, p99, p999] => {
                let ns = [median, p99, p999].map(|text| text.parse::<f64>().ok());
                let [Some(median), Some(p99), Some(p999)] = ns else {
                    return Err(DemoError::Line { line: line.to_owned() });
                };
                let title = (*title).to_owned();
                self.costs.push(Cost { title, ns: [median, p99, p999] });
                true
            }
            ["calls", metric, number] => match number.parse() {
                Ok(number) => {
                    self.calls.push(((*metric).to_owned(), number));
                    true
                }
                Err(_) => false,
            },
            ["note", text] => {
                self.notes.push((*text).to_owned());
                true
            }
            _ => false,
        };
        if understood { Ok(()) } else { Err(DemoError::Line { line: line.to_owned() }) }
    }
}

/// Runs the recording program to its end.
async fn record(
    program: &Path,
    time: Duration,
    situation: &str,
    directory: &Path,
) -> Result<Told, DemoError> {
    let seconds = format!("{:.3}", time.as_secs_f64());
    let mut child = start(PRODUCER, program, &[&seconds, situation], directory)?;
    let deadline = Instant::now() + time + PATIENCE;
    let status = loop {
        if let Some(status) = child.ended() {
            break status;
        }
        if Instant::now() >= deadline {
            let (awaited, seconds) = ("come to its end", (time + PATIENCE).as_secs());
            let lines = child.last_lines(LAST_LINES);
            return Err(DemoError::NotReady { child: PRODUCER, awaited, seconds, lines });
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    let lines = written(&mut child).await;
    if !status.success() {
        return Err(DemoError::Ended { child: PRODUCER, status, lines });
    }
    let mut told = Told::default();
    lines.iter().try_for_each(|line| told.add(line))?;
    Ok(told)
}

/// All lines of a child that has ended: the threads that read its pipes are a moment behind.
async fn written(child: &mut Child) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let is_read = child.is_read();
        lines.extend(child.new_lines());
        if is_read {
            return lines;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Waits until a scrape shows every call; how many that are.
async fn wait_for(address: SocketAddr, told: &[&Told]) -> Result<u64, DemoError> {
    let mut client = Client::new(address);
    let deadline = Instant::now() + SCRAPE_PATIENCE;
    loop {
        let samples = scrape(&mut client, address).await?;
        let missing = compare(&samples, told);
        match missing {
            Ok(calls) => return Ok(calls),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

async fn scrape(client: &mut Client, address: SocketAddr) -> Result<Samples, DemoError> {
    let url = format!("http://{address}/metrics");
    match client.get("/metrics").await {
        Ok(answer) if answer.status == StatusCode::OK => {
            Ok(Samples::parse(&String::from_utf8_lossy(&answer.body)))
        }
        Ok(answer) => {
            let body = String::from_utf8_lossy(&answer.body).trim().chars().take(200).collect();
            Err(DemoError::ScrapeStatus { url, status: answer.status.as_u16(), body })
        }
        Err(error) => Err(DemoError::Scrape { url, error }),
    }
}

/// All calls that were told, if the samples show each of them.
fn compare(samples: &Samples, told: &[&Told]) -> Result<u64, DemoError> {
    let mut all = 0;
    let metrics = told.iter().flat_map(|told| &told.calls).map(|(metric, _)| metric);
    let mut compared: Vec<&String> = Vec::new();
    for metric in metrics {
        if compared.contains(&metric) {
            continue;
        }
        compared.push(metric);
        let calls = told.iter().flat_map(|told| &told.calls);
        let made = calls.filter(|(name, _)| name == metric).map(|(_, calls)| calls).sum();
        let shown = samples.total(metric);
        if shown != made {
            return Err(DemoError::Counts { metric: metric.clone(), made, shown });
        }
        all += made;
    }
    Ok(all)
}

/// What is printed.
#[derive(Debug)]
struct Table {
    live: Vec<Cost>,
    alone: Vec<Cost>,
    calls: u64,
    notes: Vec<String>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let processor = processor();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        writeln!(f, "Nanoseconds per call on {processor}, {processors} processors to run on\n")?;
        writeln!(f, "{:36} {:^26}  {:^26}", "", "agent reading", "no agent, lane full")?;
        let heads = "  median      99%    99.9%";
        writeln!(f, "{:36} {heads:26}  {heads:26}", "")?;
        for live in &self.live {
            let alone = self.alone.iter().find(|alone| alone.title == live.title);
            writeln!(f, "{:36} {}  {}", live.title, Shown(Some(live)), Shown(alone))?;
        }
        writeln!(
            f,
            "\nBatches of 64 calls in a dense loop, timed; the tail is that of batches. The agent \
             reads in\na process of its own. Only observations and added floats know a full lane: \
             counters and\ngauges do not need an agent. All {} calls are in a scrape.",
            self.calls
        )?;
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

struct Shown<'a>(Option<&'a Cost>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(cost) = self.0 else { return write!(f, "{:26}", "") };
        let mut line = String::new();
        cost.ns.iter().try_for_each(|ns| write!(line, "{ns:8.2} "))?;
        write!(f, "{:26}", line.trim_end())
    }
}

/// The processor's name, where the system tells it.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split(':').nth(1)).map(str::trim);
    name.filter(|name| !name.is_empty()).unwrap_or("this machine").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Told {
        let mut told = Told::default();
        lines.iter().try_for_each(|line| told.add(line)).expect("lines of the program");
        told
    }

    #[test]
    fn a_line_that_means_nothing_is_an_error() {
        for line in ["", "cost\tcounter\t1\t2", "cost\tcounter\t1\tfast\t3", "calls\ta_total\t-1"] {
            let error = Told::default().add(line).expect_err(line);
            assert!(matches!(error, DemoError::Line { .. }));
        }
    }

    #[test]
    fn every_call_of_both_runs_is_asked_for() {
        let both = [&told(&["calls\ta_total\t5"]), &told(&["calls\ta_total\t7", "calls\tb\t1"])];
        let all = Samples::parse("a_total{x=\"1\"} 10\na_total 2\nb 1\n");
        assert_eq!(compare(&all, &both).ok(), Some(13));
        let fewer = Samples::parse("a_total 12\n");
        let error = compare(&fewer, &both).expect_err("b is missing").to_string();
        assert!(error.starts_with("1 calls were made of b, and a scrape shows 0"), "{error}");
    }

    #[test]
    fn the_table_has_a_line_for_each_kind() {
        let live = told(&["note\tA debug build.", "cost\tcounter\t0.71\t0.93\t12.25"]);
        let alone = told(&["cost\tcounter\t0.70\t0.90\t1.00"]).costs;
        let table = Table { live: live.costs, alone, calls: 3, notes: live.notes }.to_string();
        assert!(table.ends_with("\nA debug build.\n"), "{table}");
        let line = table.lines().find(|line| line.starts_with("counter")).expect("a line");
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["counter", "0.71", "0.93", "12.25", "0.70", "0.90", "1.00"]);
    }
}
