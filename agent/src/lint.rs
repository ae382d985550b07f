//! Advice on a scrape, by the rules and in the words of `promtool check metrics`.
//!
//! The rules about one metric are `ringmeter_layout::naming::lint`'s, by which the SDK gives
//! advice at registration; here they meet the text of a scrape, and one rule is added that needs
//! it (`metric not unique`).

mod text;

use std::collections::BTreeSet;

use ringmeter_layout::naming::Kind;
use ringmeter_layout::naming::lint::{Lint, lint};

pub use text::{ParseError, ScrapedFamily, Type, parse};

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Advice {
    /// The metric.
    pub metric: String,
    /// What promlint says.
    pub text: String,
}

/// Advice on every metric of a scrape, sorted as promtool does.
///
/// # Errors
/// When the text is neither text 0.0.4 nor OpenMetrics.
pub fn lint_text(scrape: &str) -> Result<Vec<Advice>, ParseError> {
    let mut all: Vec<Advice> = parse(scrape)?.iter().flat_map(lint_family).collect();
    all.sort();
    Ok(all)
}

fn lint_family(family: &ScrapedFamily) -> Vec<Advice> {
    let advice = |text: String| Advice { metric: family.name.clone(), text };
    let kind = match family.metric_type {
        Type::Counter => Kind::Counter,
        Type::Gauge | Type::Untyped => Kind::Gauge,
        Type::Histogram => Kind::Histogram,
        Type::Summary => Kind::Summary,
    };
    // Labels are judged series by series.
    let names: Vec<&str> = family.series.iter().flatten().map(|(name, _)| name.as_str()).collect();
    let help = if family.has_help { "help" } else { "" };
    let mut all: Vec<Advice> = lint(kind, &family.name, help, &names)
        .into_iter()
        .filter(|own| family.metric_type != Type::Untyped || is_for_untyped(own))
        .map(|own| advice(own.to_string()))
        .collect();
    let mut seen = BTreeSet::new();
    for series in &family.series {
        if !seen.insert(series) {
            all.push(advice("metric not unique".to_owned()));
        }
    }
    all
}

/// promlint says nothing of what only a type can decide.
fn is_for_untyped(lint: &Lint) -> bool {
    !matches!(
        lint,
        Lint::TotalWithoutCounter
            | Lint::BucketSuffix
            | Lint::CountSuffix
            | Lint::SumSuffix
            | Lint::LeLabel
            | Lint::QuantileLabel
    )
}
