use proptest::prelude::*;
use ringmeter_layout::bucket::{SpillSlot, nearest_rank, relative_error, spill_slot};

use super::*;

const SECOND_NS: u64 = 1_000_000_000;

fn budget() -> Budget {
    Budget::new(u64::MAX)
}

fn summary(max_age_s: u64, slots: u32) -> Distribution {
    let sliding = Sliding::new(max_age_s * 1000, slots, 0);
    Distribution::new(Arc::from([]), Some(Box::new(sliding)))
}

fn quantile(distribution: &mut Distribution, q: f64, now_ns: u64) -> f64 {
    let mut estimates = Vec::new();
    distribution.quantiles(&[q], now_ns, &mut estimates);
    estimates[0]
}

#[test]
fn ranks_are_the_nearest_ones() {
    let cases = [
        (0.5, 1, 1),
        (0.5, 2, 1),
        (0.5, 3, 2),
        (0.0, 10, 1),
        (1.0, 10, 10),
        (0.99, 100, 99),
        (0.991, 100, 100),
        (0.07, 100, 7),
        (0.9, 0, 0),
        (0.999, 1_000_000, 999_000),
    ];
    for (q, n, expected) in cases {
        assert_eq!(nearest_rank(q, n), expected, "{q} of {n}");
    }
}

#[test]
fn classic_bounds_are_inclusive_and_infinite_values_are_not_summed() {
    let mut d = Distribution::new(Arc::from([1.0, 2.0]), None);
    let mut budget = budget();
    for value in [0.5, 1.0, 1.5, 2.0, 2.5, f64::INFINITY, f64::NEG_INFINITY, -3.0] {
        assert!(d.observe(value, 0, &mut budget));
    }
    assert!(!d.observe(f64::NAN, 0, &mut budget));
    assert_eq!(d.classic(), [4, 2, 2]);
    assert_eq!(d.count(), 8);
    assert_eq!(d.sum(), 0.5 + 1.0 + 1.5 + 2.0 + 2.5 - 3.0);
    assert_eq!(d.buckets().count(), 8);
}

#[test]
fn every_sign_and_size_has_its_place_in_the_order() {
    let mut d = summary(600, 5);
    let mut budget = budget();
    let values = [f64::NEG_INFINITY, -1e30, -5.0, -1e-30, 0.0, 1e-30, 3.0, 1e30, f64::INFINITY];
    for value in values {
        d.observe(value, 0, &mut budget);
    }
    let mut estimates = Vec::new();
    let objectives: Vec<f64> = (1..=9).map(|i| f64::from(i) / 9.0).collect();
    d.quantiles(&objectives, 0, &mut estimates);
    assert!(estimates.windows(2).all(|pair| pair[0] <= pair[1]), "{estimates:?}");
    assert_eq!(estimates[0], f64::NEG_INFINITY);
    assert!((estimates[2] + 5.0).abs() < 0.06);
    assert_eq!(estimates[4], 0.0);
    assert!((estimates[6] - 3.0).abs() < 0.04);
    assert_eq!(estimates[8], f64::INFINITY);
}

#[test]
fn an_empty_window_is_nan_and_old_observations_leave() {
    let mut d = summary(10, 5);
    let mut budget = budget();
    assert!(quantile(&mut d, 0.5, 0).is_nan());
    d.observe(1.0, 0, &mut budget);
    d.observe(100.0, 9 * SECOND_NS, &mut budget);
    assert!((quantile(&mut d, 0.5, 9 * SECOND_NS) - 1.0).abs() < 0.011);
    let later = quantile(&mut d, 0.5, 10 * SECOND_NS);
    assert!((later - 100.0).abs() < 1.1, "the first slot has gone: {later}");
    assert!(quantile(&mut d, 0.5, 1000 * SECOND_NS).is_nan());
    assert_eq!(d.count(), 2, "totals stay");
}

#[test]
fn spill_enters_the_middle_of_its_bucket() {
    for schema in 0..=5u8 {
        for value in [1e-9, 0.003, 0.7, 1.0, 1.1, 42.0, 1e9] {
            let place = Place::of_spill(spill_slot(value, schema), schema);
            let Place::Positive(index) = place else { panic!("{value} at {schema}: {place:?}") };
            let estimate = bucket::estimate(index, SCHEMA);
            let error = (estimate - value).abs() / value;
            let limit = relative_error(schema) * 1.1 + relative_error(SCHEMA);
            assert!(error <= limit, "{value} at schema {schema}: {estimate}");
            let coarse = bucket::downscale(index, SCHEMA - schema);
            assert_eq!(coarse, bucket::index(value, schema), "inside its own bucket");
        }
    }
    assert_eq!(Place::of_spill(SpillSlot::Overflow, 2), Place::Overflow);
}

