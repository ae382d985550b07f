//! Memory that outlives every reference to it: the one place in this crate with `unsafe`.
//!
//! Two kinds: a mapping of a segment that *this process* made and alone writes, and private
//! memory that stands in for one. Neither is ever unmapped once it is [`Mapping`]: handles in
//! statics, in other threads and in destructors may use it until the process ends. Nobody maps
//! memory that the other side can write or truncate.
//!
//! A mapping may be longer than its file. Its bytes become usable range by range, when the file
//! has been grown by `fallocate` (see the SDK); nothing here is touched before that.

#![allow(unsafe_code)]

use core::ptr::NonNull;
use std::io;

use crate::word::Word;

/// Zeroed private memory, or a shared mapping, valid until the process ends.
///
/// Cheap to copy: an address and a length.
#[derive(Debug, Clone, Copy)]
pub struct Mapping {
    base: NonNull<Word>,
    length_bytes: u64,
}

// SAFETY:
// - `Mapping` gives out shared references to `Word` only, and `Word` is an atomic, hence Sync.
// - The memory is never unmapped, so it does not matter which thread holds the address.
unsafe impl Send for Mapping {}
// SAFETY: as for `Send`; no method needs exclusive access.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Private zeroed memory of `length_bytes`, which the system backs page by page at first use.
    ///
    /// On Linux a forked child finds it zeroed, so that it cannot repeat its parent's counts.
    ///
    /// # Errors
    /// When the system has no room for it.
    pub fn private(length_bytes: u64) -> io::Result<Self> {
        let length = usize::try_from(length_bytes)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let length = length.next_multiple_of(4096);
        // A shortage that passes must not decide for the rest of the process' life.
        private_memory(length).or_else(|_| private_memory(length))
    }

    /// Length in bytes.
    #[must_use]
    pub const fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Address of the byte at `offset_bytes`, for pre-computed hot paths.
    #[must_use]
    pub fn address(&self, offset_bytes: u64) -> u64 {
        self.base.as_ptr() as u64 + offset_bytes
    }

    /// The `count` words from `offset_bytes` on, or nothing when they do not all lie inside or
    /// the offset is not a multiple of eight.
    ///
    /// In a shared mapping the caller has grown the file over them before.
    #[inline]
    #[must_use]
    pub fn words(&self, offset_bytes: u64, count: usize) -> Option<&'static [Word]> {
        let size = (count as u64).checked_mul(8)?;
        let end = offset_bytes.checked_add(size)?;
        if offset_bytes % 8 != 0 || end > self.length_bytes {
            return None;
        }
        let at = usize::try_from(offset_bytes / 8).ok()?;
        // SAFETY:
        // - `at` words from `base` lie inside the memory: `end <= length_bytes` above.
        let first = unsafe { self.base.as_ptr().add(at) };
        // SAFETY:
        // - `first .. first + count` lies inside memory that is never unmapped (`'static`).
        // - It is aligned: `base` is page-aligned and `at` counts words.
        // - It is initialised: zeroed at birth, and any bits are a valid `Word`.
        // - A `Word` is an atomic: other threads, and other processes reading, may touch it.
        Some(unsafe { core::slice::from_raw_parts(first, count) })
    }

    /// The word at `offset_bytes`; see [`words`](Self::words).
    #[inline]
    #[must_use]
    pub fn word(&self, offset_bytes: u64) -> Option<&'static Word> {
        self.words(offset_bytes, 1).and_then(<[Word]>::first)
    }

    /// Copies `bytes`, a multiple of eight of them, to `offset_bytes` word by word.
    ///
    /// Returns whether they fit.
    #[must_use]
    pub fn copy_in(&self, offset_bytes: u64, bytes: &[u8]) -> bool {
        let (words, rest) = bytes.as_chunks_8();
        let Some(to) = self.words(offset_bytes, words.len()).filter(|_| rest == 0) else {
            return false;
        };
        for (word, value) in to.iter().zip(words) {
            word.store_relaxed(u64::from_ne_bytes(*value));
        }
        true
    }
}

/// `slice::as_chunks` for eight bytes, which this crate's oldest compiler does not have.
trait AsChunks8 {
    fn as_chunks_8(&self) -> (&[[u8; 8]], usize);
}

impl AsChunks8 for [u8] {
    fn as_chunks_8(&self) -> (&[[u8; 8]], usize) {
        let whole = self.len() / 8 * 8;
        (bytemuck::cast_slice(&self[..whole]), self.len() - whole)
    }
}

/// Elsewhere than on Linux, and under Miri, which has no `madvise`. The address is taken from an
/// exclusive reference: one from a shared reference could not be written through.
#[cfg(any(not(target_os = "linux"), miri))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature as on Linux")]
fn private_memory(length: usize) -> io::Result<Mapping> {
    let words: &'static mut [u64] = Box::leak(vec![0_u64; length / 8].into_boxed_slice());
    Ok(Mapping { base: NonNull::from(words).cast(), length_bytes: length as u64 })
}

