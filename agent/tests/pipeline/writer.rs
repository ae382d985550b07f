//! Writes segments by hand, as an app would, with the layout's own structs.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ringmeter_layout::cell;
use ringmeter_layout::definition::{FamilyDefinition, SeriesDefinition};
use ringmeter_layout::file::lock_exclusive;
use ringmeter_layout::lane::Capacity;
use ringmeter_layout::naming::{GaugeRule, Kind, SegmentName};
use ringmeter_layout::record::{Operation, Record, pack};
use ringmeter_layout::segment::{
    Birth, ChunkKind, HEADER_SIZE_BYTES, LANE_CLAIMED, RawChunk, RawControl, RawHeader,
    VERSION_WORD_OFFSET_BYTES, chunk_entry_offset_bytes, control_offset_bytes,
    live_word_offset_bytes, version_word,
};
use ringmeter_layout::word::Word;

pub(crate) const CAPACITY_RECORDS: u32 = 64;
pub(crate) const SPILL_SCHEMA: u8 = 2;
pub(crate) const LANE_CELLS: u32 = 8;
const CHUNK_BYTES: u64 = 65_536;
const SIZE_LIMIT_BYTES: u64 = 64 << 20;
pub(crate) const LIVE_CHUNKS: usize = 0;
pub(crate) const LIVE_LANES: usize = 8;
pub(crate) const LIVE_DEFINITIONS: usize = 16;
pub(crate) const LIVE_RETIRES: usize = 24;
pub(crate) const LIVE_SHARED_SPILL: usize = 32;
pub(crate) const LIVE_NAN: usize = 40;
pub(crate) const LIVE_OVERFLOWED: usize = 64;
pub(crate) const LIVE_MISLABELED: usize = 88;

/// A place to append in the last chunk of a kind.
#[derive(Default)]
struct Room {
    at: u64,
    left: u64,
}

pub(crate) struct Cell {
    pub(crate) offset: u64,
    words: Vec<Word>,
    bounds: Vec<f64>,
    kind: Kind,
}

pub(crate) struct LaneState {
    ring: u64,
    cells: u64,
    pub(crate) tail: u64,
    spilled: u64,
}

/// A segment file and what its writer knows.
pub(crate) struct Writer {
    pub(crate) file: File,
    pub(crate) name: SegmentName,
    pub(crate) path: PathBuf,
    end: u64,
    chunks: u32,
    families: Vec<FamilyDefinition>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) lanes: Vec<LaneState>,
    definitions: u64,
    retires: u64,
    shared_spill: u64,
    rooms: [Room; 5],
}

pub(crate) fn family(kind: Kind, name: &str, labels: &[&str]) -> FamilyDefinition {
    FamilyDefinition {
        id: 0,
        kind,
        gauge_rule: GaugeRule::Sum,
        name: name.into(),
        help: format!("Help of {name}."),
        unit: String::new(),
        label_names: labels.iter().map(|name| (*name).to_owned()).collect(),
        bounds: if kind == Kind::Histogram { vec![0.1, 1.0, 10.0] } else { Vec::new() },
        objectives: if kind == Kind::Summary { vec![0.5, 0.99] } else { Vec::new() },
        max_age_ms: if kind == Kind::Summary { 600_000 } else { 0 },
        age_buckets: if kind == Kind::Summary { 5 } else { 0 },
    }
}

impl Writer {
    /// A live segment with a definition chunk of its own and one lane.
    pub(crate) fn create(directory: &Path, service: &str, id: u8) -> Self {
        let mut writer = Self::bare(directory, service, id);
        writer.lane();
        writer
    }

