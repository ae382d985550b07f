//! Rounds, threads and clocks.
//!
//! A row's subjects are measured in *rounds*: each round measures every subject once, in a random
//! order. One measurement is a number of *stretches* of calls in a dense loop; before each
//! stretch the subject may be tidied up (see [`Subject::pause`]), which is not timed. With
//! several threads, all start a stretch together, and each is timed for itself.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::error::{Failure, Outcome};
use crate::stand_in::Total;
use crate::statistics::Random;

/// One thing that is measured.
pub struct Subject {
    /// What it is called in the table.
    pub name: String,
    /// Makes this many calls in a dense loop, as this thread.
    pub calls: Box<dyn Fn(usize, u64) + Send + Sync>,
    /// Runs before every stretch, on each thread.
    pub pause: Box<dyn Fn() -> Outcome<()> + Send + Sync>,
    /// What was recorded so far, as a reader from outside sees it.
    pub total: Box<dyn Fn() -> Outcome<Total> + Send + Sync>,
    /// What the total must be after so many stretches of so many calls, given the one before.
    pub expected: Box<dyn Fn(Total, Stretches) -> Total + Send + Sync>,
    /// Whether threads may park in it, so that CPU time below wall time is no sign of noise.
    pub parks: bool,
}

/// So many stretches of so many calls each.
#[derive(Debug, Clone, Copy)]
pub struct Stretches {
    /// Stretches, over all threads.
    pub count: u64,
    /// Calls in each.
    pub calls: u64,
}

