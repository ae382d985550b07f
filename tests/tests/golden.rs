//! Files of released layouts stay readable, and writers go on writing them.
//!
//! When this fails after a change to the layout, the change is what is wrong, or the layout needs
//! a new version and a golden file of its own beside the old one.
#![allow(clippy::expect_used, reason = "a test whose premises fail must fail loudly")]

use std::fs;

use ringmeter_agent::limits::Limits;
use ringmeter_agent::pipeline::Restored;
use ringmeter_agent::segment::Kept;
use ringmeter_agent::series::SeriesRef;
use ringmeter_agent::snapshot::Number;
use ringmeter_layout::ack::{self, AckHeader, STATE_ACTIVE};
use ringmeter_layout::naming::{GaugeRule, Kind};
use ringmeter_layout::record::{Operation, Record};
use ringmeter_layout::segment::{self, View};
use ringmeter_tests::{golden, ledger};

fn read(name: &str) -> Vec<u8> {
    fs::read(golden::path(name)).expect("the golden file is in the tree")
}

fn word(bytes: &[u8], offset_bytes: usize) -> u64 {
    u64::from_le_bytes(bytes[offset_bytes..offset_bytes + 8].try_into().expect("eight bytes"))
}

/// Position up to which the golden ack says that a lane is committed.
fn acked(lane: u32) -> u64 {
    let offset = ack::position_offset_bytes(lane);
    word(&read(golden::ACK_FILE), usize::try_from(offset).expect("small"))
}

#[test]
fn writers_still_write_the_golden_files() {
    assert!(golden::segment() == read(golden::SEGMENT_FILE), "the segment differs");
    assert!(golden::ack() == read(golden::ACK_FILE), "the ack differs");
}

/// Numbers from the written layout, not from this crate's constants.
#[test]
fn golden_bytes_stand_where_the_layout_says() {
    let bytes = read(golden::SEGMENT_FILE);
    assert_eq!(bytes.len(), 6 * 65_536, "header, definitions, cells, gauges, lanes, lane cells");
    assert_eq!(&bytes[..8], b"RINGMTR\0");
    assert_eq!(word(&bytes, 8), 0x0102_0304_0000_0001, "version 1.0, little endian");
    assert_eq!(&bytes[80..96], &golden::ID);
    assert_eq!(word(&bytes, 116) & 0xffff_ffff, 10, "length of the service name");
    assert_eq!(&bytes[120..130], b"golden-1.0");
    assert_eq!(word(&bytes, 184), 16, "cells in each lane");
    let live: Vec<u64> = (0..9).map(|at| word(&bytes, 3968 + 8 * at)).collect();
    assert_eq!(live, [5, 2, 12, 1, 10, 1, 2, 3, 4]);
    let line = |lane: usize| -> Vec<u64> {
        (0..6).map(|at| word(&bytes, 4096 + 64 * lane + 8 * at)).collect()
    };
    let (ring, cells) = (4 * 65_536, 5 * 65_536);
    assert_eq!(line(0), [100, 2, ring, 1, 1, cells], "tail, spills, ring, claims, state, cells");
    assert_eq!(line(1), [3, 0, ring + 1024, 2, 0, cells + 128]);
    assert_eq!(word(&bytes, 5 * 65_536 + 8), 70, "counter 1 in lane 0");
    let kinds: Vec<u64> = (0..5).map(|at| word(&bytes, 20_480 + 32 * at)).collect();
    assert_eq!(kinds, [1, 3, 2, 4, 5], "definitions, cells, gauges, lanes, lane cells");
    assert_eq!(word(&bytes, 262_144 + 16 * 35), 7 | (3 << 32) | (1 << 40), "record 99");
}

