//! Sums of many floats that stay exact to the last place.

/// A sum of floats with the part that rounding took away (Neumaier's summation).
///
/// A plain sum of a thousand million values can be off by 1e-7 relative; this one stays within
/// about 1e-15.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FloatSum {
    sum: f64,
    lost: f64,
}

impl FloatSum {
    /// Adds a finite value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        let lost = if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        self.sum = sum;
        // Past f64::MAX the sum is infinite, and infinity minus infinity would make it NaN.
        if lost.is_finite() {
            self.lost += lost;
        }
    }

    /// Whether the sum is finite with this value added: an infinite one would stay so for ever.
    #[inline]
    pub fn stays_finite(&self, value: f64) -> bool {
        (self.sum + value).is_finite()
    }

    /// The sum and what rounding took from it, as bits.
    pub fn words(&self) -> [u64; 2] {
        [self.sum.to_bits(), self.lost.to_bits()]
    }

    /// The sum that gave these words; words that are missing are zero.
    pub fn of_words(words: &[u64]) -> Self {
        let float = |at: usize| f64::from_bits(words.get(at).copied().unwrap_or(0));
        Self { sum: float(0), lost: float(1) }
    }

    /// The sum.
    #[inline]
    pub fn value(&self) -> f64 {
        self.sum + self.lost
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_million_small_values_beside_a_large_one_are_not_lost() {
        let mut sum = FloatSum::default();
        sum.add(1e16);
        for _ in 0..1_000_000 {
            sum.add(0.25);
        }
        assert_eq!(sum.value(), 1e16 + 250_000.0);
    }

    #[test]
    fn a_sum_past_the_largest_float_is_infinite_and_not_nan() {
        let mut sum = FloatSum::default();
        sum.add(f64::MAX);
        sum.add(f64::MAX);
        sum.add(1.0);
        assert_eq!(sum.value(), f64::INFINITY);
    }

    proptest! {
        #[test]
        fn sums_of_non_negative_values_never_decrease(
            values in prop::collection::vec(0.0f64..1e18, 1..200),
        ) {
            let mut sum = FloatSum::default();
            let mut before = 0.0;
            for value in values {
                sum.add(value);
                prop_assert!(sum.value() >= before);
                before = sum.value();
            }
        }
    }
}
