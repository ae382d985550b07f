//! What the SDK does when the world around it refuses.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::stat::Mode;
use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::process::{binary, wait_until};
use ringmeter_tests::random::Random;
use ringmeter_tests::worker::Worker;

const COUNT: &str = "worker_count_total";

#[test]
fn without_a_directory_it_counts_privately_and_hands_over_when_there_is_one() {
    let directory = Directory::new();
    let late = directory.path().join("late");
    let mut worker = Worker::start(&late, "retry");
    let status = worker.line();
    assert!(status.starts_with("Private") && status.contains("late"), "{status}");
    worker.wait_until_done();
    std::fs::create_dir(&late).expect("the directory appears");
    let agent = Agent::start(&late);
    // The next attempt comes at the 1024th record or before.
    worker.send("count 1024");
    worker.wait_until_done();
    worker.send("status");
    let status = worker.line();
    assert!(status.starts_with("Shared"), "{status}");
    let scrape = agent.scrape();
    assert_eq!(scrape.value(COUNT), 2024.0);
    assert_eq!(scrape.value("worker_level"), 7.0);
    assert_eq!(scrape.value("worker_values_count"), 1.0);
    assert_eq!(scrape.value("worker_values_sum"), 2.0);
    assert_eq!(scrape.value("worker_values_bucket{le=\"2.0\"}"), 1.0);
}

