//! Which metrics and series there are over all processes, and who defines them.
//!
//! A metric is known by its name, a series by its metric and its sorted labels. Processes that
//! define the same series share it, and its totals outlive them. Definitions of one name that
//! contradict one another are *variants*: each keeps its own totals, and one is exposed, the one
//! that was first, until no live process holds it and another is held. So a rolling deployment
//! can change buckets, and nothing counted meanwhile is lost.

mod conflict;
mod keep;
mod retain;

use std::collections::HashMap;
use std::sync::Arc;

use ringmeter_layout::definition::FamilyDefinition;
use ringmeter_layout::naming::lint::lint;
use ringmeter_layout::naming::{GaugeRule, Kind};

use crate::budget::Budget;
use crate::distribution::Buckets;
use crate::limits::Limits;
use crate::snapshot::{FamilyMeta, LabelText};

pub use conflict::Conflict;
pub use retain::Expired;

/// Everything that two processes must agree on to share a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Counter, gauge, histogram or summary.
    pub kind: Kind,
    /// How gauges of several processes merge.
    pub gauge_rule: GaugeRule,
    /// Label names, sorted.
    pub label_names: Box<[Box<str>]>,
    /// Upper bounds of the classic buckets, without `+Inf`.
    pub bounds: Arc<[f64]>,
    /// Quantiles.
    pub objectives: Arc<[f64]>,
    /// Length of the sliding window, milliseconds.
    pub max_age_ms: u64,
    /// Slots of the sliding window.
    pub age_buckets: u32,
}

impl Shape {
    fn of(definition: &FamilyDefinition) -> Self {
        let mut label_names: Vec<Box<str>> =
            definition.label_names.iter().map(|name| name.as_str().into()).collect();
        label_names.sort_unstable();
        Self {
            kind: definition.kind,
            gauge_rule: definition.gauge_rule,
            label_names: label_names.into(),
            bounds: definition.bounds.as_slice().into(),
            objectives: definition.objectives.as_slice().into(),
            max_age_ms: definition.max_age_ms,
            age_buckets: definition.age_buckets,
        }
    }

    /// Generous; the overflow series is in it.
    fn cost_bytes(&self, help_length: usize) -> u64 {
        let labels: usize = self.label_names.iter().map(|name| name.len() + 16).sum();
        // The help stands as text and, with escapes, in the header; an edge has its label's text.
        let texts = 3 * help_length + 64 * (self.bounds.len() + self.objectives.len() + 1);
        FAMILY_COST_BYTES + (labels + texts) as u64 + self.series_cost_bytes()
    }

    /// What a series costs besides its labels and buckets: rows, map entries, totals; generous.
    pub fn series_cost_bytes(&self) -> u64 {
        let slots = if self.objectives.is_empty() { 0 } else { u64::from(self.age_buckets) };
        let slots_bytes = slots * size_of::<Buckets>() as u64;
        SERIES_COST_BYTES + self.bounds.len() as u64 * 8 + slots_bytes
    }

    fn meta(&self, name: &str, help: &str) -> FamilyMeta {
        match self.kind {
            Kind::Counter => FamilyMeta::counter(name, help),
            Kind::Gauge => FamilyMeta::gauge(name, help),
            Kind::Histogram => FamilyMeta::histogram(name, help, &self.bounds),
            Kind::Summary => FamilyMeta::summary(name, help, &self.objectives),
        }
    }
}

/// What a metric costs besides its texts: names, maps, the last view of it.
const FAMILY_COST_BYTES: u64 = 1024;
const SERIES_COST_BYTES: u64 = 384;

/// A series of a metric, by dense numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef {
    /// Number of the metric.
    pub family: u32,
    /// Number of the series within it; 0 is the overflow series.
    pub row: u32,
}

/// The overflow series of every metric.
pub const OVERFLOW_ROW: u32 = 0;

