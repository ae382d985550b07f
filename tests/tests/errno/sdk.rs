//! Every system call that the SDK makes, with every plausible error: once, until healed, for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::drained::Drained;
use ringmeter_tests::exposition::Scrape;
use ringmeter_tests::injected::{Phase, Report};
use ringmeter_tests::process::binary;
use ringmeter_tests::supervisor::{Arguments, Call, Ended, Plan, run};
use ringmeter_tests::syscall::{errors, name};

use crate::try_all;

/// What `injected` counts in all its processes.
const CALLS: f64 = 608.0;
const LABELLED: f64 = 3.0 * 10.0;
const PROCESSES: usize = 3;
/// A run takes some hundredths of a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// For how long a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lasts {
    /// This call alone.
    Once,
    /// This one and all later ones of the name, until the program is at its end.
    UntilHealed,
    /// As above, and never heals.
    ForEver,
}

/// A fault: from which call on, with what, for how long.
#[derive(Clone, Copy)]
struct Fault {
    call: Call,
    error: Errno,
    lasts: Lasts,
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Call { thread, phase, number, occurrence } = self.call;
        let (name, phase) = (name(number), Phase::ALL[usize::from(phase)]);
        let (error, lasts) = (self.error, self.lasts);
        write!(f, "{name} #{occurrence} of thread {thread} in {phase:?}: {error:?} {lasts:?}")
    }
}

/// Notes all calls of the SDK and injects one fault.
struct Injector<'a> {
    directory: &'a Path,
    fault: Option<Fault>,
    has_begun: bool,
    calls: Vec<Call>,
    injected: u32,
    agent: Option<Drained>,
}

impl Plan for Injector<'_> {
    fn decide(&mut self, call: &Call, _: &Arguments) -> Option<Errno> {
        if call.phase == Phase::App as u8 {
            return None;
        }
        self.calls.push(*call);
        let fault = self.fault?;
        let is_it = *call == fault.call;
        self.has_begun |= is_it;
        let is_same = self.has_begun && call.number == fault.call.number;
        let is_healed = call.phase == Phase::Healed as u8;
        let fails = match fault.lasts {
            Lasts::Once => is_it,
            Lasts::UntilHealed => is_same && !is_healed,
            Lasts::ForEver => is_same,
        };
        self.injected += u32::from(fails);
        fails.then_some(fault.error)
    }

    /// An agent comes for a moment, so that there is an ack to be read.
    fn marked(&mut self, _: u32, phase: u8) {
        if phase == Phase::Ack as u8 && self.agent.is_none() {
            let mut agent = Drained::new(self.directory);
            agent.drain();
            self.agent = Some(agent);
        }
    }
}

/// What came of a run.
struct Outcome {
    calls: Vec<Call>,
    injected: u32,
    ended: Ended,
    output: String,
    reports: Vec<Report>,
    words: String,
    totals: [f64; 3],
}

fn run_with(fault: Option<Fault>) -> Outcome {
    let directory = Directory::new();
    let path = directory.path();
    let (output, errors, report) = (path.join("out"), path.join("err"), path.join("report"));
    let mut command = Command::new(binary("injected"));
    command
        .env("RINGMETER_DIR", path)
        .env("RINGMETER_SERVICE", "injected")
        .env("RINGMETER_TEST_REPORT", &report)
        .stdin(Stdio::null())
        .stdout(File::create(&output).expect("its output"))
        .stderr(File::create(&errors).expect("its errors"));
    let mut injector = Injector {
        directory: path,
        fault,
        has_begun: false,
        calls: Vec::new(),
        injected: 0,
        agent: None,
    };
    let ended = run(&mut command, &mut injector, PATIENCE, None);
    let mut agent = injector.agent.take().unwrap_or_else(|| Drained::new(path));
    let scrape = agent.scrape();
    let words = fs::read_to_string(&report).unwrap_or_default();
    Outcome {
        calls: injector.calls,
        injected: injector.injected,
        ended,
        output: fs::read_to_string(&output).expect("its output"),
        reports: words.lines().filter_map(Report::decode).collect(),
        words: words + &fs::read_to_string(&errors).expect("its errors") + &about(&scrape),
        totals: [
            scrape.sum("injected_calls_total"),
            scrape.sum("injected_labelled_total"),
            scrape.sum("injected_seconds_count"),
        ],
    }
}

