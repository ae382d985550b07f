use std::io;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;

/// Two files in memory that stop taking bytes at some point, in the middle of a write.
#[derive(Debug, Clone, Default)]
struct Memory(Arc<Mutex<Bytes>>);

#[derive(Debug, Default)]
struct Bytes {
    ledger: Vec<u8>,
    journal: Vec<u8>,
    /// Bytes that are still taken; `None` for all.
    left: Option<usize>,
    written: usize,
}

impl Memory {
    fn parse(&self) -> Result<Option<Contents>, LedgerError> {
        let bytes = self.0.lock().unwrap();
        parse(&bytes.ledger, &bytes.journal)
    }

    fn stop_after(&self, left: Option<usize>) {
        self.0.lock().unwrap().left = left;
    }
}

impl Disk for Memory {
    fn write(&mut self, file: File, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut all = self.0.lock().unwrap();
        let taken = all.left.map_or(bytes.len(), |left| left.min(bytes.len()));
        all.left = all.left.map(|left| left - taken);
        all.written += taken;
        let at = usize::try_from(at).unwrap();
        let target = match file {
            File::Ledger => &mut all.ledger,
            File::Journal => &mut all.journal,
        };
        if target.len() < at + taken {
            assert!(file == File::Journal, "the ledger's room is reserved before");
            target.resize(at + taken, 0);
        }
        target[at..at + taken].copy_from_slice(&bytes[..taken]);
        if taken < bytes.len() { Err(io::Error::other("no space")) } else { Ok(()) }
    }

    fn read(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let all = self.0.lock().unwrap();
        let at = usize::try_from(at).unwrap();
        bytes.copy_from_slice(&all.ledger[at..at + bytes.len()]);
        Ok(())
    }

    fn reserve(&mut self, size_bytes: u64) -> io::Result<()> {
        let mut all = self.0.lock().unwrap();
        if all.left == Some(0) {
            return Err(io::Error::other("no space"));
        }
        all.ledger.resize(usize::try_from(size_bytes).unwrap(), 0);
        Ok(())
    }

    fn shorten_journal(&mut self, size_bytes: u64) -> io::Result<()> {
        self.0.lock().unwrap().journal.truncate(usize::try_from(size_bytes).unwrap());
        Ok(())
    }
}

fn ledger(memory: &Memory) -> Ledger {
    Ledger::new(Box::new(memory.clone()), [7; 16], 1)
}

/// What the ledger holds, by key.
type Model = std::collections::BTreeMap<Key, Slice>;

fn model(contents: &Contents) -> Model {
    contents.slices.iter().map(|(key, (_, words))| (*key, *words)).collect()
}

type Change = (u8, u8, u64);

