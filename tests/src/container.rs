//! Real containers, by way of `tests/podman.sh`, and the memory volumes that a pod gives them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::process::wait_until;

/// The group that a pod's `fsGroup` gives to its volumes and its processes.
pub const FS_GROUP: u32 = 2000;

static MADE: AtomicU32 = AtomicU32::new(0);

/// A name that no other test has.
fn unique(what: &str) -> String {
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    format!("ringmeter-{what}-{}-{number}", std::process::id())
}

/// Runs podman and waits for it.
///
/// # Panics
/// When it cannot be run.
#[must_use]
#[expect(clippy::expect_used, reason = "without podman there are no containers")]
pub fn podman(arguments: &[&str]) -> Output {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(tests.join("podman.sh"));
    // Where a file `oom` does no harm, which conmon writes when the kernel kills for memory.
    command.current_dir(tests.join("../target/containers"));
    command.args(arguments).output().expect("run tests/podman.sh; make containers builds images")
}

/// Runs podman; its output.
///
/// # Panics
/// When it fails.
#[must_use]
pub fn podman_ok(arguments: &[&str]) -> String {
    let output = podman(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "podman {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What kubelet makes of `emptyDir: {medium: Memory}` in a pod with `fsGroup`: a tmpfs of its own,
/// everybody's to write, whose files get the pod's group.
#[derive(Debug)]
pub struct MemoryVolume {
    path: PathBuf,
}

impl MemoryVolume {
    /// Mounts one of `size_bytes`.
    ///
    /// # Panics
    /// When it cannot be mounted: the test needs to be root.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its volume is no test")]
    pub fn new(size_bytes: u64) -> Self {
        let path = std::env::temp_dir().join(unique("volume"));
        std::fs::create_dir(&path).expect("make a mount point");
        let options = format!("size={size_bytes},mode=2777,gid={FS_GROUP}");
        let flags = MsFlags::empty();
        mount(Some("tmpfs"), &path, Some("tmpfs"), flags, Some(options.as_str()))
            .expect("mount a tmpfs; the container tests need root");
        Self { path }
    }

    /// Where it is mounted on this machine.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in use, as `statfs` tells.
    ///
    /// # Panics
    /// When it cannot be asked.
    #[must_use]
    #[expect(clippy::expect_used, reason = "it is mounted")]
    pub fn used_bytes(&self) -> u64 {
        let of = nix::sys::statvfs::statvfs(&self.path).expect("statvfs");
        (of.blocks() - of.blocks_free()) * of.fragment_size()
    }

    /// The flag that mounts it in a container.
    #[must_use]
    pub fn at(&self, place: &str, mode: &str) -> String {
        format!("--volume={}:{place}:{mode}", self.path.display())
    }
}

impl Drop for MemoryVolume {
    fn drop(&mut self) {
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
        let _ = std::fs::remove_dir(&self.path);
    }
}

/// What "restricted" asks of a container, and the namespaces of a pod: one network, a process
/// table for each.
const RESTRICTED: [&str; 7] = [
    "--network=host",
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--group-add=2000",
    "--env=RINGMETER_DIR=/run/ringmeter",
];

/// A container, removed when it is dropped.
#[derive(Debug)]
pub struct Container {
    name: String,
}

impl Container {
    /// Starts one.
    ///
    /// # Panics
    /// When podman cannot.
    #[must_use]
    pub fn start(what: &str, flags: &[&str], image_and_arguments: &[&str]) -> Self {
        let name = unique(what);
        let name_flag = format!("--name={name}");
        let mut arguments = vec!["run", "--detach", name_flag.as_str()];
        arguments.extend(RESTRICTED);
        arguments.extend(flags);
        arguments.extend(image_and_arguments);
        let container = Self { name };
        let _ = podman_ok(&arguments);
        container
    }

    /// What podman knows of it, by a template such as `{{.State.Pid}}`.
    ///
    /// # Panics
    /// When podman fails.
    #[must_use]
    pub fn inspect(&self, template: &str) -> String {
        podman_ok(&["inspect", "--format", template, &self.name])
    }

    /// The process id of its first process, on this machine.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the test expects it to run")]
    pub fn process_id(&self) -> u32 {
        self.inspect("{{.State.Pid}}").parse().expect("a process id")
    }

    /// Its root directory as its processes see it, mounts and their flags included.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.process_id()))
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When podman fails.
    pub fn signal(&self, signal: &str) {
        let _ = podman_ok(&["kill", "--signal", signal, &self.name]);
    }

    /// Waits for its end; the exit code.
    ///
    /// # Panics
    /// When podman fails.
    #[must_use]
    pub fn wait(&self) -> String {
        podman_ok(&["wait", &self.name])
    }

    /// Kills it, and starts it again as a restart policy does: the volumes stay.
    ///
    /// # Panics
    /// When podman fails.
    pub fn kill(&self) {
        self.signal("KILL");
        let _ = self.wait();
    }

    /// Starts it again.
    ///
    /// # Panics
    /// When podman fails.
    pub fn restart(&self) {
        let _ = podman_ok(&["start", &self.name]);
    }

    /// Runs a program in it; whether it succeeded, and what it said.
    ///
    /// # Panics
    /// When podman cannot be run.
    #[must_use]
    pub fn exec(&self, command: &[&str]) -> (bool, String) {
        let mut arguments = vec!["exec", self.name.as_str()];
        arguments.extend(command);
        let output = podman(&arguments);
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said.into_owned())
    }

    /// Runs the check that its image comes with.
    ///
    /// # Panics
    /// When podman cannot be run.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        podman(&["healthcheck", "run", &self.name]).status.success()
    }

    /// Everything that it has said.
    ///
    /// # Panics
    /// When podman cannot be run.
    #[must_use]
    pub fn log(&self) -> String {
        let output = podman(&["logs", &self.name]);
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        said.into_owned()
    }

    /// Waits until somebody answers at an address.
    ///
    /// # Panics
    /// When nobody does, with what it said.
    pub fn wait_until_answers(&self, address: SocketAddr, path: &str) {
        let answers = || crate::agent::get(address, path).is_some_and(|it| it.status == 200);
        for _ in 0..1000 {
            if answers() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        wait_until(&format!("{} answers: {}", self.name, self.log()), Duration::ZERO, answers);
    }

    /// Whether the kernel has killed it for want of memory: nobody else sends it SIGKILL. Podman
    /// itself is not always told.
    ///
    /// # Panics
    /// When podman fails.
    #[must_use]
    pub fn was_killed_for_memory(&self) -> bool {
        let state = self.inspect("{{.State.OOMKilled}} {{.State.Running}} {{.State.ExitCode}}");
        state.starts_with("true") || state.ends_with("false 137")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = podman(&["rm", "--force", "--time", "0", "--volumes", &self.name]);
    }
}
