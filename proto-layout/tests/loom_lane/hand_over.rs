//! A lane goes from one thread of the app to the next, while the agent reads along.

use loom::sync::Arc;
use loom::thread;
use ringmeter_layout::lane;
use ringmeter_layout::segment::{LANE_CLAIMED, LANE_FREE};
use ringmeter_layout::word::{Weakened, Word};

use crate::ring::{Reader, Ring, Writer};
use crate::{Canary, Mutant, Seen, explore};

/// A lane in the pool: its state word, and what only its owner may touch.
#[derive(Debug)]
struct Pooled {
    ring: Ring,
    state: Word,
    claims: Word,
    owner: Canary,
}

impl Pooled {
    fn new(mutant: Mutant) -> Self {
        // Exchange and load are two kinds of access: the load of the state is never used.
        let weakened = match mutant {
            Mutant::StateStoreRelaxed => Weakened::Store,
            Mutant::StateExchangeRelaxed => Weakened::Exchange,
            _ => Weakened::Nothing,
        };
        Self {
            ring: Ring::new(4, mutant),
            state: Word::weakened(LANE_FREE, weakened),
            claims: Word::new(0),
            owner: Canary::default(),
        }
    }

    /// Claims the lane if it is free, records twice, hands it back. Returns what was recorded.
    fn use_once(&self, series: u32, mutant: Mutant) -> Option<[u32; 2]> {
        // PAIRS WITH: `lane-state`, the store below by the owner before.
        self.state.compare_exchange_acquire(LANE_FREE, LANE_CLAIMED).ok()?;
        self.owner.write();
        self.claims.store_relaxed(self.claims.load_relaxed() + 1);
        let mut writer = Writer::claim(&self.ring, mutant);
        let recorded = [series, series + 1];
        for series in recorded {
            assert!(writer.record(series), "four slots are enough");
        }
        // PAIRS WITH: `lane-state`, the exchange above by the next owner.
        self.state.store_release(LANE_FREE);
        Some(recorded)
    }
}

static CLAIMS: Seen = Seen::new();

/// The next owner goes on exactly where the last one stopped.
pub(crate) fn model(mutant: Mutant) {
    explore(None, move || {
        let lane = Arc::new(Pooled::new(mutant));
        let threads = [10, 20].map(|series| {
            let lane = Arc::clone(&lane);
            thread::spawn(move || lane.use_once(series, mutant))
        });
        let mut reader = Reader::new(&lane.ring);
        let mut read = Vec::new();
        let tail = lane::published(&lane.ring.tail);
        reader.drain(tail, |series| read.push(series));
        let recorded: Vec<u32> = threads
            .into_iter()
            .filter_map(|thread| thread.join().expect("the app ends"))
            .flatten()
            .collect();
        let tail = lane::published(&lane.ring.tail);
        reader.drain(tail, |series| read.push(series));
        read.sort_unstable();
        assert_eq!(read, recorded, "read, and recorded");
        let claims = lane.claims.load_relaxed();
        assert_eq!(claims * 2, recorded.len() as u64, "every claim was counted");
        CLAIMS.at_least(claims);
    });
    if mutant == Mutant::Nothing {
        assert_eq!(CLAIMS.most(), 2, "in some execution both threads had the lane");
    }
}
