//! Readers of single values, for [`Section::read`](super::Section::read) and its like: each notes
//! what is wrong where it returns nothing.

use super::node::Value;
use super::problem::Problems;
use super::section::{At, Setting};

/// A list of texts may be this long.
const TEXTS_MAX: usize = 1024;

/// The text of a scalar, as it is written.
pub fn text(at: &At<'_>, problems: &mut Problems) -> Option<String> {
    let text = at.node.text();
    if text.is_none() {
        at.expected(problems, "a text");
    }
    text.map(str::to_owned)
}

/// A list of texts.
pub fn texts(at: &At<'_>, problems: &mut Problems) -> Option<Vec<Setting<String>>> {
    at.each(TEXTS_MAX, problems, |at, problems| {
        Some(Setting { place: at.place.clone(), value: text(at, problems)? })
    })
}

/// A boolean.
pub fn flag(at: &At<'_>, problems: &mut Problems) -> Option<bool> {
    let value = at.node.boolean();
    if value.is_none() {
        at.expected(problems, "true or false");
    }
    value
}

/// A whole number from `low` to `high`.
pub fn number((low, high): (u64, u64)) -> impl FnOnce(&At<'_>, &mut Problems) -> Option<u64> {
    move |at, problems| {
        let value = match at.node.value {
            Value::Integer(value) => u64::try_from(value).ok(),
            _ => None,
        };
        let value = value.filter(|value| (low..=high).contains(value));
        if value.is_none() {
            at.expected(problems, &format!("a whole number from {low} to {high}"));
        }
        value
    }
}

/// A finite number.
pub fn finite(at: &At<'_>, problems: &mut Problems) -> Option<f64> {
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
pub fn word<T: Copy>(at: &At<'_>, words: &[(&str, T)], problems: &mut Problems) -> Option<T> {
    let text = at.node.text();
    let known = words.iter().find(|(name, _)| Some(*name) == text).map(|(_, value)| *value);
    if known.is_none() {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        at.expected(problems, &format!("one of {}", names.join(", ")));
    }
    known
}
