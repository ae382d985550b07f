//! The two files of a segment as the agent uses them: one to read, one to write.
//!
//! The agent never maps a file that others can write. It reads whole aligned words into private
//! memory, so nothing that it looks at can change or vanish under it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use ringmeter_layout::file;

/// Bytes of a segment, and whether the process that writes them lives.
pub trait Source: Send {
    /// Fills `buffer` from `offset_bytes` on. Both are multiples of 8.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the segment ends before.
    fn read(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Size of the segment.
    ///
    /// # Errors
    /// What the system says.
    fn size_bytes(&self) -> io::Result<u64>;

    /// Whether its process lives.
    ///
    /// # Errors
    /// What the system says.
    fn is_alive(&self) -> io::Result<bool>;
}

impl Source for File {
    fn read(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset_bytes)
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn is_alive(&self) -> io::Result<bool> {
        file::is_locked(self)
    }
}

/// Where positions are acknowledged.
pub trait AckSink: Send {
    /// Writes `bytes` at `offset_bytes`.
    ///
    /// # Errors
    /// What the system says.
    fn write(&mut self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()>;
}

impl AckSink for File {
    fn write(&mut self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset_bytes)
    }
}
