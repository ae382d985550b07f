//! YAML files, read so that every mistake in one is told at once, with line, column and path.
//!
//! A typed deserializer stops at the first mistake. So the file is first taken apart into nodes
//! that know where they stand; then a [`Section`] hands out values, and whoever reads them notes
//! what is wrong with them in [`Problems`]. Both configuration files are read like this.

mod node;
mod problem;
mod read;
mod section;

pub use node::{Node, Value, parse};
pub use problem::{Place, Problem, Problems};
pub use read::{finite, flag, number, text, texts, word};
pub use section::{At, Entry, List, Section, Setting};

/// A file may be this long.
pub const FILE_LENGTH_MAX_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests;
