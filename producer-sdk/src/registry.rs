//! What is registered: families and their series, append-only, readable without a lock.
//!
//! A forked child rebuilds everything else from these lists: the same ids, the same cells.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

use ringmeter_layout::cell;
use ringmeter_layout::definition::{FamilyDefinition, SeriesDefinition};
use ringmeter_layout::directory::Directory;
use ringmeter_layout::mapping::Mapping;
use ringmeter_layout::naming::Kind;
use ringmeter_layout::record::{Operation, pack};
use ringmeter_layout::segment::ChunkKind;
use ringmeter_layout::word::Word;

use crate::config::Config;
use crate::error::{ConfigError, OpenError};
use crate::keys::Keys;
use crate::leaked::{AppendList, Leaked};
use crate::os;
use crate::segment::Segment;

/// A metric with all its series.
pub(crate) struct Family {
    pub(crate) definition: FamilyDefinition,
    /// Its bounds, filled up with infinities to whole vectors: a search needs no remainder.
    pub(crate) padded_bounds: Box<[f64]>,
    pub(crate) encoded: Box<[u8]>,
    pub(crate) producer: &'static Inner,
    /// Where lookups beyond a limit go; families with label names have one.
    pub(crate) overflow: Leaked<Series>,
    /// The first lookup with a wrong number of label values: a test that reads what it counted is
    /// told.
    #[cfg(feature = "testing")]
    pub(crate) misuse: Leaked<crate::error::RegisterError>,
}

/// One set of label values.
pub(crate) struct Series {
    pub(crate) id: u32,
    pub(crate) family: &'static Family,
    pub(crate) label_values: Box<[Box<str>]>,
    pub(crate) cell_offset_bytes: u64,
    /// How long it is.
    pub(crate) cell_words: usize,
    /// Where the series' cell is among those of a lane, for the first that have one.
    pub(crate) lane_cell_offset_bytes: Option<u32>,
    pub(crate) encoded: Box<[u8]>,
    /// First word of the series' most frequent records, for handles.
    pub(crate) record_word: u64,
    /// The slot that handles were given last, for those that lookups make: its offset plus one,
    /// or zero while they may not take the fast path.
    pub(crate) handle_slot: Word,
    /// Of a counter with a cell in lanes: slot and cell, for increments without a handle.
    pub(crate) lane_cell: Word,
    /// Where the series' definition stands in the log.
    pub(crate) log_index: u64,
    /// As in the cell: odd while retired. Kept here for the segments of children.
    pub(crate) state: Word,
}

/// Bounds that a search compares at once.
const BOUNDS_UNIT: usize = 4;

/// Bounds filled up to whole vectors. No value is above infinity, so no index gets larger.
pub(crate) fn padded(bounds: &[f64]) -> Box<[f64]> {
    let length = bounds.len().next_multiple_of(BOUNDS_UNIT);
    let all = bounds.iter().copied().chain(core::iter::repeat(f64::INFINITY));
    all.take(length).collect()
}

impl Series {
    pub(crate) fn kind(&self) -> Kind {
        self.family.definition.kind
    }

    pub(crate) fn producer(&self) -> &'static Inner {
        self.family.producer
    }

    /// Whether this is its family's overflow series.
    pub(crate) fn is_overflow(&self) -> bool {
        self.family.overflow.get().is_some_and(|overflow| core::ptr::eq(overflow, self))
    }

    /// The words of this series' cell in a memory.
    pub(crate) fn cell(&self, memory: &Mapping) -> Option<&'static [Word]> {
        memory.words(self.cell_offset_bytes, self.cell_words)
    }

    /// First word of this series' records of an operation.
    pub(crate) fn record_word_for(&self, operation: Operation) -> u64 {
        pack(self.id, operation)
    }
}

impl core::fmt::Debug for Series {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}{:?}", self.family.definition.name, self.label_values)
    }
}

