//! How much the agent takes from producers, whatever they offer: one table of settings.
//!
//! Beyond a limit detail is given up and counted, totals are kept. Limits of one segment protect
//! the others. On top of them holds one rule of fairness: *a segment gets no more of what all
//! share (series, metrics, memory) once it has as much as is left*. One segment alone gets half
//! at most, n of them leave one part in n + 1, and what one of them took earlier does not matter.
//!
//! The limits of the web server are in `web::WebOptions`; those of names and labels that no
//! setting can widen are in `ringmeter_layout::naming`.

use std::fmt;

use ringmeter_layout::naming::LABEL_VALUE_LENGTH_MAX_BYTES;

/// The limits of what is taken from producers: plain data, checked by [`Limits::validate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Segments attached at once. Each has two descriptors, and takes 1 µs per visit when idle.
    /// Further ones wait, their processes count on, and nothing of theirs is lost.
    pub segments_max: usize,
    /// Entries of the segments directory up to which a listing is complete, so that files which
    /// are gone are forgotten. It takes about 1 µs each, in pieces where there are many.
    pub directory_entries_max: usize,
    /// Metrics, conflicting variants included. Records in further ones are rejected and counted.
    pub families_max: usize,
    /// Metrics that a segment may define before none that is new is taken from it.
    pub families_per_segment_max: usize,
    /// Variants of one name that contradict one another: each is a deployment that changed the
    /// metric. A segment can define one. Records in further ones are rejected and counted.
    pub variants_max: usize,
    /// Series over all metrics; beyond, values go to the metric's overflow series.
    pub series_max: usize,
    /// Series of one metric, its overflow series included; beyond, values go to that one.
    pub series_per_family_max: usize,
    /// Series that one segment may define; beyond, values go to the overflow series unless
    /// another segment has defined the series.
    pub series_per_segment_max: usize,
    /// Longest label value; a series with a longer one is counted in the overflow series.
    pub label_value_max_bytes: usize,
    /// Definitions held on behalf of producers, buckets and marks, bytes. Half of it is for
    /// buckets, three quarters for these and series, the rest for what totals depend on.
    pub memory_max_bytes: u64,
    /// What is known of one segment, bytes: definitions (beyond it is refused) and marks of what
    /// was taken from its cells (beyond, spill waits in them).
    pub segment_memory_max_bytes: u64,
    /// Spill cells of one segment, bytes; cells beyond are not read.
    pub cells_per_segment_max_bytes: u64,
    /// Definitions read from one segment between two looks at the others.
    pub definitions_per_round: u32,
    /// Records of 16 bytes read from one lane between two looks at the others.
    pub records_per_round: u64,
    /// Records read from one segment between two looks at the others.
    pub records_per_step: u64,
    /// Records read from one segment in a pass, and four times as many in that of a scrape while
    /// there are definitions to read. A definition counts as many as it takes the time of: 256.
    pub records_per_pass: u64,
    /// Records of one segment that a scrape waits for. Of a segment that has published more it
    /// waits for one round alone: the rest is read later, and the scrape counts as incomplete.
    pub records_per_scrape: u64,
    /// Records read from one segment in a second, on average; a tenth of it may come at once. What
    /// is not read in time, the app adds to cells, so nothing is lost.
    pub records_per_second: u64,
    /// A pass that is not for a scrape ends after this. It reads lanes for a millisecond, and then
    /// cells of as many segments as there is time for, of one at least.
    pub pass_duration_max_ns: u64,
    /// A pass for a scrape may take this long.
    pub scrape_duration_max_ns: u64,
    /// Cells are read at most once in this time (and at every scrape), unless a process died.
    pub spill_interval_ns: u64,
    /// Spill older than this does not enter sliding windows.
    pub spill_late_after_ns: u64,
    /// How often liveness is asked for.
    pub life_interval_ns: u64,
    /// A tail that cannot be right is read again in this many passes.
    pub tail_failures_max: u32,
    /// A series leaves this long after the last segment that defined it; so does a metric. With
    /// `None` they stay. Silence of a segment that is there is never a reason. A series that comes
    /// back starts at zero, which Prometheus takes for a reset. An agent that was restarted waits
    /// anew.
    pub retention_ns: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segments_max: 1024,
            // Four times as many as there may be segments. At most a tenth of one thread's time
            // goes into listings, besides those of scrapes.
            directory_entries_max: 4096,
            families_max: 16_384,
            families_per_segment_max: 4096,
            variants_max: 64,
            series_max: 262_144,
            series_per_family_max: 131_072,
            series_per_segment_max: 131_072,
            label_value_max_bytes: LABEL_VALUE_LENGTH_MAX_BYTES,
            // 262,144 series at about 700 bytes are 180 MiB; each process that defines a series
            // adds 128 bytes for it.
            memory_max_bytes: 512 << 20,
            // 131,072 series at 128 bytes are 16 MiB; labels of metrics and marks, which are as
            // large as the cells that were used, come on top.
            segment_memory_max_bytes: 96 << 20,
            // 30,000 distributions at 2 KiB are 60 MiB.
            cells_per_segment_max_bytes: 64 << 20,
            definitions_per_round: 4096,
            // 64 KiB, which 30 µs are enough for.
            records_per_round: 4096,
            // 256 KiB, which 0.2 ms are enough for: a scrape that comes meanwhile waits for it.
            records_per_step: 16_384,
            // 16 MiB, which 10 ms are enough for; 256 lanes of the usual length hold as many.
            records_per_pass: 1 << 20,
            // All that 64 lanes of the usual length hold: 3 ms.
            records_per_scrape: 1 << 18,
            // Most of what one core can read; two threads of an app write up to 400 million.
            records_per_second: 100_000_000,
            pass_duration_max_ns: 50_000_000,
            scrape_duration_max_ns: 500_000_000,
            spill_interval_ns: 100_000_000,
            spill_late_after_ns: 5_000_000_000,
            life_interval_ns: 250_000_000,
            tail_failures_max: 3,
            retention_ns: None,
        }
    }
}

