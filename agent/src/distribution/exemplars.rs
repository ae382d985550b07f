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
    /// Keeps `exemplar` as that of the bucket at `at`, unless that has a newer one, or there is no
    /// memory for it.
    pub(super) fn keep(&mut self, at: usize, buckets: usize, exemplar: Exemplar, to: &mut Budget) {
        if self.places.is_none() {
            if !to.take(PLACE_COST_BYTES.saturating_mul(buckets as u64)) {
                return;
            }
            self.places = Some(vec![None; buckets].into());
        }
        let places = self.places.as_deref_mut().unwrap_or_default();
        let Some(place) = places.get_mut(at) else { return };
        if place.as_ref().is_some_and(|own| own.unix_ms() > exemplar.unix_ms()) {
            return;
        }
        let given_back = place.as_ref().map_or(0, Exemplar::cost_bytes);
        to.give_back(given_back);
        *place = to.take(exemplar.cost_bytes()).then_some(exemplar);
    }

    /// All of them, from the lowest bucket to the highest.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Exemplar> {
        self.places.as_deref().unwrap_or_default().iter().flatten()
    }
}
