use proptest::prelude::*;
use ringmeter_layout::naming::{GaugeRule, Kind};
use ringmeter_layout::record::{Operation, pack};

use super::*;
use crate::series::Row;

fn definition(kind: Kind, name: &str) -> FamilyDefinition {
    FamilyDefinition {
        id: 0,
        kind,
        gauge_rule: GaugeRule::Sum,
        name: name.into(),
        help: String::new(),
        unit: String::new(),
        label_names: vec!["l".into()],
        bounds: Vec::new(),
        objectives: Vec::new(),
        max_age_ms: 0,
        age_buckets: 0,
    }
}

fn record(series: u32, operation: Operation, value: u64) -> Record {
    Record { word: pack(series, operation), value }
}

pub(super) fn placed(aggregate: &mut Aggregate, kind: Kind, name: &str, label: &str) -> Placed {
    let family = aggregate.hold_family(&definition(kind, name), 0).expect("room");
    aggregate.hold_series(family, &[("l", label)], true, 0).expect("placed")
}

#[test]
fn two_segments_share_a_series_under_ids_of_their_own() {
    let mut aggregate = Aggregate::new(Limits::default());
    let a = placed(&mut aggregate, Kind::Counter, "n_total", "x");
    let b = placed(&mut aggregate, Kind::Counter, "n_total", "x");
    assert_eq!(a, b);
    let other = placed(&mut aggregate, Kind::Counter, "n_total", "y");
    assert_ne!(a.slot, other.slot);
    let (mut first, mut second) = (LocalSeries::default(), LocalSeries::default());
    first.push(Local::Counter(a.slot));
    second.push(Local::Counter(other.slot));
    second.push(Local::Counter(b.slot));
    let add = |series, value| record(series, Operation::AddU64, value);
    aggregate.apply(Slots::all(&[add(0, 3)]), &first, &mut 0, 0);
    aggregate.apply(Slots::all(&[add(0, 10), add(1, 4)]), &second, &mut 0, 0);
    let (_, totals) = aggregate.parts();
    assert_eq!(totals.counter(a.slot), Number::U64(7));
    assert_eq!(totals.counter(other.slot), Number::U64(10));
}

#[test]
fn a_record_with_an_exemplar_is_an_observation() {
    let mut aggregate = Aggregate::new(Limits::default());
    let series = placed(&mut aggregate, Kind::Histogram, "h", "x");
    let counter = placed(&mut aggregate, Kind::Counter, "n_total", "x");
    let mut local = LocalSeries::default();
    local.push(Local::Distribution(series.slot));
    local.push(Local::Counter(counter.slot));
    let exemplar = Exemplar::new(&[("trace_id", "4bf9")], 2.5, 77).expect("an exemplar");
    for id in [0, 1, 2] {
        aggregate.observe_exemplar(id, exemplar.clone(), &local, 0);
    }
    let (_, totals) = aggregate.parts();
    let own = &totals.distributions[series.slot as usize];
    assert_eq!((own.count(), own.sum()), (1, 2.5));
    assert_eq!(own.exemplars().collect::<Vec<_>>(), [&exemplar]);
    assert_eq!(aggregate.rejected.get(RejectReason::Operation), 1);
    assert_eq!(aggregate.rejected.get(RejectReason::UnknownSeries), 1);
}

#[test]
fn a_panic_costs_what_one_series_observed_and_nobody_else_anything() {
    let mut aggregate = Aggregate::new(Limits::default());
    let bad = placed(&mut aggregate, Kind::Histogram, "h", "bad");
    let good = placed(&mut aggregate, Kind::Histogram, "h", "good");
    let mut local = LocalSeries::default();
    local.push(Local::Distribution(bad.slot));
    local.push(Local::Distribution(good.slot));
    let observe = |series, value: f64| record(series, Operation::ObserveF64, value.to_bits());
    let planted = crate::distribution::PANICS_AT;
    let records = [observe(0, 1.0), observe(1, 2.0), observe(0, planted), observe(1, 4.0)];
    aggregate.apply(Slots::all(&records), &local, &mut 0, 0);
    aggregate.apply(Slots::all(&[observe(0, 8.0)]), &local, &mut 0, 0);
    assert_eq!((aggregate.panics, aggregate.rejected.get(RejectReason::Value)), (1, 2));
    let (_, totals) = aggregate.parts();
    let sum = |placed: Placed| totals.distributions[placed.slot as usize].sum();
    assert_eq!((sum(good), sum(bad)), (6.0, 8.0));
}

#[test]
fn series_know_when_they_began_as_far_as_anybody_does() {
    let mut aggregate = Aggregate::new(Limits::default());
    assert_eq!(aggregate.unix_ms(5_000_000), 0, "no clock yet");
    aggregate.set_unix_time(1_700_000_000_000_000_000, 1_000_000);
    assert_eq!(aggregate.unix_ms(5_000_000), 1_700_000_000_004);
    let early = placed(&mut aggregate, Kind::Counter, "n_total", "x");
    aggregate.begin_series_at(1_234);
    let late = placed(&mut aggregate, Kind::Counter, "n_total", "y");
    let again = placed(&mut aggregate, Kind::Counter, "n_total", "x");
    let start = |placed: Placed| aggregate.registry.row(placed.series).map(Row::start_unix_ms);
    assert_eq!([early, late, again].map(start), [Some(0), Some(1_234), Some(0)]);
}

