//! Labels as text, and back.

use std::borrow::Cow;
use std::sync::Arc;

use super::fragment;

/// The labels of one series as exposition text, `a="b",c="d"`, values escaped; cheap to clone.
///
/// Pairs are sorted by name, so equal sets are equal texts. Both text formats use the same
/// escapes for label values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LabelText(Arc<str>);

impl LabelText {
    /// Renders the pairs; names are valid and distinct, values are any text.
    pub fn new(pairs: &[(&str, &str)]) -> Self {
        let mut sorted = pairs.to_vec();
        sorted.sort_unstable_by_key(|pair| pair.0);
        Self(fragment::labels(&sorted).into())
    }

    /// Whether it is the same text, and not only an equal one.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The text without braces; empty for a series without labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The values, in the order of their names, without escapes.
    pub fn values(&self) -> Vec<String> {
        self.pairs().map(|(_, value)| value.into_owned()).collect()
    }

    /// Names and values of the labels, in their order, escapes undone.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let mut rest = self.as_str();
        std::iter::from_fn(move || {
            let (name, quoted) = rest.split_once("=\"")?;
            let (value, length) = unescape(quoted);
            // Behind the closing quote and the comma, if there is one more label.
            rest = quoted.get(length + 1..).unwrap_or_default();
            rest = rest.strip_prefix(',').unwrap_or(rest);
            Some((name, value))
        })
    }
}

/// A label's value up to its closing quote, and the length of its text.
fn unescape(quoted: &str) -> (Cow<'_, str>, usize) {
    let end = quoted.find(['\\', '"']).unwrap_or(quoted.len());
    let plain = quoted.get(..end).unwrap_or_default();
    if quoted.as_bytes().get(end) != Some(&b'\\') {
        return (Cow::Borrowed(plain), end);
    }
    let mut value = String::from(plain);
    let mut characters = quoted.char_indices().skip_while(|(at, _)| *at < end);
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (Cow::Owned(value), at),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, other)) => value.push(other),
                None => {}
            },
            other => value.push(other),
        }
    }
    (Cow::Owned(value), quoted.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pairs_are_read_back(
            values in prop::collection::vec("(\\\\|\"|\n|,|=|\\}|[a-zé]|\\PC){0,8}", 0..5),
        ) {
            let names = ["a", "b1", "c_", "d", "le"];
            let pairs: Vec<(&str, &str)> =
                names.into_iter().zip(values.iter().map(String::as_str)).collect();
            let text = LabelText::new(&pairs);
            let read: Vec<(&str, Cow<'_, str>)> = text.pairs().collect();
            let expected: Vec<(&str, Cow<'_, str>)> =
                pairs.iter().map(|(name, value)| (*name, Cow::Borrowed(*value))).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
