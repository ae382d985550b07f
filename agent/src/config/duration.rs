//! Durations as Prometheus writes them: `500ms`, `20s`, `1m30s`, `1h`.

use std::time::Duration;

use super::Reason;

/// Units in milliseconds, in the order in which they may follow each other.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration: whole numbers with units, each unit at most once, larger ones first; a bare
/// `0` needs no unit.
pub(crate) fn parse(text: &str, limit: Duration) -> Result<Duration, Reason> {
    let wrong = Reason::Duration { limit };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total_ms = 0u64;
    if rest.is_empty() {
        return Err(wrong);
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let factor_ms = units.find(|known| known.0 == unit).map(|known| known.1);
        let part = number.parse::<u64>().ok().zip(factor_ms);
        let part_ms = part.and_then(|(count, factor)| count.checked_mul(factor));
        total_ms = part_ms.and_then(|ms| total_ms.checked_add(ms)).ok_or_else(|| wrong.clone())?;
        rest = after;
    }
    let total = Duration::from_millis(total_ms);
    if total > limit { Err(wrong) } else { Ok(total) }
}

/// A duration as [`parse`] reads it; parts of milliseconds are left out.
pub(super) fn format(duration: Duration) -> String {
    let mut rest_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest_ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, factor_ms) in UNITS {
        let count = rest_ms / factor_ms;
        rest_ms %= factor_ms;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn durations_as_prometheus_writes_them() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("20s", 20_000),
            ("1m", 60_000),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
            ("59m59s999ms", 3_599_999),
        ];
        for (text, ms) in cases {
            assert_eq!(parse(text, HOUR), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let wrong = [
            "",
            "20",
            "s",
            "-1s",
            "1.5s",
            "1s1m",
            "1s1s",
            "1d",
            "20 s",
            "1h1ms",
            "61m",
            "20S",
            "1é",
            "18446744073709551615h",
            "99999999999999999999s",
            "+1s",
            "0x1s",
        ];
        for text in wrong {
            assert_eq!(parse(text, HOUR), Err(Reason::Duration { limit: HOUR }), "{text}");
        }
    }
}
