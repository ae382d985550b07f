//! Sizes, unfinished work, whitespace.

use crate::scan::{Problem, line_of, views, words};

const LINE_LENGTH_MAX_CHARS: usize = 100;
const FUNCTION_LENGTH_MAX_LINES: usize = 70;
const FILE_LENGTH_MAX_LINES: usize = 600;

pub(crate) fn long_lines(path: &str, text: &str) -> Vec<Problem> {
    let lengths = text.lines().map(|line| line.chars().count());
    (1..)
        .zip(lengths)
        .filter(|&(_, length)| length > LINE_LENGTH_MAX_CHARS)
        .map(|(line, n)| {
            Problem::new(path, line, format!("{n} characters, limit {LINE_LENGTH_MAX_CHARS}"))
        })
        .collect()
}

/// From the line with `fn` to the closing brace, comments included.
pub(crate) fn long_functions(path: &str, text: &str) -> Vec<Problem> {
    let code = views(text).code;
    let mut problems = Vec::new();
    for (start, _) in words(&code).filter(|&(_, word)| word == "fn") {
        let Some(end) = function_end(&code, start) else { continue };
        let lines = code[start..end].matches('\n').count() + 1;
        if lines > FUNCTION_LENGTH_MAX_LINES {
            let what = format!("function of {lines} lines, limit {FUNCTION_LENGTH_MAX_LINES}");
            problems.push(Problem::new(path, line_of(&code, start), what));
        }
    }
    problems
}

