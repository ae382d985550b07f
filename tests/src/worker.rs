//! A real instrumented process, `worker`, that does what its arguments say and then waits.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::process::{Process, binary};

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    process: Process,
    output: BufReader<std::process::ChildStdout>,
}

impl Worker {
    /// Starts `worker` with a directory and the words of `arguments`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(directory: &Path, arguments: &str) -> Self {
        Self::start_command(Command::new(binary("worker")), directory, arguments)
    }

    /// Starts another instrumented program than `worker`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_named(name: &str, directory: &Path, arguments: &str) -> Self {
        Self::start_command(Command::new(binary(name)), directory, arguments)
    }

    /// As [`start`](Self::start), with a command that runs the worker in some other setting.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its worker is no test")]
    pub fn start_command(mut command: Command, directory: &Path, arguments: &str) -> Self {
        let mut child = command
            .args(arguments.split_whitespace())
            .env("RINGMETER_DIR", directory)
            .env("RINGMETER_SERVICE", "worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start a worker");
        let output = child.stdout.take().expect("its output");
        Self { process: child.into(), output: BufReader::new(output) }
    }

    /// The next line that it prints.
    ///
    /// # Panics
    /// When it ends instead.
    #[expect(clippy::expect_used, reason = "the test expects a line")]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("read the worker's output");
        assert!(line.ends_with('\n'), "the worker ended without a word, after {line:?}");
        line.trim_end().to_owned()
    }

    /// Waits until it has done its work; it stays alive.
    ///
    /// # Panics
    /// When it says something else.
    pub fn wait_until_done(&mut self) {
        loop {
            let line = self.line();
            if line == "done" {
                return;
            }
            assert!(!line.starts_with("error"), "{line}");
        }
    }

    /// Sends it a line.
    ///
    /// # Panics
    /// When it is gone.
    #[expect(clippy::expect_used, reason = "the test expects a living worker")]
    pub fn send(&mut self, line: &str) {
        let input = self.process.child().stdin.as_mut().expect("its input");
        writeln!(input, "{line}").expect("write to the worker");
        input.flush().expect("write to the worker");
    }

    /// Its process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Closes its input, upon which it ends, and waits for that.
    ///
    /// # Panics
    /// When it does not end.
    pub fn finish(mut self) -> ExitStatus {
        drop(self.process.child().stdin.take());
        self.process.wait(Duration::from_secs(60))
    }
}

/// Label values that break what does not escape or does not count bytes.
#[must_use]
pub fn nasty_labels() -> Vec<String> {
    vec![
        String::new(),
        "plain".to_owned(),
        "quote \" and \"\"".to_owned(),
        "back\\slash and \\n that is none".to_owned(),
        "line\nfeed\n".to_owned(),
        "héllo wörld — 日本語 🚀".to_owned(),
        "{a=\"b\"} 1".to_owned(),
        "# HELP x y".to_owned(),
        "x".repeat(1024),
        " spaces \t and tabs ".to_owned(),
    ]
}
