//! From the pipeline's state to a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Pipeline;
use crate::context::Counts;
use crate::ledger::Reason as LedgerReason;
use crate::metrics::{self, Facts, LedgerFacts, ProcessFacts, Timing};
use crate::quarantine::Reason;
use crate::segment::{Phase, Segment};
use crate::series::Conflict;
use crate::snapshot::{FamilyBlock, Snapshot};

impl Pipeline {
    /// Everything that is committed. A pass of all segments comes before. While the ledger cannot
    /// be written, that is what was served last, with the agent's own gauges as they are now.
    pub fn snapshot(&mut self, now_ns: u64) -> Arc<Snapshot> {
        self.generation += 1;
        let mut blocks = if self.is_stuck() { self.last_blocks() } else { self.app_blocks(now_ns) };
        if self.shows_own {
            blocks.extend(self.own_blocks(now_ns));
        }
        self.timing.pass_max_ns = self.timing.pass_ns;
        self.timing.fill_max = 0.0;
        self.last = Arc::new(Snapshot::new(self.generation, blocks));
        Arc::clone(&self.last)
    }

    fn last_blocks(&self) -> Vec<FamilyBlock> {
        let is_own = |name: &str| metrics::all().any(|metric| metric.name == name);
        let blocks = self.last.families().iter();
        blocks.filter(|block| !is_own(block.meta().name())).cloned().collect()
    }

    fn app_blocks(&mut self, now_ns: u64) -> Vec<FamilyBlock> {
        let mut names: Vec<(u64, String)> =
            self.segments.iter().map(|s| (s.serial, process_name(&s.geometry.id))).collect();
        names.sort_unstable();
        let name = |serial: u64| {
            let at = names.binary_search_by_key(&serial, |(serial, _)| *serial);
            at.ok().and_then(|at| names.get(at)).map_or_else(String::new, |own| own.1.clone())
        };
        let live = self.segments.iter().filter(|segment| segment.phase == Phase::Live);
        let samples = live.flat_map(|segment| segment.cells.samples(segment.serial));
        let mut blocks = self.view.blocks(&mut self.aggregate, samples, name, now_ns);
        for hidden in self.names.keep_apart(&mut blocks) {
            if self.log_limit.allows(now_ns) {
                tracing::warn!(
                    metric = &*hidden.name,
                    shown = &*hidden.shown,
                    sample = &*hidden.sample,
                    "metric hidden: it would have the same name as another one, or a sample of it; \
                     rename one of them"
                );
            }
        }
        blocks
    }

    /// Says which definitions contradict those that are exposed, and whose both are.
    pub(super) fn tell_conflicts(&mut self, now_ns: u64) {
        for Conflict { hidden, exposed } in self.aggregate.registry().take_conflicts() {
            let segment = |id: u32| {
                let mut own = self.segments.iter();
                let found = own.find(|own| own.definitions.families().any(|own| own == id));
                found.map_or_else(String::new, |own| own.name.segment_file().as_str().to_owned())
            };
            let (hidden_in, exposed_in) = (segment(hidden), segment(exposed));
            let registry = self.aggregate.registry();
            let Some((own, other)) = registry.family(hidden).zip(registry.family(exposed)) else {
                continue;
            };
            if self.log_limit.allows(now_ns) {
                tracing::warn!(
                    metric = own.meta.name(),
                    difference = own.shape.difference(&other.shape),
                    segment = hidden_in,
                    exposed = exposed_in,
                    "metric hidden: processes define it differently; the definition that was first \
                     is exposed until none of its processes is left"
                );
            }
        }
    }

    /// What the agent counted since it started.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How long the last pass took, and its parts.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Notes how long the last scrape took, for the next one to tell.
    pub fn note_scrape(&mut self, duration_ns: u64, is_complete: bool) {
        self.timing.scrape_ns = duration_ns;
        self.timing.scrapes_incomplete += u64::from(!is_complete);
    }

