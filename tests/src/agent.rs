//! A real agent process, and scraping it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::exposition::Scrape;
use crate::process::{Process, binary, wait_until};

/// What an agent is started with unless a test wants more of its log.
const QUIET: [&str; 2] = ["--log.level", "warn"];

/// A running `ringmeter agent`.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    address: SocketAddr,
}

/// An answer to an HTTP request.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Everything before the body.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Agent {
    /// Starts an agent on a directory and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    pub fn start(directory: &Path) -> Self {
        Self::start_with(directory, &[])
    }

    /// As [`start`](Self::start), with more arguments.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    pub fn start_with(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary("ringmeter"));
        let agent = Self::spawn_command(&mut command, directory, arguments);
        agent.wait_until_ready();
        agent
    }

    /// As [`start`](Self::start), with a command that runs the agent in some other setting.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    pub fn start_command(mut command: Command, directory: &Path) -> Self {
        let agent = Self::spawn_command(&mut command, directory, &[]);
        agent.wait_until_ready();
        agent
    }

    /// As [`start`](Self::start), with everything that it logs in a file.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    pub fn start_logged(directory: &Path, log: std::fs::File) -> Self {
        let mut command = Command::new(binary("ringmeter"));
        command.stderr(Stdio::from(log));
        let agent = Self::spawn_command(&mut command, directory, &["--log.level", "info"]);
        agent.wait_until_ready();
        agent
    }

    /// Starts an agent from this binary with these variables, and does not wait.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(binary: &Path, directory: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary);
        command.envs(variables.iter().copied());
        Self::spawn_command(&mut command, directory, &[])
    }

    /// As [`spawn`](Self::spawn), at a certain address.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn_at(
        binary: &Path,
        directory: &Path,
        variables: &[(String, String)],
        address: SocketAddr,
    ) -> Self {
        let mut command = Command::new(binary);
        command.envs(variables.iter().cloned());
        Self::spawn_listening(&mut command, directory, &[], address)
    }

    fn spawn_command(command: &mut Command, directory: &Path, arguments: &[&str]) -> Self {
        Self::spawn_listening(command, directory, arguments, free_address())
    }

    #[expect(clippy::expect_used, reason = "a test without its agent is no test")]
    fn spawn_listening(
        command: &mut Command,
        directory: &Path,
        arguments: &[&str],
        address: SocketAddr,
    ) -> Self {
        let child = command
            .arg("agent")
            .arg("--dir")
            .arg(directory)
            .args(["--web.listen-address", &address.to_string()])
            .args(if arguments.contains(&"--log.level") { &[][..] } else { &QUIET })
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .expect("start the agent");
        Self { process: child.into(), address }
    }

    /// Waits until it has made its first pass.
    ///
    /// # Panics
    /// When that takes longer than ten seconds.
    pub fn wait_until_ready(&self) {
        wait_until("the agent is ready", Duration::from_secs(10), || {
            self.try_get("/-/ready").is_some_and(|answer| answer.status == 200)
        });
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Panics
    /// When it does not end in half a minute.
    pub fn stop(mut self) -> ExitStatus {
        self.process.signal(Signal::SIGTERM);
        self.process.wait(Duration::from_secs(30))
    }

    /// Fetches a path, if the agent answers at all.
    #[must_use]
    pub fn try_get(&self, path: &str) -> Option<Answer> {
        get(self.address, path)
    }

    /// The text of a scrape.
    ///
    /// # Panics
    /// When the answer is not 200.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a failed scrape fails the test")]
    pub fn scrape_text(&self) -> String {
        let answer = self.try_get("/metrics").expect("the agent answers");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// A scrape.
    ///
    /// # Panics
    /// When it fails or cannot be parsed.
    #[must_use]
    pub fn scrape(&self) -> Scrape {
        Scrape::parse(&self.scrape_text())
    }
}

/// Fetches a path over HTTP/1.1, if anybody answers.
#[must_use]
pub fn get(address: SocketAddr, path: &str) -> Option<Answer> {
    request(address, "GET", path)
}

/// Sends a request without a body, if anybody answers.
#[must_use]
pub fn request(address: SocketAddr, method: &str, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    // In one piece, as scrapers send it.
    let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// Fetches paths over one connection, as a Prometheus server does.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    kept: Option<TcpStream>,
}

impl Client {
    /// Connects at the first request.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, kept: None }
    }

    /// Fetches a path, if anybody answers: over the connection that there is, and if that has been
    /// closed or there is none, over a new one.
    pub fn get(&mut self, path: &str) -> Option<Answer> {
        if let Some(stream) = self.kept.take()
            && let Some(answer) = self.exchange(stream, path)
        {
            return Some(answer);
        }
        let stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        stream.set_nodelay(true).ok()?;
        self.exchange(stream, path)
    }

    fn exchange(&mut self, mut stream: TcpStream, path: &str) -> Option<Answer> {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).ok()?;
        let (mut bytes, mut piece) = (Vec::new(), vec![0; 1 << 16]);
        let mut read = |bytes: &mut Vec<u8>| {
            let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
            bytes.extend_from_slice(piece.get(..count)?);
            Some(())
        };
        let end = loop {
            read(&mut bytes)?;
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
        };
        let head = String::from_utf8(bytes.get(..end)?.to_vec()).ok()?;
        let lower = head.to_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        let whole = length.trim().parse::<usize>().ok()?.checked_add(end + 4)?;
        while bytes.len() < whole {
            read(&mut bytes)?;
        }
        let body = String::from_utf8(bytes.get(end + 4..whole)?.to_vec()).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        self.kept = Some(stream);
        Some(Answer { status, head, body })
    }
}

/// A loopback address that nobody listens on.
///
/// # Panics
/// When there is none.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without a port is no test")]
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}