#[cfg(target_os = "linux")]
pub use linux::SharedMapping;

#[cfg(all(target_os = "linux", not(miri)))]
use linux::private_memory;

#[cfg(target_os = "linux")]
mod linux {
    use core::ptr::NonNull;
    use std::fs::File;
    use std::io;

    use memmap2::{Advice, MmapOptions, MmapRaw};

    use super::Mapping;

    const PAGE_SIZE_BYTES: usize = 4096;

    #[cfg(not(miri))]
    pub(super) fn private_memory(length: usize) -> io::Result<Mapping> {
        // Rust's memmap2 has no name for MADV_WIPEONFORK, and must not unmap: hence libc.
        // SAFETY:
        // - An anonymous private mapping at an address of the kernel's choice touches nothing
        //   that exists.
        let address = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let Some(base) = NonNull::new(address.cast()) else {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        };
        // SAFETY:
        // - The range is exactly the mapping made above, and nobody uses it yet.
        let wiped = unsafe { libc::madvise(address, length, libc::MADV_WIPEONFORK) };
        if wiped != 0 {
            let error = io::Error::last_os_error();
            // SAFETY:
            // - The range is exactly the mapping made above; no reference to it was given out.
            unsafe { libc::munmap(address, length) };
            return Err(error);
        }
        Ok(Mapping { base, length_bytes: length as u64 })
    }

    /// A mapping of a segment that is being made; unmapped again if its making fails.
    #[derive(Debug)]
    pub struct SharedMapping(MmapRaw);

    impl SharedMapping {
        /// Maps `length_bytes` of `file` for reading and writing, whatever its size is now.
        ///
        /// A forked child does not have the mapping at all.
        ///
        /// # Errors
        /// When the system has no room for it, or cannot keep it from children.
        pub fn new(file: &File, length_bytes: u64) -> io::Result<Self> {
            let length = usize::try_from(length_bytes)
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            let map = MmapOptions::new().len(length).map_raw(file)?;
            map.advise(Advice::DontFork)?;
            Ok(Self(map))
        }

        /// The mapping, kept until the process ends.
        #[must_use]
        pub fn keep(self) -> Mapping {
            let mapping = Mapping {
                base: NonNull::new(self.0.as_mut_ptr().cast()).unwrap_or(NonNull::dangling()),
                length_bytes: self.0.len() as u64,
            };
            core::mem::forget(self.0);
            mapping
        }

        /// Makes the pages of a range present, so that no first touch faults later.
        ///
        /// The file has been grown over the range before. Best effort: kernels before 5.14 do
        /// not have the call, and a page that is not present costs a fault, not correctness.
        pub fn populate(&self, offset_bytes: u64, length_bytes: u64) {
            let range = (usize::try_from(offset_bytes), usize::try_from(length_bytes));
            if let (Ok(offset), Ok(length)) = range {
                let _ = self.0.advise_range(Advice::PopulateWrite, offset, length);
            }
        }
    }

    impl Mapping {
        /// Makes the pages of a range present; see [`SharedMapping::populate`]. Falls back to
        /// touching each page.
        pub fn populate(&self, offset_bytes: u64, length_bytes: u64) {
            let Ok(count) = usize::try_from(length_bytes / 8) else { return };
            let Some(words) = self.words(offset_bytes, count) else { return };
            // SAFETY:
            // - The range lies inside the mapping: `words` found it there.
            // - MADV_POPULATE_WRITE changes no byte; the file was grown over the range before.
            let done = unsafe {
                libc::madvise(
                    words.as_ptr().cast_mut().cast(),
                    count * 8,
                    libc::MADV_POPULATE_WRITE,
                )
            };
            if done != 0 {
                for page in words.chunks(PAGE_SIZE_BYTES / 8) {
                    page[0].add_relaxed(0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_given_only_from_inside() {
        let memory = Mapping::private(8192).expect("memory");
        assert_eq!(memory.length_bytes(), 8192);
        assert!(memory.words(0, 1024).is_some());
        assert!(memory.words(0, 1025).is_none(), "beyond the end");
        assert!(memory.words(8192, 0).is_some(), "nothing, at the end");
        assert!(memory.words(4, 1).is_none(), "misaligned");
        assert!(memory.words(u64::MAX - 7, 1).is_none(), "overflow");
        assert!(memory.words(0, usize::MAX).is_none(), "overflow");
    }

    #[test]
    fn bytes_are_copied_in_whole_words() {
        let memory = Mapping::private(4096).expect("memory");
        assert!(memory.copy_in(8, b"ringmetr"));
        assert!(!memory.copy_in(8, b"ring"), "half a word");
        assert!(!memory.copy_in(4092, b"ringmetr"), "beyond the end");
        let word = memory.word(8).expect("inside");
        assert_eq!(word.load_relaxed().to_ne_bytes(), *b"ringmetr");
    }
}
