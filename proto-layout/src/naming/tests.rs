//! The rules, case by case, and against the patterns they are documented with.

use proptest::prelude::*;

use super::*;

fn is_too_long(result: Result<(), NameError>) -> bool {
    matches!(result, Err(NameError::TooLong { .. }))
}

#[test]
fn metric_names_follow_the_classic_character_set() {
    for good in ["a", "_", ":", "a1", "http_requests_total", "job:rate:5m", "uptime", "upper"] {
        assert_eq!(metric_name(good), Ok(()), "{good}");
    }
    let field = NameField::MetricName;
    assert_eq!(metric_name(""), Err(NameError::Empty { field }));
    for (bad, position_bytes, found) in
        [("1a", 0, '1'), ("a-b", 1, '-'), ("a b", 1, ' '), ("aé", 1, 'é'), ("a\0", 1, '\0')]
    {
        let expected = Err(NameError::Character { field, position_bytes, found });
        assert_eq!(metric_name(bad), expected, "{bad}");
    }
}

#[test]
fn metric_names_of_others_are_reserved() {
    let field = NameField::MetricName;
    assert_eq!(metric_name("up"), Err(NameError::ReservedName { field, name: "up" }));
    for (name, prefix) in [
        ("__name__", "__"),
        ("ringmeter_build_info", "ringmeter_"),
        ("scrape_duration_seconds", "scrape_"),
    ] {
        assert_eq!(metric_name(name), Err(NameError::ReservedPrefix { field, prefix }));
        assert_eq!(metric_name_syntax(name), Ok(()));
    }
}

#[test]
fn texts_are_taken_up_to_their_limit() {
    type Check = fn(&str) -> Result<(), NameError>;
    let cases: [(Check, usize); 6] = [
        (metric_name, METRIC_NAME_LENGTH_MAX_BYTES),
        (label_name, LABEL_NAME_LENGTH_MAX_BYTES),
        (|value| label_value(value, LABEL_VALUE_LENGTH_MAX_BYTES), LABEL_VALUE_LENGTH_MAX_BYTES),
        (help, HELP_LENGTH_MAX_BYTES),
        (unit, UNIT_LENGTH_MAX_BYTES),
        (service_name, SERVICE_NAME_LENGTH_MAX_BYTES),
    ];
    for (check, limit_bytes) in cases {
        assert_eq!(check(&"a".repeat(limit_bytes)), Ok(()), "{limit_bytes}");
        assert!(is_too_long(check(&"a".repeat(limit_bytes + 1))), "{limit_bytes}");
    }
}

#[test]
fn label_names_depend_on_the_kind() {
    for kind in Kind::ALL {
        assert_eq!(label_name_for(kind, "method"), Ok(()));
        assert!(label_name_for(kind, OVERFLOW_LABEL).is_err());
        assert!(label_name_for(kind, "__x").is_err());
        assert!(label_name_for(kind, "a:b").is_err());
        for name in ["le", "quantile"] {
            assert_eq!(label_name_for(kind, name).is_err(), kind.is_distribution(), "{kind}");
        }
    }
}

#[test]
fn label_lists_are_bounded_and_without_duplicates() {
    let names: Vec<String> = (0..=LABELS_MAX).map(|i| format!("l{i}")).collect();
    assert_eq!(label_names(Kind::Gauge, &names[..LABELS_MAX]), Ok(()));
    let expected = NameError::TooManyLabels { count: LABELS_MAX + 1, limit: LABELS_MAX };
    assert_eq!(label_names(Kind::Gauge, &names), Err(expected));
    assert_eq!(label_names::<&str>(Kind::Gauge, &[]), Ok(()));
    assert!(label_names(Kind::Summary, &["a", "quantile"]).is_err());
}

#[test]
fn free_texts_may_hold_anything() {
    for value in ["", "\0", "\n\"\\", "ключ", "\u{10ffff}"] {
        assert_eq!(label_value(value, LABEL_VALUE_LENGTH_MAX_BYTES), Ok(()));
        assert_eq!(help(value), Ok(()));
    }
    assert_eq!(unit(""), Ok(()));
    assert!(unit("per second").is_err());
}

