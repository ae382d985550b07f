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

impl Budget {
    /// An account with nothing used.
    pub const fn new(limit_bytes: u64) -> Self {
        Self { used_bytes: 0, limit_bytes, refusals: 0 }
    }

    /// Takes `bytes` for detail (a series of its own, finer buckets), or nothing and says so.
    ///
    /// A quarter of the memory is left for what totals depend on.
    pub fn take(&mut self, bytes: u64) -> bool {
        self.take_up_to(bytes, self.limit_bytes / 4 * 3)
    }

    /// Takes `bytes` for what no total can do without, or nothing and says so.
    pub fn take_needed(&mut self, bytes: u64) -> bool {
        self.take_up_to(bytes, self.limit_bytes)
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
        assert!(budget.take(60));
        assert!(!budget.take(16));
        assert!(!budget.take(u64::MAX), "no overflow");
        assert!(budget.take_needed(40));
        assert!(!budget.take_needed(1));
        assert_eq!((budget.used_bytes(), budget.refusals()), (100, 3));
        budget.give_back(50);
        assert!(budget.take(25));
    }
}
