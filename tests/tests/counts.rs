//! Every increment arrives, exactly once, whatever the speed.

use std::time::Duration;

use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::process::wait_until;
use ringmeter_tests::worker::Worker;

const PROCESSES: u32 = 2;
const COUNT: &str = "worker_count_total";
const SPILLED: &str = "ringmeter_records_spilled_total";

/// Two processes of four threads, 10 million increments each.
fn eighty_million(arguments: &str) -> (f64, f64, f64) {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let arguments = format!("count --threads 4 --times 10000000 {arguments}");
    let mut workers: Vec<Worker> =
        (0..PROCESSES).map(|_| Worker::start(directory.path(), &arguments)).collect();
    workers.iter_mut().for_each(Worker::wait_until_done);
    let scrape = agent.scrape();
    (scrape.value(COUNT), scrape.lost(), scrape.sum(SPILLED))
}

#[test]
fn paced_to_what_lanes_carry_the_total_is_exact_and_nothing_is_lost() {
    let (total, lost, spilled) = eighty_million("--lane-cells 0 --rate 1000000");
    println!("paced: total {total}, lost {lost}, spilled {spilled}");
    assert_eq!(total, 80_000_000.0);
    assert_eq!(lost, 0.0);
}

#[test]
fn at_full_speed_with_cells_in_lanes_nothing_spills() {
    let (total, lost, spilled) = eighty_million("--lane-capacity 64");
    println!("full speed, cells in lanes: total {total}, lost {lost}, spilled {spilled}");
    assert_eq!((total, lost), (80_000_000.0, 0.0));
    // Until a thread has its lane; how long that takes depends on who else wants the processor.
    assert!(spilled < 800_000.0, "{spilled} spilled of 80,000,000");
}

#[test]
fn at_full_speed_with_small_lanes_the_total_is_exact_as_well() {
    let (total, lost, spilled) = eighty_million("--lane-cells 0 --lane-capacity 64");
    println!("full speed: total {total}, lost {lost}, spilled {spilled}");
    assert!(spilled > 0.0, "lanes of 64 records at full speed overflow, or the test shows nothing");
    assert_eq!(total + lost, 80_000_000.0);
    assert_eq!(lost, 0.0);
}

#[test]
fn a_steady_million_a_second_on_two_threads_loses_nothing() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let arguments = "count --lane-cells 0 --threads 2 --times 5000000 --rate 1000000";
    let mut worker = Worker::start(directory.path(), arguments);
    worker.wait_until_done();
    let scrape = agent.scrape();
    // How much takes the slow path depends on the machine's other work: reported, not asserted.
    println!("steady: spilled {}", scrape.sum(SPILLED));
    assert_eq!(scrape.value(COUNT), 10_000_000.0);
    assert_eq!(scrape.lost(), 0.0);
}

#[test]
fn a_scrape_contains_all_that_was_recorded_before_it_was_asked_for() {
    // Counted in cells of lanes, and as records.
    ["idle", "idle --lane-cells 0"].into_iter().for_each(scrapes_contain_all);
}

fn scrapes_contain_all(arguments: &str) {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = Worker::start(directory.path(), arguments);
    worker.wait_until_done();
    let mut expected = 0.0;
    for round in 1..=200_u32 {
        worker.send(&format!("count {round}"));
        worker.wait_until_done();
        expected += f64::from(round);
        assert_eq!(agent.scrape().value(COUNT), expected, "in round {round}");
    }
}

#[test]
fn short_lived_threads_share_a_handful_of_lanes() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = Worker::start(directory.path(), "churn --threads 100000");
    worker.wait_until_done();
    let scrape = agent.scrape();
    assert_eq!(scrape.value(COUNT), 100_000.0);
    let lanes = scrape.sum("ringmeter_lanes");
    assert!((1.0..=4.0).contains(&lanes), "{lanes} lanes for threads one after the other");
}

#[test]
fn a_thousand_forks_under_load_keep_both_sides_exact() {
    for raw in ["", "--raw"] {
        let directory = Directory::new();
        let agent = Agent::start(directory.path());
        let arguments = format!("fork --forks 1000 --threads 8 --times 100 {raw}");
        let mut worker = Worker::start(directory.path(), &arguments);
        worker.line();
        let counted: f64 = worker
            .line()
            .strip_prefix("counted ")
            .and_then(|number| number.parse().ok())
            .expect("what the parent's threads counted");
        worker.wait_until_done();
        let scrape = agent.scrape();
        assert_eq!(scrape.value(COUNT), counted, "the parent's threads {raw}");
        assert_eq!(scrape.value("worker_forks_total"), 1000.0);
        assert_eq!(scrape.value("worker_child_total"), 100_000.0, "the children {raw}");
        assert_eq!(scrape.lost(), 0.0);
    }
}

#[test]
fn a_small_service_takes_less_than_a_mebibyte() {
    let directory = Directory::new();
    let mut worker = Worker::start(directory.path(), "small --threads 8 --series 100");
    worker.wait_until_done();
    let used = directory.used_bytes();
    println!("8 threads and 100 series: {used} bytes");
    assert!(used < 1 << 20, "{used} bytes");
}

#[test]
fn a_dead_producer_is_counted_to_its_last_record_and_then_removed() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    for killed in 1..=5_u32 {
        let cells = if killed % 2 == 0 { "" } else { " --lane-cells 0" };
        let arguments = format!("count --threads 2 --times 123456{cells}");
        let mut worker = Worker::start(directory.path(), &arguments);
        worker.wait_until_done();
        worker.process().signal(nix::sys::signal::Signal::SIGKILL);
        drop(worker);
        wait_until("the segment is removed", Duration::from_secs(5), || {
            directory.segments().is_empty()
        });
        assert_eq!(agent.scrape().value(COUNT), f64::from(killed) * 246_912.0);
    }
}