#[test]
fn golden_definitions_read_back() {
    let bytes = read(golden::SEGMENT_FILE);
    let view = segment::view(&bytes).expect("the golden segment is one");
    assert_eq!(view.geometry.service, "golden-1.0");
    assert_eq!(view.geometry.created_unix_ns, 1_700_000_000_123_456_789);
    assert_eq!(view.geometry.size_limit_bytes, 64 << 20);
    assert_eq!(view.geometry.process_id, 4242);
    let families: Vec<(&str, Kind, GaugeRule, &str)> = view
        .dictionary
        .families()
        .iter()
        .map(|family| (family.name.as_str(), family.kind, family.gauge_rule, family.unit.as_str()))
        .collect();
    let sum = GaugeRule::Sum;
    assert_eq!(
        families,
        [
            ("orders_total", Kind::Counter, sum, ""),
            ("temperature_celsius", Kind::Gauge, GaugeRule::MostRecent, "celsius"),
            ("request_duration_seconds", Kind::Histogram, sum, "seconds"),
            ("payload_bytes", Kind::Summary, sum, ""),
        ]
    );
    let [orders, _, latency, size] = view.dictionary.families() else { panic!("four families") };
    assert_eq!(orders.help, "Orders, \"quoted\" \\ and\nbroken");
    assert_eq!(orders.label_names, ["region", "note"]);
    assert_eq!(latency.bounds, [0.005, 0.1, 1.0, 10.0]);
    assert_eq!(size.objectives, [0.5, 0.9, 0.99]);
    assert_eq!((size.max_age_ms, size.age_buckets), (600_000, 5));
    let series: Vec<(u32, bool, Vec<&str>)> = view
        .dictionary
        .series()
        .iter()
        .map(|series| {
            let values = series.label_values.iter().map(String::as_str).collect();
            (series.family, series.is_overflow, values)
        })
        .collect();
    let expected: [(u32, bool, &[&str]); 8] = [
        (0, true, &[]),
        (0, false, &["eu", "quote \" backslash \\ newline \n tab \t"]),
        (0, false, &["日本 – Ωμέγα 🦀", ""]),
        (1, false, &[]),
        (2, true, &[]),
        (2, false, &["/a"]),
        (2, false, &["/gone"]),
        (3, false, &[]),
    ];
    assert_eq!(series, expected.map(|(family, over, values)| (family, over, values.to_vec())));
}

fn cell(view: &View<'_>, series: usize) -> Vec<u64> {
    view.cell(&view.dictionary.series()[series]).collect()
}

#[test]
fn golden_cells_read_back() {
    let bytes = read(golden::SEGMENT_FILE);
    let view = segment::view(&bytes).expect("the golden segment is one");
    assert_eq!(cell(&view, 0), [0, 0, 0, 0]);
    assert_eq!(cell(&view, 1), [1000, 0, 0, 0], "integer, float, state, reserved");
    assert_eq!(cell(&view, 2), [0, 0.25_f64.to_bits(), 0, 0]);
    assert_eq!(cell(&view, 3), [(-12.5_f64).to_bits(), 2, 0, 0], "value, changes, state");
    let in_lanes = |counter| [0, 1].map(|lane| view.lane_cells(lane).nth(counter));
    assert_eq!(in_lanes(0), [Some(0), Some(0)]);
    assert_eq!(in_lanes(1), [Some(70), Some(30)]);
    assert_eq!(in_lanes(2), [Some(0), Some(5)]);
    assert_eq!((view.lane_cells(1).count(), view.lane_cells(2).count()), (16, 0));
    let latency = cell(&view, 5);
    assert_eq!(latency.len(), 8 + 256 + 5);
    let sum = 0.003 + 0.004 + 0.1 + 3.0 + 0.0 - 1.5 + 1e-12 + 1e12;
    assert_eq!(f64::from_bits(latency[1]), sum, "of the finite values, in order");
    assert_eq!(latency[..8], [0, latency[1], 1, 1, 1, 2, 0, 0], "zero, negative, under, over");
    assert_eq!(latency[8 + 256..], [5, 1, 0, 1, 2], "le 0.005, 0.1, 1, 10 and +Inf");
    assert_eq!(latency[8..8 + 256].iter().sum::<u64>(), 4);
    assert_eq!(cell(&view, 6)[0], 1, "retired");
    let size = cell(&view, 7);
    assert_eq!(size.len(), 8 + 256 + 1);
    assert_eq!(f64::from_bits(size[1]), 2048.0);
    assert_eq!(size[8 + (11 + 30) * 4 - 1], 1, "2^11 ends the bucket before the next octave");
}

