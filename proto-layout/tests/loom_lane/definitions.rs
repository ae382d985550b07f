//! Registration: an honest series id in a record is never unknown to who reads in order.

use loom::sync::Arc;
use loom::thread;
use ringmeter_layout::lane;
use ringmeter_layout::word::{Weakened, Word};

use crate::ring::{Reader, Ring, Writer};
use crate::{Canary, Mutant, Seen, explore};

const DEFINITIONS: u64 = 2;
const CONTENT: u64 = 7000;

/// The chunk table and the definitions, each in a chunk of its own.
#[derive(Debug)]
struct Published {
    chunk_entries: [(Word, Canary); DEFINITIONS as usize],
    chunk_count: Word,
    definitions: [(Word, Canary); DEFINITIONS as usize],
    definition_count: Word,
    /// How the app itself hands a finished handle to another thread.
    handles: Word,
}

impl Published {
    fn new(mutant: Mutant) -> Self {
        let pairs = || [(), ()].map(|()| (Word::new(0), Canary::default()));
        Self {
            chunk_entries: pairs(),
            chunk_count: mutant.word(
                (Mutant::ChunkCountStoreRelaxed, Weakened::Store),
                Mutant::ChunkCountLoadRelaxed,
            ),
            definitions: pairs(),
            definition_count: mutant.word(
                (Mutant::DefinitionCountStoreRelaxed, Weakened::Store),
                Mutant::DefinitionCountLoadRelaxed,
            ),
            handles: Word::new(0),
        }
    }

    /// The thread that registers series: chunk, definition, handle, in this order.
    fn register(&self) {
        for (at, next) in (0..).zip(1..=DEFINITIONS) {
            write(&self.chunk_entries[at]);
            self.chunk_count.store_release(next);
            write(&self.definitions[at]);
            self.definition_count.store_release(next);
            self.handles.store_release(next);
        }
    }

    /// The agent, after it has read the tails: how many definitions it knows.
    fn read(&self, mutant: Mutant) -> u64 {
        let early = (mutant == Mutant::ChunkCountBeforeDefinitionCount)
            .then(|| self.chunk_count.load_acquire());
        let definitions = self.definition_count.load_acquire();
        let chunks = early.unwrap_or_else(|| self.chunk_count.load_acquire());
        self.chunk_entries.iter().zip(0..chunks).for_each(|(entry, _)| read(entry));
        assert!(definitions <= chunks, "a definition in a chunk that is not there");
        self.definitions.iter().zip(0..definitions).for_each(|(entry, _)| read(entry));
        definitions
    }
}

fn write((word, canary): &(Word, Canary)) {
    canary.write();
    word.store_relaxed(CONTENT);
}

fn read((word, canary): &(Word, Canary)) {
    canary.read();
    assert_eq!(word.load_relaxed(), CONTENT, "published, and not filled");
}

static RECORDED: Seen = Seen::new();

/// One thread registers, another records what was registered, the agent reads along.
pub(crate) fn model(mutant: Mutant) {
    explore(Some(3), move || {
        let published = Arc::new(Published::new(mutant));
        let ring = Arc::new(Ring::new(2, mutant));
        let registers = thread::spawn({
            let published = Arc::clone(&published);
            move || published.register()
        });
        let records = thread::spawn({
            let (published, ring) = (Arc::clone(&published), Arc::clone(&ring));
            move || {
                let mut writer = Writer::claim(&ring, mutant);
                for _ in 0..2 {
                    let handles = published.handles.load_acquire();
                    if let Some(series) = handles.checked_sub(1) {
                        writer.record(u32::try_from(series).expect("few"));
                    }
                }
            }
        });
        let mut reader = Reader::new(&ring);
        for _ in 0..2 {
            let early =
                (mutant == Mutant::DefinitionCountBeforeTail).then(|| published.read(mutant));
            let tail = lane::published(&ring.tail);
            let known = early.unwrap_or_else(|| published.read(mutant));
            reader.drain(tail, |series| {
                assert!(u64::from(series) < known, "an honest series that nobody defined");
                RECORDED.at_least(u64::from(series) + 1);
            });
        }
        registers.join().expect("registration ends");
        records.join().expect("recording ends");
    });
    if mutant == Mutant::Nothing {
        assert_eq!(RECORDED.most(), DEFINITIONS, "in some execution the last one was recorded");
    }
}
