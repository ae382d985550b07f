//! Whole segments: any bytes, a valid one with flipped bits, a valid one cut at every length.

use std::sync::OnceLock;

use proptest::prelude::*;
use ringmeter_layout::definition::FamilyDefinition;
use ringmeter_layout::lane::Capacity;
use ringmeter_layout::naming::Kind;
use ringmeter_layout::segment::{self, Birth, ViewError};
use ringmeter_tests::allocation::peak_bytes;
use ringmeter_tests::image::Image;
use ringmeter_tests::{fuzz, golden};

use crate::assert_tells;

/// The bound that `segment::view` states.
fn bound_bytes(length: usize) -> usize {
    16 * length + (64 << 10)
}

/// Reads, checks the stated bound and every promise of the view.
fn view_error(bytes: &[u8]) -> Option<ViewError> {
    let (error, peak) = peak_bytes(|| segment::view(bytes).err());
    assert!(peak <= bound_bytes(bytes.len()), "{peak} bytes for {}", bytes.len());
    fuzz::check_segment(bytes);
    error
}

fn golden_bytes() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(golden::segment)
}

fn empty_image() -> Image {
    Image::new(&Birth {
        id: [1; 16],
        service: "segments",
        created_unix_ns: 0,
        size_limit_bytes: 1 << 30,
        process_id: 1,
        lane_capacity: Capacity::new(64).expect("a capacity"),
        spill_schema: 0,
        lane_cells: 8,
    })
}

proptest! {
    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
        prop_assert!(view_error(&bytes).is_some());
    }

    #[test]
    fn any_bytes_after_a_good_header_are_read_or_refused(
        live in prop::collection::vec(0_u64..6, 9),
        control in prop::collection::vec(any::<u8>(), 256),
        rest in prop::collection::vec(any::<u8>(), 0..4096),
    ) {
        let mut bytes = golden_bytes().to_vec();
        bytes[3968..3968 + 72].copy_from_slice(bytemuck::cast_slice(&live));
        bytes[4096..4096 + 256].copy_from_slice(&control);
        bytes[65_536..65_536 + rest.len()].copy_from_slice(&rest);
        let _ = view_error(&bytes);
    }

    #[test]
    fn flipped_bits_are_read_or_refused(
        flips in prop::collection::vec((0_usize..70_000, 0_u8..8), 1..4),
    ) {
        let mut bytes = golden_bytes().to_vec();
        for (at, bit) in flips {
            bytes[at] ^= 1 << bit;
        }
        let _ = view_error(&bytes);
    }

    #[test]
    fn changed_segments_are_read_or_refused(recipe in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = view_error(&fuzz::changed_segment(&recipe));
    }
}

/// Every bit of everything that the golden segment publishes outside of cells and records.
#[test]
fn every_single_bit_flip_is_read_or_refused() {
    let definitions = 65_536..65_536 + 700;
    let mut bytes = golden_bytes().to_vec();
    let regions = [0..184, 3968..4096, 4096..4096 + 128, 20_480..20_480 + 128, definitions];
    for at in regions.into_iter().flatten() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            if let Err(error) = segment::view(&bytes) {
                assert!(error.to_string().len() > 8);
            }
            bytes[at] ^= 1 << bit;
        }
    }
}

/// A file cut anywhere: below the end of its last chunk it is refused, and says why.
#[test]
fn a_segment_cut_at_every_length_is_refused() {
    let bytes = golden_bytes();
    assert_eq!(view_error(bytes), None);
    for length in 0..bytes.len() {
        let error = segment::view(&bytes[..length]).err();
        assert!(error.is_some(), "cut at {length}");
    }
    for length in [0, 1, 3967, 3968, 65_535, 65_536, 65_544, 327_679] {
        assert!(view_error(&bytes[..length]).is_some(), "cut at {length}");
    }
}

