//! What a pod needs: bytes of the volumes, of the application's limit and of the agent's, from the
//! constants of the layout, with the arithmetic shown.
//!
//! The segments' part is exact. The agent's part is a model whose constants were measured;
//! `tests/tests/containers.rs` compares both with running containers.

mod report;

use std::io::{self, Write};

use ringmeter_layout::naming::Kind;
use ringmeter_layout::segment::{CHUNK_ALIGN_BYTES, HEADER_SIZE_BYTES, chunk_aligned_bytes};
use ringmeter_layout::{ack, cell};

use crate::config::SizeConfig;
use crate::ledger::{BLOCK_SIZE_BYTES, HEADER_SIZE_BYTES as LEDGER_HEADER_SIZE_BYTES, SLICE_WORDS};
use crate::limits::Limits;
use crate::memory_limit;

/// What the SDK leaves free below a memory limit (`producer-sdk/src/segment/limits.rs`).
const MEMORY_RESERVE_BYTES: u64 = 1 << 20;
/// The SDK's chunks of cells grow by a quarter of what there is, up to this.
const CELL_CHUNK_MAX_BYTES: u64 = 4 << 20;
/// A metric's definition without its bounds: head 32 B, name, help and label names.
const METRIC_DEFINITION_BYTES: u64 = 160;
/// A series' definition without its label values: head 28 B, a length for each value.
const SERIES_DEFINITION_BYTES: u64 = 32;
/// What the SDK allocates for a series, and as much again for a metric.
const SDK_SERIES_BYTES: u64 = 400;
/// What the SDK allocates once, blank segments in stock included.
const SDK_BASE_BYTES: u64 = 256 << 10;

/// What is resident of the released program itself, of its 8.2 MB.
const AGENT_PROGRAM_BYTES: u64 = 5_270_000;
/// An agent that has nothing to do.
const AGENT_BASE_BYTES: u64 = AGENT_PROGRAM_BYTES + 1_300_000;
/// What the agent keeps of a metric: definition, text of its head.
const AGENT_METRIC_BYTES: u64 = 600;
/// What the agent keeps of a counter or gauge, its line in the rendered text included.
const AGENT_SCALAR_BYTES: u64 = 370;
/// What the agent keeps of a histogram or summary besides its octaves.
const AGENT_DISTRIBUTION_BYTES: u64 = 4_600;
/// Powers of two over which the values of a distribution are assumed to spread: 1 to 256.
const OCTAVES: u64 = 8;
/// Base-2 buckets of one octave: 32 words.
const OCTAVE_BYTES: u64 = SLICE_WORDS as u64 * 8;
/// Slots of a summary's sliding window, the total included.
const SUMMARY_SLOTS: u64 = 6;
/// What the agent keeps of a process, and of each of its series.
const AGENT_PROCESS_BYTES: u64 = 12 << 10;
const AGENT_PROCESS_SERIES_BYTES: u64 = 140;
/// The ledger's own areas that every agent has.
const LEDGER_BLOCKS_BASE: u64 = 16;
/// A file on tmpfs takes whole pages.
const PAGE_BYTES: u64 = 4096;
/// Volumes and limits are rounded up to this.
const MEBIBYTE: u64 = 1 << 20;

/// The sizes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Parts of one segment.
    pub segment: SegmentSizes,
    /// Segments in use.
    pub segments_used_bytes: u64,
    /// Size of the volume for segments: one more, for a process that is being replaced.
    pub segments_volume_bytes: u64,
    /// Ledger, journal and acks in use.
    pub agent_used_bytes: u64,
    /// Size of the volume for the agent's files.
    pub agent_volume_bytes: u64,
    /// What the SDK allocates in a process.
    pub sdk_heap_bytes: u64,
    /// What to add to the application's memory limit.
    pub app_memory_bytes: u64,
    /// The agent's resident memory.
    pub agent_rss_bytes: u64,
    /// The part of it that is the program itself.
    pub agent_program_bytes: u64,
    /// The agent's memory request: resident memory and volume.
    pub agent_request_bytes: u64,
    /// The agent's memory limit.
    pub agent_limit_bytes: u64,
}

