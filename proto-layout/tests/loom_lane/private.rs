//! From private counting to a segment: each count is moved once, whoever moves it.

use loom::sync::Arc;
use loom::thread;
use ringmeter_layout::cell;
use ringmeter_layout::word::{Weakened, Word, fence_all};

use crate::{Mutant, Seen, explore};

const THREADS: u64 = 2;

/// A counter's private word, its word in the segment, and whether there is a segment.
#[derive(Debug)]
struct Counter {
    private: Word,
    in_segment: Word,
    is_open: Word,
    /// What the segment's birth wrote, for whoever finds it open.
    header: Word,
}

const HEADER: u64 = 7000;

impl Counter {
    fn new(mutant: Mutant) -> Self {
        let open = (Mutant::OpenStoreRelaxed, Weakened::Store);
        // Each of the fence and the exchange gives the order that is needed after opening: the
        // mutant has neither.
        let moved = match mutant {
            Mutant::UnorderedAfterOpening => Weakened::Exchange,
            _ => Weakened::Nothing,
        };
        Self {
            private: Word::weakened(0, moved),
            in_segment: Word::new(0),
            is_open: mutant.word(open, Mutant::OpenLoadRelaxed),
            header: Word::new(0),
        }
    }

    /// The segment, if this thread finds it open.
    fn segment(&self) -> Option<&Word> {
        // PAIRS WITH: `leaked`, the store in `open`.
        (self.is_open.load_acquire() == 1).then(|| {
            assert_eq!(self.header.load_relaxed(), HEADER, "open, and not made");
            &self.in_segment
        })
    }

    /// As `slow::record` with `cells::apply_privately`.
    fn record(&self, mutant: Mutant) {
        if let Some(segment) = self.segment() {
            cell::add_u64(std::slice::from_ref(segment), 1);
            return;
        }
        cell::add_u64(std::slice::from_ref(&self.private), 1);
        if mutant != Mutant::NoFenceAfterPrivateCount {
            fence_all();
        }
        if let Some(segment) = self.segment() {
            self.move_to(segment, mutant);
        }
    }

    /// As `Inner::open_now`.
    fn open(&self, mutant: Mutant) {
        self.header.store_relaxed(HEADER);
        // PAIRS WITH: `leaked`, the load in `segment`.
        self.is_open.store_release(1);
        if mutant != Mutant::UnorderedAfterOpening {
            fence_all();
        }
        self.move_to(&self.in_segment, mutant);
    }

    fn move_to(&self, segment: &Word, mutant: Mutant) {
        if mutant == Mutant::MovedWithoutExchange {
            let taken = self.private.load_acquire();
            self.private.store_release(0);
            segment.add_relaxed(taken);
        } else {
            cell::move_integer(&self.private, segment);
        }
    }
}

static MOVED: Seen = Seen::new();

/// Nothing stays behind, nothing is moved twice.
pub(crate) fn model(mutant: Mutant) {
    explore(Some(3), move || {
        let counter = Arc::new(Counter::new(mutant));
        let threads = [(); THREADS as usize].map(|()| {
            let counter = Arc::clone(&counter);
            thread::spawn(move || counter.record(mutant))
        });
        let waiting = counter.private.load_relaxed();
        MOVED.at_least(waiting);
        counter.open(mutant);
        for thread in threads {
            thread.join().expect("the app ends");
        }
        assert_eq!(counter.private.load_relaxed(), 0, "a count that nobody moves");
        assert_eq!(counter.in_segment.load_relaxed(), THREADS, "moved, and recorded");
    });
    if mutant == Mutant::Nothing {
        assert_eq!(MOVED.most(), THREADS, "in some execution all counts waited");
    }
}
