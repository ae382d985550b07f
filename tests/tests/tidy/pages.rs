//! The pages: what they name must exist, and the top level holds what it should.

use std::collections::{BTreeSet, HashSet};

use crate::scan::{Problem, line_of, words};

/// Compares the first components of all paths with the allowed set, both ways.
pub(crate) fn top_level(listing: &[String], allowed: &[&str]) -> Vec<Problem> {
    let first = |path: &String| path.split('/').next().unwrap_or_default().to_owned();
    let present: BTreeSet<String> = listing.iter().map(first).collect();
    let extra = present.iter().filter(|name| !allowed.contains(&name.as_str()));
    let missing = allowed.iter().filter(|name| !present.contains(**name));
    extra
        .map(|name| Problem::new(name, 0, "does not belong to the top level"))
        .chain(missing.map(|name| Problem::new(name, 0, "is missing at the top level")))
        .collect()
}

pub(crate) fn missing_commands(path: &str, text: &str) -> Vec<Problem> {
    ["make demo", "make check"]
        .iter()
        .filter(|command| !text.contains(**command))
        .map(|command| Problem::new(path, 0, format!("does not name `{command}`")))
        .collect()
}

/// Names of our own metrics that no source contains. A crate's name is no metric.
pub(crate) fn unknown_metrics(path: &str, text: &str, known: &HashSet<String>) -> Vec<Problem> {
    const CRATES: [&str; 4] =
        ["ringmeter_layout", "ringmeter_agent", "ringmeter_tests", "ringmeter_benches"];
    let is_known = |name: &str| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        known.contains(name) || base.is_some_and(|base| known.contains(base))
    };
    words(text)
        .filter(|(_, word)| word.starts_with("ringmeter_") && !word.ends_with('_'))
        .filter(|(_, word)| !CRATES.contains(word) && !is_known(word))
        .map(|(at, word)| {
            Problem::new(path, line_of(text, at), format!("the agent has no metric {word}"))
        })
        .collect()
}

/// Relative links whose target does not exist. `exists` takes a path from the top of the tree.
pub(crate) fn broken_links(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (line, target) in links(text) {
        let file = target.split(['#', '?']).next().unwrap_or_default();
        let is_elsewhere = file.contains("://") || file.starts_with("mailto:");
        if file.is_empty() || is_elsewhere {
            continue;
        }
        if !resolve(path, file).is_some_and(|resolved| exists(&resolved)) {
            problems.push(Problem::new(path, line, format!("broken link: {target}")));
        }
    }
    problems
}

/// Inline links and reference definitions, outside code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_fence = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
            continue;
        }
        if in_fence {
            continue;
        }
        // Even pieces are prose, odd ones `code`, which leaves an empty pair of brackets alone.
        let prose: Vec<&str> = line.split('`').step_by(2).collect();
        let prose = prose.join("");
        let definition = prose.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        let inline = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in inline.chain(definition.map(|(_, target)| target)) {
            let target = target.split_whitespace().next().unwrap_or_default();
            found.push((number, target.trim_matches(['<', '>']).to_owned()));
        }
    }
    found
}

/// Path from the top of the tree; `None` when it leaves the tree or is absolute.
fn resolve(page: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_stranger_and_a_gap_at_the_top() {
        let listing = ["agent/src/lib.rs", "notes.txt"].map(str::to_owned);
        let problems = top_level(&listing, &["agent", "README.md"]);
        let list: Vec<String> = problems.iter().map(Problem::to_string).collect();
        assert_eq!(list.len(), 2, "{list:?}");
        assert!(list[0].starts_with("notes.txt:") && list[1].starts_with("README.md:"));
        assert!(top_level(&listing[..1], &["agent"]).is_empty());
    }

    #[test]
    fn finds_a_missing_command() {
        assert_eq!(missing_commands("README.md", "run `make demo`").len(), 1);
        assert!(missing_commands("README.md", "make check\nmake demo\n").is_empty());
    }

    #[test]
    fn finds_an_unknown_metric() {
        let known = HashSet::from(["ringmeter_pass_seconds".to_owned()]);
        let text = "`ringmeter_pass_seconds_bucket`\nringmeter_layout ringmeter_*\nringmeter_no\n";
        let problems = unknown_metrics("README.md", text, &known);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].line, 3);
    }

    #[test]
    fn finds_a_broken_link() {
        let exists = |path: &str| ["README.md", "deploy/a.yml", "deploy"].contains(&path);
        let broken = |path: &str, text: &str| broken_links(path, text, &exists).len();
        assert_eq!(broken("README.md", "[a](deploy/a.yml) [b](deploy/b.yml)\n"), 1);
        assert_eq!(broken("deploy/README.md", "[`up`](../README.md#limits) [c](../../x)\n"), 1);
        assert_eq!(broken("README.md", "[ref]: missing.md\n"), 1);
        assert_eq!(broken("README.md", "[abs](/etc/hosts)\n"), 1);
        let fine = "[w](https://a.b/c) [s](#x) `a[0](x)`\n```rust\nf[1](y)\n```\n[d](deploy/)\n";
        assert_eq!(broken("README.md", fine), 0);
    }
}
