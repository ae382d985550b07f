//! One element of `metric_relabel_configs`.

use regex::{Regex, RegexBuilder};

use crate::rule::relabel::{Action, RelabelRule, VALUE_LENGTH_MAX_BYTES, is_label_name};
use crate::yaml::{At, Problems, Section, text, word};

/// As many rules may stand in the file: each is tried on each series that appears.
pub(super) const RULES_MAX: usize = 256;
/// A regex may take this much memory when compiled.
const REGEX_SIZE_MAX_BYTES: usize = 1 << 20;
const LABELS_MAX: usize = 32;

pub(super) const KEYS: [&str; 6] =
    ["source_labels", "separator", "regex", "target_label", "replacement", "action"];

pub(super) fn read(at: &At<'_>, problems: &mut Problems) -> Option<RelabelRule> {
    let section = Section::new(at, &KEYS, problems);
    let action = section.read("action", problems, |at, problems| {
        if at.node.text() == Some("hashmod") {
            at.problem(
                problems,
                "hashmod is not offered here; use it in the server's scrape config",
            );
            return None;
        }
        word(at, &Action::ALL, problems)
    });
    // A rule whose action is not known is still looked through.
    let action = action.or_else(|| section.at("action").is_none().then_some(Action::Replace));
    let source_labels = section.each("source_labels", LABELS_MAX, problems, source_label);
    let separator = section.read("separator", problems, text);
    let regex = section.read("regex", problems, regex);
    let target_label = section.read("target_label", problems, text);
    let replacement = section.read("replacement", problems, replacement);
    let action = action?;
    let rule = RelabelRule {
        source_labels: source_labels.unwrap_or_default().into_iter().collect(),
        separator: separator.unwrap_or_else(|| ";".to_owned()).into(),
        regex: regex.or_else(|| anchored("(.*)").ok())?,
        target_label: target_label.unwrap_or_default().into(),
        replacement: replacement.unwrap_or_else(|| "$1".to_owned()).into(),
        action,
    };
    check(&rule, &section, problems);
    Some(rule)
}

/// As Prometheus has it: the expression has to match all of the text.
fn anchored(expression: &str) -> Result<Regex, regex::Error> {
    let anchored = format!("^(?s:{expression})$");
    RegexBuilder::new(&anchored).size_limit(REGEX_SIZE_MAX_BYTES).build()
}

fn regex(at: &At<'_>, problems: &mut Problems) -> Option<Regex> {
    let expression = text(at, problems)?;
    // By itself first: `a)(b` must not become right by what is put around it.
    let compiled = RegexBuilder::new(&expression).size_limit(REGEX_SIZE_MAX_BYTES).build();
    match compiled.and_then(|_| anchored(&expression)) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let words = error.to_string();
            let why = words.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let message = format!(
                "must be a regular expression of RE2's kind, without back-references and \
                 look-around: {why}"
            );
            at.problem(problems, message);
            None
        }
    }
}

fn source_label(at: &At<'_>, problems: &mut Problems) -> Option<Box<str>> {
    let name = text(at, problems)?;
    if matches!(name.as_str(), "le" | "quantile") {
        let message = "is not there yet when rules are applied; a view sets buckets and quantiles";
        at.problem(problems, message);
        return None;
    }
    let is_overflow = name == ringmeter_layout::naming::OVERFLOW_LABEL;
    if !is_overflow && !is_label_name(&name) {
        at.expected(problems, "the name of a label, as job or __name__");
        return None;
    }
    Some(name.into())
}

fn replacement(at: &At<'_>, problems: &mut Problems) -> Option<String> {
    let replacement = text(at, problems)?;
    if replacement.len() > VALUE_LENGTH_MAX_BYTES {
        at.problem(problems, format!("must have {VALUE_LENGTH_MAX_BYTES} bytes at most"));
        return None;
    }
    Some(replacement)
}

/// What the action needs, and what it has no use for.
fn check(rule: &RelabelRule, section: &Section<'_>, problems: &mut Problems) {
    use Action::{DropEqual, Keep, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase};
    use Action::{Replace, Uppercase};
    let needs_target =
        matches!(rule.action, Replace | Lowercase | Uppercase | KeepEqual | DropEqual);
    let may_use: &[&str] = match rule.action {
        Replace => &KEYS,
        Keep | Action::Drop => &["action", "source_labels", "separator", "regex"],
        KeepEqual | DropEqual | Lowercase | Uppercase => {
            &["action", "source_labels", "separator", "target_label"]
        }
        LabelMap => &["action", "regex", "replacement"],
        LabelDrop | LabelKeep => &["action", "regex"],
    };
    let action = Action::ALL.iter().find(|(_, action)| *action == rule.action);
    let action = action.map_or("", |(name, _)| name);
    for key in KEYS.into_iter().filter(|key| !may_use.contains(key)) {
        if section.at(key).is_some() {
            let message = format!("has no effect with the action {action}; remove it");
            problems.add(&section.place_of(key), message);
        }
    }
    let needs_source = !matches!(rule.action, Replace | LabelMap | LabelDrop | LabelKeep);
    if needs_source && section.at("source_labels").is_none() {
        let message = format!("needs source_labels for the action {action}");
        problems.add(section.place(), message);
    }
    if needs_target && rule.target_label.is_empty() {
        let message = format!("needs a target_label for the action {action}");
        problems.add(section.place(), message);
    }
    let is_template = rule.action == Replace && rule.target_label.contains('$');
    let is_set = needs_target && !rule.target_label.is_empty();
    if is_set && !is_template && !is_label_name(&rule.target_label) {
        let message = "must be the name of a label that can be set, as job or __name__, and not \
                       le, quantile or ringmeter_overflow";
        problems.add(&section.place_of("target_label"), message);
    }
}
