//! A directory in memory that is gone afterwards.

use std::path::{Path, PathBuf};

use crate::error::Outcome;

/// A directory of our own under `/dev/shm`, removed when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one.
    ///
    /// # Errors
    /// When `/dev/shm` cannot be written.
    pub fn new() -> Outcome<Self> {
        Ok(Self(nix::unistd::mkdtemp("/dev/shm/ringmeter-bench-XXXXXX")?))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A new directory inside.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn directory(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.0.join(name);
        std::fs::create_dir(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that stays behind is a few kilobytes; there is nobody to tell.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
