//! The real agent, as a process of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::error::{Failure, Outcome};

/// How long an agent may take to become ready, or to end.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// A running agent, ended when dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    address: SocketAddr,
}

impl Agent {
    /// Starts an agent on a directory and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start, or is not ready in time.
    pub fn start(binary: &Path, directory: &Path) -> Outcome<Self> {
        // The port is free now; an agent that loses the race for it says so and ends.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(binary)
            .arg("agent")
            .arg("--dir")
            .arg(directory)
            .args(["--web.listen-address", &address.to_string()])
            .args(["--web.shutdown-linger", "0s"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut agent = Self { child, address };
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = agent.child.try_wait()? {
                return Err(Failure::new(format!("the agent ended: {status}")));
            }
            if get(agent.address, "/-/ready").is_ok() {
                return Ok(agent);
            }
            sleep(POLL);
        }
        Err(Failure::new(format!("the agent was not ready in {PATIENCE:?}")))
    }

    /// Stops it where it is, until it is ended.
    ///
    /// # Errors
    /// When it has ended by itself.
    pub fn stop(&self) -> Outcome<()> {
        Ok(kill(Pid::from_raw(self.id()?), Signal::SIGSTOP)?)
    }

    /// Kills it, as a crash does, and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn crash(mut self) -> Outcome<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Processor time that it has used, in all its threads.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu_time(&self) -> Outcome<Duration> {
        let clock = clock_getcpuclockid(Pid::from_raw(self.id()?))?;
        Ok(clock_gettime(clock)?.into())
    }

    /// Memory that it has in use, bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resident_bytes(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib << 10).ok_or_else(|| Failure::new("/proc does not tell the memory"))
    }

    /// A scrape, as a server asks for it.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub fn scrape(&self) -> Outcome<String> {
        get(self.address, "/metrics")
    }

    fn id(&self) -> Outcome<i32> {
        i32::try_from(self.child.id()).map_err(|error| Failure::new(error.to_string()))
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A sample of a metric without labels, from a scrape; zero where it is not there yet.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub fn scraped(&self, name: &str) -> Outcome<f64> {
        let page = get(self.address, "/metrics")?;
        let sample = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(sample.and_then(|value| value.parse().ok()).unwrap_or(0.0))
    }
}

/// The body of a page, if it is there.
///
/// # Errors
/// When there is no answer, or another one than 200.
pub fn get(address: SocketAddr, path: &str) -> Outcome<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) =
        answer.split_once("\r\n\r\n").ok_or_else(|| Failure::new(format!("{path}: no answer")))?;
    if head.starts_with("HTTP/1.1 200") {
        Ok(body.to_owned())
    } else {
        Err(Failure::new(format!("{path}: {}", head.lines().next().unwrap_or_default())))
    }
}

/// Keeps this thread on one processor and an agent off it, until dropped: otherwise the agent
/// sometimes wakes up on the producer's processor, and reads from its caches for nothing.
#[derive(Debug)]
pub struct Apart {
    before: CpuSet,
}

impl Apart {
    /// Parts them. With one processor only there is nothing to part.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn from(agent: &Agent) -> Outcome<Self> {
        let before = sched_getaffinity(Pid::from_raw(0))?;
        let mut processors = (0..CpuSet::count()).filter(|at| before.is_set(*at) == Ok(true));
        let (Some(ours), Some(theirs)) = (processors.next(), processors.next()) else {
            return Ok(Self { before });
        };
        pin(0, ours)?;
        for task in std::fs::read_dir(format!("/proc/{}/task", agent.id()?))? {
            let name = task?.file_name();
            let id = name.to_str().and_then(|name| name.parse().ok());
            pin(id.ok_or_else(|| Failure::new("/proc lists no tasks"))?, theirs)?;
        }
        Ok(Self { before })
    }
}

fn pin(task: i32, processor: usize) -> Outcome<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    Ok(sched_setaffinity(Pid::from_raw(task), &set)?)
}

impl Drop for Apart {
    fn drop(&mut self) {
        // It was allowed before.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.before);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Ok(id) = self.id() {
            // It may have ended by itself, or be stopped.
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
            let _ = kill(Pid::from_raw(id), Signal::SIGCONT);
        }
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