    /// A live segment without anything.
    pub(crate) fn bare(directory: &Path, service: &str, id: u8) -> Self {
        let segments = directory.join("segments");
        fs::create_dir_all(&segments).expect("segments directory");
        let name = SegmentName::new(service, [id; 16]).expect("service name");
        let temporary = segments.join(name.temporary_file());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&temporary)
            .expect("segment file");
        lock_exclusive(&file).expect("lock");
        file.set_len(HEADER_SIZE_BYTES.into()).expect("size");
        let header = RawHeader::new(&Birth {
            id: [id; 16],
            service,
            created_unix_ns: u64::from(id),
            size_limit_bytes: SIZE_LIMIT_BYTES,
            process_id: 1,
            lane_capacity: Capacity::new(CAPACITY_RECORDS).expect("capacity"),
            spill_schema: SPILL_SCHEMA,
            lane_cells: LANE_CELLS,
        });
        file.write_all_at(bytemuck::bytes_of(&header), 0).expect("header");
        file.write_all_at(&version_word().to_le_bytes(), VERSION_WORD_OFFSET_BYTES)
            .expect("version");
        let path = segments.join(name.segment_file());
        fs::rename(temporary, &path).expect("rename");
        Self {
            file,
            name,
            path,
            end: HEADER_SIZE_BYTES.into(),
            chunks: 0,
            families: Vec::new(),
            cells: Vec::new(),
            lanes: Vec::new(),
            definitions: 0,
            retires: 0,
            shared_spill: 0,
            rooms: Default::default(),
        }
    }

    pub(crate) fn write(&self, at: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, at).expect("write");
    }

    pub(crate) fn live(&self, word: usize, value: u64) {
        self.write(live_word_offset_bytes(word), &value.to_le_bytes());
    }

    pub(crate) fn chunk_entry(&mut self, kind: u32, offset_bytes: u64, length_bytes: u64) {
        let entry = RawChunk { kind, offset_bytes, length_bytes, ..RawChunk::default() };
        self.write(chunk_entry_offset_bytes(self.chunks), bytemuck::bytes_of(&entry));
        self.chunks += 1;
        self.live(LIVE_CHUNKS, self.chunks.into());
    }

    /// Room for `size` bytes in a chunk of a kind; adds a chunk when the last one is full.
    fn room(&mut self, kind: ChunkKind, size: u64) -> u64 {
        let at = kind as usize - 1;
        if self.rooms[at].left < size {
            if kind == ChunkKind::Definitions && self.rooms[at].left >= 8 {
                self.write(self.rooms[at].at, &ringmeter_layout::definition::end_of_chunk());
            }
            let length = size.next_multiple_of(CHUNK_BYTES);
            let offset = self.end;
            self.end += length;
            self.file.set_len(self.end).expect("grow");
            self.chunk_entry(kind as u32, offset, length);
            self.rooms[at] = Room { at: offset, left: length };
        }
        let room = &mut self.rooms[at];
        let offset = room.at;
        room.at += size;
        room.left -= size;
        offset
    }

    pub(crate) fn define(&mut self, bytes: &[u8]) {
        let at = self.room(ChunkKind::Definitions, bytes.len() as u64);
        self.write(at, bytes);
        self.definitions += 1;
        self.live(LIVE_DEFINITIONS, self.definitions);
    }

    pub(crate) fn family(&mut self, mut family: FamilyDefinition) -> u32 {
        family.id = u32::try_from(self.families.len()).expect("few");
        self.define(&family.encode());
        self.families.push(family.clone());
        let overflow = true;
        self.series_with(family.id, &[], overflow);
        family.id
    }

    pub(crate) fn series(&mut self, family: u32, values: &[&str]) -> u32 {
        self.series_with(family, values, false)
    }

    fn series_with(&mut self, family: u32, values: &[&str], is_overflow: bool) -> u32 {
        let own = self.families[family as usize].clone();
        let bounds = u32::try_from(own.bounds.len()).expect("few");
        let size = cell::size_bytes(own.kind, SPILL_SCHEMA, bounds);
        let chunk = if own.kind == Kind::Gauge { ChunkKind::Gauges } else { ChunkKind::Cells };
        let offset = self.room(chunk, size);
        let id = u32::try_from(self.cells.len()).expect("few");
        let definition = SeriesDefinition {
            id,
            family,
            cell_offset_bytes: offset,
            label_values: values.iter().map(|value| (*value).to_owned()).collect(),
            is_overflow,
        };
        self.define(&definition.encode());
        let words = (0..size / 8).map(|_| Word::new(0)).collect();
        self.cells.push(Cell { offset, words, bounds: own.bounds, kind: own.kind });
        id
    }

    pub(crate) fn lane(&mut self) -> usize {
        let ring = self.room(ChunkKind::Lanes, u64::from(CAPACITY_RECORDS) * 16);
        let cells = self.room(ChunkKind::LaneCells, u64::from(LANE_CELLS) * 8);
        self.lanes.push(LaneState { ring, cells, tail: 0, spilled: 0 });
        self.publish(self.lanes.len() - 1);
        self.live(LIVE_LANES, self.lanes.len() as u64);
        self.lanes.len() - 1
    }

    pub(crate) fn publish(&self, lane: usize) {
        let own = &self.lanes[lane];
        let line = RawControl {
            tail: own.tail,
            spill_count: own.spilled,
            ring_offset_bytes: own.ring,
            cells_offset_bytes: own.cells,
            claims: 1,
            state: LANE_CLAIMED,
            ..RawControl::default()
        };
        let at = control_offset_bytes(u32::try_from(lane).expect("few"));
        self.write(at, bytemuck::bytes_of(&line));
    }

    pub(crate) fn raw(&mut self, lane: usize, word: u64, value: u64) {
        let own = &mut self.lanes[lane];
        let at = own.ring + own.tail % u64::from(CAPACITY_RECORDS) * 16;
        own.tail += 1;
        self.write(at, bytemuck::cast_slice(&[word, value]));
        self.publish(lane);
    }

    /// Writes slots that are published together.
    pub(crate) fn slots(&mut self, lane: usize, slots: &[Record]) {
        for slot in slots {
            let own = &mut self.lanes[lane];
            let at = own.ring + own.tail % u64::from(CAPACITY_RECORDS) * 16;
            own.tail += 1;
            self.write(at, bytemuck::bytes_of(slot));
        }
        self.publish(lane);
    }

    pub(crate) fn add(&mut self, series: u32, value: u64) {
        self.raw(0, pack(series, Operation::AddU64), value);
    }

    pub(crate) fn add_f64(&mut self, series: u32, value: f64) {
        self.raw(0, pack(series, Operation::AddF64), value.to_bits());
    }

    pub(crate) fn observe(&mut self, series: u32, value: f64) {
        self.raw(0, pack(series, Operation::ObserveF64), value.to_bits());
    }

    pub(crate) fn set(&mut self, series: u32, value: f64) {
        let cell = &self.cells[series as usize];
        cell::GaugeCell::new(&cell.words).expect("a gauge").set(value);
        self.flush(series);
    }

    /// Writes a cell's words to the file.
    pub(crate) fn flush(&self, series: u32) {
        let cell = &self.cells[series as usize];
        let words: Vec<u64> = cell.words.iter().map(Word::load_relaxed).collect();
        self.write(cell.offset, bytemuck::cast_slice(&words));
    }

    pub(crate) fn spill_add(&mut self, series: u32, value: u64) {
        cell::add_u64(&self.cells[series as usize].words, value);
        self.spilled(series);
    }

    pub(crate) fn spill_add_f64(&mut self, series: u32, value: f64) {
        cell::add_f64(&self.cells[series as usize].words, value);
        self.spilled(series);
    }

    pub(crate) fn spill_observe(&mut self, series: u32, value: f64) {
        let cell = &self.cells[series as usize];
        cell::observe(&cell.words, None, SPILL_SCHEMA, &cell.bounds, value);
        self.spilled(series);
    }

    /// As the owner of a lane does it, whose sum in that lane was `before`. Returns the sum after.
    pub(crate) fn spill_observe_in_lane(
        &mut self,
        (series, number): (u32, u64),
        lane: usize,
        before: f64,
        value: f64,
    ) -> f64 {
        let cell = &self.cells[series as usize];
        let sum = Word::new(before.to_bits());
        cell::observe(&cell.words, Some(&sum), SPILL_SCHEMA, &cell.bounds, value);
        self.hold_in_lane(lane, number, sum.load_relaxed());
        self.flush(series);
        self.lanes[lane].spilled += 1;
        self.publish(lane);
        f64::from_bits(sum.load_relaxed())
    }

    fn spilled(&mut self, series: u32) {
        self.flush(series);
        self.lanes[0].spilled += 1;
        self.publish(0);
    }

    /// As a thread without a lane does it.
    pub(crate) fn spill_add_shared(&mut self, series: u32, value: u64) {
        cell::add_u64(&self.cells[series as usize].words, value);
        self.flush(series);
        self.shared_spill += 1;
        self.live(LIVE_SHARED_SPILL, self.shared_spill);
    }

    /// What a lane holds of a counter or distribution; they are numbered as they are defined,
    /// overflow series included.
    pub(crate) fn hold_in_lane(&self, lane: usize, number: u64, total: u64) {
        self.write(self.lanes[lane].cells + number * 8, &total.to_le_bytes());
    }

    /// Overwrites a word of a cell, as a liar would.
    pub(crate) fn poke(&self, series: u32, word: usize, value: u64) {
        self.cells[series as usize].words[word].store_relaxed(value);
        self.flush(series);
    }

    /// Retires a series, or revives it.
    pub(crate) fn turn(&mut self, series: u32) {
        let cell = &self.cells[series as usize];
        cell.words[cell::state_word(cell.kind)].add_relaxed(1);
        self.flush(series);
        self.retires += 1;
        self.live(LIVE_RETIRES, self.retires);
    }

    /// The process dies: the file stays, its lock falls.
    pub(crate) fn die(self) -> PathBuf {
        self.path
    }
}
