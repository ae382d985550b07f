//! Ledgers in heap memory: the golden one, and what the fuzz target runs.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use arbitrary::{Result, Unstructured};
use ringmeter_agent::aggregate::{Aggregate, Local, LocalSeries};
use ringmeter_agent::ledger::{Area, Disk, File, Ledger, SLICE_WORDS, ZERO};
use ringmeter_agent::limits::Limits;
use ringmeter_agent::long_records::Slots;
use ringmeter_agent::pipeline::Restored;
use ringmeter_agent::series::SeriesRef;
use ringmeter_layout::naming::Kind;
use ringmeter_layout::record::{Operation, Record, pack};

use crate::golden::{self, LEDGER_ID, NASTY, WIDE, family};

/// Name of the golden ledger.
pub const LEDGER_FILE: &str = "ledger-1.0.ledger";
/// Name of its journal.
pub const JOURNAL_FILE: &str = "ledger-1.0.journal";
/// The same after series have left, which version 1.1 knows.
pub const EXPIRED_LEDGER_FILE: &str = "ledger-1.1.ledger";
/// Its journal.
pub const EXPIRED_JOURNAL_FILE: &str = "ledger-1.1.journal";
/// The ledger of an agent that knows when series began, as version 1.2 does.
pub const STARTS_LEDGER_FILE: &str = "ledger-1.2.ledger";
/// Its journal.
pub const STARTS_JOURNAL_FILE: &str = "ledger-1.2.journal";
/// When the golden ledger was made, nanoseconds since 1970.
pub const CREATED_UNIX_NS: u64 = 1_700_000_000_000_000_000;
/// When the series of the ledger with starts began, milliseconds since 1970.
pub const GOLDEN_START_UNIX_MS: u64 = 1_700_000_000_123;

/// The two files of a ledger in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<(Vec<u8>, Vec<u8>)>>);

