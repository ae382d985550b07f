//! How many instructions a record takes: counted, not timed.
//!
//! The program `recorder` makes so many calls of one kind. Valgrind's tool callgrind runs it twice
//! with different numbers of calls; the difference, divided by the difference of the numbers, is
//! what a call takes. The loop around the call is counted in the same way without a call, and
//! subtracted. That is exact and the same every time, so `make check` compares it with the counts
//! written in `benches/instructions.toml`, and the smallest change of the hot path is noticed.
//!
//! Another compiler makes other code. The exact comparison is therefore made by the compiler that
//! the file names, for the target that it names; elsewhere each call is held against its goal
//! only, and the test says so.

#![forbid(unsafe_code)]

pub mod callgrind;

pub mod pins;
