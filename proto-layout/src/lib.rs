//! The contract between Ringmeter's producers and its agent.
//!
//! A producer (the `ringmeter` crate, linked into a service) writes a *segment*, a file in shared
//! memory; the agent reads it and writes an *ack* file. This crate says what stands in both, how
//! they are found, and which steps in which order keep the two sides right without a lock:
//! everything that the two must agree on, and nothing else.
//!
//! Modules stand in the order in which they build on one another.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]

pub mod ack;
pub mod bucket;
pub mod cell;
pub mod definition;
#[cfg(not(loom))]
//DIR
#[cfg(all(target_os = "linux", not(loom)))]
pub mod file;
pub mod lane;
#[cfg(not(loom))]
pub mod mapping;
pub mod naming;
pub mod record;
pub mod segment;
pub mod word;
