//! Log lines that producers can cause, limited in number.

/// Lines per window: with 500 bytes each, producers can make the agent write 600 kB in an hour.
const LINES_MAX: u32 = 20;
const WINDOW_NS: u64 = 60_000_000_000;

/// Allows a number of lines per time, and says once how many were left out.
#[derive(Debug, Default)]
pub struct LogLimit {
    window_ns: u64,
    lines: u32,
    left_out: u64,
}

impl LogLimit {
    /// Whether one more line may be written now.
    pub fn allows(&mut self, now_ns: u64) -> bool {
        if now_ns.saturating_sub(self.window_ns) >= WINDOW_NS {
            if self.left_out > 0 {
                tracing::warn!(lines = self.left_out, "messages about segments left out");
            }
            *self = Self { window_ns: now_ns, ..Self::default() };
        }
        if self.lines >= LINES_MAX {
            self.left_out = self.left_out.saturating_add(1);
            return false;
        }
        self.lines += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_limited_per_window() {
        let mut limit = LogLimit::default();
        assert_eq!((0..100).filter(|_| limit.allows(1)).count(), LINES_MAX as usize);
        assert!(limit.allows(1 + WINDOW_NS));
    }
}
