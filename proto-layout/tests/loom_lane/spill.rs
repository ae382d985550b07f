//! Recording into cells: who sees a count sees at least as much in the cells.

use loom::sync::Arc;
use loom::thread;
use ringmeter_layout::word::{Weakened, Word};

use crate::{Canary, Mutant, Seen, explore};

const SPILLS: usize = 2;
const THREADS_WITHOUT_LANE: u64 = 2;

/// A counter's cell, the count of the thread with a lane, and the count that the others share.
#[derive(Debug)]
struct Cells {
    integer: Word,
    lane_count: Word,
    shared_count: Word,
    lane_canaries: [Canary; SPILLS],
    shared_canaries: [Canary; 2],
}

impl Cells {
    fn new(mutant: Mutant) -> Self {
        let lane_store = (Mutant::SpillStoreRelaxed, Weakened::Store);
        let shared_add = (Mutant::SharedSpillAddRelaxed, Weakened::Add);
        Self {
            integer: Word::new(0),
            lane_count: mutant.word(lane_store, Mutant::SpillLoadRelaxed),
            shared_count: mutant.word(shared_add, Mutant::SharedSpillLoadRelaxed),
            lane_canaries: Default::default(),
            shared_canaries: Default::default(),
        }
    }

    /// A thread whose lane is full.
    fn spill_with_lane(&self, mutant: Mutant) {
        for (canary, spilled) in self.lane_canaries.iter().zip(1..) {
            if mutant == Mutant::SpillCountFirst {
                self.lane_count.store_release(spilled);
            }
            canary.write();
            self.integer.add_relaxed(1);
            self.lane_count.store_release(spilled);
        }
    }

    /// A thread that has no lane.
    fn spill_without_lane(&self, thread: usize) {
        self.shared_canaries[thread].write();
        self.integer.add_relaxed(1);
        self.shared_count.add_release(1);
    }

    /// The agent: counts first, then the cells. Returns the sum of the counts.
    fn read(&self) -> u64 {
        let with_lane = self.lane_count.load_acquire();
        let without_lane = self.shared_count.load_acquire();
        for (canary, _) in self.lane_canaries.iter().zip(0..with_lane) {
            canary.read();
        }
        // One of two does not say whose; an addition continues what the one before released.
        if without_lane == THREADS_WITHOUT_LANE {
            self.shared_canaries.iter().for_each(Canary::read);
        }
        let counted = with_lane + without_lane;
        assert!(self.integer.load_relaxed() >= counted, "counted, and not in the cell");
        counted
    }
}

static MOST: Seen = Seen::new();

/// Whoever acquires the counts finds in the cells everything that was counted.
pub(crate) fn model(mutant: Mutant) {
    explore(Some(3), move || {
        let cells = Arc::new(Cells::new(mutant));
        let spawn = |spill: fn(&Cells, Mutant)| {
            let cells = Arc::clone(&cells);
            thread::spawn(move || spill(&cells, mutant))
        };
        let threads = [
            spawn(Cells::spill_with_lane),
            spawn(|cells, _| cells.spill_without_lane(0)),
            spawn(|cells, _| cells.spill_without_lane(1)),
        ];
        MOST.at_least(cells.read());
        for thread in threads {
            thread.join().expect("the app ends");
        }
        let all = SPILLS as u64 + THREADS_WITHOUT_LANE;
        assert_eq!(cells.read(), all);
        assert_eq!(cells.integer.load_relaxed(), all, "nothing is lost between threads");
    });
    if mutant == Mutant::Nothing {
        assert_eq!(MOST.most(), SPILLS as u64 + THREADS_WITHOUT_LANE, "in some execution");
    }
}
