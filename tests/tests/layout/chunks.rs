//! The chunk table, counts, and the geometry of lanes.

use proptest::prelude::*;
use ringmeter_layout::lane::Capacity;
use ringmeter_layout::segment::{
    Birth, CHUNK_ALIGN_BYTES, CHUNKS_MAX, Chunk, ChunkKind, ChunkTable, Geometry, LANES_MAX,
    LIVE_OFFSET_BYTES, LaneGeometry, RawChunk, RawControl, RawHeader, SEGMENT_SIZE_MAX_BYTES,
    version_word,
};
use ringmeter_tests::allocation::peak_bytes;

use crate::assert_tells;

const UNIT: u64 = CHUNK_ALIGN_BYTES as u64;

/// The bytes of a header, as an app writes them.
fn header(size_limit_bytes: u64, capacity_records: u32) -> Vec<u8> {
    let raw = RawHeader::new(&Birth {
        id: [7; 16],
        service: "chunks",
        created_unix_ns: 1,
        size_limit_bytes,
        process_id: 1,
        lane_capacity: Capacity::new(capacity_records).expect("a capacity"),
        spill_schema: 2,
        lane_cells: 8,
    });
    let mut bytes = bytemuck::bytes_of(&raw).to_vec();
    bytes.resize(LIVE_OFFSET_BYTES as usize, 0);
    bytes[8..16].copy_from_slice(&version_word().to_le_bytes());
    bytes
}

fn geometry(size_limit_bytes: u64) -> Geometry {
    Geometry::parse(&header(size_limit_bytes, 64)).expect("a header")
}

/// Numbers as an app writes them, near a limit, or any.
fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0_u64..40).prop_map(|units| units * UNIT),
        1 => (0_u64..40, 1_u64..9).prop_map(|(units, off)| units * UNIT + off),
        1 => (0_u64..9).prop_map(|off| SEGMENT_SIZE_MAX_BYTES - UNIT + off * UNIT / 4),
        1 => (0_u64..9).prop_map(|off| u64::MAX - off),
        1 => any::<u64>(),
    ]
}

fn entry() -> impl Strategy<Value = RawChunk> {
    let kind = prop_oneof![8 => 1_u32..=5, 1 => any::<u32>()];
    let reserved = prop_oneof![20 => Just(0), 1 => any::<u64>()];
    (kind, offset(), offset(), reserved).prop_map(|(kind, offset_bytes, length_bytes, reserved)| {
        RawChunk { kind, reserved_0: 0, offset_bytes, length_bytes, reserved_1: reserved }
    })
}

fn is_well_formed(raw: &RawChunk, limit: u64) -> bool {
    (1..=5).contains(&raw.kind)
        && raw.reserved_1 == 0
        && [raw.offset_bytes, raw.length_bytes].iter().all(|n| *n != 0 && n % UNIT == 0)
        && raw.offset_bytes.checked_add(raw.length_bytes).is_some_and(|end| end <= limit)
}