/// One series.
#[derive(Debug)]
pub struct Row {
    /// Its labels.
    pub labels: LabelText,
    /// Where its totals are, among those of its kind.
    pub slot: u32,
    /// Its number among all series.
    ordinal: u32,
    /// How many live processes define it and did not retire it.
    holders: u32,
    /// How many attached segments define it, whether they retired it or not.
    definers: u32,
    /// Since when it is known that none does; 0 if that is not known.
    gone_ns: u64,
    /// Retired by the last process that held it.
    is_retired: bool,
    /// What it took from the account of memory, besides buckets.
    cost_bytes: u64,
    /// When its totals were 0: milliseconds since 1970, or 0 if nobody knows.
    start_unix_ms: u64,
    /// The labels as given, kept where another label is added for each process.
    pairs: Box<[(Box<str>, Box<str>)]>,
}

impl Row {
    /// A row whose series has left.
    fn free() -> Self {
        Self {
            labels: LabelText::default(),
            slot: 0,
            ordinal: u32::MAX,
            holders: 0,
            definers: 0,
            gone_ns: 0,
            is_retired: true,
            cost_bytes: 0,
            start_unix_ms: 0,
            pairs: Box::default(),
        }
    }

    /// Its number among all series.
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// Whether the last process that held the series has removed it.
    pub fn is_retired(&self) -> bool {
        self.is_retired
    }

    /// When its totals were 0: milliseconds since 1970, or 0 if nobody knows.
    pub fn start_unix_ms(&self) -> u64 {
        self.start_unix_ms
    }

    /// Names and values of the labels; only of gauges that are exposed per process.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// One metric.
#[derive(Debug)]
pub struct Family {
    /// What is rendered once.
    pub meta: Arc<FamilyMeta>,
    /// What all its processes agree on.
    pub shape: Shape,
    /// Its definition as it stands in the ledger.
    pub entry: Box<[u8]>,
    rows: Vec<Row>,
    free_rows: Vec<u32>,
    /// Rows that are free, and still in one of the two lists below.
    left_rows: Vec<u32>,
    by_labels: HashMap<LabelText, u32>,
    /// How many attached segments define it.
    holders: u32,
    /// Since when it is known that none does; 0 if that is not known.
    gone_ns: u64,
    /// What it took from the account of memory.
    cost_bytes: u64,
    /// Rows in the order of their labels; complete after `sort`.
    sorted: Vec<u32>,
    /// Rows that are not in order yet.
    fresh: Vec<u32>,
    /// Changes when the same row may mean another series than before.
    revision: u64,
    /// How much advice there is on its names.
    lint_count: u32,
    /// Whether anything of it may have changed since it was shown.
    is_touched: bool,
    /// Whether it was told, or is to be, that another variant is exposed.
    is_conflict_told: bool,
}

impl Family {
    /// The series, by number; some may have left.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.rows.len() - self.free_rows.len() - self.left_rows.len()
    }

    /// Changes when the same row may mean another series than before.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What a series with these labels costs, bytes. Escapes double a text at most.
    pub fn series_cost_bytes(&self, pairs: &[(&str, &str)]) -> u64 {
        let texts: usize = pairs.iter().map(|(name, value)| name.len() + value.len() * 2).sum();
        self.shape.series_cost_bytes() + texts as u64
    }

    /// How much advice promlint's rules give on its names and help.
    pub fn lint_count(&self) -> u32 {
        self.lint_count
    }

    /// Whether each process has a series of its own.
    pub fn is_per_process(&self) -> bool {
        self.shape.kind == Kind::Gauge && self.shape.gauge_rule == GaugeRule::PerProcess
    }

    /// Whether a total, a series or anything else of it may have changed since it was
    /// [shown](Self::note_shown).
    pub fn is_touched(&self) -> bool {
        self.is_touched
    }

    /// Notes that it is shown as it is now.
    pub fn note_shown(&mut self) {
        self.is_touched = false;
    }

