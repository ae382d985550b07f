//! How much memory a call takes: an allocator that counts, per thread, what is live.
//!
//! A test binary that proves a bound installs it:
//!
//! ```
//! use ringmeter_tests::allocation::{Counting, peak_bytes};
//!
//! #[global_allocator]
//! static ALLOCATOR: Counting = Counting;
//!
//! let (text, peak) = peak_bytes(|| "x".repeat(100));
//! assert_eq!(text.len(), 100);
//! assert_eq!(peak, 100);
//! ```

// An allocator cannot be written without.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counting;

fn count(bytes: isize) {
    // A thread that is ending has no counters any more, and nobody asks for them.
    let _ = LIVE_BYTES.try_with(|live| {
        live.set(live.get() + bytes);
        PEAK_BYTES.try_with(|peak| peak.set(peak.get().max(live.get())))
    });
}

// SAFETY:
// - Every method passes its arguments on to `System` unchanged, and returns what it returns.
// - Counting neither allocates nor unwinds: the counters are constant-initialised cells.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise about `pointer` and `layout` is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // At its worst the system holds the old block while it fills the new one.
        count(new_size.cast_signed());
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise about all three is passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// Runs `call`; returns its result and the most bytes that were live at once on this thread
/// beyond those live before. Always 0 unless [`Counting`] is the global allocator.
pub fn peak_bytes<T>(call: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE_BYTES.get();
    PEAK_BYTES.set(before);
    let result = call();
    (result, (PEAK_BYTES.get() - before).unsigned_abs())
}
