//! Records with exemplars: the event counts in any case, its exemplar if it is one and there is
//! memory for it.

use ringmeter_layout::exemplar;
use ringmeter_layout::record::{Operation, Record, pack};

use super::{Aggregate, LocalSeries};
use crate::reject::ExemplarDrop;
use crate::snapshot::Exemplar;

impl Aggregate {
    /// Applies a record of several slots.
    pub(super) fn apply_long(&mut self, slots: &[Record], local: &LocalSeries, now_ns: u64) {
        let Some((head, tail)) = slots.split_first() else { return };
        let operation = Operation::from_code(head.operation_code());
        // Flags have no meaning in this layout, here neither.
        let plain =
            operation.and_then(Operation::without_exemplar).filter(|_| head.word >> 48 == 0);
        let Some(plain) = plain else {
            self.apply_single(&[*head], local, now_ns);
            return;
        };
        let exemplar = self.exemplar_of(*head, plain, tail, now_ns);
        let is_there = exemplar.is_some();
        match (plain, exemplar) {
            (Operation::ObserveF64, Some(exemplar)) => {
                self.observe_exemplar(head.series(), exemplar, local, now_ns);
            }
            (_, exemplar) => {
                // Not in between, where it would be taken for this record's.
                if !self.gathered.has_room(1) {
                    self.settle();
                }
                let rejected = self.rejected.total();
                let record = Record { word: pack(head.series(), plain), value: head.value };
                self.apply_single(&[record], local, now_ns);
                if let Some(exemplar) = exemplar
                    && self.rejected.total() == rejected
                {
                    self.keep_of_counter(local.counter(head.series()), exemplar);
                }
            }
        }
        if !is_there {
            self.exemplars_dropped.add(ExemplarDrop::Malformed, 1);
        }
    }

    /// The exemplar behind a record, if it is one.
    fn exemplar_of(
        &self,
        head: Record,
        operation: Operation,
        tail: &[Record],
        now_ns: u64,
    ) -> Option<Exemplar> {
        let found = exemplar::parse(tail)?;
        let now_ms = self.unix_ms(now_ns);
        // A time to come would make it the newest for ever.
        let unix_ms = if found.unix_ms == 0 { now_ms } else { found.unix_ms.min(now_ms) };
        let value = match operation {
            Operation::AddU64 => head.value as f64,
            _ => f64::from_bits(head.value),
        };
        Exemplar::new(&found.labels, value, unix_ms).ok()
    }

    /// Applies an observation that came with an exemplar, which holds its value.
    pub fn observe_exemplar(
        &mut self,
        series: u32,
        exemplar: Exemplar,
        local: &LocalSeries,
        now_ns: u64,
    ) {
        let slot = local.distribution(series);
        match self.distributions.get_mut(slot as usize) {
            Some(distribution) if slot > 0 => {
                if !distribution.observe_exemplar(exemplar, now_ns, &mut self.budget) {
                    self.exemplars_dropped.add(ExemplarDrop::Memory, 1);
                }
                self.changes.distribution(slot);
            }
            _ => self.rejected.add(local.why_not(series), 1),
        }
    }

    /// Keeps the exemplar of a counter if it is the newest, and there is memory for it.
    fn keep_of_counter(&mut self, slot: u32, exemplar: Exemplar) {
        let at = slot as usize;
        let own = self.counter_exemplars.get(at).and_then(Option::as_ref);
        if own.is_some_and(|own| own.unix_ms() > exemplar.unix_ms()) {
            return;
        }
        self.forget_of_counter(slot);
        if !self.budget.take_for_buckets(exemplar.cost_bytes()) {
            self.exemplars_dropped.add(ExemplarDrop::Memory, 1);
            return;
        }
        if at >= self.counter_exemplars.len() {
            self.counter_exemplars.resize(at + 1, None);
        }
        if let Some(place) = self.counter_exemplars.get_mut(at) {
            *place = Some(Box::new(exemplar));
        }
    }

    /// Forgets the exemplar of a counter's slot.
    pub(super) fn forget_of_counter(&mut self, slot: u32) {
        let place = self.counter_exemplars.get_mut(slot as usize);
        if let Some(old) = place.and_then(Option::take) {
            self.budget.give_back(old.cost_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
