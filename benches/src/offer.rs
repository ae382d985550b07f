//! Producers that offer records at a given rate, and reading what became of them.

use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ringmeter::{Counter, Histogram, Producer, Summary};

use crate::error::Outcome;
use crate::stand_in::StandIn;

const HELP: &str = "Values of a benchmark.";
/// How often a paced producer wakes up.
const TICK: Duration = Duration::from_micros(250);
/// A spinning producer makes its records in portions of about this time.
const PORTION_S: f64 = 20e-6;
/// What a paced producer makes up for when it wakes up late: beyond, a pause is a pause.
const DEBT_MAX: Duration = Duration::from_millis(1);
/// Room for a hundred thousand series.
const SEGMENT_MAX_BYTES: u64 = 1 << 30;

/// A producer on a directory, and a reader that looks on and acknowledges nothing.
pub struct Offer {
    /// It.
    pub producer: Producer,
    /// Knows what was spilled.
    pub reader: StandIn,
}

impl Offer {
    /// Makes one of so many series at most.
    ///
    /// # Errors
    /// When there is no segment to be had.
    pub fn new(directory: &Path, series_max: u32, lane_cells: u32) -> Outcome<Self> {
        let producer = Producer::builder()
            .directory(directory)
            .service("bench")
            .series_max(series_max)
            .segment_size_max_bytes(SEGMENT_MAX_BYTES)
            .lane_cells(lane_cells)
            .try_build()?;
        let reader = StandIn::new(&producer, directory, false)?;
        Ok(Self { producer, reader })
    }

    /// So many histograms.
    ///
    /// # Errors
    /// When a definition is refused.
    pub fn histograms(&self, name: &str, series: usize) -> Outcome<Arc<Vec<Histogram>>> {
        let family = self.producer.histogram_vec((name, HELP), &["number"])?;
        Ok(Arc::new((0..series).map(|number| family.with(&[&number.to_string()])).collect()))
    }

    /// So many counters.
    ///
    /// # Errors
    /// When a definition is refused.
    pub fn counters(&self, name: &str, series: usize) -> Outcome<Arc<Vec<Counter>>> {
        let family = self.producer.counter_vec((name, HELP), &["number"])?;
        Ok(Arc::new((0..series).map(|number| family.with(&[&number.to_string()])).collect()))
    }

    /// So many summaries.
    ///
    /// # Errors
    /// When a definition is refused.
    pub fn summaries(&self, name: &str, series: usize) -> Outcome<Arc<Vec<Summary>>> {
        let family = self.producer.summary_vec((name, HELP), &["number"])?;
        Ok(Arc::new((0..series).map(|number| family.with(&[&number.to_string()])).collect()))
    }

    /// So many gauges, each of which has a value.
    ///
    /// # Errors
    /// When a definition is refused.
    pub fn gauges(&self, name: &str, series: usize) -> Outcome<()> {
        let family = self.producer.gauge_vec((name, HELP), &["number"])?;
        (0..series).for_each(|number| family.with(&[&number.to_string()]).set(number as f64));
        Ok(())
    }
}

/// Records at a rate for a while, sleeping between two portions; returns how many they were.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and small")]
pub fn paced(histograms: &[Histogram], per_second: f64, time: Duration) -> u64 {
    let begin = Instant::now();
    let (mut made, mut pauses) = (0_u64, Duration::ZERO);
    loop {
        let elapsed = begin.elapsed();
        if elapsed >= time {
            return made;
        }
        let mut due = ((elapsed - pauses).as_secs_f64() * per_second) as u64 - made;
        let most = (DEBT_MAX.as_secs_f64() * per_second) as u64;
        if due > most {
            pauses += Duration::from_secs_f64((due - most) as f64 / per_second);
            due = most;
        }
        observe(histograms, made, due);
        made += due;
        sleep(TICK);
    }
}

/// Records at a rate for a while without sleeping; at `f64::INFINITY`, as fast as it goes.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and small")]
pub fn spinning(histograms: &[Histogram], per_second: f64, time: Duration) -> u64 {
    let begin = Instant::now();
    let portion = (per_second * PORTION_S).clamp(1.0, 1024.0) as u64;
    let mut made = 0_u64;
    loop {
        let elapsed = begin.elapsed();
        if elapsed >= time {
            return made;
        }
        if made as f64 > elapsed.as_secs_f64() * per_second {
            std::hint::spin_loop();
            continue;
        }
        observe(histograms, made, portion);
        made += portion;
    }
}

/// Observes values of some octaves, over the series in turn.
#[expect(clippy::cast_possible_truncation, reason = "an index")]
fn observe(histograms: &[Histogram], from: u64, count: u64) {
    for number in from..from + count {
        if let Some(histogram) = histograms.get(number as usize % histograms.len().max(1)) {
            histogram.observe((1 + (number & 1023)) as f64 / 256.0);
        }
    }
}
