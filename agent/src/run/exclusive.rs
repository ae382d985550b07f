//! One agent per directory.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
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
        let path = agent_path.join("lock");
        let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags.bits())
            .open(&path)
            .map_err(io_error("open the agent's lock file"))?;
        match file::lock_exclusive(&file) {
            Ok(()) => {
                // For people; without room on the volume they are not told.
                let number = format!("{:<LINE_BYTES$}", std::process::id());
                let _ = file.write_all_at(number.as_bytes(), 0);
                Ok(Self { _file: file })
            }
            Err(error) if is_held(&error) => {
                let process = holder(&file);
                Err(RunError::Occupied { path, process })
            }
            Err(error) => Err(io_error("lock the agent's lock file")(error)),
        }
    }
}

/// What the lock file holds: the holder's process number, and blanks.
const LINE_BYTES: usize = 16;

/// Who says to hold the lock.
fn holder(file: &File) -> Option<u32> {
    let mut line = [0; LINE_BYTES];
    file.read_exact_at(&mut line, 0).ok()?;
    std::str::from_utf8(&line).ok()?.trim_end().parse().ok()
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
        let error = Exclusive::take(&path).expect_err("one at a time");
        assert!(matches!(error, RunError::Occupied { process: Some(_), .. }));
        let text = error.to_string();
        let who = format!("process {}, holds {}", std::process::id(), path.display());
        assert!(text.contains(&who) && text.contains("RINGMETER_DIR"), "{text}");
        drop(first);
        assert!(Exclusive::take(&path).is_ok());
        std::fs::remove_dir_all(&path).expect("clean up");
    }
}
