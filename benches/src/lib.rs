//! What a record costs, beside the crates that an application would use instead.
//!
//! `make bench` runs the binary `bench`. Method and limits are in `README.md`; in short: all
//! subjects of a row are measured in one process, in interleaved rounds and in an order that a
//! seed decides; results are checked before anything is timed; ratios carry a bootstrap interval.
//!
//! Modules stand in the order in which they build on one another.

#![forbid(unsafe_code)]

pub mod error;

pub mod statistics;

pub mod machine;

pub mod scratch;

pub mod stand_in;

pub mod agent;

pub mod measure;

pub mod work;

pub mod plot;

pub mod offer;

pub mod setup;

pub mod row;

pub mod figure;

pub mod peers;

pub mod entry;

pub mod rows;

pub mod figures;

pub mod report;
