//! The program from outside: start, scrape, a second agent, and the way it ends.
#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringmeter_layout::naming::Kind;

#[path = "pipeline/scratch.rs"]
mod scratch;
#[path = "pipeline/writer.rs"]
#[allow(dead_code, reason = "shared with the pipeline's tests")]
mod writer;

use scratch::Scratch;
use writer::{Writer, family};

struct Agent {
    child: Child,
    address: String,
}

fn command(scratch: &Scratch, linger: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringmeter"));
    command
        .args(["agent", "--web.listen-address", "127.0.0.1:0", "--web.shutdown-linger", linger])
        .arg("--dir")
        .arg(scratch.path())
        .stderr(Stdio::piped());
    command
}

impl Agent {
    /// Starts an agent and waits until it is ready.
    fn start(scratch: &Scratch, linger: &str) -> Self {
        let mut child = command(scratch, linger).spawn().expect("the agent starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let address = lines
            .by_ref()
            .map(|line| line.expect("a line"))
            .find_map(|line| Some(line.split_once("msg=listening address=")?.1.to_owned()))
            .expect("the address is logged");
        let agent = Self { child, address };
        // The pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        agent.until("/-/ready", |answer| answer.starts_with("HTTP/1.1 200"));
        agent
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn until(&self, path: &str, is_right: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.get(path).unwrap_or_default();
            if is_right(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "last answer: {answer}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("signal");
    }

    fn exit_code(mut self) -> Option<i32> {
        self.child.wait().expect("the agent ends").code()
    }
}

fn sample(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    line.parse().ok()
}

#[test]
fn a_scrape_contains_what_was_recorded_before_it() {
    let scratch = Scratch::new();
    let agent = Agent::start(&scratch, "0s");
    let mut app = Writer::create(scratch.path(), "shop", 1);
    let counters = app.family(family(Kind::Counter, "n_total", &[]));
    let series = app.series(counters, &[]);
    for count in 1..=200u32 {
        app.add(series, 1);
        let text = agent.get("/metrics").expect("an answer");
        assert_eq!(sample(&text, "n_total"), Some(f64::from(count)), "even the first: {text}");
        std::thread::sleep(Duration::from_millis(u64::from(count % 7)));
    }
    let path = app.die();
    let died = Instant::now();
    while path.exists() {
        assert!(died.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(died.elapsed() < Duration::from_secs(1), "noticed after {:?}", died.elapsed());
    let text = agent.get("/metrics").expect("an answer");
    assert_eq!(sample(&text, "n_total"), Some(200.0));
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.exit_code(), Some(0));
}

#[test]
fn a_second_agent_says_so_and_ends() {
    let scratch = Scratch::new();
    let agent = Agent::start(&scratch, "0s");
    let output = command(&scratch, "0s").output().expect("the second agent");
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stderr);
    let holder = format!("another agent, process {}, holds", agent.child.id());
    assert!(log.contains(&holder) && log.contains("stop that one"), "{log}");
    agent.signal(Signal::SIGKILL);
    assert_eq!(agent.exit_code(), None);
    let third = Agent::start(&scratch, "0s");
    third.signal(Signal::SIGINT);
    assert_eq!(third.exit_code(), Some(0), "the lock falls with the first");
}

#[test]
fn a_stopping_agent_waits_for_one_scrape() {
    let scratch = Scratch::new();
    let agent = Agent::start(&scratch, "20s");
    let mut app = Writer::create(scratch.path(), "shop", 1);
    let counters = app.family(family(Kind::Counter, "n_total", &[]));
    let series = app.series(counters, &[]);
    let begin = Instant::now();
    agent.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(100));
    app.add(series, 1);
    let text = agent.get("/metrics").expect("still serving");
    assert_eq!(sample(&text, "n_total"), Some(1.0), "and still draining");
    assert_eq!(agent.exit_code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn linger_and_second_signal_end_the_wait() {
    let scratch = Scratch::new();
    let agent = Agent::start(&scratch, "300ms");
    let begin = Instant::now();
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.exit_code(), Some(0));
    assert!(begin.elapsed() >= Duration::from_millis(300));
    let agent = Agent::start(&scratch, "20s");
    agent.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(100));
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.exit_code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(15));
}
