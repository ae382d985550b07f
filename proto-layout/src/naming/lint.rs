//! Advice on names, by the rules and in the words of Prometheus' promlint.
//!
//! The rules are those of `promtool check metrics` (client_golang, package
//! `prometheus/testutil/promlint/validations`), except `metric not unique`, which is about
//! exposed series and not about one definition. Advice is never an error: a metric that
//! breaks every rule is still counted.

use core::fmt;

use super::Kind;

/// Units with the base unit of each, base units included.
const UNITS: [(&str, &str); 24] = [
    ("amperes", "amperes"),
    ("bytes", "bytes"),
    ("celsius", "celsius"),
    ("grams", "grams"),
    ("joules", "joules"),
    ("kelvin", "kelvin"),
    ("meters", "meters"),
    ("metres", "metres"),
    ("seconds", "seconds"),
    ("volts", "volts"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
];

/// Prefixes of units; "mibi" is promlint's spelling of "mebi".
const UNIT_PREFIXES: [&str; 18] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega",
    "mibi", "giga", "gibi", "tera", "tebi", "peta", "pebi",
];

/// Abbreviations that hide what a number means.
const UNIT_ABBREVIATIONS: [&str; 14] =
    ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];

/// The types that a name should not spell out.
const TYPE_NAMES: [&str; 5] = ["counter", "gauge", "summary", "histogram", "gauge_histogram"];

/// One piece of advice; its `Display` is promlint's sentence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lint {
    /// There is no help text.
    NoHelpText,
    /// The name has a unit that is not a base unit.
    BaseUnit {
        /// The base unit to use.
        base: &'static str,
        /// The unit in the name.
        unit: String,
    },
    /// A counter's name does not end in `_total`.
    CounterWithoutTotal,
    /// The name of something else than a counter ends in `_total`.
    TotalWithoutCounter,
    /// The name ends in `_bucket`, as only a histogram's series do.
    BucketSuffix,
    /// The name ends in `_count`, as only series of histograms and summaries do.
    CountSuffix,
    /// The name ends in `_sum`, as only series of histograms and summaries do.
    SumSuffix,
    /// A label is called `le`, as only a histogram's is.
    LeLabel,
    /// A label is called `quantile`, as only a summary's is.
    QuantileLabel,
    /// The name says the metric's type.
    TypeInName {
        /// The type in the name.
        type_name: &'static str,
    },
    /// The name has a colon, which is for recording rules.
    Colon,
    /// The name is in camelCase.
    CamelCaseMetric,
    /// A label's name is in camelCase.
    CamelCaseLabel,
    /// The name has an abbreviated unit.
    AbbreviatedUnit,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BaseUnit { base, unit } => {
                return write!(f, "use base unit {base:?} instead of {unit:?}");
            }
            Self::TypeInName { type_name } => {
                return write!(f, "metric name should not include type '{type_name}'");
            }
            Self::NoHelpText => "no help text",
            Self::CounterWithoutTotal => "counter metrics should have \"_total\" suffix",
            Self::TotalWithoutCounter => "non-counter metrics should not have \"_total\" suffix",
            Self::BucketSuffix => "non-histogram metrics should not have \"_bucket\" suffix",
            Self::CountSuffix => {
                "non-histogram and non-summary metrics should not have \"_count\" suffix"
            }
            Self::SumSuffix => {
                "non-histogram and non-summary metrics should not have \"_sum\" suffix"
            }
            Self::LeLabel => "non-histogram metrics should not have \"le\" label",
            Self::QuantileLabel => "non-summary metrics should not have \"quantile\" label",
            Self::Colon => "metric names should not contain ':'",
            Self::CamelCaseMetric => {
                "metric names should be written in 'snake_case' not 'camelCase'"
            }
            Self::CamelCaseLabel => "label names should be written in 'snake_case' not 'camelCase'",
            Self::AbbreviatedUnit => "metric names should not contain abbreviated units",
        })
    }
}

