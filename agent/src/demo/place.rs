//! The directory that the demo shares between service and agent.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::unistd::{geteuid, mkdtemp};
use ringmeter_layout::directory::is_memory_backed;

use super::DemoError;

/// Where temporary directories are made: the tmpfs that every Linux has.
const SHARED_MEMORY: &str = "/dev/shm";

/// Names of temporary directories begin with it.
const PREFIX: &str = "ringmeter-demo-";

/// A younger directory may belong to a demo that has not locked it yet.
const LEFTOVER_AGE_MIN: Duration = Duration::from_secs(60);

/// A directory; if it is the demo's own, it goes when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Of a temporary directory: locked as long as somebody uses it, so that the next demo can
    /// tell what a killed one left behind. The lock falls with the process.
    lock: Option<File>,
}

impl Place {
    /// Takes the directory that was named, or makes a temporary one.
    pub(super) fn prepare(named: Option<&Path>) -> Result<Self, DemoError> {
        let Some(path) = named else { return Self::temporary(Path::new(SHARED_MEMORY)) };
        let path = path.to_owned();
        if !path.is_dir() {
            return Err(DemoError::DirectoryMissing { path });
        }
        if !is_memory_backed(&path).is_ok_and(|is_memory| is_memory) {
            return Err(DemoError::DirectoryNotMemory { path });
        }
        Ok(Self { path, lock: None })
    }

    fn temporary(parent: &Path) -> Result<Self, DemoError> {
        if !is_memory_backed(parent).is_ok_and(|is_memory| is_memory) {
            return Err(DemoError::NoSharedMemory { path: parent.to_owned() });
        }
        remove_leftovers(parent, LEFTOVER_AGE_MIN);
        let template = parent.join(format!("{PREFIX}XXXXXX"));
        // Makes the name unique and the directory private (0700).
        let path = mkdtemp(&template)
            .map_err(|error| DemoError::DirectoryCreate { path: template, error: error.into() })?;
        let lock = File::open(&path).ok().filter(|directory| directory.try_lock().is_ok());
        if lock.is_none() {
            let _ = fs::remove_dir(&path);
            let error = io::Error::other("it cannot be locked");
            return Err(DemoError::DirectoryCreate { path, error });
        }
        Ok(Self { path, lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes a temporary directory with everything in it.
    pub(super) fn remove(mut self) -> Result<(), DemoError> {
        self.remove_now()
            .map_err(|error| DemoError::DirectoryRemove { path: self.path.clone(), error })
    }

    fn remove_now(&mut self) -> io::Result<()> {
        match self.lock.take() {
            Some(_lock) => fs::remove_dir_all(&self.path),
            None => Ok(()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // On the way out of an error, which is what will be reported.
        let _ = self.remove_now();
    }
}

/// Removes what demos that were killed have left behind. Nothing depends on it.
fn remove_leftovers(parent: &Path, age_min: Duration) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let is_ours = |metadata: &fs::Metadata| {
            let age =
                metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            metadata.is_dir()
                && metadata.uid() == geteuid().as_raw()
                && age.is_some_and(|age| age >= age_min)
        };
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with(PREFIX)
            || !entry.metadata().is_ok_and(|m| is_ours(&m))
        {
            continue;
        }
        let lock = File::open(entry.path()).ok().filter(|directory| directory.try_lock().is_ok());
        if lock.is_some() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A directory of the test's own on the tmpfs, removed at its end.
    struct Parent(PathBuf);

    impl Parent {
        fn new() -> Self {
            let template = Path::new(SHARED_MEMORY).join("ringmeter-place-test-XXXXXX");
            Self(mkdtemp(&template).expect("the tmpfs can be written"))
        }

        fn names(&self) -> usize {
            fs::read_dir(&self.0).expect("readable").count()
        }
    }

    impl Drop for Parent {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_temporary_directory_is_private_and_goes() {
        let parent = Parent::new();
        let place = Place::temporary(&parent.0).expect("made");
        let mode = fs::metadata(place.path()).expect("there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
        fs::write(place.path().join("file"), "x").expect("writable");
        place.remove().expect("removed");
        assert_eq!(parent.names(), 0);

        drop(Place::temporary(&parent.0).expect("made"));
        assert_eq!(parent.names(), 0);
    }

    #[test]
    fn a_named_directory_stays() {
        let parent = Parent::new();
        Place::prepare(Some(&parent.0)).expect("good").remove().expect("nothing to remove");
        assert!(parent.0.is_dir());
    }

    #[test]
    fn errors_say_what_to_do() {
        let missing = Place::prepare(Some(Path::new("/dev/shm/ringmeter-not-there")));
        assert!(matches!(missing, Err(DemoError::DirectoryMissing { .. })));
        let on_disk = Place::prepare(Some(Path::new("/proc")));
        assert!(matches!(on_disk, Err(DemoError::DirectoryNotMemory { .. })));
        let none = Place::temporary(Path::new("/proc")).expect_err("no tmpfs");
        assert!(none.to_string().contains("mount -t tmpfs"), "{none}");
    }

    #[test]
    fn leftovers_go_and_what_is_in_use_stays() {
        let parent = Parent::new();
        let used = Place::temporary(&parent.0).expect("made");
        fs::create_dir_all(parent.0.join("ringmeter-demo-killed/agent")).expect("made");
        fs::create_dir(parent.0.join("other")).expect("made");
        remove_leftovers(&parent.0, LEFTOVER_AGE_MIN);
        assert_eq!(parent.names(), 3);
        remove_leftovers(&parent.0, Duration::ZERO);
        assert_eq!(parent.names(), 2);
        assert!(used.path().is_dir() && parent.0.join("other").is_dir());
    }
}
