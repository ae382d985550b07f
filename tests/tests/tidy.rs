//! Style as a test: what a reviewer would have to notice again and again is noticed here.
//!
//! A rule is a plain function from a path and a text to the problems in it, and lives in one of
//! the modules below, each with planted violations that it must find. This file reads the tree
//! and applies every rule to it.
#![allow(clippy::expect_used, reason = "a test that cannot read the tree must fail loudly")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/pages.rs"]
mod pages;
#[path = "tidy/safety.rs"]
mod safety;
#[path = "tidy/scan.rs"]
mod scan;
#[path = "tidy/source.rs"]
mod source;

use scan::{File, Problem};

/// Files in which `unsafe` may be written; tests and benches besides.
const UNSAFE_FILES: &[&str] = &[
    "proto-layout/src/mapping.rs",
    "producer-sdk/src/leaked.rs",
    "producer-sdk/src/os.rs",
    "producer-sdk/src/hot.rs",
    "producer-sdk/src/hot/lookup.rs",
];

/// Everything that may, and must, lie at the top level.
const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "agent",
    "benches",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "producer-sdk",
    "proto-layout",
    "rustfmt.toml",
    "tests",
];

/// Manifest, and the packages that it must not depend on.
const FORBIDDEN_DEPENDENCIES: &[(&str, &[&str])] = &[
    ("proto-layout/Cargo.toml", &["ringmeter", "ringmeter-agent"]),
    ("producer-sdk/Cargo.toml", &["ringmeter-agent"]),
    ("agent/Cargo.toml", &["ringmeter"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_path_buf()
}

/// Paths of all files that are tracked, or new and not ignored. A deleted file is not listed.
fn listing() -> Vec<String> {
    let output = Command::new("git")
        // The tree may belong to another user than the one who tests it.
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .args(["--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let present = |path: &&str| !path.is_empty() && root().join(path).exists();
    names.split('\0').filter(present).map(str::to_owned).collect()
}

/// All text files. What is not UTF-8, or holds a NUL, is binary and has no style.
fn tree() -> Vec<File> {
    let files: Vec<File> = listing()
        .into_iter()
        .filter_map(|path| {
            let text = String::from_utf8(fs::read(root().join(&path)).ok()?).ok()?;
            (!text.contains('\0')).then_some(File { path, text })
        })
        .collect();
    assert!(files.len() > 20, "only {} files found: is this the right tree?", files.len());
    files
}

fn text_of(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

fn each(suffix: &str, rule: impl Fn(&str, &str) -> Vec<Problem>) -> Vec<Problem> {
    let chosen = tree().into_iter().filter(|file| file.path.ends_with(suffix));
    chosen.flat_map(|file| rule(&file.path, &file.text)).collect()
}

fn assert_clean(problems: Vec<Problem>) {
    let list: Vec<String> = problems.iter().map(Problem::to_string).collect();
    assert!(list.is_empty(), "{} problems:\n{}", list.len(), list.join("\n"));
}

#[test]
fn lines_are_short() {
    assert_clean(each(".rs", source::long_lines));
}

#[test]
fn functions_are_short() {
    assert_clean(each(".rs", source::long_functions));
}

#[test]
fn files_are_short() {
    assert_clean(each(".rs", source::long_file));
}

#[test]
fn modules_are_named_files() {
    assert_clean(each(".rs", source::mod_rs));
}

#[test]
fn nothing_is_left_to_do() {
    assert_clean(each("", source::unfinished));
}

#[test]
fn whitespace_is_plain() {
    assert_clean(each("", source::whitespace));
}

#[test]
fn no_path_of_one_machine() {
    assert_clean(each("", source::machine_paths));
}

#[test]
fn unsafe_stays_in_its_modules() {
    assert_clean(each(".rs", |path, text| safety::stray_unsafe(path, text, UNSAFE_FILES)));
}

#[test]
fn unsafe_is_argued() {
    assert_clean(each(".rs", safety::unargued_unsafe));
}

#[test]
fn orderings_name_both_ends() {
    let mut sources = tree();
    sources.retain(|file| file.path.ends_with(".rs"));
    assert_clean(safety::unpaired_orderings(&sources));
}

#[test]
fn modules_import_downward() {
    for package in ["proto-layout", "producer-sdk", "agent"] {
        let modules = layers::declared_modules(&text_of(&format!("{package}/src/lib.rs")));
        let source = format!("{package}/src/");
        let rule = |path: &str, text: &str| match path.strip_prefix(source.as_str()) {
            Some(inner) => layers::upward_imports(path, inner, text, &modules),
            None => Vec::new(),
        };
        assert_clean(each(".rs", rule));
    }
}

#[test]
fn sdk_and_agent_are_strangers() {
    for (path, forbidden) in FORBIDDEN_DEPENDENCIES {
        assert_clean(layers::forbidden_dependencies(path, &text_of(path), forbidden));
    }
}

#[test]
fn refused_crates_are_absent() {
    let refused = layers::refused_crates(&text_of("deny.toml"));
    assert!(!refused.is_empty(), "deny.toml refuses nothing: was its format changed?");
    assert_clean(layers::refused_in_lock("Cargo.lock", &text_of("Cargo.lock"), &refused));
}

#[test]
fn top_level_is_exactly_this() {
    assert_clean(pages::top_level(&listing(), TOP_LEVEL));
}

#[test]
fn readme_names_both_commands() {
    assert_clean(pages::missing_commands("README.md", &text_of("README.md")));
}

#[test]
fn metrics_in_the_pages_exist() {
    let mut known = HashSet::new();
    for file in tree() {
        if file.path.starts_with("agent/src/") || file.path.starts_with("proto-layout/src/") {
            known.extend(scan::words(&file.text).map(|(_, word)| word.to_owned()));
        }
    }
    for page in ["README.md", "ARCHITECTURE.md"] {
        assert_clean(pages::unknown_metrics(page, &text_of(page), &known));
    }
}

#[test]
fn links_resolve() {
    let exists = |path: &str| root().join(path).exists();
    assert_clean(each(".md", |path, text| pages::broken_links(path, text, &exists)));
}
