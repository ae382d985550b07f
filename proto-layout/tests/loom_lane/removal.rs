//! Death of a producer: once its lock is seen free, one more reading finds everything.

use loom::sync::Arc;
use loom::thread;
use ringmeter_layout::lane;
use ringmeter_layout::word::{Weakened, Word};

use crate::ring::{Reader, Ring, Writer};
use crate::{Canary, Mutant, Seen, explore};

const RECORDS: u64 = 2;
const HELD: u64 = 1;
const FREE: u64 = 0;

/// A process: a lane, a cell, and the lock that the kernel takes away when it dies.
///
/// The kernel orders everything that a process did before the fall of its lock, and everything
/// that an observer does after seeing it free: a release and an acquire.
#[derive(Debug)]
struct Process {
    ring: Ring,
    cell: Word,
    cell_canary: Canary,
    spill_count: Word,
    lock: Word,
}

impl Process {
    fn new(mutant: Mutant) -> Self {
        let fall = (Mutant::LockFallRelaxed, Weakened::Store);
        let lock = mutant.word(fall, Mutant::LockQueryRelaxed);
        lock.store_relaxed(HELD);
        Self {
            ring: Ring::new(2, mutant),
            cell: Word::new(0),
            cell_canary: Canary::default(),
            spill_count: Word::new(0),
            lock,
        }
    }

    /// Records twice, spills once, and is killed before the spill is counted.
    fn live_and_die(&self, mutant: Mutant) {
        let mut writer = Writer::claim(&self.ring, mutant);
        for series in 0..2 {
            assert!(writer.record(series), "two slots are enough");
        }
        self.cell_canary.write();
        self.cell.add_relaxed(1);
        // PAIRS WITH: `producer-lock`, the query in `pass`.
        self.lock.store_release(FREE);
    }
}

static REMOVED: Seen = Seen::new();

/// One pass of the agent; returns whether it saw the process dead.
fn pass(process: &Process, reader: &mut Reader<'_>, mutant: Mutant) -> bool {
    let early = (mutant == Mutant::TailBeforeLock).then(|| lane::published(&process.ring.tail));
    // PAIRS WITH: `producer-lock`, the fall in `live_and_die`.
    let is_dead = process.lock.load_acquire() == FREE;
    let tail = early.unwrap_or_else(|| lane::published(&process.ring.tail));
    reader.drain(tail, |_| ());
    if !is_dead {
        return false;
    }
    let mut spilled = 0;
    if mutant != Mutant::CellsByCountOnly || process.spill_count.load_acquire() > 0 {
        process.cell_canary.read();
        spilled = process.cell.load_relaxed();
    }
    assert_eq!(reader.position, RECORDS, "a segment removed before its last record");
    assert_eq!(spilled, 1, "a segment removed before its last spill");
    true
}

/// What is removed was read to the end, cells regardless of counts.
pub(crate) fn model(mutant: Mutant) {
    explore(None, move || {
        let process = Arc::new(Process::new(mutant));
        let app = thread::spawn({
            let process = Arc::clone(&process);
            move || process.live_and_die(mutant)
        });
        let mut reader = Reader::new(&process.ring);
        let is_removed = (0..2).any(|_| pass(&process, &mut reader, mutant));
        app.join().expect("the app ends");
        REMOVED.at_least(is_removed.into());
        assert!(is_removed || pass(&process, &mut reader, mutant));
    });
    if mutant == Mutant::Nothing {
        assert_eq!(REMOVED.most(), 1, "in some execution it died between two passes");
    }
}
