//! Random families through the text formats and the reference parsers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use ringmeter_agent::expose::{openmetrics, text};
use ringmeter_agent::snapshot::{FamilyBlock, Snapshot, Values};
use ringmeter_tests::prometheus::{promtool_check_metrics, python};
use ringmeter_tests::random::Random;

use crate::random::{Drawn, Sample, bits, families};

/// Reads one exposition per line, as hexadecimal digits, with the parser that is named first, and
/// prints its samples: name, labels, value and exemplar, texts as hexadecimal digits. An empty
/// line ends an exposition.
const READER: &str = r#"
import sys
if sys.argv[1] == 'openmetrics':
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
else:
    from prometheus_client.parser import text_string_to_metric_families as parse
def pairs(labels):
    return ','.join(n.encode().hex() + '=' + v.encode().hex() for n, v in sorted(labels.items()))
for line in sys.stdin:
    text = bytes.fromhex(line).decode()
    try:
        families = list(parse(text))
    except Exception:
        sys.stderr.write(text)
        raise
    for family in families:
        for sample in family.samples:
            exemplar = ''
            if sample.exemplar:
                exemplar = pairs(sample.exemplar.labels) + ';' + repr(float(sample.exemplar.value))
            print(sample.name, pairs(sample.labels) + ';', repr(float(sample.value)),
                  exemplar or '-', sep='|')
    print()
"#;

