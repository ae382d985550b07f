//! Relabeling in the manner of Prometheus' `metric_relabel_configs`.
//!
//! A rule sees a metric as a set of labels in which `__name__` is its name. Two things differ from
//! a server, because here a histogram is one thing and not yet samples: `__name__` has no
//! `_bucket`, `_sum` or `_count`, and there is no label `le` or `quantile`. Labels whose names
//! begin with `__` go when all rules are through. `hashmod` is not offered.

use std::borrow::Cow;

use regex::Regex;
use ringmeter_layout::naming;

/// The label that holds the name.
pub const NAME_LABEL: &str = "__name__";
/// Values that a rule makes may be this long; a longer one is not set.
pub const VALUE_LENGTH_MAX_BYTES: usize = 4096;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Sets the target to the replacement if the regex matches the source.
    Replace,
    /// Drops what does not match.
    Keep,
    /// Drops what matches.
    Drop,
    /// Drops where source and target differ.
    KeepEqual,
    /// Drops where source and target are equal.
    DropEqual,
    /// Copies labels whose names match to the name that the replacement gives.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets the target to the source in lower case.
    Lowercase,
    /// Sets the target to the source in upper case.
    Uppercase,
}

impl Action {
    /// All, with their names.
    pub const ALL: [(&'static str, Self); 10] = [
        ("replace", Self::Replace),
        ("keep", Self::Keep),
        ("drop", Self::Drop),
        ("keepequal", Self::KeepEqual),
        ("dropequal", Self::DropEqual),
        ("labelmap", Self::LabelMap),
        ("labeldrop", Self::LabelDrop),
        ("labelkeep", Self::LabelKeep),
        ("lowercase", Self::Lowercase),
        ("uppercase", Self::Uppercase),
    ];
}

/// One rule.
#[derive(Debug, Clone)]
pub struct RelabelRule {
    /// Labels whose values, joined, are the source.
    pub source_labels: Box<[Box<str>]>,
    /// Stands between them.
    pub separator: Box<str>,
    /// What the source, or a label's name, is compared with: anchored at both ends.
    pub regex: Regex,
    /// The label to set; may name groups of the regex with `$1` or `${name}`.
    pub target_label: Box<str>,
    /// What to set it to; may name groups, too.
    pub replacement: Box<str>,
    /// What is done.
    pub action: Action,
}

impl PartialEq for RelabelRule {
    fn eq(&self, other: &Self) -> bool {
        self.source_labels == other.source_labels
            && self.separator == other.separator
            && self.regex.as_str() == other.regex.as_str()
            && self.target_label == other.target_label
            && self.replacement == other.replacement
            && self.action == other.action
    }
}

/// A label's name and value.
pub type Label = (Box<str>, Box<str>);

/// A series after all rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relabeled {
    /// The name.
    pub name: Box<str>,
    /// The labels, by name.
    pub labels: Vec<Label>,
}

/// Applies the rules in order; `None` if one drops the series, or leaves it without a usable name.
pub fn relabel<'a>(
    rules: &[RelabelRule],
    name: &str,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) -> Option<Relabeled> {
    let mut set = Set(vec![(NAME_LABEL.into(), name.into())]);
    set.0.extend(labels.map(|(name, value)| (Box::from(name), Box::from(value))));
    for rule in rules {
        if !set.apply(rule) {
            return None;
        }
    }
    let name: Box<str> = set.get(NAME_LABEL).into();
    naming::metric_name(&name).ok()?;
    set.0.retain(|(name, value)| !name.starts_with("__") && !value.is_empty());
    set.0.sort();
    Some(Relabeled { name, labels: set.0 })
}

/// Labels in no order, each name once.
struct Set(Vec<Label>);

impl Set {
    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|label| &*label.0 == name).map_or("", |label| &label.1)
    }

    fn set(&mut self, name: &str, value: &str) {
        if value.len() > VALUE_LENGTH_MAX_BYTES {
            return;
        }
        if value.is_empty() {
            self.0.retain(|label| &*label.0 != name);
        } else if let Some(own) = self.0.iter_mut().find(|label| &*label.0 == name) {
            own.1 = value.into();
        } else {
            self.0.push((name.into(), value.into()));
        }
    }

    fn source<'a>(&'a self, rule: &RelabelRule) -> Cow<'a, str> {
        match &*rule.source_labels {
            [] => Cow::Borrowed(""),
            [only] => Cow::Borrowed(self.get(only)),
            several => {
                let values: Vec<&str> = several.iter().map(|name| self.get(name)).collect();
                Cow::Owned(values.join(&rule.separator))
            }
        }
    }

    /// Says whether the series is kept.
    fn apply(&mut self, rule: &RelabelRule) -> bool {
        match rule.action {
            Action::Keep => return rule.regex.is_match(&self.source(rule)),
            Action::Drop => return !rule.regex.is_match(&self.source(rule)),
            Action::KeepEqual => return self.source(rule) == self.get(&rule.target_label),
            Action::DropEqual => return self.source(rule) != self.get(&rule.target_label),
            Action::Replace => self.replace(rule),
            Action::Lowercase => {
                let value = self.source(rule).to_lowercase();
                self.set(&rule.target_label, &value);
            }
            Action::Uppercase => {
                let value = self.source(rule).to_uppercase();
                self.set(&rule.target_label, &value);
            }
            Action::LabelMap => self.map(rule),
            Action::LabelDrop => self.0.retain(|(name, _)| is_kept(name, rule, false)),
            Action::LabelKeep => self.0.retain(|(name, _)| is_kept(name, rule, true)),
        }
        true
    }

    fn replace(&mut self, rule: &RelabelRule) {
        let source = self.source(rule);
        let Some(groups) = rule.regex.captures(&source) else { return };
        let (mut target, mut value) = (String::new(), String::new());
        groups.expand(&rule.target_label, &mut target);
        groups.expand(&rule.replacement, &mut value);
        if is_label_name(&target) {
            self.set(&target, &value);
        }
    }

    fn map(&mut self, rule: &RelabelRule) {
        for (name, value) in self.0.clone() {
            let Some(groups) = rule.regex.captures(&name) else { continue };
            let mut target = String::new();
            groups.expand(&rule.replacement, &mut target);
            if is_label_name(&target) {
                self.set(&target, &value);
            }
        }
    }
}

