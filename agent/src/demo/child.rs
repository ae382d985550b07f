//! The demo's child processes. Whatever happens to the demo, they end with it.
//!
//! | the demo | its children |
//! |---|---|
//! | ends, fails, or panics | are told to end by [`Child`]'s drop |
//! | gets Ctrl-C | do not: they are in process groups of their own, and told in their order |
//! | is killed | get SIGTERM from the kernel (`PR_SET_PDEATHSIG`) |
//!
//! The last one a process can only ask for itself, and between fork and exec that takes `unsafe`.
//! So a child starts as this program's command `demo-child`, which asks and then becomes the
//! program that was meant.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::config::{CHILD_COMMAND, ChildCommand};

/// For a child to end after SIGTERM, before SIGKILL.
const END_GRACE: Duration = Duration::from_secs(7);
const END_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Lines kept of what a child writes.
const LINES_MAX: usize = 200;
/// Longer lines are cut.
const LINE_LENGTH_MAX_BYTES: u64 = 4096;

/// Becomes the program of `child`, to be ended when the parent is; returns only on failure.
pub fn become_child(child: &ChildCommand) -> io::Error {
    let Some((program, arguments)) = child.program.split_first() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "no program to run");
    };
    if let Err(error) = set_pdeathsig(Signal::SIGTERM) {
        return error.into();
    }
    // It may have ended before we asked.
    if parent_id() != child.parent {
        return io::Error::other("the parent has ended already");
    }
    Command::new(program).args(arguments).exec()
}

/// A running child; dropping it ends it.
#[derive(Debug)]
pub(super) struct Child {
    name: &'static str,
    process: std::process::Child,
    lines: Arc<Mutex<Lines>>,
    /// Each reads a pipe to its end.
    readers: Vec<JoinHandle<()>>,
}

/// What a child wrote.
#[derive(Debug, Default)]
struct Lines {
    /// Not yet taken.
    new: VecDeque<String>,
    /// The last ones, taken or not: what to show if it fails.
    last: VecDeque<String>,
}

impl Lines {
    fn add(&mut self, line: String) {
        for list in [&mut self.new, &mut self.last] {
            if list.len() == LINES_MAX {
                list.pop_front();
            }
        }
        self.last.push_back(line.clone());
        self.new.push_back(line);
    }
}

impl Child {
    /// Starts a program with its output piped and `RINGMETER_*` set to nothing but `variables`.
    ///
    /// To be called on a thread that lives as long as the demo: the kernel takes the end of that
    /// thread for the end of the parent.
    pub(super) fn start(
        name: &'static str,
        program: &Path,
        arguments: &[String],
        variables: &[(&str, &OsStr)],
    ) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(CHILD_COMMAND).arg(std::process::id().to_string());
        command.arg(program).args(arguments);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("RINGMETER_") {
                command.env_remove(variable);
            }
        }
        command.envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let process = command.process_group(0).spawn()?;
        let mut child = Self { name, process, lines: Arc::default(), readers: Vec::new() };
        if let Some(pipe) = child.process.stdout.take() {
            child.collect(pipe)?;
        }
        if let Some(pipe) = child.process.stderr.take() {
            child.collect(pipe)?;
        }
        Ok(child)
    }

    /// Reads a pipe to its end, on a thread of its own.
    fn collect(&mut self, pipe: impl Read + Send + 'static) -> io::Result<()> {
        let lines = Arc::clone(&self.lines);
        let read = move || {
            let mut pipe = BufReader::new(pipe);
            while let Some(line) = read_line(&mut pipe) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).add(line);
            }
        };
        let reader = thread::Builder::new().name(format!("{} output", self.name)).spawn(read)?;
        self.readers.push(reader);
        Ok(())
    }

    /// Whether everything that it wrote has been read: its pipes are closed.
    pub(super) fn is_read(&self) -> bool {
        self.readers.iter().all(JoinHandle::is_finished)
    }

    /// What it is called in messages.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The lines written since the last call.
    pub(super) fn new_lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).new.drain(..).collect()
    }

    /// The last lines written, to explain a failure.
    pub(super) fn last_lines(&self, count: usize) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = lines.last.len().saturating_sub(count);
        lines.last.iter().skip(skipped).cloned().collect()
    }

    /// Whether it has ended, and how.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Ends it, by SIGTERM and if need be by SIGKILL; says whether the first was enough.
    pub(super) fn end(&mut self) -> bool {
        // As long as it has not been waited for, its id is no other process'.
        if self.ended().is_none() {
            self.tell(Signal::SIGTERM);
        }
        let deadline = Instant::now() + END_GRACE;
        while self.ended().is_none() {
            if Instant::now() >= deadline {
                // Both fail only for a process that is not there.
                let _ = self.process.kill();
                let _ = self.process.wait();
                return false;
            }
            thread::sleep(END_POLL_INTERVAL);
        }
        true
    }

    fn tell(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.process.id()) {
            // Fails only for a process that is not there.
            let _ = kill(Pid::from_raw(id), signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// The next line without its end, cut where it is too long; `None` at the end of the pipe.
fn read_line(pipe: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    let read = pipe.by_ref().take(LINE_LENGTH_MAX_BYTES).read_until(b'\n', &mut line).ok()?;
    (read > 0).then(|| String::from_utf8_lossy(&line).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_cut() {
        let text = [b"one\ntwo\r\n".as_slice(), &[b'x'; 5000], b"\nlast"].concat();
        let mut pipe = text.as_slice();
        let lines: Vec<String> = std::iter::from_fn(|| read_line(&mut pipe)).collect();
        let lengths: Vec<usize> = lines.iter().map(String::len).collect();
        assert_eq!(lengths, [3, 3, 4096, 904, 4]);
        assert_eq!((lines[1].as_str(), lines[4].as_str()), ("two", "last"));
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut lines = Lines::default();
        (0..LINES_MAX + 5).for_each(|number| lines.add(number.to_string()));
        assert_eq!(lines.new.len(), LINES_MAX);
        assert_eq!(lines.last.front().map(String::as_str), Some("5"));
    }
}
