//! Loom's atomic, with a switch by which a test weakens one kind of access on one word.
//!
//! The functions of the protocol stay as they are in production: a mutant is the same code run
//! on a word that does less than it was asked. Exists under `cfg(loom)` only.

use loom::sync::atomic::{self, Ordering};

/// The kind of access that is performed relaxed, whatever was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Weakened {
    /// None: the word is what production uses.
    #[default]
    Nothing,
    /// Stores do not release.
    Store,
    /// Loads do not acquire.
    Load,
    /// Additions do not release.
    Add,
    /// A successful compare-exchange does not acquire.
    Exchange,
}

#[derive(Debug, Default)]
pub(super) struct AtomicU64 {
    atomic: atomic::AtomicU64,
    weakened: Weakened,
}

impl AtomicU64 {
    pub(super) fn new(value: u64) -> Self {
        Self::weakened(value, Weakened::Nothing)
    }

    pub(super) fn weakened(value: u64, weakened: Weakened) -> Self {
        Self { atomic: atomic::AtomicU64::new(value), weakened }
    }

    fn order(&self, access: Weakened, asked: Ordering) -> Ordering {
        if self.weakened == access { Ordering::Relaxed } else { asked }
    }

    pub(super) fn load(&self, order: Ordering) -> u64 {
        self.atomic.load(self.order(Weakened::Load, order))
    }

    pub(super) fn store(&self, value: u64, order: Ordering) {
        self.atomic.store(value, self.order(Weakened::Store, order));
    }

    pub(super) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        self.atomic.fetch_add(value, self.order(Weakened::Add, order))
    }

    pub(super) fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.atomic.swap(value, self.order(Weakened::Exchange, order))
    }

    pub(super) fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        let success = self.order(Weakened::Exchange, success);
        self.atomic.compare_exchange(current, new, success, failure)
    }

    pub(super) fn compare_exchange_weak(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        let success = self.order(Weakened::Exchange, success);
        self.atomic.compare_exchange_weak(current, new, success, failure)
    }
}