/// What the agent says about itself that is not zero and may explain what is missing.
fn about(scrape: &Scrape) -> String {
    let names = ["ringmeter_segments_quarantined", "ringmeter_records_rejected_total"];
    let samples = names.iter().flat_map(|name| scrape.of(name)).filter(|(_, value)| *value > 0.0);
    samples.map(|(series, value)| format!("{series} {value}\n")).collect()
}

/// The app is unharmed, and every count is with the agent or known to be private.
fn judge(fault: &Fault, clean: &Outcome, outcome: &Outcome) -> Result<(), String> {
    let words = &outcome.words;
    let holds = |is_so, what: &str| if is_so { Ok(()) } else { Err(format!("{what}\n{words}")) };
    if outcome.ended != Ended::Exited(0) {
        return Err(format!("the app has ended: {:?}\n{words}", outcome.ended));
    }
    holds(outcome.output == clean.output, "its output is another one")?;
    holds(outcome.reports.len() == PROCESSES, "a process has not reported")?;
    let reports = &outcome.reports;
    let lasts = fault.lasts == Lasts::ForEver;
    holds(lasts || reports.iter().all(|report| !report.is_pending), "pending though healed")?;
    holds(lasts || reports.iter().all(|report| !report.is_private), "private though healed")?;
    if reports.iter().any(|report| report.is_disabled) {
        // Without memory that a child finds zeroed nothing can be counted, and it says so.
        let is_memory = matches!(&*name(fault.call.number), "mmap" | "madvise");
        return holds(fault.lasts != Lasts::Once && is_memory, "disabled");
    }
    let private = |of: fn(&Report) -> f64| -> f64 {
        reports.iter().filter(|report| report.is_private).map(of).sum()
    };
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let counted = [
        outcome.totals[0] + private(|report| report.calls),
        outcome.totals[1] + private(|report| report.labelled),
        outcome.totals[2] + private(|report| report.observations as f64),
    ];
    let expected = [CALLS, LABELLED, CALLS];
    // What waits for room is neither with the agent nor in the report.
    let is_pending = reports.iter().any(|report| report.is_pending);
    let mut pairs = counted.iter().zip(expected);
    let is_right =
        pairs.all(|(found, expected)| *found == expected || (is_pending && *found < expected));
    holds(is_right, &format!("{counted:?} counted, {expected:?} made"))
}

/// Each call once; then, for each phase in which a call is made, all calls of that name from its
/// first one there on.
fn faults(calls: &[Call]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut begun = BTreeSet::new();
    let made = calls.iter().filter(|call| call.phase != Phase::Healed as u8);
    for &call in made {
        let is_first = begun.insert((call.phase, call.number));
        for &error in errors(&name(call.number)) {
            faults.push(Fault { call, error, lasts: Lasts::Once });
            // The standard library repeats what a signal interrupts; one that never ends to
            // interrupt does not exist, nor does a heap that never gets memory.
            let is_single = error == Errno::EINTR || name(call.number) == "mmap";
            if !is_first || is_single {
                continue;
            }
            for lasts in [Lasts::UntilHealed, Lasts::ForEver] {
                faults.push(Fault { call, error, lasts });
            }
        }
    }
    faults
}

#[test]
fn no_error_of_a_system_call_harms_the_app_or_its_counts() {
    let clean = run_with(None);
    let again = run_with(None);
    let nothing = Fault { call: clean.calls[0], error: Errno::EIO, lasts: Lasts::Once };
    for outcome in [&clean, &again] {
        judge(&nothing, &clean, outcome).expect("nothing is injected, and all is well");
        assert!(outcome.reports.iter().all(|report| !report.is_private), "{}", outcome.words);
    }
    let mut counts = BTreeMap::<_, u32>::new();
    for call in &clean.calls {
        *counts.entry((Phase::ALL[usize::from(call.phase)], name(call.number))).or_default() += 1;
    }
    println!("system calls of the SDK: {counts:?}");
    let mut unreached = 0;
    let tried = try_all(
        "errno: SDK",
        faults(&clean.calls),
        |fault| (fault.call.phase, fault.call.number, fault.lasts),
        |fault| {
            let outcome = run_with(Some(*fault));
            unreached += u32::from(outcome.injected == 0);
            judge(fault, &clean, &outcome)
        },
    );
    assert!(unreached * 10 < tried, "{unreached} of {tried} met no such call");
    // Which calls the allocator makes differs a little from run to run.
    println!("errno: SDK: {unreached} combinations met no such call");
}
