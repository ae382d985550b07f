use super::*;
use crate::config::{SizeArguments, SizeConfig};

fn config(written: SizeArguments) -> SizeConfig {
    SizeConfig::check(&written).expect("a good configuration")
}

fn text(number: u64) -> Option<String> {
    Some(number.to_string())
}

fn output(written: SizeArguments) -> String {
    let mut bytes = Vec::new();
    run(&config(written), &mut bytes).expect("written to memory");
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn a_small_service_takes_what_the_readme_says() {
    let sizes = Sizes::of(&config(SizeArguments::default()));
    // Header, definitions, gauges, two of cells, eight lanes, one for the lanes' cells.
    assert_eq!(sizes.segment.total_bytes(), 14 * u64::from(CHUNK_ALIGN_BYTES));
    assert_eq!(sizes.segments_volume_bytes, 2 << 20);
}

#[test]
fn more_series_than_the_sdk_takes_by_default_are_told() {
    let written = |counters| SizeArguments { counters: text(counters), ..Default::default() };
    assert!(output(written(20_000)).contains("More than 10,000 series: raise Producer"));
    assert!(!output(written(9_000)).contains("series_max"));
}

#[test]
fn cells_grow_as_the_sdk_grows_them() {
    let unit = u64::from(CHUNK_ALIGN_BYTES);
    assert_eq!(grown_bytes(0, 32), 0);
    assert_eq!(grown_bytes(1, 32), unit);
    assert_eq!(grown_bytes(unit, 32), unit);
    assert_eq!(grown_bytes(unit + 1, 32), 2 * unit);
    // 29 cells of 2,208 B fit into a chunk, and the rest of it is lost.
    assert_eq!(grown_bytes(29 * 2208, 2208), unit);
    assert_eq!(grown_bytes(30 * 2208, 2208), 2 * unit);
    // From five chunks on, a quarter is more than one chunk.
    assert_eq!(grown_bytes(100 << 20, 32) % unit, 0);
    assert!(grown_bytes(100 << 20, 32) <= (104 << 20));
}

#[test]
fn lanes_share_the_chunks_of_their_cells() {
    let lanes = |threads: u64, cells: u64| {
        let written = SizeArguments { threads: text(threads), ..SizeArguments::default() };
        let sizes = Sizes::of(&config(SizeArguments { lane_cells: text(cells), ..written }));
        sizes.segment.lanes_bytes / u64::from(CHUNK_ALIGN_BYTES)
    };
    assert_eq!(lanes(16, 512), 16 + 1);
    assert_eq!(lanes(17, 512), 17 + 2);
    assert_eq!(lanes(3, 8192), 3 + 3);
    assert_eq!(lanes(3, 0), 3);
}

#[test]
fn more_of_anything_needs_more() {
    let base = Sizes::of(&config(SizeArguments::default()));
    let more = [
        SizeArguments { threads: text(16), ..SizeArguments::default() },
        SizeArguments { lane_capacity: text(65_536), ..SizeArguments::default() },
        SizeArguments { lane_cells: text(8192), threads: text(16), ..SizeArguments::default() },
        SizeArguments { processes: text(4), ..SizeArguments::default() },
        SizeArguments { histograms: text(500), ..SizeArguments::default() },
        SizeArguments { spill_schema: text(5), ..SizeArguments::default() },
    ];
    for written in more {
        let sizes = Sizes::of(&config(written.clone()));
        assert!(sizes.segments_used_bytes > base.segments_used_bytes, "{written:?}");
        assert!(sizes.app_memory_bytes > base.app_memory_bytes, "{written:?}");
        assert!(sizes.agent_limit_bytes >= base.agent_limit_bytes, "{written:?}");
    }
}

#[test]
fn the_largest_that_can_be_asked_for_does_not_overflow() {
    let sizes = Sizes::of(&config(SizeArguments {
        threads: text(256),
        lane_capacity: text(1 << 22),
        lane_cells: text(8192),
        processes: text(1024),
        counters: text(262_144),
        gauges: text(262_144),
        histograms: text(262_144),
        summaries: text(262_144),
        bounds: text(1024),
        label_bytes: text(32 << 10),
        metrics: text(262_144),
        spill_schema: text(5),
        output: None,
    }));
    assert!(sizes.app_memory_bytes > 1 << 40);
}

#[test]
fn the_arithmetic_is_shown_and_adds_up() {
    let shown = output(SizeArguments::default());
    let bytes = |name: &str| -> u64 {
        let line = shown.lines().find(|line| line.trim_start().starts_with(name)).expect(name);
        let number = line.split_whitespace().last().expect("bytes").replace(',', "");
        number.parse().expect("a number")
    };
    let parts = ["header", "definitions", "gauges", "cells", "lanes"].map(bytes);
    assert_eq!(parts.iter().sum::<u64>(), bytes("segment"));
    assert!(shown.contains("8 threads × (4096 records × 16 B + 512 cells × 8 B)"), "{shown}");
    assert!(shown.contains("sizeLimit 2Mi"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
}

#[test]
fn programs_get_the_same_numbers() {
    let json = output(SizeArguments { output: Some("json".into()), ..SizeArguments::default() });
    assert!(json.contains("\"segment_bytes\":917504,"), "{json}");
    assert!(json.contains("\"segments_size_limit\":\"2Mi\""), "{json}");
    let yaml = output(SizeArguments { output: Some("yaml".into()), ..SizeArguments::default() });
    assert!(yaml.starts_with("ringmeter:\n  segmentsSizeLimit: 2Mi\n"), "{yaml}");
}
