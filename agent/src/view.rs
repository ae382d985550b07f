//! From totals to a snapshot's families: which series are exposed, and with which numbers.
//!
//! Texts are shared with the snapshot before as long as the set of exposed series is the same.

mod exemplars;
mod form;
mod plan;
mod process;

use std::collections::HashMap;
use std::sync::Arc;

use ringmeter_layout::naming::{GaugeRule, Kind};

use crate::aggregate::{Aggregate, Totals};
use crate::distribution::{self, Distribution, NativeScratch};
use crate::rule::{Rules, ViewRule};
use crate::series::{Family, OVERFLOW_ROW, Row, SeriesRef};
use crate::snapshot::{
    FamilyBlock, FamilyMeta, HistogramValues, LabelText, NativeOptions, NativeValues, Number,
    PlacedExemplar, SummaryValues, Values,
};

use plan::{Plan, Sources};

/// A gauge's value in one live process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GaugeSample {
    /// Slot of the gauge.
    pub slot: u32,
    /// The value.
    pub value: f64,
    /// When it last moved, in the agent's time; 0 if it never did.
    pub moved_ns: u64,
    /// Serial number of the segment.
    pub process: u64,
}

/// The samples of one gauge, merged.
#[derive(Debug, Clone, Copy)]
struct Merged {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    recent: f64,
    moved_ns: u64,
}

impl Merged {
    const NONE: Self = Self {
        count: 0,
        sum: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        recent: 0.0,
        moved_ns: 0,
    };

    fn add(&mut self, sample: &GaugeSample) {
        self.sum += sample.value;
        // NaN wins neither, unless there is nothing else.
        self.min = self.min.min(sample.value);
        self.max = self.max.max(sample.value);
        if self.count == 0 || sample.moved_ns >= self.moved_ns {
            (self.recent, self.moved_ns) = (sample.value, sample.moved_ns);
        }
        self.count += 1;
    }

    /// Both together, when series of one metric are shown as one.
    fn with(self, other: &Self) -> Self {
        let is_later = self.count == 0 || (other.count > 0 && other.moved_ns >= self.moved_ns);
        let latest = if is_later { *other } else { self };
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            recent: latest.recent,
            moved_ns: latest.moved_ns,
        }
    }

    fn value(&self, rule: GaugeRule) -> f64 {
        match rule {
            // One process at a time is left over for `PerProcess`.
            GaugeRule::Sum | GaugeRule::PerProcess => self.sum,
            GaugeRule::Min => self.min,
            GaugeRule::Max => self.max,
            GaugeRule::Mean => self.sum / self.count as f64,
            GaugeRule::MostRecent => self.recent,
        }
    }
}

/// What a metric looked like in the last snapshot.
#[derive(Debug, Default)]
struct Shown {
    rows: Vec<u32>,
    /// Of the metric; another one's rows are others.
    revision: u64,
    labels: Option<Arc<[LabelText]>>,
    starts: Arc<[u64]>,
    /// The last block, which is used again while nothing changes.
    last: Option<FamilyBlock>,
    /// Whether that has native buckets, if it is one of histograms.
    is_native: bool,
}

impl Shown {
    /// The block of these values: the last one, if it is the same.
    fn block(
        &mut self,
        meta: &Arc<FamilyMeta>,
        labels: Arc<[LabelText]>,
        values: Values,
        exemplars: Vec<PlacedExemplar>,
    ) -> Option<FamilyBlock> {
        if let Some(last) = &self.last
            && last.has_texts(meta, &labels, &self.starts)
            && last.values().is_identical(&values)
            && last.exemplars() == exemplars
        {
            return Some(last.clone());
        }
        let block = FamilyBlock::new(Arc::clone(meta), labels, values).ok()?;
        let block = block.with_starts(Arc::clone(&self.starts)).ok()?;
        let block = block.with_exemplars(exemplars.into());
        self.last = Some(block.clone());
        Some(block)
    }
}