/// Offset behind the body; `None` for a pointer type or a declaration without a body.
fn function_end(code: &str, start: usize) -> Option<usize> {
    let after = start + "fn".len();
    if code[after..].trim_start().starts_with('(') {
        return None;
    }
    let (mut brackets, mut braces) = (0_usize, 0_usize);
    for (offset, c) in code[after..].char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            ';' if brackets == 0 && braces == 0 => return None,
            '{' if brackets == 0 || braces > 0 => braces += 1,
            '}' if braces > 0 => {
                braces -= 1;
                if braces == 0 {
                    return Some(after + offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}

pub(crate) fn long_file(path: &str, text: &str) -> Vec<Problem> {
    let lines = text.lines().count();
    if lines <= FILE_LENGTH_MAX_LINES {
        return Vec::new();
    }
    let what = format!("{lines} lines, limit {FILE_LENGTH_MAX_LINES}: split it by noun");
    vec![Problem::new(path, 0, what)]
}

pub(crate) fn mod_rs(path: &str, _text: &str) -> Vec<Problem> {
    if path == "mod.rs" || path.ends_with("/mod.rs") {
        return vec![Problem::new(path, 0, "name the file after the module, beside its directory")];
    }
    Vec::new()
}

/// Marks of work that was put off, in any file; switched-off tests and stubs in Rust.
pub(crate) fn unfinished(path: &str, text: &str) -> Vec<Problem> {
    const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut problems: Vec<Problem> = words(text)
        .filter(|(_, word)| MARKS.contains(word))
        .map(|(at, word)| Problem::new(path, line_of(text, at), format!("`{word}`")))
        .collect();
    if !path.ends_with(".rs") {
        return problems;
    }
    let views = views(text);
    for (at, word) in words(&views.code) {
        let is_stub = ["todo", "unimplemented", "dbg"].contains(&word)
            && views.code[at + word.len()..].starts_with('!');
        let is_ignored = word == "ignore" && views.code[..at].trim_end().ends_with("#[");
        if is_stub || is_ignored {
            let what = format!("`{word}` has no place in finished code");
            problems.push(Problem::new(path, line_of(&views.code, at), what));
        }
    }
    for (line, comment) in (1..).zip(views.comments.lines()) {
        if comment.contains("```ignore") {
            problems.push(Problem::new(path, line, "an example that nobody compiles"));
        }
    }
    problems
}

/// No tabs, no trailing blanks, Unix line ends, exactly one newline at the end.
pub(crate) fn whitespace(path: &str, text: &str) -> Vec<Problem> {
    // Kept byte for byte: what they hold is the point of them.
    if path.contains("/golden/") || path.contains("/corpus/") || text.is_empty() {
        return Vec::new();
    }
    let takes_tabs =
        path.ends_with("Makefile") || [".mk", ".go", ".tsv"].iter().any(|e| path.ends_with(e));
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(text.split('\n')) {
        if line.ends_with('\r') {
            problems.push(Problem::new(path, number, "carriage return"));
        } else if line.ends_with([' ', '\t']) {
            problems.push(Problem::new(path, number, "trailing blank"));
        }
        if !takes_tabs && line.contains('\t') {
            problems.push(Problem::new(path, number, "tab"));
        }
    }
    if !text.ends_with('\n') || text.ends_with("\n\n") {
        problems.push(Problem::new(path, text.lines().count(), "must end with one newline"));
    }
    problems
}

/// Absolute paths that exist only where somebody works.
pub(crate) fn machine_paths(path: &str, text: &str) -> Vec<Problem> {
    const ROOTS: [&str; 5] = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/Us", "ers/"),
        concat!("/wo", "rk/"),
        concat!(":\\Us", "ers\\"),
    ];
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for root in ROOTS {
            // A part of a longer path, as in `a/b/c`, is no root.
            let is_absolute = |(at, _): (usize, &str)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || "_-.}/".contains(c))
                    || root.starts_with(':')
            };
            if line.match_indices(root).any(is_absolute) {
                problems.push(Problem::new(path, number, format!("path of one machine: {root}")));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(problems: &[Problem]) -> Vec<usize> {
        problems.iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn finds_a_long_line() {
        let text = format!("ok\n{}\n{}\n", "ü".repeat(100), "x".repeat(101));
        assert_eq!(lines(&long_lines("a.rs", &text)), [3]);
    }

    #[test]
    fn finds_a_long_function() {
        let body = |lines: usize| "    step(\"{\"); // {\n".repeat(lines);
        let short = format!("fn f(a: [u8; 4]) {{\n{}}}\n", body(68));
        assert!(long_functions("a.rs", &short).is_empty());
        let long = format!("type F = fn(u8);\ntrait T {{ fn g(); }}\nfn f() {{\n{}}}\n", body(69));
        assert_eq!(lines(&long_functions("a.rs", &long)), [3]);
        let generic = format!("fn f<T>() -> [u8; {{ 1 }}] {{\n{}}}\n", body(69));
        assert_eq!(lines(&long_functions("a.rs", &generic)), [1]);
    }

    #[test]
    fn finds_a_long_file() {
        assert!(long_file("a.rs", &"x\n".repeat(600)).is_empty());
        assert_eq!(long_file("a.rs", &"x\n".repeat(601)).len(), 1);
    }

    #[test]
    fn finds_a_mod_rs() {
        assert_eq!(mod_rs("agent/src/web/mod.rs", "").len(), 1);
        assert!(mod_rs("agent/src/web.rs", "").is_empty());
        assert!(mod_rs("agent/src/web/pmod.rs", "").is_empty());
    }

    #[test]
    fn finds_unfinished_work() {
        for mark in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")] {
            assert_eq!(unfinished("a.md", &format!("fine\n{mark}: later\n")).len(), 1, "{mark}");
        }
        let code = "fn f() {\n todo!();\n unimplemented!()\n}\n#[ignore]\nfn g() { dbg!(1); }\n";
        assert_eq!(lines(&unfinished("a.rs", code)), [2, 3, 5, 6]);
        assert_eq!(lines(&unfinished("a.rs", "/// ```ignore\n/// f();\n/// ```\n")), [1]);
        let fine = "let todo = \"todo!()\"; // dbg!(x)\nfn ignore() {} // XXXXXX\n";
        assert!(unfinished("a.rs", fine).is_empty());
    }

    #[test]
    fn finds_odd_whitespace() {
        assert_eq!(lines(&whitespace("a.rs", "a\nb \nc\td\ne\r\n")), [2, 3, 4]);
        assert_eq!(lines(&whitespace("a.rs", "a\nb")), [2]);
        assert_eq!(whitespace("a.rs", "a\n\n").len(), 1);
        assert!(whitespace("Makefile", "a:\n\tb\n").is_empty());
        assert!(whitespace("tests/golden/a.txt", "a \n").is_empty());
        assert!(whitespace("a.rs", "a\n\nb\n").is_empty());
    }

    #[test]
    fn finds_a_path_of_one_machine() {
        for root in [concat!("/ho", "me/me/x"), concat!("/ro", "ot/.cargo"), concat!("/wo", "rk/x")]
        {
            assert_eq!(machine_paths("a.sh", &format!("ok\ncd {root}\n")).len(), 1, "{root}");
        }
        assert!(machine_paths("a.md", concat!("doc/ho", "me/page $HO", "ME/x\n")).is_empty());
    }
}
