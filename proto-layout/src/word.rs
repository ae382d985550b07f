//! The one door through which atomics enter: a 64-bit word that two parties may touch at once.
//!
//! Every word of shared memory is a [`Word`], so that a loom model sees exactly the accesses
//! that run in production, and so that an ordering is a method name that can be searched for.
//! Only the orderings that the protocol needs exist here.

#[cfg(loom)]
mod model;

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(loom)]
use loom::sync::atomic::{Ordering, fence};

#[cfg(loom)]
use model::AtomicU64;
#[cfg(loom)]
pub use model::Weakened;

/// A 64-bit atomic word: a counter, the bits of a float, a position or a state.
///
/// Outside of loom it has the size, alignment and bit validity of a `u64`.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Word(AtomicU64);

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Word>() == 8);
    assert!(align_of::<Word>() == 8);
};

impl Word {
    /// A word holding `value`.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// A word holding `value` (loom's atomics cannot be made in a constant).
    #[cfg(loom)]
    #[must_use]
    pub fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// A word on which one kind of access is weaker than its method's name says: a model that
    /// still passes with it proves nothing.
    #[cfg(loom)]
    #[must_use]
    pub fn weakened(value: u64, weakened: Weakened) -> Self {
        Self(AtomicU64::weakened(value, weakened))
    }

    /// Reads without ordering anything else: for words that this thread alone writes, and for
    /// statistics.
    #[inline(always)]
    #[must_use]
    pub fn load_relaxed(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Reads; what the writer did before its release store is visible afterwards.
    #[inline(always)]
    #[must_use]
    pub fn load_acquire(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Writes without ordering anything else.
    #[inline(always)]
    pub fn store_relaxed(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Writes; everything this thread did before is visible to who acquires the new value.
    #[inline(always)]
    pub fn store_release(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// Adds with wrapping, without ordering anything else; returns the value before.
    #[inline(always)]
    pub fn add_relaxed(&self, value: u64) -> u64 {
        self.0.fetch_add(value, Ordering::Relaxed)
    }

    /// Adds with wrapping and publishes what came before; returns the value before.
    #[inline(always)]
    pub fn add_release(&self, value: u64) -> u64 {
        self.0.fetch_add(value, Ordering::Release)
    }

    /// Replaces the value, ordering both ways; returns the value before.
    #[inline(always)]
    pub fn swap_acq_rel(&self, value: u64) -> u64 {
        self.0.swap(value, Ordering::AcqRel)
    }

    /// Replaces `current` by `new`: acquires on success. Returns the value seen on failure.
    ///
    /// # Errors
    /// The value that was there, if it was not `current`.
    #[inline(always)]
    pub fn compare_exchange_acquire(&self, current: u64, new: u64) -> Result<u64, u64> {
        self.0.compare_exchange(current, new, Ordering::Acquire, Ordering::Relaxed)
    }

    /// Replaces `current` by `new` without ordering anything else; may fail spuriously.
    ///
    /// # Errors
    /// The value that was there.
    #[inline(always)]
    pub fn compare_exchange_weak_relaxed(&self, current: u64, new: u64) -> Result<u64, u64> {
        self.0.compare_exchange_weak(current, new, Ordering::Relaxed, Ordering::Relaxed)
    }

    /// Adds to the float whose bits the word holds; returns the sum.
    ///
    /// Lock-free: it repeats only when another thread changed the word in between.
    #[inline]
    pub fn add_f64_relaxed(&self, value: f64) -> f64 {
        let mut seen = self.load_relaxed();
        loop {
            let sum = f64::from_bits(seen) + value;
            match self.compare_exchange_weak_relaxed(seen, sum.to_bits()) {
                Ok(_) => return sum,
                Err(now) => seen = now,
            }
        }
    }
}

/// Orders every access before it against every access after it (sequentially consistent).
#[inline(always)]
pub fn fence_all() {
    fence(Ordering::SeqCst);
}

/// Orders every read before it ahead of every access after it.
#[inline(always)]
pub fn fence_acquire() {
    fence(Ordering::Acquire);
}