#[test]
fn a_disk_is_refused_with_a_reason() {
    let path = std::env::temp_dir().join(format!("ringmeter-disk-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a directory");
    let is_disk = !ringmeter_layout::directory::is_memory_backed(&path).expect("statfs");
    let mut worker = Worker::start(&path, "count --times 5000");
    let status = worker.line();
    worker.wait_until_done();
    std::fs::remove_dir_all(&path).expect("clean up");
    assert!(!is_disk || (status.contains("Private") && status.contains("tmpfs")), "{status}");
}

#[test]
fn a_read_only_directory_is_refused_with_a_reason() {
    let directory = Directory::of_size(1 << 20);
    let flags = nix::mount::MsFlags::MS_REMOUNT | nix::mount::MsFlags::MS_RDONLY;
    let none: Option<&str> = None;
    nix::mount::mount(none, directory.path(), none, flags, none).expect("remount");
    let mut worker = Worker::start(directory.path(), "count --times 5000");
    let status = worker.line();
    worker.wait_until_done();
    assert!(status.contains("Private"), "{status}");
}

#[test]
fn a_file_size_limit_is_no_signal_and_loses_nothing() {
    let directory = Directory::new();
    for limit_bytes in [0_u64, 70_000, 300_000] {
        let command = under_limit(&binary("worker"), limit_bytes);
        let mut worker = Worker::start_command(command, directory.path(), "count --times 100000");
        worker.wait_until_done();
        worker.send("status");
        let status = worker.line();
        // With 300 kB there is room for everything but a lane: cells do.
        assert_eq!(status.contains("RLIMIT_FSIZE"), limit_bytes < 300_000, "{status}");
        let id = worker.process().id();
        let agent = Agent::start(directory.path());
        let before = agent.scrape().get(COUNT).unwrap_or(0.0);
        let raised =
            Command::new("prlimit").args([&format!("--pid={id}"), "--fsize=unlimited:"]).status();
        assert!(raised.expect("util-linux is there").success());
        // The next attempt comes at the 1024th record or before.
        worker.send("count 1024");
        worker.wait_until_done();
        let already = if limit_bytes < 300_000 { 0.0 } else { 100_000.0 };
        let now = agent.scrape().value(COUNT);
        assert_eq!(now - before, 101_024.0 - already, "under a limit of {limit_bytes} bytes");
        assert!(worker.finish().success(), "{limit_bytes}: {status}");
    }
}

/// The command under `ulimit -Sf`, which counts in units of 1024 bytes.
fn under_limit(program: &std::path::Path, limit_bytes: u64) -> Command {
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(format!("ulimit -Sf {}; exec \"$0\" \"$@\"", limit_bytes / 1024));
    shell.arg(program);
    shell
}

#[test]
fn a_full_tmpfs_harms_nobody_and_is_retried() {
    let directory = Directory::of_size(1 << 20);
    let filler = directory.path().join("filler");
    std::fs::write(&filler, vec![1; 1_000_000]).expect("fill the tmpfs");
    let mut worker = Worker::start(directory.path(), "count --threads 2 --times 100000");
    let status = worker.line();
    assert!(status.contains("Private") && status.contains("file system"), "{status}");
    worker.wait_until_done();
    std::fs::remove_file(&filler).expect("make room");
    let agent = Agent::start(directory.path());
    worker.send("count 1024");
    worker.wait_until_done();
    assert_eq!(agent.scrape().value(COUNT), 201_024.0);
}

#[test]
fn a_tmpfs_that_fills_up_later_harms_nobody_either() {
    // Room for the header, definitions, cells and the first lane, not for eight.
    let directory = Directory::of_size(512 << 10);
    let agent_directory = Directory::new();
    let _ = agent_directory;
    let mut worker = Worker::start(directory.path(), "idle");
    worker.wait_until_done();
    std::fs::write(directory.path().join("filler"), vec![1; 100_000]).expect("take room");
    let mut second = Worker::start(directory.path(), "count --threads 8 --times 100000");
    second.wait_until_done();
    assert!(second.finish().success());
    worker.send("count 100000");
    worker.wait_until_done();
    assert!(worker.finish().success());
}

#[test]
fn beyond_the_segment_limit_a_new_process_counts_privately() {
    let directory = Directory::new();
    let start = || Worker::start(directory.path(), "idle --segments 3");
    let mut workers: Vec<Worker> = (0..3).map(|_| start()).collect();
    assert!(workers.iter_mut().all(|worker| worker.line().starts_with("Shared")));
    let status = start().line();
    assert!(status.contains("Private") && status.contains("3 segments"), "{status}");
    let agent = Agent::start(directory.path());
    drop(workers);
    wait_until("the agent makes room", Duration::from_secs(5), || directory.segments().is_empty());
    assert!(start().line().starts_with("Shared"));
    drop(agent);
}

#[test]
fn the_umask_does_not_lock_the_agent_out() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new();
    let mut shell = Command::new("bash");
    shell.arg("-c").arg("umask 077; exec \"$0\" \"$@\"").arg(binary("worker"));
    let mut worker = Worker::start_command(shell, directory.path(), "idle");
    worker.wait_until_done();
    let segment = directory.segments().pop().expect("a segment");
    let mode = std::fs::metadata(&segment).expect("its mode").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn descriptors_closed_behind_our_back_are_not_used_as_ours() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = Worker::start(directory.path(), "closefrom --threads 8");
    worker.line();
    assert_eq!(worker.line(), "database 0", "the app's own file is untouched");
    worker.wait_until_done();
    let counted = || agent.scrape().value(COUNT);
    wait_until("everything is counted", Duration::from_secs(5), || counted() == 80_001.0);
    // The mapping holds the lock: a process that has closed everything is not dead.
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(directory.segments().len(), 1);
    worker.send("count 10");
    worker.wait_until_done();
    assert_eq!(counted(), 80_011.0);
}

#[test]
fn signal_handlers_may_count() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = Worker::start(directory.path(), "signal --times 30000000");
    worker.line();
    let line = worker.line();
    let handled: f64 =
        line.strip_prefix("handled ").and_then(|n| n.parse().ok()).expect("a number");
    worker.wait_until_done();
    assert!(handled > 0.0, "the handler never ran, so this shows nothing");
    assert_eq!(agent.scrape().value(COUNT), 30_000_000.0 + handled);
}

#[test]
fn what_is_recorded_at_exit_arrives() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = Worker::start(directory.path(), "atexit");
    worker.wait_until_done();
    assert!(worker.finish().success());
    wait_until("the process is gone", Duration::from_secs(5), || directory.segments().is_empty());
    assert_eq!(agent.scrape().value(COUNT), 101.0);
}

