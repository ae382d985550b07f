//! The Ringmeter agent as a library: one module per stage, declared in the order in which data
//! flows. A module imports only those above it.

#![forbid(unsafe_code)]

pub mod config;
pub mod log;

pub mod snapshot;

pub mod expose;
pub mod web;

pub mod demo;
