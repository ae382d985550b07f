//! Which staged blocks go into the file with one write.
//!
//! A system call takes as long as copying ten kilobytes. So where changed blocks have others
//! between them, those are read, and written back as they are: what a writer that ends in the
//! middle leaves of them is what was there.

use std::io;

use super::block::{BLOCK_SIZE_BYTES, Block, Entry, HEADER_SIZE_BYTES};
use super::disk::{Disk, File};

/// Bytes copied into place with one write.
const WRITE_MAX_BYTES: usize = 1 << 20;
/// Blocks between two changed ones that are written along: to read and write them is cheaper than
/// another write.
const GAP_MAX_BLOCKS: u64 = 16;
/// From so many stretches on, one reading of all between them pays off.
const STRETCHES_MIN: usize = 3;
/// Entries that memory is kept for.
pub(super) const ENTRIES_KEPT: usize = 4096;
const BLOCK_BYTES: usize = size_of::<Block>();
const BLOCKS_MAX: u64 = WRITE_MAX_BYTES as u64 / BLOCK_SIZE_BYTES;

/// Puts blocks into their places.
#[derive(Debug, Default)]
pub(super) struct Copier {
    /// The entries by the numbers of their blocks.
    order: Vec<Placed>,
    bytes: Vec<u8>,
    /// Bytes written so far.
    pub(super) written_bytes: u64,
}

/// The number of a block in the upper half, and which entry it is in the lower: one number is
/// sorted in half the time of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Placed(u64);

impl Placed {
    fn new(index: usize, block: u64) -> Self {
        Self(block << 32 | index as u64 & u64::from(u32::MAX))
    }

    fn block(self) -> u64 {
        self.0 >> 32
    }

    fn index(self) -> usize {
        usize::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(usize::MAX)
    }
}

/// Neighbours, or nearly so.
struct Stretch<'a> {
    entries: &'a [Placed],
    first: u64,
    blocks: u64,
    /// Stretches without others between them.
    parts: usize,
}

impl<'a> Stretch<'a> {
    /// What `order` begins with and one write takes, with at most `gap` others between two.
    fn of(order: &'a [Placed], gap: u64) -> Option<Self> {
        let first = order.first()?.block();
        let (mut last, mut length, mut parts) = (first, 0, 1);
        for number in order.iter().map(|placed| placed.block()) {
            let step = number - last;
            if step > gap + 1 || number - first >= BLOCKS_MAX {
                break;
            }
            parts += usize::from(step > 1);
            last = number;
            length += 1;
        }
        Some(Self { entries: order.get(..length)?, first, blocks: last - first + 1, parts })
    }
}

impl Copier {
    /// Writes the entries' blocks. Of several for one block the last counts.
    pub(super) fn copy(&mut self, entries: &[Entry], disk: &mut dyn Disk) -> io::Result<()> {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        let placed = entries.iter().enumerate();
        order.extend(placed.map(|(index, entry)| Placed::new(index, entry.number)));
        order.sort_unstable();
        let mut rest = order.as_slice();
        let mut result = Ok(());
        while let (Some(stretch), Ok(())) = (Stretch::of(rest, GAP_MAX_BLOCKS), &result) {
            result = self.write(&stretch, entries, disk);
            rest = rest.get(stretch.entries.len()..).unwrap_or_default();
        }
        order.shrink_to(ENTRIES_KEPT);
        self.order = order;
        self.bytes.truncate(WRITE_MAX_BYTES);
        self.bytes.shrink_to(WRITE_MAX_BYTES);
        result
    }

    fn write(
        &mut self,
        stretch: &Stretch<'_>,
        entries: &[Entry],
        disk: &mut dyn Disk,
    ) -> io::Result<()> {
        let is_whole = stretch.parts == 1;
        if is_whole || (stretch.parts >= STRETCHES_MIN && self.read(stretch, disk)) {
            return self.write_whole(stretch, entries, disk);
        }
        let mut rest = stretch.entries;
        while let Some(part) = Stretch::of(rest, 0) {
            self.write_whole(&part, entries, disk)?;
            rest = rest.get(part.entries.len()..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads what is there now; says whether that was possible.
    fn read(&mut self, stretch: &Stretch<'_>, disk: &mut dyn Disk) -> bool {
        let Some(bytes) = self.room(stretch) else { return false };
        disk.read(at(stretch.first), bytes).is_ok()
    }

    fn room(&mut self, stretch: &Stretch<'_>) -> Option<&mut [u8]> {
        let length = usize::try_from(stretch.blocks * BLOCK_SIZE_BYTES).ok()?;
        if self.bytes.len() < length {
            self.bytes.resize(length, 0);
        }
        self.bytes.get_mut(..length)
    }

    /// Writes a stretch; what is between its blocks has been read.
    fn write_whole(
        &mut self,
        stretch: &Stretch<'_>,
        entries: &[Entry],
        disk: &mut dyn Disk,
    ) -> io::Result<()> {
        let entry = |index: usize| entries.get(index).map(|entry| bytemuck::bytes_of(&entry.block));
        let written = match stretch.entries {
            [only] => {
                let block = entry(only.index()).unwrap_or_default();
                disk.write(File::Ledger, at(stretch.first), block)?;
                block.len()
            }
            _ => {
                let bytes = self.room(stretch).unwrap_or_default();
                for placed in stretch.entries {
                    let place = (placed.block() - stretch.first) * BLOCK_SIZE_BYTES;
                    let place = usize::try_from(place).unwrap_or(usize::MAX);
                    let target = bytes.get_mut(place..).and_then(|to| to.get_mut(..BLOCK_BYTES));
                    if let (Some(target), Some(block)) = (target, entry(placed.index())) {
                        target.copy_from_slice(block);
                    }
                }
                disk.write(File::Ledger, at(stretch.first), bytes)?;
                bytes.len()
            }
        };
        self.written_bytes = self.written_bytes.saturating_add(written as u64);
        Ok(())
    }
}

/// Where a block is in the file.
fn at(block: u64) -> u64 {
    HEADER_SIZE_BYTES + block * BLOCK_SIZE_BYTES
}
