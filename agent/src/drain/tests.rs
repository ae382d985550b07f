//! A segment whose every read answers something else: nothing of it is ever true for long.

use std::io;
use std::sync::Mutex;

use proptest::prelude::*;
use ringmeter_layout::definition::{FamilyDefinition, SeriesDefinition};
use ringmeter_layout::file::Identity;
use ringmeter_layout::naming::{GaugeRule, Kind, SegmentName};
use ringmeter_layout::segment::Geometry;

use super::*;
use crate::aggregate::Aggregate;
use crate::context::{Buffers, Counts};
use crate::limits::Limits;
use crate::segment::Attachment;
use crate::segment::sample::header_page;
use crate::source::AckSink;

/// Bytes that are right at first sight, and then damaged anew at every read.
struct Liar {
    image: Vec<u8>,
    damage: Mutex<Vec<(usize, u8)>>,
}

impl Source for Liar {
    fn read(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()> {
        assert_eq!((offset_bytes % 8, buffer.len() % 8), (0, 0), "whole words only");
        let start = usize::try_from(offset_bytes).unwrap();
        let end = start.checked_add(buffer.len()).unwrap();
        let Some(bytes) = self.image.get(start..end) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        buffer.copy_from_slice(bytes);
        if let Some((at, value)) = self.damage.lock().unwrap().pop() {
            let at = at % buffer.len();
            buffer[at] = value;
        }
        Ok(())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.image.len() as u64)
    }

    fn is_alive(&self) -> io::Result<bool> {
        Ok(true)
    }
}

struct NoAck;

impl AckSink for NoAck {
    fn write(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

const CHUNK: usize = 65_536;

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

fn family(id: u32, kind: Kind) -> FamilyDefinition {
    FamilyDefinition {
        id,
        kind,
        gauge_rule: GaugeRule::Sum,
        name: format!("m{id}"),
        help: "Help.".into(),
        unit: String::new(),
        label_names: vec!["l".into()],
        bounds: if kind == Kind::Histogram { vec![1.0] } else { Vec::new() },
        objectives: if kind == Kind::Summary { vec![0.5] } else { Vec::new() },
        max_age_ms: if kind == Kind::Summary { 1000 } else { 0 },
        age_buckets: if kind == Kind::Summary { 2 } else { 0 },
    }
}

/// A small honest segment: one metric of each kind, one lane that is full.
fn image() -> (Geometry, Vec<u8>) {
    let mut image = vec![0; 5 * CHUNK];
    put(&mut image, 0, &header_page("s", 1));
    for (index, kind) in [1u32, 2, 3, 4].into_iter().enumerate() {
        let chunk = RawChunk {
            kind,
            offset_bytes: ((index + 1) * CHUNK) as u64,
            length_bytes: CHUNK as u64,
            ..RawChunk::default()
        };
        let at = usize::try_from(chunk_entry_offset_bytes(0)).unwrap() + index * 32;
        put(&mut image, at, bytemuck::bytes_of(&chunk));
    }
    let mut at = CHUNK;
    for (id, kind) in (0u32..).zip(Kind::ALL) {
        let chunk = if kind == Kind::Gauge { 2 } else { 3 };
        let series = SeriesDefinition {
            id,
            family: id,
            cell_offset_bytes: u64::from(chunk * 65_536 + id * 4096),
            label_values: vec!["v".into()],
            is_overflow: false,
        };
        for entry in [family(id, kind).encode(), series.encode()] {
            put(&mut image, at, &entry);
            at += entry.len();
        }
    }
    let live = RawLive { chunk_count: 4, lane_count: 1, definition_count: 8, ..RawLive::default() };
    put(&mut image, LIVE_OFFSET_BYTES as usize, bytemuck::bytes_of(&live));
    let control = RawControl {
        tail: 64,
        spill_count: 3,
        ring_offset_bytes: 4 * 65_536,
        ..RawControl::default()
    };
    put(&mut image, 4096, bytemuck::bytes_of(&control));
    for slot in 0..64u64 {
        let word = (slot % 4) | ((slot % 3 + 1) << 32) | 1 << 40;
        let at = 4 * CHUNK + usize::try_from(slot).unwrap() * 16;
        put(&mut image, at, bytemuck::cast_slice(&[word, slot]));
    }
    let geometry = Geometry::parse(&image).unwrap();
    (geometry, image)
}

fn visit(damage: Vec<(usize, u8)>) -> (Option<Refusal>, Counts, u64) {
    let (geometry, image) = image();
    let attachment = Attachment {
        name: SegmentName::new("s", [1; 16]).unwrap(),
        identity: Identity::of_metadata(&std::fs::metadata("/").unwrap()),
        geometry,
        source: Box::new(Liar { image, damage: Mutex::new(damage) }),
        ack: Box::new(NoAck),
        has_ledger_id: false,
        before: Before::Nothing,
        kept: None,
        number: 0,
        is_old: false,
        is_alive: true,
    };
    let limits = Limits::default();
    let mut aggregate = Aggregate::new(limits.clone());
    let mut buffers = Buffers::new(&limits);
    let mut counts = Counts::default();
    let mut segment = Segment::new(attachment, 1, 1);
    let mut refusal = None;
    for pass in 1..20u64 {
        let now_ns = pass * 1_000_000_000;
        let mut context = Context {
            aggregate: &mut aggregate,
            limits: &limits,
            buffers: &mut buffers,
            counts: &mut counts,
            now_ns,
        };
        refusal = segment.begin(&mut context).err();
        for _ in 0..4 {
            refusal = refusal.or_else(|| segment.step(&mut context).err());
        }
        refusal = refusal.or_else(|| segment.finish(true, &mut context).err());
        if refusal.is_some() {
            break;
        }
    }
    segment.cells.release(&mut aggregate);
    let held_bytes = aggregate.memory().used_bytes();
    (refusal, counts, held_bytes)
}

#[test]
fn the_image_is_an_honest_one() {
    let (refusal, counts, _) = visit(Vec::new());
    assert_eq!(refusal, None);
    assert_eq!((counts.drained, counts.spilled), (64, 3));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn reads_that_differ_each_time_are_survived(
        // Half of it where the first words of what is read are.
        damage in prop::collection::vec(
            (prop_oneof![0usize..700, 0usize..65_536], any::<u8>()),
            0..120,
        ),
    ) {
        let (_, counts, held_bytes) = visit(damage);
        prop_assert!(counts.drained <= 20 * 64);
        prop_assert!(held_bytes < 1 << 20);
    }
}