/// Builds the applications' families of one snapshot after the other.
#[derive(Debug, Default)]
pub struct View {
    shown: Vec<Shown>,
    merged: Vec<Merged>,
    rows: Vec<u32>,
    scratch: Vec<f64>,
    /// How native histograms are shown; `None` while nobody wants them.
    native: Option<NativeOptions>,
    native_scratch: NativeScratch,
    /// Samples of gauges that are exposed per process.
    apart: Vec<(SeriesRef, GaugeSample)>,
    rules: Arc<Rules>,
    /// What the rules make of the metrics that they do not leave alone, by number.
    plans: HashMap<u32, Plan>,
    /// Metrics that the rules leave alone, by number.
    left_alone: Vec<Option<(Arc<FamilyMeta>, bool)>>,
    scratch_merged: distribution::Merged,
}

impl View {
    /// Exposes metrics by these rules from now on.
    pub fn set_rules(&mut self, rules: Arc<Rules>) {
        self.rules = rules;
        self.plans.clear();
        self.left_alone.clear();
    }

    fn is_left_alone(&mut self, id: u32, meta: &Arc<FamilyMeta>) -> bool {
        let at = id as usize;
        if at >= self.left_alone.len() {
            self.left_alone.resize(at + 1, None);
        }
        let Some(known) = self.left_alone.get_mut(at) else { return true };
        match known {
            Some((of, is_left_alone)) if Arc::ptr_eq(of, meta) => *is_left_alone,
            _ => {
                let is_left_alone = self.rules.leaves_alone(meta.name());
                *known = Some((Arc::clone(meta), is_left_alone));
                is_left_alone
            }
        }
    }

    /// Whether histograms have native buckets from here on.
    pub fn show_native(&mut self, is_shown: bool) {
        self.native = is_shown.then(NativeOptions::default);
    }

    /// All exposed families. `process` names the process with a serial number.
    pub fn blocks(
        &mut self,
        aggregate: &mut Aggregate,
        samples: impl Iterator<Item = GaugeSample>,
        process: impl Fn(u64) -> String,
        now_ns: u64,
    ) -> Vec<FamilyBlock> {
        self.merge(aggregate, samples);
        let is_put = aggregate.is_put();
        let (registry, mut totals) = aggregate.parts();
        self.shown.resize_with(registry.family_end(), Shown::default);
        let mut blocks = Vec::new();
        for (id, family) in registry.exposed() {
            if !self.is_left_alone(id, &family.meta) {
                self.planned(id, family, &mut totals, &process, now_ns, &mut blocks);
                continue;
            }
            let block = if family.is_per_process() {
                self.per_process(id, family, &process)
            } else if let Some(same) = self.untouched(id, family).filter(|_| is_put) {
                Some(same)
            } else {
                self.family(id, family, &mut totals, now_ns)
            };
            blocks.extend(block);
        }
        blocks
    }

    /// The last block of a metric of which nothing has changed. Gauges are not followed, and
    /// quantiles change as time goes by.
    fn untouched(&self, id: u32, family: &Family) -> Option<FamilyBlock> {
        let is_followed = matches!(family.shape.kind, Kind::Counter | Kind::Histogram);
        let shown = self.shown.get(id as usize)?;
        let is_same = shown.is_native == self.native.is_some();
        shown.last.clone().filter(|_| is_followed && is_same && !family.is_touched())
    }

    fn merge(&mut self, aggregate: &Aggregate, samples: impl Iterator<Item = GaugeSample>) {
        let gauges = aggregate.gauges();
        self.merged.clear();
        self.merged.resize(gauges.len(), Merged::NONE);
        self.apart.clear();
        let is_apart = |rule: &ViewRule| rule.gauge_rule == Some(GaugeRule::PerProcess);
        let has_rule = self.rules.views.iter().any(is_apart);
        for sample in samples {
            let Some(merged) = self.merged.get_mut(sample.slot as usize) else { continue };
            merged.add(&sample);
            if let Some(series) = gauges.get(sample.slot as usize)
                && (has_rule || aggregate.is_per_process(*series))
            {
                self.apart.push((*series, sample));
            }
        }
        self.apart.sort_by_key(|(series, sample)| (*series, sample.process));
    }

