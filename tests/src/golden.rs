//! The golden files of layout 1.0, as they were made: a segment and its ack.
//!
//! The files in `tests/fixtures/` are what counts: released readers and writers agree on them.
//! `cargo run -p ringmeter-tests --example golden` writes them anew, which must change nothing
//! while the layout's version stays.

use std::path::PathBuf;

use ringmeter_layout::ack::{self, AckHeader};
use ringmeter_layout::cell::{self, GaugeCell};
use ringmeter_layout::definition::FamilyDefinition;
use ringmeter_layout::lane::Capacity;
use ringmeter_layout::naming::{GaugeRule, Kind};
use ringmeter_layout::record::{Operation, pack};
use ringmeter_layout::segment::{Birth, LANE_FREE};

use crate::image::{Image, live};

/// Name of the golden segment.
pub const SEGMENT_FILE: &str = "segment-1.0.seg";
/// Name of the ack file that goes with it.
pub const ACK_FILE: &str = "ack-1.0.ack";
/// Id of the golden segment.
pub const ID: [u8; 16] = *b"\x00\x01\x02\x03golden seg\xfe\xff";
/// Id of the ledger behind the golden ack.
pub const LEDGER_ID: [u8; 16] = *b"\x10\x20\x30\x40golden led\xee\xef";
/// A label value with everything that exposition formats escape.
pub const NASTY: &str = "quote \" backslash \\ newline \n tab \t";
/// A label value outside of ASCII.
pub const WIDE: &str = "日本 – Ωμέγα 🦀";

/// Path of a golden file in the tree.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fixtures", name].iter().collect()
}

/// A family with a name, a kind and labels, and nothing else.
#[must_use]
pub fn family(name: &str, kind: Kind, label_names: &[&str]) -> FamilyDefinition {
    FamilyDefinition {
        id: 0,
        kind,
        gauge_rule: GaugeRule::Sum,
        name: name.to_owned(),
        help: String::new(),
        unit: String::new(),
        label_names: label_names.iter().map(|name| (*name).to_owned()).collect(),
        bounds: Vec::new(),
        objectives: Vec::new(),
        max_age_ms: if kind == Kind::Summary { 600_000 } else { 0 },
        age_buckets: if kind == Kind::Summary { 5 } else { 0 },
    }
}

/// The golden segment's bytes, written today.
///
/// # Panics
/// When 64 is no capacity of a lane any more.
#[must_use]
#[expect(clippy::expect_used, reason = "what cannot be written must fail loudly")]
pub fn segment() -> Vec<u8> {
    let mut image = Image::new(&Birth {
        id: ID,
        service: "golden-1.0",
        created_unix_ns: 1_700_000_000_123_456_789,
        size_limit_bytes: 64 << 20,
        process_id: 4242,
        lane_capacity: Capacity::new(64).expect("a capacity"),
        spill_schema: 2,
        lane_cells: 16,
    });
    define(&mut image);
    record(&mut image);
    spill(&image);
    image.bytes()
}

/// Series 0 to 2 are a counter's, 3 a gauge's, 4 to 6 a histogram's, 7 a summary's.
fn define(image: &mut Image) {
    let orders = image.family(FamilyDefinition {
        help: "Orders, \"quoted\" \\ and\nbroken".to_owned(),
        ..family("orders_total", Kind::Counter, &["region", "note"])
    });
    image.series(orders, &[], true);
    image.series(orders, &["eu", NASTY], false);
    image.series(orders, &[WIDE, ""], false);
    let temperature = image.family(FamilyDefinition {
        gauge_rule: GaugeRule::MostRecent,
        unit: "celsius".to_owned(),
        ..family("temperature_celsius", Kind::Gauge, &[])
    });
    image.series(temperature, &[], false);
    let latency = image.family(FamilyDefinition {
        bounds: vec![0.005, 0.1, 1.0, 10.0],
        unit: "seconds".to_owned(),
        ..family("request_duration_seconds", Kind::Histogram, &["route"])
    });
    image.series(latency, &[], true);
    image.series(latency, &["/a"], false);
    image.series(latency, &["/gone"], false);
    let size = image.family(FamilyDefinition {
        objectives: vec![0.5, 0.9, 0.99],
        ..family("payload_bytes", Kind::Summary, &[])
    });
    image.series(size, &[], false);
}

/// The record at position `i` of lane 0: word and value.
#[must_use]
pub fn lane_0_record(i: u32) -> (u64, u64) {
    let observed = |series, value: f64| (pack(series, Operation::ObserveF64), value.to_bits());
    match i % 4 {
        0 => (pack(1, Operation::AddU64), i.into()),
        1 => (pack(2, Operation::AddF64), (0.5 * f64::from(i)).to_bits()),
        2 => observed(5, f64::from(i) / 8.0),
        _ => observed(7, f64::from(i) * 100.0),
    }
}

/// Lane 0 wrapped at 64 and ends at 100; lane 1 was used by two threads and has none now.
fn record(image: &mut Image) {
    let (first, second) = (image.add_lane(), image.add_lane());
    for i in 0..100 {
        let (word, value) = lane_0_record(i);
        image.record(first, word, value);
    }
    image.record(second, pack(1, Operation::AddU64), 7);
    image.record(second, pack(0, Operation::AddU64), 1);
    image.record(second, pack(6, Operation::ObserveF64), 2.5_f64.to_bits());
    image.count_in_lane(first, 1, 70);
    image.count_in_lane(second, 1, 30);
    image.count_in_lane(second, 2, 5);
    let line = ringmeter_layout::segment::control_offset_bytes(second);
    image.word(line + 24).store_relaxed(2);
    image.word(line + 32).store_relaxed(LANE_FREE);
}

/// Spill of lane 0 and of threads without a lane, a gauge, a retired series, refusals.
fn spill(image: &Image) {
    cell::add_u64(image.cell(1), 1_000);
    image.count_spill(0);
    cell::add_f64(image.cell(2), 0.25);
    image.count_spill(0);
    let values = [0.003, 0.004, 0.1, 3.0, 0.0, -1.5, 1e-12, 1e12, f64::INFINITY];
    for value in values {
        image.spill_observation(5, value);
        image.word(live(32)).add_release(1);
    }
    image.spill_observation(7, 2048.0);
    image.word(live(32)).add_release(1);
    if let Some(gauge) = GaugeCell::new(image.cell(3)) {
        gauge.set(20.0);
        gauge.add(-32.5);
    }
    image.flip_retired(6);
    for (offset, count) in [(40, 1), (48, 2), (56, 3), (64, 4)] {
        image.word(live(offset)).add_relaxed(count);
    }
}

/// The golden ack's bytes, written today: 50 records of lane 0 and 1 of lane 1 are committed.
#[must_use]
pub fn ack() -> Vec<u8> {
    let mut bytes = bytemuck::bytes_of(&AckHeader::new(ID, LEDGER_ID)).to_vec();
    for (lane, position) in [(0, 50_u64), (1, 1)] {
        assert_eq!(bytes.len() as u64, ack::position_offset_bytes(lane));
        bytes.extend(position.to_le_bytes());
    }
    bytes
}