#[test]
fn the_memory_bound_holds_for_the_worst_definitions() {
    let shortest = golden::family("m", Kind::Counter, &[]);
    let with_one_label = golden::family("m", Kind::Counter, &["a"]);
    // 4,097 makes a list that has just doubled.
    for (family, count) in [(&shortest, 4097), (&with_one_label, 4097), (&shortest, 20_000)] {
        let mut image = empty_image();
        for _ in 0..count {
            image.family(FamilyDefinition::clone(family));
        }
        assert_eq!(view_error(&image.bytes()), None);
    }
    let labels: Vec<String> = ('a'..='z').chain('A'..='F').map(String::from).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let mut image = empty_image();
    let family = image.family(golden::family("m", Kind::Counter, &labels));
    for _ in 0..8193 {
        image.series(family, &[""; 32], false);
    }
    assert_eq!(view_error(&image.bytes()), None);
}

/// Changes words of the golden segment; returns what the error says.
fn lie(changes: &[(usize, u64)]) -> ViewError {
    let mut bytes = golden_bytes().to_vec();
    for (at, value) in changes {
        bytes[*at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    view_error(&bytes).expect("refused")
}

#[test]
fn errors_name_field_value_and_limit() {
    assert_tells(&lie(&[(3968, 1025)]), &["chunk_count", "1025", "1024"]);
    assert_tells(&lie(&[(3976, 257)]), &["lane_count", "257", "256"]);
    assert_tells(&lie(&[(3984, 1 << 21)]), &["definition_count", "2097152", "1048576"]);
    assert_tells(&lie(&[(3984, 13)]), &["definition 12", "length_bytes", "0"]);
    assert_tells(&lie(&[(3968, 0), (3976, 0)]), &["definition_count", "12", "0"]);
    assert_tells(&lie(&[(4088, 3 << 8)]), &["live words", "4089", "3"]);
    assert_tells(&lie(&[(60_000, 1)]), &["header", "60000", "1"]);
    assert_tells(&lie(&[(4096 + 16, 8)]), &["lane 0", "ring_offset_bytes", "8", "1024"]);
    assert_tells(&lie(&[(4160 + 32, 2)]), &["lane 1", "state", "2", "1"]);
    assert_tells(&lie(&[(4160 + 40, 8)]), &["lane 1", "cells_offset_bytes", "8", "128"]);
    assert_tells(&lie(&[(4160 + 48, 1)]), &["lane 1", "4208", "1"]);
    assert_tells(&lie(&[(184, 0)]), &["lane 0", "cells_offset_bytes", "327680", "0"]);
    assert_tells(&lie(&[(184, 12)]), &["lane_cells", "12", "8"]);
    assert_tells(&lie(&[(184, 8200)]), &["lane_cells", "8200", "8192"]);
    assert_tells(&lie(&[(184, 16 | 1 << 32)]), &["reserved", "1", "0"]);
    // Series 0 is the second definition: its id and family share a word.
    let bytes = golden_bytes();
    let first = 65_536 + usize::from(bytes[65_536]);
    assert_tells(&lie(&[(first + 8, 7)]), &["definition 1", "series id", "7", "0"]);
    assert_tells(&lie(&[(first + 8, 9 << 32)]), &["definition 1", "family", "9", "1"]);
    assert_tells(&lie(&[(first + 16, 65_536)]), &["cell_offset_bytes", "65536", "32"]);
    assert_tells(&lie(&[(first + 16, 131_073)]), &["cell_offset_bytes", "131073", "8"]);
    assert_tells(&lie(&[(first + 24, 0)]), &["label_values", "0", "2"]);
    let counter_of_two_labels = (1 << 32) | 5;
    assert_tells(
        &lie(&[(65_536 + 8, counter_of_two_labels)]),
        &["definition 0", "family id", "5", "0"],
    );
}

#[test]
fn definitions_go_on_in_the_next_chunk() {
    let mut image = empty_image();
    let help = "h".repeat(4000);
    for _ in 0..50 {
        let family = golden::family("m", Kind::Counter, &[]);
        image.family(FamilyDefinition { help: help.clone(), ..family });
    }
    let bytes = image.bytes();
    let view = segment::view(&bytes).expect("a segment");
    assert_eq!(view.dictionary.families().len(), 50);
    assert_eq!(view.chunks.count(), 4, "16 in each chunk");
}
