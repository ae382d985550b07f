//! Agent and example service in real containers, as a pod runs them: different users, separate
//! process tables, read-only roots, memory limits, memory volumes with a group for both.
//!
//! `make containers` builds the images and runs this; it needs root. What only a kubelet does
//! (probes, restarts, `fsGroup` itself) is in `kubelet.rs`.
#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::net::SocketAddr;
use std::os::linux::fs::MetadataExt;
use std::time::Duration;

use ringmeter_tests::agent::{free_address, get};
use ringmeter_tests::container::{Container, MemoryVolume};
use ringmeter_tests::exposition::Scrape;
use ringmeter_tests::process::wait_until;
use ringmeter_tests::prometheus::Prometheus;

#[path = "containers/images.rs"]
mod images;
#[path = "containers/limits.rs"]
mod limits;
#[path = "containers/sizes.rs"]
mod sizes;

/// The image of the agent, and that of the example service.
const AGENT_IMAGE: &str = "localhost/ringmeter:test";
const APP_IMAGE: &str = "localhost/ringmeter-http-service:test";
/// More than any of the tests needs.
const VOLUME_BYTES: u64 = 16 << 20;
const AGENT_USER: &str = "--user=65532:65532";
const APP_USER: &str = "--user=65533:65533";

/// The volumes of a pod.
enum Volumes {
    /// One for segments, one for the agent's files: each read-only on the other side.
    Hardened { segments: MemoryVolume, agent: MemoryVolume },
    /// One for both.
    Simple(MemoryVolume),
}

impl Volumes {
    fn hardened() -> Self {
        let new = || MemoryVolume::new(VOLUME_BYTES);
        Self::Hardened { segments: new(), agent: new() }
    }

    fn simple() -> Self {
        Self::Simple(MemoryVolume::new(VOLUME_BYTES))
    }

    fn flags(&self, is_agent: bool) -> Vec<String> {
        let (of_segments, of_agent) = if is_agent { ("ro", "rw") } else { ("rw", "ro") };
        match self {
            Self::Hardened { segments, agent } => vec![
                segments.at("/run/ringmeter/segments", of_segments),
                agent.at("/run/ringmeter/agent", of_agent),
            ],
            Self::Simple(both) => vec![both.at("/run/ringmeter", "rw")],
        }
    }
}

/// A pod: its volumes, and where its two containers listen.
struct Pod {
    volumes: Volumes,
    agent: SocketAddr,
    app: SocketAddr,
}

impl Pod {
    fn new(volumes: Volumes) -> Self {
        Self { volumes, agent: free_address(), app: free_address() }
    }

    fn start_agent(&self) -> Container {
        self.start_agent_with(&["--memory=64m"])
    }

    fn start_agent_with(&self, more: &[&str]) -> Container {
        let variable = format!("--env=RINGMETER_WEB_LISTEN_ADDRESS={}", self.agent);
        let volumes = self.volumes.flags(true);
        let mut flags = vec![AGENT_USER, variable.as_str()];
        flags.extend(volumes.iter().map(String::as_str));
        flags.extend(more);
        let container = Container::start("agent", &flags, &[AGENT_IMAGE]);
        container.wait_until_answers(self.agent, "/-/ready");
        container
    }

    fn start_app(&self) -> Container {
        self.start_app_with(&["--memory=64m"])
    }

    fn start_app_with(&self, more: &[&str]) -> Container {
        let volumes = self.volumes.flags(false);
        let mut flags = vec![APP_USER, "--env=RINGMETER_SERVICE=http-service"];
        flags.extend(volumes.iter().map(String::as_str));
        flags.extend(more);
        let listen = self.app.to_string();
        let container = Container::start("app", &flags, &[APP_IMAGE, "--listen", &listen]);
        container.wait_until_answers(self.app, "/items/1");
        container
    }

