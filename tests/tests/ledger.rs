//! The ledger: totals go on, and nothing is added twice, whatever became of it.
#![allow(clippy::expect_used, reason = "tests")]

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::process::wait_until;
use ringmeter_tests::worker::Worker;

fn kill(mut agent: Agent) {
    agent.process().signal(Signal::SIGKILL);
    agent.process().wait(Duration::from_secs(5));
}

#[test]
fn what_was_spilled_while_no_agent_ran_is_taken_by_the_next() {
    let directory = Directory::new();
    let arguments = "count --threads 2 --times 1000 --lane-capacity 64 --lane-cells 0";
    let mut worker = Worker::start(directory.path(), arguments);
    worker.wait_until_done();
    let mut agent = Agent::start(directory.path());
    for round in 0..3 {
        let expected = f64::from(2000 + round * 100_000);
        assert_eq!(agent.scrape().value("worker_count_total"), expected);
        kill(agent);
        worker.send("count 100000");
        worker.wait_until_done();
        agent = Agent::start(directory.path());
    }
    let scrape = agent.scrape();
    assert_eq!(scrape.value("worker_count_total"), 302_000.0);
    assert!(scrape.value("ringmeter_records_spilled_total") > 290_000.0);
    assert_eq!(scrape.value("ringmeter_segments_baselined_total"), 0.0);
}

/// A worker does what one line says.
fn tell(worker: &mut Worker, line: &str) {
    worker.send(line);
    worker.wait_until_done();
}

/// Counts in cells of lanes, and in records, of which nothing is in any cell.
#[test]
fn who_removed_what_is_known_to_the_next_agent() {
    const SERIES: &str = "worker_labelled_total{text=\"x\"}";
    for cells in ["", " --lane-cells 0"] {
        let directory = Directory::new();
        let arguments = format!("count --times 0{cells}");
        let start = || {
            let mut worker = Worker::start(directory.path(), &arguments);
            worker.wait_until_done();
            tell(&mut worker, "label x");
            worker
        };
        let (mut first, mut second) = (start(), start());
        let mut agent = Agent::start(directory.path());
        assert_eq!(agent.scrape().get(SERIES), Some(2.0));
        tell(&mut first, "remove x");
        assert_eq!(agent.scrape().get(SERIES), Some(2.0), "the second has it");
        assert!(second.process().kill());
        wait_until("the second is buried", Duration::from_secs(10), || {
            directory.segments().len() == 1
        });
        for restart in 0..3 {
            assert_eq!(agent.scrape().get(SERIES), Some(2.0), "restart {restart}{cells}");
            kill(agent);
            agent = Agent::start(directory.path());
        }
        tell(&mut first, "label x");
        assert_eq!(agent.scrape().get(SERIES), Some(3.0), "it has it again");
        let mut third = start();
        assert_eq!(agent.scrape().get(SERIES), Some(4.0));
        tell(&mut third, "remove x");
        assert_eq!(agent.scrape().get(SERIES), Some(4.0));
        kill(agent);
        tell(&mut first, "remove x");
        for restart in 0..3 {
            agent = Agent::start(directory.path());
            assert_eq!(agent.scrape().get(SERIES), None, "restart {restart}{cells}");
            kill(agent);
        }
        tell(&mut third, "label x");
        assert_eq!(Agent::start(directory.path()).scrape().get(SERIES), Some(5.0));
    }
}

/// An agent counts 400 of a producer and ends; `damage` is done; another one goes on.
fn after(damage: impl FnOnce(&Directory)) -> (Directory, Agent, Worker) {
    let directory = Directory::new();
    let mut worker = Worker::start(directory.path(), "count --threads 4 --times 100");
    worker.wait_until_done();
    let agent = Agent::start(directory.path());
    assert_eq!(agent.scrape().value("worker_count_total"), 400.0);
    kill(agent);
    damage(&directory);
    let agent = Agent::start(directory.path());
    (directory, agent, worker)
}

