//! Every system call that the agent makes, with every plausible error: it goes on, or it ends
//! with a word and the next one goes on. Once the errors stop, totals are exact.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringmeter_tests::agent::{free_address, get};
use ringmeter_tests::directory::Directory;
use ringmeter_tests::drained::Drained;
use ringmeter_tests::exposition::Scrape;
use ringmeter_tests::process::binary;
use ringmeter_tests::supervisor::{Arguments, Call, Ended, Plan, run};
use ringmeter_tests::syscall::{errors, name};
use ringmeter_tests::worker::Worker;

use crate::try_all;

/// An agent that is neither ready nor ended after this is stuck.
const PATIENCE: Duration = Duration::from_secs(30);
/// For how long a call of a running agent fails.
const BURST: Duration = Duration::from_millis(150);

/// Calls of one number in one thread that are told apart. What comes later is the same again, and
/// depends on time.
const OCCURRENCES: u32 = 12;

/// What is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// This call alone.
    Once(Call),
    /// Every call of this number.
    All(u64),
}

#[derive(Clone, Copy)]
struct Fault {
    target: Target,
    error: Errno,
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let error = self.error;
        match self.target {
            Target::All(number) => write!(f, "{} of a running agent: {error:?}", name(number)),
            Target::Once(Call { thread, number, occurrence, .. }) => {
                let name = name(number);
                write!(f, "{name} #{occurrence} of thread {thread} at the start: {error:?}")
            }
        }
    }
}

/// What the test and the agent's supervisor share.
#[derive(Debug, Default)]
struct State {
    fault: Option<(Target, Errno)>,
    injected: u32,
    calls: BTreeSet<Call>,
    /// Numbers of calls since this was cleared last.
    numbers: BTreeSet<u64>,
    begun: BTreeSet<u32>,
}

type Shared = Arc<Mutex<State>>;

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Injector(Shared);

impl Plan for Injector {
    fn decide(&mut self, call: &Call, _: &Arguments) -> Option<Errno> {
        let mut state = lock(&self.0);
        // The loader and the standard library come first in each thread; this call is their last.
        if name(call.number) == "sigaltstack" {
            state.begun.insert(call.thread);
        }
        if !state.begun.contains(&call.thread) {
            return None;
        }
        state.numbers.insert(call.number);
        if call.occurrence < OCCURRENCES {
            state.calls.insert(*call);
        }
        let (target, error) = state.fault?;
        let is_it = match target {
            Target::Once(one) => *call == one,
            Target::All(number) => call.number == number,
        };
        state.injected += u32::from(is_it);
        is_it.then_some(error)
    }
}

/// An agent under a supervisor.
struct Supervised {
    state: Shared,
    id: Pid,
    address: SocketAddr,
    words: PathBuf,
    thread: Option<JoinHandle<Ended>>,
}

impl Supervised {
    fn start(directory: &Path, fault: Option<Fault>) -> Self {
        let (address, words) = (free_address(), directory.join("words"));
        let state = Shared::default();
        lock(&state).fault = fault.map(|fault| (fault.target, fault.error));
        let mut command = Command::new(binary("ringmeter"));
        command
            .args(["agent", "--log.level", "warn", "--web.listen-address", &address.to_string()])
            .arg("--dir")
            .arg(directory)
            .stdin(Stdio::null())
            .stderr(File::create(&words).expect("its words"));
        let (started, starts) = channel();
        let mut injector = Injector(Arc::clone(&state));
        let thread = std::thread::spawn(move || {
            run(&mut command, &mut injector, Duration::from_secs(3600), Some(&started))
        });
        let id = starts.recv().expect("the agent starts");
        Self { state, id, address, words, thread: Some(thread) }
    }

    fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until it is ready, or has ended.
    fn settle(&self) -> Result<(), String> {
        let is_ready = || get(self.address, "/-/ready").is_some_and(|answer| answer.status == 200);
        within("neither ready nor ended", || self.has_ended() || is_ready())
    }

