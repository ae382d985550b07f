//! The metrics that rules make of one metric: which of its rows each of their series shows.
//!
//! What the rules make of a row is worked out once; until the rules change, a new row is all that
//! costs anything.

use std::sync::Arc;

use ringmeter_layout::naming::{GaugeRule, Kind};

use super::exemplars;
use super::form::{Form, forms};
use super::{Merged as MergedGauge, has_samples, is_zero};
use crate::aggregate::Totals;
use crate::distribution::{Cuts, Distribution, Merged, NativeScratch};
use crate::rule::{Label, NativeView, Relabeled, Rules, labels_of, relabel};
use crate::series::{Family, OVERFLOW_ROW, Row};
use crate::snapshot::{
    FamilyBlock, FamilyMeta, HistogramValues, LabelText, NativeOptions, NativeValues, Number,
    PlacedExemplar, SummaryValues, Values,
};

/// What the rules make of one metric.
#[derive(Debug, Default)]
pub(super) struct Plan {
    streams: Vec<Stream>,
    /// The metric that the plan is for: its number may come to mean another one.
    meta: Option<Arc<FamilyMeta>>,
    /// The labels of the rows that the plan knows: a row may come to mean another series.
    rows: Vec<LabelText>,
}

/// One metric of the exposition.
#[derive(Debug)]
struct Stream {
    /// Numbers of the views that make it, and which of their forms.
    views: Vec<(Option<u32>, usize)>,
    form: Form,
    meta: Arc<FamilyMeta>,
    /// The labels that a row is shown under; sorted by label and row.
    members: Vec<(LabelText, u32)>,
    is_sorted: bool,
    /// Where each series that was shown last begins among the members.
    shown: Vec<usize>,
    labels: Option<Arc<[LabelText]>>,
    starts: Arc<[u64]>,
    /// The last block, which is used again while nothing changes.
    last: Option<FamilyBlock>,
}

/// What the values of one snapshot are made of.
pub(super) struct Sources<'a, 'b> {
    pub(super) totals: &'a mut Totals<'b>,
    pub(super) gauges: &'a [MergedGauge],
    pub(super) scratch: &'a mut Merged,
    /// Where native buckets are wanted.
    pub(super) native: Option<&'a mut NativeScratch>,
    pub(super) now_ns: u64,
}

impl From<NativeView> for NativeOptions {
    fn from(view: NativeView) -> Self {
        Self {
            schema_max: view.schema,
            buckets_max: view.buckets_max as usize,
            zero_threshold: view.zero_threshold,
            zero_threshold_max: view.zero_threshold_max,
        }
    }
}

impl Plan {
    /// Looks at rows that are new; begins anew if others than these have changed.
    pub(super) fn update(&mut self, family: &Family, rules: &Rules) {
        let rows = family.rows();
        let is_same = self.meta.as_ref().is_some_and(|meta| Arc::ptr_eq(meta, &family.meta))
            && self.rows.len() <= rows.len()
            && self.rows.iter().zip(rows).all(|(known, row)| known.is_same(&row.labels));
        if !is_same {
            *self = Self { meta: Some(Arc::clone(&family.meta)), ..Self::default() };
        }
        let known = self.rows.len();
        let fresh = rows.get(known..).unwrap_or_default();
        for (number, row) in (u32::try_from(known).unwrap_or(u32::MAX)..).zip(fresh) {
            self.rows.push(row.labels.clone());
            // Slot 0 stands for no series.
            if row.slot > 0 {
                self.place(number, &labels_of(row.labels.as_str()), family, rules);
            }
        }
        for stream in self.streams.iter_mut().filter(|stream| !stream.is_sorted) {
            stream.members.sort();
            stream.is_sorted = true;
        }
    }

    fn place(&mut self, number: u32, labels: &[Label], family: &Family, rules: &Rules) {
        let pairs = labels.iter().map(|(name, value)| (&**name, &**value));
        let selected = rules.for_series(family.meta.name(), pairs.clone());
        let (view, rule) = (selected.map(|own| own.0), selected.map(|own| own.1));
        if rule.is_some_and(|rule| rule.drop) {
            return;
        }
        for (at, (form, name)) in forms(family, rule).into_iter().enumerate() {
            // One series for each process, whose label the rules are to see.
            if form == Form::Gauge(GaugeRule::PerProcess) {
                continue;
            }
            let Some(Relabeled { name, labels }) = relabel(&rules.relabel, &name, pairs.clone())
            else {
                continue;
            };
            let (text, view) = (text_of(&labels), (view, at));
            let is_of_view =
                |own: &&mut Stream| own.views.contains(&view) && own.meta.name() == &*name;
            if let Some(stream) = self.streams.iter_mut().find(is_of_view) {
                stream.add(text, number);
                continue;
            }
            let meta = form.meta(&name, family, rule);
            let is_alike =
                |own: &&mut Stream| own.form == form && have_same_texts(&own.meta, &meta);
            if let Some(stream) = self.streams.iter_mut().find(is_alike) {
                stream.views.push(view);
                stream.add(text, number);
                continue;
            }
            self.streams.push(Stream {
                views: vec![view],
                meta: Arc::new(meta),
                form,
                members: vec![(text, number)],
                is_sorted: true,
                shown: Vec::new(),
                labels: None,
                starts: Arc::default(),
                last: None,
            });
        }
    }

