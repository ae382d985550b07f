//! Bounds of histogram buckets.

/// The default bounds, in seconds, for the latency of a network service: the ones that the other
/// Prometheus client libraries use.
pub const DEFAULT: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// `N` bounds, the first at `start` and each `width` above the one before; `+Inf` is not among
/// them, and always there.
///
/// ```
/// static BOUNDS: [f64; 4] = ringmeter::buckets::linear(10.0, 5.0);
/// assert_eq!(BOUNDS, [10.0, 15.0, 20.0, 25.0]);
/// ```
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "far fewer bounds than 2^52")]
pub const fn linear<const N: usize>(start: f64, width: f64) -> [f64; N] {
    let mut bounds = [0.0; N];
    let mut index = 0;
    while index < N {
        bounds[index] = start + width * index as f64;
        index += 1;
    }
    bounds
}

/// `N` bounds, the first at `start` and each `factor` times the one before; `+Inf` is not among
/// them, and always there.
///
/// ```
/// static BOUNDS: [f64; 4] = ringmeter::buckets::exponential(1.0, 2.0);
/// assert_eq!(BOUNDS, [1.0, 2.0, 4.0, 8.0]);
/// ```
#[must_use]
pub const fn exponential<const N: usize>(start: f64, factor: f64) -> [f64; N] {
    let mut bounds = [0.0; N];
    let mut bound = start;
    let mut index = 0;
    while index < N {
        bounds[index] = bound;
        bound *= factor;
        index += 1;
    }
    bounds
}

/// The bounds without a last one of `+Inf`, which is implied.
pub(crate) fn without_infinity(bounds: &[f64]) -> &[f64] {
    match bounds.split_last() {
        Some((last, rest)) if *last == f64::INFINITY => rest,
        _ => bounds,
    }
}
