//! The two files of a ledger, where they are, and how they are set aside.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::fcntl::{FallocateFlags, OFlag, fallocate};
use ringmeter_layout::file::lock_exclusive;

use super::Reason;
use super::block::{BLOCK_SIZE_BYTES, BLOCKS_MAX, HEADER_SIZE_BYTES};

/// Ledgers set aside are evidence; this many are kept of each reason.
const SET_ASIDE_MAX: usize = 3;
/// A longer file is no ledger. Files grow by an eighth more than they need.
const FILE_MAX_BYTES: u64 = HEADER_SIZE_BYTES + BLOCKS_MAX as u64 * BLOCK_SIZE_BYTES * 5 / 4;

/// One of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// Header and blocks.
    Ledger,
    /// The last commit.
    Journal,
}

/// Where a ledger is written.
pub trait Disk: Send {
    /// Writes all of `bytes` at an offset.
    ///
    /// # Errors
    /// What the system says; then any part of the bytes may be written.
    fn write(&mut self, file: File, offset_bytes: u64, bytes: &[u8]) -> io::Result<()>;

    /// Fills `bytes` with what the ledger has at an offset.
    ///
    /// # Errors
    /// What the system says.
    fn read(&mut self, offset_bytes: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Allocates the ledger up to this size, so that writes below it lack no room.
    ///
    /// # Errors
    /// What the system says.
    fn reserve(&mut self, size_bytes: u64) -> io::Result<()>;

    /// Cuts the journal to this size if it is longer.
    ///
    /// # Errors
    /// What the system says.
    fn shorten_journal(&mut self, size_bytes: u64) -> io::Result<()>;
}

/// The files, open and locked.
#[derive(Debug)]
pub struct Files {
    ledger: fs::File,
    journal: fs::File,
}

impl Disk for Files {
    fn write(&mut self, file: File, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        let file = match file {
            File::Ledger => &self.ledger,
            File::Journal => &self.journal,
        };
        file.write_all_at(bytes, offset_bytes)
    }

    fn read(&mut self, offset_bytes: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.ledger.read_exact_at(bytes, offset_bytes)
    }

    fn reserve(&mut self, size_bytes: u64) -> io::Result<()> {
        let length = i64::try_from(size_bytes).map_err(io::Error::other)?;
        match fallocate(&self.ledger, FallocateFlags::empty(), 0, length) {
            Ok(()) => Ok(()),
            Err(nix::errno::Errno::EOPNOTSUPP) => self.fill(size_bytes),
            Err(error) => Err(error.into()),
        }
    }

    fn shorten_journal(&mut self, size_bytes: u64) -> io::Result<()> {
        if self.journal.metadata()?.len() > size_bytes {
            self.journal.set_len(size_bytes)?;
        }
        Ok(())
    }
}

impl Files {
    /// Allocates by writing, where the file system cannot do it otherwise.
    fn fill(&self, size_bytes: u64) -> io::Result<()> {
        let zeros = [0; 4096];
        let mut at = self.ledger.metadata()?.len();
        while at < size_bytes {
            let length = usize::try_from(size_bytes - at).unwrap_or(zeros.len()).min(zeros.len());
            self.ledger.write_all_at(zeros.get(..length).unwrap_or_default(), at)?;
            at += length as u64;
        }
        Ok(())
    }
}

/// Where a ledger is.
#[derive(Debug, Clone)]
pub struct Place {
    path: PathBuf,
}

impl Place {
    /// The ledger at this path, and its journal beside it.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The path of the ledger.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn with(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    /// The path of the journal.
    pub fn journal_path(&self) -> PathBuf {
        self.with(".journal")
    }

    /// Opens both files, makes them where they are missing, and locks the ledger.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::WouldBlock`] when another process holds the lock.
    pub fn open(&self) -> io::Result<Files> {
        let ledger = open(&self.path)?;
        match lock_exclusive(&ledger) {
            Ok(()) => Ok(Files { ledger, journal: open(&self.journal_path())? }),
            Err(error) if is_held(&error) => {
                Err(io::Error::new(io::ErrorKind::WouldBlock, "another process uses this ledger"))
            }
            Err(error) => Err(error),
        }
    }

    /// The bytes of both files. A file too long for a ledger is read up to that length.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&self, files: &Files) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let read = |file: &fs::File| {
            let mut bytes = Vec::new();
            file.take(FILE_MAX_BYTES).read_to_end(&mut bytes).map(|_| bytes)
        };
        Ok((read(&files.ledger)?, read(&files.journal)?))
    }

    /// Renames both files to names that say why, and removes the oldest of such names.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_aside(&self, reason: Reason) -> io::Result<PathBuf> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Zeros in front keep the names in the order of time.
        let suffix = format!(".{}-{:020}", reason.as_str(), now.as_nanos());
        let target = self.with(&suffix);
        fs::rename(&self.path, &target)?;
        let journal = fs::rename(self.journal_path(), self.with(&format!("{suffix}.journal")));
        if let Err(error) = journal
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        self.forget_old(reason);
        Ok(target)
    }

    fn forget_old(&self, reason: Reason) {
        let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return;
        };
        let start = format!("{}.{}-", name.to_string_lossy(), reason.as_str());
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let mut old: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&start))
            .map(|entry| entry.path())
            .collect();
        old.sort_unstable();
        // Two files each.
        let spare = old.len().saturating_sub(SET_ASIDE_MAX * 2);
        for path in old.iter().take(spare) {
            // What cannot be removed is seen by whoever looks there.
            let _ = fs::remove_file(path);
        }
    }
}

fn open(path: &Path) -> io::Result<fs::File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other(format!("{} is not a regular file", path.display())));
    }
    Ok(file)
}

/// POSIX allows either of two numbers.
fn is_held(error: &io::Error) -> bool {
    use nix::libc::{EACCES, EAGAIN};
    matches!(error.raw_os_error(), Some(EAGAIN | EACCES))
}