#[test]
fn without_memory_totals_are_kept_and_detail_is_lost() {
    let mut budget = Budget::new(32 * 8 * 6);
    let mut d = summary(600, 5);
    for exponent in -30..30 {
        assert!(d.observe(f64::exp2(f64::from(exponent)), 0, &mut budget));
    }
    assert_eq!(d.count(), 60);
    assert_eq!(d.buckets().count(), 60);
    assert!(budget.refusals() > 0);
    assert!(budget.used_bytes() <= 32 * 8 * 3);
    assert!(quantile(&mut d, 1.0, 0) > 0.0);
    assert!(quantile(&mut d, 1.0, 2000 * SECOND_NS).is_nan(), "nothing is stuck in the window");
}

proptest! {
    #[test]
    fn estimates_are_within_the_stated_error_of_the_value_at_the_rank(
        mut values in prop::collection::vec(1e-12f64..1e12, 1..400),
        q in 0.0f64..=1.0,
    ) {
        let mut d = summary(600, 5);
        let mut budget = budget();
        for (at, value) in values.iter().enumerate() {
            d.observe(*value, at as u64 * SECOND_NS / 10, &mut budget);
        }
        values.sort_by(f64::total_cmp);
        let exact = values[usize::try_from(nearest_rank(q, values.len() as u64)).unwrap() - 1];
        let estimate = quantile(&mut d, q, 40 * SECOND_NS);
        prop_assert!((estimate - exact).abs() / exact <= relative_error(SCHEMA) * 1.000_001);
    }

    #[test]
    fn the_window_total_is_the_sum_of_what_is_young_enough(
        gaps in prop::collection::vec((0u64..4_000, -1e6f64..1e6), 1..300),
    ) {
        let mut d = summary(10, 5);
        let mut budget = budget();
        let mut now_ms = 0;
        let mut made = Vec::new();
        for (gap_ms, value) in gaps {
            now_ms += gap_ms;
            d.observe(value, now_ms * 1_000_000, &mut budget);
            made.push(now_ms / 2_000);
        }
        let slot = now_ms / 2_000;
        let young = made.iter().filter(|then| slot - **then < 5).count() as u64;
        let Some(sliding) = &mut d.sliding else { unreachable!() };
        prop_assert_eq!(sliding.at(now_ms * 1_000_000).count(), young);
        prop_assert_eq!(d.buckets().count(), made.len() as u64);
    }

    #[test]
    fn any_float_is_counted_once_or_refused(bits: u64) {
        let value = f64::from_bits(bits);
        let mut d = Distribution::new(Arc::from([0.0, 1.0]), None);
        let counted = d.observe(value, 0, &mut budget());
        prop_assert_eq!(counted, !value.is_nan());
        prop_assert_eq!(d.count(), u64::from(counted));
        prop_assert_eq!(d.buckets().count(), u64::from(counted));
    }
}

proptest! {
    /// Many at once are what they are one after the other, whatever is among them and however
    /// little memory there is.
    #[test]
    fn observations_at_once_add_up_like_one_after_the_other(
        values in prop::collection::vec(prop_oneof![
            8 => 1e-3..1e3f64,
            1 => prop::num::f64::ANY,
            1 => prop::sample::select(vec![0.0, -0.0, 1.0, 2.0, 1e300, 1e-300]),
        ], 0..400),
        cut in 1usize..100,
        bounds in prop::sample::select(vec![0usize, 1, 11, 40]),
        octaves in prop::sample::select(vec![0u64, 1, 3, 6, 1000]),
    ) {
        let bounds: Arc<[f64]> = (1..=bounds).map(|bound| bound as f64 / 7.0).collect();
        let new = || {
            let sliding = Box::new(Sliding::new(5000, 5, 0));
            // Buckets get half of the memory.
            (Distribution::new(Arc::clone(&bounds), Some(sliding)), Budget::new(octaves * 512))
        };
        let ((mut one, mut own), (mut all, mut other)) = (new(), new());
        for (second, some) in (0u64..).zip(values.chunks(cut)) {
            let now_ns = second * SECOND_NS;
            let refused = all.observe_all(some, now_ns, &mut other);
            let each = some.iter().filter(|value| !one.observe(**value, now_ns, &mut own));
            prop_assert_eq!(each.count() as u64, refused);
        }
        prop_assert_eq!(one.classic(), all.classic());
        prop_assert_eq!(one.sum.words(), all.sum.words());
        let places = |buckets: &Buckets| format!("{:?}", buckets.places().collect::<Vec<_>>());
        if octaves == 0 || octaves == 1000 {
            prop_assert_eq!(places(one.buckets()), places(all.buckets()));
        }
        prop_assert_eq!(one.buckets().count(), all.buckets().count());
        let window = |own: &mut Distribution| {
            own.sliding.as_mut().map(|sliding| places(sliding.at(values.len() as u64 * SECOND_NS)))
        };
        if octaves == 0 || octaves == 1000 {
            prop_assert_eq!(window(&mut one), window(&mut all));
        }
    }
}
