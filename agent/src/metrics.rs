//! What the agent says about itself: one table, from which the metrics are built.

mod process;

use crate::budget::Budget;
use crate::context::Counts;
use crate::limits::Limits;
use crate::quarantine::Reason;
use crate::reject::{ExemplarsDropped, OverflowReason, Overflowed, RejectReason, Rejected};
use crate::snapshot::{FamilyBlock, FamilyMeta, LabelText, Number, Values};
use crate::web_counts::{Refusal, WebCounts};

pub use process::ProcessFacts;

/// Everything that the table reads.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The agent's counters.
    pub counts: &'a Counts,
    /// What was not counted.
    pub rejected: &'a Rejected,
    /// The account of memory.
    pub budget: &'a Budget,
    /// How often the memory limit made the agent give up detail.
    pub memory_refusals: u64,
    /// The ledger.
    pub ledger: LedgerFacts,
    /// Passes so far.
    pub passes: u64,
    /// Scrapes that ran out of time.
    pub scrapes_incomplete: u64,
    /// Live processes by service.
    pub producers: Vec<(String, u64)>,
    /// Segments by state: live, dying, final, quarantined, waiting.
    pub segments: [(&'static str, u64); 5],
    /// Refused segments by reason; every reason that has any.
    pub quarantined: Vec<(Reason, u64)>,
    /// How long the most silent segment of a live process has brought nothing new, nanoseconds.
    pub idle_max_ns: u64,
    /// Lanes owned by a thread, and lanes that are free.
    pub lanes: [(&'static str, u64); 2],
    /// Metrics known.
    pub families: u64,
    /// Contradicting definitions held by live processes and not exposed.
    pub conflicts: u64,
    /// Series known.
    pub series: u64,
    /// The limits in force.
    pub limits: &'a Limits,
    /// Series definitions put into overflow series.
    pub overflowed: &'a Overflowed,
    /// Exemplars that were given up.
    pub exemplars_dropped: &'a ExemplarsDropped,
    /// Series that left because nobody defined them any more.
    pub expired_series: u64,
    /// Metrics that left with them.
    pub expired_families: u64,
    /// Writes of acks that failed.
    pub ack_failures: u64,
    /// Entries of the directory that are no segments.
    pub strangers: u64,
    /// Timing of passes and scrapes.
    pub timing: Timing,
    /// The configuration file.
    pub config: ConfigFacts,
    /// Series by metric.
    pub metric_series: Vec<(String, u64)>,
    /// Pieces of advice by metric; metrics that have any.
    pub lint_problems: Vec<(String, u64)>,
    /// Metrics that were not in the last scrape because another one has their names.
    pub hidden: u64,
    /// The agent's process.
    pub process: ProcessFacts,
    /// What the web server counts.
    pub web: &'a WebCounts,
}

/// What is to be said of the configuration file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfigFacts {
    /// Whether what was read last is in force.
    pub is_successful: bool,
    /// When what is in force was read, seconds since 1970.
    pub success_unix_s: f64,
}

impl Default for ConfigFacts {
    fn default() -> Self {
        Self { is_successful: true, success_unix_s: 0.0 }
    }
}

/// What is to be said of the ledger.
#[derive(Debug, Clone)]
pub struct LedgerFacts {
    /// Whether the last commit is in place.
    pub is_writable: bool,
    /// Commits since it was made.
    pub commits: u64,
    /// Its size.
    pub size_bytes: u64,
    /// How long ago it was made, seconds.
    pub age_s: f64,
    /// How many were set aside, by reason.
    pub set_aside: Vec<(String, u64)>,
}

/// Timing of passes and scrapes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timing {
    /// Passes so far, committed or not.
    pub passes: u64,
    /// Duration of the last commit, acks included, nanoseconds.
    pub commit_ns: u64,
    /// What the last commit wrote, bytes.
    pub commit_bytes: u64,
    /// How long the lanes in which the last pass found records had not been looked at, at most,
    /// nanoseconds.
    pub lag_ns: u64,
    /// Duration of the last pass, nanoseconds.
    pub pass_ns: u64,
    /// Duration of the longest pass since the last scrape, nanoseconds.
    pub pass_max_ns: u64,
    /// Records found waiting at the begin of the last pass.
    pub lag_records: u64,
    /// How full the fullest lane was since the last scrape, 0 to 1.
    pub fill_max: f64,
    /// The shortest nap planned now, nanoseconds.
    pub nap_ns: u64,
    /// Duration of the last scrape up to its snapshot, nanoseconds.
    pub scrape_ns: u64,
    /// Scrapes that were answered before all that was recorded was read.
    pub scrapes_incomplete: u64,
}

/// One metric of the agent.
#[derive(Debug, Clone, Copy)]
pub struct OwnMetric {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// The name of its label, or empty.
    pub label: &'static str,
    read: Read,
}

#[derive(Debug, Clone, Copy)]
enum Read {
    Counter(fn(&Facts<'_>) -> Vec<(String, u64)>),
    Gauge(fn(&Facts<'_>) -> Vec<(String, f64)>),
    /// A counter of seconds.
    Seconds(fn(&Facts<'_>) -> f64),
}

impl OwnMetric {
    const fn counter(
        name: &'static str,
        label: &'static str,
        help: &'static str,
        read: fn(&Facts<'_>) -> Vec<(String, u64)>,
    ) -> Self {
        Self { name, help, label, read: Read::Counter(read) }
    }

    const fn gauge(
        name: &'static str,
        label: &'static str,
        help: &'static str,
        read: fn(&Facts<'_>) -> Vec<(String, f64)>,
    ) -> Self {
        Self { name, help, label, read: Read::Gauge(read) }
    }

    /// What follows `# TYPE` and the name.
    pub fn type_word(&self) -> &'static str {
        match self.read {
            Read::Counter(_) | Read::Seconds(_) => "counter",
            Read::Gauge(_) => "gauge",
        }
    }

    const fn seconds(name: &'static str, help: &'static str, read: fn(&Facts<'_>) -> f64) -> Self {
        Self { name, help, label: "", read: Read::Seconds(read) }
    }

    fn block(&self, facts: &Facts<'_>) -> Option<FamilyBlock> {
        match self.read {
            Read::Counter(read) => Some(self.counters(&read(facts))),
            Read::Gauge(read) => Some(self.gauges(&read(facts))),
            Read::Seconds(read) => {
                let meta = FamilyMeta::counter(self.name, self.help).into();
                let values = Values::Counter(vec![Number::F64(read(facts))]);
                FamilyBlock::new(meta, [LabelText::default()].into(), values).ok()
            }
        }
    }

    fn counters(&self, samples: &[(String, u64)]) -> FamilyBlock {
        let labels = self.labels(samples);
        let samples: Vec<(&[(&str, &str)], u64)> =
            labels.iter().map(Vec::as_slice).zip(samples.iter().map(|sample| sample.1)).collect();
        FamilyBlock::of_counters(self.name, self.help, &samples)
    }

    fn gauges(&self, samples: &[(String, f64)]) -> FamilyBlock {
        let labels = self.labels(samples);
        let samples: Vec<(&[(&str, &str)], f64)> =
            labels.iter().map(Vec::as_slice).zip(samples.iter().map(|sample| sample.1)).collect();
        FamilyBlock::of_gauges(self.name, self.help, &samples)
    }

    fn labels<'a, T>(&self, samples: &'a [(String, T)]) -> Vec<Vec<(&'static str, &'a str)>> {
        let own = |value: &'a str| {
            if self.label.is_empty() { Vec::new() } else { vec![(self.label, value)] }
        };
        samples.iter().map(|(value, _)| own(value)).collect()
    }
}

fn one<T>(value: T) -> Vec<(String, T)> {
    vec![(String::new(), value)]
}

fn seconds(nanoseconds: u64) -> Vec<(String, f64)> {
    one(nanoseconds as f64 / 1e9)
}

fn states(counts: &[(&'static str, u64)]) -> Vec<(String, f64)> {
    counts.iter().map(|(state, count)| ((*state).to_owned(), *count as f64)).collect()
}

/// Every metric of the agent, in the order of their names.
pub const OWN_METRICS: &[OwnMetric] = &[
    OwnMetric::counter(
        "ringmeter_ack_failures_total",
        "",
        "Writes to ack files that failed; the app spills until one succeeds.",
        |facts| one(facts.ack_failures),
    ),
    OwnMetric::gauge(
        "ringmeter_build_info",
        "version",
        "Always 1; the label tells the version of the agent.",
        |_| vec![(env!("CARGO_PKG_VERSION").to_owned(), 1.0)],
    ),
    OwnMetric::counter(
        "ringmeter_cells_deferred_total",
        "",
        "Times that a cell was left unread because a limit was reached; its spill waits in it.",
        |facts| one(facts.counts.cells_deferred),
    ),
    OwnMetric::gauge(
        "ringmeter_config_last_reload_success_timestamp_seconds",
        "",
        "When the configuration in force was read, in seconds since 1970.",
        |facts| one(facts.config.success_unix_s),
    ),
    OwnMetric::gauge(
        "ringmeter_config_last_reload_successful",
        "",
        "1, or 0 if the configuration that was read last has problems: then the one before it is \
         in force.",
        |facts| one(f64::from(u8::from(facts.config.is_successful))),
    ),
    OwnMetric::gauge(
        "ringmeter_directory_strangers",
        "",
        "Entries of the segments directory that are no segments.",
        |facts| one(facts.strangers as f64),
    ),
    OwnMetric::counter(
        "ringmeter_exemplars_dropped_total",
        "reason",
        "Exemplars given up, by reason; what they came with is counted.",
        |facts| facts.exemplars_dropped.by_reason(),
    ),
    OwnMetric::gauge(
        "ringmeter_lag_records",
        "",
        "Records that the last pass found waiting in lanes.",
        |facts| one(facts.timing.lag_records as f64),
    ),
    OwnMetric::gauge(
        "ringmeter_lag_seconds",
        "",
        "Longest time for which lanes in which the last pass found records had not been read.",
        |facts| seconds(facts.timing.lag_ns),
    ),
    OwnMetric::gauge(
        "ringmeter_lane_fill_max_ratio",
        "",
        "How full the fullest lane was found since the last scrape, from 0 to 1.",
        |facts| one(facts.timing.fill_max),
    ),
    OwnMetric::gauge(
        "ringmeter_lanes",
        "state",
        "Lanes of attached segments: claimed by a thread, or free.",
        |facts| states(&facts.lanes),
    ),
    OwnMetric::counter(
        "ringmeter_lanes_rebased_total",
        "",
        "Lanes whose ack was lost: what they held then was left out, so as not to count it twice.",
        |facts| one(facts.counts.lanes_rebased),
    ),
    OwnMetric::gauge(
        "ringmeter_ledger_age_seconds",
        "",
        "Time since the ledger was made.",
        |facts| one(facts.ledger.age_s),
    ),
    OwnMetric::gauge(
        "ringmeter_ledger_commit_bytes",
        "",
        "Bytes that the last commit wrote, journal included.",
        |facts| one(facts.timing.commit_bytes as f64),
    ),
    OwnMetric::gauge(
        "ringmeter_ledger_commit_duration_seconds",
        "",
        "Duration of the last commit, acks included.",
        |facts| seconds(facts.timing.commit_ns),
    ),
    OwnMetric::counter(
        "ringmeter_ledger_commits_total",
        "",
        "Commits since the ledger was made.",
        |facts| one(facts.ledger.commits),
    ),
    OwnMetric::counter(
        "ringmeter_ledger_set_aside_total",
        "reason",
        "Ledgers that could not be gone on with; totals began anew, nothing was counted twice.",
        |facts| facts.ledger.set_aside.clone(),
    ),
    OwnMetric::gauge("ringmeter_ledger_size_bytes", "", "Size of the ledger.", |facts| {
        one(facts.ledger.size_bytes as f64)
    }),
    OwnMetric::gauge(
        "ringmeter_ledger_writable",
        "",
        "1, or 0 while the ledger cannot be written: then values stand still and apps spill.",
        |facts| one(f64::from(u8::from(facts.ledger.is_writable))),
    ),
    OwnMetric::gauge(
        "ringmeter_lint_problems",
        "metric",
        "Pieces of advice on a metric's name, help and labels; ringmeter lint tells them.",
        |facts| facts.lint_problems.iter().map(|(name, n)| (name.clone(), *n as f64)).collect(),
    ),
    OwnMetric::gauge(
        "ringmeter_memory_bytes",
        "",
        "Memory held on behalf of producers: texts, buckets and spill marks.",
        |facts| one(facts.budget.used_bytes() as f64),
    ),
    OwnMetric::gauge(
        "ringmeter_memory_limit_bytes",
        "",
        "Memory that may be held on behalf of producers.",
        |facts| one(facts.budget.limit_bytes() as f64),
    ),
    OwnMetric::counter(
        "ringmeter_memory_refusals_total",
        "",
        "Times that the memory limit made the agent give up detail; totals are kept.",
        |facts| one(facts.memory_refusals),
    ),
    OwnMetric::gauge(
        "ringmeter_metric_series",
        "metric",
        "Series of each metric, as producers have defined them, its overflow series included.",
        |facts| facts.metric_series.iter().map(|(name, n)| (name.clone(), *n as f64)).collect(),
    ),
    OwnMetric::gauge(
        "ringmeter_metrics",
        "",
        "Metrics that producers have defined, contradicting definitions counted apart.",
        |facts| one(facts.families as f64),
    ),
    OwnMetric::gauge(
        "ringmeter_metrics_conflicting",
        "",
        "Definitions of live producers that contradict the one that is exposed under their name.",
        |facts| one(facts.conflicts as f64),
    ),
    OwnMetric::counter(
        "ringmeter_metrics_expired_total",
        "",
        "Metrics that left with their last series.",
        |facts| one(facts.expired_families),
    ),
    OwnMetric::gauge(
        "ringmeter_metrics_hidden",
        "",
        "Metrics left out of the last scrape because their names, or samples', are another's.",
        |facts| one(facts.hidden as f64),
    ),
    OwnMetric::gauge(
        "ringmeter_metrics_limit",
        "",
        "Metrics that there may be, contradicting definitions counted apart.",
        |facts| one(facts.limits.families_max as f64),
    ),
    OwnMetric::counter(
        "ringmeter_metrics_refused_total",
        "reason",
        "Definitions of metrics that were refused, by limit: total, producer (too many in one \
         segment, or more than its share of what is left) or variants (too many that contradict \
         one another). Their records are rejected.",
        |facts| {
            let counts = &facts.counts;
            vec![
                ("total".to_owned(), counts.families_over_total),
                ("producer".to_owned(), counts.families_over_share),
                ("variants".to_owned(), counts.families_over_variants),
            ]
        },
    ),
    OwnMetric::gauge(
        "ringmeter_nap_seconds",
        "",
        "The shortest nap between two visits of a segment, as planned now.",
        |facts| seconds(facts.timing.nap_ns),
    ),
    OwnMetric::counter(
        "ringmeter_overflowed_lookups_total",
        "reason",
        "Lookups that apps answered with an overflow series: limit, or wrong label_count (a bug).",
        |facts| facts.counts.lookups_by_reason(),
    ),
    OwnMetric::counter(
        "ringmeter_panics_total",
        "",
        "Panics of the agent, each a bug: a segment or some observations were given up.",
        |facts| one(facts.counts.panics),
    ),
    OwnMetric::gauge(
        "ringmeter_pass_duration_max_seconds",
        "",
        "Duration of the longest pass since the last scrape.",
        |facts| seconds(facts.timing.pass_max_ns),
    ),
    OwnMetric::gauge(
        "ringmeter_pass_duration_seconds",
        "",
        "Duration of the last pass over the segments that were due.",
        |facts| seconds(facts.timing.pass_ns),
    ),
    OwnMetric::counter(
        "ringmeter_passes_total",
        "",
        "Passes over the segments that were due.",
        |facts| one(facts.passes),
    ),
    OwnMetric::gauge("ringmeter_producers", "service", "Live processes by service.", |facts| {
        facts.producers.iter().map(|(name, n)| (name.clone(), *n as f64)).collect()
    }),
    OwnMetric::counter(
        "ringmeter_records_drained_total",
        "",
        "Records read from lanes; counters that have a cell in each lane make none.",
        |facts| one(facts.counts.drained),
    ),
    OwnMetric::counter(
        "ringmeter_records_dropped_total",
        "reason",
        "Records lost: left in the lanes of a segment that was quarantined while it was read.",
        |facts| vec![("quarantined".to_owned(), facts.counts.dropped)],
    ),
    OwnMetric::counter(
        "ringmeter_records_rejected_total",
        "reason",
        "Records, and parts of cells, that mean nothing: refused by the app or by the agent.",
        |facts| {
            let of = |r: &RejectReason| (r.as_str().to_owned(), facts.rejected.get(*r));
            RejectReason::ALL.iter().map(of).collect()
        },
    ),
    OwnMetric::counter(
        "ringmeter_records_spilled_total",
        "",
        "Records and counts that apps added to shared cells because a lane was full or there was \
         none; not lost.",
        |facts| one(facts.counts.spilled),
    ),
    OwnMetric::gauge(
        "ringmeter_scrape_duration_seconds",
        "",
        "Duration of the scrape before this one, from its request to its snapshot.",
        |facts| seconds(facts.timing.scrape_ns),
    ),
    OwnMetric::counter(
        "ringmeter_scrapes_incomplete_total",
        "",
        "Scrapes answered before all that was recorded was read: the time was over, or a process \
         had published more than records_per_scrape.",
        |facts| one(facts.scrapes_incomplete),
    ),
    OwnMetric::gauge(
        "ringmeter_segment_idle_max_seconds",
        "",
        "Longest time for which a segment that is held has brought nothing new: with its process \
         gone, a child has inherited it and keeps it.",
        |facts| seconds(facts.idle_max_ns),
    ),
    OwnMetric::gauge(
        "ringmeter_segments",
        "state",
        "Segments: live, dying (the last is being read), final (all taken), quarantined, waiting.",
        |facts| states(&facts.segments),
    ),
    OwnMetric::counter(
        "ringmeter_segments_baselined_total",
        "",
        "Segments resumed by an agent whose ledger did not know them: what was in their cells was \
         left out, so as not to count it twice.",
        |facts| one(facts.counts.segments_baselined),
    ),
    OwnMetric::gauge(
        "ringmeter_segments_quarantined",
        "reason",
        "Segments that are not read, by reason.",
        |facts| {
            let of = |(r, n): &(Reason, u64)| (r.as_str().to_owned(), *n as f64);
            facts.quarantined.iter().map(of).collect()
        },
    ),
    OwnMetric::gauge(
        "ringmeter_series",
        "",
        "Series that producers have defined, overflow series included.",
        |facts| one(facts.series as f64),
    ),
    OwnMetric::counter(
        "ringmeter_series_expired_total",
        "",
        "Series that left because nobody has defined them for as long as is retained.",
        |facts| one(facts.expired_series),
    ),
    OwnMetric::gauge(
        "ringmeter_series_limit",
        "",
        "Series that there may be; beyond, values go to the overflow series of their metric.",
        |facts| one(facts.limits.series_max as f64),
    ),
    OwnMetric::counter(
        "ringmeter_series_overflowed_total",
        "reason",
        "Definitions of series that were put into the overflow series of their metric, by limit: \
         total, metric, producer, memory or label_length.",
        |facts| {
            let of = |r: &OverflowReason| (r.as_str().to_owned(), facts.overflowed.get(*r));
            OverflowReason::ALL.iter().map(of).collect()
        },
    ),
    OwnMetric::gauge(
        "ringmeter_web_config_last_reload_success_timestamp_seconds",
        "",
        "When the web configuration in force was read, in seconds since 1970; none without a file.",
        |facts| facts.web.config_success_seconds().map_or_else(Vec::new, |at| one(at as f64)),
    ),
    OwnMetric::gauge(
        "ringmeter_web_config_last_reload_successful",
        "",
        "1, or 0 while the web configuration file or a certificate cannot be used and the old one \
         stays in force; none without a file.",
        |facts| {
            let state = facts.web.is_config_good();
            state.map_or_else(Vec::new, |is_good| one(f64::from(u8::from(is_good))))
        },
    ),
    OwnMetric::gauge(
        "ringmeter_web_connections",
        "",
        "Connections of clients, those for health alone left out.",
        |facts| one(facts.web.connections() as f64),
    ),
    OwnMetric::counter(
        "ringmeter_web_refused_total",
        "reason",
        "Connections and requests that the web server turned away since the agent started.",
        |facts| {
            let of = |r: &Refusal| (r.as_str().to_owned(), facts.web.refused(*r));
            Refusal::ALL.iter().map(of).collect()
        },
    ),
];

/// Every metric of the agent.
pub fn all() -> impl Iterator<Item = &'static OwnMetric> {
    OWN_METRICS.iter().chain(process::PROCESS_METRICS)
}

/// The agent's own families of one snapshot.
pub fn blocks(facts: &Facts<'_>) -> Vec<FamilyBlock> {
    all().filter_map(|metric| metric.block(facts)).collect()
}