    /// Requests that are answered; as many as are counted under this route.
    fn request(&self, count: u32) {
        for number in 0..count {
            let path = format!("/work?ms=0&units={number}");
            let answer = get(self.app, &path).expect("the service answers");
            assert_eq!(answer.status, 200);
        }
    }

    fn scrape(&self) -> Scrape {
        Scrape::parse(&get(self.agent, "/metrics").expect("the agent answers").body)
    }
}

/// Requests of `Pod::request`, as Prometheus has them.
const REQUESTS: &str = "sum(http_requests_total{route=\"/work\"})";
const UNITS: &str = "app_work_units_count";

/// Kills, restarts and the end, each with exact totals in a real server.
fn survives_everything(volumes: Volumes) {
    let pod = Pod::new(volumes);
    let agent = pod.start_agent();
    let app = pod.start_app();
    let server = Prometheus::start(pod.agent);
    let expect = |total: f64| {
        server.wait_for(REQUESTS, total);
        server.wait_for(UNITS, total);
    };
    assert_eq!(agent.exec(&["/ringmeter", "healthcheck"]), (true, String::new()));
    pod.request(100);
    expect(100.0);

    agent.kill();
    pod.request(50);
    agent.restart();
    agent.wait_until_answers(pod.agent, "/-/ready");
    expect(150.0);

    app.kill();
    app.restart();
    app.wait_until_answers(pod.app, "/items/1");
    pod.request(50);
    expect(200.0);
    assert_eq!(server.query("max_over_time(resets(app_work_units_count[5m])[1m:1s])"), Some(0.0));

    // As a native sidecar is ended: the application first, the agent when that is gone.
    pod.request(30);
    app.signal("TERM");
    assert_eq!(app.wait(), "0");
    agent.signal("TERM");
    assert_eq!(agent.wait(), "0", "{}", agent.log());
    assert!(agent.log().contains("final values served"), "{}", agent.log());
    let last = format!("last_over_time({UNITS}[5m])");
    server.wait_for(&last, 230.0);
}

#[test]
fn the_hardened_pod_survives_everything() {
    survives_everything(Volumes::hardened());
}

#[test]
fn the_simple_pod_survives_everything() {
    survives_everything(Volumes::simple());
}

#[test]
fn an_app_that_is_killed_for_memory_is_counted_to_its_last_call() {
    let pod = Pod::new(Volumes::hardened());
    let agent = pod.start_agent();
    let app = limits::job(&pod, "hog --times 100000");
    assert_eq!(app.wait(), "137", "{}", app.log());
    assert!(app.was_killed_for_memory());
    wait_for(&pod, "all is there", |scrape| {
        scrape.value("worker_count_total") == 100_000.0
            && scrape.value("worker_values_count") == 100_000.0
    });
    drop(agent);
}

/// A pod that ends without grace, or with its node: its volumes are gone, what was scraped is not.
#[test]
fn what_was_scraped_outlives_a_pod_that_is_lost() {
    let mut pod = Pod::new(Volumes::hardened());
    let (agent, app) = (pod.start_agent(), pod.start_app());
    let server = Prometheus::start(pod.agent);
    pod.request(40);
    server.wait_for(UNITS, 40.0);
    drop((agent, app));
    pod.volumes = Volumes::hardened();
    let (agent, app) = (pod.start_agent(), pod.start_app());
    pod.request(10);
    server.wait_for(UNITS, 10.0);
    // As with any process that begins anew: one reset, and both parts are counted.
    assert_eq!(server.query(&format!("max_over_time({UNITS}[5m])")), Some(40.0));
    assert_eq!(server.query(&format!("resets({UNITS}[5m])")), Some(1.0));
    drop((agent, app));
}

