//! The answers for programs.

use serde_json::{Value, json};

use super::Report;
use crate::error::Outcome;
use crate::figure::Figure;
use crate::row::{Answer, Taken};

/// Encodes a report.
///
/// # Errors
/// Never: all of it is numbers and text.
pub(super) fn encode(report: &Report) -> Outcome<String> {
    let missing = |(id, why): &(&str, _)| json!({ "row": id, "why": format!("{why}") });
    let value = json!({
        "machine": &report.machine,
        "command": report.command,
        "seed": report.seed,
        "seconds": report.seconds,
        "noise": &report.noise,
        "goals": report.lines(),
        "rows": report.answers.iter().map(row).collect::<Vec<Value>>(),
        "figures": report.figures.iter().map(figure).collect::<Vec<Value>>(),
        "plots": &report.plots,
        "missing": report.missing.iter().map(missing).collect::<Vec<Value>>(),
    });
    let mut text = serde_json::to_string_pretty(&value)?;
    text.push('\n');
    Ok(text)
}

fn row(answer: &Answer) -> Value {
    let rival = answer.taken.get(answer.rival).map(|taken| &taken.name);
    json!({
        "row": answer.id,
        "title": answer.title,
        "value": number(answer.ratio.value),
        "low": number(answer.ratio.low),
        "high": number(answer.ratio.high),
        "unit": "ratio",
        "compared_with": rival,
        "rounds": answer.rounds,
        "disturbed_rounds": answer.noisy,
        "spilled_records": answer.spilled,
        "time_unit": answer.unit.as_str(),
        "times": answer.taken.iter().map(taken).collect::<Vec<Value>>(),
    })
}

fn taken(taken: &Taken) -> Value {
    let tail = taken.tail.map(|tail| {
        json!({
            "p50_ns": tail.p50,
            "p99_ns": tail.p99,
            "p99_9_ns": tail.p99_9,
            "p99_99_ns": tail.p99_99,
        })
    });
    json!({
        "name": taken.name,
        "min": number(taken.min),
        "median": number(taken.median),
        "single_calls": tail,
    })
}

fn figure(figure: &Figure) -> Value {
    json!({
        "row": figure.id,
        "title": figure.title,
        "value": number(figure.estimate.value),
        "low": number(figure.estimate.low),
        "high": number(figure.estimate.high),
        "unit": figure.unit,
        "samples": figure.samples,
        "disturbed_samples": figure.disturbed,
        "note": figure.note,
    })
}

/// Five decimals are more than a run repeats.
fn number(value: f64) -> f64 {
    (value * 1e5).round() / 1e5
}