#[test]
fn golden_records_read_back_from_the_ack_on() {
    let bytes = read(golden::SEGMENT_FILE);
    let view = segment::view(&bytes).expect("the golden segment is one");
    let header = AckHeader::parse(&read(golden::ACK_FILE), &view.geometry.id).expect("its ack");
    assert_eq!((header.state, header.ledger_id), (STATE_ACTIVE, golden::LEDGER_ID));
    let records: Vec<Record> = view.records(0, acked(0)).expect("an honest tail").collect();
    assert_eq!(records.len(), 50);
    for (record, position) in records.iter().zip(50..) {
        assert_eq!((record.word, record.value), golden::lane_0_record(position));
    }
    let total = |series, operation, of: fn(u64) -> f64| -> f64 {
        let chosen = records
            .iter()
            .filter(|record| record.series() == series)
            .inspect(|record| assert_eq!(record.operation_code(), operation as u8));
        chosen.map(|record| of(record.value)).sum()
    };
    assert_eq!(total(1, Operation::AddU64, |value| value as f64), 888.0);
    assert_eq!(total(2, Operation::AddF64, f64::from_bits), 450.0);
    assert_eq!(total(5, Operation::ObserveF64, f64::from_bits), 120.25);
    assert_eq!(total(7, Operation::ObserveF64, f64::from_bits), 97_500.0);
    let rest: Vec<(u32, u64)> = view
        .records(1, acked(1))
        .expect("an honest tail")
        .map(|record| (record.series(), record.value))
        .collect();
    assert_eq!(rest, [(0, 1), (6, 2.5_f64.to_bits())]);
    assert!(view.records(0, 35).is_err(), "35 is more than a lane behind");
    assert_eq!((view.lanes[0].spill_count, view.live.shared_spill_count), (2, 10));
    assert_eq!((view.lanes[1].claims, view.lanes[1].is_claimed), (2, false));
}

#[test]
fn the_golden_ledger_is_read_and_still_written() {
    let (bytes, journal) = (read(ledger::LEDGER_FILE), read(ledger::JOURNAL_FILE));
    assert!(ledger::golden() == (bytes.clone(), journal.clone()), "the ledger differs");
    assert_eq!((&bytes[..8], &journal[..8]), (&b"RINGLED\0"[..], &b"RINGJNL\0"[..]));
    assert_eq!((word(&bytes, 8) & 0xffff_ffff, word(&bytes, 8) >> 32), (1, 288));
    assert_eq!(bytes[16..32], golden::LEDGER_ID);
    assert_eq!((word(&bytes, 40), word(&journal, 32)), (2, 2), "two commits");
    assert_eq!(word(&bytes, 48) * 288 + 4096, bytes.len() as u64);
    // With its journal and without, because the last commit is in place.
    for journal in [journal, Vec::new()] {
        let mut restored = Restored::parse(&bytes, &journal, &Limits::default(), 0)
            .expect("a good ledger")
            .expect("and not an empty one");
        let kept = Kept::all(restored.contents()).expect("segments");
        assert_eq!(kept.len(), 2);
        let [first, second] = [&kept[0], &kept[1]];
        assert_eq!(first.positions(), [1000, 77]);
        assert_eq!((first.lanes[0].spill_count, first.lanes[1].skip), (3, 2));
        assert_eq!(first.marks.get(&512).map(|marks| marks[4]), Some(12));
        assert!(!first.is_final && second.is_final && second.lanes.is_empty());
        let (registry, totals) = restored.aggregate().parts();
        assert_eq!((registry.family_count(), registry.series_count()), (2, 5));
        let labels = |row| {
            let series = SeriesRef { family: 0, row };
            let row = registry.row(series).expect("a series");
            (row.labels.as_str().to_owned(), totals.counter(row.slot), row.is_retired())
        };
        let (text, total, is_retired) = labels(1);
        assert!(text.starts_with("code=\"200\",path=\"quote \\\""), "{text}");
        assert_eq!((total, is_retired), (Number::U64(82), false));
        assert_eq!((labels(2).1, labels(2).2), (Number::F64(0.25), true));
        let slot = registry.row(SeriesRef { family: 1, row: 1 }).expect("a series").slot;
        let distribution = &totals.distributions[usize::try_from(slot).expect("small")];
        assert_eq!(distribution.classic(), [3, 1, 1]);
        assert_eq!((distribution.sum(), distribution.buckets().count()), (-2.0, 5));
    }
}

