//! A window that slides over time: age slots in a circle, and their total.

use super::buckets::{Buckets, Place};
use crate::budget::Budget;

/// Window of a summary that declares none.
const MAX_AGE_DEFAULT_MS: u64 = 600_000;
/// Slots of a summary that declares none.
const AGE_BUCKETS_DEFAULT: u32 = 5;

/// What was observed during the last while.
///
/// With n slots the window covers between (n-1)/n of its age and all of it.
#[derive(Debug)]
pub struct Sliding {
    slot_ns: u64,
    slots: Box<[Buckets]>,
    current: usize,
    current_end_ns: u64,
    /// The sum of all slots at any time.
    total: Buckets,
}

impl Sliding {
    /// An empty window of `max_age_ms` in `age_buckets` slots; 0 for either means the default.
    pub fn new(max_age_ms: u64, age_buckets: u32, now_ns: u64) -> Self {
        let max_age_ms = if max_age_ms == 0 { MAX_AGE_DEFAULT_MS } else { max_age_ms };
        let count = if age_buckets == 0 { AGE_BUCKETS_DEFAULT } else { age_buckets };
        let slot_ns = (max_age_ms.saturating_mul(1_000_000) / u64::from(count)).max(1);
        Self {
            slot_ns,
            slots: (0..count).map(|_| Buckets::default()).collect(),
            current: 0,
            current_end_ns: now_ns.saturating_add(slot_ns),
            total: Buckets::default(),
        }
    }

    /// Adds `count` observations made now. Without memory they are left out of the window.
    #[inline]
    pub fn add(&mut self, place: Place, count: u64, now_ns: u64, budget: &mut Budget) {
        self.advance(now_ns);
        let Some(slot) = self.slots.get_mut(self.current) else { return };
        // In both or in neither: else taking a slot away would not undo what it added.
        if slot.reserve(place, budget) && self.total.reserve(place, budget) {
            slot.add(place, count, budget);
            self.total.add(place, count, budget);
        }
    }

    /// What was taken from the account of memory for its buckets.
    pub(super) fn size_bytes(&self) -> u64 {
        let all = self.slots.iter().chain([&self.total]);
        all.fold(0, |sum, buckets| sum.saturating_add(buckets.size_bytes()))
    }

    /// The window's contents now.
    pub fn at(&mut self, now_ns: u64) -> &Buckets {
        self.advance(now_ns);
        &self.total
    }

    #[inline]
    fn advance(&mut self, now_ns: u64) {
        if now_ns >= self.current_end_ns {
            self.turn(now_ns);
        }
    }

    #[cold]
    fn turn(&mut self, now_ns: u64) {
        let turns = (now_ns - self.current_end_ns) / self.slot_ns + 1;
        // After one round every slot is empty.
        for _ in 0..turns.min(self.slots.len() as u64) {
            self.current = (self.current + 1) % self.slots.len().max(1);
            if let Some(slot) = self.slots.get_mut(self.current) {
                self.total.subtract(slot);
                slot.clear();
            }
        }
        let ahead = turns.saturating_mul(self.slot_ns);
        self.current_end_ns = self.current_end_ns.saturating_add(ahead);
    }
}
