//! Cells of a lane: a counter's word in it, written with plain stores by whoever owns the lane.

use std::sync::atomic::{AtomicU64, Ordering};

use loom::sync::Arc;
use loom::thread;
use ringmeter_layout::cell;
use ringmeter_layout::segment::{LANE_CLAIMED, LANE_FREE};
use ringmeter_layout::word::{Weakened, Word};

use crate::{Mutant, Seen, explore};

/// Increments of each thread.
const CALLS: u64 = 2;

/// One counter: its word in the one lane, and the one for threads without a lane.
#[derive(Debug)]
struct Counter {
    state: Word,
    in_lane: Word,
    shared: Word,
    /// Calls begun and calls completed: what the model knows and the agent does not.
    begun: AtomicU64,
    completed: AtomicU64,
}

impl Counter {
    fn new(mutant: Mutant) -> Self {
        // Exchange and load are two kinds of access: the load of the state is never used.
        let weakened = match mutant {
            Mutant::StateStoreRelaxed => Weakened::Store,
            Mutant::StateExchangeRelaxed => Weakened::Exchange,
            _ => Weakened::Nothing,
        };
        Self {
            state: Word::weakened(LANE_FREE, weakened),
            in_lane: Word::new(0),
            shared: Word::new(0),
            begun: AtomicU64::new(0),
            completed: AtomicU64::new(0),
        }
    }

    /// A thread of the app: counts in the lane if it gets it, else in the shared word.
    fn count(&self, mutant: Mutant) -> bool {
        // PAIRS WITH: `lane-state`, the store below by the owner before.
        let claim = self.state.compare_exchange_acquire(LANE_FREE, LANE_CLAIMED);
        let owns = claim.is_ok() || mutant == Mutant::LaneSharedByTwo;
        for _ in 0..CALLS {
            self.begun.fetch_add(1, Ordering::SeqCst);
            if owns {
                cell::add_in_lane(&self.in_lane, 1);
            } else {
                cell::add_u64(std::slice::from_ref(&self.shared), 1);
            }
            self.completed.fetch_add(1, Ordering::SeqCst);
        }
        if claim.is_ok() {
            // PAIRS WITH: `lane-state`, the exchange above by the next owner.
            self.state.store_release(LANE_FREE);
        }
        owns
    }

    /// The agent, at any time and in any order: no more than there can be.
    fn read(&self) -> u64 {
        let sum = self.shared.load_relaxed().wrapping_add(self.in_lane.load_relaxed());
        assert!(sum <= self.begun.load(Ordering::SeqCst), "more than was counted");
        sum
    }
}

static IN_LANE: Seen = Seen::new();
static READ_EARLY: Seen = Seen::new();

/// The sum never exceeds the calls, never goes back, and in the end equals them.
pub(crate) fn model(mutant: Mutant) {
    explore(None, move || {
        let counter = Arc::new(Counter::new(mutant));
        let threads = [(), ()].map(|()| {
            let counter = Arc::clone(&counter);
            thread::spawn(move || counter.count(mutant))
        });
        let first = counter.read();
        let second = counter.read();
        assert!(first <= second, "the sum has gone back from {first} to {second}");
        READ_EARLY.at_least(second);
        let owners = threads.map(|thread| u64::from(thread.join().expect("the app ends")));
        IN_LANE.at_least(owners.iter().sum());
        let completed = counter.completed.load(Ordering::SeqCst);
        assert_eq!(counter.read(), completed, "a count is lost between two owners");
    });
    if mutant == Mutant::Nothing {
        assert_eq!(IN_LANE.most(), 2, "in some execution both threads had the lane");
        assert_eq!(READ_EARLY.most(), 2 * CALLS, "in some the agent saw everything before");
    }
}
