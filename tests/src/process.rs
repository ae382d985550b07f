//! Child processes that end with the test, by their ids.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A child process, killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl From<Child> for Process {
    fn from(child: Child) -> Self {
        Self { child }
    }
}

impl Process {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child itself.
    pub const fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    #[expect(clippy::expect_used, reason = "the test expects its process to live")]
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("process ids fit");
        kill(Pid::from_raw(id), signal).expect("signal a child");
    }

    /// Sends SIGKILL and waits for the end. Says whether that was what ended it.
    ///
    /// # Panics
    /// When it cannot be waited for.
    #[expect(clippy::expect_used, reason = "a child can be waited for")]
    pub fn kill(&mut self) -> bool {
        let _ = self.child.kill();
        let status = self.child.wait().expect("wait for a child");
        status.signal() == Some(Signal::SIGKILL as i32)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within `limit`.
    #[expect(clippy::expect_used, reason = "the test expects an end")]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait for a child") {
                return status;
            }
            assert!(start.elapsed() < limit, "a process did not end within {limit:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within `limit`, with `what` it was.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A binary of the workspace, built beside this test.
///
/// # Panics
/// When it is not there: `make check-e2e` builds it first.
#[must_use]
#[expect(clippy::expect_used, reason = "without the binary there is nothing to test")]
pub fn binary(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("the test's own path");
    path.pop();
    if path.ends_with("deps") || path.ends_with("examples") {
        path.pop();
    }
    let found = path.join(name);
    assert!(
        found.exists(),
        "{} is not built; run `make check-e2e`, or cargo build with the same profile first",
        found.display()
    );
    found
}