/// The name itself is no label that could be dropped: a metric without one cannot be shown.
fn is_kept(name: &str, rule: &RelabelRule, keeps: bool) -> bool {
    name == NAME_LABEL || rule.regex.is_match(name) == keeps
}

/// Whether a rule may set this label: `__name__`, an auxiliary one, or one that can be shown.
pub fn is_label_name(name: &str) -> bool {
    let auxiliary = name.strip_prefix("__").filter(|rest| !rest.is_empty());
    // The edges of buckets and quantiles are the agent's to write.
    let is_edge = matches!(name, "le" | "quantile");
    !is_edge && naming::label_name(auxiliary.unwrap_or(name)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn rule(action: Action, source: &[&str], regex: &str) -> RelabelRule {
        RelabelRule {
            source_labels: source.iter().map(|name| (*name).into()).collect(),
            separator: ";".into(),
            regex: Regex::new(&format!("^(?s:{regex})$")).unwrap(),
            target_label: "".into(),
            replacement: "$1".into(),
            action,
        }
    }

    fn to(mut rule: RelabelRule, target: &str, replacement: &str) -> RelabelRule {
        rule.target_label = target.into();
        rule.replacement = replacement.into();
        rule
    }

    fn run(rules: &[RelabelRule]) -> Option<String> {
        let labels = [("code", "200"), ("method", "Get"), ("tmp_a", "x")];
        let series = relabel(rules, "app_total", labels.into_iter())?;
        let labels: Vec<String> =
            series.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Some(format!("{} {}", series.name, labels.join(",")))
    }

    #[test]
    fn each_action_does_what_prometheus_does() {
        use Action::*;
        let same = "app_total code=200,method=Get,tmp_a=x";
        let cases = [
            (vec![], Some(same)),
            (vec![rule(Keep, &["code"], "2..")], Some(same)),
            (vec![rule(Keep, &["code"], "2.")], None),
            (vec![rule(Drop, &["code", "method"], "200;Get")], None),
            (vec![rule(Drop, &["code"], "00")], Some(same)),
            (vec![rule(Drop, &["absent"], "")], None),
            (
                vec![to(rule(Replace, &["code"], "(.).*"), "class", "${1}xx")],
                Some("app_total class=2xx,code=200,method=Get,tmp_a=x"),
            ),
            (
                vec![to(rule(Replace, &["__name__"], "app_(.*)"), "__name__", "web_$1")],
                Some("web_total code=200,method=Get,tmp_a=x"),
            ),
            (vec![to(rule(Replace, &[], ".*"), "code", "")], Some("app_total method=Get,tmp_a=x")),
            (vec![to(rule(Replace, &["code"], "4.."), "code", "bad")], Some(same)),
            (
                vec![to(rule(Lowercase, &["method"], ".*"), "method", "")],
                Some("app_total code=200,method=get,tmp_a=x"),
            ),
            (
                vec![to(rule(Uppercase, &["method"], ".*"), "method", "")],
                Some("app_total code=200,method=GET,tmp_a=x"),
            ),
            (
                vec![rule(LabelMap, &[], "tmp_(.*)"), rule(LabelDrop, &[], "tmp_.*")],
                Some("app_total a=x,code=200,method=Get"),
            ),
            (vec![rule(LabelKeep, &[], "code")], Some("app_total code=200")),
            (vec![rule(LabelDrop, &[], ".*")], Some("app_total ")),
            (vec![to(rule(KeepEqual, &["code"], ".*"), "method", "")], None),
            (vec![to(rule(DropEqual, &["code"], ".*"), "method", "")], Some(same)),
            (
                vec![
                    to(rule(Replace, &["code"], "(.*)"), "__tmp", "$1"),
                    to(rule(Replace, &["__tmp"], "(.*)"), "status", "$1"),
                ],
                Some("app_total code=200,method=Get,status=200,tmp_a=x"),
            ),
        ];
        for (rules, expected) in cases {
            assert_eq!(run(&rules).as_deref(), expected, "{rules:?}");
        }
    }

    #[test]
    fn what_could_not_be_shown_is_not_set() {
        let names = ["le", "quantile", "", "a-b", "ringmeter_overflow", "__"];
        for name in names {
            let rules = [to(rule(Action::Replace, &["code"], ".*"), name, "1")];
            let shown = run(&rules).unwrap();
            assert_eq!(shown, "app_total code=200,method=Get,tmp_a=x", "{name}");
        }
        let nameless = [to(rule(Action::Replace, &["code"], ".*"), "__name__", "a b")];
        assert_eq!(run(&nameless), None);
        let long = "$0".repeat(VALUE_LENGTH_MAX_BYTES);
        let rules = [to(rule(Action::Replace, &["method"], ".*"), "method", &long)];
        assert_eq!(run(&rules).as_deref(), Some("app_total code=200,method=Get,tmp_a=x"));
    }
}
