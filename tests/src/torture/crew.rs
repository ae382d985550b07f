//! The recorders of one directory, living and dead, and what they recorded.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::expect::Range;
use crate::directory::Directory;
use crate::exposition::Scrape;
use crate::process::{Process, binary};
use crate::progress::{IS_READY, IS_SHARED, LEVEL, Progress, SET, gauge_value};
use crate::random::Random;

/// Recorders that live at a time.
const RECORDERS: usize = 3;
/// All recorders pause within this, or something is wrong.
const PAUSE_MAX: Duration = Duration::from_secs(60);

struct Recorder {
    process: Process,
    progress: File,
    threads: usize,
    seed: u64,
    /// A directory that does not exist yet: until then it counts privately.
    late: Option<PathBuf>,
}

impl Recorder {
    fn read(&self) -> Progress {
        Progress::read(&self.progress).unwrap_or_else(|error| fail(&error))
    }

    /// What it recorded. Nothing of that can be anywhere while it has had no directory; and until
    /// it has moved into a segment, all of it may die with it.
    fn add_to(&self, range: &mut Range) {
        if self.late.is_none() {
            let progress = self.read();
            range.add(&progress, self.threads, progress.word(IS_SHARED) == 0);
        }
    }
}

#[expect(clippy::panic, reason = "without its files there is no test")]
fn fail(error: &std::io::Error) -> ! {
    panic!("the progress files of recorders: {error}")
}

#[derive(Default)]
struct Members {
    living: Vec<Recorder>,
    /// What those that are dead have recorded.
    dead: Range,
    started: u32,
    command: u64,
}

/// What living recorders' gauges are while all of them pause.
#[derive(Debug)]
struct Gauges {
    level: f64,
    set: Vec<f64>,
}

/// The recorders of one directory.
pub(super) struct Crew {
    directory: PathBuf,
    notes: Directory,
    members: Mutex<Members>,
}

