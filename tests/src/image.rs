//! A segment in heap memory, written with the layout's own functions as an app writes one.

use ringmeter_layout::cell;
use ringmeter_layout::definition::{FamilyDefinition, SeriesDefinition, end_of_chunk};
use ringmeter_layout::lane::{self, Capacity};
use ringmeter_layout::naming::Kind;
use ringmeter_layout::segment::{
    self, Birth, ChunkKind, HEADER_SIZE_BYTES, LANE_CLAIMED, RawControl, RawHeader, RawLive,
    VERSION_WORD_OFFSET_BYTES,
};
use ringmeter_layout::word::Word;

/// Offset of a live word in the file.
#[must_use]
pub const fn live(offset_in_live_bytes: usize) -> u64 {
    segment::live_word_offset_bytes(offset_in_live_bytes)
}

/// Where in a growing kind of chunk the next thing goes.
#[derive(Debug, Clone, Copy, Default)]
struct Room {
    next_bytes: u64,
    end_bytes: u64,
}

/// A segment that grows as an app's does; no files, no mapping, no limits but the layout's.
#[derive(Debug)]
pub struct Image {
    words: Vec<Word>,
    capacity: Capacity,
    spill_schema: u8,
    lane_cells: u32,
    rooms: [Room; 5],
    families: Vec<FamilyDefinition>,
    series: Vec<SeriesDefinition>,
}

impl Image {
    /// The header page of a new segment.
    #[must_use]
    pub fn new(birth: &Birth<'_>) -> Self {
        let mut image = Self {
            words: Vec::new(),
            capacity: birth.lane_capacity,
            spill_schema: birth.spill_schema,
            lane_cells: birth.lane_cells,
            rooms: [Room::default(); 5],
            families: Vec::new(),
            series: Vec::new(),
        };
        image.grow(HEADER_SIZE_BYTES.into());
        image.put(0, bytemuck::bytes_of(&RawHeader::new(birth)));
        image.word(VERSION_WORD_OFFSET_BYTES).store_release(segment::version_word());
        image
    }