#[test]
fn service_names_are_safe_in_a_path() {
    for good in ["a", "checkout-v2.eu", "0", "_x", "a..b"] {
        assert_eq!(service_name(good), Ok(()), "{good}");
    }
    for bad in ["", ".", "..", "-rf", ".hidden", "a/b", "a\\b", "a b", "a\0b", "ü"] {
        assert!(service_name(bad).is_err(), "{bad}");
    }
}

#[test]
fn bounds_are_finite_and_strictly_increasing() {
    assert_eq!(bounds(&[]), Ok(()));
    assert_eq!(bounds(&[-1.0, -0.0, f64::MIN_POSITIVE, f64::MAX]), Ok(()));
    assert_eq!(bounds(&[f64::MIN, f64::MAX]), Ok(()));
    for bound in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let result = bounds(&[1.0, bound]);
        assert!(matches!(result, Err(NameError::BoundNotFinite { position: 1, .. })));
    }
    for (previous, bound) in [(1.0, 1.0), (1.0, 0.5), (-0.0, 0.0)] {
        let expected = NameError::BoundsNotIncreasing { position: 1, previous, bound };
        assert_eq!(bounds(&[previous, bound]), Err(expected));
    }
    let many: Vec<f64> = (0..=128_u8).map(f64::from).collect();
    assert_eq!(bounds(&many[..BOUNDS_MAX]), Ok(()));
    let expected = NameError::TooManyBounds { count: 129, limit: BOUNDS_MAX };
    assert_eq!(bounds(&many), Err(expected));
}

#[test]
fn objectives_are_increasing_parts_of_one() {
    assert_eq!(objectives(&[]), Ok(()));
    assert_eq!(objectives(&[0.0, 0.5, 1.0]), Ok(()));
    for objective in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let result = objectives(&[objective]);
        assert!(matches!(result, Err(NameError::ObjectiveOutOfRange { position: 0, .. })));
    }
    let expected =
        NameError::ObjectivesNotIncreasing { position: 1, previous: 0.9, objective: 0.5 };
    assert_eq!(objectives(&[0.9, 0.5]), Err(expected));
    let many: Vec<f64> = (0..=16_u8).map(|i| f64::from(i) / 16.0).collect();
    assert_eq!(objectives(&many[..OBJECTIVES_MAX]), Ok(()));
    assert!(matches!(objectives(&many), Err(NameError::TooManyObjectives { count: 17, .. })));
}

proptest! {
    #[test]
    fn names_of_the_documented_form_are_taken(
        metric in "[a-rt-zA-Z:][a-zA-Z0-9_:]{3,60}",
        label in "[a-zA-Z][a-zA-Z0-9_]{0,60}",
        service in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}",
    ) {
        prop_assert_eq!(metric_name_syntax(&metric), Ok(()));
        prop_assert_eq!(metric_name(&metric).is_err(), metric.starts_with("ringmeter_"));
        prop_assert_eq!(label_name(&label).is_err(), label == OVERFLOW_LABEL);
        prop_assert_eq!(service_name(&service), Ok(()));
    }

    #[test]
    fn no_text_makes_a_check_panic(text in ".{0,80}") {
        for result in [
            metric_name(&text), label_name(&text), help(&text), unit(&text), service_name(&text),
        ] {
            if let Err(error) = result {
                prop_assert!(!error.to_string().is_empty());
            }
        }
        prop_assert!(SegmentName::parse(&text).is_err() || text.len() >= 38);
    }

    #[test]
    fn an_accepted_list_of_bounds_is_sorted(list in prop::collection::vec(any::<f64>(), 0..8)) {
        let sorted = list.windows(2).all(|pair| pair[0] < pair[1]);
        let finite = list.iter().all(|bound| bound.is_finite());
        prop_assert_eq!(bounds(&list).is_ok(), sorted && finite);
    }
}