/// An entry of the log of definitions.
pub(crate) enum Entry {
    Family(&'static Family),
    Series(&'static Series),
}

impl Entry {
    pub(crate) fn encoded(&self) -> &'static [u8] {
        match self {
            Self::Family(family) => &family.encoded,
            Self::Series(series) => &series.encoded,
        }
    }
}

/// Where cells lie, in every segment of this line of processes alike.
pub(crate) struct CellChunk {
    pub(crate) kind: ChunkKind,
    pub(crate) offset_bytes: u64,
    pub(crate) length_bytes: u64,
}

/// The part of a chunk that cells have not taken yet.
#[derive(Default)]
pub(crate) struct CellRoom {
    next: Word,
    end: Word,
}

impl CellRoom {
    /// Takes `size_bytes`, if there is room. The caller holds the index' lock.
    pub(crate) fn take(&self, size_bytes: u64) -> Option<u64> {
        let next = self.next.load_relaxed();
        let after = next.checked_add(size_bytes)?;
        if after > self.end.load_relaxed() {
            return None;
        }
        self.next.store_relaxed(after);
        Some(next)
    }

    /// Starts on a new chunk.
    pub(crate) fn reset(&self, offset_bytes: u64, length_bytes: u64) {
        // A child forked between the two stores takes nothing: next stands behind the old end.
        self.end.store_relaxed(0);
        self.next.store_relaxed(offset_bytes);
        self.end.store_relaxed(offset_bytes + length_bytes);
    }
}

/// Everything registered with one producer.
pub(crate) struct Registry {
    pub(crate) log: AppendList<Entry>,
    pub(crate) series: AppendList<Series>,
    pub(crate) cell_chunks: AppendList<CellChunk>,
    pub(crate) gauge_room: CellRoom,
    pub(crate) cell_room: CellRoom,
    /// Lookups by name, for one process: a child makes its own.
    index: Leaked<Index>,
}

/// A producer: lives until the process ends, and in its forked children.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) config_problems: Vec<ConfigError>,
    /// Which slot of a thread's block is this producer's.
    pub(crate) slot: u32,
    /// Cells that count while there is no segment, at the same offsets as in one. Zeroed in a
    /// child. Its first words, where a segment has its header, hold what must be zero in a child.
    pub(crate) private: Option<Mapping>,
    /// The segment of this process, or one of an ancestor: only `Segment::is_of` tells.
    pub(crate) shared: Leaked<Segment>,
    /// Blank ones, so that neither opening late nor a child need allocate; the first may be one
    /// whose opening has not finished.
    pub(crate) spares: [Leaked<Segment>; 2],
    /// The segment to which gauges have been taken over, whether or not it is open yet.
    pub(crate) gauges: Leaked<Segment>,
    pub(crate) registry: Registry,
    pub(crate) place: Leaked<Place>,
    /// Why there is no segment.
    pub(crate) reason: Mutex<Option<OpenError>>,
    /// Why the thread that asked last for a lane got none.
    pub(crate) lane_refusal: Mutex<Option<OpenError>>,
}

/// Where segments and acks are.
pub(crate) struct Place {
    pub(crate) directory: Directory,
    pub(crate) segments_path: PathBuf,
    pub(crate) agent_path: PathBuf,
}

/// Word of the private memory that counts records made without a segment.
pub(crate) const PRIVATE_RECORDS_OFFSET_BYTES: u64 = 0;
/// Word of the private memory that is the registration lock.
const PRIVATE_LOCK_OFFSET_BYTES: u64 = 8;

impl Inner {
    /// This process' segment, if it has one.
    #[inline]
    pub(crate) fn segment(&self) -> Option<&'static Segment> {
        self.shared.get().filter(|segment| segment.is_of(os::incarnation()))
    }

    /// What an opening that failed half-way has left for the next one. Under the registration
    /// lock.
    pub(crate) fn unfinished_segment(&self) -> Option<&'static Segment> {
        self.spares[0].get().filter(|segment| segment.is_of(os::incarnation()))
    }

    /// This process' segment, if it has one in which this series is defined: before that its
    /// records may not go there.
    #[inline]
    pub(crate) fn segment_with(&self, series: &Series) -> Option<&'static Segment> {
        self.segment().filter(|segment| segment.has_defined(series.log_index))
    }

    /// Takes the right to register or to open, if it is free.
    ///
    /// The lock is a word that a child finds zeroed: whoever held it in the parent does not
    /// exist there, and what the lock guards is either append-only or made anew.
    pub(crate) fn try_lock(&self) -> Option<Registration<'_>> {
        let word = self.private.as_ref()?.word(PRIVATE_LOCK_OFFSET_BYTES)?;
        let uncancelled = os::Uncancelled::new();
        // PAIRS WITH: `registration`, the store in `drop`.
        word.compare_exchange_acquire(0, 1).ok()?;
        Some(Registration { inner: self, word, _uncancelled: uncancelled })
    }

    /// Waits for the right to register. Recording never comes here.
    pub(crate) fn lock(&self) -> Option<Registration<'_>> {
        self.private.as_ref()?;
        let mut nap = core::time::Duration::from_micros(1);
        loop {
            if let Some(registration) = self.try_lock() {
                return Some(registration);
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(core::time::Duration::from_millis(1));
        }
    }
}