/// Gives advice on the definition of a metric, in the order of promlint's rules.
///
/// An empty help text stands for none. Nothing is checked that is an error elsewhere: the
/// names may be of any form. It allocates, and is meant for registration and for tests.
///
/// ```
/// use ringmeter_layout::naming::Kind;
/// use ringmeter_layout::naming::lint::lint;
///
/// let advice = lint(Kind::Counter, "request_time_ms", "Time spent.", &["method"]);
/// let sentences: Vec<String> = advice.iter().map(ToString::to_string).collect();
/// assert_eq!(
///     sentences,
///     [
///         "counter metrics should have \"_total\" suffix",
///         "metric names should not contain abbreviated units",
///     ],
/// );
/// ```
#[must_use]
pub fn lint<S: AsRef<str>>(kind: Kind, name: &str, help: &str, label_names: &[S]) -> Vec<Lint> {
    let mut advice = Vec::new();
    if help.is_empty() {
        advice.push(Lint::NoHelpText);
    }
    if let Some((unit, base)) = unit_in(name).filter(|(unit, base)| unit != base) {
        advice.push(Lint::BaseUnit { base, unit: unit.to_owned() });
    }
    match (kind == Kind::Counter, name.ends_with("_total")) {
        (true, false) => advice.push(Lint::CounterWithoutTotal),
        (false, true) => advice.push(Lint::TotalWithoutCounter),
        _ => {}
    }
    lint_reserved(kind, name, label_names, &mut advice);
    let lower = name.to_lowercase();
    let types = TYPE_NAMES.into_iter().filter(|type_name| has_token(&lower, type_name));
    advice.extend(types.map(|type_name| Lint::TypeInName { type_name }));
    if name.contains(':') {
        advice.push(Lint::Colon);
    }
    if is_camel_case(name) {
        advice.push(Lint::CamelCaseMetric);
    }
    for _ in label_names.iter().filter(|label| is_camel_case(label.as_ref())) {
        advice.push(Lint::CamelCaseLabel);
    }
    for _ in UNIT_ABBREVIATIONS.into_iter().filter(|unit| has_token(&lower, unit)) {
        advice.push(Lint::AbbreviatedUnit);
    }
    advice
}

/// Suffixes and labels that belong to histograms and summaries.
fn lint_reserved<S: AsRef<str>>(kind: Kind, name: &str, label_names: &[S], advice: &mut Vec<Lint>) {
    if kind != Kind::Histogram && name.ends_with("_bucket") {
        advice.push(Lint::BucketSuffix);
    }
    if !kind.is_distribution() && name.ends_with("_count") {
        advice.push(Lint::CountSuffix);
    }
    if !kind.is_distribution() && name.ends_with("_sum") {
        advice.push(Lint::SumSuffix);
    }
    for label in label_names {
        match label.as_ref() {
            "le" if kind != Kind::Histogram => advice.push(Lint::LeLabel),
            "quantile" if kind != Kind::Summary => advice.push(Lint::QuantileLabel),
            _ => {}
        }
    }
}

/// The first unit among the words of a name, and its base unit.
fn unit_in(name: &str) -> Option<(&str, &'static str)> {
    let base_of = |word: &str| UNITS.into_iter().find(|(unit, _)| *unit == word);
    name.split('_').find_map(|word| {
        let mut stems = UNIT_PREFIXES.into_iter().filter_map(|prefix| word.strip_prefix(prefix));
        let (_, base) = base_of(word).or_else(|| stems.find_map(base_of))?;
        Some((word, base))
    })
}

/// Whether `token` stands between two underscores, or after the last one.
fn has_token(name: &str, token: &str) -> bool {
    // The first word has no underscore before it, and promlint spares it.
    name.match_indices(token).any(|(start, _)| {
        let (before, rest) = name.split_at(start);
        let after = rest.strip_prefix(token).unwrap_or(rest);
        before.ends_with('_') && (after.is_empty() || after.starts_with('_'))
    })
}