impl Stretches {
    /// All calls.
    #[must_use]
    pub const fn total_calls(self) -> u64 {
        self.count * self.calls
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Threads that call at the same time.
    pub threads: usize,
    /// Rounds wanted.
    pub rounds: usize,
    /// Stretches in one measurement.
    pub stretches: u64,
    /// Calls in one stretch.
    pub calls: u64,
}

/// Rounds below which an interval is not worth its name.
pub const QUIET_ROUNDS_MIN: usize = 30;
/// CPU time of a measurement divided by its wall time, below which it was disturbed.
pub const CPU_SHARE_MIN: f64 = 0.97;

/// What the rounds gave.
#[derive(Debug, Clone)]
pub struct Rounds {
    /// By subject and round: nanoseconds per call, mean over threads and stretches.
    pub ns_per_call: Vec<Vec<f64>>,
    /// Rounds that were measured.
    pub all: usize,
    /// Rounds that were used.
    pub used: usize,
    /// Rounds that were disturbed; left out while enough others remain.
    pub noisy: usize,
}

/// One measurement of one thread.
#[derive(Debug, Clone, Copy)]
struct Sample {
    ns_per_call: f64,
    cpu_share: f64,
}

/// Checks every subject, then measures them.
///
/// # Errors
/// When a subject does not record what it is told to, before or during the measurement.
pub fn measure(subjects: &[Subject], plan: Plan, random: &mut Random) -> Outcome<Rounds> {
    for subject in subjects {
        let before = (subject.total)()?;
        run(&[subject], Plan { stretches: 1, ..plan })?;
        compare(subject, before, Stretches { count: plan.threads as u64, calls: plan.calls })?;
    }
    let mut samples: Vec<Vec<Sample>> = Vec::new();
    let mut rounds = 0;
    // Disturbed rounds are made up for, within reason.
    while rounds < plan.rounds
        || (quiet(subjects, &samples) < QUIET_ROUNDS_MIN && rounds < 2 * plan.rounds)
    {
        let batch = plan.rounds.min(32);
        samples.extend(measure_batch(subjects, plan, batch, random)?);
        rounds += batch;
    }
    Ok(summary(subjects, &samples))
}

/// Some rounds, by round and then by subject; the slower thread's share of the processor counts.
fn measure_batch(
    subjects: &[Subject],
    plan: Plan,
    rounds: usize,
    random: &mut Random,
) -> Outcome<Vec<Vec<Sample>>> {
    let mut order: Vec<usize> = Vec::new();
    for _ in 0..rounds {
        let mut round: Vec<usize> = (0..subjects.len()).collect();
        random.shuffle(&mut round);
        order.extend(round);
    }
    let schedule: Vec<&Subject> = order.iter().map(|index| &subjects[*index]).collect();
    let before = totals(subjects)?;
    let measured = run(&schedule, plan)?;
    let count = rounds as u64 * plan.stretches * plan.threads as u64;
    for (subject, before) in subjects.iter().zip(before) {
        compare(subject, before, Stretches { count, calls: plan.calls })?;
    }
    let mut by_round =
        vec![vec![Sample { ns_per_call: 0.0, cpu_share: 1.0 }; subjects.len()]; rounds];
    for (step, index) in order.iter().enumerate() {
        let sample = &mut by_round[step / subjects.len()][*index];
        for thread in &measured {
            sample.ns_per_call += thread[step].ns_per_call / plan.threads as f64;
            sample.cpu_share = sample.cpu_share.min(thread[step].cpu_share);
        }
    }
    Ok(by_round)
}

fn totals(subjects: &[Subject]) -> Outcome<Vec<Total>> {
    subjects.iter().map(|subject| (subject.total)()).collect()
}

/// Whether the subject's total is what it must be.
///
/// # Errors
/// When it is not.
pub fn compare(subject: &Subject, before: Total, stretches: Stretches) -> Outcome<()> {
    let found = (subject.total)()?;
    let expected = (subject.expected)(before, stretches);
    if found == expected {
        return Ok(());
    }
    let name = &subject.name;
    Err(Failure::new(format!("{name} shows {found:?} after {stretches:?}, not {expected:?}")))
}

fn is_quiet(subjects: &[Subject], round: &[Sample]) -> bool {
    subjects
        .iter()
        .zip(round)
        .all(|(subject, sample)| subject.parks || sample.cpu_share >= CPU_SHARE_MIN)
}

fn quiet(subjects: &[Subject], rounds: &[Vec<Sample>]) -> usize {
    rounds.iter().filter(|round| is_quiet(subjects, round)).count()
}

fn summary(subjects: &[Subject], rounds: &[Vec<Sample>]) -> Rounds {
    let quiet_rounds = quiet(subjects, rounds);
    let noisy = rounds.len() - quiet_rounds;
    let enough = quiet_rounds >= QUIET_ROUNDS_MIN;
    let used: Vec<&Vec<Sample>> =
        rounds.iter().filter(|round| !enough || is_quiet(subjects, round)).collect();
    let column = |index: usize| used.iter().map(|round| round[index].ns_per_call).collect();
    let ns_per_call = (0..subjects.len()).map(column).collect();
    Rounds { ns_per_call, all: rounds.len(), used: used.len(), noisy }
}

/// Runs a schedule on all threads; by thread and step.
fn run(schedule: &[&Subject], plan: Plan) -> Outcome<Vec<Vec<Sample>>> {
    let gate = Gate::new(plan.threads);
    let failure = Mutex::new(None);
    let work = |thread: usize| -> Vec<Sample> {
        schedule.iter().map(|subject| sample(subject, plan, thread, &gate, &failure)).collect()
    };
    // A single thread is the caller's, so that its lane and its caches stay the same.
    let samples = if plan.threads == 1 {
        vec![work(0)]
    } else {
        thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> =
                (0..plan.threads).map(|index| scope.spawn(move || work(index))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
        })
    };
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => Ok(samples),
    }
}

fn sample(
    subject: &Subject,
    plan: Plan,
    thread: usize,
    gate: &Gate,
    failure: &Mutex<Option<Failure>>,
) -> Sample {
    let (cpu, wall) = (cpu_time(), Instant::now());
    let mut timed = Duration::ZERO;
    for _ in 0..plan.stretches {
        if let Err(problem) = (subject.pause)() {
            let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(problem);
        }
        gate.wait();
        let start = Instant::now();
        (subject.calls)(thread, plan.calls);
        timed += start.elapsed();
        gate.wait();
    }
    let calls = (plan.stretches * plan.calls) as f64;
    let cpu_share = (cpu_time().saturating_sub(cpu)).as_secs_f64() / wall.elapsed().as_secs_f64();
    Sample { ns_per_call: timed.as_secs_f64() * 1e9 / calls, cpu_share }
}

/// How long single calls take, nanoseconds, without what reading the clock takes.
#[derive(Debug, Clone, Copy)]
pub struct Tail {
    /// Half of the calls take longer; not much more than the clock resolves.
    pub p50: f64,
    /// One in a hundred takes longer.
    pub p99: f64,
    /// One in a thousand.
    pub p99_9: f64,
    /// One in ten thousand.
    pub p99_99: f64,
}