/// The parts of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSizes {
    /// Header, live words, control lines, table of chunks.
    pub header_bytes: u64,
    /// Names, labels, bounds.
    pub definitions_bytes: u64,
    /// Cells of gauges.
    pub gauges_bytes: u64,
    /// Cells of everything else.
    pub cells_bytes: u64,
    /// All lanes.
    pub lanes_bytes: u64,
}

impl SegmentSizes {
    fn of(config: &SizeConfig) -> Self {
        let gauge = cell_bytes(config, Kind::Gauge);
        let largest = if config.histograms > 0 {
            cell_bytes(config, Kind::Histogram)
        } else if config.summaries > 0 {
            cell_bytes(config, Kind::Summary)
        } else {
            cell_bytes(config, Kind::Counter)
        };
        Self {
            header_bytes: HEADER_SIZE_BYTES.into(),
            definitions_bytes: chunk_aligned_bytes(definitions_bytes(config)),
            gauges_bytes: grown_bytes(config.gauges * gauge, gauge),
            cells_bytes: grown_bytes(spill_cells_bytes(config), largest),
            lanes_bytes: lanes_bytes(config),
        }
    }

    /// All parts.
    pub const fn total_bytes(&self) -> u64 {
        self.header_bytes
            + self.definitions_bytes
            + self.gauges_bytes
            + self.cells_bytes
            + self.lanes_bytes
    }
}

/// Everything that lanes take in a segment. Whatever else a lane gets is added here, and only
/// here.
fn lanes_bytes(config: &SizeConfig) -> u64 {
    let rings = config.threads * chunk_aligned_bytes(config.lane_capacity.size_bytes());
    rings + lane_cells_bytes(config)
}

/// Chunks for the lanes' cells: several lanes share one.
fn lane_cells_bytes(config: &SizeConfig) -> u64 {
    let per_lane = u64::from(config.lane_cells) * 8;
    let chunk = u64::from(CHUNK_ALIGN_BYTES);
    let lanes_per_chunk = chunk.checked_div(per_lane);
    lanes_per_chunk.map_or(0, |lanes| config.threads.div_ceil(lanes) * chunk)
}

const fn cell_bytes(config: &SizeConfig, kind: Kind) -> u64 {
    let bounds = if matches!(kind, Kind::Histogram) { config.bounds } else { 0 };
    cell::size_bytes(kind, config.spill_schema, bounds)
}

const fn spill_cells_bytes(config: &SizeConfig) -> u64 {
    config.counters * cell_bytes(config, Kind::Counter)
        + config.histograms * cell_bytes(config, Kind::Histogram)
        + config.summaries * cell_bytes(config, Kind::Summary)
}

const fn series(config: &SizeConfig) -> u64 {
    config.counters + config.gauges + config.histograms + config.summaries
}

const fn definitions_bytes(config: &SizeConfig) -> u64 {
    config.metrics * (METRIC_DEFINITION_BYTES + 8 * config.bounds as u64)
        + series(config) * series_definition_bytes(config)
}

const fn series_definition_bytes(config: &SizeConfig) -> u64 {
    (SERIES_DEFINITION_BYTES + config.label_bytes).next_multiple_of(8)
}

/// Chunks that hold `total_bytes` of cells, grown as the SDK grows them; the end of a chunk may
/// be too short for the largest cell.
fn grown_bytes(total_bytes: u64, cell_bytes: u64) -> u64 {
    let (mut placed_bytes, mut usable_bytes) = (0_u64, 0_u64);
    while usable_bytes < total_bytes {
        let wanted = (placed_bytes / 4).clamp(cell_bytes, CELL_CHUNK_MAX_BYTES);
        let length = chunk_aligned_bytes(wanted.max(1));
        placed_bytes += length;
        usable_bytes += length - length % cell_bytes.max(1);
    }
    placed_bytes
}