fn hexadecimal(text: &[u8]) -> String {
    text.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhexadecimal(digits: &str) -> String {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits");
    let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    String::from_utf8(bytes).expect("UTF-8")
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let all = text.split(',').filter_map(|pair| pair.split_once('='));
    all.map(|(name, value)| (unhexadecimal(name), unhexadecimal(value))).collect()
}

fn number(text: &str) -> u64 {
    bits(text.parse().expect("a number"))
}

/// What a reference parser finds in each text.
fn read(parser: &str, texts: &[Vec<u8>]) -> Vec<Vec<Sample>> {
    let input: String = texts.iter().map(|text| hexadecimal(text) + "\n").collect();
    let mut child = Command::new(python())
        .args(["-c", READER, parser])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run python; tests/install-deps.sh installs the parser");
    let mut stdin = child.stdin.take().expect("input");
    let writer = std::thread::spawn(move || {
        // It fails if the parser gave up; its own words say why.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().expect("python ends");
    writer.join().expect("no panic");
    assert!(output.status.success(), "the reference parser refuses");
    let output = String::from_utf8(output.stdout).expect("text");
    let mut all = vec![Vec::new()];
    for line in output.lines() {
        let Some(last) = all.last_mut() else { continue };
        if line.is_empty() {
            all.push(Vec::new());
            continue;
        }
        let fields: Vec<&str> = line.split('|').collect();
        let exemplar = fields[3].split_once(';');
        let exemplar = exemplar.map(|(labels, value)| (pairs(labels), number(value)));
        let labels = pairs(fields[1].trim_end_matches(';'));
        last.push((fields[0].to_owned(), labels, number(fields[2]), exemplar));
    }
    all.pop();
    assert_eq!(all.len(), texts.len());
    all
}

fn snapshot(drawn: &[Drawn]) -> Snapshot {
    let blocks: Vec<FamilyBlock> = drawn.iter().map(|own| own.block.clone()).collect();
    Snapshot::new(1, blocks)
}

fn names(drawn: &Drawn) -> BTreeSet<String> {
    drawn.samples().into_iter().map(|sample| sample.0).collect()
}

/// Those of a family's samples that are in `found`, by the label that tells families apart.
fn of_family(found: &[Sample], family: &Drawn) -> BTreeSet<Sample> {
    let prefix = family.labels[0]["f"].trim_end_matches(|c| c != '.');
    let own = |sample: &&Sample| sample.1.get("f").is_some_and(|f| f.starts_with(prefix));
    found.iter().filter(own).cloned().collect()
}

fn is_created(sample: &Sample, drawn: &Drawn) -> bool {
    let is_counter = matches!(drawn.block.values(), Values::Counter(_));
    let stem = drawn.name.strip_suffix("_total").filter(|_| is_counter).unwrap_or(drawn.name);
    sample.0 == format!("{stem}_created") && !names(drawn).contains(&sample.0)
}

#[test]
fn the_strict_parser_finds_in_openmetrics_what_was_written() {
    let mut random = Random::seeded("families through OpenMetrics");
    let all: Vec<Vec<Drawn>> = (0..300).map(|_| families(&mut random)).collect();
    let encode = |(index, drawn): (usize, &Vec<Drawn>)| {
        let mut out = Vec::new();
        openmetrics::encode(&snapshot(drawn), index % 2 == 0, &mut out);
        out
    };
    let texts: Vec<Vec<u8>> = all.iter().enumerate().map(encode).collect();
    let (mut whole, mut left_out, mut created, mut exemplars) = (0, 0, 0, 0);
    for (drawn, found) in all.iter().zip(read("openmetrics", &texts)) {
        for family in drawn {
            let mut own = of_family(&found, family);
            let before = own.len();
            own.retain(|sample| !is_created(sample, family));
            created += before - own.len();
            if own.is_empty() {
                // Only another family with the same sample names is a reason, or one of which
                // one's name is the other's sample.
                let claims = |own: &Drawn| {
                    let mut claims = names(own);
                    claims.insert(own.name.to_owned());
                    claims
                };
                let mut others = drawn.iter().filter(|other| other.name != family.name);
                let is_taken = others.any(|other| !claims(other).is_disjoint(&claims(family)));
                assert!(is_taken, "{family:?} is missing");
                left_out += 1;
                continue;
            }
            whole += 1;
            let strip = |samples: BTreeSet<Sample>| -> BTreeSet<Sample> {
                samples.into_iter().map(|sample| (sample.0, sample.1, sample.2, None)).collect()
            };
            let expected: BTreeSet<Sample> = family.samples().into_iter().collect();
            let has_exemplars = own.iter().any(|sample| sample.3.is_some());
            exemplars += usize::from(has_exemplars);
            if has_exemplars {
                assert_eq!(own, expected);
            } else {
                // A family of type unknown has none.
                assert_eq!(strip(own), strip(expected));
            }
        }
    }
    println!("{whole} families whole, {left_out} left out, {created} created samples");
    assert!(whole > left_out * 4 && created > 0 && exemplars > 0);
}

#[test]
fn the_reference_parser_finds_in_text_what_was_written() {
    let mut random = Random::seeded("families through text 0.0.4");
    let mut all: Vec<Vec<Drawn>> = (0..300).map(|_| families(&mut random)).collect();
    // A counter of this name has none left for this parser, which takes `_total` off.
    all.iter_mut().for_each(|drawn| drawn.retain(|own| own.name != "_total"));
    let encode = |drawn: &Vec<Drawn>| {
        let mut out = Vec::new();
        text::encode(&snapshot(drawn), &mut out);
        out
    };
    let texts: Vec<Vec<u8>> = all.iter().map(encode).collect();
    for (drawn, found) in all.iter().zip(read("text", &texts)) {
        for family in drawn {
            // This parser gives every counter's sample the suffix that it should have.
            let is_counter = matches!(family.block.values(), Values::Counter(_));
            let name = |name: String| match is_counter {
                true if !name.ends_with("_total") => name + "_total",
                _ => name,
            };
            let samples = family.samples().into_iter();
            let expected = samples.map(|s| (name(s.0), s.1, s.2, None)).collect();
            assert_eq!(of_family(&found, family), expected, "{family:?}");
        }
    }
}

/// What promtool says of names is its right; that it cannot read something is not.
#[test]
fn promtool_reads_random_text() {
    let mut random = Random::seeded("families through promtool");
    for _ in 0..20 {
        let mut drawn = families(&mut random);
        // One family's samples may not be another's: this reader is strict about that.
        let mut seen = BTreeSet::new();
        drawn.retain(|own| {
            let mut names = names(own);
            names.insert(own.name.to_owned());
            let is_new = seen.is_disjoint(&names);
            seen.extend(names);
            is_new
        });
        let mut out = Vec::new();
        text::encode(&snapshot(&drawn), &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        let (_, words) = promtool_check_metrics(&text);
        assert!(!words.contains("error while linting"), "{words}\n{text}");
    }
}
