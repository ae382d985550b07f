//! Reading a mapping field by field, collecting every problem with its line and its path.

use std::fmt;
use std::time::Duration;

use super::yaml::{Node, Value, shortened};
use crate::config::duration;

/// As many problems are told at once.
const PROBLEMS_MAX: usize = 100;

/// One thing in the file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem {
    /// Its line, 1 for the first; 0 if it has none.
    pub line: u64,
    /// Where it is, as `views[0].metric`; empty for the file itself.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// What is wrong so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<FileProblem>,
    untold: usize,
}

impl Problems {
    pub(super) fn add(&mut self, line: u64, path: &str, message: impl Into<String>) {
        if self.found.len() < PROBLEMS_MAX {
            let problem = FileProblem { line, path: path.to_owned(), message: message.into() };
            self.found.push(problem);
        } else {
            self.untold += 1;
        }
    }

    /// All of them, in the order of the file.
    pub(super) fn into_list(mut self) -> Vec<FileProblem> {
        self.found.sort_by_key(|problem| problem.line);
        if self.untold > 0 {
            let message = format!("and {} more problems", self.untold);
            self.found.push(FileProblem { line: 0, path: String::new(), message });
        }
        self.found
    }
}

/// A node and what to call it.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) node: &'a Node,
    pub(super) path: &'a str,
}

impl At<'_> {
    /// Adds a problem with this node.
    pub(super) fn problem(&self, problems: &mut Problems, message: impl Into<String>) {
        problems.add(self.node.line, self.path, message);
    }

    /// Adds "must be what, not what it is".
    pub(super) fn expected(&self, problems: &mut Problems, what: &str) {
        self.problem(problems, format!("must be {what}, not {}", self.node.value.describe()));
    }
}

/// A mapping whose keys are known.
pub(super) struct Section<'a> {
    line: u64,
    path: String,
    entries: Vec<(&'a str, &'a Node)>,
}

impl<'a> Section<'a> {
    /// Looks at the keys: unknown ones, and ones that stand twice, are problems. Nothing at all is
    /// a mapping without entries.
    pub(super) fn new(at: At<'a>, known: &[&str], problems: &mut Problems) -> Self {
        let mut section =
            Self { line: at.node.line, path: at.path.to_owned(), entries: Vec::new() };
        let entries = match &at.node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            _ => {
                at.expected(problems, &format!("a mapping with the keys {}", list(known)));
                &[]
            }
        };
        for (key, node) in entries {
            let Value::Text(name) = &key.value else {
                let message = format!("{} is not a key; use {}", key.value.describe(), list(known));
                problems.add(key.line, &section.path, message);
                continue;
            };
            let path = section.path_of(&shortened(name));
            if !known.contains(&name.as_str()) {
                problems.add(key.line, &path, unknown(name, known));
            } else if let Some((_, first)) = section.entries.iter().find(|own| own.0 == name) {
                let message = format!("stands twice; remove one (the other is at {})", first.line);
                problems.add(key.line, &path, message);
            } else {
                section.entries.push((name, node));
            }
        }
        section
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Line of the section.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Path of the section.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Line of an entry, or of the section.
    pub(super) fn line_of(&self, key: &str) -> u64 {
        self.node(key).map_or(self.line, |node| node.line)
    }

