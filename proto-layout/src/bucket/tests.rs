//! The arithmetic against integers of any size, and against its own definition.

use proptest::prelude::*;

use super::*;

/// An unsigned integer of any size, least significant limb first.
#[derive(Clone, Debug, PartialEq)]
struct Big(Vec<u32>);

impl Big {
    fn from_u64(value: u64) -> Self {
        Self(vec![(value & 0xffff_ffff) as u32, (value >> 32) as u32])
    }

    fn square(&self) -> Self {
        let mut product = vec![0_u32; 2 * self.0.len()];
        for (i, &a) in self.0.iter().enumerate() {
            let mut carry = 0_u64;
            for (j, &b) in self.0.iter().enumerate() {
                let sum = u64::from(a) * u64::from(b) + u64::from(product[i + j]) + carry;
                product[i + j] = (sum & 0xffff_ffff) as u32;
                carry = sum >> 32;
            }
            product[i + self.0.len()] = u32::try_from(carry).unwrap();
        }
        Self(product)
    }

    /// The position of the highest bit that is one.
    fn log2(&self) -> usize {
        let top = self.0.iter().rposition(|&limb| limb != 0).unwrap();
        32 * top + self.0[top].ilog2() as usize
    }

    fn is_power_of_two(&self) -> bool {
        self.0.iter().map(|limb| limb.count_ones()).sum::<u32>() == 1
    }
}

/// Whether `significand / 2^52 <= 2^(k/256)`, which is `significand^256 <= 2^(k + 52 * 256)`.
fn is_at_most_power(significand: u64, k: usize) -> bool {
    let power = (0..8).fold(Big::from_u64(significand), |value, _| value.square());
    let exponent = k + 52 * 256;
    power.log2() < exponent || (power.log2() == exponent && power.is_power_of_two())
}

#[test]
fn the_boundaries_are_exact() {
    for (k, &fraction) in BOUNDARIES.iter().enumerate() {
        let significand = IMPLICIT_BIT | fraction;
        assert!(is_at_most_power(significand, k), "boundary {k} is too high");
        assert!(!is_at_most_power(significand + 1, k), "boundary {k} is too low");
    }
}

/// The definition, by comparing with every boundary of the octave.
fn reference_index(value: f64, schema: u8) -> i32 {
    let bits = value.to_bits();
    let (mut significand, mut exponent) = ((bits & FRACTION_MASK), (bits >> 52) as i32);
    if exponent == 0 {
        exponent = EXPONENT_NORMAL_MIN;
        while significand < IMPLICIT_BIT {
            significand <<= 1;
            exponent -= 1;
        }
    } else {
        significand |= IMPLICIT_BIT;
        exponent -= EXPONENT_BIAS;
    }
    let step = 1 << (SCHEMA_MAX - schema);
    let octave = BOUNDARIES.iter().step_by(step);
    let below = octave.filter(|fraction| (IMPLICIT_BIT | **fraction) < significand).count();
    exponent * (1 << schema) + i32::try_from(below).unwrap()
}

fn step_up(value: f64) -> f64 {
    f64::from_bits(value.to_bits() + 1)
}

fn step_down(value: f64) -> f64 {
    f64::from_bits(value.to_bits() - 1)
}

#[test]
fn every_normal_boundary_is_exact_to_the_last_place() {
    for schema in 0..=SCHEMA_MAX {
        // From the first bound whose neighbour below is normal to the last but f64::MAX.
        for i in (EXPONENT_NORMAL_MIN << schema) + 1..EXPONENT_END << schema {
            let bound = upper_bound(i, schema);
            assert!(bound > upper_bound(i - 1, schema), "bucket {i} of {schema} is empty");
            assert_eq!(index(step_down(bound), schema), i, "below {bound:e} at {schema}");
            assert_eq!(index(bound, schema), i, "{bound:e} at {schema}");
            assert_eq!(index(step_up(bound), schema), i + 1, "above {bound:e} at {schema}");
        }
    }
}