proptest! {
    #[test]
    fn accepted_chunks_are_apart_and_within_limits(
        entries in prop::collection::vec(entry(), 0..60),
        file_units in 1_u64..64,
        limit_units in 1_u64..64,
    ) {
        let geometry = geometry(limit_units * UNIT);
        let limit = limit_units.min(file_units) * UNIT;
        let mut table = ChunkTable::default();
        let mut accepted: Vec<Chunk> = Vec::new();
        for raw in &entries {
            let apart = |other: &Chunk| {
                raw.offset_bytes.saturating_add(raw.length_bytes) <= other.offset_bytes
                    || other.end_bytes() <= raw.offset_bytes
            };
            let expected = is_well_formed(raw, limit) && accepted.iter().all(apart);
            match table.push(raw, &geometry, file_units * UNIT) {
                Ok(chunk) => {
                    prop_assert!(expected, "{:?}", raw);
                    prop_assert!(chunk.offset_bytes >= UNIT && chunk.end_bytes() <= limit);
                    accepted.push(chunk);
                }
                Err(error) => prop_assert!(!expected, "{:?}: {}", raw, error),
            }
            prop_assert_eq!(table.chunks(), &accepted[..], "unchanged by what was refused");
        }
    }

    #[test]
    fn what_is_found_in_a_chunk_lies_in_it(
        entries in prop::collection::vec(entry(), 0..30),
        at in offset(),
        // Nothing that is looked for is empty.
        size in offset().prop_map(|size| size.max(1)),
    ) {
        let geometry = geometry(SEGMENT_SIZE_MAX_BYTES);
        let mut table = ChunkTable::default();
        for raw in &entries {
            let _ = table.push(raw, &geometry, SEGMENT_SIZE_MAX_BYTES);
        }
        for kind in [1, 2, 3, 4, 5].map(|code| ChunkKind::from_code(code).expect("a kind")) {
            let holds = |chunk: &&Chunk| {
                chunk.kind == kind
                    && chunk.offset_bytes <= at
                    && at < chunk.end_bytes()
                    && at.checked_add(size).is_some_and(|end| end <= chunk.end_bytes())
            };
            let expected = table.chunks().iter().find(holds).filter(|_| at % 8 == 0);
            prop_assert_eq!(table.containing("x", kind, at, size).ok(), expected);
        }
    }

    #[test]
    fn the_cells_of_a_lane_lie_in_a_chunk_of_them(at in offset(), units in 0_u32..=1024) {
        let mut bytes = header(SEGMENT_SIZE_MAX_BYTES, 64);
        bytes[184..188].copy_from_slice(&(units * 8).to_le_bytes());
        let geometry = Geometry::parse(&bytes).expect("a header");
        let mut table = ChunkTable::default();
        for (kind, offset, length) in [(4, 3 * UNIT, UNIT), (5, 4 * UNIT, 2 * UNIT)] {
            let raw = RawChunk {
                kind, offset_bytes: offset, length_bytes: length, ..RawChunk::default()
            };
            table.push(&raw, &geometry, SEGMENT_SIZE_MAX_BYTES).expect("a chunk");
        }
        let ring_offset_bytes = 3 * UNIT;
        let control =
            RawControl { ring_offset_bytes, cells_offset_bytes: at, ..RawControl::default() };
        let size = u64::from(units) * 64;
        let end = at.saturating_add(size);
        let is_there = units > 0 && at % 8 == 0 && (4 * UNIT..6 * UNIT).contains(&at);
        let inside = is_there && end <= 6 * UNIT;
        match LaneGeometry::parse(&control, &geometry, &table) {
            Ok(lane) => {
                prop_assert!(inside || at == 0);
                prop_assert_eq!(lane.cells_offset_bytes, (at > 0).then_some(at));
            }
            Err(error) => {
                prop_assert!(!inside);
                assert_tells(&error, &["cells_offset_bytes", &at.to_string()]);
            }
        }
    }

    #[test]
    fn a_lane_ring_lies_in_a_lane_chunk(at in offset(), capacity in 6_u32..=14) {
        let bytes = header(SEGMENT_SIZE_MAX_BYTES, 1 << capacity);
        let geometry = Geometry::parse(&bytes).expect("a header");
        let mut table = ChunkTable::default();
        let raw = |kind, offset, length| RawChunk {
            kind, offset_bytes: offset, length_bytes: length, ..RawChunk::default()
        };
        for chunk in [raw(4, 3 * UNIT, 2 * UNIT), raw(3, 5 * UNIT, 9 * UNIT)] {
            table.push(&chunk, &geometry, SEGMENT_SIZE_MAX_BYTES).expect("a chunk");
        }
        let control = RawControl { ring_offset_bytes: at, ..RawControl::default() };
        let size = 16_u64 << capacity;
        let inside = at % 8 == 0 && at >= 3 * UNIT && at.saturating_add(size) <= 5 * UNIT;
        match LaneGeometry::parse(&control, &geometry, &table) {
            Ok(lane) => {
                prop_assert!(inside);
                prop_assert_eq!(lane.capacity.size_bytes(), size);
            }
            Err(error) => {
                prop_assert!(!inside);
                assert_tells(&error, &["ring_offset_bytes", &at.to_string()]);
            }
        }
    }

    #[test]
    fn counts_grow_within_their_limits(published: u64, known in 0_u32..=LANES_MAX) {
        let table = ChunkTable::default();
        let within = published <= u64::from(CHUNKS_MAX);
        prop_assert_eq!(table.check_count(published).is_ok(), within);
        let grows = (u64::from(known)..=u64::from(LANES_MAX)).contains(&published);
        prop_assert_eq!(ChunkTable::check_lane_count(known, published).is_ok(), grows);
    }

    #[test]
    fn a_changed_header_is_refused_or_means_what_it_says(at in 0_usize..3968, bits in 1_u8..) {
        let mut bytes = header(1 << 20, 64);
        bytes[at] ^= bits;
        let (result, peak) = peak_bytes(|| Geometry::parse(&bytes));
        prop_assert!(peak <= 64, "{} bytes for a service name", peak);
        // Capacity, schema, optional features, id, time, limit, process, service: any value, or
        // some values, are a header's. The other fields have one value each.
        if result.is_ok() {
            let free = (56..64).contains(&at) || (72..184).contains(&at) || matches!(at, 10 | 11);
            prop_assert!(free, "byte {} was not looked at", at);
        }
    }
}