#[test]
fn what_has_no_room_may_be_removed_and_comes_back_with_its_total() {
    let directory = Directory::of_size(1 << 20);
    let mut worker = Worker::start(directory.path(), "pending");
    worker.wait_until_done();
    let agent = Agent::start(directory.path());
    let scrape = agent.scrape();
    assert_eq!(scrape.sum("worker_many_count"), 300.0);
    assert_eq!(scrape.value("worker_level"), 1.0);
    assert_eq!(scrape.lost(), 0.0);
}

#[test]
fn gauges_set_while_they_move_into_a_segment_keep_the_last_value() {
    let directory = Directory::new();
    let late = directory.path().join("late");
    for round in 0..5 {
        let mut worker = Worker::start(&late, "handover");
        worker.line();
        assert_eq!(worker.line(), "ready");
        std::fs::create_dir(&late).expect("the directory appears");
        worker.send("go");
        worker.wait_until_done();
        let agent = Agent::start(&late);
        let scrape = agent.scrape();
        for number in 0..2000_u32 {
            let gauge = format!("worker_gauge_{number}");
            assert_eq!(scrape.get(&gauge), Some(8.0), "{gauge} in round {round}");
        }
        drop((agent, worker));
        std::fs::remove_dir_all(&late).expect("clean up");
    }
}

#[test]
fn lanes_and_metrics_made_at_the_same_moment_get_places_of_their_own() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    for round in 1..=20_u32 {
        let mut worker = Worker::start(directory.path(), "grow --threads 128 --lanes 256");
        worker.wait_until_done();
        assert!(worker.finish().success());
        wait_until("it is counted", Duration::from_secs(5), || {
            agent.scrape().value(COUNT) == f64::from(round) * 12_800.0
        });
    }
    let scrape = agent.scrape();
    assert_eq!(scrape.sum("worker_grow_0_0_count"), 20.0);
    assert_eq!(scrape.lost(), 0.0);
}

#[test]
fn an_agent_that_lies_harms_no_app() {
    let directory = Directory::new();
    let mut random = Random::seeded("lying agent");
    let mut worker = Worker::start(directory.path(), "load --threads 2 --lane-capacity 64");
    worker.wait_until_done();
    let agent_path = directory.path().join("agent");
    let acks: Vec<PathBuf> = directory
        .segments()
        .iter()
        .map(|path| agent_path.join(path.with_extension("ack").file_name().expect("a name")))
        .collect();
    assert_eq!(acks.len(), 1);
    // A true one first, so that the app has it open.
    drop(Agent::start(directory.path()));
    for turn in 0..2000 {
        for ack in &acks {
            lie(ack, &mut random, turn);
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    worker.send("stop");
    let line = worker.line();
    let recorded: u64 =
        line.strip_prefix("loaded ").and_then(|n| n.parse().ok()).expect("a number");
    assert!(recorded > 0, "it went on");
    for ack in &acks {
        let _ = std::fs::remove_dir(ack);
        let _ = std::fs::remove_file(ack);
    }
    worker.send("status");
    let status = worker.line();
    assert!(status.starts_with("Shared"), "{status}");
    assert!(worker.finish().success());
}

/// Does to an ack file what no agent of ours does.
fn lie(ack: &Path, random: &mut Random, turn: u32) {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let options = || options.open(ack);
    match random.below(7) {
        0 => drop(options().and_then(|file| file.set_len(random.below(5000) as u64))),
        1 => drop(std::fs::remove_file(ack)),
        2 => drop(std::fs::create_dir(ack)),
        3 => drop(std::fs::remove_dir(ack)),
        4 if turn.is_multiple_of(8) => drop(nix::unistd::mkfifo(ack, Mode::S_IRWXU)),
        5 => drop(std::os::unix::fs::symlink("/dev/zero", ack)),
        _ => {
            let Ok(file) = options() else { return };
            let at = random.below(512) as u64 * 8;
            let word = [random.next(), 0, u64::MAX, 64][random.below(4)];
            // Not into /dev/zero or a pipe: that says nothing of the app.
            if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
                let _ = file.write_all_at(&word.to_le_bytes(), at);
            }
        }
    }
}