fn set_aside(directory: &Directory) -> Vec<String> {
    let entries = fs::read_dir(directory.path().join("agent")).expect("the agent's directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("UTF-8"));
    names.filter(|name| name.starts_with("ledger.") && name != "ledger.journal").collect()
}

#[test]
fn a_ledger_that_cannot_be_used_is_set_aside_and_nothing_is_added_twice() {
    type Damage = fn(&mut Vec<u8>);
    let cases: [(&str, Damage); 5] = [
        ("corrupt", |bytes| bytes.truncate(5000)),
        ("corrupt", |bytes| bytes[4096 + 40] ^= 1),
        ("corrupt", |bytes| bytes[45] ^= 1),
        ("foreign", |bytes| bytes[..8].copy_from_slice(b"SQLite f")),
        ("newer", |bytes| bytes[8] = 2),
    ];
    for (reason, damage) in cases {
        let (directory, agent, mut worker) = after(|directory| {
            let path = directory.path().join("agent/ledger");
            let mut bytes = fs::read(&path).expect("a ledger");
            damage(&mut bytes);
            fs::write(&path, bytes).expect("write it back");
            // Else the last commit would mend what it changed.
            fs::remove_file(directory.path().join("agent/ledger.journal")).expect("a journal");
        });
        let names = set_aside(&directory);
        assert!(names.iter().any(|name| name.contains(reason)), "{reason}: {names:?}");
        worker.send("count 5");
        worker.wait_until_done();
        let scrape = agent.scrape();
        assert_eq!(scrape.value("worker_count_total"), 5.0, "{reason}: nothing twice");
        let metric = format!("ringmeter_ledger_set_aside_total{{reason=\"{reason}\"}}");
        assert_eq!(scrape.value(&metric), 1.0, "{reason}");
        assert_eq!(scrape.value("ringmeter_segments_baselined_total"), 1.0, "{reason}");
        // And the new ledger is as good as any.
        kill(agent);
        let agent = Agent::start(directory.path());
        assert_eq!(agent.scrape().value("worker_count_total"), 5.0, "{reason}");
    }
}

#[test]
fn an_old_copy_of_the_ledger_is_told_by_the_acks() {
    let directory = Directory::new();
    let mut worker = Worker::start(directory.path(), "count --times 100 --lane-cells 0");
    worker.wait_until_done();
    let agent = Agent::start(directory.path());
    assert_eq!(agent.scrape().value("worker_count_total"), 100.0);
    kill(agent);
    let path = directory.path().join("agent/ledger");
    let (old, journal) = (fs::read(&path), fs::read(path.with_extension("journal")));
    worker.send("count 50");
    worker.wait_until_done();
    let agent = Agent::start(directory.path());
    assert_eq!(agent.scrape().value("worker_count_total"), 150.0);
    kill(agent);
    fs::write(&path, old.expect("a ledger")).expect("put the copy back");
    fs::write(path.with_extension("journal"), journal.expect("a journal")).expect("with it");
    worker.send("count 7");
    worker.wait_until_done();
    let agent = Agent::start(directory.path());
    assert!(set_aside(&directory).iter().any(|name| name.contains("stale")));
    assert_eq!(agent.scrape().value("worker_count_total"), 7.0, "the gap is not guessed");
}

#[test]
fn while_the_ledger_cannot_be_written_values_stand_still_and_nothing_is_lost() {
    // The ledger has a file system of its own, which is filled up.
    let (directory, volume) = (Directory::new(), Directory::of_size(1 << 20));
    let ledger = volume.path().join("ledger");
    let arguments = ["--ledger.path", ledger.to_str().expect("UTF-8")];
    let mut worker = Worker::start(directory.path(), "labels --lane-capacity 64");
    worker.wait_until_done();
    let agent = Agent::start_with(directory.path(), &arguments);
    let before = agent.scrape();
    assert_eq!(before.value("ringmeter_ledger_writable"), 1.0);
    let series = before.value("ringmeter_series");
    let filler = volume.path().join("filler");
    let _ = fs::write(&filler, vec![1; 2 << 20]);
    // More definitions than the ledger has room for.
    let mut second = Worker::start(directory.path(), "small --series 400 --threads 2");
    second.wait_until_done();
    worker.send("count 100000");
    worker.wait_until_done();
    std::thread::sleep(Duration::from_millis(300));
    let during = agent.scrape();
    assert_eq!(during.value("ringmeter_ledger_writable"), 0.0);
    assert_eq!(during.get("worker_count_total"), before.get("worker_count_total"));
    assert!(during.sum("worker_labelled_total") >= before.sum("worker_labelled_total"));
    fs::remove_file(&filler).expect("room again");
    std::thread::sleep(Duration::from_millis(600));
    let after = agent.scrape();
    assert_eq!(after.value("ringmeter_ledger_writable"), 1.0);
    assert_eq!(after.value("worker_count_total"), 100_002.0);
    assert!(after.value("ringmeter_series") > series + 400.0);
    kill(agent);
    let agent = Agent::start_with(directory.path(), &arguments);
    assert_eq!(agent.scrape().value("worker_count_total"), 100_002.0);
}
