//! Recording asks the system for nothing but the ack, and for that at most once per 64 records,
//! and once per 512 where the ack stands still.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::injected::Phase;
use ringmeter_tests::process::{binary, wait_until};
use ringmeter_tests::supervisor::{Arguments, Call, Ended, Plan, run};
use ringmeter_tests::syscall::name;

/// Increments, and observations, while the agent stands still, unless `RINGMETER_RECORDS` says
/// otherwise. Each look at the ack stops the program twice, which takes long where processors are
/// busy.
const RECORDS: u32 = 1_000_000;

fn records() -> u32 {
    let written = std::env::var("RINGMETER_RECORDS").ok();
    written.and_then(|text| text.parse().ok()).unwrap_or(RECORDS)
}

/// Counts calls, and looks at what each is about.
struct Witness<'a> {
    agent: &'a mut Agent,
    acks: PathBuf,
    counts: BTreeMap<String, u32>,
    strange: Vec<String>,
}

impl Witness<'_> {
    /// Whether the file of a call's descriptor or path is an ack.
    fn is_about_ack(&self, call: &str, arguments: &Arguments) -> bool {
        let [first, second, _] = arguments.values;
        let id = arguments.id;
        match call {
            // The standard library looks at a descriptor (fcntl) before it closes it.
            "pread64" | "fstat" | "statx" | "fcntl" | "close" => self.is_ack(id, first),
            "openat" => text_at(id, second).is_some_and(|path| path.starts_with(&self.acks)),
            _ => false,
        }
    }

    fn is_ack(&self, id: nix::unistd::Pid, descriptor: u64) -> bool {
        std::fs::read_link(format!("/proc/{id}/fd/{descriptor}"))
            .is_ok_and(|path| path.starts_with(&self.acks))
    }
}

/// The path in a traced program's memory.
fn text_at(id: nix::unistd::Pid, address: u64) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::FileExt;
    let memory = std::fs::File::open(format!("/proc/{id}/mem")).ok()?;
    let mut bytes = vec![0; 512];
    let length = memory.read_at(&mut bytes, address).ok()?;
    bytes.truncate(bytes[..length].iter().position(|byte| *byte == 0)?);
    Some(std::ffi::OsString::from_vec(bytes).into())
}

impl Plan for Witness<'_> {
    fn decide(&mut self, call: &Call, arguments: &Arguments) -> Option<Errno> {
        if call.phase == Phase::Record as u8 {
            let name = name(call.number);
            if !self.is_about_ack(&name, arguments) && self.strange.len() < 10 {
                self.strange.push(format!("{name} {:x?}", arguments.values));
            }
            *self.counts.entry(name).or_default() += 1;
        }
        None
    }

    fn marked(&mut self, _: u32, phase: u8) {
        if phase == Phase::Record as u8 {
            wait_until("the agent has made an ack", Duration::from_secs(10), || {
                let mut entries = std::fs::read_dir(&self.acks).into_iter().flatten().flatten();
                entries.any(|entry| entry.path().extension().is_some_and(|end| end == "ack"))
            });
            self.agent.process().signal(Signal::SIGSTOP);
        }
    }
}

#[test]
fn recording_while_the_agent_stands_still_only_reads_acks() {
    let records = records();
    let directory = Directory::new();
    let mut agent = Agent::start(directory.path());
    let mut witness = Witness {
        agent: &mut agent,
        acks: directory.path().join("agent"),
        counts: BTreeMap::new(),
        strange: Vec::new(),
    };
    let mut command = Command::new(binary("injected"));
    command
        .arg(records.to_string())
        .env("RINGMETER_DIR", directory.path())
        .env("RINGMETER_SERVICE", "injected")
        .stdin(Stdio::null());
    let ended = run(&mut command, &mut witness, Duration::from_secs(600), None);
    let Witness { counts, strange, .. } = witness;
    println!("system calls of {records} increments and observations, agent stopped: {counts:?}");
    assert_eq!(ended, Ended::Exited(0));
    assert!(strange.is_empty(), "not about the ack: {strange:?}");
    let count = |name| counts.get(name).copied().unwrap_or(0);
    let (reads, opens) = (count("pread64"), count("openat"));
    // Once per 512 records, and once more after each opening.
    let looks = records / 512;
    assert!(reads > looks / 2 && reads <= looks + opens + 64, "{counts:?}");
    // An opening more at each of the first powers of two; each takes six other calls.
    assert!(opens <= reads / 32 + 20, "the ack file is opened anew now and then only: {counts:?}");
    assert!(counts.values().sum::<u32>() - reads <= 7 * opens, "{counts:?}");
    agent.process().signal(Signal::SIGCONT);
    wait_until("every record arrives", Duration::from_secs(20), || {
        let scrape = agent.scrape();
        let totals = ["injected_calls_total", "injected_seconds_count"].map(|of| scrape.sum(of));
        totals == [f64::from(records + 1); 2]
    });
}
