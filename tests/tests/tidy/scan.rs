//! Separates Rust code from its comments and literals, line for line, and splits text in words.
//!
//! This is a scanner, not a parser: enough to tell a brace in a string from a brace in code.

use std::fmt;

/// A file of the tree.
pub(crate) struct File {
    /// Relative to the top of the tree, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// One violation, printed so that an editor can jump to it.
#[derive(Debug)]
pub(crate) struct Problem {
    path: String,
    /// Counted from 1; 0 means the whole file.
    pub(crate) line: usize,
    what: String,
}

impl Problem {
    pub(crate) fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// The same text twice, with equal line breaks: in each view all else is blank.
pub(crate) struct Views {
    /// No comments, and string and character literals emptied.
    pub(crate) code: String,
    /// Comments only, with their slashes.
    pub(crate) comments: String,
}

pub(crate) fn views(text: &str) -> Views {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut comments = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let comment_end = comment_end(&chars, at);
        let end = comment_end.or_else(|| literal_end(&chars, at)).unwrap_or(at + 1);
        let is_literal = comment_end.is_none() && end > at + 1;
        for &c in &chars[at..end] {
            let blank = if c == '\n' { '\n' } else { ' ' };
            code.push(if comment_end.is_none() && !is_literal { c } else { blank });
            comments.push(if comment_end.is_some() { c } else { blank });
        }
        at = end;
    }
    Views { code, comments }
}

fn starts_with(chars: &[char], at: usize, what: &str) -> bool {
    what.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c))
}

fn comment_end(chars: &[char], at: usize) -> Option<usize> {
    if starts_with(chars, at, "//") {
        let length = chars[at..].iter().position(|&c| c == '\n');
        return Some(length.map_or(chars.len(), |n| at + n));
    }
    if !starts_with(chars, at, "/*") {
        return None;
    }
    let (mut depth, mut end) = (1, at + 2);
    while end < chars.len() && depth > 0 {
        if starts_with(chars, end, "/*") {
            depth += 1;
            end += 2;
        } else if starts_with(chars, end, "*/") {
            depth -= 1;
            end += 2;
        } else {
            end += 1;
        }
    }
    Some(end.min(chars.len()))
}

/// End of the string or character literal that begins at `at`, if one does.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    match chars[at] {
        '"' => Some(quoted_end(chars, at + 1, '"')),
        'r' | 'b' | 'c' if at == 0 || !is_word(chars[at - 1]) => prefixed_end(chars, at),
        // 'a' and '\n' are characters, 'a without an end is a lifetime.
        '\'' if chars.get(at + 1) == Some(&'\\') => Some(quoted_end(chars, at + 1, '\'')),
        '\'' if chars.get(at + 2) == Some(&'\'') => Some(at + 3),
        _ => None,
    }
}

/// `b"…"`, `c"…"`, `b'…'`, `r"…"`, `r#"…"#`, `br#"…"#`, `cr#"…"#`.
fn prefixed_end(chars: &[char], at: usize) -> Option<usize> {
    let mut quote = at + 1;
    if chars[at] != 'r' {
        match chars.get(quote)? {
            '"' => return Some(quoted_end(chars, quote + 1, '"')),
            '\'' if chars[at] == 'b' => return Some(quoted_end(chars, quote + 1, '\'')),
            'r' => quote += 1,
            _ => return None,
        }
    }
    let hashes = chars[quote..].iter().take_while(|&&c| c == '#').count();
    quote += hashes;
    if chars.get(quote) != Some(&'"') {
        return None;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let end = (quote + 1..chars.len()).find(|&i| starts_with(chars, i, &close));
    Some(end.map_or(chars.len(), |i| i + close.len()))
}

fn quoted_end(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Byte offset and text of every run of letters, digits and underscores.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + text[rest..].find(is_word)?;
        let end = text[start..].find(|c| !is_word(c)).map_or(text.len(), |n| start + n);
        rest = end;
        Some((start, &text[start..end]))
    })
}

/// Line of a byte offset, counted from 1.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_leave_the_code() {
        let text = "let a = \"{ // no\"; // yes { \"\nlet b = r#\"}\"\n{\"#; /* { /* } */ */ c";
        let views = views(text);
        assert_eq!(views.code.matches('{').count(), 0, "{}", views.code);
        assert_eq!(views.code.matches('}').count(), 0, "{}", views.code);
        assert!(views.code.ends_with(" c"));
        assert!(views.comments.contains("// yes { \""));
        assert!(!views.comments.contains("no"));
        assert_eq!(views.code.lines().count(), text.lines().count());
    }

    #[test]
    fn characters_are_not_lifetimes() {
        let views = views("fn f<'a>(x: &'a str) { '{'; '\\''; b'}'; b\"}\\\"}\"; r#try; '\"' }");
        assert_eq!(views.code.matches('{').count(), 1, "{}", views.code);
        assert_eq!(views.code.matches('}').count(), 1, "{}", views.code);
        assert!(views.code.contains("'a str") && views.code.contains("r#try"));
    }

    #[test]
    fn an_open_end_does_not_hang() {
        for text in ["\"abc\\", "r##\"abc\"#", "/* /* */", "'\\", "b'", "//", "'"] {
            assert_eq!(views(text).code.chars().count(), text.chars().count());
        }
    }

    #[test]
    fn words_have_offsets() {
        let found: Vec<_> = words("a::b_1 (ü)").collect();
        assert_eq!(found, [(0, "a"), (3, "b_1"), (8, "ü")]);
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }
}
