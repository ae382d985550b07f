//! The pod's manifest, from the one that users paste.

use std::path::Path;
use std::process::Command;

use ringmeter_tests::prometheus::python;
use serde_json::{Value, json};

/// Seconds: the test does not wait as long as production would.
const GRACE: u32 = 15;

/// The pod of the Deployment as a static one: in the node's network, with images that are there,
/// and a probe and a grace period that the test can wait for. All else is as it is pasted.
pub(super) fn manifest() -> String {
    let deployment =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes/ordinary-container.yaml");
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let output = Command::new(python()).args(["-c", script]).arg(deployment).output();
    let output = output.expect("run python; tests/install-deps.sh installs it");
    let mut deployment: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut spec = deployment["spec"]["template"]["spec"].take();
    spec["hostNetwork"] = true.into();
    spec["terminationGracePeriodSeconds"] = GRACE.into();
    for container in spec["containers"].as_array_mut().expect("containers") {
        let image = container["image"].as_str().expect("an image");
        let name = image.split(':').next().expect("a name");
        container["image"] = format!("localhost/{name}:test").into();
        container["imagePullPolicy"] = "Never".into();
        if let Some(probe) = container.get_mut("livenessProbe") {
            assert_eq!(probe["exec"]["command"], json!(["/ringmeter", "healthcheck"]));
            probe["periodSeconds"] = 2.into();
            probe["timeoutSeconds"] = 1.into();
            probe["failureThreshold"] = 3.into();
        }
    }
    let metadata = json!({"name": "http-service", "namespace": "default"});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).to_string()
}
