//! Memory limits that are too small: said, and nobody is killed.

use std::time::Duration;

use ringmeter_tests::container::Container;
use ringmeter_tests::exposition::Scrape;
use ringmeter_tests::process::wait_until;

use super::{AGENT_IMAGE, Pod, Volumes, wait_for};

const LIMIT_BYTES: u64 = 8 << 20;
const THREADS: u32 = 8;
const TIMES: u32 = 100;

/// Applications that themselves take more and more of one limit: at first there is room for the
/// whole segment, then for a part of its lanes, then for none.
#[test]
fn an_app_without_room_for_a_segment_says_so_and_goes_on() {
    let pod = Pod::new(Volumes::hardened());
    let agent = pod.start_agent();
    let limit = format!("--memory={LIMIT_BYTES}");
    let limits = [limit.as_str(), &limit.replace("--memory", "--memory-swap")];
    let [mut whole, mut without_lanes, mut private] = [0_u32; 3];
    // In steps of a quarter of what the lanes take, 256 KiB each; to where threads and program
    // still have the room that they need without any segment.
    for ballast_bytes in (9 << 18..=LIMIT_BYTES - (7 << 18)).step_by(512 << 10) {
        let lanes = format!("lanes --threads {THREADS} --times {TIMES} --lane-capacity 16384");
        let arguments = format!("{lanes} --ballast {ballast_bytes}");
        let app = worker_with(&pod, &limits, &arguments);
        let ended = || app.log().contains("done") || app.inspect("{{.State.Running}}") != "true";
        wait_until("it has counted", Duration::from_secs(30), ended);
        let log = app.log();
        assert!(!app.was_killed_for_memory(), "with a ballast of {ballast_bytes}: {log}");
        assert!(log.contains("done"), "{log}");
        // Of two lines the one that was written while all threads lived.
        let status = log.lines().rfind(|line| *line != "done").expect("how things stand");
        // The segment, or in it the room for the histogram.
        let is_private = status.contains("Private") || status.contains("pending: Some");
        let kind = match (is_private, status.contains("no_lane: Some")) {
            (true, _) => &mut private,
            (false, true) => &mut without_lanes,
            (false, false) => &mut whole,
        };
        *kind += 1;
        if is_private || status.contains("no_lane: Some") {
            assert!(status.contains("memory limit leaves"), "{status}");
            assert!(status.contains("raise the container's memory limit"), "{status}");
        }
    }
    println!("whole {whole}, without lanes {without_lanes}, private {private}");
    assert!(whole > 0 && without_lanes > 0 && private > 0, "not every ballast was tried");
    // What has no lane is counted all the same.
    let counted = f64::from((whole + without_lanes) * THREADS * TIMES);
    wait_for(&pod, "all is there", |scrape| scrape.value("worker_values_count") == counted);
    drop(agent);
}

#[test]
fn an_agent_without_room_says_so_and_nothing_is_lost_when_it_gets_some() {
    let pod = Pod::new(Volumes::hardened());
    let small = pod.start_agent_with(&["--memory=8m", "--memory-swap=8m"]);
    assert!(small.log().contains("memory limit of this container is too small"), "{}", small.log());
    let app = worker(&pod, "wide --series 20000");
    let waits = |scrape: &Scrape| {
        let of = |reason| format!("ringmeter_segments_quarantined{{reason=\"{reason}\"}}");
        scrape.value(&of("memory")) + scrape.value(&of("starved")) == 1.0
    };
    wait_for(&pod, "it waits", waits);
    assert!(!small.was_killed_for_memory());
    assert_eq!(small.inspect("{{.State.Running}}"), "true");
    drop(small);
    let large = pod.start_agent();
    wait_for(&pod, "all is there", |scrape| scrape.sum("worker_wide_total") == 20_000.0);
    drop((app, large));
}

/// The worker of the other tests in the agent's image, which has everything that a static program
/// needs: nothing.
pub(super) fn worker(pod: &Pod, arguments: &str) -> Container {
    worker_with(pod, &["--memory=128m"], arguments)
}

/// As [`worker`], but it ends when it has done its work.
pub(super) fn job(pod: &Pod, arguments: &str) -> Container {
    start_worker(pod, &["--memory=64m", "--memory-swap=64m"], arguments)
}

/// It lives as long as its input is open.
fn worker_with(pod: &Pod, more: &[&str], arguments: &str) -> Container {
    let flags: Vec<&str> = more.iter().copied().chain(["--interactive"]).collect();
    start_worker(pod, &flags, arguments)
}

fn start_worker(pod: &Pod, more: &[&str], arguments: &str) -> Container {
    let program = std::env::var("RINGMETER_TEST_STATIC_WORKER").expect("make containers sets it");
    let mount = format!("--volume={program}:/worker:ro");
    let volumes = pod.volumes.flags(false);
    let mut flags = vec![super::APP_USER, mount.as_str()];
    flags.extend(["--entrypoint=/worker", "--env=RINGMETER_SERVICE=worker"]);
    flags.extend(volumes.iter().map(String::as_str));
    flags.extend(more);
    let words: Vec<&str> = arguments.split(' ').collect();
    let command: Vec<&str> = [AGENT_IMAGE].into_iter().chain(words).collect();
    Container::start("worker", &flags, &command)
}
