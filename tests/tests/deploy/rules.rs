//! Alerts: good rules, each with its tests and its section in the runbook.

use std::collections::BTreeSet;

use super::{expressions, path, promtool, text, yaml};

const RULES: &str = "deploy/prometheus/alerts.yaml";
const MANIFEST: &str = "deploy/kubernetes/prometheusrule.yaml";
const TESTS: &str = "deploy/prometheus/alerts_test.yaml";

#[test]
fn alerts_fire_and_stay_silent_as_tested() {
    let (is_good, words) = promtool(&["check", "rules", RULES]);
    assert!(is_good, "{words}");
    let (is_good, words) = promtool(&["test", "rules", TESTS]);
    assert!(is_good, "{words}");
}

#[test]
fn each_alert_is_tested_explained_and_about_metrics_that_there_are() {
    let rules = yaml(RULES);
    let alerts = rules["groups"][0]["rules"].as_array().expect("rules");
    assert!(alerts.len() >= 10);
    let (runbook, tests) = (text("deploy/RUNBOOK.md"), yaml(TESTS));
    for alert in alerts {
        let name = alert["alert"].as_str().expect("a name");
        let expression = alert["expr"].as_str().expect("an expression");
        let others = expressions::check(expression);
        let others = others.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(others.is_subset(&BTreeSet::from(["up".to_owned()])), "{name}: {others:?}");
        assert!(runbook.contains(&format!("\n## {name}\n")), "{name} has no section");
        let url = alert["annotations"]["runbook_url"].as_str().expect("a link");
        assert!(url.ends_with(&format!("/deploy/RUNBOOK.md#{}", name.to_lowercase())), "{url}");
        let of_this = |test: &&serde_json::Value| test["alertname"] == name;
        let groups = tests["tests"].as_array().expect("tests").iter();
        let cases: Vec<_> = groups
            .flat_map(|group| group["alert_rule_test"].as_array().expect("cases"))
            .filter(of_this)
            .collect();
        let fires = |case: &&&serde_json::Value| {
            case["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty())
        };
        let firing = cases.iter().filter(fires).count();
        assert!(firing > 0 && firing < cases.len(), "{name}: tested firing and silent");
    }
    // Panels name the alert that watches what they show.
    for words in text("deploy/grafana/ringmeter.json").split("Alert: ").skip(1) {
        let name = words.split('.').next().expect("a name");
        assert!(alerts.iter().any(|alert| alert["alert"] == name), "no alert {name}");
    }
}

/// The manifest has the rules as they stand in `alerts.yaml`, further to the right.
#[test]
fn the_operator_s_manifest_has_the_same_rules() {
    let rules = text(RULES);
    let (_, groups) = rules.split_once("groups:\n").expect("groups");
    let indented = |line: &str| match line {
        "" => "\n".to_owned(),
        line => format!("  {line}\n"),
    };
    let groups: String = groups.lines().map(indented).collect();
    let manifest = text(MANIFEST);
    let (head, found) = manifest.split_once("  groups:\n").expect("groups");
    if std::env::var_os("RINGMETER_WRITE_PAGES").is_some() {
        let whole = format!("{head}  groups:\n{groups}");
        std::fs::write(path(MANIFEST), whole).expect("write");
        return;
    }
    assert!(found == groups, "{MANIFEST} is not {RULES}; its head says how to write it");
    let (manifest, rules) = (yaml(MANIFEST), yaml(RULES));
    assert_eq!((&manifest["kind"], &manifest["spec"]), (&"PrometheusRule".into(), &rules));
}
