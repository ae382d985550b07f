//! The counts that are written in the tree.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::callgrind::Count;

/// What a program was built by; all of it decides which instructions it has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toolchain {
    /// As `rustc --version` says it.
    pub rustc: String,
    /// The target.
    pub target: String,
    /// `RUSTFLAGS`.
    pub flags: String,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.rustc, self.target)?;
        if self.flags.is_empty() { Ok(()) } else { write!(f, " with {}", self.flags) }
    }
}

/// What is written about one call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// What is called.
    pub title: String,
    /// Instructions per call with the toolchain that the file names.
    pub instructions: f64,
    /// Most instructions per call with any toolchain.
    pub goal: f64,
}

/// The file of pinned counts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// What the counts hold for.
    pub toolchain: Toolchain,
    /// By case.
    pub call: BTreeMap<String, Pin>,
}

/// What differs from the file; empty when all is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Whether counts were compared exactly; else with the goals only.
    pub is_exact: bool,
    /// One sentence for each difference.
    pub differences: Vec<String>,
}

/// Where the file is.
#[must_use]
pub fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../instructions.toml"))
}

impl Pins {
    /// Reads the file's text.
    ///
    /// # Errors
    /// When it is not such a file.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Compares counts, made with a toolchain, with what is written.
    #[must_use]
    pub fn compare(&self, toolchain: &Toolchain, counts: &[Count]) -> Comparison {
        let is_exact = *toolchain == self.toolchain;
        let mut differences = Vec::new();
        for count in counts {
            let Count { case, instructions, .. } = count;
            let Some(pin) = self.call.get(case) else {
                differences.push(format!("{case}: {instructions} instructions, nothing written"));
                continue;
            };
            if *instructions > pin.goal {
                let goal = pin.goal;
                differences.push(format!("{case}: {instructions} instructions, goal {goal}"));
            }
            // Both are multiples of a 32nd, computed and written in the same way.
            if is_exact && (instructions - pin.instructions).abs() > 1e-9 {
                let written = pin.instructions;
                differences.push(format!("{case}: {instructions} instructions, {written} written"));
            }
        }
        let is_counted = |case: &str| counts.iter().any(|count| count.case == case);
        let missing = self.call.keys().filter(|case| !is_counted(case));
        differences.extend(missing.map(|case| format!("{case}: written, but not counted")));
        Comparison { is_exact, differences }
    }

    /// The same file with other counts, as text. Goals stay; a new case gets what it takes.
    #[must_use]
    pub fn text(&self, toolchain: &Toolchain, counts: &[Count]) -> String {
        let Toolchain { rustc, target, flags } = toolchain;
        let mut text = format!(
            "{HEAD}\n[toolchain]\nrustc = {rustc:?}\ntarget = {target:?}\nflags = {flags:?}\n"
        );
        for Count { case, title, instructions } in counts {
            let goal = self.call.get(case).map_or(*instructions, |pin| pin.goal);
            text += &format!(
                "\n[call.{case}]\ntitle = {title:?}\ninstructions = {instructions:?}\n\
                 goal = {goal:?}\n"
            );
        }
        text
    }
}

const HEAD: &str = "\
# Instructions per call, counted by callgrind; `make check` compares them exactly.
# After a change that is meant: `make instructions` writes them anew; goals are kept.
# With another compiler, target or RUSTFLAGS than these, only the goals are checked.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(rustc: &str) -> Toolchain {
        Toolchain { rustc: rustc.to_owned(), target: "t".to_owned(), flags: String::new() }
    }

    fn count(case: &str, instructions: f64) -> Count {
        Count { case: case.to_owned(), title: "A \"call\"".to_owned(), instructions }
    }

    /// Two calls, written by compiler 1; `b` has a goal far above what it takes.
    fn pins() -> Pins {
        let empty = Pins { toolchain: toolchain("1"), call: BTreeMap::new() };
        let text = empty.text(&toolchain("1"), &[count("a", 9.0), count("b", 30.031_25)]);
        let mut pins = Pins::parse(&text).expect("what is written can be read");
        pins.call.get_mut("b").expect("b is written").goal = 40.0;
        pins
    }

    #[test]
    fn what_is_written_is_equal() {
        let comparison = pins().compare(&toolchain("1"), &[count("a", 9.0), count("b", 30.031_25)]);
        assert_eq!(comparison, Comparison { is_exact: true, differences: Vec::new() });
    }

    #[test]
    fn goals_outlive_new_counts() {
        let text = pins().text(&toolchain("2"), &[count("a", 10.0), count("b", 31.0)]);
        let pins = Pins::parse(&text).expect("what is written can be read");
        assert_eq!((pins.call["a"].goal, pins.call["b"].goal), (9.0, 40.0));
        assert_eq!((pins.call["b"].instructions, pins.toolchain), (31.0, toolchain("2")));
    }

    #[test]
    fn every_difference_is_told() {
        let counts = [count("b", 31.0), count("c", 1.0)];
        let told = pins().compare(&toolchain("1"), &counts).differences;
        let expected = [
            "b: 31 instructions, 30.03125 written",
            "c: 1 instructions, nothing written",
            "a: written, but not counted",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn another_compiler_is_held_against_the_goals() {
        let counts = [count("a", 10.0), count("b", 35.0)];
        let comparison = pins().compare(&toolchain("2"), &counts);
        let differences = vec!["a: 10 instructions, goal 9".to_owned()];
        assert_eq!(comparison, Comparison { is_exact: false, differences });
    }
}
