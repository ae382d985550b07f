//! The agent's life: health, readiness, bad configuration, a second agent, the end.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringmeter_tests::agent::{Agent, get, request};
use ringmeter_tests::directory::Directory;
use ringmeter_tests::process::{binary, wait_until};
use ringmeter_tests::worker::Worker;

#[test]
fn health_and_readiness_answer_get_and_head_and_nothing_else() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    for path in ["/", "/metrics", "/-/healthy", "/-/ready"] {
        assert_eq!(request(agent.address(), "GET", path).expect("answer").status, 200, "{path}");
        let head = request(agent.address(), "HEAD", path).expect("answer");
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        let post = request(agent.address(), "POST", path).expect("answer");
        assert_eq!(post.status, 405, "{path}");
        assert!(post.head.to_lowercase().contains("allow: get, head"), "{}", post.head);
    }
    assert_eq!(get(agent.address(), "/nothing").expect("answer").status, 404);
    let metrics = get(agent.address(), "/metrics").expect("answer");
    let content_type = "content-type: text/plain; version=0.0.4; charset=utf-8";
    assert!(metrics.head.to_lowercase().contains(content_type), "{}", metrics.head);
}

#[test]
fn bad_configuration_ends_with_64_and_says_what_to_do() {
    let output = |arguments: &[&str]| {
        let mut command = Command::new(binary("ringmeter"));
        command.arg("agent").args(arguments).env_remove("RINGMETER_DIR");
        let output = command.output().expect("run the agent");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, words) = output(&["--no-such-flag"]);
    assert_eq!(code, Some(64), "{words}");
    let (code, words) = output(&[
        "--web.listen-address",
        "nowhere",
        "--web.telemetry-path",
        "metrics",
        "--web.shutdown-linger",
        "soon",
    ]);
    assert_eq!(code, Some(64), "{words}");
    for setting in ["web.listen-address", "web.telemetry-path", "web.shutdown-linger"] {
        assert!(words.contains(setting), "all problems at once: {words}");
    }
}

#[test]
fn a_second_agent_on_the_same_directory_says_so_and_ends() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let output = Command::new(binary("ringmeter"))
        .args(["agent", "--web.listen-address", "127.0.0.1:0", "--dir"])
        .arg(directory.path())
        .output()
        .expect("run a second agent");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.to_lowercase().contains("another agent"), "{words}");
    assert_eq!(get(agent.address(), "/-/healthy").expect("the first lives").status, 200);
}

#[test]
fn a_taken_port_is_a_failed_start() {
    let directory = Directory::new();
    let other = Directory::new();
    let agent = Agent::start(directory.path());
    let output = Command::new(binary("ringmeter"))
        .args(["agent", "--web.listen-address", &agent.address().to_string(), "--dir"])
        .arg(other.path())
        .output()
        .expect("run a second agent");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains(&agent.address().port().to_string()), "{words}");
}

#[test]
fn at_sigterm_the_last_values_are_served_once_and_then_it_ends() {
    let directory = Directory::new();
    let mut agent = Agent::start(directory.path());
    let mut worker = Worker::start(directory.path(), "count --times 777");
    worker.wait_until_done();
    assert!(worker.finish().success());
    agent.process().signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(agent.scrape().value("worker_count_total"), 777.0);
    let start = Instant::now();
    assert_eq!(agent.process().wait(Duration::from_secs(10)).code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "one scrape ends the linger");
}

#[test]
fn without_a_scrape_the_linger_ends_it_and_a_second_signal_at_once() {
    let directory = Directory::new();
    let arguments = ["--web.shutdown-linger", "1s"];
    let mut agent = Agent::start_with(directory.path(), &arguments);
    agent.process().signal(Signal::SIGTERM);
    assert_eq!(agent.process().wait(Duration::from_secs(10)).code(), Some(0));
    let mut agent = Agent::start(directory.path());
    agent.process().signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    agent.process().signal(Signal::SIGTERM);
    assert_eq!(agent.process().wait(Duration::from_secs(10)).code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "well before the linger of 20 s");
}

#[test]
fn the_agent_may_start_after_its_producers_and_be_killed_and_restarted() {
    let directory = Directory::new();
    let mut worker = Worker::start(directory.path(), "count --threads 4 --times 100000");
    worker.wait_until_done();
    let mut agent = Agent::start(directory.path());
    assert_eq!(agent.scrape().value("worker_count_total"), 400_000.0);
    agent.process().signal(Signal::SIGKILL);
    let _: std::process::ExitStatus = agent.process().wait(Duration::from_secs(5));
    worker.send("count 1000");
    worker.wait_until_done();
    let agent = Agent::start(directory.path());
    assert_eq!(agent.scrape().value("worker_count_total"), 401_000.0, "totals go on");
}

#[test]
fn version_and_help_are_there() {
    let output =
        Command::new(binary("ringmeter")).arg("--version").output().expect("run the agent");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    let output = Command::new(binary("ringmeter")).arg("--help").output().expect("run the agent");
    assert!(output.status.success());
}

#[test]
fn a_directory_that_comes_later_is_found() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    assert!(!directory.path().join("segments").exists(), "the agent makes only its own");
    let mut worker = Worker::start(directory.path(), "count --times 5");
    worker.wait_until_done();
    wait_until("the segment is found", Duration::from_secs(3), || {
        agent.scrape().get("worker_count_total") == Some(5.0)
    });
}

#[test]
fn more_segments_than_descriptors_wait_for_their_turn() {
    const PROCESSES: usize = 40;
    let directory = Directory::new();
    let mut workers: Vec<Worker> =
        (0..PROCESSES).map(|_| Worker::start(directory.path(), "count --times 1000")).collect();
    workers.iter_mut().for_each(Worker::wait_until_done);
    // Two descriptors a segment: there are enough for half of them.
    let mut command = Command::new("bash");
    command.arg("-c").arg("ulimit -n 56; exec \"$0\" \"$@\"").arg(binary("ringmeter"));
    let agent = Agent::start_command(command, directory.path());
    let some = agent.scrape().value("worker_count_total");
    assert!((5_000.0..PROCESSES as f64 * 1000.0).contains(&some), "{some} of some");
    workers.iter_mut().for_each(|worker| worker.send("count 500"));
    workers.iter_mut().for_each(Worker::wait_until_done);
    for worker in workers.drain(PROCESSES / 4..) {
        assert!(worker.finish().success());
    }
    wait_until("the others have had their turn", Duration::from_secs(20), || {
        agent.scrape().value("worker_count_total") >= PROCESSES as f64 * 1500.0
    });
    let scrape = agent.scrape();
    assert_eq!(scrape.value("worker_count_total"), PROCESSES as f64 * 1500.0);
    assert_eq!(scrape.lost(), 0.0);
}
