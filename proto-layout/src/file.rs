//! What both sides do with files: foreign ones opened without risk, liveness by lock.
//!
//! All of it is safe code over system calls; Linux only.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;

/// Which file a descriptor stands for: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// The identity of an open file.
    ///
    /// # Errors
    /// What `fstat` says.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::of_metadata(&file.metadata()?))
    }

    /// The identity of the file that `metadata` is about, which need not be open.
    #[must_use]
    pub fn of_metadata(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Whether `file` is still this file: after `closefrom` its number may be another's.
    #[must_use]
    pub fn is(&self, file: &File) -> bool {
        Self::of(file).is_ok_and(|found| found == *self)
    }
}

/// Why a foreign file was not opened.
#[derive(Debug)]
pub enum OpenError {
    /// A system call failed.
    Io(io::Error),
    /// It is a directory, FIFO, device or socket.
    NotRegular,
    /// It has more than one name.
    Linked {
        /// How many names.
        links: u64,
    },
}

impl core::fmt::Display for OpenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot open: {error}"),
            Self::NotRegular => f.write_str("not a regular file"),
            Self::Linked { links } => write!(f, "has {links} names (hard links), expected 1"),
        }
    }
}

impl core::error::Error for OpenError {}

/// Opens a file that somebody else made, for reading, without ever blocking or following a link.
///
/// # Errors
/// [`OpenError`]: what it is instead of a plain file with one name.
pub fn open_foreign(path: &Path) -> Result<File, OpenError> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(OpenError::Io)?;
    let metadata = file.metadata().map_err(OpenError::Io)?;
    if !metadata.file_type().is_file() {
        return Err(OpenError::NotRegular);
    }
    if metadata.nlink() != 1 {
        return Err(OpenError::Linked { links: metadata.nlink() });
    }
    Ok(file)
}

#[expect(clippy::cast_possible_truncation, reason = "the constants fit in 16 bits")]
fn whole_file(lock_type: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: lock_type as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Takes the write lock that says "the process that made this file lives", without waiting.
///
/// The lock belongs to the open file description, which a mapping of it also keeps alive: it
/// falls when the process is gone, whatever its pid namespace.
///
/// # Errors
/// What `fcntl` says; `EAGAIN` when another description holds the lock.
pub fn lock_exclusive(file: impl AsFd) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK)))?;
    Ok(())
}

/// Whether another open description holds the write lock.
///
/// Asks for a read lock: a bystander's read lock is then no sign of life.
///
/// # Errors
/// What `fcntl` says.
pub fn is_locked(file: impl AsFd) -> io::Result<bool> {
    let mut lock = whole_file(libc::F_RDLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(libc::c_int::from(lock.l_type) != libc::F_UNLCK)
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        let directory =
            std::env::temp_dir().join(format!("ringmeter-file-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("scratch directory");
        directory
    }

    #[test]
    fn only_plain_files_with_one_name_are_opened() {
        let directory = scratch("foreign");
        let plain = directory.join("plain");
        std::fs::write(&plain, b"x").expect("write");
        assert!(open_foreign(&plain).is_ok());
        std::os::unix::fs::symlink(&plain, directory.join("symlink")).expect("symlink");
        assert!(matches!(open_foreign(&directory.join("symlink")), Err(OpenError::Io(_))));
        assert!(matches!(open_foreign(&directory), Err(OpenError::NotRegular)));
        let fifo = directory.join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
        assert!(matches!(open_foreign(&fifo), Err(OpenError::NotRegular)), "and no blocking");
        std::fs::hard_link(&plain, directory.join("second")).expect("link");
        assert!(matches!(open_foreign(&plain), Err(OpenError::Linked { links: 2 })));
        std::fs::remove_dir_all(&directory).expect("clean up");
    }

    #[test]
    fn a_lock_is_seen_from_another_description_until_it_is_closed() {
        let directory = scratch("lock");
        let path = directory.join("segment");
        std::fs::write(&path, b"x").expect("write");
        let holder = OpenOptions::new().read(true).write(true).open(&path).expect("open");
        let observer = open_foreign(&path).expect("open");
        assert!(!is_locked(&observer).expect("query"));
        lock_exclusive(&holder).expect("lock");
        assert!(is_locked(&observer).expect("query"));
        let second = OpenOptions::new().read(true).write(true).open(&path).expect("open");
        assert!(lock_exclusive(&second).is_err(), "held by the first");
        drop(holder);
        assert!(!is_locked(&observer).expect("query"));
        std::fs::remove_dir_all(&directory).expect("clean up");
    }
}
