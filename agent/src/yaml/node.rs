//! A document as a tree whose nodes know where they stand.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Spanned};

use super::section::{Place, Problem};

/// Deeper than any file of ours; a parser that recurses needs a limit.
const DEPTH_MAX: usize = 32;
/// Values in a file, aliases replayed.
const NODES_MAX: usize = 100_000;

/// One value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// The value.
    pub value: Value,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing: `null`, `~`, or no text at all.
    Null,
    /// A scalar.
    Scalar {
        /// Its text, as written.
        text: String,
        /// What it is as a boolean, if it is one.
        boolean: Option<bool>,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file; keys may repeat.
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Its line, from 1.
    pub line: u64,
    /// Its column, from 1.
    pub column: u64,
    /// What it stands for.
    pub node: Node,
}

/// Takes a document apart. An empty one is [`Value::Null`].
///
/// # Errors
///
/// The place where the text ceases to be YAML.
pub fn parse(text: &str) -> Result<Node, Problem> {
    if text.lines().all(|line| line.trim_start().is_empty() || line.starts_with('#')) {
        return Ok(Node { line: 1, column: 1, value: Value::Null });
    }
    let mut options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    if let Some(budget) = options.budget.as_mut() {
        budget.max_depth = DEPTH_MAX;
        budget.max_nodes = NODES_MAX;
        budget.max_events = 4 * NODES_MAX;
    }
    options.alias_limits.max_total_replayed_events = NODES_MAX;
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => Ok(resolve(raw, text)),
        Err(error) => {
            let (line, column) =
                error.location().map_or((1, 1), |at| (at.line().max(1), at.column().max(1)));
            let place = Place { line, column, path: String::new() };
            Err(Problem { place, message: error.without_snippet().to_string() })
        }
    }
}

/// A value as the deserializer tells it.
enum Raw {
    Null,
    Bool(bool),
    /// A number: its text is taken from the file.
    Plain,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = access.next_element()? {
            list.push(element);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = access.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

fn resolve(raw: Spanned<Raw>, source: &str) -> Node {
    let (at, defined) = (raw.referenced, raw.defined);
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(value) => Value::Scalar { text: written(defined, source), boolean: Some(value) },
        Raw::Plain => Value::Scalar { text: written(defined, source), boolean: None },
        Raw::Text(text) => Value::Scalar { text, boolean: None },
        Raw::List(list) => Value::List(list.into_iter().map(|raw| resolve(raw, source)).collect()),
        Raw::Map(map) => Value::Map(map.into_iter().map(|entry| pair(entry, source)).collect()),
    };
    Node { line: at.line(), column: at.column(), value }
}

fn pair((key, raw): (Spanned<String>, Spanned<Raw>), source: &str) -> Entry {
    let at = key.referenced;
    Entry { key: key.value, line: at.line(), column: at.column(), node: resolve(raw, source) }
}

/// The text of a plain scalar, as it stands in the file.
fn written(at: Location, source: &str) -> String {
    let span = at.span();
    let range = span.byte_offset().zip(span.byte_len()).and_then(|(offset, length)| {
        let begin = usize::try_from(offset).ok()?;
        source.get(begin..begin.checked_add(usize::try_from(length).ok()?)?)
    });
    range.unwrap_or_default().trim().to_owned()
}