#[test]
fn the_golden_ledger_of_1_1_is_read_and_still_written() {
    let bytes = read(ledger::EXPIRED_LEDGER_FILE);
    let journal = read(ledger::EXPIRED_JOURNAL_FILE);
    assert!(ledger::golden_expired() == (bytes.clone(), journal.clone()), "the ledger differs");
    assert_eq!((word(&bytes, 8) & 0xffff_ffff, word(&bytes, 40)), (1 | 1 << 16, 4));
    let mut restored = Restored::parse(&bytes, &journal, &Limits::default(), 0)
        .expect("a good ledger")
        .expect("and not an empty one");
    let (registry, totals) = restored.aggregate().parts();
    // Both metrics were held; of the series, one stayed and one came.
    assert_eq!((registry.family_count(), registry.series_count()), (2, 4));
    let rows = registry.family(0).expect("a metric").rows();
    let shown: Vec<(&str, Number)> =
        rows.iter().skip(1).map(|row| (row.labels.as_str(), totals.counter(row.slot))).collect();
    assert!(shown[0].0.starts_with("code=\"200\""), "{shown:?}");
    assert_eq!((shown[0].1, shown[1].1), (Number::U64(82), Number::U64(7)));
    assert_eq!(shown[1].0, "code=\"404\",path=\"\"");
}

/// An agent of 1.1 would find an area that it does not know; so it has to set this one aside, which
/// it does because the header says 1.2.
#[test]
fn the_golden_ledger_of_1_2_is_read_and_still_written() {
    let (bytes, journal) = (read(ledger::STARTS_LEDGER_FILE), read(ledger::STARTS_JOURNAL_FILE));
    assert!(ledger::golden_starts() == (bytes.clone(), journal.clone()), "the ledger differs");
    assert_eq!((word(&bytes, 8) & 0xffff_ffff, word(&bytes, 40)), (1 | 2 << 16, 3));
    let mut restored = Restored::parse(&bytes, &journal, &Limits::default(), 0)
        .expect("a good ledger")
        .expect("and not an empty one");
    let kept = Kept::all(restored.contents()).expect("segments");
    let live = &kept[0].live;
    assert_eq!((live.rejected_exemplars, live.dropped_exemplars), (4, 5));
    let registry = restored.aggregate().registry();
    for row in 1..3 {
        let row = registry.row(SeriesRef { family: 0, row }).expect("a series");
        assert_eq!(row.start_unix_ms(), ledger::GOLDEN_START_UNIX_MS);
    }
}

/// The lowest version whose readers know what is there, and never one that they would misread.
#[test]
fn a_ledger_says_the_version_that_its_readers_need() {
    for (bytes, minor, area) in [
        (ledger::golden().0, 0, None),
        (ledger::golden_expired().0, 1, None),
        (ledger::golden_starts().0, 2, Some(13_u32)),
    ] {
        assert_eq!(word(&bytes, 8) >> 16 & 0xffff, minor);
        let blocks = bytes[4096..].chunks_exact(288);
        let areas = blocks.map(|block| u32::from_le_bytes(block[16..20].try_into().expect("four")));
        let newest = areas.max().filter(|area| *area > 12);
        assert_eq!(newest, area, "minor {minor}");
    }
}
