//! How much the agent takes from producers, whatever they offer.

/// The limits of what is taken from producers, with the arithmetic; those of the web server are in
/// `web::WebOptions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Segments attached at once: each has two descriptors, and at most 1 µs per visit when idle.
    pub segments_max: usize,
    /// Entries of the segments directory looked at in one listing.
    pub directory_entries_max: usize,
    /// Metrics, conflicting variants included.
    pub families_max: usize,
    /// Variants of one name that contradict one another.
    pub variants_max: usize,
    /// Series over all metrics; beyond, values go to the metric's overflow series.
    pub series_max: usize,
    /// Series that one segment may define; beyond, values go to the overflow series.
    pub series_per_segment_max: usize,
    /// Texts, buckets and marks held on behalf of producers, bytes.
    pub memory_max_bytes: u64,
    /// What is known of the definitions of one segment, bytes; beyond it is refused.
    pub segment_memory_max_bytes: u64,
    /// Spill cells of one segment, bytes; cells beyond are not read.
    pub cells_per_segment_max_bytes: u64,
    /// Definitions read from one segment between two looks at the others.
    pub definitions_per_round: u32,
    /// Records read from one lane between two looks at the others.
    pub records_per_round: u64,
    /// Records read from one segment between two looks at the others.
    pub records_per_step: u64,
    /// A pass ends after this, even if lanes are not empty.
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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segments_max: 1024,
            directory_entries_max: 65_536,
            families_max: 16_384,
            // Each is a deploy that changed the metric while this ledger lives.
            variants_max: 64,
            series_max: 262_144,
            series_per_segment_max: 131_072,
            // 262,144 series at about 700 bytes are 180 MiB; each process that defines a series
            // adds 128 bytes for it.
            memory_max_bytes: 512 << 20,
            // 131,072 series at 128 bytes are 16 MiB; labels of metrics come on top.
            segment_memory_max_bytes: 32 << 20,
            // 30,000 distributions at 2 KiB are 60 MiB.
            cells_per_segment_max_bytes: 64 << 20,
            definitions_per_round: 4096,
            // 64 KiB, which 15 µs are enough for.
            records_per_round: 4096,
            // 1 MiB, which 3 ms are enough for.
            records_per_step: 65_536,
            pass_duration_max_ns: 50_000_000,
            scrape_duration_max_ns: 500_000_000,
            spill_interval_ns: 100_000_000,
            spill_late_after_ns: 5_000_000_000,
            life_interval_ns: 250_000_000,
            tail_failures_max: 3,
        }
    }
}