#[test]
fn a_full_table_takes_no_more_and_stays_small() {
    let geometry = geometry(SEGMENT_SIZE_MAX_BYTES);
    let raw = |index: u64| RawChunk {
        kind: 1,
        offset_bytes: index * UNIT,
        length_bytes: UNIT,
        ..RawChunk::default()
    };
    let (mut table, peak) = peak_bytes(|| {
        let mut table = ChunkTable::default();
        // Backwards, so that every insertion moves all that are there.
        for index in (1..=u64::from(CHUNKS_MAX)).rev() {
            let pushed = table.push(&raw(index), &geometry, SEGMENT_SIZE_MAX_BYTES);
            assert!(pushed.is_ok(), "chunk {index}");
        }
        table
    });
    assert_eq!(table.count(), CHUNKS_MAX);
    let one_more = table.push(&raw(2000), &geometry, SEGMENT_SIZE_MAX_BYTES).expect_err("refused");
    assert_tells(&one_more, &["chunk_count", "1025", "1024"]);
    assert!(peak <= 64 << 10, "{peak} bytes");
}

#[test]
fn errors_name_field_value_and_limit() {
    let small = geometry(4 * UNIT);
    let mut table = ChunkTable::default();
    let raw = |kind, offset_bytes, length_bytes| RawChunk {
        kind,
        offset_bytes,
        length_bytes,
        ..RawChunk::default()
    };
    table.push(&raw(1, UNIT, 2 * UNIT), &small, 4 * UNIT).expect("a chunk");
    let cases: [(RawChunk, &[&str]); 7] = [
        (raw(9, UNIT, UNIT), &["chunk 1 kind", "9", "1 to 5"]),
        (raw(1, 5 * UNIT, UNIT), &["offset_bytes", "327680", "262144"]),
        (raw(1, 3 * UNIT, 2 * UNIT), &["length_bytes", "131072", "65536"]),
        (raw(1, 3 * UNIT + 8, 8), &["offset_bytes", "196616", "65536"]),
        (raw(1, 3 * UNIT, 8), &["length_bytes", "8", "65536"]),
        (raw(1, 2 * UNIT, UNIT), &["chunk 1 offset_bytes", "131072", "chunk 0", "196608"]),
        (RawChunk { reserved_1: 5 << 8, ..raw(1, 3 * UNIT, UNIT) }, &["chunk entry", "25", "5"]),
    ];
    for (raw, parts) in cases {
        assert_tells(&table.push(&raw, &small, 4 * UNIT).expect_err("refused"), parts);
    }
    assert_tells(&table.check_count(2000).expect_err("refused"), &["chunk_count", "2000", "1024"]);
    assert_tells(&table.check_count(0).expect_err("refused"), &["chunk_count", "0", "1"]);
    let lanes = ChunkTable::check_lane_count(0, 257).expect_err("refused");
    assert_tells(&lanes, &["lane_count", "257", "256"]);
    let outside = table.containing("cell", ChunkKind::Cells, UNIT, 32).expect_err("refused");
    assert_tells(&outside, &["cell", "65536", "32"]);
}

/// One wrong field each: offset, new bytes, what the error must say.
const HEADER_LIES: [(usize, &[u8], &[&str]); 16] = [
    (0, b"X", &["magic", "58"]),
    (8, &[2], &["version_major", "2", "1"]),
    (12, &[1, 2, 3, 4], &["byte_order", "0x04030201", "0x01020304"]),
    (16, &[4], &["word_size_bytes", "4", "8"]),
    (20, &[1], &["header_size_bytes", "65537", "65536"]),
    (28, &[1], &["control_offset_bytes", "4097", "4096"]),
    (36, &[1, 2], &["lanes_max", "513", "256"]),
    (48, &[0, 8], &["chunks_max", "2048", "1024"]),
    (52, &[0, 16, 0], &["chunk_align_bytes", "4096", "65536"]),
    (56, &[65], &["lane_capacity_records", "65", "64", "4194304"]),
    (60, &[6], &["spill_schema", "6", "5"]),
    (64, &[0x10], &["features_required", "0x10"]),
    (104, &[1, 0, 0, 0x40], &["size_limit_bytes", "1073741825", "1073741824"]),
    (116, &[65], &["service_length_bytes", "65", "64"]),
    (120, b"\xff", &["service", "UTF-8", "0"]),
    (200, &[9], &["header", "200", "9"]),
];

#[test]
fn header_errors_name_field_value_and_limit() {
    for (at, lie, parts) in HEADER_LIES {
        let mut bytes = header(1 << 20, 64);
        bytes[at..at + lie.len()].copy_from_slice(lie);
        assert_tells(&Geometry::parse(&bytes).expect_err("refused"), parts);
    }
    let mut bytes = header(1 << 20, 64);
    bytes[120] = b'/';
    assert_tells(&Geometry::parse(&bytes).expect_err("refused"), &["service", "'/'"]);
    let short = Geometry::parse(&bytes[..3967]).expect_err("refused");
    assert_tells(&short, &["header", "3967", "3968"]);
}