    /// What the rules make of a metric.
    fn planned(
        &mut self,
        id: u32,
        family: &Family,
        totals: &mut Totals<'_>,
        process: &impl Fn(u64) -> String,
        now_ns: u64,
        blocks: &mut Vec<FamilyBlock>,
    ) {
        let plan = self.plans.entry(id).or_default();
        plan.update(family, &self.rules);
        let (gauges, scratch) = (self.merged.as_slice(), &mut self.scratch_merged);
        let native = self.native.is_some().then_some(&mut self.native_scratch);
        let mut sources = Sources { totals, gauges, scratch, native, now_ns };
        plan.blocks(family, &mut sources, blocks);
        self.planned_per_process(id, family, process, blocks);
    }

    fn family(
        &mut self,
        id: u32,
        family: &mut Family,
        totals: &mut Totals<'_>,
        now_ns: u64,
    ) -> Option<FamilyBlock> {
        let kind = family.shape.kind;
        let merged = &self.merged;
        let is_shown = |at: u32, row: &Row| {
            let is_used = || match kind {
                Kind::Counter => !is_zero(totals.counter(row.slot)),
                Kind::Gauge => merged.get(row.slot as usize).is_some_and(|m| m.moved_ns > 0),
                _ => {
                    let own = totals.distributions.get(row.slot as usize);
                    own.is_some_and(|distribution| distribution.count() > 0)
                }
            };
            let is_there = || kind != Kind::Gauge || has_samples(merged, row.slot);
            !row.is_retired() && is_there() && (at != OVERFLOW_ROW || is_used())
        };
        self.rows.clear();
        self.rows.extend_from_slice(family.sorted());
        let rows = family.rows();
        self.rows.retain(|at| rows.get(*at as usize).is_some_and(|row| is_shown(*at, row)));
        let revision = family.revision();
        let shown = self.shown.get_mut(id as usize)?;
        if self.rows.is_empty() {
            shown.last = None;
            return None;
        }
        let labels = labels_of(shown, (revision, &self.rows), rows);
        let slots = self.rows.iter().filter_map(|at| rows.get(*at as usize)).map(|row| row.slot);
        let exemplars = match kind {
            Kind::Counter | Kind::Histogram => {
                let each = slots.clone().map(|slot| [slot]);
                exemplars::placed(kind, each, totals, &family.shape.bounds)
            }
            Kind::Gauge | Kind::Summary => Vec::new(),
        };
        let values = match kind {
            Kind::Counter => Values::Counter(slots.map(|slot| totals.counter(slot)).collect()),
            Kind::Gauge => {
                let rule = family.shape.gauge_rule;
                let value = |slot: u32| merged.get(slot as usize).map(|m| m.value(rule));
                Values::Gauge(slots.map(|slot| value(slot).unwrap_or(f64::NAN)).collect())
            }
            Kind::Histogram => {
                let bounds = &family.shape.bounds;
                let distributions = &*totals.distributions;
                let scratch = &mut self.native_scratch;
                let native = self.native.as_ref().map(|options| (options, scratch));
                histograms(slots, distributions, bounds.len() + 1, native)
            }
            Kind::Summary => {
                let objectives = &family.shape.objectives;
                summaries(slots, totals.distributions, objectives, now_ns, &mut self.scratch)
            }
        };
        shown.is_native = self.native.is_some();
        let block = shown.block(&family.meta, labels, values, exemplars)?;
        family.note_shown();
        Some(block)
    }