/// A limit that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitError {
    /// The field of [`Limits`].
    pub field: &'static str,
    /// What it says.
    pub value: u64,
    /// The smallest value that can be used.
    pub least: u64,
    /// The largest value that can be used.
    pub most: u64,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, least, most } = self;
        write!(f, "{field}: {value} is not from {least} to {most}")
    }
}

impl std::error::Error for LimitError {}

/// Name, value, smallest and largest usable value.
type Row = (&'static str, u64, u64, u64);

const MILLISECOND_NS: u64 = 1_000_000;
const SECOND_NS: u64 = 1000 * MILLISECOND_NS;
/// A restart reads everything that was retained, so even a year is generous.
pub const RETENTION_MAX_NS: u64 = 366 * 24 * 3600 * SECOND_NS;

impl Limits {
    /// Checks every field against what it may be.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), LimitError> {
        let rows = self.counts().into_iter().chain(self.sizes()).chain(self.times());
        for (field, value, least, most) in rows {
            if !(least..=most).contains(&value) {
                return Err(LimitError { field, value, least, most });
            }
        }
        Ok(())
    }

    fn counts(&self) -> [Row; 9] {
        let families_max = self.families_max as u64;
        let series_max = self.series_max as u64;
        [
            ("segments_max", self.segments_max as u64, 1, 16_384),
            ("directory_entries_max", self.directory_entries_max as u64, 64, 1 << 20),
            ("families_max", families_max, 1, FAMILIES_LIMIT as u64),
            ("families_per_segment_max", self.families_per_segment_max as u64, 1, families_max),
            ("variants_max", self.variants_max as u64, 1, 1024),
            ("series_max", series_max, 1, SERIES_LIMIT as u64 / 2),
            // The overflow series, and one more.
            ("series_per_family_max", self.series_per_family_max as u64, 2, series_max.max(2)),
            ("series_per_segment_max", self.series_per_segment_max as u64, 1, series_max),
            ("tail_failures_max", self.tail_failures_max.into(), 1, 1000),
        ]
    }

    fn sizes(&self) -> [Row; 10] {
        let (pass, second) = (self.records_per_pass, self.records_per_second);
        let label = self.label_value_max_bytes as u64;
        [
            ("label_value_max_bytes", label, 16, LABEL_VALUE_LENGTH_MAX_BYTES as u64),
            ("memory_max_bytes", self.memory_max_bytes, 16 << 20, 64 << 30),
            (
                "segment_memory_max_bytes",
                self.segment_memory_max_bytes,
                1 << 20,
                self.memory_max_bytes,
            ),
            ("cells_per_segment_max_bytes", self.cells_per_segment_max_bytes, 1 << 20, 1 << 30),
            ("definitions_per_round", self.definitions_per_round.into(), 1, 65_536),
            ("records_per_round", self.records_per_round, 64, 1 << 20),
            ("records_per_step", self.records_per_step, 64, 1 << 24),
            ("records_per_pass", pass, 65_536, 1 << 30),
            ("records_per_scrape", self.records_per_scrape, 4096, 1 << 30),
            // One pass in a tenth of a second has to be possible.
            ("records_per_second", second, pass.saturating_mul(10), 1 << 40),
        ]
    }

    fn times(&self) -> [Row; 6] {
        let retention_ns = self.retention_ns.unwrap_or(RETENTION_MAX_NS);
        let pass_ns = self.pass_duration_max_ns;
        [
            ("pass_duration_max_ns", pass_ns, MILLISECOND_NS, SECOND_NS),
            ("scrape_duration_max_ns", self.scrape_duration_max_ns, pass_ns, 10 * SECOND_NS),
            ("spill_interval_ns", self.spill_interval_ns, MILLISECOND_NS, 10 * SECOND_NS),
            ("spill_late_after_ns", self.spill_late_after_ns, SECOND_NS, 3600 * SECOND_NS),
            ("life_interval_ns", self.life_interval_ns, MILLISECOND_NS, SECOND_NS),
            ("retention_ns", retention_ns, SECOND_NS, RETENTION_MAX_NS),
        ]
    }
}

/// Metrics that a ledger can number.
pub const FAMILIES_LIMIT: usize = 1 << 17;
/// Series that a ledger can number, overflow series included; so many slots of each kind, too.
pub const SERIES_LIMIT: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_each_wrong_field_is_named() {
        assert_eq!(Limits::default().validate(), Ok(()));
        let broken = Limits { series_per_segment_max: 262_145, ..Limits::default() };
        let error = broken.validate().unwrap_err();
        assert_eq!(error.to_string(), "series_per_segment_max: 262145 is not from 1 to 262144");
        let broken = Limits { retention_ns: Some(5), ..Limits::default() };
        assert_eq!(broken.validate().unwrap_err().field, "retention_ns");
        let broken = Limits { records_per_second: 1 << 20, ..Limits::default() };
        assert_eq!(broken.validate().unwrap_err().least, 10 << 20);
        let broken = Limits { label_value_max_bytes: 4096, ..Limits::default() };
        assert_eq!(broken.validate().unwrap_err().most, 1024);
    }

    #[test]
    fn every_field_has_a_range() {
        // Each field of the debug text has a row, so that a new one is not forgotten.
        let limits = Limits::default();
        let text = format!("{limits:?}");
        let rows = limits.counts().len() + limits.sizes().len() + limits.times().len();
        assert_eq!(text.matches(": ").count(), rows);
    }
}
