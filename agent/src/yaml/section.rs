//! Values out of nodes, and everything that is wrong with them.

use std::fmt;

use super::node::{Entry, Node, Value};

/// Where something stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// Keys and indices from the top, as `a.b[2]`; empty for the file itself.
    pub path: String,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.place.line, self.place.column)?;
        if !self.place.path.is_empty() {
            write!(f, "{}: ", self.place.path)?;
        }
        f.write_str(&self.message)
    }
}

/// The mistakes of a file.
#[derive(Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// Notes one more.
    pub fn add(&mut self, place: &Place, message: impl Into<String>) {
        self.list.push(Problem { place: place.clone(), message: message.into() });
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All, in the order of their lines.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.list.sort_by_key(|problem| (problem.place.line, problem.place.column));
        self.list
    }
}

/// A value that was written, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// Where it stands.
    pub place: Place,
    /// The value.
    pub value: T,
}

/// A list with the place of the whole.
pub type List<T> = Setting<Vec<Setting<T>>>;

/// A mapping from which values are asked for by name. What was not asked for is unknown.
#[derive(Debug)]
pub struct Section<'n> {
    place: Place,
    entries: &'n [Entry],
    known: Vec<&'static str>,
}

impl<'n> Section<'n> {
    /// The top of a file, which has to be a mapping or empty.
    pub fn top(node: &'n Node, problems: &mut Problems) -> Self {
        let place = Place { line: node.line, column: node.column, path: String::new() };
        Self::of(node, place, problems)
    }

    fn of(node: &'n Node, place: Place, problems: &mut Problems) -> Self {
        let entries: &[Entry] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            Value::Scalar { .. } | Value::List(_) => {
                problems.add(&place, "must be a mapping of keys to values");
                &[]
            }
        };
        for (index, entry) in entries.iter().enumerate() {
            if entries.iter().take(index).any(|earlier| earlier.key == entry.key) {
                let (line, column) = (entry.line, entry.column);
                let place = Place { line, column, path: join(&place.path, &entry.key) };
                problems.add(&place, "is there twice: keep one of them");
            }
        }
        Self { place, entries, known: Vec::new() }
    }

    /// Where the section stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the file has nothing here.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every key with its value, whatever their names; then all of them are known.
    pub fn into_entries(self) -> impl Iterator<Item = (Place, &'n str, &'n Node)> {
        let path = self.place.path;
        self.entries.iter().map(move |entry| {
            let (line, column) = (entry.line, entry.column);
            let place = Place { line, column, path: join(&path, &entry.key) };
            (place, entry.key.as_str(), &entry.node)
        })
    }

    fn get(&mut self, key: &'static str) -> Option<(Place, &'n Node)> {
        self.known.push(key);
        let node = &self.entries.iter().find(|entry| entry.key == key)?.node;
        let (line, column) = (node.line, node.column);
        Some((Place { line, column, path: join(&self.place.path, key) }, node))
    }

    /// The section under a key; an empty one if the key is not there.
    pub fn section(&mut self, key: &'static str, problems: &mut Problems) -> Self {
        match self.get(key) {
            Some((place, node)) => Self::of(node, place, problems),
            None => {
                let place = Place { path: join(&self.place.path, key), ..self.place.clone() };
                Self { place, entries: &[], known: Vec::new() }
            }
        }
    }

    /// A text; `None` if it is not there, or null.
    pub fn text(&mut self, key: &'static str, problems: &mut Problems) -> Option<Setting<String>> {
        let (place, node) = self.get(key)?;
        let value = text_of(node, &place, problems)?;
        Some(Setting { place, value })
    }

    /// A boolean; `None` if it is not there, or null.
    pub fn boolean(&mut self, key: &'static str, problems: &mut Problems) -> Option<bool> {
        let (place, node) = self.get(key)?;
        match &node.value {
            Value::Null => None,
            Value::Scalar { boolean: Some(value), .. } => Some(*value),
            _ => {
                problems.add(&place, "must be true or false");
                None
            }
        }
    }

    /// A list of texts; `None` if it is not there, or null.
    pub fn texts(&mut self, key: &'static str, problems: &mut Problems) -> Option<List<String>> {
        let (place, node) = self.get(key)?;
        let nodes = match &node.value {
            Value::List(nodes) => nodes,
            Value::Null => return None,
            Value::Scalar { .. } | Value::Map(_) => {
                problems.add(&place, "must be a list");
                return None;
            }
        };
        let mut value = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let path = format!("{}[{index}]", place.path);
            let place = Place { line: node.line, column: node.column, path };
            let text = text_of(node, &place, problems);
            value.extend(text.map(|value| Setting { place, value }));
        }
        Some(Setting { place, value })
    }

    /// Notes every key that was not asked for.
    pub fn finish(self, problems: &mut Problems) {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(&entry.key.as_str())) {
            let (line, column) = (entry.line, entry.column);
            let place = Place { line, column, path: join(&self.place.path, &entry.key) };
            let known = self.known.join(", ");
            problems.add(&place, format!("unknown key: must be one of {known}"));
        }
    }
}

/// The text of a scalar, quoted or not; anything else is a problem, null is nothing.
pub(super) fn text_of(node: &Node, place: &Place, problems: &mut Problems) -> Option<String> {
    match &node.value {
        Value::Null => None,
        Value::Scalar { text, .. } => Some(text.clone()),
        Value::List(_) | Value::Map(_) => {
            problems.add(place, "must be a single value");
            None
        }
    }
}

impl Node {
    /// Its text if it is a scalar; anything else but null is a problem.
    pub fn text(&self, place: &Place, problems: &mut Problems) -> Option<String> {
        text_of(self, place, problems)
    }
}

fn join(path: &str, key: &str) -> String {
    // A key of the file's writer may be anything; the message stays one line.
    let key = key.escape_debug();
    if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
}
