//! Whatever the bytes: no panic, no more memory than stated, and errors that say what is wrong.
//!
//! The allocator of this binary counts, so that bounds are measured and not argued.
#![allow(clippy::expect_used, reason = "a test whose premises fail must fail loudly")]

#[path = "layout/chunks.rs"]
mod chunks;
#[path = "layout/definitions.rs"]
mod definitions;
#[path = "layout/segments.rs"]
mod segments;

use std::fmt::Display;

use ringmeter_tests::allocation::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An error's text must hold each of these: field, value, limit.
fn assert_tells(error: &impl Display, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}
