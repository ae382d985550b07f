//! The dashboard: Grafana has no schema, so it is walked; and asked of a real server.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ringmeter_tests::process::{Process, binary};
use ringmeter_tests::prometheus::Prometheus;
use serde_json::Value;

use super::{expressions, text};

fn dashboard() -> Value {
    serde_json::from_str(&text("deploy/grafana/ringmeter.json")).expect("JSON")
}

fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().expect("panels")
}

/// An expression as Grafana sends it, with the defaults of the variables.
fn filled(dashboard: &Value, expression: &str) -> String {
    let mut filled = expression.replace("$__rate_interval", "10s").replace("$__range", "1m");
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        let name = variable["name"].as_str().expect("a name");
        let value = match variable["type"].as_str() {
            Some("textbox") => variable["query"].as_str().expect("a default"),
            _ => ".*",
        };
        for written in [format!("${{{name}}}"), format!("${name}")] {
            filled = filled.replace(&written, value);
        }
    }
    assert!(!filled.contains('$'), "a variable that is not there: {filled}");
    filled
}

/// Title and expression of every query, filled.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let title = panel["title"].as_str().expect("a title").to_owned();
            let expression = target["expr"].as_str().expect("an expression");
            found.push((title, filled(dashboard, expression)));
        }
    }
    found
}

#[test]
fn every_panel_is_whole_and_in_its_place() {
    let dashboard = dashboard();
    assert_eq!(dashboard["templating"]["list"][0]["type"], "datasource");
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    let mut rows = Vec::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id is taken");
        let place = |name: &str| panel["gridPos"][name].as_u64().expect(name);
        for x in place("x")..place("x") + place("w") {
            assert!(x < 24, "{title}: beyond the right edge");
            for y in place("y")..place("y") + place("h") {
                assert!(cells.insert((x, y)), "{title}: overlaps another at {x},{y}");
            }
        }
        if panel["type"] == "row" {
            rows.push(title);
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{title}");
        let targets = panel["targets"].as_array().expect("targets");
        for target in [panel].into_iter().chain(targets) {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
        let ids: BTreeSet<_> = targets.iter().map(|target| target["refId"].as_str()).collect();
        assert_eq!(ids.len(), targets.len(), "{title}: two queries of one name");
    }
    assert_eq!(rows.first(), Some(&"Ring health"));
    assert_eq!(rows.last(), Some(&"Cost of scraping"));
}

#[test]
fn every_expression_is_about_metrics_that_there_are() {
    let of_others = [
        "http_requests_total",
        "http_request_duration_seconds_bucket",
        "scrape_duration_seconds",
        "scrape_samples_scraped",
    ];
    let queries = queries(&dashboard());
    let expressions: Vec<String> = queries.iter().map(|query| query.1.clone()).collect();
    assert_eq!(expressions::parse(&expressions), Ok(()));
    for (title, expression) in queries {
        let others = expressions::check(&expression);
        let others = others.unwrap_or_else(|error| panic!("{title}: {error}"));
        let strange: Vec<_> =
            others.iter().filter(|name| !of_others.contains(&name.as_str())).collect();
        assert!(strange.is_empty(), "{title}: {strange:?}");
    }
}

#[test]
fn every_query_returns_data_in_a_real_server_fed_by_the_demo() {
    let mut command = Command::new(binary("ringmeter"));
    command.args(["demo", "--requests-per-second", "100"]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("start the demo");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut demo = Process::from(child);
    let scrape = lines.by_ref().map_while(Result::ok).find_map(|line| {
        line.strip_prefix("scrape ")?
            .trim()
            .strip_prefix("http://")?
            .split('/')
            .next()?
            .parse()
            .ok()
    });
    // It ends when nobody reads what it shows.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    let server = Prometheus::start(scrape.expect("the demo says where to scrape"));
    let mut pending = queries(&dashboard());
    assert!(pending.len() > 30);
    let start = Instant::now();
    while !pending.is_empty() {
        pending.retain(|(_, expression)| !server.has_data(expression));
        assert!(start.elapsed() < Duration::from_secs(60), "no data: {pending:#?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    demo.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(demo.wait(Duration::from_secs(60)).success());
}
