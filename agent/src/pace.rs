//! How long to nap between two visits of a segment.
//!
//! A lane of 4,096 records lasts 4.1 ms at a million records a second. The nap aims at finding
//! lanes 15 % full, so a steady rate has room for the agent to come seven times too late before a
//! record spills. After idling the nap is at its longest: a sudden burst fills its lanes within
//! milliseconds, and spills into cells until the next visit, at most 100 ms later. Nothing is
//! lost by that, and from then on visits are frequent.

/// Shortest nap: 5,000 visits a second.
pub const NAP_MIN_NS: u64 = 200_000;
/// Longest nap: an idle agent wakes ten times a second.
pub const NAP_MAX_NS: u64 = 100_000_000;
/// A segment that was quiet may have this part of a second's records read at once.
const BURST_DIVISOR: u64 = 10;
/// How full visits shall find the fullest lane.
const FILL_AIM: f64 = 0.15;
/// From here on the nap goes to its shortest at once.
const FILL_ALARM: f64 = 0.5;
/// By how much a nap grows at most.
const GROWTH_MAX: f64 = 1.25;

/// The pace of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    nap_ns: u64,
    due_ns: u64,
    /// Records that may be read by the limit per second; filled up as time goes by.
    saved: u64,
    saved_ns: Option<u64>,
    /// Records that may be read in this pass.
    allowance: u64,
}

impl Pace {
    /// Visit at once.
    pub const fn new() -> Self {
        Self { nap_ns: NAP_MIN_NS, due_ns: 0, saved: 0, saved_ns: None, allowance: u64::MAX }
    }

    /// When the next visit is due.
    pub const fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// The nap chosen last.
    pub const fn nap_ns(&self) -> u64 {
        self.nap_ns
    }

    /// Allows records for a pass: `per_pass`, as far as `per_second` leaves them.
    pub fn allow(&mut self, per_pass: u64, per_second: u64, now_ns: u64) {
        let most = per_second / BURST_DIVISOR;
        let earned = self.saved_ns.map_or(most, |before| {
            let earned = u128::from(now_ns.saturating_sub(before)) * u128::from(per_second);
            u64::try_from(earned / 1_000_000_000).unwrap_or(u64::MAX)
        });
        self.saved = self.saved.saturating_add(earned).min(most);
        self.saved_ns = Some(now_ns);
        self.allowance = self.saved.min(per_pass);
    }

    /// Allows no more than this for the rest of the pass.
    pub fn limit(&mut self, records: u64) {
        self.allowance = self.allowance.min(records);
    }

    /// Records that may still be read in this pass.
    pub const fn allowance(&self) -> u64 {
        self.allowance
    }

    /// Notes that records were read.
    pub const fn spend(&mut self, records: u64) {
        self.saved = self.saved.saturating_sub(records);
        self.allowance = self.allowance.saturating_sub(records);
    }

    /// Plans the next visit after one that found the fullest lane at `fill` (0 to 1), `slept_ns`
    /// after the one before, and left records unread or not.
    #[expect(clippy::cast_possible_truncation, reason = "clamped to 100 ms")]
    #[expect(clippy::cast_sign_loss, reason = "a product of positive numbers")]
    pub fn plan(&mut self, fill: f64, slept_ns: u64, is_caught_up: bool, now_ns: u64) {
        self.nap_ns = if fill > FILL_ALARM || !is_caught_up {
            NAP_MIN_NS
        } else {
            let longest = self.nap_ns as f64 * GROWTH_MAX;
            let aimed = slept_ns as f64 * (FILL_AIM / fill.max(f64::MIN_POSITIVE));
            (aimed.min(longest) as u64).clamp(NAP_MIN_NS, NAP_MAX_NS)
        };
        self.due_ns = now_ns.saturating_add(self.nap_ns);
    }

    /// Visit after the shortest nap, not later: without any, work that never ends would leave no
    /// time to anybody else.
    pub fn hurry(&mut self, now_ns: u64) {
        self.due_ns = self.due_ns.min(now_ns.saturating_add(NAP_MIN_NS));
    }

    /// Visit at this time, not earlier.
    pub fn wait_until(&mut self, due_ns: u64) {
        self.due_ns = self.due_ns.max(due_ns);
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a constant rate into a lane; returns the fullest it got after settling, and the
    /// number of visits in the last second.
    fn play(records_per_s: f64, late_ns: u64) -> (f64, u32) {
        let mut pace = Pace::new();
        let (mut now, mut before) = (0u64, 0u64);
        let (mut fullest, mut visits) = (0.0f64, 0);
        while now < 5_000_000_000 {
            now = pace.due_ns().max(now) + late_ns;
            let slept = now - before;
            let fill = (slept as f64 * 1e-9 * records_per_s / 4096.0).min(1.0);
            if now > 2_000_000_000 {
                fullest = fullest.max(fill);
            }
            visits += u32::from(now > 4_000_000_000);
            pace.plan(fill, slept, true, now);
            before = now;
        }
        (fullest, visits)
    }

    #[test]
    fn a_million_records_a_second_never_come_near_a_full_lane() {
        let (fullest, visits) = play(1e6, 60_000);
        assert!(fullest < 0.25, "{fullest}");
        assert!((500..3_000).contains(&visits), "{visits}");
        let (fullest, _) = play(1e6, 1_000_000);
        assert!(fullest < 0.5, "visits that come a millisecond late: {fullest}");
    }

    #[test]
    fn an_idle_segment_costs_ten_visits_a_second() {
        let (_, visits) = play(0.0, 60_000);
        assert!(visits <= 11, "{visits}");
        let (fullest, visits) = play(1_000.0, 60_000);
        assert!(visits <= 11 && fullest < 0.05, "{visits} {fullest}");
    }

    #[test]
    fn a_lane_over_half_full_shortens_the_nap_at_once_and_it_grows_gently() {
        let mut pace = Pace { nap_ns: NAP_MAX_NS, ..Pace::new() };
        pace.plan(0.51, NAP_MAX_NS, true, 0);
        assert_eq!(pace.nap_ns(), NAP_MIN_NS);
        pace.plan(0.0, NAP_MIN_NS, true, 0);
        assert_eq!(pace.nap_ns(), NAP_MIN_NS * 5 / 4);
        pace.plan(0.2, NAP_MIN_NS, false, 7);
        assert_eq!((pace.nap_ns(), pace.due_ns()), (NAP_MIN_NS, 7 + NAP_MIN_NS), "work is left");
    }

    #[test]
    fn records_are_limited_per_pass_and_per_second() {
        let mut pace = Pace::new();
        let second = 1_000_000_000;
        pace.allow(600, 10_000, 5);
        assert_eq!(pace.allowance(), 600, "a pass");
        pace.spend(600);
        assert_eq!(pace.allowance(), 0);
        pace.allow(600, 10_000, 5);
        assert_eq!(pace.allowance(), 400, "a tenth of a second at once");
        pace.spend(400);
        pace.allow(600, 10_000, 5 + second / 100);
        assert_eq!(pace.allowance(), 100, "what was earned meanwhile");
        let mut read = 0;
        for millisecond in 0..2000 {
            pace.allow(600, 10_000, 2 * second + millisecond * 1_000_000);
            read += pace.allowance();
            pace.spend(600);
        }
        assert!((19_000..=21_000).contains(&read), "{read} in two seconds");
    }
}
