//! The three forms of the answer.

use std::io::{self, Write};

use ringmeter_layout::naming::Kind;
use ringmeter_layout::segment::CHUNK_ALIGN_BYTES;

use super::{Sizes, cell_bytes, definitions_bytes, series, spill_cells_bytes};
use crate::config::{OutputFormat, SizeConfig};

const MEBIBYTE: u64 = 1 << 20;
/// Series that the SDK keeps of a process unless told otherwise: its `SERIES_DEFAULT`.
const SDK_SERIES_DEFAULT: u64 = 10_000;

pub(super) fn write(config: &SizeConfig, sizes: &Sizes, out: &mut dyn Write) -> io::Result<()> {
    match config.output {
        OutputFormat::Text => text(config, sizes, out),
        OutputFormat::Json => json(sizes, out),
        OutputFormat::Yaml => yaml(sizes, out),
    }
}

/// As Kubernetes writes it; all sizes that are configured are whole MiB.
fn quantity(bytes: u64) -> String {
    format!("{}Mi", bytes.div_ceil(MEBIBYTE))
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn row(out: &mut dyn Write, name: &str, arithmetic: &str, bytes: u64) -> io::Result<()> {
    writeln!(out, "  {name:<13} {arithmetic:<54} {:>12}", grouped(bytes))
}

fn text(config: &SizeConfig, sizes: &Sizes, out: &mut dyn Write) -> io::Result<()> {
    let cell = |kind| grouped(cell_bytes(config, kind));
    let chunks = |bytes: u64| bytes / u64::from(CHUNK_ALIGN_BYTES);
    let segment = &sizes.segment;
    writeln!(out, "One segment, bytes; everything in chunks of 64 KiB")?;
    row(out, "header", "", segment.header_bytes)?;
    let needed = grouped(definitions_bytes(config));
    let sum = format!("{} metrics, {} series: {needed} B", config.metrics, series(config));
    row(out, "definitions", &sum, segment.definitions_bytes)?;
    let sum = format!("{} × {} B", config.gauges, cell(Kind::Gauge));
    row(out, "gauges", &sum, segment.gauges_bytes)?;
    let parts = [
        (config.counters, Kind::Counter),
        (config.histograms, Kind::Histogram),
        (config.summaries, Kind::Summary),
    ];
    let parts = parts.map(|(count, kind)| format!("{count} × {}", cell(kind))).join(" + ");
    let sum = format!("{parts} = {} B", grouped(spill_cells_bytes(config)));
    row(out, "cells", &sum, segment.cells_bytes)?;
    let sum = format!(
        "{} threads × ({} records × 16 B + {} cells × 8 B)",
        config.threads,
        config.lane_capacity.records(),
        config.lane_cells
    );
    row(out, "lanes", &sum, segment.lanes_bytes)?;
    let total_bytes = segment.total_bytes();
    row(out, "segment", &format!("{} chunks", chunks(total_bytes)), total_bytes)?;
    if series(config) > SDK_SERIES_DEFAULT {
        let limit = grouped(SDK_SERIES_DEFAULT);
        writeln!(out, "  (More than {limit} series: raise ProducerBuilder::series_max for them.)")?;
    }

    writeln!(out, "\nVolume for segments")?;
    let sum = format!("{} × {}", config.processes, grouped(total_bytes));
    row(out, "in use", &sum, sizes.segments_used_bytes)?;
    let sum = "one more, for a process that is being replaced";
    row(out, &limit("sizeLimit", sizes.segments_volume_bytes), sum, sizes.segments_volume_bytes)?;

    writeln!(out, "\nVolume for the agent's files (one volume for both: the sum of both)")?;
    row(out, "in use", "ledger, journal, acks", sizes.agent_used_bytes)?;
    let sum = "four times: a longer journal, a ledger set aside";
    row(out, &limit("sizeLimit", sizes.agent_volume_bytes), sum, sizes.agent_volume_bytes)?;

    writeln!(out, "\nApplication: add to its own memory limit")?;
    let sum = format!("{} × {}", config.processes + 1, grouped(total_bytes));
    row(out, "segments", &sum, (config.processes + 1) * total_bytes)?;
    row(out, "SDK", "per process, allocated", sizes.sdk_heap_bytes)?;
    row(out, "reserve", "the SDK leaves it free below the limit", super::MEMORY_RESERVE_BYTES)?;
    row(out, &limit("add", sizes.app_memory_bytes), "", sizes.app_memory_bytes)?;

    writeln!(out, "\nAgent")?;
    row(out, "resident", "modelled from measurements", sizes.agent_rss_bytes)?;
    let sum = "resident and its files: tmpfs counts";
    row(out, &limit("request", sizes.agent_request_bytes), sum, sizes.agent_request_bytes)?;
    let sum = "room for detail, its copies on tmpfs, and to spare";
    row(out, &limit("limit", sizes.agent_limit_bytes), sum, sizes.agent_limit_bytes)
}

fn limit(name: &str, bytes: u64) -> String {
    format!("{name} {}", quantity(bytes))
}

fn json(sizes: &Sizes, out: &mut dyn Write) -> io::Result<()> {
    let segment = &sizes.segment;
    let bytes = [
        ("segment_bytes", segment.total_bytes()),
        ("segment_header_bytes", segment.header_bytes),
        ("segment_definitions_bytes", segment.definitions_bytes),
        ("segment_gauges_bytes", segment.gauges_bytes),
        ("segment_cells_bytes", segment.cells_bytes),
        ("segment_lanes_bytes", segment.lanes_bytes),
        ("segments_used_bytes", sizes.segments_used_bytes),
        ("segments_volume_bytes", sizes.segments_volume_bytes),
        ("agent_used_bytes", sizes.agent_used_bytes),
        ("agent_volume_bytes", sizes.agent_volume_bytes),
        ("app_memory_bytes", sizes.app_memory_bytes),
        ("agent_rss_bytes", sizes.agent_rss_bytes),
        ("agent_program_bytes", sizes.agent_program_bytes),
        ("agent_request_bytes", sizes.agent_request_bytes),
        ("agent_limit_bytes", sizes.agent_limit_bytes),
    ];
    let quantities = [
        ("segments_size_limit", sizes.segments_volume_bytes),
        ("agent_size_limit", sizes.agent_volume_bytes),
        ("app_memory", sizes.app_memory_bytes),
        ("agent_memory_request", sizes.agent_request_bytes),
        ("agent_memory_limit", sizes.agent_limit_bytes),
    ];
    let numbers = bytes.map(|(name, bytes)| format!("\"{name}\":{bytes}")).join(",");
    let texts = quantities.map(|(name, bytes)| format!("\"{name}\":\"{}\"", quantity(bytes)));
    writeln!(out, "{{{numbers},{}}}", texts.join(","))
}

/// Values of the library chart in `deploy/helm/ringmeter`.
fn yaml(sizes: &Sizes, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "ringmeter:\n  \
           segmentsSizeLimit: {}\n  \
           agentSizeLimit: {}\n  \
           # To be added to the application's own memory limit.\n  \
           appMemory: {}\n  \
           resources:\n    \
             requests:\n      \
               memory: {}\n    \
             limits:\n      \
               memory: {}",
        quantity(sizes.segments_volume_bytes),
        quantity(sizes.agent_volume_bytes),
        quantity(sizes.app_memory_bytes),
        quantity(sizes.agent_request_bytes),
        quantity(sizes.agent_limit_bytes),
    )
}
