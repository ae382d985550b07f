//! The newest exemplar of each classic bucket.

use crate::budget::Budget;
use crate::snapshot::Exemplar;

/// What the first exemplar of a series costs for each bucket besides the exemplar's own text.
const PLACE_COST_BYTES: u64 = size_of::<Option<Exemplar>>() as u64;

/// At most one exemplar for each bucket; no memory before the first.
#[derive(Debug, Default)]
pub(super) struct Exemplars {
    places: Option<Box<[Option<Exemplar>]>>,
}

impl Exemplars {
    /// Keeps `exemplar` as that of the bucket at `at`, unless that has a newer one; says whether
    /// there is memory for it.
    pub(super) fn keep(
        &mut self,
        at: usize,
        buckets: usize,
        exemplar: Exemplar,
        to: &mut Budget,
    ) -> bool {
        if self.places.is_none() {
            if !to.take_for_buckets(PLACE_COST_BYTES.saturating_mul(buckets as u64)) {
                return false;
            }
            self.places = Some(vec![None; buckets].into());
        }
        let places = self.places.as_deref_mut().unwrap_or_default();
        let Some(place) = places.get_mut(at) else { return true };
        if place.as_ref().is_some_and(|own| own.unix_ms() > exemplar.unix_ms()) {
            return true;
        }
        let given_back = place.as_ref().map_or(0, Exemplar::cost_bytes);
        to.give_back(given_back);
        *place = to.take_for_buckets(exemplar.cost_bytes()).then_some(exemplar);
        place.is_some()
    }

    /// What they took from the account of memory.
    pub(super) fn cost_bytes(&self) -> u64 {
        let places = self.places.as_ref().map_or(0, |places| places.len() as u64);
        let own: u64 = self.iter().map(Exemplar::cost_bytes).sum();
        own.saturating_add(places.saturating_mul(PLACE_COST_BYTES))
    }

    /// All of them, from the lowest bucket to the highest.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Exemplar> {
        self.places.as_deref().unwrap_or_default().iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::distribution::Distribution;

    fn exemplar(id: &str, value: f64, unix_ms: u64) -> Exemplar {
        Exemplar::new(&[("trace_id", id)], value, unix_ms).expect("an exemplar")
    }

    #[test]
    fn the_newest_of_each_bucket_is_kept_and_counted() {
        let mut distribution = Distribution::new(Arc::from([1.0, 2.0]), None);
        let mut budget = Budget::new(10_000);
        for (id, value, unix_ms) in
            [("a", 0.5, 10), ("late", 0.7, 9), ("b", 5.0, 11), ("c", 1.0, 12), ("d", 5.0, 11)]
        {
            distribution.observe_exemplar(exemplar(id, value, unix_ms), 0, &mut budget);
        }
        assert_eq!(distribution.classic(), [3, 0, 2]);
        assert_eq!(distribution.sum(), 0.5 + 0.7 + 5.0 + 1.0 + 5.0);
        let kept: Vec<&Exemplar> = distribution.exemplars().collect();
        assert_eq!(kept, [&exemplar("c", 1.0, 12), &exemplar("d", 5.0, 11)]);
    }

    #[test]
    fn without_memory_exemplars_are_given_up_and_observations_are_not() {
        let mut distribution = Distribution::new(Arc::from([1.0]), None);
        let mut none = Budget::new(0);
        distribution.observe_exemplar(exemplar("a", 0.5, 1), 0, &mut none);
        assert_eq!((distribution.count(), distribution.exemplars().count()), (1, 0));
        let cost = 2 * PLACE_COST_BYTES + exemplar("long", 0.5, 1).cost_bytes();
        let mut tight = Budget::new(cost * 2 + 2);
        let mut exemplars = Exemplars::default();
        for unix_ms in 1..100 {
            exemplars.keep(0, 2, exemplar("long", 0.5, unix_ms), &mut tight);
            assert_eq!(exemplars.iter().next().map(Exemplar::unix_ms), Some(unix_ms));
        }
        assert_eq!(tight.used_bytes(), cost, "what is replaced is given back");
        assert_eq!(exemplars.cost_bytes(), cost);
        exemplars.keep(1, 2, exemplar("one more", 1.5, 100), &mut tight);
        assert_eq!(exemplars.iter().count(), 1);
    }
}