#[test]
fn a_counter_is_an_integer_until_a_float_is_added() {
    let mut aggregate = Aggregate::new(Limits::default());
    let series = placed(&mut aggregate, Kind::Counter, "n_total", "x");
    let mut local = LocalSeries::default();
    local.push(Local::Counter(series.slot));
    let large = record(0, Operation::AddU64, (1 << 60) + 1);
    aggregate.apply(Slots::all(&[large]), &local, &mut 0, 0);
    assert_eq!(aggregate.parts().1.counter(series.slot), Number::U64((1 << 60) + 1));
    let half = record(0, Operation::AddF64, 0.5f64.to_bits());
    aggregate.apply(Slots::all(&[half]), &local, &mut 0, 0);
    assert_eq!(aggregate.parts().1.counter(series.slot), Number::F64((1u64 << 60) as f64));
}

/// What one process adds must never take away what another has counted.
#[test]
fn a_total_that_would_wrap_or_become_infinite_stays_and_the_record_is_rejected() {
    let mut aggregate = Aggregate::new(Limits::default());
    let series = placed(&mut aggregate, Kind::Counter, "n_total", "x");
    let mut local = LocalSeries::default();
    local.push(Local::Counter(series.slot));
    let add = |value| record(0, Operation::AddU64, value);
    aggregate.apply(Slots::all(&[add(1000), add(u64::MAX - 499), add(1)]), &local, &mut 0, 0);
    assert_eq!(aggregate.parts().1.counter(series.slot), Number::U64(1001));
    aggregate.add_counter(series.slot, u64::MAX - 499, 0.0);
    assert_eq!(aggregate.parts().1.counter(series.slot), Number::U64(1001), "from a cell");
    let most = record(0, Operation::AddF64, f64::MAX.to_bits());
    aggregate.apply(Slots::all(&[most, most]), &local, &mut 0, 0);
    aggregate.add_counter(series.slot, 0, f64::MAX);
    assert_eq!(aggregate.parts().1.counter(series.slot), Number::F64(f64::MAX));
    assert_eq!(aggregate.rejected.get(RejectReason::Value), 2);
    assert_eq!(aggregate.rejected.get(RejectReason::Cell), 2);
}

#[test]
fn limits_of_metrics_and_variants_are_told_apart() {
    let limits = Limits { families_max: 3, variants_max: 2, ..Limits::default() };
    let mut aggregate = Aggregate::new(limits);
    assert!(aggregate.hold_family(&definition(Kind::Counter, "a"), 0).is_ok());
    assert!(aggregate.hold_family(&definition(Kind::Gauge, "a"), 0).is_ok());
    let refused = aggregate.hold_family(&definition(Kind::Histogram, "a"), 0);
    assert_eq!(refused, Err(FamilyRefused::Variants));
    assert!(aggregate.hold_family(&definition(Kind::Counter, "b"), 0).is_ok());
    let refused = aggregate.hold_family(&definition(Kind::Counter, "c"), 0);
    assert_eq!(refused, Err(FamilyRefused::Families));
    assert!(aggregate.hold_family(&definition(Kind::Counter, "a"), 0).is_ok(), "known already");
}

proptest! {
    #[test]
    fn batches_add_up_like_one_record_after_the_other(
        records in prop::collection::vec((0u32..8, 0u8..5, 0u64..1000), 0..5000),
        cut in 1usize..2000,
    ) {
        let mut aggregate = Aggregate::new(Limits::default());
        let mut local = LocalSeries::default();
        let mut slots = Vec::new();
        for id in 0..3 {
            let own = placed(&mut aggregate, Kind::Counter, "n_total", &id.to_string());
            local.push(Local::Counter(own.slot));
            slots.push(own.slot);
        }
        for id in 0..2 {
            let own = placed(&mut aggregate, Kind::Histogram, "h", &id.to_string());
            local.push(Local::Distribution(own.slot));
            slots.push(own.slot);
        }
        local.push(Local::Gauge);
        local.push(Local::Refused);
        let (mut integers, mut floats, mut counts) = ([0u64; 3], [0.0f64; 3], [0u64; 2]);
        let mut accepted = 0;
        let made: Vec<Record> = records.iter().map(|(series, kind, value)| {
            let at = *series as usize;
            match kind {
                0 | 1 => {
                    if at < 3 { integers[at] += value; accepted += 1; }
                    record(*series, Operation::AddU64, *value)
                }
                2 => {
                    if at < 3 { floats[at] += *value as f64; accepted += 1; }
                    record(*series, Operation::AddF64, (*value as f64).to_bits())
                }
                3 => {
                    if (3..5).contains(&at) { counts[at - 3] += 1; accepted += 1; }
                    record(*series, Operation::ObserveF64, (*value as f64).to_bits())
                }
                _ => Record { word: u64::from(*series), value: *value },
            }
        }).collect();
        for batch in made.chunks(cut) {
            aggregate.apply(Slots::all(batch), &local, &mut 0, 0);
        }
        prop_assert_eq!(aggregate.rejected.total() + accepted, made.len() as u64);
        let (_, totals) = aggregate.parts();
        for id in 0..3 {
            let whole = integers[id] as f64 + floats[id];
            let total = match totals.counter(slots[id]) {
                Number::U64(integer) => integer as f64,
                Number::F64(float) => float,
            };
            prop_assert_eq!(total, whole);
        }
        for id in 0..2 {
            prop_assert_eq!(totals.distributions[slots[3 + id] as usize].count(), counts[id]);
        }
    }
}
