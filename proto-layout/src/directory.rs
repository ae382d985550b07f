//! Where segments and acks are: the one directory that producers and the agent agree on.
//!
//! Both sides call [`find`], so that without any configuration they look at the same place:
//!
//! | order | directory | taken if | made by |
//! |---|---|---|---|
//! | 1 | the explicit path | given | its owner, beforehand |
//! | 2 | `$RINGMETER_DIR` | set and not empty | its owner, beforehand |
//! | 3 | `/run/ringmeter` | it exists and is usable | its owner, beforehand |
//! | 4 | `$XDG_RUNTIME_DIR/ringmeter` | that is a directory of this user | either side, 0700 |
//! | 5 | `/dev/shm/ringmeter-<uid>` | always | either side, 0700 |
//!
//! Usable means: it may be searched, and it may be written or has a `segments` that may be
//! searched. (In the hardened deployment the directory itself belongs to root, and its two
//! subdirectories are volumes.) A directory of the first two rows that is missing or not
//! allowed is an error, never a reason to look further: whoever named it wants that one. So is
//! one of the last two rows that exists but is not a plain, private directory of this user,
//! because anybody may create names in `/dev/shm`.
//!
//! Inside are two subdirectories, each created and written by one side only: `segments` by
//! the producers, `agent` by the agent.
//!
//! Everything happens at start, so it may allocate. Only Linux is supported; elsewhere every
//! function answers with an error.

mod error;
#[cfg(target_os = "linux")]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "directory/unsupported.rs"]
mod system;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

pub use error::DirectoryError;

/// The environment variable that names the directory.
pub const DIRECTORY_VARIABLE: &str = "RINGMETER_DIR";

/// Which rule gave the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// It was given explicitly: a flag, or an argument of the SDK.
    Explicit,
    /// `$RINGMETER_DIR`.
    Variable,
    /// `/run/ringmeter`.
    Run,
    /// `$XDG_RUNTIME_DIR/ringmeter`.
    UserRuntime,
    /// `/dev/shm/ringmeter-<uid>`.
    SharedMemory,
}

impl Source {
    /// Where it was looked up, as a user knows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Explicit => "given",
            Self::Variable => "$RINGMETER_DIR",
            Self::Run => "/run/ringmeter",
            Self::UserRuntime => "$XDG_RUNTIME_DIR",
            Self::SharedMemory => "/dev/shm",
        }
    }
}

/// One of the two subdirectories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subdirectory {
    /// Segments: created and written by producers.
    Segments,
    /// Acks: created and written by the agent.
    Agent,
}

impl Subdirectory {
    /// Its name in the directory.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Segments => "segments",
            Self::Agent => "agent",
        }
    }
}

/// The directory, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    path: PathBuf,
    source: Source,
}

impl Directory {
    /// The directory's absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which rule gave it.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }

    /// The path of the segments, whether it exists yet or not.
    #[must_use]
    pub fn segments_path(&self) -> PathBuf {
        self.subdirectory_path(Subdirectory::Segments)
    }

    /// The path of the acks, whether it exists yet or not.
    #[must_use]
    pub fn agent_path(&self) -> PathBuf {
        self.subdirectory_path(Subdirectory::Agent)
    }

    /// The path of a subdirectory, whether it exists yet or not.
    #[must_use]
    pub fn subdirectory_path(&self, which: Subdirectory) -> PathBuf {
        self.path.join(which.as_str())
    }
}

/// All that [`find_in`] knows of the process and the system.
///
/// [`Environment::current`] is the real one; tests make their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The value of `RINGMETER_DIR`.
    pub ringmeter_dir: Option<OsString>,
    /// The value of `XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<OsString>,
    /// The directory of the system: `/run/ringmeter`.
    pub run_path: PathBuf,
    /// Where the directories of users are: `/dev/shm`.
    pub shared_memory_path: PathBuf,
    /// The effective user id.
    pub uid: u32,
}

impl Environment {
    /// The environment of this process.
    ///
    /// A process that runs with another user's or group's rights (setuid, setgid) ignores the
    /// variables, because its caller chose them.
    #[must_use]
    pub fn current() -> Self {
        let variable = |name| std::env::var_os(name).filter(|_| !system::has_foreign_rights());
        Self {
            ringmeter_dir: variable(DIRECTORY_VARIABLE),
            xdg_runtime_dir: variable("XDG_RUNTIME_DIR"),
            run_path: PathBuf::from("/run/ringmeter"),
            shared_memory_path: PathBuf::from("/dev/shm"),
            uid: system::effective_uid(),
        }
    }
}

