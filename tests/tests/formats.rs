//! What a scrape says is read by the reference parsers, to the letter.

#![allow(clippy::expect_used, clippy::panic, reason = "a test must fail loudly")]

#[path = "formats/negotiation.rs"]
mod negotiation;
#[path = "formats/protobuf.rs"]
mod protobuf;
#[path = "formats/random.rs"]
mod random;
#[path = "formats/text.rs"]
mod text;

use std::io::Write;
use std::process::{Command, Stdio};

use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::prometheus::{promtool_check_metrics, python};
use ringmeter_tests::worker::{Worker, nasty_labels};

/// Reads text on its input with the reference parser; prints each sample of the labelled counter
/// as its value and the hexadecimal bytes of its label, and the number of families.
const READER: &str = r#"
import sys
from prometheus_client.parser import text_string_to_metric_families as parse
families = list(parse(sys.stdin.read()))
print(len(families))
for family in families:
    assert family.documentation, family.name
    assert family.type != 'unknown', family.name
    for sample in family.samples:
        if sample.name == 'worker_labelled_total':
            print(int(sample.value), sample.labels['text'].encode().hex())
"#;

#[test]
fn nasty_labels_are_read_back_equal_by_the_reference_parser() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = Worker::start(directory.path(), "labels");
    worker.wait_until_done();
    let text = agent.scrape_text();
    let mut child = Command::new(python())
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run python; tests/install-deps.sh installs the parser");
    child.stdin.take().expect("input").write_all(text.as_bytes()).expect("write to python");
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "the reference parser refuses:\n{text}");
    let output = String::from_utf8(output.stdout).expect("text");
    let mut lines = output.lines();
    let families: usize = lines.next().and_then(|line| line.parse().ok()).expect("a number");
    assert_eq!(families, text.matches("# TYPE ").count());
    let mut found: Vec<&str> = lines.collect();
    let hexadecimal =
        |label: &String| -> String { label.bytes().map(|byte| format!("{byte:02x}")).collect() };
    let mut expected: Vec<String> =
        nasty_labels().iter().map(|label| format!("1 {}", hexadecimal(label))).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn promtool_accepts_all_kinds() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = Worker::start(directory.path(), "observe --times 100");
    worker.wait_until_done();
    let (_, words) = promtool_check_metrics(&agent.scrape_text());
    // The worker's own names are free to be bad; the agent's are not, and the text must parse.
    let complaints: Vec<&str> = words.lines().filter(|line| !line.starts_with("worker_")).collect();
    assert_eq!(complaints, Vec::<&str>::new());
}

#[test]
fn the_order_of_a_scrape_is_stable_and_every_family_is_one_group() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = Worker::start(directory.path(), "labels");
    worker.wait_until_done();
    let series = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').expect("a sample").0.to_owned())
            .collect()
    };
    let (first, second) = (agent.scrape_text(), agent.scrape_text());
    assert_eq!(series(&first), series(&second));
    let types: Vec<&str> = first.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let mut unique = types.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(types.len(), unique.len());
}