    /// The series with these labels.
    pub fn find(&self, labels: &LabelText) -> Option<u32> {
        self.by_labels.get(labels).copied()
    }

    /// Rows in the order of their labels.
    pub fn sorted(&mut self) -> &[u32] {
        self.forget_left();
        if !self.fresh.is_empty() {
            self.sorted.append(&mut self.fresh);
            let rows = &self.rows;
            // Stable, which is fast for what is sorted but for its end.
            self.sorted.sort_by_key(|row| rows.get(*row as usize).map(|row| &row.labels));
        }
        &self.sorted
    }
}

/// Why a metric was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyRefused {
    /// As many metrics as there may be.
    Families,
    /// As many new metrics as this segment may define.
    Share,
    /// As much memory as there may be.
    Memory,
    /// As many contradicting definitions of this name as there may be.
    Variants,
}

#[derive(Debug)]
struct Variants {
    /// Oldest first.
    families: Vec<u32>,
    exposed: u32,
}

/// All metrics and series.
#[derive(Debug, Default)]
pub struct Registry {
    families: Vec<Option<Family>>,
    free_families: Vec<u32>,
    names: HashMap<Box<str>, Variants>,
    /// Every series by its ordinal.
    rows: Vec<Option<SeriesRef>>,
    free_ordinals: Vec<u32>,
    revisions: u64,
    /// Until the processes from before a restart are attached again, which variant is exposed
    /// does not change.
    is_unsettled: bool,
    /// Variants to be told of as hidden.
    conflicts: Vec<u32>,
    changes: keep::Changes,
}

impl Registry {
    /// Number of series, overflow series included.
    pub fn series_count(&self) -> usize {
        self.rows.len() - self.free_ordinals.len()
    }

    /// Number of metrics, contradicting definitions counted apart.
    pub fn family_count(&self) -> usize {
        self.families.len() - self.free_families.len()
    }

    /// Numbers of metrics are below this.
    pub fn family_end(&self) -> usize {
        self.families.len()
    }

    /// How many contradicting definitions are held by live processes and not exposed.
    pub fn conflict_count(&self) -> usize {
        let hidden = |variants: &Variants| {
            let others = variants.families.iter().filter(|id| **id != variants.exposed);
            others.filter(|id| self.family(**id).is_some_and(|f| f.holders > 0)).count()
        };
        self.names.values().filter(|v| v.families.len() > 1).map(hidden).sum()
    }

    /// Every series, in the order of appearance.
    pub fn all_series(&self) -> impl Iterator<Item = SeriesRef> {
        self.rows.iter().copied().flatten()
    }

    /// A metric by number.
    pub fn family(&self, id: u32) -> Option<&Family> {
        self.families.get(id as usize)?.as_ref()
    }

    fn family_mut(&mut self, id: u32) -> Option<&mut Family> {
        let family = self.families.get_mut(id as usize)?.as_mut()?;
        family.is_touched = true;
        Some(family)
    }

    /// Notes that a total of a metric has changed.
    pub fn touch(&mut self, id: u32) {
        let _ = self.family_mut(id);
    }

    /// The metrics that are exposed, with their numbers.
    pub fn exposed(&mut self) -> impl Iterator<Item = (u32, &mut Family)> {
        let names = &self.names;
        let families = (0u32..).zip(&mut self.families);
        families.filter_map(|(id, family)| Some((id, family.as_mut()?))).filter(|(id, family)| {
            names.get(family.meta.name()).is_some_and(|variants| variants.exposed == *id)
        })
    }

