//! Readers of values with units.

use std::time::Duration;

use crate::config::duration;
use crate::yaml::{At, Problems, Value};

/// A duration from `low` to `high`, as Prometheus writes them.
pub(super) fn duration(
    (low, high): (Duration, Duration),
) -> impl FnOnce(&At<'_>, &mut Problems) -> Option<Duration> {
    move |at, problems| {
        let value = match &at.node.value {
            Value::Text(text) => duration::parse(text, high).ok(),
            Value::Integer(0) => Some(Duration::ZERO),
            _ => None,
        };
        let value = value.filter(|value| *value >= low);
        if value.is_none() {
            let (low, high) = (duration::format(low), duration::format(high));
            at.expected(problems, &format!("a duration from {low} to {high}, as 500ms or 1m30s"));
        }
        value
    }
}

/// A number of bytes from `low` to `high`, as `64MiB` or as a whole number.
pub(super) fn bytes((low, high): (u64, u64)) -> impl FnOnce(&At<'_>, &mut Problems) -> Option<u64> {
    move |at, problems| {
        let value = match &at.node.value {
            Value::Integer(value) => u64::try_from(*value).ok(),
            Value::Text(text) => parse_bytes(text),
            _ => None,
        };
        let value = value.filter(|value| (low..=high).contains(value));
        if value.is_none() {
            let (low, high) = (format_bytes(low), format_bytes(high));
            at.expected(problems, &format!("a size from {low} to {high}, as 64MiB"));
        }
        value
    }
}

const BYTE_UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

fn parse_bytes(text: &str) -> Option<u64> {
    let (unit, shift) = BYTE_UNITS.into_iter().find(|(unit, _)| text.ends_with(unit))?;
    let digits = text.strip_suffix(unit)?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 = Some(digits).filter(|_| is_number)?.parse().ok()?;
    count.checked_mul(1 << shift)
}

/// A size as the file has it.
pub(super) fn format_bytes(bytes: u64) -> String {
    let fitting =
        BYTE_UNITS.into_iter().find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    fitting.map_or_else(|| format!("{bytes}B"), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}