    fn total(&self) -> Option<f64> {
        let answer = get(self.address, "/metrics").filter(|answer| answer.status == 200)?;
        Some(Scrape::parse(&answer.body).value("worker_count_total"))
    }

    /// An end by itself has a reason that was said.
    fn check_end(mut self) -> Result<(), String> {
        let ended = self.thread.take().map(|thread| thread.join().expect("the supervisor ends"));
        let words = fs::read_to_string(&self.words).unwrap_or_default();
        match ended {
            Some(Ended::Exited(code)) if code != 0 && !words.is_empty() => Ok(()),
            // What the standard library does about a panic or without memory: a word, then this.
            Some(Ended::Signaled(Signal::SIGABRT)) if !words.is_empty() => Ok(()),
            other => Err(format!("the agent has ended: {other:?}, saying {words:?}")),
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = kill(self.id, Signal::SIGKILL);
            let _ = thread.join();
        }
    }
}

fn within(what: &str, mut condition: impl FnMut() -> bool) -> Result<(), String> {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > PATIENCE {
            return Err(format!("{what} within {PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    Ok(())
}

/// A producer that has ended and one that lives, with 100 increments each.
fn producers(directory: &Path) -> Worker {
    let mut ended = Worker::start(directory, "count --times 100");
    ended.wait_until_done();
    assert!(ended.finish().success());
    let mut alive = Worker::start(directory, "count --times 100");
    alive.wait_until_done();
    alive
}

/// Starts an agent that meets a fault, and compares what it serves, and what the next one goes on
/// from. Returns what calls it made until then.
fn start_with(fault: Option<Fault>) -> Result<(BTreeSet<Call>, u32), String> {
    let directory = Directory::new();
    let _alive = producers(directory.path());
    let agent = Supervised::start(directory.path(), fault);
    agent.settle()?;
    let calls = lock(&agent.state).calls.clone();
    let injected = lock(&agent.state).injected;
    if !agent.has_ended() {
        let is_exact = || agent.has_ended() || agent.total() == Some(200.0);
        within("the total is not exact", is_exact)
            .map_err(|problem| format!("{problem}: {:?}", agent.total()))?;
    }
    if agent.has_ended() {
        agent.check_end()?;
    } else {
        drop(agent);
    }
    let next = Drained::new(directory.path()).scrape().value("worker_count_total");
    if next == 200.0 { Ok((calls, injected)) } else { Err(format!("{next} by the next agent")) }
}

#[test]
fn an_agent_that_starts_into_an_error_goes_on_or_says_why_not() {
    let (calls, _) = start_with(None).expect("nothing is injected, and all is well");
    let mut counts = BTreeMap::<_, u32>::new();
    calls.iter().for_each(|call| *counts.entry(name(call.number)).or_default() += 1);
    println!("system calls of a starting agent: {counts:?}");
    let mut faults = Vec::new();
    for call in calls {
        let wanted = errors(&name(call.number)).iter();
        faults.extend(wanted.map(|&error| Fault { target: Target::Once(call), error }));
    }
    let mut unreached = 0;
    let group = |fault: &Fault| match fault.target {
        Target::Once(call) => (call.thread, call.number),
        Target::All(number) => (0, number),
    };
    let tried = try_all("errno: agent's start", faults, group, |fault| {
        let (_, injected) = start_with(Some(*fault))?;
        unreached += u32::from(injected == 0);
        Ok(())
    });
    assert!(unreached * 2 < tried, "{unreached} of {tried} met no such call");
    println!("errno: agent's start: {unreached} combinations met no such call");
}

/// A running agent, and what it should know.
struct Running {
    directory: Directory,
    alive: Worker,
    agent: Option<Supervised>,
    expected: f64,
    seen: f64,
    restarts: u32,
}

impl Running {
    fn new() -> Self {
        let directory = Directory::new();
        let alive = producers(directory.path());
        Self { directory, alive, agent: None, expected: 200.0, seen: 0.0, restarts: 0 }
    }

    /// The agent, started anew if it has ended.
    fn agent(&mut self) -> Result<&Supervised, String> {
        if let Some(ended) = self.agent.take_if(|agent| agent.has_ended()) {
            self.restarts += 1;
            ended.check_end()?;
        }
        if self.agent.is_none() {
            let agent = Supervised::start(self.directory.path(), None);
            agent.settle()?;
            self.agent = Some(agent);
        }
        self.agent.as_ref().ok_or_else(|| "no agent".to_owned())
    }

    /// A scrape, if it is answered: it shows no less than the last one, and no more than there is.
    fn look(&mut self) -> Result<Option<f64>, String> {
        let Some(total) = self.agent.as_ref().and_then(Supervised::total) else { return Ok(None) };
        let (seen, expected) = (self.seen, self.expected);
        if total < seen || total > expected {
            return Err(format!("{total} after {seen}, of {expected}"));
        }
        self.seen = total;
        Ok(Some(total))
    }

    /// What keeps an agent busy: records, a producer that comes and goes, a scrape.
    fn live(&mut self) -> Result<(), String> {
        self.expected += 150.0;
        self.alive.send("count 100");
        self.alive.wait_until_done();
        let mut short = Worker::start(self.directory.path(), "count --times 50");
        short.wait_until_done();
        assert!(short.finish().success());
        self.look().map(drop)
    }

    /// Lets a call fail for a while.
    fn attempt(&mut self, fault: &Fault) -> Result<u32, String> {
        let state = Arc::clone(&self.agent()?.state);
        lock(&state).injected = 0;
        lock(&state).fault = Some((fault.target, fault.error));
        let start = Instant::now();
        let mut outcome = Ok(());
        while start.elapsed() < BURST && outcome.is_ok() {
            outcome = self.live();
        }
        lock(&state).fault = None;
        outcome?;
        self.recover()?;
        let injected = lock(&state).injected;
        Ok(injected)
    }

    fn recover(&mut self) -> Result<(), String> {
        let start = Instant::now();
        loop {
            self.agent()?;
            if self.look()? == Some(self.expected) {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                let words = self.directory.path().join("words");
                let words = fs::read_to_string(words).unwrap_or_default();
                let (seen, expected) = (self.seen, self.expected);
                return Err(format!("{seen} of {expected} after {PATIENCE:?}: {words}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_running_agent_survives_errors_and_catches_up() {
    let mut running = Running::new();
    let state = Arc::clone(&running.agent().expect("an agent").state);
    lock(&state).numbers.clear();
    for _ in 0..3 {
        running.live().expect("nothing is injected, and all is well");
        std::thread::sleep(Duration::from_millis(100));
    }
    running.recover().expect("nothing is injected, and all is well");
    let numbers = lock(&state).numbers.clone();
    let names: Vec<String> = numbers.iter().map(|number| name(*number)).collect();
    println!("system calls of a running agent: {names:?}");
    let mut faults = Vec::new();
    for number in numbers {
        // Without memory for good the allocator ends the process, as it should.
        let wanted = errors(&name(number)).iter().filter(|_| name(number) != "mmap");
        faults.extend(wanted.map(|&error| Fault { target: Target::All(number), error }));
    }
    let mut unreached = 0;
    let group = |fault: &Fault| match fault.target {
        Target::Once(call) => call.number,
        Target::All(number) => number,
    };
    let tried = try_all("errno: agent", faults, group, |fault| {
        let outcome = running.attempt(fault);
        match outcome {
            Ok(injected) => unreached += u32::from(injected == 0),
            // The next case begins from a place that is known.
            Err(_) => running = Running::new(),
        }
        outcome.map(drop)
    });
    assert!(unreached * 2 < tried, "{unreached} of {tried} met no such call");
    println!(
        "errno: agent: {} restarts; {unreached} combinations met no such call",
        running.restarts
    );
}