impl Memory {
    /// The bytes of ledger and journal.
    #[must_use]
    pub fn bytes(&self) -> (Vec<u8>, Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Disk for Memory {
    fn write(&mut self, file: File, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let target = if file == File::Ledger { &mut both.0 } else { &mut both.1 };
        let at = usize::try_from(at).map_err(io::Error::other)?;
        if target.len() < at + bytes.len() {
            target.resize(at + bytes.len(), 0);
        }
        target[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let there = both.0.get(at..at + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(there);
        Ok(())
    }

    fn reserve(&mut self, _size_bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn shorten_journal(&mut self, size_bytes: u64) -> io::Result<()> {
        let size = usize::try_from(size_bytes).map_err(io::Error::other)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.truncate(size);
        Ok(())
    }
}

/// The golden ledger and its journal, written today: two counters, a histogram, a retired series,
/// a segment that is read and one that was taken, marks, own counters.
///
/// # Panics
/// When the golden definitions are refused.
#[must_use]
pub fn golden() -> (Vec<u8>, Vec<u8>) {
    let (memory, _, _) = written(0);
    memory.bytes()
}

/// The golden ledger with the times at which its series began, and counts of exemplars.
///
/// # Panics
/// When the golden definitions are refused.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without its ledger is no test")]
pub fn golden_starts() -> (Vec<u8>, Vec<u8>) {
    let (memory, mut ledger, _) = written(GOLDEN_START_UNIX_MS);
    let contents = memory.bytes();
    let contents = ringmeter_agent::ledger::parse(&contents.0, &contents.1);
    let contents = contents.expect("a good ledger").expect("and not an empty one");
    let mut head = *contents.slice(Area::Segment, 0, 0);
    head[20..22].copy_from_slice(&[4, 5]);
    ledger.put(Area::Segment.key(0, 0), &head);
    let mut dropped = ZERO;
    dropped[..4].copy_from_slice(&[4, 5, 6, 7]);
    ledger.put(Area::Own.key(0, 2), &dropped);
    ledger.commit().expect("memory");
    memory.bytes()
}

/// The golden ledger after all series but one have left, and another one has come.
///
/// # Panics
/// When the golden definitions are refused.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without its ledger is no test")]
pub fn golden_expired() -> (Vec<u8>, Vec<u8>) {
    let (memory, mut ledger, mut aggregate) = written(0);
    aggregate.registry().define(SeriesRef { family: 0, row: 1 });
    for second in 1..3 {
        aggregate.expire(second * 1_000_000_000);
    }
    aggregate.put_changes(&mut ledger);
    ledger.commit().expect("memory");
    // In the place of the one that left, and of its totals.
    let pairs = [("code", "404"), ("path", "")];
    let placed = aggregate.hold_series(0, &pairs, true, 0).expect("a series");
    aggregate.add_counter(placed.slot, 7, 0.0);
    aggregate.put_changes(&mut ledger);
    ledger.commit().expect("memory");
    memory.bytes()
}

#[expect(clippy::expect_used, reason = "a test without its ledger is no test")]
fn written(start_unix_ms: u64) -> (Memory, Ledger, Aggregate) {
    let memory = Memory::default();
    let mut ledger = Ledger::new(Box::new(memory.clone()), LEDGER_ID, CREATED_UNIX_NS);
    let limits = Limits { retention_ns: Some(1_000_000_000), ..Limits::default() };
    let mut aggregate = Aggregate::new(limits);
    aggregate.begin_series_at(start_unix_ms);
    let mut local = LocalSeries::default();
    let requests = family("golden_requests_total", Kind::Counter, &["code", "path"]);
    let requests = aggregate.hold_family(&requests, 0).expect("a family");
    for (code, path) in [("200", NASTY), ("500", WIDE)] {
        let pairs = [("path", path), ("code", code)];
        let placed = aggregate.hold_series(requests, &pairs, true, 0).expect("a series");
        local.push(Local::Counter(placed.slot));
    }
    let mut seconds = family("golden_seconds", Kind::Histogram, &[]);
    seconds.bounds = vec![0.5, 1.0];
    let seconds = aggregate.hold_family(&seconds, 0).expect("a family");
    let placed = aggregate.hold_series(seconds, &[], true, 0).expect("a series");
    local.push(Local::Distribution(placed.slot));
    let record = |series, operation, value| Record { word: pack(series, operation), value };
    let mut records =
        vec![record(0, Operation::AddU64, 41), record(1, Operation::AddF64, 0.25_f64.to_bits())];
    for value in [0.25, 0.75, -3.0, 0.0, f64::INFINITY] {
        records.push(record(2, Operation::ObserveF64, f64::to_bits(value)));
    }
    aggregate.apply(Slots::all(&records), &local, &mut 0, 0);
    aggregate.put_changes(&mut ledger);
    put_segments(&mut ledger);
    let mut own = ZERO;
    own[0] = records.len() as u64;
    ledger.put(Area::Own.key(0, 0), &own);
    ledger.commit().expect("memory");
    // A second commit, so that the journal is not the whole ledger.
    aggregate.apply(Slots::all(&records[..1]), &local, &mut 0, 0);
    aggregate.registry().retire(SeriesRef { family: 0, row: 2 });
    aggregate.put_changes(&mut ledger);
    ledger.commit().expect("memory");
    (memory, ledger, aggregate)
}

/// As the agent's `segment` module draws them.
fn put_segments(ledger: &mut Ledger) {
    for (number, state) in [(0, 1), (1, 2)] {
        let mut head = ZERO;
        head[0] = state;
        head[1..3].copy_from_slice(&bytemuck::cast::<[u8; 16], [u64; 2]>(golden::ID));
        head[1] += number;
        head[3] = 4;
        head[4] = u64::from_le_bytes(*b"shop\0\0\0\0");
        head[13] = if state == 1 { 2 } else { 0 };
        head[14] = 9;
        let owner = u32::try_from(number).unwrap_or(0);
        ledger.put(Area::Segment.key(owner, 0), &head);
    }
    let mut lanes = ZERO;
    lanes[..7].copy_from_slice(&[1000, 3, 0, 0, 77, 0, 2]);
    ledger.put(Area::Segment.key(0, 1), &lanes);
    let mut marks = ZERO;
    marks[4] = 12;
    ledger.put(Area::Marks.key(0, 512), &marks);
}

/// Reads a ledger that the recipe makes: bytes as they are, the golden files with changes, or the
/// golden contents with changed words and right checksums.
///
/// # Panics
/// When the reader breaks a promise.
pub fn fuzz(recipe: &[u8]) {
    let Some((mode, rest)) = recipe.split_first() else { return check(recipe, &[]) };
    match mode % 3 {
        0 => {
            let at = rest.len() * 2 / 3;
            check(&rest[..at], &rest[at..]);
        }
        1 => {
            let (mut ledger, mut journal) = either(*mode);
            // A recipe that ends early changes less.
            let _ = change(&mut ledger, &mut journal, &mut Unstructured::new(rest));
            check(&ledger, &journal);
        }
        _ => {
            let memory = Memory::default();
            let _ = put(&memory, either(*mode), &mut Unstructured::new(rest));
            let (ledger, journal) = memory.bytes();
            check(&ledger, &journal);
        }
    }
}

fn change(ledger: &mut Vec<u8>, journal: &mut Vec<u8>, from: &mut Unstructured<'_>) -> Result<()> {
    for _ in 0..64 {
        if from.is_empty() {
            break;
        }
        let bytes = if from.arbitrary()? { &mut *ledger } else { &mut *journal };
        if bytes.is_empty() {
            continue;
        }
        let at = from.choose_index(bytes.len())?;
        match from.int_in_range(0..=3_u8)? {
            0 => bytes.truncate(at),
            1 => bytes[at] = from.arbitrary()?,
            _ => bytes[at] ^= 1 << from.int_in_range(0..=7_u8)?,
        }
    }
    Ok(())
}

/// The golden ledger of one version or another.
fn either(mode: u8) -> (Vec<u8>, Vec<u8>) {
    match mode {
        0..96 => golden(),
        96..192 => golden_expired(),
        _ => golden_starts(),
    }
}

fn put(
    memory: &Memory,
    (ledger, journal): (Vec<u8>, Vec<u8>),
    from: &mut Unstructured<'_>,
) -> Result<()> {
    let contents = ringmeter_agent::ledger::parse(&ledger, &journal);
    let contents = contents.ok().flatten().ok_or(arbitrary::Error::IncorrectFormat)?;
    let mut ledger = Ledger::new(Box::new(memory.clone()), LEDGER_ID, CREATED_UNIX_NS);
    for area in Area::ALL {
        for (owner, slice, words) in contents.of(area) {
            ledger.put(area.key(owner, slice), words);
        }
    }
    for _ in 0..64 {
        if from.is_empty() {
            break;
        }
        let area = *from.choose(&Area::ALL)?;
        let near = from.ratio(3, 4)?;
        let number = |from: &mut Unstructured<'_>| -> Result<u32> {
            if near { from.int_in_range(0..=3) } else { from.arbitrary() }
        };
        let (owner, slice) = (number(from)?, number(from)?);
        let mut words = *contents.slice(area, owner, slice);
        for _ in 0..from.int_in_range(1..=4)? {
            words[from.choose_index(SLICE_WORDS)?] =
                if from.arbitrary()? { from.int_in_range(0..=3)? } else { from.arbitrary()? };
        }
        ledger.put(area.key(owner, slice), &words);
    }
    ledger.commit().map_err(|_| arbitrary::Error::IncorrectFormat)
}

/// Reads bytes as a ledger and checks what the reader promises.
///
/// # Panics
/// When it breaks a promise.
pub fn check(ledger: &[u8], journal: &[u8]) {
    match Restored::parse(ledger, journal, &Limits::default(), 0) {
        Ok(None) => assert!(ledger.iter().take(128).all(|byte| *byte == 0)),
        Ok(Some(mut restored)) => {
            // What is accepted is complete: putting all of it again changes nothing.
            let contents = restored.contents().clone();
            let memory = Memory::default();
            let mut again = Ledger::resume(Box::new(memory), &contents);
            assert!(again.commit().is_ok());
            restored.aggregate().put_changes(&mut again);
            assert!(!again.is_changed());
        }
        Err(error) => {
            let text = error.to_string();
            assert!((8..=4096).contains(&text.len()), "{text}");
        }
    }
}