    /// The file's bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.load_relaxed().to_le_bytes()).collect()
    }

    /// The word at an offset.
    ///
    /// # Panics
    /// When the offset is outside, or not a multiple of 8.
    #[must_use]
    pub fn word(&self, offset_bytes: u64) -> &Word {
        &self.words(offset_bytes)[0]
    }

    fn words(&self, offset_bytes: u64) -> &[Word] {
        assert_eq!(offset_bytes % 8, 0, "words are aligned");
        &self.words[index(offset_bytes / 8)..]
    }

    fn put(&self, offset_bytes: u64, bytes: &[u8]) {
        for (word, value) in self.words(offset_bytes).iter().zip(bytes.chunks_exact(8)) {
            word.store_relaxed(bytemuck::pod_read_unaligned(value));
        }
    }

    fn grow(&mut self, size_bytes: u64) -> u64 {
        let offset_bytes = self.words.len() as u64 * 8;
        let words = index(size_bytes / 8);
        self.words.extend(std::iter::repeat_with(Word::default).take(words));
        offset_bytes
    }

    /// Appends a chunk and publishes it; returns where it starts.
    pub fn add_chunk(&mut self, kind: ChunkKind, length_bytes: u64) -> u64 {
        let length_bytes = segment::chunk_aligned_bytes(length_bytes.max(1));
        let offset_bytes = self.grow(length_bytes);
        let count = self.word(live(0)).load_relaxed();
        let entry = segment::chunk_entry_offset_bytes(u32::try_from(count).unwrap_or(u32::MAX));
        self.word(entry).store_relaxed(kind as u64);
        self.word(entry + 8).store_relaxed(offset_bytes);
        self.word(entry + 16).store_relaxed(length_bytes);
        self.word(live(0)).store_release(count + 1);
        offset_bytes
    }

    /// Room of a size in a chunk of a kind, in a new chunk when the last one has not enough.
    fn reserve(&mut self, kind: ChunkKind, size_bytes: u64) -> u64 {
        let at = kind as usize - 1;
        let room = self.rooms[at];
        if room.end_bytes - room.next_bytes < size_bytes {
            if kind == ChunkKind::Definitions && room.next_bytes < room.end_bytes {
                self.put(room.next_bytes, &end_of_chunk());
            }
            let offset_bytes = self.add_chunk(kind, size_bytes);
            let length = segment::chunk_aligned_bytes(size_bytes.max(1));
            self.rooms[at] = Room { next_bytes: offset_bytes, end_bytes: offset_bytes + length };
        }
        let offset_bytes = self.rooms[at].next_bytes;
        self.rooms[at].next_bytes += size_bytes;
        offset_bytes
    }

    /// Appends the bytes of an entry to the definitions and publishes it.
    pub fn define(&mut self, entry: &[u8]) {
        let offset_bytes = self.reserve(ChunkKind::Definitions, entry.len() as u64);
        self.put(offset_bytes, entry);
        let count = self.word(live(std::mem::offset_of!(RawLive, definition_count)));
        count.store_release(count.load_relaxed() + 1);
    }

    /// Defines a family; its id is set here.
    pub fn family(&mut self, mut family: FamilyDefinition) -> u32 {
        let id = next_id(self.families.len());
        family.id = id;
        self.define(&family.encode());
        self.families.push(family);
        id
    }

    /// Reserves a cell and defines a series; returns its id.
    pub fn series(&mut self, family: u32, label_values: &[&str], is_overflow: bool) -> u32 {
        let (kind, bounds) = {
            let family = &self.families[family as usize];
            (family.kind, u32::try_from(family.bounds.len()).unwrap_or(u32::MAX))
        };
        let chunk = if kind == Kind::Gauge { ChunkKind::Gauges } else { ChunkKind::Cells };
        let size_bytes = cell::size_bytes(kind, self.spill_schema, bounds);
        let id = next_id(self.series.len());
        let series = SeriesDefinition {
            id,
            family,
            cell_offset_bytes: self.reserve(chunk, size_bytes),
            label_values: label_values.iter().map(|value| (*value).to_owned()).collect(),
            is_overflow,
        };
        self.define(&series.encode());
        self.series.push(series);
        id
    }

    /// The words of a series' cell, and what follows it.
    #[must_use]
    pub fn cell(&self, series: u32) -> &[Word] {
        self.words(self.series[series as usize].cell_offset_bytes)
    }

    /// Adds an observation to a series' cell.
    pub fn spill_observation(&self, series: u32, value: f64) {
        let family = &self.families[self.series[series as usize].family as usize];
        cell::observe(self.cell(series), None, self.spill_schema, &family.bounds, value);
    }

    /// Retires a series, or revives it.
    pub fn flip_retired(&self, series: u32) {
        let kind = self.families[self.series[series as usize].family as usize].kind;
        self.cell(series)[cell::state_word(kind)].add_relaxed(1);
        self.word(live(std::mem::offset_of!(RawLive, retire_changes))).add_release(1);
    }

    /// Adds a lane, claimed by a thread; returns its index.
    pub fn add_lane(&mut self) -> u32 {
        let ring_offset = self.reserve(ChunkKind::Lanes, self.capacity.size_bytes());
        let cells_bytes = u64::from(self.lane_cells) * 8;
        let cells_offset =
            if cells_bytes > 0 { self.reserve(ChunkKind::LaneCells, cells_bytes) } else { 0 };
        let count = self.word(live(std::mem::offset_of!(RawLive, lane_count)));
        let lane = u32::try_from(count.load_relaxed()).unwrap_or(u32::MAX);
        let line = segment::control_offset_bytes(lane);
        let field = |offset: usize| self.word(line + offset as u64);
        field(std::mem::offset_of!(RawControl, ring_offset_bytes)).store_relaxed(ring_offset);
        field(std::mem::offset_of!(RawControl, cells_offset_bytes)).store_relaxed(cells_offset);
        field(std::mem::offset_of!(RawControl, claims)).store_relaxed(1);
        field(std::mem::offset_of!(RawControl, state)).store_relaxed(LANE_CLAIMED);
        count.store_release(u64::from(lane) + 1);
        lane
    }

    /// Writes a record as the hot path does, whether there is room or not.
    pub fn record(&self, lane: u32, word: u64, value: u64) {
        let line = segment::control_offset_bytes(lane);
        let tail = self.word(line);
        let position = tail.load_relaxed();
        let ring = self.word(line + 16).load_relaxed();
        let slot = self.words(ring + self.capacity.slot(position) * 16);
        lane::write(&slot[0], &slot[1], tail, word, value, position + 1);
    }

    /// Adds to a counter's cell in a lane, as its owner does; counters are numbered as they are
    /// defined.
    pub fn count_in_lane(&self, lane: u32, counter: u32, value: u64) {
        let line = segment::control_offset_bytes(lane);
        let at = std::mem::offset_of!(RawControl, cells_offset_bytes) as u64;
        let cells = self.word(line + at).load_relaxed();
        cell::add_in_lane(self.word(cells + u64::from(counter) * 8), value);
    }

    /// Publishes that a thread with this lane spilled.
    pub fn count_spill(&self, lane: u32) {
        let count = self.word(segment::control_offset_bytes(lane) + 8);
        count.store_release(count.load_relaxed() + 1);
    }
}

fn next_id(known: usize) -> u32 {
    u32::try_from(known).unwrap_or(u32::MAX)
}

fn index(words: u64) -> usize {
    usize::try_from(words).unwrap_or(usize::MAX)
}
