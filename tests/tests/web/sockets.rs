//! Where the agent can be reached: several addresses, unix sockets, sockets of systemd.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use ringmeter_tests::agent::free_address;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::guarded::{Guarded, curl};
use ringmeter_tests::process::binary;

fn over(socket: &Path, path: &str) -> u16 {
    let socket = socket.to_str().expect("plain ASCII");
    curl(&format!("http://localhost{path}"), &["--unix-socket", socket]).status
}

#[test]
fn several_addresses_and_a_unix_socket() {
    let directory = Directory::new();
    let socket = directory.path().join("web.sock");
    let unix = format!("unix:{}", socket.display());
    let mut extra: Vec<SocketAddr> = vec![free_address()];
    // Where there is no IPv6 there is nothing to try.
    extra.extend(TcpListener::bind("[::1]:0").and_then(|free| free.local_addr()).ok());
    println!("besides: {extra:?}");
    let mut arguments = vec!["--web.listen-address".to_owned(), unix];
    for address in &extra {
        arguments.extend(["--web.listen-address".to_owned(), address.to_string()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut agent = Guarded::start(&directory, &arguments);
    assert_eq!(agent.curl("http", "/metrics", &[]).status, 200);
    for address in &extra {
        assert_eq!(curl(&format!("http://{address}/metrics"), &[]).status, 200, "{address}");
    }
    assert_eq!(over(&socket, "/metrics"), 200);

    let other = Directory::new();
    let second = Command::new(binary("ringmeter"))
        .args(["agent", "--web.listen-address", arguments[1], "--dir"])
        .arg(other.path())
        .output()
        .expect("run a second agent");
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert_eq!(over(&socket, "/metrics"), 200, "the socket of a living agent stays");

    agent.process().signal(Signal::SIGKILL);
    let _: std::process::ExitStatus = agent.process().wait(std::time::Duration::from_secs(5));
    assert!(socket.exists(), "nobody could remove it");
    let mut agent = Guarded::start(&directory, &arguments);
    assert_eq!(over(&socket, "/metrics"), 200, "a dead agent's socket is taken over");
    agent.process().signal(Signal::SIGTERM);
    let status = agent.process().wait(std::time::Duration::from_secs(20));
    assert_eq!(status.code(), Some(0));
    assert!(!socket.exists(), "removed in the end");

    std::fs::write(&socket, "a file of somebody else").expect("write");
    let refused = Command::new(binary("ringmeter"))
        .args(["agent", "--web.listen-address", arguments[1], "--dir"])
        .arg(directory.path())
        .output()
        .expect("run an agent");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(socket.exists(), "a file that is no socket is not touched");
}

/// Passes listening sockets as systemd does, from descriptor 3 on, and becomes the agent.
const SYSTEMD: &str = r"
import os, socket, sys
tcp = socket.create_server(('127.0.0.1', int(sys.argv[1])))
unix = socket.socket(socket.AF_UNIX)
unix.bind(sys.argv[2])
unix.listen()
high = [os.dup(tcp.fileno()), os.dup(unix.fileno())]
for target, source in enumerate(high, 3):
    os.dup2(source, target, inheritable=True)
os.environ.update(LISTEN_FDS='2', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[3], sys.argv[3:])
";

#[test]
fn sockets_of_systemd() {
    let directory = Directory::new();
    let socket = directory.path().join("passed.sock");
    let address = free_address();
    let mut command = Command::new("python3");
    command.args(["-c", SYSTEMD, &address.port().to_string()]).arg(&socket);
    command.arg(binary("ringmeter")).args(["agent", "--web.systemd-socket"]);
    let agent = Guarded::start_command(command, address, &directory, &[]);
    assert_eq!(agent.curl("http", "/metrics", &[]).status, 200);
    assert_eq!(over(&socket, "/metrics"), 200);
    drop(agent);
    assert!(socket.exists(), "it is systemd's");
}

#[test]
fn without_sockets_of_systemd_the_agent_says_so() {
    let directory = Directory::new();
    let output = Command::new(binary("ringmeter"))
        .args(["agent", "--web.systemd-socket", "--dir"])
        .arg(directory.path())
        .env_remove("LISTEN_FDS")
        .stdin(Stdio::null())
        .output()
        .expect("run the agent");
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("no sockets were passed"), "{words}");
}
