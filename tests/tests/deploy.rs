//! Everything under `deploy/` that a user would paste: valid, in agreement with the program, and
//! with each other.
#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

#[path = "deploy/dashboard.rs"]
mod dashboard;
#[path = "deploy/examples.rs"]
mod examples;
#[path = "deploy/expressions.rs"]
mod expressions;
#[path = "deploy/manifests.rs"]
mod manifests;
#[path = "deploy/rules.rs"]
mod rules;
#[path = "deploy/survival.rs"]
mod survival;
#[path = "deploy/units.rs"]
mod units;

/// A path in the repository.
fn path(inner: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").join(inner)
}

fn text(inner: &str) -> String {
    std::fs::read_to_string(path(inner)).expect(inner)
}

/// What a command says, both streams together, and whether it succeeded.
fn said(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().expect("run a command");
    let words = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
    (status.success(), words.into_owned())
}

fn promtool(arguments: &[&str]) -> (bool, String) {
    let program = std::env::var("PROMTOOL_BIN").unwrap_or_else(|_| "promtool".to_owned());
    said(Command::new(program).args(arguments).current_dir(path(".")))
}

/// A YAML file with one document, read by the reference implementation's library.
fn yaml(inner: &str) -> Value {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let python = ringmeter_tests::prometheus::python();
    let output = Command::new(python).args(["-c", script]).arg(path(inner)).output();
    let output = output.expect("run python; tests/install-deps.sh installs it");
    assert!(output.status.success(), "{inner}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What `ringmeter size` says by default.
fn size() -> Value {
    let program = ringmeter_tests::process::binary("ringmeter");
    let output = Command::new(program).args(["size", "--output", "json"]).output();
    serde_json::from_slice(&output.expect("run ringmeter").stdout).expect("JSON")
}

fn quantity(size: &Value, name: &str) -> String {
    size[name].as_str().expect(name).to_owned()
}

#[test]
fn examples_for_prometheus_are_good() {
    let (is_good, words) = promtool(&["check", "config", "deploy/prometheus.yml"]);
    assert!(is_good, "{words}");
    // Debian's Prometheus is built without the discovery of Kubernetes: all but that is checked.
    let discovery = [
        "kubernetes_sd_configs:",
        "      # Lists the ports of init containers, and so those of native sidecars.",
        "      - role: pod",
        "",
    ];
    let discovery = discovery.join("\n");
    let kubernetes = text("deploy/prometheus/kubernetes.yml");
    let rest = kubernetes.replace(&discovery, "static_configs:\n      - targets: [\"a:1\"]\n");
    assert_ne!(rest, kubernetes);
    let name = format!("ringmeter-kubernetes-{}.yml", std::process::id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, rest).expect("write");
    let (is_good, words) = promtool(&["check", "config", file.to_str().expect("UTF-8")]);
    std::fs::remove_file(&file).expect("clean up");
    assert!(is_good, "{words}");
    let (is_good, words) = promtool(&["check", "config", "deploy/compose/compose.yaml"]);
    assert!(!is_good, "what is none passes: {words}");
}
