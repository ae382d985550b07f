//! Names with wildcards.

use std::fmt;

/// A text in which `*` stands for any characters, also none, and `?` for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Box<str>);

impl Glob {
    /// A glob as written.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for one text only.
    pub fn is_plain(&self) -> bool {
        !self.0.contains(['*', '?'])
    }

    /// Whether it stands for `text`, all of it. Takes at most the product of both lengths.
    pub fn matches(&self, text: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.chars(), text.chars());
        // Where to go on when what follows the last `*` did not fit: one character later.
        let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
        loop {
            let at = rest.clone();
            match (pattern.next(), rest.next()) {
                (Some('*'), _) => {
                    rest = at.clone();
                    retry = Some((pattern.clone(), at));
                }
                (Some('?'), Some(_)) => {}
                (Some(own), Some(other)) if own == other => {}
                (None, None) => return true,
                _ => {
                    let Some((after, from)) = &mut retry else { return false };
                    if from.next().is_none() {
                        return false;
                    }
                    (pattern, rest) = (after.clone(), from.clone());
                }
            }
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards() {
        for (glob, text, is_match) in [
            ("app_total", "app_total", true),
            ("app_total", "app_totals", false),
            ("app_*", "app_", true),
            ("app_*", "app_x", true),
            ("app_*", "ap_x", false),
            ("*_seconds", "a_seconds_seconds", true),
            ("*_seconds", "a_seconds_", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?", "é", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("**", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
        ] {
            assert_eq!(Glob::new(glob).matches(text), is_match, "{glob} {text}");
        }
    }

    proptest! {
        #[test]
        fn a_glob_is_the_regular_expression_that_it_stands_for(
            glob in "[ab*?]{0,8}", text in "[ab]{0,10}",
        ) {
            let expression = glob.replace('*', ".*").replace('?', ".");
            let expected = regex::Regex::new(&format!("^(?s:{expression})$")).unwrap();
            prop_assert_eq!(Glob::new(&glob).matches(&text), expected.is_match(&text));
        }
    }
}