    /// The metric that `definition` means, and one holder more for it. Says whether it is new,
    /// in which case its overflow series is still to be added; without `has_room` none is new.
    ///
    /// # Errors
    /// When a limit is reached.
    pub fn hold_family(
        &mut self,
        definition: &FamilyDefinition,
        has_room: bool,
        limits: &Limits,
        budget: &mut Budget,
    ) -> Result<(u32, bool), FamilyRefused> {
        let shape = Shape::of(definition);
        let name = definition.name.as_str();
        if let Some(id) = self.find(name, &shape) {
            self.add_holder(id);
            return Ok((id, false));
        }
        let known = self.names.get(name).map_or(0, |v| v.families.len());
        if self.family_count() >= limits.families_max {
            return Err(FamilyRefused::Families);
        }
        if !has_room {
            return Err(FamilyRefused::Share);
        }
        if known >= limits.variants_max {
            return Err(FamilyRefused::Variants);
        }
        if !budget.take_needed(shape.cost_bytes(definition.help.len())) {
            return Err(FamilyRefused::Memory);
        }
        let id = self.free_families.pop().unwrap_or_else(|| self.end_of_families());
        self.add_family(id, definition, shape);
        self.add_holder(id);
        Ok((id, true))
    }

    fn find(&self, name: &str, shape: &Shape) -> Option<u32> {
        let known = &self.names.get(name)?.families;
        known.iter().copied().find(|id| self.family(*id).is_some_and(|f| f.shape == *shape))
    }

    fn end_of_families(&self) -> u32 {
        // The limit of metrics is far below 2^32.
        u32::try_from(self.families.len()).unwrap_or(u32::MAX)
    }

    /// Adds a metric without a holder. Its number, and its name and shape together, are new.
    fn add_family(&mut self, id: u32, definition: &FamilyDefinition, shape: Shape) {
        let name = definition.name.as_str();
        let advice = lint(definition.kind, name, &definition.help, &definition.label_names);
        let mut kept = definition.clone();
        kept.id = id;
        // Series of several processes come with their labels in several orders.
        kept.label_names.sort_unstable();
        let family = Family {
            meta: Arc::new(shape.meta(name, &definition.help).with_unit(&definition.unit)),
            cost_bytes: shape.cost_bytes(definition.help.len()),
            shape,
            entry: kept.encode().into(),
            rows: Vec::new(),
            free_rows: Vec::new(),
            left_rows: Vec::new(),
            by_labels: HashMap::new(),
            holders: 0,
            gone_ns: 0,
            sorted: Vec::new(),
            fresh: Vec::new(),
            revision: self.next_revision(),
            lint_count: u32::try_from(advice.len()).unwrap_or(u32::MAX),
            is_touched: true,
            is_conflict_told: false,
        };
        let at = id as usize;
        if self.families.len() <= at {
            self.families.resize_with(at + 1, || None);
        }
        if let Some(place) = self.families.get_mut(at) {
            *place = Some(family);
        }
        let fresh = || Variants { families: Vec::new(), exposed: id };
        self.names.entry(name.into()).or_insert_with(fresh).families.push(id);
        self.changes.expose(id);
    }

    fn next_revision(&mut self) -> u64 {
        self.revisions += 1;
        self.revisions
    }

    fn add_holder(&mut self, id: u32) {
        if let Some(family) = self.family_mut(id) {
            family.holders = family.holders.saturating_add(1);
            family.gone_ns = 0;
        }
        self.choose(id);
        self.note_conflict(id);
    }

    /// One holder less for a metric.
    pub fn release_family(&mut self, id: u32, now_ns: u64) {
        if let Some(family) = self.family_mut(id) {
            family.holders = family.holders.saturating_sub(1);
            family.gone_ns = if family.holders == 0 { now_ns.max(1) } else { 0 };
        }
        self.choose(id);
    }

    /// Decides again which variant of a name is exposed: the living hold it, then the newest.
    fn choose(&mut self, id: u32) {
        let families = &self.families;
        let family = |id: u32| families.get(id as usize).and_then(Option::as_ref);
        let is_held = |id: &u32| family(*id).is_some_and(|f| f.holders > 0);
        let Some(family) = family(id) else { return };
        let Some(variants) = self.names.get_mut(family.meta.name()) else { return };
        if self.is_unsettled || is_held(&variants.exposed) {
            return;
        }
        if let Some(newest) = variants.families.iter().rev().find(|id| is_held(id)) {
            self.changes.expose(variants.exposed);
            self.changes.expose(*newest);
            variants.exposed = *newest;
        }
    }

