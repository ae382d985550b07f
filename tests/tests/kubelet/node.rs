//! A node: containerd and a kubelet with files of their own, as `tests/kubelet.sh run` gives them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ringmeter_tests::agent::{Answer, get};
use ringmeter_tests::process::{Process, wait_until};
use serde_json::{Value, json};

const READ_ONLY_PORT: u16 = 10255;

fn variable(name: &str) -> String {
    std::env::var(name).expect("make kubelet runs this by way of tests/kubelet.sh, which sets it")
}

/// A running node; what it runs ends with it, because its process namespace does.
pub(super) struct Node {
    directory: PathBuf,
    _containerd: Process,
    _kubelet: Process,
}

/// A container, as the kubelet sees it.
pub(super) struct Status {
    pub(super) restarts: u64,
    pub(super) is_ready: bool,
    id: String,
}

/// A container that runs.
pub(super) struct Running {
    pub(super) process_id: i32,
}

impl Running {
    /// Its root directory as its processes see it.
    pub(super) fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.process_id).into()
    }
}

/// The body of an answer, which comes in chunks when it is long.
fn whole(answer: &Answer) -> Option<String> {
    if !answer.head.contains("chunked") {
        return Some(answer.body.clone());
    }
    let (mut body, mut rest) = (String::new(), answer.body.as_str());
    loop {
        let (length, after) = rest.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.push_str(after.get(..length)?);
        rest = after.get(length..)?.strip_prefix("\r\n")?;
    }
}

/// Starts a program of the node, with what it says in a file that stays.
fn spawn(name: &str, arguments: &[&str]) -> Process {
    let program = Path::new(&variable("RINGMETER_NODE_TOOLS")).join(name);
    let logs = variable("RINGMETER_NODE_LOGS");
    let log = fs::File::create(Path::new(&logs).join(format!("{name}.log"))).expect("a log");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.stdout(log.try_clone().expect("a descriptor")).stderr(log);
    command.spawn().expect("start a program of the node").into()
}

impl Node {
    pub(super) fn start() -> Self {
        let directory = PathBuf::from(variable("RINGMETER_NODE"));
        for name in ["pods", "plugins", "kubelet", "containerd", "state", "opt"] {
            fs::create_dir(directory.join(name)).expect("a directory of the node");
        }
        let containerd = start_containerd(&directory);
        let kubelet = start_kubelet(&directory);
        Self { directory, _containerd: containerd, _kubelet: kubelet }
    }

    /// Has the kubelet run a pod; there is only one at a time.
    pub(super) fn run(&self, manifest: &str) {
        // Appears whole: the kubelet reads what it finds.
        let temporary = self.directory.join("pod.json");
        fs::write(&temporary, manifest).expect("write the manifest");
        fs::rename(temporary, self.directory.join("pods/pod.json")).expect("show the manifest");
    }

    /// Has the kubelet end the pod.
    pub(super) fn remove(&self) {
        fs::remove_file(self.directory.join("pods/pod.json")).expect("remove the manifest");
    }

    /// What the kubelet says of a container, if it knows it.
    pub(super) fn container(&self, name: &str) -> Option<Status> {
        let answer = get(([127, 0, 0, 1], READ_ONLY_PORT).into(), "/pods")?;
        let pods: Value = serde_json::from_str(&whole(&answer)?).ok()?;
        let containers = pods["items"][0]["status"]["containerStatuses"].as_array()?;
        let container = containers.iter().find(|container| container["name"] == name)?;
        Some(Status {
            restarts: container["restartCount"].as_u64()?,
            is_ready: container["ready"].as_bool()?,
            id: container["containerID"].as_str()?.strip_prefix("containerd://")?.to_owned(),
        })
    }

    /// A container that runs, by its first process.
    pub(super) fn running(&self, name: &str) -> Running {
        let id = self.container(name).expect("the kubelet knows it").id;
        let file = format!("state/io.containerd.runtime.v2.task/k8s.io/{id}/init.pid");
        let text = fs::read_to_string(self.directory.join(file)).expect("it runs");
        Running { process_id: text.trim().parse().expect("a process id") }
    }

    /// Where memory volumes of pods are mounted.
    pub(super) fn memory_volumes(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts");
        let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        places
            .filter(|place| place.contains("/kubernetes.io~empty-dir/"))
            .map(String::from)
            .collect()
    }

    /// Everything that a container and those before it have said.
    pub(super) fn log(&self, name: &str) -> String {
        let directories = |of: &Path| {
            let entries = fs::read_dir(of).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        let pods = directories(Path::new("/var/log/pods"));
        let files = pods.iter().flat_map(|pod| directories(&pod.join(name)));
        files.map(|file| fs::read_to_string(file).unwrap_or_default()).collect()
    }
}

fn start_containerd(directory: &Path) -> Process {
    let place = |name: &str| directory.join(name).display().to_string();
    let configuration = format!(
        "version = 2\nroot = {:?}\nstate = {:?}\n[grpc]\naddress = {:?}\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\n\
         sandbox_image = \"localhost/ringmeter-pause:test\"\n\
         # Where the machine does not let us lower it.\nrestrict_oom_score_adj = true\n\
         [plugins.\"io.containerd.internal.v1.opt\"]\npath = {:?}\n",
        place("containerd"),
        place("state"),
        place("containerd.sock"),
        place("opt"),
    );
    let file = place("containerd.toml");
    fs::write(&file, configuration).expect("write");
    let process = spawn("containerd", &["--config", &file, "--log-level", "warn"]);
    let socket = place("containerd.sock");
    let ctr = |arguments: &[&str]| {
        let program = Path::new(&variable("RINGMETER_NODE_TOOLS")).join("ctr");
        let mut command = Command::new(program);
        command.args(["--address", &socket, "--namespace", "k8s.io"]).args(arguments);
        command.output().expect("run ctr")
    };
    wait_until("containerd answers", Duration::from_secs(30), || {
        ctr(&["version"]).status.success()
    });
    for image in fs::read_dir(variable("RINGMETER_NODE_IMAGES")).expect("images").flatten() {
        let output = ctr(&["images", "import", image.path().to_str().expect("UTF-8")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    process
}

fn start_kubelet(directory: &Path) -> Process {
    let place = |name: &str| directory.join(name).display().to_string();
    let configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "readOnlyPort": READ_ONLY_PORT,
        "healthzPort": 0,
        "staticPodPath": place("pods"),
        "fileCheckFrequency": "1s",
        "syncFrequency": "1s",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": variable("RINGMETER_NODE_GROUP"),
        "enforceNodeAllocatable": [],
        "makeIPTablesUtilChains": false,
        "failSwapOn": false,
        "authentication": {"webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        // The second keeps it out of /var/lib.
        "featureGates": {"SizeMemoryBackedVolumes": true, "DevicePlugins": false},
        // The machine's disk is nobody's business here.
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%",
            "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
    });
    let file = place("kubelet.json");
    fs::write(&file, configuration.to_string()).expect("write");
    let endpoint = format!("unix://{}", place("containerd.sock"));
    let process = spawn(
        "kubelet",
        &[
            "--config",
            &file,
            "--root-dir",
            &place("kubelet"),
            "--cert-dir",
            &place("certificates"),
            "--volume-plugin-dir",
            &place("plugins"),
            "--container-runtime=remote",
            "--container-runtime-endpoint",
            &endpoint,
            "--hostname-override=node",
        ],
    );
    wait_until("the kubelet answers", Duration::from_secs(60), || {
        get(([127, 0, 0, 1], READ_ONLY_PORT).into(), "/pods").is_some()
    });
    process
}
