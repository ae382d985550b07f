//! What the agent says about itself is what its table says, and what the page says.
#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use ringmeter_agent::metrics;
use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::worker::Worker;

const BEGIN: &str = "<!-- table: RINGMETER_WRITE_PAGES=1 cargo test -p ringmeter-tests --test \
self_metrics writes it -->\n";

fn table() -> String {
    let mut all: Vec<_> = metrics::all().collect();
    all.sort_by_key(|metric| metric.name);
    let mut text = String::from("| metric | type | label | meaning |\n|---|---|---|---|\n");
    for own in all {
        let label = if own.label.is_empty() { String::new() } else { format!("`{}`", own.label) };
        let type_word = own.type_word();
        let line = format!("| `{}` | {type_word} | {label} | {} |", own.name, own.help);
        writeln!(text, "{line}").expect("a string");
    }
    text
}

#[test]
fn the_page_has_every_metric_with_its_meaning() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/METRICS.md");
    let page = fs::read_to_string(&path).expect("deploy/METRICS.md");
    let (head, found) = page.split_once(BEGIN).expect("the line before the table");
    if std::env::var_os("RINGMETER_WRITE_PAGES").is_some() {
        fs::write(&path, format!("{head}{BEGIN}{}", table())).expect("write the page");
        return;
    }
    assert!(found == table(), "the page is not the table; its first line says how to write it");
}

#[test]
fn a_scrape_has_every_metric_of_the_table_and_no_other() {
    let directory = Directory::new();
    // As with a web configuration file: without one there is nothing to say of it.
    let web = std::env::temp_dir().join(format!("ringmeter-web-{}.yml", std::process::id()));
    fs::write(&web, "{}\n").expect("write the web configuration");
    let path = web.to_str().expect("a path of plain characters");
    let agent = Agent::start_with(directory.path(), &["--web.config.file", path]);
    fs::remove_file(&web).expect("remove it");
    let mut worker = Worker::start(directory.path(), "observe --times 10");
    worker.wait_until_done();
    let text = agent.scrape_text();
    let found: BTreeSet<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| name.starts_with("ringmeter_"))
        .collect();
    // Without a series a metric is not shown: nothing to give advice on is no line.
    let table: BTreeSet<(&str, &str)> =
        metrics::all().map(|own| (own.name, own.type_word())).collect();
    assert_eq!(found.symmetric_difference(&table).collect::<Vec<_>>(), Vec::<&_>::new());
    let helps =
        |own: &&metrics::OwnMetric| text.contains(&format!("# HELP {} {}\n", own.name, own.help));
    assert!(metrics::all().all(|own| helps(&own)));
    let scrape = agent.scrape();
    assert_eq!(scrape.get("ringmeter_metric_series{metric=\"worker_values\"}"), Some(2.0));
    assert_eq!(scrape.get("ringmeter_lint_problems{metric=\"worker_level\"}"), None);
    assert!(scrape.value("ringmeter_agent_process_cpu_seconds_total") > 0.0);
    assert!(scrape.value("ringmeter_agent_process_resident_memory_bytes") > 1e6);
    assert!(scrape.value("ringmeter_ledger_age_seconds") < 600.0);
}
