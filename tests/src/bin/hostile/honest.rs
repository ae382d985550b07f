//! Honest producers, and what their numbers must be.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use ringmeter_tests::exposition::Scrape;
use ringmeter_tests::process::wait_until;
use ringmeter_tests::progress::{
    FLOAT, FLOAT_STEP, HISTOGRAM, INTEGER, IS_READY, IS_SHARED, LABELLED, Progress, SUMMARY,
};
use ringmeter_tests::worker::Worker;

/// What is compared: kinds of call, and what they are called.
pub(crate) const KINDS: [(usize, &str); 5] = [
    (INTEGER, "integer"),
    (FLOAT, "float"),
    (HISTOGRAM, "histogram"),
    (SUMMARY, "summary"),
    (LABELLED, "labelled"),
];

const THREADS: usize = 2;
/// Honest producers get going, and pause, within this.
const PATIENCE: Duration = Duration::from_secs(30);
/// Any odd number lets recorders pause.
const PAUSE: u64 = 1;

/// Several processes that record in all kinds and note how often.
pub(crate) struct Honest {
    /// They live as long as this.
    _workers: Vec<Worker>,
    progress: Vec<File>,
}

impl Honest {
    pub(crate) fn start(directory: &Path, seed: u64) -> Self {
        let (mut workers, mut progress) = (Vec::new(), Vec::new());
        for number in 0..2_u64 {
            let path = directory.join(format!("progress-{number}"));
            progress.push(Progress::create(&path).expect("a progress file"));
            let arguments = format!(
                "--progress {} --threads {THREADS} --lane-capacity 4096 --lanes 8 --lane-cells 8 \
                 --seed {}",
                path.display(),
                seed + number
            );
            workers.push(Worker::start_named("recorder", directory, &arguments));
        }
        let honest = Self { _workers: workers, progress };
        wait_until("honest producers record into segments", PATIENCE, || {
            let goes =
                |progress: &Progress| progress.word(IS_READY) == 1 && progress.word(IS_SHARED) == 1;
            honest.all().iter().all(goes)
        });
        honest
    }

    fn all(&self) -> Vec<Progress> {
        let read = |file| Progress::read(file).expect("a progress file");
        self.progress.iter().map(read).collect()
    }

    /// Calls by kind: completed, and begun.
    pub(crate) fn calls(&self) -> [(u64, u64); KINDS.len()] {
        let all = self.all();
        KINDS.map(|(kind, _)| {
            let threads = all.iter().flat_map(|progress| {
                (0..THREADS)
                    .map(|thread| (progress.completed(thread)[kind], progress.begun(thread)[kind]))
            });
            threads.fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1))
        })
    }

    /// Ends the recording; the processes stay.
    pub(crate) fn stop(&mut self) {
        for file in &self.progress {
            Progress::command(file, PAUSE).expect("a progress file");
        }
        wait_until("honest producers pause", PATIENCE, || {
            self.all().iter().all(|progress| progress.is_paused(THREADS, PAUSE))
        });
    }
}

/// The calls by kind that a scrape shows.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers")]
pub(crate) fn shown(text: &str) -> [u64; KINDS.len()] {
    // Of a scrape that may be large, only what is needed.
    let own: String = text.lines().filter(|line| line.starts_with("torture_")).fold(
        String::new(),
        |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        },
    );
    let scrape = Scrape::parse(&own);
    [
        scrape.sum("torture_integer_total"),
        scrape.sum("torture_float_total") / FLOAT_STEP,
        scrape.sum("torture_histogram_count"),
        scrape.sum("torture_summary_count"),
        scrape.sum("torture_labelled_total"),
    ]
    .map(|value| value.round() as u64)
}