    /// One series for each process, with a label that names it.
    fn per_process(
        &self,
        id: u32,
        family: &Family,
        process: &impl Fn(u64) -> String,
    ) -> Option<FamilyBlock> {
        let start = self.apart.partition_point(|(series, _)| series.family < id);
        let own = self.apart.get(start..)?;
        let own = own.iter().take_while(|(series, _)| series.family == id);
        let name = process_label(family);
        let mut samples: Vec<(LabelText, f64)> = Vec::new();
        let mut last = None;
        for (series, sample) in own {
            // Several gauges of one process share a series only if it is the overflow series.
            let key = (series.row, sample.process);
            match samples.last_mut() {
                Some((_, value)) if last == Some(key) => *value += sample.value,
                _ if family.rows().get(series.row as usize).is_none_or(Row::is_retired) => {}
                _ if series.row == OVERFLOW_ROW && sample.moved_ns == 0 => {}
                _ => {
                    let row = family.rows().get(series.row as usize)?;
                    let process = process(sample.process);
                    let pairs: Vec<(&str, &str)> = row.pairs().chain([(name, &*process)]).collect();
                    samples.push((LabelText::new(&pairs), sample.value));
                    last = Some(key);
                }
            }
        }
        if samples.is_empty() {
            return None;
        }
        samples.sort_by(|a, b| a.0.cmp(&b.0));
        let (labels, values): (Vec<LabelText>, Vec<f64>) = samples.into_iter().unzip();
        let meta: Arc<FamilyMeta> = Arc::clone(&family.meta);
        FamilyBlock::new(meta, labels.into(), Values::Gauge(values)).ok()
    }
}

/// `process`, unless the metric has such a label itself.
fn process_label(family: &Family) -> &'static str {
    let is_taken = family.shape.label_names.iter().any(|name| &**name == "process");
    if is_taken { "ringmeter_process" } else { "process" }
}

fn has_samples(merged: &[Merged], slot: u32) -> bool {
    merged.get(slot as usize).is_some_and(|m| m.count > 0)
}

fn is_zero(number: Number) -> bool {
    match number {
        Number::U64(integer) => integer == 0,
        Number::F64(float) => float == 0.0,
    }
}

/// The texts of the last snapshot if they are still right, else new ones.
fn labels_of(shown: &mut Shown, (revision, now): (u64, &[u32]), rows: &[Row]) -> Arc<[LabelText]> {
    if let Some(labels) = &shown.labels
        && shown.revision == revision
        && shown.rows == now
    {
        return Arc::clone(labels);
    }
    let texts = now.iter().filter_map(|at| rows.get(*at as usize)).map(|row| row.labels.clone());
    let labels: Arc<[LabelText]> = texts.collect();
    let starts = now.iter().filter_map(|at| rows.get(*at as usize)).map(Row::start_unix_ms);
    shown.starts = starts.collect();
    if shown.starts.iter().all(|start| *start == 0) {
        shown.starts = Arc::default();
    }
    shown.rows.clear();
    shown.rows.extend_from_slice(now);
    shown.revision = revision;
    shown.labels = Some(Arc::clone(&labels));
    labels
}

fn histograms(
    slots: impl Iterator<Item = u32>,
    distributions: &[Distribution],
    edges: usize,
    native: Option<(&NativeOptions, &mut NativeScratch)>,
) -> Values {
    let mut values = HistogramValues::new(edges);
    let mut native = native.map(|(options, scratch)| (options, scratch, NativeValues::default()));
    for slot in slots {
        if let Some(distribution) = distributions.get(slot as usize) {
            // The shape is the family's own; a mismatch is refused when the block is made.
            let _ = values.push(distribution.classic(), distribution.sum());
            if let Some((options, scratch, own)) = &mut native {
                distribution.buckets().push_native(options, scratch, own);
            }
        }
    }
    if let Some((.., own)) = native {
        values.set_native(own);
    }
    Values::Histogram(values)
}

fn summaries(
    slots: impl Iterator<Item = u32>,
    distributions: &mut [Distribution],
    objectives: &[f64],
    now_ns: u64,
    estimates: &mut Vec<f64>,
) -> Values {
    let mut values = SummaryValues::new(objectives.len());
    for slot in slots {
        if let Some(distribution) = distributions.get_mut(slot as usize) {
            estimates.clear();
            distribution.quantiles(objectives, now_ns, estimates);
            let _ = values.push(estimates, distribution.sum(), distribution.count());
        }
    }
    Values::Summary(values)
}

#[cfg(test)]
mod tests;
