//! Why there is no directory, in words that say what to do.

use core::fmt;
use std::io;
use std::path::PathBuf;

/// Why the directory, or a subdirectory, can't be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The path that was named is relative.
    NotAbsolute {
        /// The path.
        path: PathBuf,
    },
    /// The path that was named has a component `..`.
    ParentComponent {
        /// The path.
        path: PathBuf,
    },
    /// The path that was named does not exist.
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The path is something else than a directory.
    NotDirectory {
        /// The path.
        path: PathBuf,
    },
    /// The directory belongs to another user.
    NotOwned {
        /// The path.
        path: PathBuf,
        /// Its owner.
        owner_uid: u32,
        /// Who it should belong to.
        uid: u32,
    },
    /// A directory that must be private has another mode than 700.
    NotPrivate {
        /// The path.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A system call failed.
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// The system is not Linux.
    Unsupported,
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAbsolute { path } => {
                write!(f, "{} is a relative path: give one that starts with /", path.display())
            }
            Self::ParentComponent { path } => {
                write!(f, "{} contains '..': give the path without it", path.display())
            }
            Self::Missing { path } => {
                write!(f, "{} does not exist: create the directory first", path.display())
            }
            Self::NotDirectory { path } => {
                write!(f, "{} is not a directory: remove it or give another path", path.display())
            }
            Self::NotOwned { path, owner_uid, uid } => write!(
                f,
                "{} belongs to user {owner_uid}, not to {uid}: remove it, or name a directory \
                 with RINGMETER_DIR",
                path.display()
            ),
            Self::NotPrivate { path, mode } => write!(
                f,
                "{} has mode {mode:o}: make it private with chmod 700, or name a directory \
                 with RINGMETER_DIR",
                path.display()
            ),
            Self::Io { operation, path, error } => {
                write!(f, "cannot {operation} {}: {error}", path.display())
            }
            Self::Unsupported => f.write_str("shared memory is supported on Linux only"),
        }
    }
}

impl std::error::Error for DirectoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
