//! A window that slides over time: age slots in a circle, and their total.

use super::buckets::{Buckets, Place};
use crate::budget::Budget;
use crate::rule::WindowView;

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
        let (slot_ns, count) = slots_of(WindowView { max_age_ms, age_buckets });
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
        self.add_to(self.current, place, count, budget);
    }

    /// See [`Buckets::warm`].
    pub(super) fn warm(&self) {
        self.slots.get(self.current).into_iter().chain([&self.total]).for_each(Buckets::warm);
    }

    /// Adds one observation, made now, at each of these buckets above zero.
    pub(super) fn add_each(&mut self, indices: &[i32], now_ns: u64, budget: &mut Budget) {
        self.advance(now_ns);
        let Some(slot) = self.slots.get_mut(self.current) else { return };
        let has_all = |buckets: &Buckets| buckets.has_all(indices);
        if has_all(slot) && has_all(&self.total) {
            slot.add_each(indices, budget);
            self.total.add_each(indices, budget);
            return;
        }
        for index in indices {
            self.add_to(self.current, Place::Positive(*index), 1, budget);
        }
    }

    #[inline]
    fn add_to(&mut self, slot: usize, place: Place, count: u64, budget: &mut Budget) {
        let Some(slot) = self.slots.get_mut(slot) else { return };
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

    /// Whether it is such a window.
    pub(super) fn is(&self, window: WindowView) -> bool {
        let (slot_ns, count) = slots_of(window);
        self.slot_ns == slot_ns && self.slots.len() == count as usize
    }

    /// Another window with what this one holds and that one would hold, to half a slot of this one.
    pub(super) fn resized(&mut self, window: WindowView, now_ns: u64, budget: &mut Budget) -> Self {
        self.advance(now_ns);
        let mut new = Self::new(window.max_age_ms, window.age_buckets, now_ns);
        let (own, count) = (self.slots.len(), new.slots.len());
        for age in 0..own {
            let Some(slot) = self.slots.get((self.current + own - age) % own.max(1)) else {
                continue;
            };
            // What the current slot holds is from now; an older one's is from its middle.
            let end_ns = self.current_end_ns.saturating_sub(age as u64 * self.slot_ns);
            let middle_ns = end_ns.saturating_sub(self.slot_ns / 2).min(now_ns);
            let age_ns = if age == 0 { 0 } else { now_ns.saturating_sub(middle_ns) };
            let turns = usize::try_from(age_ns.div_ceil(new.slot_ns)).unwrap_or(usize::MAX);
            if turns < count {
                for (place, observations) in slot.places() {
                    let to = (new.current + count - turns) % count;
                    new.add_to(to, place, observations, budget);
                }
            }
        }
        new
    }

    /// What a window costs before it holds anything.
    pub(super) fn cost_bytes(window: WindowView) -> u64 {
        u64::from(slots_of(window).1) * size_of::<Buckets>() as u64
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

/// Duration and number of the slots of a window; 0 for either of its numbers means the default.
fn slots_of(window: WindowView) -> (u64, u32) {
    let WindowView { max_age_ms, age_buckets } = window;
    let max_age_ms = if max_age_ms == 0 { MAX_AGE_DEFAULT_MS } else { max_age_ms };
    let count = if age_buckets == 0 { AGE_BUCKETS_DEFAULT } else { age_buckets };
    ((max_age_ms.saturating_mul(1_000_000) / u64::from(count)).max(1), count)
}
