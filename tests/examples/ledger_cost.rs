//! What the ledger costs: commits by number of changed series of 100,000, and a restart.
//!
//! `cargo build --profile e2e -p ringmeter-agent -p ringmeter-tests --bins --examples`, then
//! `target/e2e/examples/ledger_cost`.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a measurement that prints")]

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringmeter_agent::aggregate::{Aggregate, Local, LocalSeries};
use ringmeter_agent::ledger::{Ledger, Place, parse};
use ringmeter_agent::limits::Limits;
use ringmeter_agent::long_records::Slots;
use ringmeter_agent::pipeline::Restored;
use ringmeter_layout::naming::Kind;
use ringmeter_layout::record::{Operation, Record, pack};
use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::golden::family;
use ringmeter_tests::random::Random;
use ringmeter_tests::worker::Worker;

const SERIES: u32 = 100_000;
const ROUNDS: usize = 101;

fn main() {
    for kind in [Kind::Counter, Kind::Histogram] {
        commits(kind);
    }
    restart();
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn commits(kind: Kind) {
    let directory = Directory::new();
    let place = Place::new(directory.path().join("ledger"));
    let mut ledger = Ledger::new(Box::new(place.open().expect("files")), [1; 16], 1);
    let mut aggregate = Aggregate::new(Limits::default());
    let mut definition = family("cost_total", kind, &["number"]);
    if kind == Kind::Histogram {
        definition.bounds = (1..12).map(f64::from).collect();
    }
    let own = aggregate.hold_family(&definition, 0).expect("a family");
    let mut local = LocalSeries::default();
    for number in 0..SERIES {
        let number = number.to_string();
        let placed = aggregate.hold_series(own, &[("number", &number)], true, 0);
        let slot = placed.expect("a series").slot;
        local.push(match kind {
            Kind::Counter => Local::Counter(slot),
            _ => Local::Distribution(slot),
        });
    }
    let mut random = Random::new(1);
    for changed in [SERIES, 0, 1, 100, 10_000] {
        let rounds = if changed == SERIES { 1 } else { ROUNDS };
        let written = ledger.written_bytes();
        let mut times = Vec::new();
        for _ in 0..rounds {
            let records: Vec<Record> = (0..changed)
                .map(|at| {
                    let any = u32::try_from(random.below(SERIES as usize)).expect("small");
                    let series = if changed == SERIES { at } else { any };
                    match kind {
                        Kind::Counter => Record { word: pack(series, Operation::AddU64), value: 1 },
                        _ => Record {
                            word: pack(series, Operation::ObserveF64),
                            value: 2.5_f64.to_bits(),
                        },
                    }
                })
                .collect();
            aggregate.apply(Slots::all(&records), &local, &mut 0, 0);
            let begin = Instant::now();
            aggregate.put_changes(&mut ledger);
            ledger.commit().expect("a commit");
            times.push(begin.elapsed());
        }
        let bytes = (ledger.written_bytes() - written) / rounds as u64;
        let time = median(times);
        println!("commit: {kind:?} changed={changed} of {SERIES}: {time:?}, {bytes} bytes written");
    }
    println!("ledger: {kind:?} {} bytes", ledger.size_bytes());
    drop(ledger);
    let (bytes, journal) = place.open().and_then(|files| place.read(&files)).expect("bytes");
    let begin = Instant::now();
    let contents = parse(&bytes, &journal).expect("a ledger").expect("contents");
    let parsed = begin.elapsed();
    let restored = Restored::parse(&bytes, &journal, &Limits::default(), 0);
    assert!(restored.is_ok_and(|restored| restored.is_some()));
    let whole = begin.elapsed() - parsed;
    println!(
        "read: {kind:?} {} blocks in {parsed:?}, with totals {whole:?}",
        contents.slice_count()
    );
}

fn restart() {
    let directory = Directory::new();
    let mut worker = Worker::start(directory.path(), "wide --series 100000");
    worker.wait_until_done();
    let mut agent = Agent::start(directory.path());
    println!("restart: {} series", agent.scrape().value("ringmeter_series"));
    let mut times = Vec::new();
    for _ in 0..9 {
        agent.process().signal(Signal::SIGKILL);
        agent.process().wait(Duration::from_secs(5));
        let begin = Instant::now();
        agent = Agent::start(directory.path());
        times.push(begin.elapsed());
    }
    assert!((agent.scrape().sum("worker_wide_total") - 100_000.0).abs() < 0.5);
    println!("restart: killed to ready in {:?} (median of {})", median(times.clone()), times.len());
}