impl Crew {
    /// Nobody yet.
    #[must_use]
    pub(super) fn new(directory: &Path) -> Self {
        let members = Mutex::default();
        Self { directory: directory.to_owned(), notes: Directory::new(), members }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts as many as there should be.
    pub(super) fn fill(&self, random: &mut Random) {
        let mut members = self.members();
        while members.living.len() < RECORDERS {
            members.started += 1;
            let recorder = self.start(members.started, random);
            members.living.push(recorder);
        }
    }

    #[expect(clippy::expect_used, reason = "a test without its recorder is no test")]
    fn start(&self, number: u32, random: &mut Random) -> Recorder {
        let path = self.notes.path().join(format!("progress-{number}"));
        let progress = Progress::create(&path).unwrap_or_else(|error| fail(&error));
        let is_late = random.below(6) == 0;
        let late = is_late.then(|| self.notes.path().join(format!("late-{number}")));
        let threads = 1 + random.below(3);
        let seed = random.next() % 1_000_000;
        let capacity = 64 << random.below(5);
        let lanes = 1 + random.below(3);
        // Counters are records, or some of them, or none.
        let cells = [0, 8, 512][random.below(3)];
        let child = Command::new(binary("recorder"))
            .arg("--progress")
            .arg(&path)
            .args(["--threads", &threads.to_string(), "--lanes", &lanes.to_string()])
            .args(["--lane-capacity", &capacity.to_string(), "--seed", &seed.to_string()])
            .args(["--lane-cells", &cells.to_string()])
            .env("RINGMETER_DIR", late.as_ref().unwrap_or(&self.directory))
            .env("RINGMETER_SERVICE", "torture")
            .stdin(Stdio::piped())
            .spawn()
            .expect("start a recorder");
        Recorder { process: child.into(), progress, threads, seed, late }
    }

    /// Kills one at random, at whatever it is doing. Says whether the kill ended it.
    pub(super) fn kill_one(&self, random: &mut Random) -> bool {
        let mut members = self.members();
        let at = random.below(members.living.len());
        let mut victim = members.living.swap_remove(at);
        let was_killed = victim.process.kill();
        victim.add_to(&mut members.dead);
        was_killed
    }

    /// Lets those that count privately find their directory.
    pub(super) fn let_in(&self) {
        for recorder in &mut self.members().living {
            if let Some(link) = recorder.late.take() {
                symlink(&self.directory, link).unwrap_or_else(|error| fail(&error));
            }
        }
    }

    /// What all of them together may have recorded by now.
    #[must_use]
    pub(super) fn range(&self) -> Range {
        let members = self.members();
        let mut range = Range::default();
        members.living.iter().for_each(|recorder| recorder.add_to(&mut range));
        range.and(&members.dead)
    }

    /// Makes all of them pause, with nothing in private memory.
    ///
    /// # Errors
    /// Who did not.
    pub(super) fn pause(&self) -> Result<(), String> {
        self.let_in();
        let is_shared = |recorder: &Recorder| recorder.read().word(IS_SHARED) == 1;
        self.wait("get a segment", is_shared)?;
        let mut members = self.members();
        members.command += 1;
        let command = members.command;
        self.tell(&members);
        drop(members);
        let is_paused = |recorder: &Recorder| {
            let progress = recorder.read();
            progress.word(IS_READY) == 1 && progress.is_paused(recorder.threads, command)
        };
        self.wait("pause", is_paused)
    }

    /// Lets all of them go on.
    pub(super) fn resume(&self) {
        let mut members = self.members();
        members.command += 1;
        self.tell(&members);
    }

    fn tell(&self, members: &Members) {
        for recorder in &members.living {
            let told = Progress::command(&recorder.progress, members.command);
            told.unwrap_or_else(|error| fail(&error));
        }
    }

    fn wait(&self, what: &str, is_done: impl Fn(&Recorder) -> bool) -> Result<(), String> {
        let begin = Instant::now();
        while !self.members().living.iter().all(&is_done) {
            for recorder in &mut self.members().living {
                let ended = recorder.process.child().try_wait();
                if let Ok(Some(status)) = ended {
                    return Err(format!("a recorder has ended by itself: {status}"));
                }
            }
            if begin.elapsed() > PAUSE_MAX {
                return Err(format!("recorders do not {what} within {PAUSE_MAX:?}"));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    /// Gauges that are not what those that pause have set: a gauge leaves with its process.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub(super) fn wrong_gauges(&self, scrape: &Scrape) -> Vec<String> {
        let members = self.members();
        let mut gauges = Gauges { level: 0.0, set: Vec::new() };
        for recorder in &members.living {
            let progress = recorder.read();
            let level = |thread| progress.completed(thread)[LEVEL];
            gauges.level += (0..recorder.threads).map(level).sum::<u64>() as f64;
            gauges.set.push(gauge_value(recorder.seed, progress.completed(0)[SET]));
        }
        gauges.set.sort_by(f64::total_cmp);
        gauges.compare(scrape)
    }
}

impl Gauges {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn compare(&self, scrape: &Scrape) -> Vec<String> {
        let mut each: Vec<f64> = scrape.of("torture_each").map(|(_, value)| value).collect();
        each.sort_by(f64::total_cmp);
        let mut problems = Vec::new();
        let mut check = |name: &str, is_right: bool| {
            if !is_right {
                let found = scrape.get(name).map_or(format!("{each:?}"), |found| found.to_string());
                problems.push(format!("{name} is {found}, living recorders have {self:?}"));
            }
        };
        let mean = self.set.iter().sum::<f64>() / self.set.len() as f64;
        let is = |name, value: Option<f64>| scrape.get(name) == value;
        check("torture_level", is("torture_level", Some(self.level)));
        check("torture_low", is("torture_low", self.set.first().copied()));
        check("torture_high", is("torture_high", self.set.last().copied()));
        check("torture_mean", is("torture_mean", Some(mean)));
        let recent = scrape.get("torture_recent");
        check("torture_recent", recent.is_some_and(|recent| self.set.contains(&recent)));
        check("torture_each", each == self.set);
        problems
    }
}
