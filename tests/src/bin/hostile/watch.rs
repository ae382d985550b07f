//! Scrapes all the time: how long they take, what they show of the honest, who is quarantined.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ringmeter_tests::agent::Client;

use crate::honest::{Honest, KINDS, shown};

/// Between two scrapes.
const INTERVAL: Duration = Duration::from_millis(20);

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Milliseconds of each scrape, by phase.
    pub(crate) times: BTreeMap<usize, Vec<f64>>,
    /// The most segments that were quarantined at once, by reason.
    pub(crate) quarantined: BTreeMap<String, u64>,
    pub(crate) problems: Vec<String>,
    pub(crate) scrapes: u64,
    pub(crate) bytes_max: usize,
}

impl Seen {
    /// The time at a quantile of the scrapes in some phases, milliseconds.
    pub(crate) fn at(&self, phases: impl Fn(usize) -> bool, quantile: f64) -> f64 {
        let own = self.times.iter().filter(|(phase, _)| phases(**phase));
        let mut all: Vec<f64> = own.flat_map(|(_, times)| times.iter().copied()).collect();
        all.sort_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let rank = (all.len() as f64 * quantile).ceil() as usize;
        all.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    fn problem(&mut self, text: String) {
        if self.problems.len() < 20 {
            self.problems.push(text);
        }
    }

    fn quarantines(&mut self, text: &str) {
        let start = "ringmeter_segments_quarantined{reason=\"";
        for line in text.lines().filter_map(|line| line.strip_prefix(start)) {
            let Some((reason, value)) = line.split_once("\"} ") else { continue };
            let count = value.parse().unwrap_or(0);
            if count > 0 {
                let most = self.quarantined.entry(reason.to_owned()).or_default();
                *most = count.max(*most);
            }
        }
    }
}

/// Scrapes until told to stop. `phase` says what goes on meanwhile.
pub(crate) fn watch(
    address: SocketAddr,
    honest: &Honest,
    phase: &AtomicUsize,
    is_over: &AtomicBool,
) -> Seen {
    let mut seen = Seen::default();
    let mut client = Client::new(address);
    let mut before = [0; KINDS.len()];
    while !is_over.load(Ordering::Relaxed) {
        let (number, begin) = (phase.load(Ordering::Relaxed), Instant::now());
        let answer = client.get("/metrics").filter(|answer| answer.status == 200);
        let took = begin.elapsed();
        let begun = honest.calls().map(|(_, begun)| begun);
        let Some(answer) = answer else {
            seen.problem(format!("no answer in phase {number} after {took:?}"));
            continue;
        };
        seen.scrapes += 1;
        seen.bytes_max = seen.bytes_max.max(answer.body.len());
        seen.times.entry(number).or_default().push(took.as_secs_f64() * 1000.0);
        seen.quarantines(&answer.body);
        let now = shown(&answer.body);
        for kind in 0..KINDS.len() {
            if now[kind] < before[kind] || now[kind] > begun[kind] {
                let (name, now, before) = (KINDS[kind].1, now[kind], before[kind]);
                let begun = begun[kind];
                seen.problem(format!("{name}: {now}, before {before}, begun {begun}"));
            }
        }
        before = now;
        std::thread::sleep(INTERVAL);
    }
    seen
}
