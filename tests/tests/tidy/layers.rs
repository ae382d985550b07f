//! Who may know whom: modules in a crate, crates in the workspace, crates from outside.

use crate::scan::{Problem, is_word, line_of, views, words};

/// Modules of a `lib.rs`, in the order of their declaration.
pub(crate) fn declared_modules(lib: &str) -> Vec<String> {
    let code = views(lib).code;
    let found: Vec<(usize, &str)> = words(&code).collect();
    let declaration = |pair: &[(usize, &str)]| {
        let (at, name) = pair[1];
        let ends = code[at + name.len()..].trim_start().starts_with(';');
        (pair[0].1 == "mod" && ends).then(|| name.to_owned())
    };
    found.windows(2).filter_map(declaration).collect()
}

/// Imports of a module that `lib.rs` declares below the importing one.
///
/// `inner` is the path below `src/`. The root and binaries stand under everything.
pub(crate) fn upward_imports(
    path: &str,
    inner: &str,
    text: &str,
    modules: &[String],
) -> Vec<Problem> {
    let own = inner.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    let Some(own_index) = modules.iter().position(|module| module == own) else {
        return Vec::new();
    };
    let code = views(text).code;
    let mut problems = Vec::new();
    for (at, word) in words(&code) {
        // `$crate` is the caller's view; `super` is the root only in a file directly in src/.
        let is_root = (word == "crate" && !code[..at].ends_with('$'))
            || (word == "super" && !inner.contains('/'));
        if !is_root {
            continue;
        }
        for name in imported(&code[at + word.len()..]) {
            if modules.iter().position(|module| *module == name) > Some(own_index) {
                let what = format!("`{own}` imports `{name}`, which lib.rs declares below it");
                problems.push(Problem::new(path, line_of(&code, at), what));
            }
        }
    }
    problems
}

/// First names behind `crate`: one for `::a::b`, several for `::{a, b::{c, d}}`.
fn imported(after: &str) -> Vec<String> {
    let Some(rest) = after.trim_start().strip_prefix("::").map(str::trim_start) else {
        return Vec::new();
    };
    let first =
        |text: &str| -> String { text.trim_start().chars().take_while(|&c| is_word(c)).collect() };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![first(rest)];
    };
    let (mut depth, mut names) = (0_usize, vec![first(group)]);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(first(&group[at + 1..])),
            _ => {}
        }
    }
    names
}

/// Dependencies of any kind and for any target, also under another name.
pub(crate) fn forbidden_dependencies(
    path: &str,
    manifest: &str,
    forbidden: &[&str],
) -> Vec<Problem> {
    let mut section = String::new();
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(manifest.lines()) {
        let line = line.trim();
        let name = if let Some(header) = line.strip_prefix('[') {
            header.trim_end_matches(']').clone_into(&mut section);
            section.split_once("dependencies.").map(|(_, name)| name)
        } else if section.ends_with("dependencies") {
            line.split(['.', '=', ' ']).next()
        } else {
            None
        };
        let renamed = line.split("package = \"").nth(1).and_then(|rest| rest.split('"').next());
        for name in name.into_iter().chain(renamed.filter(|_| section.contains("dependencies"))) {
            if forbidden.contains(&name.trim_matches('"')) {
                problems.push(Problem::new(path, number, format!("must not depend on {name}")));
            }
        }
    }
    problems
}

/// Names in the `deny` list of deny.toml.
pub(crate) fn refused_crates(deny: &str) -> Vec<String> {
    let lines = deny.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split("crate = \"").nth(1)?.split('"').next().map(str::to_owned))
        .collect()
}

/// Refused crates, and crates that do not come from a registry.
pub(crate) fn refused_in_lock(path: &str, lock: &str, refused: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(lock.lines()) {
        let value = |key: &str| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"');
        if let Some(name) = value("name").filter(|name| refused.iter().any(|r| r == name)) {
            problems.push(Problem::new(path, number, format!("{name} is refused by deny.toml")));
        }
        if value("source").is_some_and(|source| !source.starts_with("registry+")) {
            problems.push(Problem::new(path, number, "a dependency from outside the registry"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "//! mod zero;\nmod word;\npub mod lane;\n#[cfg(test)]\nmod segment;\n";

    fn imports(inner: &str, text: &str) -> Vec<usize> {
        let problems = upward_imports("x", inner, text, &declared_modules(LIB));
        problems.iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn reads_the_order_of_modules() {
        assert_eq!(declared_modules(LIB), ["word", "lane", "segment"]);
        assert!(declared_modules("mod a { fn f() {} }\n").is_empty());
    }

    #[test]
    fn finds_an_upward_import() {
        assert_eq!(imports("word.rs", "fn f() {}\nuse crate::lane::Lane;\n"), [2]);
        assert_eq!(imports("lane.rs", "use crate::{word::{A, segment}, segment::B};\n"), [1]);
        assert_eq!(imports("lane/ring.rs", "let x = crate::segment::f();\n"), [1]);
        assert_eq!(imports("word.rs", "use super::segment;\n"), [1]);
    }

    #[test]
    fn accepts_a_downward_import() {
        assert!(imports("lane.rs", "use crate::word::{A, B};\nuse crate::lane::C;\n").is_empty());
        assert!(imports("lane.rs", "// crate::segment\n\"crate::segment\"").is_empty());
        assert!(imports("word.rs", "$crate::lane::f()").is_empty());
        assert!(imports("lane/ring.rs", "use super::segment;\n").is_empty());
        assert!(imports("lib.rs", "pub use crate::segment::S;\n").is_empty());
        assert!(imports("lane.rs", "use crate::Segment;\n").is_empty());
    }

    #[test]
    fn finds_a_forbidden_dependency() {
        let found = |manifest: &str| forbidden_dependencies("x", manifest, &["ringmeter"]).len();
        assert_eq!(found("[dependencies]\nringmeter.workspace = true\n"), 1);
        assert_eq!(found("[dev-dependencies]\nringmeter = { path = \"../x\" }\n"), 1);
        assert_eq!(found("[target.'cfg(unix)'.dependencies]\n\"ringmeter\" = \"1\"\n"), 1);
        assert_eq!(found("[dependencies.ringmeter]\nversion = \"1\"\n"), 1);
        assert_eq!(found("[dependencies]\nsdk = { package = \"ringmeter\" }\n"), 1);
        assert_eq!(found("[dependencies.sdk]\npackage = \"ringmeter\"\n"), 1);
        assert_eq!(found("[dependencies]\nringmeter-layout = \"1\"\n"), 0);
        assert_eq!(found("[[bin]]\nname = \"x\"\nringmeter = 1\n"), 0);
    }

    #[test]
    fn finds_a_refused_crate() {
        let deny =
            "deny = [\n    { crate = \"openssl\", reason = \"r\" },\n    # crate = \"x\"\n]\n";
        let refused = refused_crates(deny);
        assert_eq!(refused, ["openssl"]);
        let lock = "[[package]]\nname = \"openssl\"\nsource = \"registry+r\"\n";
        assert_eq!(refused_in_lock("Cargo.lock", lock, &refused).len(), 1);
        let lock = "[[package]]\nname = \"openssl-probe\"\nsource = \"git+https://g\"\n";
        assert_eq!(refused_in_lock("Cargo.lock", lock, &refused)[0].line, 3);
    }
}
