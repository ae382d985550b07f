//! Totals never depend on what stands behind a record.

use proptest::prelude::*;
use ringmeter_layout::exemplar::LongRecord;
use ringmeter_layout::naming::Kind;

use super::*;
use crate::aggregate::tests::placed;
use crate::aggregate::{Local, Placed};
use crate::limits::Limits;
use crate::long_records::Slots;
use crate::reject::RejectReason;
use crate::snapshot::Number;

const NOW_MS: u64 = 1_700_000_000_000;

/// A histogram, a counter and a gauge, as series 0, 1 and 2 of a segment.
struct World {
    aggregate: Aggregate,
    local: LocalSeries,
    histogram: Placed,
    counter: Placed,
}

impl World {
    fn new(limits: Limits) -> Self {
        let mut aggregate = Aggregate::new(limits);
        aggregate.set_unix_time(NOW_MS * 1_000_000, 0);
        let histogram = placed(&mut aggregate, Kind::Histogram, "h", "x");
        let counter = placed(&mut aggregate, Kind::Counter, "n_total", "x");
        let mut local = LocalSeries::default();
        local.push(Local::Distribution(histogram.slot));
        local.push(Local::Counter(counter.slot));
        local.push(Local::Gauge);
        Self { aggregate, local, histogram, counter }
    }

    fn apply(&mut self, slots: &[Record]) {
        let taken = self.aggregate.apply(Slots::all(slots), &self.local, &mut 0, 0);
        assert_eq!(taken.slots, slots.len() as u64);
    }

    fn record(&mut self, series: u32, operation: Operation, value: u64, id: &str, unix_ms: u64) {
        let labels = [("id", id)].into_iter();
        let record = LongRecord::new(series, operation, value, unix_ms, labels);
        self.apply(record.expect("an exemplar").slots());
    }

    fn observe(&mut self, value: f64, id: &str, unix_ms: u64) {
        self.record(0, Operation::ObserveF64, value.to_bits(), id, unix_ms);
    }

    /// Labels, value and time of the histogram's and the counter's exemplars.
    fn shown(&mut self) -> Vec<(String, f64, u64)> {
        let (_, totals) = self.aggregate.parts();
        let own = totals.distributions[self.histogram.slot as usize].exemplars();
        let all = own.chain(totals.counter_exemplar(self.counter.slot));
        all.map(|own| (own.labels().as_str().to_owned(), own.value(), own.unix_ms())).collect()
    }

    fn count(&mut self) -> (u64, f64, Number) {
        let (_, totals) = self.aggregate.parts();
        let own = &totals.distributions[self.histogram.slot as usize];
        (own.count(), own.sum(), totals.counter(self.counter.slot))
    }

    fn dropped(&self, reason: ExemplarDrop) -> u64 {
        self.aggregate.exemplars_dropped.get(reason)
    }
}

fn one(id: &str, value: f64, unix_ms: u64) -> (String, f64, u64) {
    (format!("id=\"{id}\""), value, unix_ms)
}

#[test]
fn the_newest_is_kept_of_buckets_and_of_counters() {
    let mut world = World::new(Limits::default());
    world.observe(2.5, "a", 0);
    assert_eq!(world.shown(), [one("a", 2.5, NOW_MS)], "the agent's own time");
    world.observe(3.5, "older", NOW_MS - 1);
    world.observe(4.5, "b", NOW_MS + 1000);
    assert_eq!(world.shown(), [one("b", 4.5, NOW_MS)], "no time to come");
    world.record(1, Operation::AddU64, 3, "c", NOW_MS - 7);
    world.record(1, Operation::AddF64, 0.5_f64.to_bits(), "older", NOW_MS - 8);
    assert_eq!(world.shown(), [one("b", 4.5, NOW_MS), one("c", 3.0, NOW_MS - 7)]);
    world.record(1, Operation::AddF64, 0.5_f64.to_bits(), "d", NOW_MS - 7);
    assert_eq!(world.shown()[1], one("d", 0.5, NOW_MS - 7));
    assert_eq!(world.count(), (3, 10.5, Number::F64(4.0)));
    assert_eq!(world.aggregate.rejected.total(), 0);
}

