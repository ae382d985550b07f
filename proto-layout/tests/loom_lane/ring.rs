//! One lane, its writer and its reader: a ring of two slots, six records.

use loom::sync::Arc;
use loom::thread;
use ringmeter_layout::lane::{self, Capacity};
use ringmeter_layout::record::{Operation, pack};
use ringmeter_layout::word::{Weakened, Word};

use crate::{Canary, Mutant, Seen, explore};

const CAPACITY_RECORDS: u32 = 2;
const RECORDS: u64 = 6;
const PASSES: usize = 3;

#[derive(Debug)]
struct Slot {
    word: Word,
    value: Word,
    word_canary: Canary,
    value_canary: Canary,
}

/// A lane in heap memory: the ring, the tail, and the agent's ack.
#[derive(Debug)]
pub(crate) struct Ring {
    capacity: Capacity,
    slots: Vec<Slot>,
    pub(crate) tail: Word,
    pub(crate) ack: Word,
}

impl Ring {
    pub(crate) fn new(capacity_records: u32, mutant: Mutant) -> Self {
        let slot = |_| Slot {
            word: Word::new(0),
            value: Word::new(0),
            word_canary: Canary::default(),
            value_canary: Canary::default(),
        };
        Self {
            capacity: Capacity::tiny(capacity_records),
            slots: (0..capacity_records).map(slot).collect(),
            tail: mutant.word((Mutant::TailStoreRelaxed, Weakened::Store), Mutant::TailLoadRelaxed),
            ack: mutant.word((Mutant::AckStoreRelaxed, Weakened::Store), Mutant::AckLoadRelaxed),
        }
    }

    fn slot(&self, position: u64) -> &Slot {
        &self.slots[usize::try_from(self.capacity.slot(position)).expect("a small ring")]
    }
}

/// The hot words of a thread that owns a lane.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    ring: &'a Ring,
    position: u64,
    last_ack: u64,
    stop: u64,
    mutant: Mutant,
}

impl<'a> Writer<'a> {
    /// Takes a lane over where its tail stands, as if it were full: the first record looks at
    /// the ack.
    pub(crate) fn claim(ring: &'a Ring, mutant: Mutant) -> Self {
        let position = ring.tail.load_relaxed();
        let last_ack = position.wrapping_sub(ring.capacity.records());
        Self { ring, position, last_ack, stop: position, mutant }
    }

    /// Records `series`, or returns false when the lane is full.
    pub(crate) fn record(&mut self, series: u32) -> bool {
        if self.position == self.stop && !self.make_room() {
            return false;
        }
        let slot = self.ring.slot(self.position);
        slot.value_canary.write();
        slot.word_canary.write();
        let (word, value) = (pack(series, Operation::AddU64), !self.position);
        let next = self.position + 1;
        lane::write(&slot.word, &slot.value, &self.ring.tail, word, value, next);
        self.position = next;
        true
    }

    /// The slow path: the next stretch of the ring, with the ack known or read anew.
    fn make_room(&mut self) -> bool {
        let capacity = self.ring.capacity;
        self.stop = capacity.stretch_end(self.position, self.last_ack);
        if self.position == self.stop {
            let read = lane::acknowledged(&self.ring.ack);
            self.last_ack = lane::accept_ack(self.last_ack, self.position, read);
            self.stop = capacity.stretch_end(self.position, self.last_ack);
        }
        if self.mutant == Mutant::LimitIgnored {
            self.stop = self.position + 1;
        }
        self.position != self.stop
    }
}

/// The agent's side of a lane.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    ring: &'a Ring,
    pub(crate) position: u64,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(ring: &'a Ring) -> Self {
        Self { ring, position: 0 }
    }

    /// Reads all records before `tail` and acknowledges them; hands each series to `take`.
    pub(crate) fn drain(&mut self, tail: u64, mut take: impl FnMut(u32)) {
        let count = lane::readable(self.ring.capacity, self.position, tail);
        for position in self.position..self.position + count.expect("an honest tail") {
            let slot = self.ring.slot(position);
            slot.word_canary.read();
            slot.value_canary.read();
            let (word, value) = (slot.word.load_relaxed(), slot.value.load_relaxed());
            assert_eq!(value, !position, "the value of another record");
            let series = u32::try_from(word & u64::from(u32::MAX)).expect("32 bits");
            assert_eq!(word, pack(series, Operation::AddU64), "no whole record");
            take(series);
        }
        self.position = tail;
        lane::acknowledge(&self.ring.ack, tail);
    }
}

static WRITTEN: Seen = Seen::new();
static FULL: Seen = Seen::new();

/// Every record that was written is read once, whole and in order, however the lane wraps.
pub(crate) fn model(mutant: Mutant) {
    explore(None, move || {
        let ring = Arc::new(Ring::new(CAPACITY_RECORDS, mutant));
        let app = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                let mut writer = Writer::claim(&ring, mutant);
                let mut written = Vec::new();
                for series in 100..100 + u32::try_from(RECORDS).expect("few") {
                    if writer.record(series) {
                        written.push(series);
                    }
                }
                written
            }
        });
        let mut reader = Reader::new(&ring);
        let mut read = Vec::new();
        for _ in 0..PASSES {
            let tail = lane::published(&ring.tail);
            reader.drain(tail, |series| read.push(series));
        }
        let written = app.join().expect("the app ends");
        let tail = lane::published(&ring.tail);
        reader.drain(tail, |series| read.push(series));
        assert_eq!(read, written, "read, and written");
        WRITTEN.at_least(written.len() as u64);
        FULL.at_least(RECORDS - written.len() as u64);
    });
    if mutant == Mutant::Nothing {
        assert_eq!(WRITTEN.most(), RECORDS, "in some execution the ring wrapped twice");
        assert_eq!(FULL.most(), RECORDS - u64::from(CAPACITY_RECORDS), "in some it stayed full");
    }
}
