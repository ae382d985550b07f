//! Where exemplars are shown: at the bucket of the exposition that holds their value.

use ringmeter_layout::bucket;
use ringmeter_layout::naming::Kind;

use crate::aggregate::Totals;
use crate::distribution::Distribution;
use crate::snapshot::{Exemplar, PlacedExemplar};

/// The exemplars of each series, which shows these slots, at the bounds that are shown; the newest
/// of each bucket, or of each counter.
pub(super) fn placed<S: AsRef<[u32]>>(
    kind: Kind,
    all: impl Iterator<Item = S>,
    totals: &Totals<'_>,
    bounds: &[f64],
) -> Vec<PlacedExemplar> {
    let mut placed = Vec::new();
    for (series, slots) in (0u32..).zip(all) {
        let first = placed.len();
        for slot in slots.as_ref() {
            if kind == Kind::Counter {
                totals.counter_exemplar(*slot).into_iter().for_each(|exemplar| {
                    place(&mut placed, first, series, 0, exemplar);
                });
                continue;
            }
            let own = totals.distributions.get(*slot as usize);
            for exemplar in own.into_iter().flat_map(Distribution::exemplars) {
                let at = bucket::classic_index(bounds, exemplar.value());
                let edge = u32::try_from(at).unwrap_or(u32::MAX);
                place(&mut placed, first, series, edge, exemplar);
            }
        }
    }
    placed
}

/// Puts an exemplar among those of its series, which begin at `first`, unless a newer one is there.
fn place(
    placed: &mut Vec<PlacedExemplar>,
    first: usize,
    series: u32,
    edge: u32,
    exemplar: &Exemplar,
) {
    let own = placed.get(first..).unwrap_or_default();
    let at = own.binary_search_by_key(&edge, |placed| placed.edge);
    match at {
        Ok(at) => {
            if let Some(last) = placed.get_mut(first + at)
                && exemplar.unix_ms() >= last.exemplar.unix_ms()
            {
                last.exemplar = exemplar.clone();
            }
        }
        Err(at) => {
            let new = PlacedExemplar { series, edge, exemplar: exemplar.clone() };
            placed.insert(first + at, new);
        }
    }
}