    /// The entry with this key; one without a value is as good as none.
    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        let own = self.entries.iter().find(|entry| entry.0 == key).map(|entry| entry.1);
        own.filter(|node| !matches!(node.value, Value::Null))
    }

    /// Reads an entry by a function that adds a problem where it returns nothing.
    pub(super) fn read<T>(
        &self,
        key: &str,
        problems: &mut Problems,
        read: impl FnOnce(At<'_>, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        let node = self.node(key)?;
        read(At { node, path: &self.path_of(key) }, problems)
    }

    pub(super) fn text(&self, key: &str, problems: &mut Problems) -> Option<String> {
        self.read(key, problems, text)
    }

    pub(super) fn flag(&self, key: &str, problems: &mut Problems) -> Option<bool> {
        self.read(key, problems, |at, problems| match at.node.value {
            Value::Bool(value) => Some(value),
            _ => {
                at.expected(problems, "true or false");
                None
            }
        })
    }

    /// A whole number from `low` to `high`.
    pub(super) fn number(
        &self,
        key: &str,
        (low, high): (u64, u64),
        problems: &mut Problems,
    ) -> Option<u64> {
        self.read(key, problems, |at, problems| {
            let value = match at.node.value {
                Value::Integer(value) => u64::try_from(value).ok(),
                _ => None,
            };
            let value = value.filter(|value| (low..=high).contains(value));
            if value.is_none() {
                at.expected(problems, &format!("a whole number from {low} to {high}"));
            }
            value
        })
    }

    /// A duration from `low` to `high`, as Prometheus writes them.
    pub(super) fn duration(
        &self,
        key: &str,
        (low, high): (Duration, Duration),
        problems: &mut Problems,
    ) -> Option<Duration> {
        self.read(key, problems, |at, problems| {
            let value = match &at.node.value {
                Value::Text(text) => duration::parse(text, high).ok(),
                Value::Integer(0) => Some(Duration::ZERO),
                _ => None,
            };
            let value = value.filter(|value| *value >= low);
            if value.is_none() {
                let (low, high) = (duration::format(low), duration::format(high));
                let what = format!("a duration from {low} to {high}, as 500ms or 1m30s");
                at.expected(problems, &what);
            }
            value
        })
    }

    /// A number of bytes from `low` to `high`, as `64MiB` or as a whole number.
    pub(super) fn bytes(
        &self,
        key: &str,
        (low, high): (u64, u64),
        problems: &mut Problems,
    ) -> Option<u64> {
        self.read(key, problems, |at, problems| {
            let value = match &at.node.value {
                Value::Integer(value) => u64::try_from(*value).ok(),
                Value::Text(text) => parse_bytes(text),
                _ => None,
            };
            let value = value.filter(|value| (low..=high).contains(value));
            if value.is_none() {
                let (low, high) = (format_bytes(low), format_bytes(high));
                at.expected(problems, &format!("a size from {low} to {high}, as 64MiB"));
            }
            value
        })
    }

    /// Reads each element of a list; says so if it is none or too long.
    pub(super) fn each<T>(
        &self,
        key: &str,
        count_max: usize,
        problems: &mut Problems,
        mut read: impl FnMut(At<'_>, &mut Problems) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.read(key, problems, |at, problems| {
            let Value::List(nodes) = &at.node.value else {
                at.expected(problems, "a list");
                return None;
            };
            if nodes.len() > count_max {
                let message = format!("has {} elements; at most {count_max} fit", nodes.len());
                at.problem(problems, message);
                return None;
            }
            let read_one = |(index, node)| {
                let path = format!("{}[{index}]", at.path);
                read(At { node, path: &path }, problems)
            };
            let all: Vec<Option<T>> = nodes.iter().enumerate().map(read_one).collect();
            all.into_iter().collect()
        })
    }
}

/// A text, or what reads as one.
pub(super) fn text(at: At<'_>, problems: &mut Problems) -> Option<String> {
    match &at.node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Integer(value) => Some(value.to_string()),
        _ => {
            at.expected(problems, "a text; put it into quotes");
            None
        }
    }
}

/// A finite number.
pub(super) fn finite(at: At<'_>, problems: &mut Problems) -> Option<f64> {
    let value = match at.node.value {
        Value::Integer(value) => Some(value as f64),
        Value::Float(value) => Some(value).filter(|value| value.is_finite()),
        _ => None,
    };
    if value.is_none() {
        at.expected(problems, "a number");
    }
    value
}

/// One of several words.
pub(super) fn word<T: Copy>(at: At<'_>, words: &[(&str, T)], problems: &mut Problems) -> Option<T> {
    let Value::Text(text) = &at.node.value else {
        at.expected(problems, &format!("one of {}", list(&names(words))));
        return None;
    };
    let known = words.iter().find(|(name, _)| name == text).map(|(_, value)| *value);
    if known.is_none() {
        at.expected(problems, &format!("one of {}", list(&names(words))));
    }
    known
}

fn names<'a, T>(words: &[(&'a str, T)]) -> Vec<&'a str> {
    words.iter().map(|(name, _)| *name).collect()
}

fn list(names: &[&str]) -> String {
    names.join(", ")
}

fn unknown(name: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|own| (distance(name, own), own)).min();
    match nearest {
        Some((distance, own)) if distance <= own.len() / 3 => {
            format!("is not known; did you mean {own}?")
        }
        _ => format!("is not known; the keys here are {}", list(known)),
    }
}

/// Letters to add, remove or change to get from one word to the other.
fn distance(one: &str, other: &str) -> usize {
    const LENGTH_MAX: usize = 64;
    if one.len() > LENGTH_MAX {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (at, own) in one.chars().enumerate() {
        let mut left = at + 1;
        let mut corner = at;
        for (above, letter) in row.iter_mut().skip(1).zip(other.chars()) {
            let changed = corner + usize::from(own != letter);
            corner = *above;
            *above = changed.min(left + 1).min(corner + 1);
            left = *above;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

const BYTE_UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("B", 0)];

fn parse_bytes(text: &str) -> Option<u64> {
    let (unit, shift) = BYTE_UNITS.into_iter().find(|(unit, _)| text.ends_with(unit))?;
    let digits = text.strip_suffix(unit)?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 = Some(digits).filter(|_| is_number)?.parse().ok()?;
    count.checked_mul(1 << shift)
}

/// A size as the file has it.
pub(super) fn format_bytes(bytes: u64) -> String {
    let units = [("GiB", 30u32), ("MiB", 20), ("KiB", 10)];
    let fitting =
        units.into_iter().find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    fitting.map_or_else(|| format!("{bytes}B"), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}