#[test]
fn every_subnormal_boundary_is_exact_to_the_last_place() {
    for schema in 0..=SCHEMA_MAX {
        for i in (-1074 << schema)..=(EXPONENT_NORMAL_MIN << schema) {
            let (lower, bound) = (upper_bound(i - 1, schema), upper_bound(i, schema));
            assert!(lower <= bound);
            // With few digits left, most buckets hold no double at all.
            if lower < bound {
                assert_eq!(index(bound, schema), i, "{bound:e} at {schema}");
                assert_eq!(index(step_up(lower), schema), i, "above {lower:e} at {schema}");
            }
            assert!(index(step_up(bound), schema) > i, "above {bound:e} at {schema}");
        }
    }
}

#[test]
fn every_octave_agrees_with_the_definition_around_its_boundaries() {
    for schema in 0..=SCHEMA_MAX {
        for exponent in [-1074, -1060, -1023, -1022, -30, -1, 0, 1, 34, 1023] {
            for i in (exponent << schema)..((exponent + 1) << schema) {
                let bound = upper_bound(i, schema);
                for value in [step_down(bound), bound, step_up(bound)] {
                    if value > 0.0 {
                        assert_eq!(index(value, schema), reference_index(value, schema));
                    }
                }
            }
        }
    }
}

#[test]
fn powers_of_two_end_a_bucket() {
    for schema in 0..=SCHEMA_MAX {
        for exponent in -1074..EXPONENT_END {
            let power = if exponent < EXPONENT_NORMAL_MIN {
                f64::from_bits(1 << (exponent + 1074))
            } else {
                f64::from_bits(u64::try_from(exponent + EXPONENT_BIAS).unwrap() << 52)
            };
            assert_eq!(index(power, schema), exponent << schema);
            assert_eq!(upper_bound(exponent << schema, schema), power);
        }
    }
}

#[test]
fn the_ends_of_the_doubles_are_in_range() {
    for schema in 0..=SCHEMA_MAX {
        let last = 1024 << schema;
        assert_eq!(index(f64::MAX, schema), last);
        assert_eq!(upper_bound(last, schema), f64::MAX);
        assert_eq!(upper_bound(last + 1, schema), f64::INFINITY);
        assert!(estimate(last, schema) < f64::MAX);
        assert_eq!(index(f64::from_bits(1), schema), -1074 << schema);
        assert_eq!(upper_bound((-1074 << schema) - 1, schema), 0.0);
        assert!(index(0.0, schema) < -1074 << schema);
        assert_eq!(upper_bound(i32::MIN, schema), 0.0);
        assert_eq!(upper_bound(i32::MAX, schema), f64::INFINITY);
    }
    assert_eq!(index(1.5, 200), index(1.5, SCHEMA_MAX));
    assert_eq!(upper_bound(7, 200), upper_bound(7, SCHEMA_MAX));
}

#[test]
fn values_without_a_bucket_make_no_panic() {
    for value in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN] {
        for schema in [0, SCHEMA_MAX, u8::MAX] {
            let _ = index(value, schema);
            assert!(!matches!(spill_slot(value, schema), SpillSlot::Bucket(_)));
        }
    }
}

/// Growth and error as the table in the specification's section on schemas has them.
#[test]
fn relative_errors_are_the_published_ones() {
    for (schema, percent) in
        [(0, 33.33), (1, 17.16), (2, 8.64), (3, 4.33), (4, 2.17), (5, 1.08), (6, 0.54), (8, 0.14)]
    {
        let error = 100.0 * relative_error(schema);
        assert!((error - percent).abs() < 0.005, "schema {schema}: {error} %");
    }
}