fn apply(ledger: &mut Ledger, model: &mut Model, (owner, slice, word): Change) {
    let key = Area::Positive.key(owner.into(), slice.into());
    let mut words = ZERO;
    words[usize::from(slice) % SLICE_WORDS] = word;
    ledger.put(key, &words);
    if words == ZERO {
        model.remove(&key);
    } else {
        model.insert(key, words);
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec((0u8..4, 0u8..6, prop_oneof![Just(0), 1u64..9]), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_writer_that_ends_at_any_byte_leaves_the_commit_before_or_after(
        commits in prop::collection::vec(changes(), 1..6),
        last in changes(),
        part: prop::sample::Index,
    ) {
        let memory = Memory::default();
        let (mut before, mut total) = (Model::new(), 0);
        let mut own = ledger(&memory);
        apply(&mut own, &mut before, (9, 0, 1));
        for changes in commits {
            changes.into_iter().for_each(|change| apply(&mut own, &mut before, change));
            own.commit().unwrap();
            total = own.sequence();
        }
        let mut after = before.clone();
        last.into_iter().for_each(|change| apply(&mut own, &mut after, change));
        // Journal and copy are about equally long.
        let stop = part.index(630 * own.staged_count() + 340);
        memory.stop_after(Some(stop));
        let is_committed = own.commit().is_ok();
        drop(own);
        memory.stop_after(None);
        let contents = memory.parse().unwrap();
        let found = contents.as_ref().map(model).unwrap_or_default();
        if is_committed {
            prop_assert_eq!(&found, &after);
        } else {
            prop_assert!(found == before || found == after);
        }
        let Some(contents) = contents else { return Ok(()) };
        prop_assert!(contents.sequence == total || contents.sequence == total + 1);
        // The next writer goes on, and is interrupted while it copies the journal.
        let mut next = Ledger::resume(Box::new(memory.clone()), &contents);
        memory.stop_after(Some(stop / 2));
        let _ = next.commit();
        memory.stop_after(None);
        prop_assert_eq!(&memory.parse().unwrap().map(|c| model(&c)).unwrap_or_default(), &found);
        next.commit().unwrap();
        let mut model_next = found;
        apply(&mut next, &mut model_next, (3, 5, 77));
        next.commit().unwrap();
        prop_assert_eq!(model(&memory.parse().unwrap().unwrap()), model_next);
    }

    #[test]
    fn a_commit_that_fails_is_made_up_for_by_the_next(
        first in changes(),
        more in changes(),
        left in 0usize..8000,
    ) {
        let memory = Memory::default();
        let (mut own, mut expected) = (ledger(&memory), Model::new());
        first.into_iter().for_each(|change| apply(&mut own, &mut expected, change));
        memory.stop_after(Some(left));
        let failed = own.commit().is_err();
        memory.stop_after(None);
        if !own.is_behind() {
            more.into_iter().for_each(|change| apply(&mut own, &mut expected, change));
        }
        own.commit().unwrap();
        prop_assert!(!own.is_changed() && !own.is_behind());
        let found = memory.parse().unwrap().map(|c| model(&c)).unwrap_or_default();
        prop_assert_eq!(found, expected, "failed: {}", failed);
    }

    #[test]
    fn no_damage_is_taken_for_contents(
        changes in changes(),
        at: prop::sample::Index,
        bit in 0u8..8,
    ) {
        let memory = Memory::default();
        let (mut own, mut expected) = (ledger(&memory), Model::new());
        apply(&mut own, &mut expected, (9, 0, 1));
        changes.into_iter().for_each(|change| apply(&mut own, &mut expected, change));
        own.commit().unwrap();
        let bytes = memory.0.lock().unwrap();
        let used = usize::try_from(own.size_bytes()).unwrap();
        let mut damaged = bytes.ledger.clone();
        let at = at.index(used);
        damaged[at] ^= 1 << bit;
        let is_used = at < 128 || at >= usize::try_from(HEADER_SIZE_BYTES).unwrap();
        match parse(&damaged, &[]) {
            Ok(contents) => {
                prop_assert!(!is_used || own.sequence() == 0, "byte {}", at);
                prop_assert_eq!(contents.map(|c| model(&c)).unwrap_or_default(), expected.clone());
            }
            Err(_) => prop_assert!(is_used),
        }
        // A damaged journal is ignored: its commit is in place.
        let mut journal = bytes.journal.clone();
        if let Some(byte) = journal.get_mut(at) {
            *byte ^= 1 << bit;
        }
        let found = parse(&bytes.ledger, &journal).unwrap();
        prop_assert_eq!(found.map(|c| model(&c)).unwrap_or_default(), expected);
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        ledger in prop::collection::vec(any::<u8>(), 0..600),
        journal in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let _ = parse(&ledger, &journal);
    }
}

#[test]
fn what_is_there_already_is_not_written() {
    let memory = Memory::default();
    let (mut own, mut expected) = (ledger(&memory), Model::new());
    for owner in 0..200 {
        apply(&mut own, &mut expected, (owner, 1, 5));
    }
    own.commit().unwrap();
    let written = own.written_bytes();
    for owner in 0..200 {
        apply(&mut own, &mut expected, (owner, 1, 5));
    }
    own.commit().unwrap();
    assert_eq!(own.written_bytes(), written);
    apply(&mut own, &mut expected, (9, 1, 6));
    own.commit().unwrap();
    assert_eq!(own.written_bytes() - written, 64 + 296 + 288 + 128, "one block, twice");
}

#[test]
fn blocks_are_used_again() {
    let memory = Memory::default();
    let (mut own, mut expected) = (ledger(&memory), Model::new());
    for round in 0..50u8 {
        apply(&mut own, &mut expected, (round, 1, 5));
        apply(&mut own, &mut expected, (round.wrapping_sub(1), 1, 0));
        own.commit().unwrap();
    }
    assert!(own.size_bytes() <= HEADER_SIZE_BYTES + 3 * BLOCK_SIZE_BYTES);
    assert_eq!(model(&memory.parse().unwrap().unwrap()), expected);
}

#[test]
fn a_journal_that_is_ahead_tells_that_the_ledger_is_old() {
    let memory = Memory::default();
    let (mut own, mut expected) = (ledger(&memory), Model::new());
    apply(&mut own, &mut expected, (1, 1, 5));
    own.commit().unwrap();
    let old = memory.0.lock().unwrap().ledger.clone();
    for word in 6..9 {
        apply(&mut own, &mut expected, (1, 1, word));
        own.commit().unwrap();
    }
    let journal = memory.0.lock().unwrap().journal.clone();
    assert_eq!(parse(&old, &journal).unwrap_err().reason, Reason::Stale);
}
