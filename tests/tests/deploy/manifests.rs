//! Kubernetes manifests: valid from the first version with native sidecars to the newest, fit for
//! Pod Security "restricted", with the sizes that `ringmeter size` calculates.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use ringmeter_tests::prometheus::python;

use super::{path, quantity, said, size, text};

/// Every version of which `kubernetes-validate` has schemas, from 1.29 on.
const VERSIONS: &str = "1.29,1.30,1.31,1.32,1.33,1.34,1.35,1.36,1.37";
const HARDENED: &str = "deploy/kubernetes/hardened.yaml";
const RENDERED_OVERLAY: &str = "deploy/kubernetes/kustomize/rendered.yaml";
const RENDERED_CHART: &str = "deploy/helm/rendered.yaml";
const MANIFESTS: [&str; 8] = [
    HARDENED,
    "deploy/kubernetes/simple.yaml",
    "deploy/kubernetes/ordinary-container.yaml",
    "deploy/kubernetes/job.yaml",
    "deploy/kubernetes/podmonitor/podmonitor.yaml",
    "deploy/kubernetes/prometheusrule.yaml",
    RENDERED_OVERLAY,
    RENDERED_CHART,
];

fn validate(versions: &str, files: &[PathBuf]) -> (bool, String) {
    let script = path("tests/validate_manifests.py");
    said(Command::new(python()).arg(script).arg(versions).args(files))
}

#[test]
fn all_manifests_are_valid_in_every_version() {
    let (are_valid, problems) = validate(VERSIONS, &MANIFESTS.map(path));
    assert!(are_valid, "{problems}");
}

/// A mistake: what stands there, what to put instead, and the words that must be found.
type Mistake = (&'static str, &'static str, &'static str);

const MISTAKES: [Mistake; 13] = [
    ("restartPolicy: Always", "restartPolicyy: Always", "restartPolicyy"),
    ("restartPolicy: Always", "restartPolicy: Sometimes", "'Sometimes' is none of"),
    ("medium: Memory", "medium: memory", "'memory' is none of"),
    ("sizeLimit: 2Mi", "sizeLimit: 2 MB", "no quantity"),
    ("type: RuntimeDefault", "type: Default", "'Default' is none of"),
    ("periodSeconds: 10", "periodSeconds: ten", "periodSeconds"),
    ("livenessProbe:", "readinessProbe:", "out of service"),
    ("runAsNonRoot: true", "runAsNonRoot: false", "may run as root"),
    ("drop: [ALL]", "drop: [NET_RAW]", "does not drop"),
    ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "can be written"),
    ("fsGroup: 2000", "fsGroupp: 2000", "fsGroup"),
    ("- name: ringmeter-agent", "- name: agent", "no volume"),
    ("memory: 32Mi", "memory: lots", "no quantity"),
];

#[test]
fn planted_mistakes_are_found() {
    let good = text(HARDENED);
    let directory = std::env::temp_dir().join(format!("ringmeter-planted-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    for (number, (from, to, words)) in MISTAKES.iter().enumerate() {
        let file = directory.join(format!("{number}.yaml"));
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from:?} is not there");
        std::fs::write(&file, bad).expect("write");
        let (is_valid, problems) = validate("1.36", &[file]);
        assert!(!is_valid && problems.contains(words), "{to:?}: {problems:?}");
    }
    std::fs::remove_dir_all(&directory).expect("clean up");
    // The version before native sidecars does not take them.
    let (is_valid, problems) = validate("1.27", &[path(HARDENED)]);
    assert!(!is_valid && problems.contains("restartPolicy"), "{problems}");
}

#[test]
fn sizes_are_those_that_the_program_calculates() {
    let size = size();
    let [segments, agent, request, limit] =
        ["segments_size_limit", "agent_size_limit", "agent_memory_request", "agent_memory_limit"]
            .map(|name| quantity(&size, name));
    let resources =
        format!("requests: cpu: 20m memory: {request} limits: memory: {limit} securityContext");
    // Comments and line ends do not matter.
    let words = |file: &str| {
        let lines = text(file);
        let lines = lines.lines().filter(|line| !line.trim_start().starts_with('#'));
        lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
    };
    let two = [
        format!("name: ringmeter-segments emptyDir: medium: Memory sizeLimit: {segments}"),
        format!("name: ringmeter-agent emptyDir: medium: Memory sizeLimit: {agent}"),
    ];
    for file in [HARDENED, MANIFESTS[2], MANIFESTS[3], COMPONENT] {
        let words = words(file);
        assert!(words.contains(&resources), "{file}: {resources}");
        assert!(two.iter().all(|volume| words.contains(volume)), "{file}: {two:?}");
    }
    let bytes = |name: &str| size[name].as_u64().expect(name);
    let both = (bytes("segments_volume_bytes") + bytes("agent_volume_bytes")) >> 20;
    let one = format!("name: ringmeter emptyDir: medium: Memory sizeLimit: {both}Mi");
    for file in [MANIFESTS[1], RENDERED_CHART] {
        assert!(words(file).contains(&one), "{file}: {one}");
    }
    let values = words("deploy/helm/ringmeter/values.yaml");
    let sizes = format!(
        "segmentsSizeLimit: {segments} agentSizeLimit: {agent} resources: requests: cpu: 20m \
         memory: {request} limits: memory: {limit}"
    );
    assert!(values.contains(&sizes), "{values}");
}

const COMPONENT: &str = "deploy/kubernetes/kustomize/component/sidecar.yaml";

/// Chart and overlay are rendered by `make rendered`, which takes minutes to build its tools; here
/// it is only made sure that nothing was changed since.
#[test]
fn what_was_rendered_is_from_these_sources() {
    let (is_current, words) = said(Command::new(path("deploy/render.sh")).arg("--is-current"));
    assert!(is_current, "{words}");
}

/// The lines of a file that begin with one of `keys`.
fn settings(file: &str, keys: &[&str]) -> BTreeSet<String> {
    let text = text(file);
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| keys.iter().any(|key| line.starts_with(key)));
    lines.map(str::to_owned).collect()
}

#[test]
fn the_component_leaves_the_pod_s_own_settings_alone() {
    let own = ["terminationGracePeriodSeconds:", "fsGroup:"];
    let example = settings("deploy/kubernetes/kustomize/example/deployment.yaml", &own);
    // Neither is what our own manifests have, or it could come from there.
    assert!(example.len() == 2 && example.is_disjoint(&settings(HARDENED, &own)), "{example:?}");
    assert_eq!(settings(RENDERED_OVERLAY, &own), example);
}

#[test]
fn the_page_names_every_template_that_a_chart_needs() {
    let page = text("deploy/README.md");
    let comment = text("deploy/helm/ringmeter/templates/_ringmeter.tpl");
    let comment = comment.split("*/}}").next().unwrap_or_default();
    let example = ["deployment.yaml", "podmonitor.yaml"];
    let example = example.map(|name| text(&format!("deploy/helm/example/templates/{name}")));
    let example = example.concat();
    let needed: BTreeSet<&str> =
        example.split("include \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(needed.len() >= 7, "{needed:?}");
    for name in needed {
        let include = format!("include \"{name}\" .");
        assert!(page.contains(&include) && comment.contains(&include), "{name}");
    }
    for line in ["terminationGracePeriodSeconds: ", "repository: file://../ringmeter"] {
        assert!(page.contains(line), "{line}");
    }
}