    /// The metrics of one snapshot.
    pub(super) fn blocks(
        &mut self,
        family: &Family,
        sources: &mut Sources<'_, '_>,
        blocks: &mut Vec<FamilyBlock>,
    ) {
        let streams = self.streams.iter_mut();
        blocks.extend(streams.filter_map(|stream| stream.block(family, sources)));
    }
}

/// The text of labels, which the rules have sorted.
pub(super) fn text_of(labels: &[Label]) -> LabelText {
    let pairs: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
    LabelText::new(&pairs)
}

/// Whether two metrics of the same form can be one: what several views leave alike is not several
/// metrics, of which all but one would have to be hidden.
fn have_same_texts(one: &FamilyMeta, other: &FamilyMeta) -> bool {
    one.name() == other.name() && one.help() == other.help() && one.unit() == other.unit()
}

impl Stream {
    fn add(&mut self, labels: LabelText, row: u32) {
        self.members.push((labels, row));
        self.is_sorted = false;
    }

    fn block(&mut self, family: &Family, sources: &mut Sources<'_, '_>) -> Option<FamilyBlock> {
        let mut shown = std::mem::take(&mut self.shown);
        let before = shown.clone();
        shown.clear();
        let mut at = 0;
        while let Some(series) = self.series(at) {
            if series.iter().any(|(_, row)| is_shown(family, *row, sources)) {
                shown.push(at);
            }
            at += series.len();
        }
        self.shown = shown;
        if self.shown.is_empty() {
            return None;
        }
        if self.labels.is_none() || self.shown != before {
            let labels = self.shown.iter().filter_map(|at| self.members.get(*at));
            self.labels = Some(labels.map(|(labels, _)| labels.clone()).collect());
            self.starts = self.starts(family);
        }
        let (values, labels) = (self.values(family, sources), self.labels.clone()?);
        let exemplars = self.exemplars(family, sources);
        if let Some(last) = &self.last
            && last.has_texts(&self.meta, &labels, &self.starts)
            && last.values().is_identical(&values)
            && last.exemplars() == exemplars
        {
            return Some(last.clone());
        }
        let block = FamilyBlock::new(Arc::clone(&self.meta), labels, values).ok()?;
        let block = block.with_starts(Arc::clone(&self.starts)).ok()?;
        self.last = Some(block.with_exemplars(exemplars.into()));
        self.last.clone()
    }

    /// When each shown series began: with the first of its rows.
    fn starts(&self, family: &Family) -> Arc<[u64]> {
        let start = |(_, row): &(LabelText, u32)| {
            family.rows().get(*row as usize).map_or(0, Row::start_unix_ms)
        };
        let first = |at: &usize| self.series(*at)?.iter().map(start).min();
        let starts: Vec<u64> = self.shown.iter().map(|at| first(at).unwrap_or(0)).collect();
        if starts.iter().all(|start| *start == 0) { Arc::default() } else { starts.into() }
    }

    /// The rows of the series that begins there.
    fn series(&self, at: usize) -> Option<&[(LabelText, u32)]> {
        let rest = self.members.get(at..)?;
        let (labels, _) = rest.first()?;
        let count = rest.iter().take_while(|(own, _)| own == labels).count();
        rest.get(..count)
    }

    /// The slots of each shown series, those of retired rows too: a sum never shrinks.
    fn slots<'a>(&'a self, family: &'a Family) -> impl Iterator<Item = Vec<u32>> + 'a {
        let slot = |(_, row): &(LabelText, u32)| Some(family.rows().get(*row as usize)?.slot);
        self.shown
            .iter()
            .map(move |at| self.series(*at).unwrap_or_default().iter().filter_map(slot).collect())
    }

    fn exemplars(&self, family: &Family, sources: &Sources<'_, '_>) -> Vec<PlacedExemplar> {
        let kind = family.shape.kind;
        match &self.form {
            Form::Counter => exemplars::placed(kind, self.slots(family), sources.totals, &[]),
            Form::Histogram { cuts, .. } => {
                exemplars::placed(kind, self.slots(family), sources.totals, cuts.bounds())
            }
            Form::Gauge(_) | Form::Summary { .. } => Vec::new(),
        }
    }

