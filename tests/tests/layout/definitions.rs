//! Definitions: round trips, and everything that is none.

use proptest::prelude::*;
use ringmeter_layout::definition::{
    Definition, DefinitionError, ENTRY_OVERHEAD_MAX_BYTES, FamilyDefinition, SeriesDefinition,
    end_of_chunk,
};
use ringmeter_layout::naming::{GaugeRule, Kind};
use ringmeter_tests::allocation::peak_bytes;
use ringmeter_tests::{fuzz, golden};

use crate::assert_tells;

/// Texts with everything that some format escapes, and everything else.
fn nasty() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(golden::NASTY.to_owned()),
        Just(golden::WIDE.to_owned()),
        Just(String::new()),
        Just("x".repeat(1024)),
        Just("\u{0}\u{7f}\u{feff}\u{2028}\u{10ffff}{}=,".to_owned()),
        ".{0,40}",
        any::<String>(),
    ]
}

fn increasing(limit: usize, low: f64, high: f64) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(low..high, 0..limit).prop_map(|mut numbers| {
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        numbers
    })
}

/// Any family that obeys the rules.
fn family() -> impl Strategy<Value = FamilyDefinition> {
    let names = prop::collection::btree_set("l[a-z0-9_]{0,20}", 0..32)
        .prop_filter("reserved", |names| !names.contains("le"));
    let text = ("m[a-zA-Z0-9_:]{0,60}", nasty(), "[a-z0-9_]{0,12}");
    let kind = (0_usize..4, 0_usize..6);
    let numbers = (increasing(128, -1e300, 1e300), increasing(16, 0.0, 1.0));
    (any::<u32>(), kind, text, names, numbers, 60_u64..1_000_000, 1_u32..=60).prop_map(
        |(id, (kind, rule), (name, help, unit), names, (bounds, objectives), age, slots)| {
            let kind = Kind::ALL[kind];
            let has_buckets = kind.is_distribution();
            FamilyDefinition {
                id,
                kind,
                gauge_rule: if kind == Kind::Gauge { GaugeRule::ALL[rule] } else { GaugeRule::Sum },
                name,
                help,
                unit,
                label_names: names.into_iter().collect(),
                bounds: if has_buckets { bounds } else { Vec::new() },
                objectives: if has_buckets { objectives } else { Vec::new() },
                max_age_ms: age,
                age_buckets: slots,
            }
        },
    )
}

fn series() -> impl Strategy<Value = SeriesDefinition> {
    let values = prop::collection::vec(nasty(), 0..=32);
    (any::<u32>(), any::<u32>(), any::<u64>(), values, any::<bool>()).prop_map(
        |(id, family, cell_offset_bytes, label_values, is_overflow)| SeriesDefinition {
            id,
            family,
            cell_offset_bytes,
            label_values,
            is_overflow,
        },
    )
}

fn entry() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        family().prop_map(|family| family.encode()),
        series().prop_map(|series| series.encode()),
        Just(end_of_chunk().to_vec()),
    ]
}

/// Parses, checks the stated bound, and that what is accepted is what a writer writes.
fn parse_within_bound(bytes: &[u8]) -> Result<(Definition, usize), DefinitionError> {
    let (result, peak) = peak_bytes(|| Definition::parse(bytes));
    let bound = bytes.len() + ENTRY_OVERHEAD_MAX_BYTES;
    assert!(peak <= bound, "{peak} bytes for an entry of {}", bytes.len());
    fuzz::check_definition(bytes);
    result
}

proptest! {
    #[test]
    fn a_family_reads_back(family in family()) {
        let bytes = family.encode();
        prop_assert_eq!(family.validate(), Ok(()));
        let expected = Ok((Definition::Family(family), bytes.len()));
        prop_assert_eq!(parse_within_bound(&bytes), expected);
    }

    #[test]
    fn a_series_reads_back(series in series(), rest in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut bytes = series.encode();
        let length = bytes.len();
        bytes.extend(rest);
        prop_assert_eq!(parse_within_bound(&bytes), Ok((Definition::Series(series), length)));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse_within_bound(&bytes);
    }

    /// Bytes with a head that lets the parser go on to the fields.
    #[test]
    fn any_body_is_read_or_refused(
        entry_type in 1_u8..=3, mut bytes in prop::collection::vec(any::<u8>(), 8..400),
    ) {
        bytes.truncate(bytes.len() / 8 * 8);
        let length = u32::try_from(bytes.len()).expect("short");
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes[4..8].copy_from_slice(&[entry_type, 0, 0, 0]);
        let _ = parse_within_bound(&bytes);
    }

    #[test]
    fn a_flipped_bit_is_read_or_refused(
        mut bytes in entry(), at: prop::sample::Index, bit in 0_u8..8,
    ) {
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let _ = parse_within_bound(&bytes);
    }

    #[test]
    fn a_cut_entry_is_refused(bytes in entry(), at: prop::sample::Index) {
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert!(parse_within_bound(cut).is_err());
    }
}