/// The right to register, until dropped.
pub(crate) struct Registration<'a> {
    pub(crate) inner: &'a Inner,
    word: &'static Word,
    /// Given back after the lock.
    _uncancelled: os::Uncancelled,
}

impl Registration<'_> {
    /// This process' index.
    pub(crate) fn maps(&self) -> std::sync::MutexGuard<'static, Maps> {
        let maps = self.inner.registry.index(os::incarnation());
        maps.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        // PAIRS WITH: `registration`, the compare-exchange in `try_lock`.
        self.word.store_release(0);
    }
}

/// Names to entries. Rebuilt from the log in every process.
pub(crate) struct Index {
    incarnation: u64,
    maps: Mutex<Maps>,
}

/// What the index' lock guards, besides the right to register.
#[derive(Default)]
pub(crate) struct Maps {
    pub(crate) families: HashMap<&'static str, &'static Family, Keys>,
    pub(crate) series: HashMap<(u32, &'static [Box<str>]), &'static Series, Keys>,
    pub(crate) family_count: u32,
    pub(crate) series_count: u32,
    /// Series that have a cell in lanes if there are so many: the number of the next one's.
    pub(crate) lane_cell_count: u32,
}

impl Maps {
    pub(crate) fn add_family(&mut self, family: &'static Family) {
        self.families.insert(&family.definition.name, family);
        self.family_count += 1;
    }

    pub(crate) fn add_series(&mut self, series: &'static Series) {
        self.series_count += 1;
        self.lane_cell_count += u32::from(cell::has_lane_cell(series.kind()));
        let key = (series.family.definition.id, &*series.label_values);
        if !series.is_overflow() {
            self.series.insert(key, series);
        }
    }
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self {
            log: AppendList::new(),
            series: AppendList::new(),
            cell_chunks: AppendList::new(),
            gauge_room: CellRoom::default(),
            cell_room: CellRoom::default(),
            index: Leaked::empty(),
        }
    }

    /// The ranges of all segments that cells have or will get, as they are when it is walked: who
    /// chooses a place holds the lock under which these are reserved.
    pub(crate) fn cell_ranges(&self) -> impl Iterator<Item = (u64, u64)> + Clone + '_ {
        (0..usize::MAX)
            .map_while(|index| self.cell_chunks.get(index))
            .map(|chunk| (chunk.offset_bytes, chunk.length_bytes))
    }

    /// The index of a process. Only who may register comes here, so its lock is never waited
    /// for.
    fn index(&self, incarnation: u64) -> &'static Mutex<Maps> {
        loop {
            let known = self.index.get();
            if let Some(index) = known.filter(|index| index.incarnation == incarnation) {
                return &index.maps;
            }
            let mut maps = Maps::default();
            for entry in self.log.iter() {
                match entry {
                    Entry::Family(family) => maps.add_family(family),
                    Entry::Series(series) => maps.add_series(series),
                }
            }
            let index = Box::leak(Box::new(Index { incarnation, maps: Mutex::new(maps) }));
            self.index.set_if(known, index);
        }
    }
}

/// Encodes a series' definition.
pub(crate) fn encode_series(
    id: u32,
    family: &Family,
    values: &[Box<str>],
    cell_offset_bytes: u64,
    is_overflow: bool,
) -> Box<[u8]> {
    SeriesDefinition {
        id,
        family: family.definition.id,
        cell_offset_bytes,
        label_values: values.iter().map(|value| value.as_ref().to_owned()).collect(),
        is_overflow,
    }
    .encode()
    .into_boxed_slice()
}
