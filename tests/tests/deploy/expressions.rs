//! PromQL: parsed, and every metric and label of the agent's looked up in its own table.

use std::collections::BTreeSet;

use promql_parser::label::Matchers;
use promql_parser::parser::{self, Expr, LabelModifier};
use promql_parser::util::{ExprVisitor, walk_expr};
use ringmeter_agent::metrics::OWN_METRICS;

/// Labels that the server adds.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

/// What an expression names.
#[derive(Default)]
struct Names {
    metrics: BTreeSet<String>,
    /// Of matchers and aggregations, whatever metric they are of.
    labels: BTreeSet<String>,
}

impl Names {
    fn add(&mut self, name: Option<&String>, matchers: &Matchers) {
        self.metrics.extend(name.cloned());
        for matcher in matchers.matchers.iter().chain(matchers.or_matchers.iter().flatten()) {
            if matcher.name == "__name__" {
                self.metrics.insert(matcher.value.clone());
            } else {
                self.labels.insert(matcher.name.clone());
            }
        }
    }
}

impl ExprVisitor for Names {
    type Error = ();

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, ()> {
        match expression {
            Expr::VectorSelector(selector) => self.add(selector.name.as_ref(), &selector.matchers),
            Expr::MatrixSelector(selector) => {
                self.add(selector.vs.name.as_ref(), &selector.vs.matchers);
            }
            Expr::Aggregate(aggregate) => {
                if let Some(LabelModifier::Include(labels) | LabelModifier::Exclude(labels)) =
                    &aggregate.modifier
                {
                    self.labels.extend(labels.labels.iter().cloned());
                }
            }
            _ => {}
        }
        Ok(true)
    }
}

/// What is wrong with an expression; the metrics that are not the agent's come back.
pub(super) fn check(text: &str) -> Result<BTreeSet<String>, String> {
    let expression = parser::parse(text).map_err(|error| format!("{text}: {error}"))?;
    let mut names = Names::default();
    walk_expr(&mut names, &expression).map_err(|()| format!("{text}: not walked"))?;
    let mut known: BTreeSet<&str> = TARGET_LABELS.into_iter().collect();
    let mut others = BTreeSet::new();
    for metric in &names.metrics {
        match OWN_METRICS.iter().find(|own| own.name == metric) {
            Some(own) => drop(known.insert(own.label)),
            None if metric.starts_with("ringmeter_") => {
                return Err(format!("{text}: the agent has no metric {metric}"));
            }
            None => {
                known.insert("le");
                others.insert(metric.clone());
            }
        }
    }
    if names.metrics.is_empty() {
        return Err(format!("{text}: names no metric"));
    }
    match names.labels.iter().find(|label| !known.contains(label.as_str())) {
        Some(label) => Err(format!("{text}: none of its metrics has a label {label}")),
        None => Ok(others),
    }
}

#[test]
fn mistakes_are_found() {
    let mistakes = [
        ("sum(ringmeter_series", "ringmeter_series"),
        ("rate(ringmeter_record_drained_total[5m])", "no metric ringmeter_record_drained_total"),
        ("sum by (state) (ringmeter_series)", "label state"),
        ("ringmeter_segments{stat=\"live\"}", "label stat"),
        ("1 + 1", "names no metric"),
    ];
    for (text, problem) in mistakes {
        let found = check(text).expect_err(text);
        assert!(found.contains(problem), "{found}");
    }
    assert_eq!(check("sum by (state, job) (ringmeter_segments)"), Ok(BTreeSet::new()));
    let others = check("sum by (le) (rate({__name__=\"x_bucket\"}[5m]))").expect("good");
    assert_eq!(others, BTreeSet::from(["x_bucket".to_owned()]));
}