    /// Says when the totals of a new series were 0: milliseconds since 1970, or 0 if nobody knows.
    pub fn set_start(&mut self, series: SeriesRef, unix_ms: u64) {
        if let Some(row) = self.row_mut(series) {
            row.start_unix_ms = unix_ms;
            let ordinal = row.ordinal;
            self.changes.start(ordinal);
        }
    }

    /// The number that the next new series gets.
    pub fn next_ordinal(&self) -> u32 {
        let end = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        self.free_ordinals.last().copied().unwrap_or(end)
    }

    /// Adds a series whose totals are at `slot`, under the next number; its labels must be new.
    /// `cost_bytes` is what it took from the account of memory.
    pub fn add_row(
        &mut self,
        family: u32,
        pairs: &[(&str, &str)],
        slot: u32,
        cost_bytes: u64,
    ) -> Option<SeriesRef> {
        let ordinal = self.next_ordinal();
        self.free_ordinals.pop();
        self.add_row_as(ordinal, family, pairs, slot, cost_bytes)
    }

    /// As [`add_row`](Self::add_row), under a number that is free and not in the list of those.
    fn add_row_as(
        &mut self,
        ordinal: u32,
        family: u32,
        pairs: &[(&str, &str)],
        slot: u32,
        cost_bytes: u64,
    ) -> Option<SeriesRef> {
        let own = self.families.get_mut(family as usize)?.as_mut()?;
        own.forget_left();
        let end = u32::try_from(own.rows.len()).ok()?;
        let row = own.free_rows.pop().unwrap_or(end);
        let labels = LabelText::new(pairs);
        own.by_labels.insert(labels.clone(), row);
        let kept = if own.is_per_process() { pairs } else { &[] };
        let pairs = kept.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let is_retired = false;
        let new = Row { labels, slot, ordinal, is_retired, cost_bytes, pairs, ..Row::free() };
        match own.rows.get_mut(row as usize) {
            Some(place) => *place = new,
            None => own.rows.push(new),
        }
        own.fresh.push(row);
        let series = SeriesRef { family, row };
        let at = ordinal as usize;
        if self.rows.len() <= at {
            self.rows.resize(at + 1, None);
        }
        *self.rows.get_mut(at)? = Some(series);
        Some(series)
    }

    /// The row of a series.
    pub fn row(&self, series: SeriesRef) -> Option<&Row> {
        self.family(series.family)?.rows.get(series.row as usize)
    }

    fn row_mut(&mut self, series: SeriesRef) -> Option<&mut Row> {
        self.family_mut(series.family)?.rows.get_mut(series.row as usize)
    }

    /// One holder more: the series is defined, or revived.
    pub fn hold(&mut self, series: SeriesRef) {
        if let Some(row) = self.row_mut(series) {
            row.holders = row.holders.saturating_add(1);
            if std::mem::take(&mut row.is_retired) {
                let ordinal = row.ordinal;
                self.changes.retire(ordinal);
            }
        }
    }

    /// One holder less, because its process has gone: the series stays.
    pub fn release(&mut self, series: SeriesRef) {
        if let Some(row) = self.row_mut(series) {
            row.holders = row.holders.saturating_sub(1);
        }
    }

    /// One holder less, because its process removed the series: with the last one it goes.
    pub fn retire(&mut self, series: SeriesRef) {
        if let Some(row) = self.row_mut(series) {
            row.holders = row.holders.saturating_sub(1);
            row.is_retired = row.holders == 0;
            let ordinal = row.ordinal;
            self.changes.retire(ordinal);
        }
    }
}