/// The most labels, the shortest texts: the worst ratio of lists to bytes.
fn shortest_family() -> FamilyDefinition {
    let names: Vec<String> = ('a'..='z').chain('A'..='F').map(String::from).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    golden::family("m", Kind::Counter, &names)
}

#[test]
fn lists_of_short_texts_stay_within_the_bound() {
    assert!(parse_within_bound(&shortest_family().encode()).is_ok());
    let empty = vec![String::new(); 32];
    let series = SeriesDefinition {
        id: 0,
        family: 0,
        cell_offset_bytes: 0,
        label_values: empty,
        is_overflow: false,
    };
    assert!(parse_within_bound(&series.encode()).is_ok());
}

#[test]
fn an_entry_cut_at_every_length_is_refused() {
    let family = FamilyDefinition {
        help: golden::NASTY.to_owned(),
        bounds: vec![0.5, 1.5],
        objectives: vec![0.5],
        ..golden::family("latency_seconds", Kind::Histogram, &["route", "code"])
    };
    let bytes = family.encode();
    for length in 0..bytes.len() {
        let cut = &bytes[..length];
        assert!(parse_within_bound(cut).is_err(), "{length} of {} bytes", bytes.len());
        // Cut, and claiming that nothing is missing.
        let mut honest = cut.to_vec();
        if length >= 8 && length % 8 == 0 {
            honest[..4].copy_from_slice(&u32::try_from(length).expect("short").to_le_bytes());
            assert!(parse_within_bound(&honest).is_err(), "{length} bytes, and says so");
        }
    }
}

#[test]
fn an_end_of_chunk_is_eight_bytes() {
    assert_eq!(Definition::parse(&end_of_chunk()), Ok((Definition::EndOfChunk, 8)));
    let mut long = end_of_chunk().to_vec();
    long.extend([0; 8]);
    long[0] = 16;
    let error = Definition::parse(&long).expect_err("refused");
    assert_tells(&error, &["end of chunk length_bytes", "16", "8"]);
}

#[test]
fn rules_between_fields_hold_in_every_kind() {
    let refused = |family: &FamilyDefinition| family.validate().expect_err("refused");
    let counter = FamilyDefinition {
        gauge_rule: GaugeRule::Max,
        ..golden::family("a_total", Kind::Counter, &[])
    };
    assert_tells(&refused(&counter), &["gauge_rule", "2", "counter"]);
    let gauge = FamilyDefinition { bounds: vec![1.0], ..golden::family("a", Kind::Gauge, &[]) };
    assert_tells(&refused(&gauge), &["bounds", "1", "gauge"]);
    let gauge = FamilyDefinition { objectives: vec![0.5], ..golden::family("a", Kind::Gauge, &[]) };
    assert_tells(&refused(&gauge), &["objectives", "1", "gauge"]);
    for (max_age_ms, age_buckets) in [(0, 0), (600, 0), (4, 5)] {
        let summary =
            FamilyDefinition { max_age_ms, age_buckets, ..golden::family("a", Kind::Summary, &[]) };
        let (age, slots) = (max_age_ms.to_string(), age_buckets.to_string());
        assert_tells(&refused(&summary), &["max_age_ms", &age, "age_buckets", &slots]);
    }
}

#[test]
fn errors_name_field_value_and_limit() {
    let valid = golden::family("a_total", Kind::Counter, &["b"]).encode();
    let with = |at: usize, lie: &[u8]| {
        let mut bytes = valid.clone();
        bytes[at..at + lie.len()].copy_from_slice(lie);
        Definition::parse(&bytes).expect_err("refused")
    };
    assert_tells(&with(0, &[7]), &["length_bytes", "7", "8"]);
    assert_tells(&with(0, &[0xf8, 0xff, 1]), &["length_bytes", "131064", "65528"]);
    assert_tells(&with(0, &[0x80]), &["entry", "128", "left"]);
    assert_tells(&with(4, &[9]), &["type", "9"]);
    assert_tells(&with(6, &[3]), &["reserved", "3", "0"]);
    assert_tells(&with(12, &[9]), &["kind", "9"]);
    assert_tells(&with(13, &[9]), &["gauge_rule", "9"]);
    assert_tells(&with(18, &[33]), &["label_names", "33", "32"]);
    assert_tells(&with(20, &[61]), &["age_buckets", "61", "60"]);
    assert_tells(&with(24, &[0xff; 8]), &["max_age_ms", &u64::MAX.to_string(), "2592000000"]);
    assert_tells(&with(32, &[200]), &["name", "200", "left"]);
    assert_tells(&with(34, &[0xff]), &["name", "UTF-8", "0"]);
    assert_tells(&with(34, b"-"), &["metric name", "'-'", "0"]);
    let twice = golden::family("a_total", Kind::Counter, &["b", "b"]).encode();
    assert_tells(&Definition::parse(&twice).expect_err("refused"), &["label", "\"b\"", "twice"]);
}
