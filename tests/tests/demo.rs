//! `ringmeter demo` from outside: what it promises at its end, and that nothing stays behind it,
//! whichever way it ends.
#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringmeter_tests::agent::get;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::exposition::Scrape;
use ringmeter_tests::process::{Process, binary, wait_until};

/// For anything that should take a second, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running demo.
struct Demo {
    process: Process,
    lines: Receiver<String>,
    app: SocketAddr,
    scrape: SocketAddr,
    directory: PathBuf,
}

impl Demo {
    /// Starts a demo and reads where everything is.
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).stdout(Stdio::piped()).spawn().expect("start the demo");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let process = Process::from(child);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // Ends with the output, or when the test has enough: then the pipe is closed.
            let lines = output.lines().map_while(Result::ok);
            let _ = lines.map(|line| sender.send(line)).find(Result::is_err);
        });
        let word = |name: &str| {
            let line = next_line(&lines, |line| line.starts_with(name));
            line.split_whitespace().nth(1).expect("a second word").to_owned()
        };
        let address = |url: &str| {
            let address = url.strip_prefix("http://").expect("a URL").trim_end_matches("/metrics");
            address.parse().expect("an address")
        };
        let (app, scrape) = (address(&word("app ")), address(&word("scrape ")));
        let directory = word("files ").into();
        next_line(&lines, |line| line.contains(&format!("targets: [\"{scrape}\"]")));
        Self { process, lines, app, scrape, directory }
    }

    /// Waits for the end; the last line, and the exit status.
    fn end(mut self) -> (String, ExitStatus, PathBuf) {
        let status = self.process.wait(PATIENCE);
        let last = self.lines.iter().last().expect("a last line");
        (last, status, self.directory)
    }

    /// Ids of the processes that it started: agent and service.
    fn children(&self) -> Vec<i32> {
        processes_of(&self.directory)
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("ringmeter"));
    // What is set for production must not reach the demo's agent.
    command.arg("demo").args(arguments).env("RINGMETER_WEB_TELEMETRY_PATH", "/elsewhere");
    command.env("RINGMETER_DIR", "/nonexistent").stdin(Stdio::null());
    command
}

/// The first line from now on that `is_it` takes.
fn next_line(lines: &Receiver<String>, is_it: impl Fn(&str) -> bool) -> String {
    loop {
        let line = lines.recv_timeout(PATIENCE).expect("the line that is waited for");
        if is_it(&line) {
            return line;
        }
    }
}

/// Processes that share a directory, by their environment; a zombie has none.
fn processes_of(directory: &Path) -> Vec<i32> {
    let variable = format!("RINGMETER_DIR={}", directory.display());
    let shares = |id: &i32| {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    };
    let names = std::fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).filter(shares).collect()
}

fn assert_nothing_is_left(directory: &Path) {
    assert_eq!(processes_of(directory), Vec::<i32>::new(), "processes of {directory:?}");
    assert!(!directory.exists(), "{} is still there", directory.display());
}

/// A number of the last line.
fn number(json: &str, name: &str) -> u64 {
    let after = json.split_once(&format!("\"{name}\":")).expect(name).1;
    after.split([',', '}']).next().and_then(|text| text.parse().ok()).expect(name)
}

fn text<'a>(json: &'a str, name: &str) -> &'a str {
    let after = json.split_once(&format!("\"{name}\":\"")).expect(name).1;
    after.split_once('"').expect(name).0
}

fn scrape(address: SocketAddr) -> Scrape {
    Scrape::parse(&get(address, "/metrics").expect("the agent answers").body)
}

#[test]
fn what_was_sent_is_scraped_and_nothing_is_left() {
    let demo = Demo::start(&["--seconds", "3", "--requests-per-second", "300"]);
    assert_eq!(demo.children().len(), 2);
    // Requests of an outsider, with units that the load does not have.
    for _ in 0..10 {
        let answer = get(demo.app, "/work?ms=0&units=4096.5").expect("the service answers");
        assert_eq!(answer.status, 200);
    }
    let seen = scrape(demo.scrape);
    let above = |scrape: &Scrape| {
        scrape.value("app_work_units_bucket{le=\"+Inf\"}")
            - scrape.value("app_work_units_bucket{le=\"4096.0\"}")
    };
    assert_eq!(above(&seen), 10.0);
    next_line(&demo.lines, |line| line.starts_with("1s requests=") && line.contains(" p99="));

    let (app, agent) = (demo.app, demo.scrape);
    let (last, status, directory) = demo.end();
    assert_eq!(status.code(), Some(0), "{last}");
    assert_nothing_is_left(&directory);
    let sent = number(&last, "requests_sent");
    assert!(sent > 100, "{last}");
    assert_eq!(number(&last, "requests_scraped"), sent + 10, "{last}");
    // Latency and size; counters are cells, not records.
    assert!(number(&last, "records") >= 2 * sent, "{last}");
    assert_eq!(number(&last, "dropped"), 0, "{last}");
    assert_eq!(text(&last, "app_url"), format!("http://{app}"));
    assert_eq!(text(&last, "scrape_url"), format!("http://{agent}/metrics"));
    assert!(last.starts_with('{') && last.ends_with('}'), "{last}");
}