/// Calls timed one by one for a tail: a hundred of them are beyond the last percentile.
const TAIL_CALLS: u64 = 1_000_000;

/// How long reading the clock takes.
#[must_use]
pub fn clock_tail() -> Tail {
    percentiles(|| ())
}

/// Times single calls of a subject on this thread, and takes off what the clock takes.
///
/// # Errors
/// When the subject does not record what it is told to.
pub fn tail(subject: &Subject, clock: Tail) -> Outcome<Tail> {
    let before = (subject.total)()?;
    let measured = percentiles(|| (subject.calls)(0, 1));
    compare(subject, before, Stretches { count: TAIL_CALLS, calls: 1 })?;
    let own = |total: f64| (total - clock.p50).max(0.0);
    Ok(Tail {
        p50: own(measured.p50),
        p99: own(measured.p99),
        p99_9: own(measured.p99_9),
        p99_99: own(measured.p99_99),
    })
}

fn percentiles(call: impl Fn()) -> Tail {
    let mut times: Vec<u64> = Vec::new();
    times.reserve_exact(usize::try_from(TAIL_CALLS).unwrap_or(0));
    for _ in 0..TAIL_CALLS {
        let start = Instant::now();
        call();
        times.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    times.sort_unstable();
    let at = |per_ten_thousand: usize| {
        times.get(times.len() / 10_000 * per_ten_thousand).copied().unwrap_or(0) as f64
    };
    Tail { p50: at(5_000), p99: at(9_900), p99_9: at(9_990), p99_99: at(9_999) }
}

/// Processor time that this thread has used.
#[must_use]
pub fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Lets threads start together, without sleeping: waking up would cost more than a stretch.
struct Gate {
    threads: usize,
    arrived: AtomicUsize,
    opened: AtomicUsize,
}

/// Looks at the gate before the thread lets others run.
const SPINS: u32 = 10_000;

impl Gate {
    const fn new(threads: usize) -> Self {
        Self { threads, arrived: AtomicUsize::new(0), opened: AtomicUsize::new(0) }
    }

    fn wait(&self) {
        if self.threads == 1 {
            return;
        }
        let opened = self.opened.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.arrived.store(0, Ordering::Relaxed);
            // PAIRS WITH: `gate`, the load below.
            self.opened.store(opened + 1, Ordering::Release);
            return;
        }
        let mut spins = 0;
        // PAIRS WITH: `gate`, the store above.
        while self.opened.load(Ordering::Acquire) == opened {
            spins += 1;
            if spins % SPINS == 0 {
                thread::yield_now();
            }
            spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    fn counting(step: u64) -> Subject {
        let counter = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&counter);
        Subject {
            name: "test".to_owned(),
            calls: Box::new(move |_, calls| {
                counter.fetch_add(calls * step, Ordering::Relaxed);
            }),
            pause: Box::new(|| Ok(())),
            total: Box::new(move || {
                let count = shown.load(Ordering::Relaxed) as f64;
                Ok(Total { count, sum: count })
            }),
            expected: Box::new(|before, stretches| {
                let all = stretches.total_calls() as f64;
                Total { count: before.count + all, sum: before.sum + all }
            }),
            parks: true,
        }
    }

    const PLAN: Plan = Plan { threads: 2, rounds: 30, stretches: 2, calls: 5 };

    #[test]
    fn all_rounds_of_all_subjects_are_measured() {
        let measured = measure(&[counting(1), counting(1)], PLAN, &mut Random::new(3));
        let rounds = measured.expect("both count rightly");
        assert_eq!(rounds.used, 30);
        assert!(rounds.ns_per_call.iter().all(|subject| subject.len() == 30));
        assert!(rounds.ns_per_call.iter().flatten().all(|ns| *ns > 0.0));
    }

    #[test]
    fn a_subject_that_counts_wrongly_is_not_timed() {
        let measured = measure(&[counting(1), counting(2)], PLAN, &mut Random::new(3));
        let message = measured.expect_err("one counts double").to_string();
        assert!(message.contains("after Stretches { count: 2, calls: 5 }"), "{message}");
    }
}
