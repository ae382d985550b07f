//! `ringmeter bench` from outside: its table, and what it says when it cannot make one.
#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::process::{Command, Output};

use ringmeter_tests::directory::Directory;
use ringmeter_tests::process::binary;

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary("ringmeter"));
    // What is set for production must reach neither the agent nor the program that records.
    command.arg("bench").args(arguments).env("RINGMETER_DIR", "/nonexistent");
    command.env("RINGMETER_WEB_TELEMETRY_PATH", "/elsewhere").output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_kind_has_a_line_and_every_call_is_scraped() {
    let directory = Directory::new();
    let output = bench(&["--seconds=3", "--dir", &directory.path().display().to_string()]);
    let (table, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{table}{errors}");
    let lines: Vec<&str> = table.lines().collect();
    for kind in ["counter  ", "gauge, set", "histogram  ", "summary", "histogram, two labels"] {
        let line = lines.iter().find(|line| line.starts_with(kind)).expect(kind);
        let numbers = line.split_whitespace().filter(|word| word.parse::<f64>().is_ok());
        // Median, 99 % and 99.9 %, with an agent and without.
        assert_eq!(numbers.count(), 6, "{line}");
    }
    // Compared by the command itself, which fails otherwise.
    assert!(table.contains("calls are in a scrape"), "{table}");
}

#[test]
fn a_missing_program_is_told_how_to_get() {
    let output = bench(&["--producer-binary=/nonexistent/record_cost"]);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("cargo install --path producer-sdk --example record_cost"), "{errors}");
}
