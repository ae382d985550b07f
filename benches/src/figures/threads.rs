//! What a call costs by threads on one metric. Beyond the machine's processors threads take
//! turns, so this is processor time per call, not time that passes.

use std::sync::Barrier;
use std::thread;

use super::Found;
use crate::error::{Failure, Outcome};
use crate::figure::Figure;
use crate::measure::{Stretches, Subject, compare, cpu_time};
use crate::peers;
use crate::plot::{Axis, Curve, Plot};
use crate::setup::Setup;
use crate::stand_in::Total;
use crate::statistics::{Random, median};
use crate::work::{Values, dense};

const HELP: &str = "Counts of many threads.";
const THREADS: [usize; 5] = [1, 2, 4, 8, 16];
const ROUNDS: usize = 30;
/// Long enough that threads meet, whoever runs when.
const CALLS: u64 = 204_800;
/// What one call of a stretch records before its lane is looked at.
const STRETCH: u64 = 2048;

/// Nanoseconds of processor time per call, over all threads.
fn per_call(subject: &Subject, threads: usize) -> Outcome<f64> {
    let barrier = Barrier::new(threads);
    let work = |thread: usize| -> Outcome<f64> {
        (subject.pause)()?;
        barrier.wait();
        let mut used = 0.0;
        for _ in 0..CALLS / STRETCH {
            let cpu = cpu_time();
            (subject.calls)(thread, STRETCH);
            used += cpu_time().saturating_sub(cpu).as_secs_f64();
            (subject.pause)()?;
        }
        Ok(used * 1e9 / CALLS as f64)
    };
    let clock = clock_ns() / STRETCH as f64;
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..threads).map(|index| scope.spawn(move || work(index))).collect();
        let count = threads.len() as f64;
        let times: Outcome<Vec<f64>> = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| Failure::new("a thread panicked"))?)
            .collect();
        Ok((times?.iter().sum::<f64>() / count - clock).max(0.0))
    })
}

/// What one reading of the processor clock adds to what lies between two of them.
fn clock_ns() -> f64 {
    let readings: Vec<f64> = (0..1000)
        .map(|_| {
            let cpu = cpu_time();
            cpu_time().saturating_sub(cpu).as_secs_f64() * 1e9
        })
        .collect();
    median(&readings)
}

fn subjects(setup: &Setup) -> Outcome<Vec<Vec<Subject>>> {
    let counter = setup.producer.counter(("bench_threads_total", HELP))?;
    let mut counters = vec![setup.ours("bench_threads_total", move |_, calls| {
        dense!(calls, _call => counter.inc());
    })];
    let wanted = ["prometheus IntCounter", "metriken ShardedCounterGroup", "metrics Counter"];
    let is_wanted = |subject: &Subject| wanted.contains(&subject.name.as_str());
    counters.extend(peers::counters::<false>(setup, 1)?.subjects.into_iter().filter(is_wanted));
    let values = Values::new(setup.seed);
    let (given, histogram) = (values.clone(), setup.producer.histogram(("bench_threads", HELP))?);
    let mut histograms = vec![setup.ours("bench_threads", move |_, calls| {
        dense!(calls, call => histogram.observe(given.of(call)));
    })];
    histograms.iter_mut().for_each(|ours| ours.expected = values.expected());
    let peers = peers::histograms::<false>(setup, &values, 1)?;
    histograms.extend(peers.subjects.into_iter().take(3));
    Ok(vec![counters, histograms])
}

pub(super) fn growth(setup: &Setup, random: &mut Random) -> Outcome<Found> {
    let titles = [
        ("threads-counter", "A counter by threads on one metric"),
        ("threads-histogram", "A histogram by threads on one metric"),
    ];
    let mut found = Found::default();
    for ((id, title), subjects) in titles.into_iter().zip(subjects(setup)?) {
        let mut curves: Vec<Curve> = subjects
            .iter()
            .map(|subject| Curve { name: subject.name.clone(), points: Vec::new() })
            .collect();
        for threads in THREADS {
            let before: Outcome<Vec<Total>> =
                subjects.iter().map(|subject| (subject.total)()).collect();
            let mut samples = vec![Vec::new(); subjects.len()];
            let mut order: Vec<usize> = (0..subjects.len()).collect();
            for _ in 0..ROUNDS {
                random.shuffle(&mut order);
                for index in &order {
                    samples[*index].push(per_call(&subjects[*index], threads)?);
                }
            }
            let count = (ROUNDS * threads) as u64 * (CALLS / STRETCH);
            for (subject, before) in subjects.iter().zip(before?) {
                compare(subject, before, Stretches { count, calls: STRETCH })?;
            }
            for (index, subject) in subjects.iter().enumerate() {
                let name = &subject.name;
                let title = format!("{name}: processor time per call, {threads} threads");
                let figure_id = format!("{id}-{threads}-{index}");
                let figure = Figure::of(figure_id, title, "ns", &samples[index], random);
                curves[index].points.push((threads as f64, figure.estimate.value));
                found.figures.push(figure);
            }
        }
        let y = Axis::logarithmic("ns of processor time per call");
        found.plots.push(Plot { id, title, x: Axis::linear("threads"), y, curves });
    }
    Ok(found)
}
