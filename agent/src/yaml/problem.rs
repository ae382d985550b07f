//! What is wrong with a file, and where.

use std::fmt;

/// As many problems are told at once.
const PROBLEMS_MAX: usize = 100;

/// Where something stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// Keys and indices from the top, as `views[0].metric`; empty for the file itself.
    pub path: String,
}

impl Place {
    /// The begin of a file, for what concerns all of it.
    pub fn top() -> Self {
        Self { line: 1, column: 1, path: String::new() }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.place.line, self.place.column)?;
        if !self.place.path.is_empty() {
            write!(f, "{}: ", self.place.path)?;
        }
        f.write_str(&self.message)
    }
}

/// The mistakes of a file.
#[derive(Debug, Default)]
pub struct Problems {
    told: Vec<Problem>,
    /// How many more there are, and where the first of them is.
    untold: Option<(usize, Place)>,
}

impl Problems {
    /// Notes one more.
    pub fn add(&mut self, place: &Place, message: impl Into<String>) {
        if self.told.len() < PROBLEMS_MAX {
            self.told.push(Problem { place: place.clone(), message: message.into() });
        } else {
            self.untold.get_or_insert_with(|| (0, place.clone())).0 += 1;
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// All, in the order of the file.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.told.sort_by_key(|problem| (problem.place.line, problem.place.column));
        if let Some((count, place)) = self.untold {
            let place = Place { path: String::new(), ..place };
            self.told.push(Problem { place, message: format!("and {count} more problems") });
        }
        self.told
    }

    /// The value if there is no problem.
    ///
    /// # Errors
    ///
    /// All problems, in the order of the file.
    pub fn unless_any<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.is_empty() { Ok(value) } else { Err(self.into_sorted()) }
    }
}
