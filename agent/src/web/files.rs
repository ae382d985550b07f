//! Files that are read again when they change.
//!
//! Whether a file changed is told by its stamp: device, inode, size and times. A stamp is coarse:
//! on older kernels two writes within a few milliseconds share one. So files that had changed just
//! before they were read are read once more later, and their contents compared.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;
use ring::digest;

use crate::yaml::FILE_LENGTH_MAX_BYTES;

/// No clock of a file is coarser than this.
const STAMP_COARSE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            size_bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    fn is_recent(&self) -> bool {
        let seconds = u64::try_from(self.changed.0.max(self.modified.0)).unwrap_or(0);
        let written = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        // A time in the future is no reason to trust the stamp.
        written.is_none_or(|written| match SystemTime::now().duration_since(written) {
            Ok(age) => age < STAMP_COARSE,
            Err(_) => true,
        })
    }
}

#[derive(Debug)]
struct SeenFile {
    path: PathBuf,
    stamp: Option<Stamp>,
    contents: Option<digest::Digest>,
}

/// The files that one reading of the configuration looked at.
#[derive(Debug, Default)]
pub(super) struct Files {
    seen: Vec<SeenFile>,
}

impl Files {
    /// Reads a file, and remembers what it was.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        // Before the reading: a change meanwhile shows as another stamp afterwards.
        let stamp = Stamp::of(path);
        let bytes = read_bounded(path);
        let contents = bytes.as_ref().ok().map(|bytes| digest::digest(&digest::SHA256, bytes));
        self.seen.push(SeenFile { path: path.to_owned(), stamp, contents });
        bytes
    }

    /// Whether a file is another one by its stamp.
    pub(super) fn have_other_stamps(&self) -> bool {
        self.seen.iter().any(|file| file.stamp != Stamp::of(&file.path))
    }

    /// Whether a file was written so shortly before it was read that its stamp may hide a change.
    pub(super) fn are_recent(&self) -> bool {
        self.seen.iter().any(|file| file.stamp.is_some_and(|stamp| stamp.is_recent()))
    }

    /// Whether both looked at the same files with the same contents.
    pub(super) fn are_same(&self, other: &Self) -> bool {
        let contents = |file: &SeenFile| file.contents.map(|digest| digest.as_ref().to_vec());
        self.seen.len() == other.seen.len()
            && self.seen.iter().zip(&other.seen).all(|(one, another)| {
                one.path == another.path && contents(one) == contents(another)
            })
    }
}

/// Reads a regular file of a reasonable length; a pipe, which could block, is none.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file: File = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_LENGTH_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LENGTH_MAX_BYTES {
        let limit = format!("longer than {FILE_LENGTH_MAX_BYTES} bytes");
        return Err(io::Error::other(limit));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_by_stamp_or_by_contents() {
        let path = std::env::temp_dir().join(format!("ringmeter-files-{}", std::process::id()));
        let read = || {
            let mut files = Files::default();
            let bytes = files.read(&path).ok();
            (files, bytes)
        };
        let (absent, none) = read();
        assert_eq!(none, None);
        assert!(!absent.have_other_stamps() && !absent.are_recent());
        std::fs::write(&path, "one").expect("write");
        assert!(absent.have_other_stamps());
        let (one, bytes) = read();
        assert_eq!(bytes.as_deref(), Some(&b"one"[..]));
        assert!(!one.have_other_stamps() && one.are_recent(), "its stamp may hide a change");
        std::fs::write(&path, "two!").expect("write");
        assert!(one.have_other_stamps());
        let (two, _) = read();
        assert!(!one.are_same(&two) && !absent.are_same(&one));
        std::fs::remove_file(&path).expect("remove");
        std::fs::write(&path, "two!").expect("write");
        assert!(two.have_other_stamps() && two.are_same(&read().0), "only the stamp is another");
        let file = File::options().write(true).open(&path).expect("open");
        file.set_len(FILE_LENGTH_MAX_BYTES + 1).expect("grow");
        assert_eq!(read().1, None, "too long");
        std::fs::remove_file(&path).expect("remove");
        assert!(read_bounded(&std::env::temp_dir()).is_err(), "a directory");
    }
}
