//! PromQL: parsed by promtool, and the names in it looked up in the agent's own table.

use std::collections::BTreeSet;

use ringmeter_agent::metrics::OWN_METRICS;

use super::promtool;

/// Labels that the server adds; `container` only in a cluster.
const TARGET_LABELS: [&str; 3] = ["job", "instance", "container"];
/// Words that are neither functions nor metrics.
const KEYWORDS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];
/// Words before a list of labels.
const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// A piece of an expression.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Text(&'a str),
    Sign(char),
}

/// The words, strings and signs; ranges in brackets are left out.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.');
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '"' => {
                let (inner, after) = rest[1..].split_once('"').unwrap_or((&rest[1..], ""));
                (Some(Token::Text(inner)), after)
            }
            '[' => (None, rest.split_once(']').map_or("", |(_, after)| after)),
            c if is_word(c) => {
                let (word, after) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
                (Some(Token::Word(word)), after)
            }
            c => (Some(Token::Sign(c)), &rest[c.len_utf8()..]),
        };
        found.extend(token);
        rest = after.trim_start();
    }
    found
}

/// What an expression names.
#[derive(Default)]
struct Names {
    metrics: BTreeSet<String>,
    /// Of matchers and groupings, whatever metric they are of.
    labels: BTreeSet<String>,
}

impl Names {
    fn of(text: &str) -> Self {
        let tokens = tokens(text);
        let mut names = Self::default();
        // What ends the present list of labels: of matchers, or of a grouping.
        let mut list_end = None;
        for (at, token) in tokens.iter().enumerate() {
            let next = tokens.get(at + 1);
            match token {
                Token::Sign('{') => list_end = Some('}'),
                Token::Sign(sign) if list_end == Some(*sign) => list_end = None,
                Token::Word("__name__") if list_end == Some('}') => {
                    let value = tokens[at..].iter().find_map(|token| match token {
                        Token::Text(value) => Some((*value).to_owned()),
                        _ => None,
                    });
                    names.metrics.extend(value);
                }
                Token::Word(word) if list_end.is_some() => {
                    names.labels.insert((*word).to_owned());
                }
                Token::Word(word) if GROUPINGS.contains(word) => list_end = Some(')'),
                Token::Word(word) => {
                    let is_number = word.starts_with(|c: char| c.is_ascii_digit());
                    let is_call = next == Some(&Token::Sign('('))
                        || matches!(next, Some(Token::Word("by" | "without")));
                    if !is_number && !is_call && !KEYWORDS.contains(word) {
                        names.metrics.insert((*word).to_owned());
                    }
                }
                Token::Sign(_) | Token::Text(_) => {}
            }
        }
        names
    }
}

/// What is wrong with the names in an expression; the metrics that are not the agent's come back.
pub(super) fn check(text: &str) -> Result<BTreeSet<String>, String> {
    let names = Names::of(text);
    let mut known: BTreeSet<&str> = TARGET_LABELS.into_iter().collect();
    let mut others = BTreeSet::new();
    for metric in &names.metrics {
        match OWN_METRICS.iter().find(|own| own.name == metric) {
            Some(own) => drop(known.insert(own.label)),
            None if metric.starts_with("ringmeter_") => {
                return Err(format!("{text}: the agent has no metric {metric}"));
            }
            None => {
                known.insert("le");
                others.insert(metric.clone());
            }
        }
    }
    if names.metrics.is_empty() {
        return Err(format!("{text}: names no metric"));
    }
    match names.labels.iter().find(|label| !known.contains(label.as_str())) {
        Some(label) => Err(format!("{text}: none of its metrics has a label {label}")),
        None => Ok(others),
    }
}

/// Has promtool parse all of them, as one file of rules; what it says if one is wrong.
pub(super) fn parse(expressions: &[String]) -> Result<(), String> {
    let rules = expressions.iter().enumerate().map(|(number, expression)| {
        let quoted = serde_json::Value::from(expression.as_str());
        format!("      - record: expression_{number}\n        expr: {quoted}\n")
    });
    let rules: String = rules.collect();
    let name = format!("ringmeter-expressions-{}-{}.yml", std::process::id(), expressions.len());
    let file = std::env::temp_dir().join(name);
    let text = format!("groups:\n  - name: expressions\n    rules:\n{rules}");
    std::fs::write(&file, text).expect("write");
    let (is_good, words) = promtool(&["check", "rules", file.to_str().expect("UTF-8")]);
    std::fs::remove_file(&file).expect("clean up");
    if is_good { Ok(()) } else { Err(words) }
}

#[test]
fn mistakes_are_found() {
    let mistakes = [
        ("rate(ringmeter_record_drained_total[5m])", "no metric ringmeter_record_drained_total"),
        ("sum by (state) (ringmeter_series)", "label state"),
        ("sum(ringmeter_series) without (stat)", "label stat"),
        ("ringmeter_segments{stat=\"live\"}", "label stat"),
        ("max(ringmeter_series) / on (reason) ringmeter_series_limit", "label reason"),
        ("1 + 1", "names no metric"),
    ];
    for (text, problem) in mistakes {
        let found = check(text).expect_err(text);
        assert!(found.contains(problem), "{found}");
    }
    let good = "sum by (state, job) (ringmeter_segments{state=\"live\", job=~\".*\"}) > 0.5";
    assert_eq!(check(good), Ok(BTreeSet::new()));
    let others = check("sum by (le) (rate({__name__=\"x_bucket\"}[5m])) or vector(0)");
    assert_eq!(others, Ok(BTreeSet::from(["x_bucket".to_owned()])));
    assert_eq!(parse(&[good.to_owned()]), Ok(()));
    let broken = ["sum(ringmeter_series", "rate(ringmeter_series)", "ringmeter_series{a}"];
    for text in broken {
        let words = parse(&[good.to_owned(), text.to_owned()]).expect_err(text);
        assert!(words.contains("expression_1"), "{words}");
    }
}
