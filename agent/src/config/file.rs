//! The configuration file: what can be changed while the agent runs.
//!
//! Flags say where the agent is and whom it serves; this file says what is exposed and how much is
//! taken. Its text is read as a whole, every problem in it is told at once, with its place,
//! and only a file without any is used. [`default_text`] documents every field.

mod limits;
mod relabel;
mod text;
mod units;
mod views;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ringmeter_layout::naming;

use crate::limits::Limits;
use crate::rule::Rules;
use crate::yaml::{self, At, FILE_LENGTH_MAX_BYTES, Problem, Problems, Section};

pub use text::default_text;

/// The keys of the file.
const KEYS: [&str; 4] = ["limits", "service_label", "views", "metric_relabel_configs"];

/// What a configuration file says, checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FileConfig {
    /// How much is taken from producers.
    pub limits: Limits,
    /// The label that tells the services in one directory apart; without one there is one service.
    pub service_label: Option<Box<str>>,
    /// How metrics are exposed.
    pub rules: Rules,
}

/// Why a file cannot be used.
#[derive(Debug)]
pub enum FileError {
    /// It cannot be read.
    Read(io::Error),
    /// It is larger than [`FILE_LENGTH_MAX_BYTES`].
    Size,
    /// What it says cannot be used: all of it, in the order of the file.
    Contents(Vec<Problem>),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "cannot be read: {error}"),
            Self::Size => write!(f, "is larger than {FILE_LENGTH_MAX_BYTES} bytes"),
            Self::Contents(problems) => {
                let plural = if problems.len() == 1 { "" } else { "s" };
                write!(f, "{} problem{plural}", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for FileError {}

impl FileConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or not be used; then with all problems.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(FileError::Read)?;
        file.take(FILE_LENGTH_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(FileError::Read)?;
        if bytes.len() as u64 > FILE_LENGTH_MAX_BYTES {
            return Err(FileError::Size);
        }
        Self::parse(&bytes).map_err(FileError::Contents)
    }

    /// Reads the bytes of a file: a pure function that accepts any.
    ///
    /// # Errors
    /// All problems, in the order of the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<Problem>> {
        let root = yaml::parse(bytes).map_err(|problem| vec![problem])?;
        let mut problems = Problems::default();
        let config = Self::read(&At::top(&root), &mut problems);
        problems.unless_any(config)
    }

    fn read(at: &At<'_>, problems: &mut Problems) -> Self {
        let section = Section::new(at, &KEYS, problems);
        let limits = section.read("limits", problems, limits::read);
        let service_label = section.read("service_label", problems, service_label);
        let views = section.each("views", views::VIEWS_MAX, problems, views::read);
        let relabel =
            section.each("metric_relabel_configs", relabel::RULES_MAX, problems, relabel::read);
        let views = views.unwrap_or_default();
        views::check_all(&views, problems);
        let views = views.into_iter().map(|view| view.rule).collect();
        Self {
            limits: limits.unwrap_or_default(),
            service_label: service_label.flatten(),
            rules: Rules { views, relabel: relabel.unwrap_or_default() },
        }
    }
}

/// The name of a label; an empty one is none.
fn service_label(at: &At<'_>, problems: &mut Problems) -> Option<Option<Box<str>>> {
    let name = yaml::text(at, problems)?;
    if name.is_empty() {
        return Some(None);
    }
    if matches!(name.as_str(), "le" | "quantile" | "process") || naming::label_name(&name).is_err()
    {
        at.expected(problems, "the name of a label, as service, and not le, quantile or process");
        return None;
    }
    Some(Some(name.into()))
}

#[cfg(test)]
mod tests;
