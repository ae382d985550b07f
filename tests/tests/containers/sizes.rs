//! `ringmeter size` against what running containers take.

use ringmeter_tests::container::{Container, MemoryVolume, podman_ok};

use super::limits::worker;
use super::{AGENT_IMAGE, Pod, Volumes, wait_for};

/// A number of what `ringmeter size --output json` says.
fn size(arguments: &[&str], name: &str) -> f64 {
    let command = ["run", "--rm", "--network=none", AGENT_IMAGE, "size", "--output", "json"];
    let json = podman_ok(&command.iter().chain(arguments).copied().collect::<Vec<_>>());
    let after = json.split_once(&format!("\"{name}\":")).expect(name).1;
    after.split([',', '}']).next().and_then(|text| text.parse().ok()).expect(name)
}

/// What of a program is resident, by the name of a line in its `/proc/<pid>/status`.
fn resident_bytes(container: &Container, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.process_id()));
    let status = status.expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a size");
    let kibibytes = line.trim_start_matches(':').split_whitespace().next();
    let kibibytes: f64 = kibibytes.and_then(|number| number.parse().ok()).expect("kB");
    kibibytes * 1024.0
}

/// The agent's resident memory, with the released program: the one that `make check` builds is
/// larger, so the part that is the program's own pages is taken from the calculation then.
#[expect(clippy::print_stdout, reason = "the figures are worth keeping")]
fn resident_as_released_bytes(agent: &Container, arguments: &[&str]) -> f64 {
    let (all, own) = (resident_bytes(agent, "VmRSS"), resident_bytes(agent, "RssFile"));
    if std::env::var("CONTAINERS_PROFILE").is_ok_and(|profile| profile == "release") {
        println!("pages of the program: {own}");
        return all;
    }
    all - own + size(arguments, "agent_program_bytes")
}

#[expect(clippy::print_stdout, reason = "the figures are worth keeping")]
fn assert_close(what: &str, calculated: f64, measured: f64) {
    println!("{what}: calculated {calculated}, measured {measured}");
    let ratio = calculated / measured;
    assert!((0.9..=1.1).contains(&ratio), "{what}: {calculated} for {measured}");
}

fn used(volumes: &Volumes) -> (f64, f64) {
    let bytes = |volume: &MemoryVolume| volume.used_bytes() as f64;
    match volumes {
        Volumes::Hardened { segments, agent } => (bytes(segments), bytes(agent)),
        Volumes::Simple(both) => (bytes(both), 0.0),
    }
}

fn compare(pod: &Pod, agent: &Container, arguments: &[&str]) {
    // A scrape or two, so that texts are rendered and buffers have their size.
    for _ in 0..3 {
        let _ = pod.scrape();
    }
    let (segments, of_agent) = used(&pod.volumes);
    let calculated = size(arguments, "segments_used_bytes");
    assert_close("segments", calculated, segments);
    let both = calculated + size(arguments, "agent_used_bytes");
    assert_close("all of tmpfs", both, segments + of_agent);
    let measured = resident_as_released_bytes(agent, arguments);
    assert_close("resident", size(arguments, "agent_rss_bytes"), measured);
    assert!(segments <= size(arguments, "segments_volume_bytes"));
    assert!(of_agent <= size(arguments, "agent_volume_bytes"));
    assert_eq!(pod.scrape().value("ringmeter_memory_refusals_total"), 0.0, "the limit is enough");
}

#[test]
fn sizes_are_right_for_the_example_service() {
    let pod = Pod::new(Volumes::hardened());
    let (agent, app) = (pod.start_agent(), pod.start_app());
    pod.request(300);
    wait_for(&pod, "it is counted", |scrape| scrape.value("app_work_units_count") == 300.0);
    // Two workers and the calibration; series as the service registers them,
    // overflow series included.
    let arguments = [
        "--threads=3",
        "--counters=4",
        "--gauges=2",
        "--histograms=4",
        "--bounds=19",
        "--summaries=1",
        "--metrics=7",
    ];
    compare(&pod, &agent, &arguments);
    drop(app);
}

#[test]
fn sizes_are_right_for_ten_thousand_counters_of_two_processes() {
    let pod = Pod::new(Volumes::hardened());
    let limit = format!("--memory={}", size(&COUNTERS, "agent_limit_bytes"));
    let agent = pod.start_agent_with(&[&limit]);
    let apps = [worker(&pod, "wide --series 10000"), worker(&pod, "wide --series 10000")];
    wait_for(&pod, "it is counted", |scrape| scrape.sum("worker_wide_total") == 20_000.0);
    compare(&pod, &agent, &COUNTERS);
    drop(apps);
}

/// What those two processes are, in the words of `ringmeter size`.
const COUNTERS: [&str; 8] = [
    "--processes=2",
    "--threads=1",
    "--counters=10001",
    "--gauges=0",
    "--histograms=0",
    "--summaries=0",
    "--metrics=1",
    "--label-bytes=4",
];
