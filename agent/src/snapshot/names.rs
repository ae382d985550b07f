//! Which of the metrics that could be shown have names of their own.
//!
//! A name stands once in every format, and so does the name of a sample: a counter `x_count` beside
//! a histogram `x` would be one sample twice, which promtool refuses. The SDK refuses to register
//! such a pair; two processes, or views, can make it even so. Of metrics that cannot be shown
//! together the one that was defined first is shown, and the others are hidden.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ringmeter_layout::naming::{Kind, SharedSample, shared_sample};

use super::{FamilyBlock, FamilyMeta, MetricType};

/// A metric that is not shown, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hidden {
    /// Its name.
    pub name: Box<str>,
    /// The metric that is shown.
    pub shown: Box<str>,
    /// What both would have called a sample, or themselves.
    pub sample: Box<str>,
}

/// Keeps the names of one snapshot after the other apart; thinks about them only when the metrics
/// are others than in the snapshot before.
#[derive(Debug, Default)]
pub struct Names {
    /// What was offered last.
    offered: Vec<Arc<FamilyMeta>>,
    /// Which of them are hidden, in their order.
    hidden: Vec<(usize, Hidden)>,
}

impl Names {
    /// Leaves out what cannot be shown beside what comes before it. Returns what was not left out
    /// the time before.
    pub fn keep_apart(&mut self, blocks: &mut Vec<FamilyBlock>) -> Vec<Hidden> {
        let mut news = Vec::new();
        if !self.are_those_of(blocks) {
            self.offered = blocks.iter().map(|block| Arc::clone(&block.meta)).collect();
            let hidden = hidden_of(&self.offered);
            let before: HashSet<Hidden> =
                std::mem::replace(&mut self.hidden, hidden).into_iter().map(|own| own.1).collect();
            let now = self.hidden.iter().map(|own| &own.1);
            news = now.filter(|own| !before.contains(own)).cloned().collect();
        }
        if !self.hidden.is_empty() {
            let mut places = self.hidden.iter().map(|own| own.0).peekable();
            let mut at = 0..;
            blocks.retain(|_| places.next_if_eq(&at.next().unwrap_or(usize::MAX)).is_none());
        }
        news
    }

    /// How many are hidden.
    pub fn hidden_count(&self) -> u64 {
        self.hidden.len() as u64
    }

    fn are_those_of(&self, blocks: &[FamilyBlock]) -> bool {
        let is_same = |(known, block): (&Arc<FamilyMeta>, &FamilyBlock)| {
            let is_alike = || {
                known.metric_type() == block.meta.metric_type() && known.name() == block.meta.name()
            };
            Arc::ptr_eq(known, &block.meta) || is_alike()
        };
        self.offered.len() == blocks.len() && self.offered.iter().zip(blocks).all(is_same)
    }
}

fn hidden_of(offered: &[Arc<FamilyMeta>]) -> Vec<(usize, Hidden)> {
    let mut shown: HashMap<&str, Kind> = HashMap::with_capacity(offered.len());
    let mut hidden = Vec::new();
    for (at, meta) in offered.iter().enumerate() {
        let (name, kind) = (meta.name(), kind_of(meta.metric_type()));
        let known = |name: &str| shown.get_key_value(name).map(|(name, kind)| (*kind, *name));
        let twice = || known(name).map(|(_, other)| SharedSample { sample: name.into(), other });
        match twice().or_else(|| shared_sample(kind, name, known)) {
            None => drop(shown.insert(name, kind)),
            Some(SharedSample { sample, other }) => {
                let (name, shown, sample) = (name.into(), other.into(), sample.into());
                hidden.push((at, Hidden { name, shown, sample }));
            }
        }
    }
    hidden
}

/// The kind whose samples have the names that those of a type have.
const fn kind_of(metric_type: MetricType) -> Kind {
    match metric_type {
        MetricType::Counter => Kind::Counter,
        MetricType::Gauge => Kind::Gauge,
        MetricType::Histogram => Kind::Histogram,
        MetricType::Summary => Kind::Summary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{HistogramValues, LabelText, Values};

    fn histogram(name: &str) -> FamilyBlock {
        let mut values = HistogramValues::new(1);
        values.push(&[1], 1.0).expect("one bucket");
        let meta = Arc::new(FamilyMeta::histogram(name, "", &[]));
        let series = vec![LabelText::default()].into();
        FamilyBlock::new(meta, series, Values::Histogram(values)).expect("one series")
    }

    fn counter(name: &str) -> FamilyBlock {
        FamilyBlock::of_counters(name, "", &[(&[], 1)])
    }

    fn kept(names: &mut Names, mut blocks: Vec<FamilyBlock>) -> (Vec<String>, usize) {
        let news = names.keep_apart(&mut blocks).len();
        (blocks.iter().map(|block| block.meta.name().to_owned()).collect(), news)
    }

    #[test]
    fn the_first_is_shown_and_what_cannot_stand_beside_it_is_told_once() {
        let mut names = Names::default();
        let offered = || vec![counter("h_sum"), histogram("h"), counter("h_count"), counter("a")];
        let (shown, news) = kept(&mut names, offered());
        assert_eq!((shown.join(" ").as_str(), news), ("h_sum h_count a", 1));
        assert_eq!(names.hidden_count(), 1);
        assert_eq!(kept(&mut names, offered()).1, 0, "known by now");
        let reversed = || offered().into_iter().rev().collect();
        assert_eq!(kept(&mut names, reversed()).0, ["a", "h_count", "h_sum"]);
        assert_eq!(kept(&mut names, vec![histogram("h"), counter("h_sum"), counter("h")]).0, ["h"]);
        assert_eq!(names.hidden_count(), 2);
        assert_eq!(kept(&mut names, vec![histogram("h")]), (vec!["h".to_owned()], 0));
        assert_eq!(names.hidden_count(), 0);
    }
}
