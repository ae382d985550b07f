//! From bytes to contents: a pure function that accepts any bytes and trusts none.

use std::collections::{BTreeMap, HashMap};

use bytemuck::Zeroable as _;

use super::block::{
    BLOCK_SIZE_BYTES, BLOCKS_MAX, Block, Entry, HEADER_SIZE_BYTES, Header, JOURNAL_MAGIC,
    JournalHeader, Key, MAGIC, Slice, VERSION_MAJOR, VERSION_MINOR, ZERO, journal_checksum,
};
use super::{Area, LedgerError, Reason};
use crate::broken::{self, Break};

/// What a ledger holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The ledger's id.
    pub id: [u8; 16],
    /// What they need the reader to know.
    pub minor: u16,
    /// When it was made.
    pub created_unix_ns: u64,
    /// The last commit.
    pub sequence: u64,
    pub(super) block_count: u32,
    /// Number of the block, and words, of each slice that is not all zero.
    pub(super) slices: BTreeMap<Key, (u32, Slice)>,
    /// Blocks without a slice.
    pub(super) free: Vec<u32>,
    /// Blocks whose place in the file has to be written again: the journal's.
    pub(super) replayed: Vec<u32>,
}

impl Contents {
    /// The slices of one area with owner and slice number, in their order.
    pub fn of(&self, area: Area) -> impl Iterator<Item = (u32, u32, &Slice)> {
        let range = area.key(0, 0)..=area.key(u32::MAX, u32::MAX);
        self.slices.range(range).map(|(key, (_, words))| (key.owner, key.slice, words))
    }

    /// One slice; zeros where there is no block.
    pub fn slice(&self, area: Area, owner: u32, slice: u32) -> &Slice {
        self.slices.get(&area.key(owner, slice)).map_or(&ZERO, |(_, words)| words)
    }

    /// How many slices are not all zero.
    pub fn slice_count(&self) -> usize {
        self.slices.len()
    }
}

/// Reads the bytes of a ledger and of its journal, which may be empty.
///
/// `Ok(None)` means a ledger that was never used: no bytes, or a header of zeros.
///
/// # Errors
/// Why it is not to be used.
pub fn parse(ledger: &[u8], journal: &[u8]) -> Result<Option<Contents>, LedgerError> {
    let head = ledger.get(..size_of::<Header>()).unwrap_or(ledger);
    if head.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if ledger.get(..8) != Some(&MAGIC) {
        return Err(LedgerError::new(Reason::Foreign, "no ledger: it starts with other bytes"));
    }
    let mut header = header(ledger)?;
    let journal = committed(journal, &mut header)?;
    let block_count = journal.as_ref().map_or(header.block_count, |(head, _)| head.block_count);
    let count = u32::try_from(block_count).unwrap_or(u32::MAX);
    if count > BLOCKS_MAX || block_count < header.block_count {
        return Err(LedgerError::corrupt(format!("block_count: {block_count}")));
    }
    let sequence = journal.as_ref().map_or(header.sequence, |(head, _)| head.sequence);
    let journal_minor = journal.as_ref().map(|(head, _)| head.version_minor);
    let entries = journal.map(|(_, entries)| entries).unwrap_or_default();
    let replay: HashMap<u64, &Block> = entries.iter().map(|e| (e.number, &e.block)).collect();
    if let Some(number) = replay.keys().find(|number| **number >= block_count) {
        return Err(LedgerError::corrupt(format!("journal: block {number} of {block_count}")));
    }
    let minor = journal_minor.unwrap_or(0).max(header.version_minor);
    let mut contents = Contents {
        id: header.id,
        minor,
        created_unix_ns: header.created_unix_ns,
        sequence,
        block_count: count,
        slices: BTreeMap::new(),
        free: Vec::new(),
        replayed: replay.keys().filter_map(|number| u32::try_from(*number).ok()).collect(),
    };
    for number in 0..count {
        let journaled = replay.get(&u64::from(number)).copied();
        let block = block(ledger, number, journaled, &header)?;
        contents.add(number, &block)?;
    }
    Ok(Some(contents))
}

impl Contents {
    fn add(&mut self, number: u32, block: &Block) -> Result<(), LedgerError> {
        let refuse =
            |detail: String| Err(LedgerError::corrupt(format!("block {number}: {detail}")));
        if block.sequence > self.sequence {
            return refuse(format!("of commit {}, the last is {}", block.sequence, self.sequence));
        }
        if block.key() == Block::FREE {
            if block.words != ZERO {
                return refuse("free, and not empty".to_owned());
            }
            self.free.push(number);
            return Ok(());
        }
        if !Area::ALL.iter().any(|area| *area as u32 == block.area) {
            return refuse(format!("area {}", block.area));
        }
        if self.slices.insert(block.key(), (number, block.words)).is_some() {
            return refuse(format!("a slice that stands twice: {:?}", block.key()));
        }
        Ok(())
    }
}

