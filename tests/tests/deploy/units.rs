//! The systemd unit and the compose file.

use std::process::Command;

use ringmeter_tests::process::binary;
use serde_json::Value;

use super::{quantity, said, size, text, yaml};

const UNIT: &str = "deploy/systemd/ringmeter.service";

/// The units that come with it.
const SOCKET: &str = "ringmeter.socket";
const DROP_IN: &str = "ringmeter.service.d/socket.conf";

/// The unit with a program that there is, in a directory of its own: alone, and with the socket.
fn with_program(change: impl Fn(String) -> String, check: impl Fn(&std::path::Path)) {
    let name = format!("ringmeter-unit-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory).expect("a directory");
    let program = binary("ringmeter");
    let unit = text(UNIT).replace("/usr/local/bin/ringmeter", program.to_str().expect("UTF-8"));
    let file = directory.join("ringmeter.service");
    std::fs::write(&file, change(unit)).expect("write");
    let installed = |name: &str| {
        let text = text(&format!("deploy/systemd/{name}"));
        text.replace("/usr/local/bin/ringmeter", program.to_str().expect("UTF-8"))
    };
    std::fs::write(directory.join(SOCKET), installed(SOCKET)).expect("write");
    check(&file);
    std::fs::create_dir(directory.join("ringmeter.service.d")).expect("a directory");
    std::fs::write(directory.join(DROP_IN), installed(DROP_IN)).expect("write");
    check(&directory.join(SOCKET));
    std::fs::remove_dir_all(&directory).expect("clean up");
}

#[test]
fn systemd_takes_the_unit_and_finds_it_closed() {
    let verify = |file: &std::path::Path| {
        said(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(file))
    };
    with_program(
        |unit| unit,
        |file| {
            let (is_good, words) = verify(file);
            assert!(is_good && words.is_empty(), "{words}");
            let unit = file.with_extension("service");
            let mut command = Command::new("systemd-analyze");
            command.args(["security", "--offline=true", "--threshold=25"]).arg(unit);
            let (is_closed, words) = said(&mut command);
            assert!(is_closed, "exposed more than 2.5 of 10: {words}");
        },
    );
    with_program(
        |unit| unit.replace("RestartSec", "RestartSecs"),
        |file| {
            let (_, words) = verify(&file.with_extension("service"));
            assert!(words.contains("RestartSecs"), "a planted mistake is not found: {words}");
        },
    );
}

#[test]
fn the_socket_is_the_service_s_own_address() {
    let address = "127.0.0.1:19310";
    assert!(text(UNIT).contains(&format!("RINGMETER_WEB_LISTEN_ADDRESS={address}\n")));
    let socket = text(&format!("deploy/systemd/{SOCKET}"));
    assert!(socket.contains(&format!("\nListenStream={address}\n")));
    let start = text(UNIT).lines().find(|line| line.starts_with("ExecStart=")).map(String::from);
    let start = start.expect("a program") + " --web.systemd-socket\n";
    assert!(text(&format!("deploy/systemd/{DROP_IN}")).ends_with(&start), "{start}");
}

#[test]
fn the_unit_leaves_time_for_the_last_scrape_and_shares_a_group() {
    let unit = text(UNIT);
    let value = |name: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{name} is not set")).to_owned()
    };
    assert!(value("TimeoutStopSec").parse::<u32>().expect("seconds") > 20);
    assert_eq!(value("RestartPreventExitStatus"), "64");
    assert_eq!(value("RuntimeDirectoryMode"), "2770");
    assert_eq!(value("RuntimeDirectoryPreserve"), "yes");
    // Both would take the group's directories away.
    assert!(!unit.lines().any(|line| line.starts_with("DynamicUser")));
    assert!(!unit.lines().any(|line| line.starts_with("RestrictSUIDSGID")));
}

#[test]
fn compose_mounts_each_volume_read_only_on_the_other_side() {
    let file = yaml("deploy/compose/compose.yaml");
    let mounts = |service: &str| -> Vec<String> {
        let list = file["services"][service]["volumes"].as_array().expect("volumes");
        list.iter().map(|mount| mount.as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(
        mounts("app"),
        ["segments:/run/ringmeter/segments", "agent:/run/ringmeter/agent:ro"]
    );
    assert_eq!(
        mounts("ringmeter"),
        ["segments:/run/ringmeter/segments:ro", "agent:/run/ringmeter/agent"]
    );
    let size = size();
    let compose = |name: &str| quantity(&size, name).replace("Mi", "m");
    for (volume, name) in [("segments", "segments_size_limit"), ("agent", "agent_size_limit")] {
        let options = &file["volumes"][volume]["driver_opts"];
        assert_eq!(options["type"], "tmpfs");
        assert_eq!(options["o"], format!("size={},mode=2777,gid=2000", compose(name)));
    }
    for (name, service) in file["services"].as_object().expect("services") {
        assert_eq!(service["read_only"], Value::Bool(true), "{name}");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
        assert_eq!(service["group_add"][0], "2000", "{name}");
        assert_eq!(service["environment"]["RINGMETER_DIR"], "/run/ringmeter", "{name}");
    }
    assert_eq!(file["services"]["ringmeter"]["mem_limit"], compose("agent_memory_limit"));
}
