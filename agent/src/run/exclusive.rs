//! One agent per directory.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;
use ringmeter_layout::file;

use super::{RunError, io_error};

/// The lock that says "an agent drains this directory". It falls with the process.
#[derive(Debug)]
pub(super) struct Exclusive {
    _file: File,
}

impl Exclusive {
    /// Takes the lock in the agent's directory, without waiting.
    pub(super) fn take(agent_path: &Path) -> Result<Self, RunError> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags.bits())
            .open(agent_path.join("lock"))
            .map_err(io_error("open the agent's lock file"))?;
        match file::lock_exclusive(&file) {
            Ok(()) => Ok(Self { _file: file }),
            Err(error) if is_held(&error) => Err(RunError::Occupied),
            Err(error) => Err(io_error("lock the agent's lock file")(error)),
        }
    }
}

/// POSIX allows either of two numbers.
fn is_held(error: &io::Error) -> bool {
    use nix::libc::{EACCES, EAGAIN};
    matches!(error.raw_os_error(), Some(EAGAIN | EACCES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_told_and_the_lock_falls_with_the_first() {
        let path = std::env::temp_dir().join(format!("ringmeter-lock-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("directory");
        let first = Exclusive::take(&path).expect("free");
        assert!(matches!(Exclusive::take(&path), Err(RunError::Occupied)));
        drop(first);
        assert!(Exclusive::take(&path).is_ok());
        std::fs::remove_dir_all(&path).expect("clean up");
    }
}