#[test]
fn what_is_no_exemplar_counts_without_one() {
    let mut world = World::new(Limits::default());
    let mut long =
        LongRecord::new(0, Operation::ObserveF64, 1.5_f64.to_bits(), 0, [("id", "x")].into_iter())
            .expect("an exemplar")
            .slots()
            .to_vec();
    long[1].value ^= 0xff;
    world.apply(&long);
    world.observe(f64::INFINITY, "no value of an exemplar", 0);
    assert_eq!((world.count(), world.shown()), ((2, 1.5, Number::U64(0)), vec![]));
    assert_eq!(world.dropped(ExemplarDrop::Malformed), 2);
    assert_eq!(world.aggregate.rejected.total(), 0);
    // A counter that takes nothing shows no exemplar either.
    world.record(1, Operation::AddU64, 1, "first", 0);
    world.record(1, Operation::AddU64, u64::MAX, "too large", 0);
    assert_eq!(world.shown(), [one("first", 1.0, NOW_MS)]);
    assert_eq!(world.aggregate.rejected.get(RejectReason::Value), 1);
    world.record(2, Operation::AddU64, 1, "gauge", 0);
    world.record(0, Operation::AddU64, 1, "histogram", 0);
    world.record(1, Operation::ObserveF64, 0, "counter", 0);
    world.record(9, Operation::ObserveF64, 0, "unknown", 0);
    assert_eq!(world.aggregate.rejected.get(RejectReason::Operation), 3);
    assert_eq!(world.aggregate.rejected.get(RejectReason::UnknownSeries), 1);
    // An operation that has no exemplar, and flags, mean nothing.
    long[0].word = long[0].word & !(0xff << 32) | (Operation::AddU64 as u64) << 32;
    world.apply(&long);
    long[0].word = long[0].word & !(0xff << 32) | (Operation::ObserveF64Exemplar as u64) << 32;
    long[0].word |= 1 << 48;
    world.apply(&long);
    assert_eq!(world.aggregate.rejected.get(RejectReason::Malformed), 2);
    assert_eq!(world.count(), (2, 1.5, Number::U64(1)));
}

#[test]
fn without_memory_totals_are_kept_and_what_a_counter_had_is_given_back() {
    let mut world = World::new(Limits::default());
    world.record(1, Operation::AddU64, 1, "x", 0);
    let held = world.aggregate.memory().used_bytes();
    let counter = world.counter;
    world.aggregate.free_slot(Kind::Counter, counter.slot);
    assert!(world.aggregate.memory().used_bytes() < held);
    assert_eq!(world.shown(), []);
    let mut world = World::new(Limits { memory_max_bytes: 1 << 20, ..Limits::default() });
    while world.aggregate.budget().take_for_buckets(1) {}
    world.record(1, Operation::AddU64, 1, "x", 0);
    world.observe(1.0, "x", 0);
    assert_eq!((world.count(), world.shown()), ((1, 1.0, Number::U64(1)), vec![]));
    assert_eq!(world.dropped(ExemplarDrop::Memory), 2);
}

proptest! {
    /// However lies are cut: no panic, and nothing is taken twice.
    #[test]
    fn hostile_slots_are_counted_or_rejected(
        drawn in prop::collection::vec((0u64..4, 0u64..9, 0u64..40, any::<u64>()), 1..200),
    ) {
        let slots: Vec<Record> = drawn
            .iter()
            .map(|(series, operation, slots, value)| Record {
                word: series | operation << 32 | slots << 40,
                value: *value,
            })
            .collect();
        let mut world = World::new(Limits::default());
        let (mut skip, mut at, mut records) = (0, 0, 0);
        while at < slots.len() {
            let rest = Slots { read: &slots[at..], wanted: (slots.len() - at).min(7) };
            let taken = world.aggregate.apply(rest, &world.local, &mut skip, 0);
            at += usize::try_from(taken.slots).unwrap();
            records += taken.records;
        }
        prop_assert_eq!(at, slots.len());
        let (observed, ..) = world.count();
        let rejected = world.aggregate.rejected.total();
        prop_assert!(observed + rejected <= records, "{observed}, {rejected} of {records}");
    }
}
