//! The answers for programs: an array with one object per row.

use super::Report;
use crate::row::Answer;
use crate::statistics::Verdict;

/// Encodes a report.
pub(super) fn encode(report: &Report) -> String {
    let machine = &report.machine;
    let rows: Vec<String> = report.answers.iter().map(row).collect();
    let missing: Vec<String> = report
        .missing
        .iter()
        .map(|(id, why)| {
            format!("    {{\"row\": {}, \"why\": {}}}", text(id), text(&why.to_string()))
        })
        .collect();
    format!(
        "{{\n  \"machine\": {{\"processor\": {}, \"processors\": {}, \"kernel\": {}, \
         \"compiler\": {}, \"commit\": {}, \"date\": {}, \"load\": {}}},\n  \"command\": {},\n  \
         \"seed\": {},\n  \"seconds\": {},\n  \"rows\": [\n{}\n  ],\n  \"missing\": [{}]\n}}\n",
        text(&machine.processor),
        machine.processors,
        text(&machine.kernel),
        text(&machine.compiler),
        text(&machine.commit),
        text(&machine.date),
        text(&machine.load),
        text(&report.command),
        report.seed,
        report.seconds,
        rows.join(",\n"),
        if missing.is_empty() { String::new() } else { format!("\n{}\n  ", missing.join(",\n")) },
    )
}

fn row(answer: &Answer) -> String {
    let ratio = answer.ratio;
    let taken: Vec<String> = answer
        .taken
        .iter()
        .map(|taken| {
            let (name, min, median) = (text(&taken.name), number(taken.min), number(taken.median));
            let tail = taken.tail.map_or_else(String::new, |tail| {
                format!(
                    ", \"p50_ns\": {}, \"p99_ns\": {}, \"p99_9_ns\": {}, \"p99_99_ns\": {}",
                    number(tail.p50),
                    number(tail.p99),
                    number(tail.p99_9),
                    number(tail.p99_99),
                )
            });
            format!("{{\"name\": {name}, \"min\": {min}, \"median\": {median}{tail}}}")
        })
        .collect();
    let rival = answer.taken.get(answer.rival).map_or("", |taken| &taken.name);
    format!(
        "    {{\"row\": {}, \"value\": {}, \"low\": {}, \"high\": {}, \"goal\": {}, \
         \"unit\": \"ratio\", \"verdict\": {},\n     \"aim\": {}, \"aim_verdict\": {}, \
         \"title\": {}, \"compared_with\": {},\n     \"rounds\": {}, \"disturbed_rounds\": {}, \
         \"spilled_records\": {}, \
         \"time_unit\": {}, \"times\": [{}]}}",
        text(answer.id),
        number(ratio.value),
        number(ratio.low),
        number(ratio.high),
        answer.goal.map_or("null".to_owned(), number),
        verdict(answer.verdict()),
        answer.aim.map_or("null".to_owned(), number),
        verdict(answer.aim_verdict()),
        text(answer.title),
        text(rival),
        answer.rounds,
        answer.noisy,
        answer.spilled,
        text(answer.unit.as_str()),
        taken.join(", "),
    )
}

fn verdict(verdict: Option<Verdict>) -> String {
    verdict.map_or("null".to_owned(), |verdict| text(verdict.as_str()))
}

/// Four significant digits are more than a run repeats; JSON has no infinities.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.4}") } else { "null".to_owned() }
}

fn text(value: &str) -> String {
    let mut quoted = String::from("\"");
    for character in value.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control < ' ' => quoted.push(' '),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_numbers_are_valid_json() {
        assert_eq!(text("a\"b\\c\nd"), "\"a\\\"b\\\\c d\"");
        assert_eq!(number(0.25), "0.2500");
        assert_eq!(number(f64::NAN), "null");
    }
}