    fn own_blocks(&mut self, now_ns: u64) -> Vec<FamilyBlock> {
        let (families, series, conflicts) = {
            let registry = self.aggregate.registry();
            (registry.family_count(), registry.series_count(), registry.conflict_count())
        };
        let [metric_series, lint_problems] = self.by_metric();
        let is_live = |phase| phase == Phase::Live;
        let is_starved = |segment: &&Segment| segment.definitions.was_starved();
        let starved = self.segments.iter().filter(is_starved).count() as u64;
        let read = || self.segments.iter().filter(|segment| !is_starved(segment));
        let live = read().filter(|segment| is_live(segment.phase)).count() as u64;
        let held = || self.segments.iter().filter(|segment| is_live(segment.phase));
        let lanes = || self.segments.iter().flat_map(|segment| &segment.lanes);
        let claimed = lanes().filter(|lane| lane.is_claimed).count() as u64;
        let free = lanes().count() as u64 - claimed;
        let shown = self.shown();
        let set_aside = LedgerReason::ALL.iter().zip(shown.set_aside);
        let facts = Facts {
            counts: &shown.counts,
            rejected: &shown.rejected,
            memory_refusals: shown.memory_refusals,
            ledger: LedgerFacts {
                is_writable: !self.is_stuck(),
                commits: self.ledger.sequence(),
                size_bytes: self.ledger.size_bytes(),
                age_s: self.ledger_age_s(),
                set_aside: set_aside.map(|(reason, n)| (reason.as_str().to_owned(), n)).collect(),
            },
            budget: self.aggregate.memory(),
            producers: self.producers(),
            segments: [
                ("live", live),
                ("dying", read().count() as u64 - live),
                ("final", self.finals.len() as u64),
                ("quarantined", self.refused.len() as u64 + starved),
                ("waiting", self.waiting),
            ],
            quarantined: self.quarantined(starved),
            idle_max_ns: held().map(|segment| segment.idle_ns(now_ns)).max().unwrap_or(0),
            lanes: [("claimed", claimed), ("free", free)],
            families: families as u64,
            conflicts: conflicts as u64,
            series: series as u64,
            overflowed: &shown.overflowed,
            exemplars_dropped: &shown.exemplars_dropped,
            expired_series: shown.expired_series,
            expired_families: shown.expired_families,
            limits: &self.limits,
            ack_failures: shown.ack_failures,
            passes: shown.passes,
            scrapes_incomplete: shown.scrapes_incomplete,
            strangers: self.strangers,
            timing: self.timing,
            config: self.config,
            metric_series,
            lint_problems,
            hidden: self.names.hidden_count() + self.last.duplicates_dropped(),
            process: ProcessFacts::read(self.start_unix_s),
            web: &self.web,
        };
        metrics::blocks(&facts)
    }

    /// Series and pieces of advice of each exposed metric.
    fn by_metric(&mut self) -> [Vec<(String, u64)>; 2] {
        let (mut series, mut problems) = (Vec::new(), Vec::new());
        for (_, family) in self.aggregate.registry().exposed() {
            let name = family.meta.name();
            series.push((name.to_owned(), family.series_count() as u64));
            let count = family.lint_count();
            if count > 0 {
                problems.push((name.to_owned(), u64::from(count)));
            }
        }
        [series, problems]
    }

    fn ledger_age_s(&self) -> f64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let created = Duration::from_nanos(self.ledger.created_unix_ns());
        now.saturating_sub(created).as_secs_f64()
    }

    fn producers(&self) -> Vec<(String, u64)> {
        let mut producers: BTreeMap<&str, u64> = BTreeMap::new();
        for segment in self.segments.iter().filter(|segment| segment.phase == Phase::Live) {
            *producers.entry(&segment.geometry.service).or_default() += 1;
        }
        producers.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
    }

    fn quarantined(&self, starved: u64) -> Vec<(Reason, u64)> {
        let own =
            |(reason, count)| (reason, if reason == Reason::Starved { starved } else { count });
        self.refused.counts().map(own).collect()
    }
}

/// The first half of the segment's random id: a process id means nothing across containers.
fn process_name(id: &[u8; 16]) -> String {
    let mut name = String::with_capacity(16);
    for byte in id.iter().take(8) {
        for digit in [byte >> 4, byte & 0xf] {
            name.extend(char::from_digit(digit.into(), 16));
        }
    }
    name
}
