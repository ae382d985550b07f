//! One lane, its writer and its reader: a ring of two slots and six records, and one of four slots
//! and records of three.

use loom::sync::Arc;
use loom::thread;
use ringmeter_layout::lane::{self, Capacity};
use ringmeter_layout::record::{Operation, Record, pack, pack_long};
use ringmeter_layout::word::{Weakened, Word};

use crate::{Canary, Mutant, Seen, explore};

const CAPACITY_RECORDS: u32 = 2;
const RECORDS: u64 = 6;
const PASSES: usize = 3;

const LONG_CAPACITY_RECORDS: u32 = 4;
/// Slots of a long record: the second one stands on both sides of the ring's end.
const LONG_SLOTS: u8 = 3;
const LONG_PASSES: usize = 2;

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

    /// Records `series` with a tail behind it, or returns false when there is no room for all of
    /// it. It asks for the ack itself, as the slow path of the SDK does.
    pub(crate) fn record_long(&mut self, series: u32) -> bool {
        let capacity = self.ring.capacity;
        let count = u64::from(LONG_SLOTS);
        let free = |ack| capacity.limit(ack).wrapping_sub(self.position);
        if free(self.last_ack) < count {
            let read = lane::acknowledged(&self.ring.ack);
            self.last_ack = lane::accept_ack(self.last_ack, self.position, read);
        }
        if free(self.last_ack) < count && self.mutant != Mutant::LimitIgnored {
            return false;
        }
        let word = pack_long(series, Operation::ObserveF64Exemplar, LONG_SLOTS);
        let slots: Vec<Record> = (self.position..self.position + count)
            .map(|at| Record { word: if at == self.position { word } else { at }, value: !at })
            .collect();
        let place = |position| {
            let slot = self.ring.slot(position);
            slot.value_canary.write();
            slot.word_canary.write();
            Some((&slot.word, &slot.value))
        };
        let published = if self.mutant == Mutant::TailForEachSlot { 1 } else { slots.len() };
        for part in slots.chunks(published) {
            assert!(lane::write_long(part, self.position, &self.ring.tail, place));
            self.position += part.len() as u64;
        }
        self.stop = capacity.stretch_end(self.position, self.last_ack);
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
        let end = self.position + count.expect("an honest tail");
        while self.position < end {
            let record = self.take_slot();
            let series = record.series();
            if record.slots() == LONG_SLOTS {
                let whole = pack_long(series, Operation::ObserveF64Exemplar, LONG_SLOTS);
                assert_eq!(record.word, whole, "no whole record");
                for _ in 1..LONG_SLOTS {
                    assert!(self.position < end, "a part of a record");
                    let at = self.position;
                    assert_eq!(self.take_slot().word, at, "the tail of another record");
                }
            } else {
                assert_eq!(record.word, pack(series, Operation::AddU64), "no whole record");
            }
            take(series);
        }
        lane::acknowledge(&self.ring.ack, tail);
    }

    fn take_slot(&mut self) -> Record {
        let slot = self.ring.slot(self.position);
        slot.word_canary.read();
        slot.value_canary.read();
        let record = Record { word: slot.word.load_relaxed(), value: slot.value.load_relaxed() };
        assert_eq!(record.value, !self.position, "the value of another record");
        self.position += 1;
        record
    }
}

/// A writer beside a reader that looks so often, and once more at the end: what was read is what
/// was written. Returns how many records that were.
fn play(
    ring: &Arc<Ring>,
    mutant: Mutant,
    passes: usize,
    write: impl FnOnce(&mut Writer<'_>) -> Vec<u32> + Send + 'static,
) -> u64 {
    let app = thread::spawn({
        let ring = Arc::clone(ring);
        move || write(&mut Writer::claim(&ring, mutant))
    });
    let mut reader = Reader::new(ring);
    let mut read = Vec::new();
    for _ in 0..passes {
        let tail = lane::published(&ring.tail);
        reader.drain(tail, |series| read.push(series));
    }
    let written = app.join().expect("the app ends");
    let tail = lane::published(&ring.tail);
    reader.drain(tail, |series| read.push(series));
    assert_eq!(read, written, "read, and written");
    written.len() as u64
}

static WRITTEN: Seen = Seen::new();
static FULL: Seen = Seen::new();

/// Every record that was written is read once, whole and in order, however the lane wraps.
pub(crate) fn model(mutant: Mutant) {
    explore(None, move || {
        let ring = Arc::new(Ring::new(CAPACITY_RECORDS, mutant));
        let written = play(&ring, mutant, PASSES, |writer| {
            let all = 100..100 + u32::try_from(RECORDS).expect("few");
            all.filter(|series| writer.record(*series)).collect()
        });
        WRITTEN.at_least(written);
        FULL.at_least(RECORDS - written);
    });
    if mutant == Mutant::Nothing {
        assert_eq!(WRITTEN.most(), RECORDS, "in some execution the ring wrapped twice");
        assert_eq!(FULL.most(), RECORDS - u64::from(CAPACITY_RECORDS), "in some it stayed full");
    }
}

static LONG_WRITTEN: Seen = Seen::new();
static LONG_FULL: Seen = Seen::new();

/// A record of several slots is read whole or not at all, on whichever side of the ring's end its
/// slots stand, with ordinary ones before and behind it.
pub(crate) fn long_model(mutant: Mutant) {
    explore(None, move || {
        let ring = Arc::new(Ring::new(LONG_CAPACITY_RECORDS, mutant));
        let written = play(&ring, mutant, LONG_PASSES, |writer| {
            let all = [(100, true), (101, true), (102, false)].into_iter();
            let is_in = |(series, is_long): &(u32, bool)| {
                if *is_long { writer.record_long(*series) } else { writer.record(*series) }
            };
            all.filter(is_in).map(|(series, _)| series).collect()
        });
        LONG_WRITTEN.at_least(written);
        LONG_FULL.at_least(3 - written);
    });
    if mutant == Mutant::Nothing {
        assert_eq!(LONG_WRITTEN.most(), 3, "in some execution a long record wrapped");
        assert_eq!(LONG_FULL.most(), 1, "in some there was no room for it");
    }
}
