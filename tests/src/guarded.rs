//! An agent that is served over TLS, to users, on any socket; and `curl`, which asks it.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::agent::{Answer, free_address, get};
use crate::directory::Directory;
use crate::exposition::Scrape;
use crate::process::{Process, binary, wait_until};

/// A running agent with its log, and a health listener that is open to all.
#[derive(Debug)]
pub struct Guarded {
    process: Process,
    address: SocketAddr,
    health: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

/// What `curl` was answered.
#[derive(Clone)]
pub struct Curled {
    /// Whether there was an answer at all.
    pub is_answered: bool,
    /// Status code, or 0.
    pub status: u16,
    /// Head and body.
    pub text: String,
    /// What `curl` says of it.
    pub errors: String,
}

impl Guarded {
    /// Starts an agent on a directory and waits until its health listener says that it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    pub fn start(directory: &Directory, arguments: &[&str]) -> Self {
        let address = free_address();
        let listen = ["--web.listen-address", &address.to_string()];
        let mut command = Command::new(binary("ringmeter"));
        command.arg("agent").args(listen);
        Self::start_command(command, address, directory, arguments)
    }

    /// Starts a command that ends with `ringmeter agent`, and maybe some arguments.
    ///
    /// # Panics
    /// When the agent does not get ready.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its agent is no test")]
    pub fn start_command(
        mut command: Command,
        address: SocketAddr,
        directory: &Directory,
        arguments: &[&str],
    ) -> Self {
        let health = free_address();
        let mut child = command
            .args(["--web.health-listen-address", &health.to_string()])
            .args(["--web.shutdown-linger", "0", "--dir"])
            .arg(directory.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the agent");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, kept) = (child.stderr.take().expect("its log"), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let agent = Self { process: child.into(), address, health, log };
        wait_until("the agent is ready", Duration::from_secs(20), || {
            get(agent.health, "/-/ready").is_some_and(|answer| answer.status == 200)
        });
        agent
    }

    /// Where it listens for everything.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Asks the health listener.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[expect(clippy::expect_used, reason = "health has to be answered always")]
    pub fn health(&self, path: &str) -> Answer {
        get(self.health, path).expect("the health listener answers")
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Fetches a path with `curl` and more arguments; `scheme` is `http` or `https`.
    #[must_use]
    pub fn curl(&self, scheme: &str, path: &str, arguments: &[&str]) -> Curled {
        curl(&format!("{scheme}://{}{path}", self.address), arguments)
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the test expects its process to live")]
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes * 1024
    }

    /// Processor time used so far, in clock ticks (100 a second).
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the test expects its process to live")]
    pub fn processor_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()));
        let stat = stat.expect("the process lives");
        let (_, fields) = stat.rsplit_once(") ").expect("the name is in parentheses");
        let number = |index| fields.split(' ').nth(index).and_then(|field| field.parse().ok());
        number(11).zip(number(12)).map(|(user, system): (u64, u64)| user + system).expect("times")
    }
}

impl fmt::Debug for Curled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A scrape may be megabytes.
        write!(f, "status {}, {:.500}, {}", self.status, self.text, self.errors)
    }
}

impl Curled {
    /// The scrape in the body.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a failed scrape fails the test")]
    pub fn scrape(&self) -> Scrape {
        assert_eq!(self.status, 200, "{self:?}");
        Scrape::parse(self.text.split_once("\r\n\r\n").expect("a head and a body").1)
    }

    /// Whether the head has a line, in lower case.
    #[must_use]
    pub fn has_header(&self, line: &str) -> bool {
        self.text.lines().any(|found| found.trim_end().to_lowercase() == line)
    }
}

/// Runs `curl` on a URL; asks for the head, too, and waits ten seconds at most.
///
/// # Panics
/// When there is no `curl`.
#[must_use]
#[expect(clippy::expect_used, reason = "without curl there is no test")]
pub fn curl(url: &str, arguments: &[&str]) -> Curled {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--noproxy", "*", "--max-time", "10"])
        .args(arguments)
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .expect("run curl; tests/install-deps.sh installs it");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Curled {
        is_answered: output.status.success(),
        status,
        text,
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What a program says to a web configuration: whether it is good, and its words.
///
/// # Panics
/// When it cannot be run.
#[must_use]
#[expect(clippy::expect_used, reason = "without the program there is no test")]
pub fn check_web_config(program: &Path, arguments: &[&str], file: &Path) -> (bool, String) {
    let output = Command::new(program)
        .args(arguments)
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .expect("run the program; tests/install-deps.sh installs it");
    let words = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), words.into_owned())
}

/// `promtool`, or what `PROMTOOL_BIN` names.
#[must_use]
pub fn promtool() -> PathBuf {
    std::env::var_os("PROMTOOL_BIN").map_or_else(|| PathBuf::from("promtool"), PathBuf::from)
}

/// A bcrypt hash of "secret" at cost 10, made by another implementation (libxcrypt).
pub const SECRET_HASH: &str = "$2y$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u";
