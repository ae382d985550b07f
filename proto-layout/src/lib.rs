//! See README.md.

pub mod naming;

pub mod bucket;
