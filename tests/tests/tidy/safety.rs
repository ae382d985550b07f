//! Where `unsafe` may be, that it is argued, and that memory orderings come in pairs.

use std::collections::BTreeMap;

use crate::scan::{File, Problem, line_of, views, words};

/// A safety argument must not be further away than this, or it is somebody else's.
const STATEMENT_LENGTH_MAX_LINES: usize = 8;

pub(crate) fn stray_unsafe(path: &str, text: &str, allowed: &[&str]) -> Vec<Problem> {
    let is_test = path.split('/').any(|part| part == "tests" || part == "benches");
    if is_test || allowed.contains(&path) {
        return Vec::new();
    }
    let code = views(text).code;
    words(&code)
        .filter(|&(_, word)| word == "unsafe")
        .map(|(at, _)| {
            Problem::new(path, line_of(&code, at), "`unsafe` outside the modules named for it")
        })
        .collect()
}

/// Blocks and impls; what an `unsafe fn` asks of its caller is documented, which clippy checks.
pub(crate) fn unargued_unsafe(path: &str, text: &str) -> Vec<Problem> {
    let views = views(text);
    let code: Vec<&str> = views.code.lines().collect();
    let comments: Vec<&str> = views.comments.lines().collect();
    let mut problems = Vec::new();
    for (at, word) in words(&views.code) {
        let after = views.code[at + word.len()..].trim_start();
        if word != "unsafe" || !(after.starts_with('{') || after.starts_with("impl")) {
            continue;
        }
        let line = line_of(&views.code, at);
        if !is_argued(&code, &comments, line - 1) {
            problems.push(Problem::new(path, line, "no `// SAFETY:` above this"));
        }
    }
    problems
}

/// Goes up from a line to the start of its statement and through the comment above that.
fn is_argued(code: &[&str], comments: &[&str], index: usize) -> bool {
    let mut in_comment = false;
    for above in (index.saturating_sub(STATEMENT_LENGTH_MAX_LINES)..index).rev() {
        let (line, comment) = (code[above].trim(), comments[above].trim());
        if comment.starts_with("// SAFETY:") && line.is_empty() {
            return true;
        }
        if line.is_empty() && !comment.is_empty() {
            in_comment = true;
        } else if in_comment || line.is_empty() || line.ends_with([';', '{', '}']) {
            return false;
        }
    }
    // A long argument: go on through comment lines alone.
    let mut above = index.saturating_sub(STATEMENT_LENGTH_MAX_LINES);
    while in_comment && above > 0 {
        above -= 1;
        if !code[above].trim().is_empty() || comments[above].trim().is_empty() {
            return false;
        }
        if comments[above].trim().starts_with("// SAFETY:") {
            return true;
        }
    }
    false
}

/// A release and its acquire carry a comment with the same label in backticks:
/// the label must stand at two places at least.
pub(crate) fn unpaired_orderings(files: &[File]) -> Vec<Problem> {
    const MARK: &str = concat!("PAIRS", " WITH:");
    let mut ends: BTreeMap<String, Vec<(&str, usize)>> = BTreeMap::new();
    let mut problems = Vec::new();
    for file in files {
        let comments = views(&file.text).comments;
        for (at, _) in comments.match_indices(MARK) {
            let line = line_of(&comments, at);
            let rest = comments[at..].lines().next().unwrap_or_default();
            match rest.split('`').nth(1).filter(|label| !label.is_empty()) {
                Some(label) => ends.entry(label.to_owned()).or_default().push((&file.path, line)),
                None => problems.push(Problem::new(&file.path, line, "no label in backticks")),
            }
        }
    }
    for (label, places) in ends {
        if let [(path, line)] = places.as_slice() {
            problems.push(Problem::new(path, *line, format!("`{label}` has no other end")));
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
    fn finds_stray_unsafe() {
        let text = "// unsafe is a word here\nfn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(lines(&stray_unsafe("agent/src/drain.rs", text, &["a/src/b.rs"])), [3]);
        assert!(stray_unsafe("a/src/b.rs", text, &["a/src/b.rs"]).is_empty());
        assert!(stray_unsafe("tests/tests/fork.rs", text, &[]).is_empty());
        assert!(stray_unsafe("a/src/c.rs", "#![deny(unsafe_code)]\n", &[]).is_empty());
    }

    #[test]
    fn finds_unargued_unsafe() {
        let bare = "fn f() {\n    g();\n    unsafe { h() }\n}\nunsafe impl Send for A {}\n";
        assert_eq!(lines(&unargued_unsafe("a.rs", bare)), [3, 5]);
        let far = "// SAFETY: of another statement\ng();\nlet x = unsafe { h() };\n";
        assert_eq!(lines(&unargued_unsafe("a.rs", far)), [3]);
        let gap = "// SAFETY: lost\n\nlet x = unsafe { h() };\n";
        assert_eq!(lines(&unargued_unsafe("a.rs", gap)), [3]);
    }

    #[test]
    fn accepts_argued_unsafe() {
        let near = "// SAFETY: because\n// - of this\nlet x =\n    unsafe { h() };\n";
        assert!(unargued_unsafe("a.rs", near).is_empty());
        let attribute = "// SAFETY: because\n#[allow(unsafe_code)]\nunsafe impl Send for A {}\n";
        assert!(unargued_unsafe("a.rs", attribute).is_empty());
        let long = format!("// SAFETY: because\n{}unsafe {{ h() }}\n", "// - of this\n".repeat(20));
        assert!(unargued_unsafe("a.rs", &long).is_empty());
        assert!(unargued_unsafe("a.rs", "unsafe fn f() {}\nlet s = \"unsafe {\";\n").is_empty());
    }

    #[test]
    fn finds_an_ordering_without_its_other_end() {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let mark = concat!("// PAIRS", " WITH:");
        let writer = file("a.rs", &format!("{mark} `lane tail`\nf();\n{mark} `lost`\n"));
        let reader = file("b.rs", &format!("f();\n{mark} `lane tail`, in the writer\n{mark} x\n"));
        let problems = unpaired_orderings(&[writer, reader]);
        assert_eq!(lines(&problems), [3, 3], "{problems:?}");
    }
}
