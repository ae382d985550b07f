//! The example service as a real process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::agent::get;
use crate::process::{Process, binary};

/// A running `http_service`.
#[derive(Debug)]
pub struct HttpService {
    process: Process,
    address: SocketAddr,
}

impl HttpService {
    /// Starts the service and reads from its output where it listens.
    ///
    /// # Panics
    /// When it does not say so.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its service is no test")]
    pub fn start(directory: &Path) -> Self {
        let mut child = Command::new(binary("examples/http_service"))
            .args(["--listen", "127.0.0.1:0"])
            .env("RINGMETER_DIR", directory)
            .env("RINGMETER_SERVICE", "http-service")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the service");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let address = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.rsplit_once("http://")?.1.trim_end_matches('/').parse().ok())
            .expect("the service says where it listens");
        Self { process: child.into(), address }
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

    /// Requests a path; returns the status.
    ///
    /// # Panics
    /// When there is no complete answer.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the test expects an answer")]
    pub fn get(&self, path: &str) -> u16 {
        get(self.address, path).expect("the service answers").status
    }
}
