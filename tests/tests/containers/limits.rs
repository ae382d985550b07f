//! Memory limits that are too small: said, and nobody is killed.

use std::time::Duration;

use ringmeter_tests::container::Container;
use ringmeter_tests::exposition::Scrape;
use ringmeter_tests::process::wait_until;

use super::{AGENT_IMAGE, Pod, Volumes, wait_for};

const LIMIT_BYTES: u64 = 8 << 20;

/// Applications that themselves take more and more of one limit: at first there is room for the
/// whole segment, then for a part of it, then for none.
#[test]
fn an_app_without_room_for_a_segment_says_so_and_goes_on() {
    let pod = Pod::new(Volumes::hardened());
    let agent = pod.start_agent();
    let limit = format!("--memory={LIMIT_BYTES}");
    let mut refused = 0;
    for ballast_bytes in (4 << 20..=LIMIT_BYTES - (1 << 20)).step_by(512 << 10) {
        let arguments = format!("count --times 1000 --ballast {ballast_bytes}");
        let app =
            worker_with(&pod, &[&limit, &limit.replace("--memory", "--memory-swap")], &arguments);
        let ended = || app.log().contains("done") || app.inspect("{{.State.Running}}") != "true";
        wait_until("it has counted", Duration::from_secs(30), ended);
        let log = app.log();
        assert!(!app.was_killed_for_memory(), "with a ballast of {ballast_bytes}: {log}");
        assert!(log.contains("done"), "{log}");
        if log.contains("Private") {
            assert!(log.contains("memory limit leaves"), "{log}");
            assert!(log.contains("raise the container's memory limit"), "{log}");
            refused += 1;
        }
    }
    assert!(refused > 0, "no ballast was enough");
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

fn worker_with(pod: &Pod, more: &[&str], arguments: &str) -> Container {
    let program = std::env::var("RINGMETER_TEST_STATIC_WORKER").expect("make containers sets it");
    let mount = format!("--volume={program}:/worker:ro");
    let volumes = pod.volumes.flags(false);
    let mut flags = vec![super::APP_USER, "--interactive", mount.as_str()];
    flags.extend(["--entrypoint=/worker", "--env=RINGMETER_SERVICE=worker"]);
    flags.extend(volumes.iter().map(String::as_str));
    flags.extend(more);
    let words: Vec<&str> = arguments.split(' ').collect();
    let command: Vec<&str> = [AGENT_IMAGE].into_iter().chain(words).collect();
    Container::start("worker", &flags, &command)
}
