//! Memory that producers can make the agent use, in one account.

/// What may still be allocated on behalf of producers.
///
/// Label texts, base-2 buckets and taken-spill marks are paid from here. Where it says no, detail
/// is given up and counted; totals are kept.
#[derive(Debug, Clone)]
pub struct Budget {
    used_bytes: u64,
    limit_bytes: u64,
    refusals: u64,
}

/// Why there is no memory for what totals depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// The asker has its share.
    Own,
    /// Others have the rest, for now.
    Others,
}

impl Budget {
    /// An account with nothing used.
    pub const fn new(limit_bytes: u64) -> Self {
        Self { used_bytes: 0, limit_bytes, refusals: 0 }
    }

    /// Another limit; what is used stays used.
    pub const fn set_limit(&mut self, limit_bytes: u64) {
        self.limit_bytes = limit_bytes;
    }

    /// Takes `bytes` for finer buckets, or nothing and says so. Half of the memory is left for
    /// everything else.
    pub fn take_for_buckets(&mut self, bytes: u64) -> bool {
        self.take_up_to(bytes, self.limit_bytes / 2)
    }

    /// Takes `bytes` for a series of its own, or nothing and says so. A quarter of the memory is
    /// left for what totals depend on.
    pub fn take_for_series(&mut self, bytes: u64) -> bool {
        self.take_up_to(bytes, self.limit_bytes / 4 * 3)
    }

    /// Takes `bytes` for what no total can do without, or nothing and says so.
    pub fn take_needed(&mut self, bytes: u64) -> bool {
        self.take_up_to(bytes, self.limit_bytes)
    }

    /// Takes `bytes` for what no total can do without, on behalf of one segment that holds
    /// `held_bytes`: not beyond its share, and unless it `is_last` not when it would then hold
    /// more than is left. The last of a segment is soon given back.
    ///
    /// # Errors
    /// Whose use is in the way.
    pub fn take_share(
        &mut self,
        held_bytes: &mut u64,
        bytes: u64,
        share_max_bytes: u64,
        is_last: bool,
    ) -> Result<(), Shortage> {
        let held = held_bytes.saturating_add(bytes);
        if held > share_max_bytes {
            self.refusals = self.refusals.saturating_add(1);
            return Err(Shortage::Own);
        }
        let left = self.limit_bytes.saturating_sub(self.used_bytes);
        if (held > left && !is_last) || !self.take_needed(bytes) {
            self.refusals = self.refusals.saturating_add(1);
            return Err(Shortage::Others);
        }
        *held_bytes = held;
        Ok(())
    }

    /// Takes `bytes` for what is there already, such as the contents of a ledger.
    pub fn force(&mut self, bytes: u64) {
        self.used_bytes = self.used_bytes.saturating_add(bytes);
    }

    fn take_up_to(&mut self, bytes: u64, limit_bytes: u64) -> bool {
        let used = self.used_bytes.checked_add(bytes).filter(|used| *used <= limit_bytes);
        let Some(used) = used else {
            self.refusals = self.refusals.saturating_add(1);
            return false;
        };
        self.used_bytes = used;
        true
    }

    /// Gives back what was taken.
    pub fn give_back(&mut self, bytes: u64) {
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
    }

    /// Bytes in use.
    pub const fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Bytes that may be used.
    pub const fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Goes on counting refusals from here.
    pub fn set_refusals(&mut self, refusals: u64) {
        self.refusals = refusals;
    }

    /// How often something was refused.
    pub const fn refusals(&self) -> u64 {
        self.refusals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_taken_beyond_the_limit_and_detail_leaves_room() {
        let mut budget = Budget::new(100);
        assert!(budget.take_for_buckets(50));
        assert!(!budget.take_for_buckets(1), "buckets leave half");
        assert!(budget.take_for_series(10));
        assert!(!budget.take_for_series(16));
        assert!(!budget.take_for_series(u64::MAX), "no overflow");
        assert!(budget.take_needed(40));
        assert!(!budget.take_needed(1));
        assert_eq!((budget.used_bytes(), budget.refusals()), (100, 4));
        budget.give_back(50);
        assert!(budget.take_for_series(25));
    }

    #[test]
    fn a_share_ends_where_the_segment_has_as_much_as_is_left() {
        let mut budget = Budget::new(100);
        let (mut greedy, mut late) = (0, 0);
        while budget.take_share(&mut greedy, 1, 90, false).is_ok() {}
        assert_eq!(greedy, 50, "half at most");
        assert_eq!(budget.take_share(&mut greedy, 1, 90, false), Err(Shortage::Others));
        while budget.take_share(&mut late, 1, 90, false).is_ok() {}
        assert_eq!(late, 25, "there is always something left for one who has nothing");
        assert_eq!(budget.take_share(&mut late, 80, 90, false), Err(Shortage::Own));
        assert!(budget.take_share(&mut late, 5, 90, true).is_ok(), "a dead one may end");
        budget.give_back(greedy);
        assert!(
            budget.take_share(&mut late, 25, 90, false).is_ok(),
            "it goes on when others leave"
        );
    }
}