#[test]
fn a_directory_that_was_named_is_kept() {
    let directory = Directory::new();
    let path = directory.path().to_str().expect("UTF-8");
    let demo = Demo::start(&["--seconds", "1", "--dir", path, "--requests-per-second=50"]);
    assert_eq!(demo.directory, directory.path());
    let (last, status, _) = demo.end();
    assert_eq!(status.code(), Some(0), "{last}");
    assert_eq!(processes_of(directory.path()), Vec::<i32>::new());
    assert!(directory.path().is_dir());
}

#[test]
fn signals_end_it_in_order() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let demo = Demo::start(&["--requests-per-second=100"]);
        next_line(&demo.lines, |line| line.starts_with("1s "));
        demo.process.signal(signal);
        let (last, status, directory) = demo.end();
        assert_eq!(status.code(), Some(0), "{signal}: {last}");
        let sent = number(&last, "requests_sent");
        assert!(sent > 0 && number(&last, "requests_scraped") == sent, "{signal}: {last}");
        assert_nothing_is_left(&directory);
    }
}

#[test]
fn a_killed_demo_takes_its_children_along() {
    let mut demo = Demo::start(&[]);
    assert_eq!(demo.children().len(), 2);
    demo.process.signal(Signal::SIGKILL);
    demo.process.wait(PATIENCE);
    wait_until("agent and service have ended", PATIENCE, || demo.children().is_empty());
    // Nobody was left to remove it; the next demo does, when it is a minute old.
    std::fs::remove_dir_all(&demo.directory).expect("only the directory is left");
}

#[test]
fn a_child_that_dies_ends_it_with_a_reason() {
    for name in ["agent", "service"] {
        let mut command = command(&[]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start the demo");
        let mut errors = child.stderr.take().expect("its errors");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut process = Process::from(child);
        let mut lines = output.lines().map_while(Result::ok);
        let files = lines.find(|line| line.starts_with("files ")).expect("the directory");
        let directory = PathBuf::from(files.split_whitespace().nth(1).expect("a path"));
        let is_it = |id: &i32| {
            let line = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
            line.contains("http_service") == (name == "service")
        };
        let id = processes_of(&directory).into_iter().find(is_it).expect("a running child");
        kill(Pid::from_raw(id), Signal::SIGKILL).expect("it runs");
        lines.for_each(drop);
        assert_eq!(process.wait(PATIENCE).code(), Some(1));
        let mut problem = String::new();
        errors.read_to_string(&mut problem).expect("its errors");
        assert!(problem.contains(&format!("the {name} has ended (signal: 9")), "{problem}");
        assert_nothing_is_left(&directory);
    }
}

#[test]
fn it_ends_when_nobody_reads_what_it_shows() {
    let mut demo = Demo::start(&[]);
    drop(demo.lines);
    assert_eq!(demo.process.wait(PATIENCE).code(), Some(1));
    assert_nothing_is_left(&demo.directory);
}

#[test]
fn a_start_that_fails_says_why() {
    let cases: [(&[&str], i32, &str); 6] = [
        (&["--service-binary", "/nonexistent"], 1, "there is no example service at /nonexistent"),
        (&["--service-binary", "/bin/false"], 1, "the service has ended (exit status: 1)"),
        (&["--dir", "/nonexistent"], 1, "/nonexistent is not a directory"),
        (&["--dir", "/proc"], 1, "/proc is not on a tmpfs"),
        (&["--web.listen-address", "192.0.2.1:1"], 1, "the agent has ended"),
        (&["--seconds", "soon"], 64, "--seconds \"soon\": must be a whole number"),
    ];
    for (arguments, code, reason) in cases {
        let output = command(arguments).output().expect("run the demo");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(reason), "{arguments:?}: {errors}");
    }
}