/// Finds the directory for this process.
///
/// ```no_run
/// let directory = ringmeter_layout::directory::find(None)?;
/// println!("segments are in {}", directory.segments_path().display());
/// # Ok::<(), ringmeter_layout::directory::DirectoryError>(())
/// ```
///
/// # Errors
///
/// Those of [`find_in`].
pub fn find(explicit: Option<&Path>) -> Result<Directory, DirectoryError> {
    find_in(explicit, &Environment::current())
}

/// Finds the directory in a given environment; the module's table has the rules.
///
/// # Errors
///
/// [`DirectoryError`] if a directory that was named can't be used, if a private one is not
/// private, if the last one can't be made, and always where the system is not Linux.
pub fn find_in(
    explicit: Option<&Path>,
    environment: &Environment,
) -> Result<Directory, DirectoryError> {
    if !cfg!(target_os = "linux") {
        return Err(DirectoryError::Unsupported);
    }
    if let Some(path) = explicit {
        return named(path, Source::Explicit);
    }
    if let Some(path) = set(environment.ringmeter_dir.as_ref()) {
        return named(path, Source::Variable);
    }
    if system::is_usable(&environment.run_path) {
        return Ok(Directory { path: environment.run_path.clone(), source: Source::Run });
    }
    if let Some(path) = set(environment.xdg_runtime_dir.as_ref()) {
        if path.is_absolute() && system::is_owned_directory(path, environment.uid) {
            let path = path.join("ringmeter");
            system::make_private(&path, environment.uid)?;
            return Ok(Directory { path, source: Source::UserRuntime });
        }
    }
    let path = environment.shared_memory_path.join(format!("ringmeter-{}", environment.uid));
    system::make_private(&path, environment.uid)?;
    Ok(Directory { path, source: Source::SharedMemory })
}

/// Takes a path that somebody chose, or says what is wrong with it.
fn named(path: &Path, source: Source) -> Result<Directory, DirectoryError> {
    let path = path.to_owned();
    if !path.is_absolute() {
        return Err(DirectoryError::NotAbsolute { path });
    }
    if path.components().any(|component| component == Component::ParentDir) {
        return Err(DirectoryError::ParentComponent { path });
    }
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => Ok(Directory { path, source }),
        Ok(_) => Err(DirectoryError::NotDirectory { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(DirectoryError::Missing { path })
        }
        Err(error) => Err(DirectoryError::Io { operation: "look at", path, error }),
    }
}

/// A variable's value as a path, unless it is empty, which counts as not set.
fn set(value: Option<&OsString>) -> Option<&Path> {
    value.filter(|value| !value.is_empty()).map(Path::new)
}

/// Opens the subdirectory that belongs to this side, and creates it if it is missing.
///
/// A new one gets mode 2770, less what the directory itself does not allow, whatever the
/// umask: in a directory of mode 2770, which hands its group down, the other side can read it
/// through the group; in a private one it stays private. One that exists is left as it is. A
/// symbolic link is refused.
///
/// # Errors
///
/// [`DirectoryError::Io`], [`DirectoryError::NotOwned`] if what was just created has been
/// replaced, [`DirectoryError::Unsupported`] where the system is not Linux.
pub fn open_subdirectory(
    directory: &Directory,
    which: Subdirectory,
) -> Result<File, DirectoryError> {
    system::open_or_create(directory.path(), &directory.subdirectory_path(which))
}

/// Opens the subdirectory of the other side, or answers `None` while it does not exist.
///
/// # Errors
///
/// [`DirectoryError::Io`], or [`DirectoryError::Unsupported`] where the system is not Linux.
pub fn open_existing_subdirectory(
    directory: &Directory,
    which: Subdirectory,
) -> Result<Option<File>, DirectoryError> {
    system::open_existing(&directory.subdirectory_path(which))
}

/// Whether a path lies in memory: on tmpfs or ramfs.
///
/// On any other file system the SDK's stores cause disk writes, so the SDK refuses it unless told
/// otherwise, and the agent warns.
///
/// # Errors
///
/// That of `statfs`, such as for a path that does not exist;
/// [`io::ErrorKind::Unsupported`] where the system is not Linux.
pub fn is_memory_backed(path: &Path) -> io::Result<bool> {
    system::is_memory_backed(path)
}

#[cfg(test)]
#[cfg(all(target_os = "linux", not(miri)))]
mod tests;