#[test]
fn an_app_that_starts_first_loses_nothing() {
    let pod = Pod::new(Volumes::hardened());
    let app = pod.start_app();
    pod.request(100);
    let agent = pod.start_agent();
    let server = Prometheus::start(pod.agent);
    server.wait_for(REQUESTS, 100.0);
    pod.request(20);
    server.wait_for(REQUESTS, 120.0);
    assert_eq!(pod.scrape().lost(), 0.0);
    // Without an agent the check says no, and why.
    agent.kill();
    let url = format!("http://{}", pod.agent);
    let flags = ["run", "--rm", "--network=host", AGENT_IMAGE, "healthcheck", "--url", &url];
    let output = ringmeter_tests::container::podman(&flags);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot connect"), "{said}");
    drop(app);
}

#[test]
fn neither_side_can_write_the_volume_of_the_other() {
    let pod = Pod::new(Volumes::hardened());
    let (agent, app) = (pod.start_agent(), pod.start_app());
    pod.request(1);
    let _ = pod.scrape();
    // Tried as root, which no mode stops: through the mounts of either container.
    for (container, foreign, own) in [(&app, "agent", "segments"), (&agent, "segments", "agent")] {
        let shared = container.root().join("run/ringmeter");
        let is_file = |path: &std::path::PathBuf| path.is_file();
        let entries = std::fs::read_dir(shared.join(foreign)).expect("readable").flatten();
        let file = entries.map(|entry| entry.path()).find(is_file).expect("a file");
        let refused = nix::errno::Errno::EROFS as i32;
        let write = std::fs::OpenOptions::new().write(true).open(&file).expect_err("read-only");
        assert_eq!(write.raw_os_error(), Some(refused), "{}", file.display());
        let unlink = std::fs::remove_file(&file).expect_err("read-only");
        assert_eq!(unlink.raw_os_error(), Some(refused));
        let create = std::fs::write(shared.join(foreign).join("x"), "x").expect_err("read-only");
        assert_eq!(create.raw_os_error(), Some(refused));
        std::fs::write(shared.join(own).join("x"), "x").expect("its own volume");
        std::fs::remove_file(shared.join(own).join("x")).expect("its own volume");
    }
    // One tmpfs on both sides, and neither is the other's process table or user.
    for name in ["segments", "agent"] {
        let device = |container: &Container| {
            let path = container.root().join("run/ringmeter").join(name);
            let kind = nix::sys::statfs::statfs(&path).expect("statfs").filesystem_type();
            assert_eq!(kind, nix::sys::statfs::TMPFS_MAGIC);
            path.metadata().expect("stat").st_dev()
        };
        assert_eq!(device(&agent), device(&app));
    }
    let of = |container: &Container| {
        let id = container.process_id();
        let namespace = std::fs::read_link(format!("/proc/{id}/ns/pid")).expect("its namespace");
        (namespace, std::fs::metadata(format!("/proc/{id}")).expect("it runs").st_uid())
    };
    let ((agent_namespace, agent_user), (app_namespace, app_user)) = (of(&agent), of(&app));
    assert_ne!(agent_namespace, app_namespace);
    assert_eq!((agent_user, app_user), (65532, 65533));
}

#[test]
fn a_job_completes_with_its_last_values_delivered() {
    let pod = Pod::new(Volumes::hardened());
    let agent = pod.start_agent();
    let server = Prometheus::start(pod.agent);
    server.wait_for("up", 1.0);
    let job = limits::job(&pod, "count --times 1000000 --threads 2");
    assert_eq!(job.wait(), "0", "{}", job.log());
    // As a kubelet does with a native sidecar when the last ordinary container has ended.
    agent.signal("TERM");
    assert_eq!(agent.wait(), "0", "{}", agent.log());
    assert!(agent.log().contains("final values served"), "{}", agent.log());
    server.wait_for("last_over_time(worker_count_total[5m])", 2_000_000.0);
}

/// Waits until a scrape says so.
fn wait_for(pod: &Pod, what: &str, condition: impl Fn(&Scrape) -> bool) {
    wait_until(what, Duration::from_secs(30), || condition(&pod.scrape()));
}
