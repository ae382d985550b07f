//! YAML files, read so that every mistake in one is told at once, with its line and its path.
//!
//! A typed deserializer stops at the first mistake. So the file is first taken apart into nodes
//! that know where they stand; then [`Section`] hands out values and collects what is wrong with
//! them, unknown keys included.

mod node;
mod section;

pub use node::{Entry, Node, Value, parse};
pub use section::{List, Place, Problem, Problems, Section, Setting};

/// A file may be this long.
pub const FILE_LENGTH_MAX_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests;
