//! What is written is found, what is found was written, and anything may be read.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn record(labels: &[(&str, &str)], unix_ms: u64) -> Result<LongRecord, ExemplarError> {
    let value = 0.25_f64.to_bits();
    LongRecord::new(7, Operation::ObserveF64, value, unix_ms, labels.iter().copied())
}

fn tail(record: &LongRecord) -> &[Record] {
    &record.slots()[1..]
}

#[test]
fn the_bytes_stand_where_the_picture_says() {
    let labels = [("trace_id", "4bf92f35"), ("ü", "no name")];
    assert!(matches!(record(&labels, 1), Err(ExemplarError::Name(_))));
    let record = record(&[("trace_id", "4bf92f35"), ("x", "é")], 0x0102).expect("an exemplar");
    let bytes: &[u8] = bytemuck::cast_slice(record.slots());
    assert_eq!(bytes.len(), 4 * 16, "8 of time, 19 and 6 of labels");
    assert_eq!(bytes[..8], [7, 0, 0, 0, 6, 4, 0, 0], "series, operation, slots, flags");
    assert_eq!(bytes[8..16], 0.25_f64.to_bits().to_le_bytes());
    assert_eq!(bytes[16..24], [2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[24..43], *b"\x08\x08\x00trace_id4bf92f35");
    assert_eq!(bytes[43..49], *b"\x01\x02\x00x\xc3\xa9");
    assert_eq!(bytes[49..], [0; 15]);
}

#[test]
fn the_longest_is_as_long_as_the_arithmetic_says() {
    let crabs = "🦀".repeat(127);
    let longest = record(&[("x", &crabs)], 0).expect("128 characters");
    assert_eq!(longest.slots().len(), RECORD_SLOTS_MAX);
    assert_eq!(parse(tail(&longest)).expect("an exemplar").labels, [("x", crabs.as_str())]);
    let more = record(&[("xy", &crabs)], 0);
    assert_eq!(more.err(), Some(ExemplarError::TooLong { characters: 129 }));
    // Fewer and fewer characters of four bytes, and more labels instead.
    let letters: Vec<String> = ('a'..='z').chain('A'..='Z').map(String::from).collect();
    for count in 0..=letters.len() {
        let mut labels: Vec<(&str, &str)> = letters[..count].iter().map(|l| (&**l, "")).collect();
        let rest = "🦀".repeat(128 - count - 1);
        labels.push(("_", &rest));
        let record = record(&labels, 0).expect("128 characters");
        assert_eq!(record.slots().len(), RECORD_SLOTS_MAX, "{count} labels");
        assert_eq!(parse(tail(&record)).expect("an exemplar").labels, labels);
    }
    assert_eq!(record(&[], 0).expect("no labels").slots().len(), 2);
}

#[test]
fn a_name_stands_once() {
    let twice = [("a", "1"), ("b", "2"), ("a", "3")];
    let error = record(&twice, 0).expect_err("twice");
    assert_eq!(error, ExemplarError::Twice { first: 0, second: 2 });
    assert_eq!(error.to_string(), "labels 0 and 2 have the same name; use each name once");
}

#[test]
fn what_is_cut_off_or_goes_on_is_none() {
    let whole = record(&[("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736")], 9).expect("a record");
    let whole = tail(&whole);
    assert!(parse(whole).is_some());
    for end in 0..whole.len() {
        assert_eq!(parse(&whole[..end]), None, "{end} slots");
    }
    let mut damaged = whole.to_vec();
    damaged[3].value |= 1 << 63;
    assert_eq!(parse(&damaged), None, "behind the end");
    assert_eq!(parse(&vec![Record { word: 0, value: 0 }; TAIL_MAX_SLOTS + 1]), None);
}

proptest! {
    #[test]
    fn what_is_written_is_found(
        drawn in vec(("[a-zA-Z][a-zA-Z0-9_]{0,8}", "\\PC{0,24}"), 0..6),
        unix_ms: u64,
        value: u64,
    ) {
        let labels: Vec<(&str, &str)> = drawn.iter().map(|(n, v)| (&**n, &**v)).collect();
        let own = labels.iter().copied();
        let written = LongRecord::new(3, Operation::AddU64, value, unix_ms, own.clone());
        prop_assert_eq!(written.is_ok(), check(own).is_ok());
        if let Ok(written) = written {
            let slots = written.slots();
            prop_assert_eq!((slots[0].series(), slots[0].value), (3, value));
            prop_assert_eq!(usize::from(slots[0].slots()), slots.len());
            prop_assert!(slots.len() <= RECORD_SLOTS_MAX);
            prop_assert_eq!(parse(tail(&written)), Some(Found { unix_ms, labels }));
        }
    }

    #[test]
    fn any_slots_can_be_read(
        mut words in vec(any::<(u64, u64)>(), 0..40),
        small in vec((0..40_usize, 0..8_u32, any::<u8>()), 0..16),
    ) {
        for (at, byte, value) in small {
            if let Some((word, _)) = words.get_mut(at) {
                *word = *word & !(0xff << (8 * byte)) | u64::from(value % 8) << (8 * byte);
            }
        }
        let tail: Vec<Record> =
            words.iter().map(|(word, value)| Record { word: *word, value: *value }).collect();
        if let Some(found) = parse(&tail) {
            let length: usize = found.labels.iter().map(|(n, v)| 3 + n.len() + v.len()).sum();
            prop_assert!(length + 8 <= tail.len() * 16);
            prop_assert!(found.labels.iter().all(|(name, _)| !name.is_empty()));
        }
    }
}
