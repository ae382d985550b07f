//! The table of what survives what: each row names tests that there are.

use super::{path, text};

/// The tests that a row names: file under `tests/tests` without its ending, and function.
fn tests_of(row: &str) -> Vec<(&str, &str)> {
    let quoted = row.split('`').skip(1).step_by(2);
    quoted.filter_map(|words| words.split_once("::")).collect()
}

fn is_there((file, function): &(&str, &str)) -> bool {
    let file = path("tests/tests").join(file).with_extension("rs");
    let declaration = format!("#[test]\nfn {function}() {{");
    std::fs::read_to_string(file).is_ok_and(|text| text.contains(&declaration))
}

#[test]
fn every_row_names_tests_that_there_are() {
    let readme = text("deploy/README.md");
    let section = readme.split("\n## ").find(|section| section.starts_with("What survives what"));
    let rows = section.expect("a section").lines().filter(|line| line.starts_with("| "));
    let rows: Vec<&str> = rows.skip(1).collect();
    assert!(rows.len() >= 12, "{rows:#?}");
    for row in rows {
        let (_, last) = row.trim_end_matches(" |").rsplit_once(" | ").expect("three columns");
        let tests = tests_of(last);
        assert!(!tests.is_empty(), "no test shows it: {row}");
        let missing: Vec<_> = tests.iter().filter(|test| !is_there(test)).collect();
        assert!(missing.is_empty(), "no such tests: {missing:?}");
    }
    assert!(!is_there(&("containers", "no_such_test")));
    assert!(!is_there(&("deploy/survival", "is_there")), "what is none");
}
