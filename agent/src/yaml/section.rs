//! Values by their keys, and everything that is wrong with the keys.

use std::collections::HashMap;

use super::node::{Node, Value, shortened};
use super::problem::{Place, Problems};

/// A value, and where it stands.
#[derive(Debug, Clone)]
pub struct At<'n> {
    /// The value.
    pub node: &'n Node,
    /// Its place.
    pub place: Place,
}

impl<'n> At<'n> {
    /// The whole file.
    pub fn top(node: &'n Node) -> Self {
        Self::of(node, String::new())
    }

    fn of(node: &'n Node, path: String) -> Self {
        Self { node, place: Place { line: node.line, column: node.column, path } }
    }

    /// Notes a problem with this value.
    pub fn problem(&self, problems: &mut Problems, message: impl Into<String>) {
        problems.add(&self.place, message);
    }

    /// Notes that it must be something else.
    pub fn expected(&self, problems: &mut Problems, what: &str) {
        self.problem(problems, format!("must be {what}, not {}", self.node.describe()));
    }

    /// The elements of a list; `None` if it is none.
    pub fn elements(&self) -> Option<impl ExactSizeIterator<Item = At<'n>>> {
        let Value::List(nodes) = &self.node.value else { return None };
        let element = |(index, node)| At::of(node, format!("{}[{index}]", self.place.path));
        Some(nodes.iter().enumerate().map(element))
    }

    /// Reads each element of a list; says so if it is none or too long.
    pub fn each<T>(
        &self,
        count_max: usize,
        problems: &mut Problems,
        mut read: impl FnMut(&At<'n>, &mut Problems) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(elements) = self.elements() else {
            self.expected(problems, "a list");
            return None;
        };
        if elements.len() > count_max {
            let message = format!("has {} elements; at most {count_max} fit", elements.len());
            self.problem(problems, message);
            return None;
        }
        Some(elements.filter_map(|at| read(&at, problems)).collect())
    }
}

/// A value that was read, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// Where it stands.
    pub place: Place,
    /// The value.
    pub value: T,
}

/// A list with the place of the whole.
pub type List<T> = Setting<Vec<Setting<T>>>;

/// One key of a mapping.
#[derive(Debug)]
pub struct Entry<'n> {
    /// The key.
    pub key: &'n str,
    /// Where the key stands.
    pub key_place: Place,
    /// What it stands for.
    pub at: At<'n>,
}

/// A mapping from which values are asked for by name.
#[derive(Debug)]
pub struct Section<'n> {
    place: Place,
    entries: Vec<Entry<'n>>,
}

impl<'n> Section<'n> {
    /// A mapping that may have certain keys; nothing at all is one without entries. Other keys,
    /// and those that stand twice, are problems.
    pub fn new(at: &At<'n>, known: &[&str], problems: &mut Problems) -> Self {
        if !matches!(at.node.value, Value::Map(_) | Value::Null) {
            at.expected(problems, &format!("a mapping with the keys {}", known.join(", ")));
        }
        let mut section = Self::of(at, problems);
        section.entries.retain(|entry| {
            let is_known = known.contains(&entry.key);
            if !is_known {
                problems.add(&entry.key_place, unknown(entry.key, known));
            }
            is_known
        });
        section
    }

    /// A mapping whose keys may have any names. What stands in its stead is not shown: it may be
    /// a password.
    pub fn open(at: &At<'n>, what: &str, problems: &mut Problems) -> Self {
        match at.node.value {
            Value::Map(_) | Value::Null => {}
            Value::List(_) => at.problem(problems, format!("must be {what}, not a list")),
            _ => at.problem(problems, format!("must be {what}, not a single value")),
        }
        Self::of(at, problems)
    }

    fn of(at: &At<'n>, problems: &mut Problems) -> Self {
        let nodes = if let Value::Map(entries) = &at.node.value { entries.as_slice() } else { &[] };
        let mut lines = HashMap::new();
        let mut section = Self { place: at.place.clone(), entries: Vec::new() };
        for (key_node, node) in nodes {
            let (line, column) = (key_node.line, key_node.column);
            let Some(key) = key_node.text() else {
                let place = Place { line, column, ..at.place.clone() };
                problems.add(&place, format!("{} cannot be a key", key_node.describe()));
                continue;
            };
            let at = At::of(node, section.path_of(key));
            let key_place = Place { line, column, path: at.place.path.clone() };
            if let Some(first) = lines.insert(key, line) {
                let message = format!("stands twice; remove one (the other is at line {first})");
                problems.add(&key_place, message);
            } else {
                section.entries.push(Entry { key, key_place, at });
            }
        }
        section
    }

    /// Where the section stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the file has nothing here.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every key with its value.
    pub fn into_entries(self) -> impl ExactSizeIterator<Item = Entry<'n>> {
        self.entries.into_iter()
    }

    /// The value of a key; one that is null is as good as none.
    pub fn at(&self, key: &str) -> Option<&At<'n>> {
        let own = self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.at);
        own.filter(|at| at.node.value != Value::Null)
    }

    /// Where a value stands, or would.
    pub fn place_of(&self, key: &str) -> Place {
        let would = || Place { path: self.path_of(key), ..self.place.clone() };
        self.at(key).map_or_else(would, |at| at.place.clone())
    }

    fn path_of(&self, key: &str) -> String {
        // A key of the file's writer may be anything; the message stays one line.
        let key = shortened(key).escape_debug().to_string();
        if self.place.path.is_empty() { key } else { format!("{}.{key}", self.place.path) }
    }

    /// Reads a value by a function that notes a problem where it returns nothing.
    pub fn read<T>(
        &self,
        key: &str,
        problems: &mut Problems,
        read: impl FnOnce(&At<'n>, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        read(self.at(key)?, problems)
    }

    /// Reads a value, and keeps its place beside it.
    pub fn setting<T>(
        &self,
        key: &str,
        problems: &mut Problems,
        read: impl FnOnce(&At<'n>, &mut Problems) -> Option<T>,
    ) -> Option<Setting<T>> {
        let at = self.at(key)?;
        Some(Setting { place: at.place.clone(), value: read(at, problems)? })
    }

    /// Reads each element of a list.
    pub fn each<T>(
        &self,
        key: &str,
        count_max: usize,
        problems: &mut Problems,
        read: impl FnMut(&At<'n>, &mut Problems) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.at(key)?.each(count_max, problems, read)
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|own| (distance(name, own), own)).min();
    match nearest {
        Some((distance, own)) if distance <= own.len() / 3 => {
            format!("is not known; did you mean {own}?")
        }
        _ => format!("is not known; the keys here are {}", known.join(", ")),
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