    fn values(&self, family: &Family, sources: &mut Sources<'_, '_>) -> Values {
        let all = self.slots(family);
        match &self.form {
            Form::Counter => {
                Values::Counter(all.map(|slots| counter(&slots, sources.totals)).collect())
            }
            Form::Gauge(rule) => {
                Values::Gauge(all.map(|slots| gauge(&slots, *rule, sources.gauges)).collect())
            }
            Form::Histogram { cuts, native } => histograms(all, family, cuts, *native, sources),
            Form::Summary { objectives } => {
                let mut values = SummaryValues::new(objectives.len());
                let mut estimates = Vec::new();
                let now_ns = sources.now_ns;
                for slots in all {
                    estimates.clear();
                    if let Some(own) = only(&slots, sources) {
                        own.quantiles(objectives, now_ns, &mut estimates);
                        let _ = values.push(&estimates, own.sum(), own.count());
                    } else {
                        merge(&slots, family, sources);
                        let own = &*sources.scratch;
                        own.window.quantiles(objectives, &mut estimates);
                        let _ = values.push(&estimates, own.sum, own.count());
                    }
                }
                Values::Summary(values)
            }
        }
    }
}

fn histograms(
    all: impl Iterator<Item = Vec<u32>>,
    family: &Family,
    cuts: &Cuts,
    native: Option<NativeView>,
    sources: &mut Sources<'_, '_>,
) -> Values {
    let mut values = HistogramValues::new(cuts.bounds().len() + 1);
    let mut natives = NativeValues::default();
    let options = native.filter(|_| sources.native.is_some()).map(NativeOptions::from);
    let mut native_scratch = sources.native.take();
    let mut counts = Vec::new();
    for slots in all {
        counts.clear();
        let (buckets, classic, sum) = match *slots {
            [slot] => match sources.totals.distributions.get(slot as usize) {
                Some(own) => (own.buckets(), own.classic(), own.sum()),
                None => continue,
            },
            _ => {
                merge(&slots, family, sources);
                let own = &*sources.scratch;
                (&own.buckets, own.classic.as_slice(), own.sum)
            }
        };
        cuts.count(buckets, classic, &mut counts);
        // The number of counts is that of the bounds, by construction.
        let _ = values.push(&counts, sum);
        if let (Some(options), Some(scratch)) = (&options, &mut native_scratch) {
            buckets.push_native(options, scratch, &mut natives);
        }
    }
    sources.native = native_scratch;
    if options.is_some() {
        values.set_native(natives);
    }
    Values::Histogram(values)
}

/// The distribution of a series that is one row, as nearly all are.
fn only<'a>(slots: &[u32], sources: &'a mut Sources<'_, '_>) -> Option<&'a mut Distribution> {
    let [slot] = slots else { return None };
    sources.totals.distributions.get_mut(*slot as usize)
}

fn merge(slots: &[u32], family: &Family, sources: &mut Sources<'_, '_>) {
    sources.scratch.clear(family.shape.bounds.len() + 1);
    for slot in slots {
        if let Some(own) = sources.totals.distributions.get_mut(*slot as usize) {
            sources.scratch.add(own, sources.now_ns);
        }
    }
}

fn counter(slots: &[u32], totals: &Totals<'_>) -> Number {
    let add = |sum, slot: &u32| match (sum, totals.counter(*slot)) {
        (Number::U64(sum), Number::U64(own)) => Number::U64(sum.saturating_add(own)),
        (Number::U64(sum), Number::F64(own)) => Number::F64(sum as f64 + own),
        (Number::F64(sum), Number::U64(own)) => Number::F64(sum + own as f64),
        (Number::F64(sum), Number::F64(own)) => Number::F64(sum + own),
    };
    slots.iter().fold(Number::U64(0), add)
}

fn gauge(slots: &[u32], rule: GaugeRule, gauges: &[MergedGauge]) -> f64 {
    let own = slots.iter().filter_map(|slot| gauges.get(*slot as usize));
    own.fold(MergedGauge::NONE, MergedGauge::with).value(rule)
}

fn is_shown(family: &Family, number: u32, sources: &Sources<'_, '_>) -> bool {
    let Some(row) = family.rows().get(number as usize) else { return false };
    let is_used = |row: &Row| match family.shape.kind {
        Kind::Counter => !is_zero(sources.totals.counter(row.slot)),
        Kind::Gauge => sources.gauges.get(row.slot as usize).is_some_and(|m| m.moved_ns > 0),
        _ => {
            let own = sources.totals.distributions.get(row.slot as usize);
            own.is_some_and(|distribution| distribution.count() > 0)
        }
    };
    let is_there = family.shape.kind != Kind::Gauge || has_samples(sources.gauges, row.slot);
    !row.is_retired() && is_there && (number != OVERFLOW_ROW || is_used(row))
}
