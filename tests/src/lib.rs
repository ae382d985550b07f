//! What the tests of the whole system share.
//!
//! Modules stand in the order in which they build on one another.

pub mod allocation;

pub mod image;

pub mod golden;

pub mod fuzz;