fn header(ledger: &[u8]) -> Result<Header, LedgerError> {
    let bytes = ledger.get(..size_of::<Header>());
    let header: Header = bytes
        .map(bytemuck::pod_read_unaligned)
        .ok_or_else(|| LedgerError::corrupt(format!("{} bytes: no header", ledger.len())))?;
    let version = (header.version_major, header.version_minor);
    if version > (VERSION_MAJOR, VERSION_MINOR) {
        let detail = format!("version {}.{}", version.0, version.1);
        return Err(LedgerError::new(Reason::Newer, detail));
    }
    if version.0 != VERSION_MAJOR {
        return Err(LedgerError::corrupt("a version that never was"));
    }
    if u64::from(header.block_size_bytes) != BLOCK_SIZE_BYTES || header.reserved != [0; 8] {
        return Err(LedgerError::corrupt("the header's constant fields"));
    }
    Ok(header)
}

/// The journal, if it holds a whole commit of this ledger that may not be in place yet.
fn committed(
    bytes: &[u8],
    ledger: &mut Header,
) -> Result<Option<(JournalHeader, Vec<Entry>)>, LedgerError> {
    let journal = whole_journal(bytes, ledger);
    if !ledger.is_whole() {
        // The header is written last, so if its writer ended in the middle the journal is there.
        let Some((head, _)) = &journal else {
            return Err(LedgerError::corrupt("the header's checksum"));
        };
        (ledger.sequence, ledger.block_count) = (head.sequence, 0);
    }
    let Some((head, entries)) = journal else { return Ok(None) };
    if head.sequence > ledger.sequence.saturating_add(1) {
        let detail = format!("commit {}, its journal {}", ledger.sequence, head.sequence);
        return Err(LedgerError::new(Reason::Stale, detail));
    }
    // One before the last is in place.
    Ok((head.sequence >= ledger.sequence).then_some((head, entries)))
}

/// The journal, if every byte of it is there and it is this ledger's.
fn whole_journal(bytes: &[u8], ledger: &Header) -> Option<(JournalHeader, Vec<Entry>)> {
    let head = bytes.get(..size_of::<JournalHeader>())?;
    let mut head: JournalHeader = bytemuck::pod_read_unaligned(head);
    let is_ours = head.magic == JOURNAL_MAGIC
        && head.version_major == VERSION_MAJOR
        && head.version_minor <= VERSION_MINOR
        && head.entry_size_bytes as usize == size_of::<Entry>()
        && head.id == ledger.id
        && head.entry_count <= u64::from(BLOCKS_MAX);
    if !is_ours {
        return None;
    }
    let length = usize::try_from(head.entry_count).ok()?.checked_mul(size_of::<Entry>())?;
    // Shorter than it says: it was being written when its writer ended.
    let body = bytes.get(size_of::<JournalHeader>()..)?.get(..length)?;
    let mut entries = vec![Entry::zeroed(); body.len() / size_of::<Entry>()];
    bytemuck::cast_slice_mut::<Entry, u8>(&mut entries).copy_from_slice(body);
    let found = std::mem::take(&mut head.checksum);
    let is_whole = found == journal_checksum(&head, bytemuck::cast_slice(&entries));
    is_whole.then_some((head, entries))
}

/// A block as it is to be: the journal's, else that in the file.
fn block(
    ledger: &[u8],
    number: u32,
    journaled: Option<&Block>,
    header: &Header,
) -> Result<Block, LedgerError> {
    let at = HEADER_SIZE_BYTES + u64::from(number) * BLOCK_SIZE_BYTES;
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    let bytes = ledger.get(at..).and_then(|rest| rest.get(..size_of::<Block>()));
    let own: Option<Block> = bytes.map(bytemuck::pod_read_unaligned);
    let mut found = match (journaled, own) {
        (Some(journaled), _) => *journaled,
        (None, Some(own)) => own,
        (None, None) => {
            let detail = format!("block {number}: the file ends before it");
            return Err(LedgerError::corrupt(detail));
        }
    };
    if !found.is_whole(&header.id, number) {
        return Err(LedgerError::corrupt(format!("block {number}: its checksum")));
    }
    if broken::is(Break::JournalAsDeltas)
        && found.area == Area::Integers as u32
        && let (Some(_), Some(own)) = (journaled, own)
    {
        for (word, own) in found.words.iter_mut().zip(own.words) {
            *word = word.wrapping_add(own);
        }
    }
    Ok(found)
}