fn is_camel_case(name: &str) -> bool {
    let followers = name.bytes().skip(1);
    name.bytes().zip(followers).any(|(a, b)| a.is_ascii_lowercase() && b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(kind: Kind, name: &str, labels: &[&str]) -> Vec<String> {
        lint(kind, name, "Help.", labels).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn help_is_wanted() {
        assert_eq!(lint::<&str>(Kind::Gauge, "threads", "", &[]), [Lint::NoHelpText]);
        assert_eq!(lint::<&str>(Kind::Gauge, "threads", "Threads.", &[]), []);
    }

    #[test]
    fn base_units_are_wanted() {
        for unit in ["amperes", "bytes", "celsius", "grams", "joules", "kelvin", "meters"] {
            assert!(sentences(Kind::Gauge, &format!("x_{unit}"), &[]).is_empty(), "{unit}");
        }
        for (unit, base) in [
            ("milliamperes", "amperes"),
            ("gigabytes", "bytes"),
            ("mibibytes", "bytes"),
            ("kilograms", "grams"),
            ("nanocelsius", "celsius"),
            ("picometers", "meters"),
            ("microseconds", "seconds"),
            ("minutes", "seconds"),
            ("kelvins", "kelvin"),
            ("fahrenheit", "celsius"),
            ("bits", "bytes"),
            ("kilocalories", "joules"),
            ("ounces", "grams"),
        ] {
            for name in [format!("x_{unit}"), format!("{unit}_x")] {
                let expected = format!("use base unit \"{base}\" instead of \"{unit}\"");
                assert_eq!(sentences(Kind::Gauge, &name, &[]), [expected]);
            }
        }
        // The first unit decides, even when a later one is no base unit.
        assert!(sentences(Kind::Gauge, "bytes_per_hours", &[]).is_empty());
        // "mebi" is not in promlint's list.
        assert!(sentences(Kind::Gauge, "x_mebibytes", &[]).is_empty());
    }

    #[test]
    fn total_is_for_counters() {
        let missing = "counter metrics should have \"_total\" suffix";
        let surplus = "non-counter metrics should not have \"_total\" suffix";
        assert_eq!(sentences(Kind::Counter, "x_bytes", &[]), [missing]);
        assert_eq!(sentences(Kind::Gauge, "x_bytes_total", &[]), [surplus]);
        assert!(sentences(Kind::Counter, "x_bytes_total", &[]).is_empty());
    }

    #[test]
    fn suffixes_and_labels_of_distributions_are_theirs() {
        let bucket = "non-histogram metrics should not have \"_bucket\" suffix";
        let count = "non-histogram and non-summary metrics should not have \"_count\" suffix";
        let sum = "non-histogram and non-summary metrics should not have \"_sum\" suffix";
        let le = "non-histogram metrics should not have \"le\" label";
        let quantile = "non-summary metrics should not have \"quantile\" label";
        assert_eq!(sentences(Kind::Gauge, "x_bucket", &[]), [bucket]);
        assert_eq!(sentences(Kind::Summary, "x_bucket", &[]), [bucket]);
        assert_eq!(sentences(Kind::Gauge, "x_count", &[]), [count]);
        assert_eq!(sentences(Kind::Gauge, "x_sum", &[]), [sum]);
        assert!(sentences(Kind::Summary, "x_sum", &[]).is_empty());
        assert_eq!(sentences(Kind::Gauge, "x", &["le", "quantile"]), [le, quantile]);
        assert_eq!(sentences(Kind::Histogram, "x", &["le", "quantile"]), [quantile]);
        assert_eq!(sentences(Kind::Summary, "x", &["le", "quantile"]), [le]);
    }

    #[test]
    fn types_do_not_belong_in_names() {
        let expected = |name| [format!("metric name should not include type '{name}'")];
        assert_eq!(sentences(Kind::Gauge, "limit_bytes_gauge", &[]), expected("gauge"));
        assert_eq!(sentences(Kind::Gauge, "limit_gauge_bytes", &[]), expected("gauge"));
        assert_eq!(sentences(Kind::Histogram, "x_seconds_HISTOGRAM", &[]), expected("histogram"));
        assert_eq!(sentences(Kind::Summary, "x_seconds_summary", &[]), expected("summary"));
        // Only whole words after the first underscore.
        assert!(sentences(Kind::Gauge, "gauge_x", &[]).is_empty());
        assert!(sentences(Kind::Gauge, "x_gauges", &[]).is_empty());
    }

    #[test]
    fn names_are_snake_case_without_colons() {
        let metric = "metric names should be written in 'snake_case' not 'camelCase'";
        let label = "label names should be written in 'snake_case' not 'camelCase'";
        let colon = "metric names should not contain ':'";
        assert_eq!(sentences(Kind::Gauge, "requestDuration_seconds", &[]), [metric]);
        assert_eq!(sentences(Kind::Gauge, "x", &["httpService", "a", "bC"]), [label, label]);
        assert_eq!(sentences(Kind::Gauge, "x::y", &[]), [colon]);
        assert!(sentences(Kind::Gauge, "HTTP_x", &["GET"]).is_empty());
    }

    #[test]
    fn units_are_written_out() {
        let expected = "metric names should not contain abbreviated units";
        for unit in UNIT_ABBREVIATIONS {
            assert_eq!(sentences(Kind::Gauge, &format!("x_{unit}"), &[]), [expected], "{unit}");
            assert_eq!(sentences(Kind::Gauge, &format!("x_{unit}_y"), &[]), [expected], "{unit}");
        }
        assert_eq!(sentences(Kind::Gauge, "x_MS", &[]), [expected]);
        assert_eq!(sentences(Kind::Gauge, "x_ms_kb", &[]), [expected, expected]);
        // A token that occurs first inside a longer word is still found.
        assert_eq!(sentences(Kind::Gauge, "disks_s", &[]), [expected]);
        assert!(sentences(Kind::Gauge, "ms_x", &[]).is_empty());
    }
}
