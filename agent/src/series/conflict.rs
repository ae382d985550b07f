//! Definitions that contradict the one that is exposed under their name: told once each.

use super::{Registry, Shape};

/// Conflicts that wait to be told; further ones are counted only.
const WAITING_MAX: usize = 64;

/// A definition that is not exposed, and the one that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// Number of the metric that is hidden.
    pub hidden: u32,
    /// Number of the metric that is exposed under its name.
    pub exposed: u32,
}

impl Registry {
    /// Conflicts that have appeared since the last call. None before it is settled which variant
    /// is exposed.
    pub fn take_conflicts(&mut self) -> Vec<Conflict> {
        if self.conflicts.is_empty() || self.is_unsettled {
            return Vec::new();
        }
        let ids = std::mem::take(&mut self.conflicts);
        ids.into_iter().filter_map(|id| self.conflict(id)).collect()
    }

    fn conflict(&mut self, id: u32) -> Option<Conflict> {
        let own = self.families.get_mut(id as usize)?.as_mut()?;
        let exposed = self.names.get(own.meta.name())?.exposed;
        // What is exposed may come to be hidden, and is told then.
        own.is_conflict_told = exposed != id;
        (exposed != id).then_some(Conflict { hidden: id, exposed })
    }

    /// Notes that a metric has one holder more: if another one is exposed, that is to be told.
    pub(super) fn note_conflict(&mut self, id: u32) {
        let Some(own) = self.family(id).filter(|own| !own.is_conflict_told) else { return };
        let is_hidden = self.names.get(own.meta.name()).is_some_and(|names| names.exposed != id);
        if !is_hidden || self.conflicts.len() >= WAITING_MAX {
            return;
        }
        self.conflicts.push(id);
        if let Some(own) = self.families.get_mut(id as usize).and_then(Option::as_mut) {
            own.is_conflict_told = true;
        }
    }
}

impl Shape {
    /// What differs between two definitions of one name, and how.
    pub fn difference(&self, exposed: &Self) -> String {
        let window = |shape: &Self| {
            let (quantiles, ms) = (&shape.objectives, shape.max_age_ms);
            format!("quantiles {quantiles:?} over {ms} ms in {} age buckets", shape.age_buckets)
        };
        let aspects = |shape: &Self| {
            [
                format!("kind {}", shape.kind),
                format!("label names {:?}", shape.label_names),
                format!("buckets {:?}", shape.bounds),
                window(shape),
                format!("gauge rule {}", shape.gauge_rule),
            ]
        };
        let all = aspects(self).into_iter().zip(aspects(exposed));
        let different: Vec<String> = all
            .filter(|(own, exposed)| own != exposed)
            .map(|(own, exposed)| format!("{own}, exposed with {exposed}"))
            .collect();
        different.join("; ")
    }
}
