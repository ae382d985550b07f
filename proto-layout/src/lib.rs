//! See README.md.

pub mod naming;

pub mod bucket;

pub mod directory;
