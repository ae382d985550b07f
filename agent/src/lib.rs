//! The Ringmeter agent as a library: one module per stage, declared in the order in which data
//! flows. A module imports only those above it.

#![forbid(unsafe_code)]

pub mod limits;
pub mod rule;
pub mod yaml;

pub mod config;
pub mod log;

pub mod broken;
pub mod budget;
pub mod log_limit;
pub mod reject;
pub mod sum;
pub mod web_counts;

pub mod descriptor_limit;
pub mod memory_limit;

pub mod ledger;

pub mod snapshot;

pub mod distribution;
pub mod series;

pub mod gathered;
pub mod long_records;

pub mod aggregate;
pub mod view;

pub mod context;
pub mod pace;
pub mod quarantine;
pub mod source;

pub mod spill;

pub mod definitions;

pub mod segment;

pub mod attach;
pub mod discover;
pub mod drain;

pub mod metrics;

pub mod pipeline;

pub mod expose;
pub mod web;

pub mod run;

pub mod client;
pub mod lint;

pub mod check;
pub mod healthcheck;
pub mod size;

pub mod demo;
