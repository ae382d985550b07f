//! A directory in shared memory for one test, removed when the test ends.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A fresh directory on tmpfs.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    is_mount: bool,
}

static MADE: AtomicU32 = AtomicU32::new(0);

impl Directory {
    /// A directory under `/dev/shm`.
    ///
    /// # Panics
    /// When it cannot be made: the test cannot run.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its directory is no test")]
    pub fn new() -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringmeter-test-{}-{number}", std::process::id());
        let path = Path::new("/dev/shm").join(name);
        std::fs::create_dir(&path).expect("make a directory in /dev/shm");
        Self { path, is_mount: false }
    }

    /// A tmpfs of its own of `size_bytes`, mounted; needs to be root.
    ///
    /// # Panics
    /// When it cannot be mounted.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its directory is no test")]
    pub fn of_size(size_bytes: u64) -> Self {
        let mut directory = Self::new();
        let options = format!("size={size_bytes}");
        nix::mount::mount(
            Some("tmpfs"),
            &directory.path,
            Some("tmpfs"),
            nix::mount::MsFlags::empty(),
            Some(options.as_str()),
        )
        .expect("mount a tmpfs");
        directory.is_mount = true;
        directory
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of memory that the files in it take.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let mut total = 0;
        let mut pending = vec![self.path.clone()];
        while let Some(directory) = pending.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => pending.push(entry.path()),
                    Ok(metadata) => total += metadata.blocks() * 512,
                    Err(_) => {}
                }
            }
        }
        total
    }

    /// The segment files in it.
    #[must_use]
    pub fn segments(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path.join("segments")).into_iter().flatten();
        let mut paths: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
            .collect();
        paths.sort();
        paths
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.is_mount {
            let _ = nix::mount::umount2(&self.path, nix::mount::MntFlags::MNT_DETACH);
        }
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
