//! The pod of `deploy/kubernetes/ordinary-container.yaml` on a real kubelet: memory volumes of
//! their sizes, `fsGroup`, probes, restarts, each with exact totals in a real server.
//!
//! `make kubelet` builds the kubelet and runs this in namespaces of its own. It is kubelet 1.20,
//! which needs no API server for static pods, and does not know native sidecars: their order is
//! that of `containers.rs`.
#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::net::SocketAddr;
use std::os::linux::fs::MetadataExt;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringmeter_tests::agent::get;
use ringmeter_tests::container::FS_GROUP;
use ringmeter_tests::process::wait_until;
use ringmeter_tests::prometheus::Prometheus;

#[path = "kubelet/node.rs"]
mod node;
#[path = "kubelet/pod.rs"]
mod pod;

use node::{Node, Running};

const AGENT: &str = "ringmeter";
const APP: &str = "app";
/// Restarts wait: 10 s, 20 s, 40 s; probes and clean-up have their periods.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where both listen: the pod is in the network of its node, which is a loopback only.
const AGENT_ADDRESS: &str = "127.0.0.1:19310";
const APP_ADDRESS: &str = "127.0.0.1:8080";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn answers(at: &str, path: &str) -> bool {
    get(address(at), path).is_some_and(|answer| answer.status == 200)
}

fn request(count: u32) {
    for number in 0..count {
        let path = format!("/work?ms=0&units={number}");
        let answer = get(address(APP_ADDRESS), &path).expect("the service answers");
        assert_eq!(answer.status, 200);
    }
}

/// Waits until a container runs that was restarted so often, and both answer.
fn wait_for_restarts(node: &Node, name: &str, count: u64) {
    wait_until(&format!("{name} is restarted {count} times"), PATIENCE, || {
        node.container(name).is_some_and(|it| it.restarts == count && it.is_ready)
            && answers(AGENT_ADDRESS, "/-/ready")
            && answers(APP_ADDRESS, "/items/1")
    });
}

fn signal(container: &Running, signal: Signal) {
    kill(Pid::from_raw(container.process_id), signal).expect("signal a container's process");
}

const REQUESTS: &str = "sum(http_requests_total{route=\"/work\"})";
const UNITS: &str = "app_work_units_count";

#[test]
fn the_pod_keeps_its_totals_on_a_real_kubelet() {
    let node = Node::start();
    node.run(&pod::manifest());
    wait_for_restarts(&node, AGENT, 0);
    wait_for_restarts(&node, APP, 0);
    volumes_and_users_are_as_asked_for(&node);

    let server = Prometheus::start(address(AGENT_ADDRESS));
    let expect = |total: f64| {
        server.wait_for(REQUESTS, total);
        server.wait_for(UNITS, total);
    };
    request(100);
    expect(100.0);

    // Killed, and restarted by the kubelet; recording goes on.
    signal(&node.running(AGENT), Signal::SIGKILL);
    request(50);
    wait_for_restarts(&node, AGENT, 1);
    expect(150.0);

    signal(&node.running(APP), Signal::SIGKILL);
    wait_for_restarts(&node, APP, 1);
    request(50);
    expect(200.0);

    // One that hangs is found by its probe, ended and restarted.
    signal(&node.running(AGENT), Signal::SIGSTOP);
    request(30);
    wait_for_restarts(&node, AGENT, 2);
    expect(230.0);
    assert_eq!(server.query("max_over_time(resets(app_work_units_count[10m])[1m:1s])"), Some(0.0));

    // Both are told to end at once; the agent stays for one more scrape.
    request(20);
    expect(250.0);
    node.remove();
    wait_until("the pod is gone", PATIENCE, || node.container(AGENT).is_none());
    wait_until("its volumes are gone", PATIENCE, || node.memory_volumes().is_empty());
    assert!(node.log(AGENT).contains("final values served"), "{}", node.log(AGENT));
    server.wait_for(&format!("last_over_time({UNITS}[10m])"), 250.0);
}

/// What `emptyDir: {medium: Memory, sizeLimit: …}`, `fsGroup`, `runAsUser` and `readOnly` become.
fn volumes_and_users_are_as_asked_for(node: &Node) {
    let (agent, app) = (node.running(AGENT), node.running(APP));
    assert_eq!(node.memory_volumes().len(), 2);
    for (name, size_bytes, reader) in [("segments", 2 << 20, &agent), ("agent", 1 << 20, &app)] {
        let path = |of: &Running| of.root().join("run/ringmeter").join(name);
        let of = nix::sys::statvfs::statvfs(&path(&agent)).expect("statvfs");
        assert_eq!(of.blocks() * of.fragment_size(), size_bytes, "{name}");
        let of = path(&agent).metadata().expect("stat");
        assert_eq!(of.st_dev(), path(&app).metadata().expect("stat").st_dev(), "{name}: one tmpfs");
        assert_eq!((of.st_gid(), of.st_mode() & 0o2000), (FS_GROUP, 0o2000), "{name}");
        let files = std::fs::read_dir(path(reader)).expect("readable").flatten();
        let groups: Vec<u32> = files.map(|file| file.metadata().expect("stat").st_gid()).collect();
        assert!(!groups.is_empty() && groups.iter().all(|group| *group == FS_GROUP), "{name}");
        let refused = std::fs::write(path(reader).join("x"), "x").expect_err("read-only");
        assert_eq!(refused.raw_os_error(), Some(nix::errno::Errno::EROFS as i32), "{name}");
    }
    let users = [&agent, &app]
        .map(|it| std::fs::metadata(format!("/proc/{}", it.process_id)).expect("it runs").st_uid());
    assert_eq!(users, [65532, 65533]);
    let namespaces = [&agent, &app].map(|it| {
        std::fs::read_link(format!("/proc/{}/ns/pid", it.process_id)).expect("its namespace")
    });
    assert_ne!(namespaces[0], namespaces[1]);
}
