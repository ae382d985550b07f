//! A document as a tree whose nodes know where they stand.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Budget, Location, Options, Spanned};

use super::problem::{Place, Problem};

/// Deeper than any file of ours; a parser that recurses needs a limit.
const DEPTH_MAX: usize = 32;
/// Values in a file, and as many again where aliases repeat them.
const NODES_MAX: usize = 100_000;
/// A value is one event, a list or a mapping is two.
const EVENTS_MAX: usize = 2 * NODES_MAX;
/// Anchors, aliases of them, and `<<` in a file.
const ANCHORS_MAX: usize = 256;

/// One value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// The value.
    pub value: Value,
    /// Where an alias has it from.
    defined: Location,
    /// What the file has for a boolean or a number.
    written: String,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing: `null`, `~`, or no text at all.
    Null,
    /// `true` or `false`; any other word is a text.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// Any other number, infinities and not-a-number included.
    Float(f64),
    /// A text, quoted or not.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file; keys may repeat.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The text of a scalar, whatever it could be besides: a number as it is written.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => Some(&self.written),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// What it is as a boolean. Where one is meant the words of YAML 1.1 are taken, too, as other
    /// readers of such files do; anywhere else `no` is a text.
    pub fn boolean(&self) -> Option<bool> {
        match &self.value {
            Value::Bool(value) => Some(*value),
            Value::Text(text) => match text.to_ascii_lowercase().as_str() {
                "yes" | "y" | "on" => Some(true),
                "no" | "n" | "off" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// What it is, for a sentence that says what was expected instead.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => {
                format!("`{}`", shortened(&self.written))
            }
            Value::Text(text) => format!("{:?}", shortened(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    /// Looks up what is written for booleans and numbers.
    fn look_up(&mut self, source: &str) {
        match &mut self.value {
            Value::Null | Value::Text(_) => {}
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => {
                let span = self.defined.span();
                let range = span.byte_offset().zip(span.byte_len()).and_then(|(offset, length)| {
                    let begin = usize::try_from(offset).ok()?;
                    source.get(begin..begin.checked_add(usize::try_from(length).ok()?)?)
                });
                // `!!int "5"` is a number, too.
                let quotes = |c: char| matches!(c, '"' | '\'') || c.is_whitespace();
                range.unwrap_or_default().trim_matches(quotes).clone_into(&mut self.written);
            }
            Value::List(nodes) => nodes.iter_mut().for_each(|node| node.look_up(source)),
            Value::Map(entries) => {
                for (key, node) in entries {
                    key.look_up(source);
                    node.look_up(source);
                }
            }
        }
    }
}

/// The begin of a text, for a message.
pub(super) fn shortened(text: &str) -> String {
    const LENGTH_MAX: usize = 60;
    match text.char_indices().nth(LENGTH_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Takes the bytes of a file apart, whatever they are. An empty file is [`Value::Null`].
///
/// # Errors
///
/// The place where they cease to be YAML.
pub fn parse(bytes: &[u8]) -> Result<Node, Problem> {
    let text = str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
        let line = before.matches('\n').count() as u64 + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() as u64 + 1;
        let place = Place { line, column, path: String::new() };
        Problem { place, message: "is not UTF-8".to_owned() }
    })?;
    let mut node: Node = serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let (line, column) =
            error.location().map_or((1, 1), |at| (at.line().max(1), at.column().max(1)));
        let words = error.without_snippet().to_string();
        let why = words.lines().next().unwrap_or_default();
        // The place stands before the message already.
        let why = why.rsplit_once(" at line ").map_or(why, |(why, _)| why);
        let message = format!("is not YAML: {why}");
        Problem { place: Place { line, column, path: String::new() }, message }
    })?;
    node.look_up(text);
    Ok(node)
}

fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_depth = DEPTH_MAX;
    budget.max_nodes = NODES_MAX;
    budget.max_events = EVENTS_MAX;
    budget.max_aliases = ANCHORS_MAX;
    budget.max_anchors = ANCHORS_MAX;
    budget.max_merge_keys = ANCHORS_MAX;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.non_finite_float_policy = NonFiniteFloatPolicy::PassThrough;
    // Labels may be called `y` and `no`.
    options.strict_booleans = true;
    options.with_snippet = false;
    options.alias_limits.max_total_replayed_events = NODES_MAX;
    options
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, defined } = Spanned::deserialize(deserializer)?;
        let (line, column) = (referenced.line().max(1), referenced.column().max(1));
        Ok(Self { line, column, value, defined, written: String::new() })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Integer(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = access.next_element()? {
            list.push(element);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = access.next_entry()? {
            map.push(entry);
        }
        Ok(Value::Map(map))
    }
}
