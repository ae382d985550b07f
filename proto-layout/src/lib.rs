//! The contract between Ringmeter's producers and its agent.
//!
//! A producer (the `ringmeter` crate, linked into a service) writes a *segment*, a file in shared
//! memory; the agent reads it and writes an *ack* file. This crate says what stands in both, how
//! they are found, and which steps in which order keep the two sides right without a lock:
//! everything that the two must agree on, and nothing else.
//!
//! Modules stand in the order in which they build on one another: a module uses only those above
//! it. (A blank line between two keeps the formatter from sorting them.)

pub mod word;

pub mod naming;

pub mod bucket;

pub mod record;

pub mod definition;

pub mod cell;

pub mod lane;

pub mod exemplar;

pub mod segment;

pub mod ack;

#[cfg(not(loom))]
pub mod directory;

#[cfg(all(target_os = "linux", not(loom)))]
pub mod file;

#[cfg(not(loom))]
pub mod mapping;
