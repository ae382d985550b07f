//! See README.md.

pub mod naming;
