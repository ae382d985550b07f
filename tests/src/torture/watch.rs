//! Watches scrapes, a hundred a second: what was served once stays served, and nothing is ever
//! more than was recorded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::crew::Crew;
use crate::agent::{Answer, get};
use crate::exposition::Scrape;

const PERIOD: Duration = Duration::from_millis(10);
/// What is told of one watch.
const PROBLEMS_MAX: usize = 20;
const OF_ONE_PROCESS: &str = "ringmeter_agent_process_";

/// What a watch saw.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Scrapes that were answered.
    pub(super) scrapes: u64,
    /// Series that went back, or away.
    pub(super) decreases: u64,
    /// Calls too many, at the worst scrape.
    pub(super) doubled: u64,
    /// Scrapes without all that had been recorded before they were asked for. The agent may do
    /// that when it has too much to read, so this is told and not a problem.
    pub(super) late: u64,
    /// What was wrong.
    pub(super) problems: Vec<String>,
}

/// A thread that scrapes one address all the time, whichever agent is there.
pub(super) struct Watch {
    is_stopped: Arc<AtomicBool>,
    has_problems: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Watch {
    /// Starts watching.
    #[must_use]
    pub(super) fn start(address: SocketAddr, crew: &Arc<Crew>) -> Self {
        let (is_stopped, has_problems) = (Arc::default(), Arc::default());
        let own = (Arc::clone(&is_stopped), Arc::clone(&has_problems), Arc::clone(crew));
        let thread = std::thread::spawn(move || watch(address, &own.0, &own.1, &own.2));
        Self { is_stopped, has_problems, thread }
    }

    /// Whether something was wrong.
    #[must_use]
    pub(super) fn has_problems(&self) -> bool {
        self.has_problems.load(Ordering::Relaxed)
    }

    /// Ends, with what was seen.
    ///
    /// # Panics
    /// When the thread did.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test fails with its thread")]
    pub(super) fn finish(self) -> Seen {
        self.is_stopped.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

fn watch(
    address: SocketAddr,
    is_stopped: &AtomicBool,
    has_problems: &AtomicBool,
    crew: &Crew,
) -> Seen {
    let mut seen = Seen::default();
    let mut values = BTreeMap::new();
    let mut due = Instant::now();
    while !is_stopped.load(Ordering::Relaxed) {
        due += PERIOD;
        match due.checked_duration_since(Instant::now()) {
            Some(early) => std::thread::sleep(early),
            None => due = Instant::now(),
        }
        let before = crew.range();
        let Some(answer) = get(address, "/metrics").filter(is_whole) else { continue };
        let after = crew.range();
        seen.scrapes += 1;
        let scrape = Scrape::parse(&answer.body);
        let mut problems = consistency(&scrape);
        let decreases = decreases(&mut values, &scrape);
        seen.decreases += decreases.len() as u64;
        problems.extend(decreases);
        let excess = after.deviation(&scrape);
        if excess.doubled > 0 {
            seen.doubled = seen.doubled.max(excess.doubled);
            problems.push(format!("more than was recorded: {:?}", excess.problems));
        }
        seen.late += u64::from(before.deviation(&scrape).lost > 0);
        if !problems.is_empty() {
            has_problems.store(true, Ordering::Relaxed);
            let room = PROBLEMS_MAX.saturating_sub(seen.problems.len());
            seen.problems.extend(problems.into_iter().take(room));
        }
    }
    seen
}

/// An answer that was cut off by a kill ends in the middle of a line.
fn is_whole(answer: &Answer) -> bool {
    let head = answer.head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|length| length.trim().parse().ok());
    answer.status == 200 && length == Some(answer.body.len())
}

/// Counting series that are less than they were, or gone. What the agent says of its own process
/// begins anew with every process, as with every exporter.
fn decreases(values: &mut BTreeMap<String, f64>, scrape: &Scrape) -> Vec<String> {
    let ends = ["_total", "_count", "_bucket", "_sum"];
    let is_counting = |series: &str| {
        let name = series.split('{').next().unwrap_or_default();
        ends.iter().any(|end| name.ends_with(end)) && !name.starts_with(OF_ONE_PROCESS)
    };
    let mut problems = Vec::new();
    for (series, before) in values.iter() {
        match scrape.get(series) {
            Some(value) if value >= *before => {}
            found => problems.push(format!("{series}: {before}, then {found:?}")),
        }
    }
    let now = scrape.all().filter(|(series, _)| is_counting(series));
    values.extend(now.map(|(series, value)| (series.to_owned(), value)));
    problems
}

/// A histogram's count is the sum of its buckets, and buckets contain the smaller ones.
fn consistency(scrape: &Scrape) -> Vec<String> {
    let bucket = |le| scrape.value(&format!("torture_histogram_bucket{{le=\"{le}\"}}"));
    let buckets = ["0.5", "1.0", "2.0", "+Inf"].map(bucket);
    let count = scrape.value("torture_histogram_count");
    if buckets.is_sorted() && buckets[3] == count {
        return Vec::new();
    }
    vec![format!("torture_histogram: buckets {buckets:?}, count {count}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_back_or_away_is_told() {
        let mut values = BTreeMap::new();
        let mut told = |text: &str| decreases(&mut values, &Scrape::parse(text)).len();
        assert_eq!(told("a_total 2\nb_count{x=\"y\"} 3\ngauge 9\n"), 0);
        assert_eq!(told("a_total 2\nb_count{x=\"y\"} 4\ngauge 1\n"), 0);
        assert_eq!(told("a_total 1\nb_count{x=\"y\"} 4\n"), 1);
        assert_eq!(told("a_total 1\n"), 1);
        assert_eq!(told("a_total 2\nb_count{x=\"y\"} 4\nringmeter_agent_process_s_total 3\n"), 0);
        assert_eq!(told("a_total 2\nb_count{x=\"y\"} 4\nringmeter_agent_process_s_total 1\n"), 0);
    }

    #[test]
    fn a_count_that_is_not_its_buckets_is_told() {
        let text = |buckets: [u32; 4], count: u32| {
            let [a, b, c, d] = buckets;
            let name = "torture_histogram_bucket";
            format!(
                "{name}{{le=\"0.5\"}} {a}\n{name}{{le=\"1.0\"}} {b}\n{name}{{le=\"2.0\"}} {c}\n\
                 {name}{{le=\"+Inf\"}} {d}\ntorture_histogram_count {count}\n"
            )
        };
        let told = |buckets, count| consistency(&Scrape::parse(&text(buckets, count))).len();
        assert_eq!(told([1, 2, 3, 4], 4), 0);
        assert_eq!(told([1, 2, 3, 4], 5), 1);
        assert_eq!(told([1, 3, 2, 4], 4), 1);
    }
}