#[test]
fn the_spill_range_is_cut_where_it_says() {
    for schema in 0..=SCHEMA_MAX {
        let count = spill_bucket_count(schema);
        assert_eq!(count, 64 << schema);
        assert_eq!(spill_slot(SPILL_LOW, schema), SpillSlot::Underflow);
        assert_eq!(spill_slot(f64::from_bits(1), schema), SpillSlot::Underflow);
        assert_eq!(spill_slot(step_up(SPILL_LOW), schema), SpillSlot::Bucket(0));
        assert_eq!(spill_slot(SPILL_HIGH, schema), SpillSlot::Bucket(count - 1));
        assert_eq!(spill_slot(step_up(SPILL_HIGH), schema), SpillSlot::Overflow);
        assert_eq!(spill_slot(f64::INFINITY, schema), SpillSlot::Overflow);
        assert_eq!(spill_slot(f64::NAN, schema), SpillSlot::Overflow);
        assert_eq!(spill_slot(-0.0, schema), SpillSlot::Zero);
        assert_eq!(spill_slot(-f64::from_bits(1), schema), SpillSlot::Negative);
        assert_eq!(spill_slot(f64::NEG_INFINITY, schema), SpillSlot::Negative);
        assert_eq!(spill_bucket_index(u32::MAX, schema), 34 << schema);
        for position in 0..count {
            let bound = upper_bound(spill_bucket_index(position, schema), schema);
            assert_eq!(spill_slot(bound, schema), SpillSlot::Bucket(position));
        }
    }
}

fn positive() -> impl Strategy<Value = f64> {
    (1..f64::INFINITY.to_bits()).prop_map(f64::from_bits)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_value_agrees_with_the_definition(value in positive(), schema in 0..=SCHEMA_MAX) {
        let i = index(value, schema);
        prop_assert_eq!(i, reference_index(value, schema));
        prop_assert!(upper_bound(i - 1, schema) < value && value <= upper_bound(i, schema));
    }

    #[test]
    fn a_lower_schema_merges_buckets(value in positive(), schema in 0..=SCHEMA_MAX, by in 0..9_u8) {
        let by = by.min(schema);
        prop_assert_eq!(downscale(index(value, schema), by), index(value, schema - by));
    }

    #[test]
    fn downscaling_is_a_ceiling(i: i32, by: u8) {
        let divisor = 1_i64 << by.min(40);
        let expected = i32::try_from((i64::from(i) + divisor - 1).div_euclid(divisor)).unwrap();
        prop_assert!(downscale(i, by) == expected || i == i32::MIN);
    }

    #[test]
    fn an_estimate_is_as_near_as_promised(
        value in prop_oneof![1e-300..1e300, 1e-9..1e9, 0.1..10.0],
        schema in 0..=SCHEMA_MAX,
    ) {
        let i = index(value, schema);
        let estimate = estimate(i, schema);
        prop_assert!(upper_bound(i - 1, schema) < estimate && estimate <= upper_bound(i, schema));
        prop_assert!((estimate - value).abs() / value <= relative_error(schema) * (1.0 + 1e-12));
    }

    #[test]
    fn a_spill_bucket_is_the_same_bucket(value in 1e-10..1e11, schema in 0..=SCHEMA_MAX) {
        if let SpillSlot::Bucket(position) = spill_slot(value, schema) {
            prop_assert!(position < spill_bucket_count(schema));
            prop_assert_eq!(spill_bucket_index(position, schema), index(value, schema));
        } else {
            prop_assert!(value <= SPILL_LOW || value > SPILL_HIGH);
        }
    }

    #[test]
    fn no_bits_make_a_panic(bits: u64, i: i32, position: u32, schema: u8, by: u8) {
        let value = f64::from_bits(bits);
        let _ = (index(value, schema), spill_slot(value, schema), downscale(i, by));
        let _ = (upper_bound(i, schema), estimate(i, schema));
        let _ = (spill_bucket_index(position, schema), relative_error(schema));
    }

    #[test]
    fn the_classic_bucket_is_the_first_that_holds_the_value(
        list in prop::collection::vec(-100_i16..100, 0..128),
        value in prop_oneof![(-101_i16..101).prop_map(f64::from), any::<f64>(), Just(f64::NAN)],
    ) {
        let mut bounds: Vec<f64> = list.into_iter().map(f64::from).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let expected = bounds.iter().position(|bound| *bound >= value).unwrap_or(bounds.len());
        prop_assert_eq!(classic_index(&bounds, value), expected);
    }
}
