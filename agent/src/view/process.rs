//! Gauges with one series for each process, by rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringmeter_layout::naming::{GaugeRule, Kind};

use super::form::{Form, forms};
use super::plan::text_of;
use super::{Merged, View, process_label};
use crate::rule::{labels_of, relabel};
use crate::series::{Family, OVERFLOW_ROW};
use crate::snapshot::{FamilyBlock, FamilyMeta, LabelText, Values};

/// Metrics by name, each with its series.
type Found = BTreeMap<Box<str>, (FamilyMeta, BTreeMap<LabelText, Merged>)>;

impl View {
    /// Adds what the rules show of a gauge process by process. Series that rules make equal are
    /// added up.
    pub(super) fn planned_per_process(
        &self,
        id: u32,
        family: &Family,
        process: &impl Fn(u64) -> String,
        blocks: &mut Vec<FamilyBlock>,
    ) {
        if family.shape.kind != Kind::Gauge {
            return;
        }
        let start = self.apart.partition_point(|(series, _)| series.family < id);
        let own = self.apart.iter().skip(start).take_while(|(series, _)| series.family == id);
        let mut found = Found::new();
        for (series, sample) in own {
            let Some(row) = family.rows().get(series.row as usize) else { continue };
            if row.is_retired() || series.row == OVERFLOW_ROW && sample.moved_ns == 0 {
                continue;
            }
            let own = labels_of(row.labels.as_str());
            let pairs = own.iter().map(|(name, value)| (&**name, &**value));
            let selected = self.rules.for_series(family.meta.name(), pairs);
            let rule = selected.map(|own| own.1).filter(|rule| !rule.drop);
            let is_dropped = selected.is_some() && rule.is_none();
            let Some((form, name)) = forms(family, rule).into_iter().next() else { continue };
            if is_dropped || form != Form::Gauge(GaugeRule::PerProcess) {
                continue;
            }
            let label = (process_label(family), process(sample.process));
            let pairs = own.iter().map(|(name, value)| (&**name, &**value));
            let pairs = pairs.chain([(label.0, label.1.as_str())]);
            let Some(shown) = relabel(&self.rules.relabel, &name, pairs) else { continue };
            let meta = || (form.meta(&shown.name, family, rule), BTreeMap::new());
            let (_, all) = found.entry(shown.name.clone()).or_insert_with(meta);
            all.entry(text_of(&shown.labels)).or_insert(Merged::NONE).add(sample);
        }
        for (meta, series) in found.into_values() {
            let values = series.values().map(|own| own.value(GaugeRule::PerProcess)).collect();
            let labels = series.into_keys().collect();
            blocks.extend(FamilyBlock::new(Arc::new(meta), labels, Values::Gauge(values)));
        }
    }
}
