//! Numbers as both text formats write them.

use crate::snapshot::Number;

/// Integers up to this size are exact in an f64 and are printed without point and exponent.
const EXACT_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

#[inline]
pub(super) fn push_number(out: &mut Vec<u8>, number: Number) {
    match number {
        Number::U64(value) => push_u64(out, value),
        Number::F64(value) => push_f64(out, value),
    }
}

#[inline]
pub(super) fn push_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(super) fn push_f64(out: &mut Vec<u8>, value: f64) {
    if let Some(integer) = exact_integer(value) {
        out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    }
}

/// Milliseconds as seconds, `1700000000.123`.
pub(super) fn push_seconds(out: &mut Vec<u8>, unix_ms: u64) {
    push_u64(out, unix_ms / 1000);
    let rest = unix_ms % 1000;
    out.push(b'.');
    for digit in [rest / 100, rest / 10 % 10, rest % 10] {
        push_u64(out, digit);
    }
}

/// The value as an integer where that loses nothing; not for -0.0, whose sign would go.
#[expect(clippy::cast_possible_truncation, reason = "the cast is checked by casting back")]
fn exact_integer(value: f64) -> Option<i64> {
    let integer = value as i64;
    let exact = value.abs() <= EXACT_INTEGER_MAX && (integer as f64).to_bits() == value.to_bits();
    exact.then_some(integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_three_places() {
        let cases = [(0, "0.000"), (7, "0.007"), (1_700_000_000_120, "1700000000.120")];
        for (unix_ms, text) in cases {
            let mut out = Vec::new();
            push_seconds(&mut out, unix_ms);
            assert_eq!(String::from_utf8(out).as_deref(), Ok(text));
        }
    }
}
