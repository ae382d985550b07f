//! The pieces of exposition text that are rendered once and kept.

use std::fmt::Write;

/// The HELP and TYPE lines of text 0.0.4; no HELP line where there is no help.
pub(super) fn header(name: &str, help: &str, type_word: &str) -> String {
    let mut text = String::with_capacity(2 * name.len() + help.len() + 32);
    if !help.is_empty() {
        text.extend(["# HELP ", name, " "]);
        // A double quote stays as it is: only label values escape it.
        escape_help(help, false, &mut text);
        text.push('\n');
    }
    text.extend(["# TYPE ", name, " ", type_word, "\n"]);
    text
}

/// Appends a help text with its escapes; only OpenMetrics escapes `quotes`.
pub(crate) fn escape_help(help: &str, quotes: bool, text: &mut String) {
    for character in help.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quotes => text.push_str("\\\""),
            other => text.push(other),
        }
    }
}

/// The pairs in the order given, `a="b",c="d"`, values escaped.
pub(super) fn labels(pairs: &[(&str, &str)]) -> String {
    let length_bytes = pairs.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let mut text = String::with_capacity(length_bytes);
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.extend([name, "=\""]);
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    text
}

/// A bound or quantile as OpenMetrics' canonical numbers have it: `0.5`, `1.0`, `1e-05`, `1e+06`,
/// `+Inf`. One rendering for all text formats, so that a series keeps its identity when the
/// scraper negotiates another one.
///
/// This is C's `%g` with the fewest digits that read back the same value, and `.0` added where
/// neither a point nor an exponent is left (OpenMetrics 1.0, "Considerations: Canonical Numbers").
pub(super) fn canonical(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let shortest = format!("{value:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        let mut text = String::from(mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        // Writing to a String cannot fail.
        let _ = write!(text, "e{sign}{:02}", exponent.unsigned_abs());
        return text;
    }
    // Between 1e-4 and 1e16, `{:?}` prints the shortest digits with a point and no exponent.
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_numbers_are_those_of_openmetrics() {
        let expected = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (10.0, "10.0"),
            (0.5, "0.5"),
            (0.005, "0.005"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e-10, "1e-10"),
            (2.5e-7, "2.5e-07"),
            (100_000.0, "100000.0"),
            (123_456.789, "123456.789"),
            (1e6, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (1e21, "1e+21"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (-2.5, "-2.5"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in expected {
            assert_eq!(canonical(value), text);
        }
    }

    #[test]
    fn help_keeps_its_quotes() {
        assert_eq!(
            header("a", "say \"\\\" twice\nplease", "counter"),
            "# HELP a say \"\\\\\" twice\\nplease\n# TYPE a counter\n"
        );
        assert_eq!(header("a", "", "gauge"), "# TYPE a gauge\n");
    }
}
