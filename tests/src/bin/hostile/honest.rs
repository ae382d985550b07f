//! Honest producers, and what their numbers must be.

use std::path::{Path, PathBuf};

use ringmeter_tests::exposition::Scrape;
use ringmeter_tests::progress::{self, FLOAT_STEP, KINDS};
use ringmeter_tests::worker::Worker;

/// Several processes that record in all kinds and note how often.
pub(crate) struct Honest {
    workers: Vec<Worker>,
    progress: Vec<PathBuf>,
}

impl Honest {
    pub(crate) fn start(directory: &Path, seed: u64) -> Self {
        let (mut workers, mut progress) = (Vec::new(), Vec::new());
        for number in 0..2_u64 {
            let path = directory.join(format!("progress-{number}"));
            std::fs::write(&path, vec![0; progress::WORDS * 8]).expect("a progress file");
            let arguments = format!(
                "--progress {} --threads 2 --lane-capacity 4096 --lanes 8 --seed {}",
                path.display(),
                seed + number
            );
            let mut worker = Worker::start_named("recorder", directory, &arguments);
            assert_eq!(worker.line(), "ready");
            workers.push(worker);
            progress.push(path);
        }
        Self { workers, progress }
    }

    /// Calls by kind: completed, and begun.
    pub(crate) fn calls(&self) -> [(u64, u64); KINDS.len()] {
        let mut all = [(0, 0); KINDS.len()];
        for path in &self.progress {
            for (sum, own) in all.iter_mut().zip(progress::read(path)) {
                *sum = (sum.0 + own.0, sum.1 + own.1);
            }
        }
        all
    }

    /// Ends the recording; the processes stay.
    pub(crate) fn stop(&mut self) {
        for worker in &mut self.workers {
            worker.send("stop");
            worker.wait_until_done();
        }
    }
}

/// The calls by kind that a scrape shows.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers")]
pub(crate) fn shown(text: &str) -> [u64; KINDS.len()] {
    // Of a scrape that may be large, only what is needed.
    let own: String = text.lines().filter(|line| line.starts_with("crash_")).fold(
        String::new(),
        |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        },
    );
    let scrape = Scrape::parse(&own);
    [
        scrape.sum("crash_integer_total"),
        scrape.sum("crash_float_total") / FLOAT_STEP,
        scrape.sum("crash_histogram_count"),
        scrape.sum("crash_summary_count"),
        scrape.sum("crash_labelled_total"),
    ]
    .map(|value| value.round() as u64)
}