/// Blocks of the ledger: definitions, totals, buckets, segments.
fn ledger_blocks(config: &SizeConfig) -> u64 {
    let slice_bytes = SLICE_WORDS as u64 * 8;
    let definitions = definitions_bytes(config).div_ceil(slice_bytes);
    // Integer totals; floats, and marks of what was taken from cells, only where there are any.
    let counters = (config.counters * 8).div_ceil(slice_bytes);
    let head = (8 + u64::from(config.bounds) + 1).div_ceil(SLICE_WORDS as u64);
    let distributions = (config.histograms + config.summaries) * (head + OCTAVES);
    let lanes = (config.threads * 24 + 256).div_ceil(slice_bytes);
    LEDGER_BLOCKS_BASE + definitions + counters + distributions + config.processes * lanes
}

fn agent_used_bytes(config: &SizeConfig) -> u64 {
    // Files grow by an eighth, and by 64 blocks at least; on average half of that is unused.
    let blocks = ledger_blocks(config);
    let ledger_blocks = blocks + (blocks / 16).max(32);
    let ledger_bytes = LEDGER_HEADER_SIZE_BYTES + ledger_blocks * BLOCK_SIZE_BYTES;
    // The largest commit: as many new series as are read from each segment at a time.
    let round = u64::from(Limits::default().definitions_per_round);
    let at_once = round.saturating_mul(config.processes).min(series(config));
    let journal_bytes = blocks * BLOCK_SIZE_BYTES * at_once / series(config).max(1);
    ledger_bytes.next_multiple_of(PAGE_BYTES)
        + journal_bytes.next_multiple_of(PAGE_BYTES)
        + config.processes * ack::SIZE_MAX_BYTES.next_multiple_of(PAGE_BYTES)
}

const fn agent_rss_bytes(config: &SizeConfig) -> u64 {
    let scalars = config.counters + config.gauges;
    AGENT_BASE_BYTES
        + config.metrics * AGENT_METRIC_BYTES
        + series(config) * 3 * config.label_bytes
        + scalars * AGENT_SCALAR_BYTES
        + config.histograms * (AGENT_DISTRIBUTION_BYTES + OCTAVES * OCTAVE_BYTES)
        + config.summaries * (AGENT_DISTRIBUTION_BYTES + OCTAVES * OCTAVE_BYTES * SUMMARY_SLOTS)
        + config.processes * (AGENT_PROCESS_BYTES + series(config) * AGENT_PROCESS_SERIES_BYTES)
}

impl Sizes {
    /// Calculates everything.
    pub fn of(config: &SizeConfig) -> Self {
        let segment = SegmentSizes::of(config);
        let segment_bytes = segment.total_bytes();
        let segments_volume_bytes = mebibytes((config.processes + 1) * segment_bytes);
        let agent_used_bytes = agent_used_bytes(config);
        // The journal can be as long as the ledger; the files of a ledger set aside stay.
        let agent_volume_bytes = mebibytes(4 * agent_used_bytes);
        let sdk_heap_bytes = SDK_BASE_BYTES + (series(config) + config.metrics) * SDK_SERIES_BYTES;
        let app_memory_bytes = mebibytes(
            (config.processes + 1) * segment_bytes
                + config.processes * sdk_heap_bytes
                + MEMORY_RESERVE_BYTES,
        );
        let agent_rss_bytes = agent_rss_bytes(config);
        let agent_request_bytes = mebibytes(agent_rss_bytes + agent_used_bytes);
        Self {
            segment,
            segments_used_bytes: config.processes * segment_bytes,
            segments_volume_bytes,
            agent_used_bytes,
            agent_volume_bytes,
            sdk_heap_bytes,
            app_memory_bytes,
            agent_rss_bytes,
            agent_program_bytes: AGENT_PROGRAM_BYTES,
            agent_request_bytes,
            agent_limit_bytes: mebibytes(memory_limit::needed_bytes(
                agent_rss_bytes.saturating_sub(AGENT_BASE_BYTES),
            )),
        }
    }
}

const fn mebibytes(bytes: u64) -> u64 {
    bytes.next_multiple_of(MEBIBYTE)
}

/// Calculates, and writes the answer in the form that was asked for.
///
/// # Errors
///
/// As the stream reports them.
pub fn run(config: &SizeConfig, out: &mut dyn Write) -> io::Result<()> {
    report::write(config, &Sizes::of(config), out)
}

#[cfg(test)]
mod tests;
