//! What users of Prometheus' client libraries expect of metrics, read back without an agent.
#![cfg(feature = "testing")]

use std::panic::{UnwindSafe, catch_unwind};

use ringmeter::{
    Aspect, Counter, GaugeRule, Kind, Options, Producer, RegisterError, Status, testing,
};

fn producer() -> Producer {
    testing::producer()
}

#[test]
fn counters_add_whole_and_broken_numbers_and_refuse_what_would_take_back() {
    let counter = producer().counter(("t_total", "T.")).expect("register");
    assert_eq!(testing::value(&counter), 0.0, "exists at zero");
    counter.inc();
    counter.inc_by(41);
    counter.inc_by_f64(0.5);
    for bad in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        counter.inc_by_f64(bad);
    }
    counter.inc_by_f64(-0.0);
    assert_eq!(testing::value(&counter), 42.5);
}

#[test]
fn gauges_go_up_and_down_and_track_what_is_in_progress() {
    let gauge = producer().gauge(("t", "T.")).expect("register");
    gauge.set(10.0);
    gauge.inc();
    gauge.dec();
    gauge.add(2.5);
    gauge.sub(0.5);
    assert_eq!(testing::value(&gauge), 12.0);
    {
        let _first = gauge.track_in_progress();
        let _second = gauge.track_in_progress();
        assert_eq!(testing::value(&gauge), 14.0);
    }
    assert_eq!(testing::value(&gauge), 12.0);
    gauge.set_to_current_time();
    assert!(testing::value(&gauge) > 1.7e9);
}

#[test]
fn histograms_count_in_exact_buckets_upper_bounds_included() {
    let options = Options::new("t", "T.").buckets(&[1.0, 2.0, f64::INFINITY]);
    let histogram = producer().histogram(options).expect("+Inf may be given, and is implied");
    for value in [0.5, 1.0, 1.5, 2.0, 2.5, -3.0, 0.0] {
        histogram.observe(value);
    }
    histogram.observe(f64::INFINITY);
    histogram.observe(f64::NAN);
    assert_eq!(testing::bucket(&histogram, 1.0), 4);
    assert_eq!(testing::bucket(&histogram, 2.0), 6);
    assert_eq!(testing::bucket(&histogram, f64::INFINITY), 8);
    assert_eq!(testing::count(&histogram), 8, "not-a-number is refused");
    assert_eq!(testing::sum(&histogram), 4.5, "infinity is counted, not summed");
}

#[test]
fn quantiles_are_near_the_value_of_their_rank() {
    let summary = producer().summary(("t", "T.")).expect("register");
    assert!(testing::quantile(&summary, 0.5).is_nan());
    for value in 1..=1000_u32 {
        summary.observe(f64::from(value));
    }
    for (quantile, exact) in [(0.0, 1.0), (0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
        let estimate = testing::quantile(&summary, quantile);
        assert!((estimate / exact - 1.0).abs() <= 0.011, "{quantile}: {estimate}");
    }
}

#[test]
fn timers_observe_seconds_once_or_not_at_all() {
    let histogram = producer().histogram(("t_seconds", "T.")).expect("register");
    drop(histogram.start_timer());
    assert!(histogram.start_timer().observe_duration().as_secs() < 1);
    let _ = histogram.start_timer().discard();
    assert_eq!(histogram.time(|| 7), 7);
    histogram.observe_duration(std::time::Duration::from_millis(250));
    assert_eq!(testing::count(&histogram), 4);
    assert!((0.25..0.3).contains(&testing::sum(&histogram)));
}

#[test]
fn families_give_the_same_series_for_the_same_values() {
    let producer = producer();
    let family = producer.counter_vec(("t_total", "T."), &["route", "code"]).expect("register");
    for _ in 0..3 {
        family.with(&["/", "200"]).inc();
    }
    family.with(&["/", "500"]).inc();
    let kept = family.with(&["/", "200"]);
    kept.inc();
    assert_eq!(testing::value(&family.with(&["/", "200"])), 4.0);
    assert_eq!(testing::value(&family.with(&["/", "500"])), 1.0);
    assert!(family.remove(&["/", "200"]));
    assert!(!family.remove(&["/", "200"]), "it is gone already");
    assert!(!family.remove(&["/", "404"]), "it never was");
    kept.inc();
    assert_eq!(testing::value(&family.with(&["/", "200"])), 5.0, "back, with its total");
    let wrong = family.try_with(&["/"]);
    assert!(matches!(wrong, Err(RegisterError::LabelCount { expected: 2, found: 1, .. })));
}

#[test]
fn metrics_whose_samples_would_have_one_name_are_refused_whichever_comes_first() {
    let producer = producer();
    producer.histogram(("h_seconds", "H.")).expect("register");
    for name in ["h_seconds_count", "h_seconds_sum", "h_seconds_bucket"] {
        let expected = RegisterError::SampleConflict {
            name: name.to_owned(),
            kind: Kind::Counter,
            registered: "h_seconds".to_owned(),
            registered_kind: Kind::Histogram,
            sample: name.to_owned(),
        };
        assert_eq!(producer.counter((name, "C.")).err(), Some(expected.clone()));
        let text = expected.to_string();
        assert!(text.contains(name) && text.contains("\"h_seconds\"") && text.contains("rename"));
    }
    producer.counter_vec(("s_bytes_sum", "C."), &["l"]).expect("register");
    let refused = producer.summary(("s_bytes", "S."));
    assert!(matches!(
        refused,
        Err(RegisterError::SampleConflict { registered_kind: Kind::Counter, .. })
    ));
    // Nothing of these is exposed twice, in any format.
    producer.gauge(("h_seconds_created", "G.")).expect("a gauge");
    producer.summary(("t_bytes", "S.")).expect("a summary has no buckets");
    producer.gauge(("t_bytes_bucket", "G.")).expect("a gauge");
    producer.gauge(("alloc_bytes", "G.")).expect("a gauge");
    producer.counter(("alloc_bytes_total", "C.")).expect("as Go's go_memstats_alloc_bytes");
}

#[test]
fn constant_and_variable_labels_go_together() {
    let producer = producer();
    let options = |region: &str| Options::new("t_total", "T.").label("region", region);
    let eu = producer.counter_vec(options("eu"), &["code"]).expect("register");
    let us = producer.counter_vec(options("us"), &["code"]).expect("the same metric");
    eu.with(&["200"]).inc();
    us.with(&["200"]).inc_by(2);
    eu.with(&["200"]).inc();
    assert_eq!(testing::value(&eu.with(&["200"])), 2.0);
    assert_eq!(testing::value(&us.with(&["200"])), 2.0);
}

#[test]
fn registering_twice_gives_the_same_and_conflicts_name_both_sides() {
    let producer = producer();
    let first = producer.counter(("t_total", "T.")).expect("register");
    let second = producer.counter(("t_total", "T.")).expect("the same");
    first.inc();
    second.inc();
    assert_eq!(testing::value(&first), 2.0);
    let error = producer.gauge(("t_total", "T.")).expect_err("another kind");
    let expected = RegisterError::Conflict {
        name: "t_total".to_owned(),
        registered: Aspect::Kind(Kind::Counter),
        requested: Aspect::Kind(Kind::Gauge),
    };
    assert_eq!(error, expected);
    assert!(error.to_string().contains("a counter") && error.to_string().contains("a gauge"));
    let help = producer.counter(("t_total", "Other.")).expect_err("another help").to_string();
    assert!(help.contains("\"T.\"") && help.contains("\"Other.\""), "{help}");
    let labels = producer.counter_vec(("t_total", "T."), &["a"]).expect_err("labels").to_string();
    assert!(labels.contains("[]") && labels.contains("[\"a\"]"), "{labels}");
    producer.histogram(("h", "H.")).expect("register");
    let buckets = producer.histogram(Options::new("h", "H.").buckets(&[1.0]));
    assert!(matches!(buckets, Err(RegisterError::Conflict { .. })));
    let rule = Options::new("g", "G.").gauge_rule(GaugeRule::Max);
    producer.gauge(("g", "G.")).expect("register");
    assert!(matches!(producer.gauge(rule), Err(RegisterError::Conflict { .. })));
}

#[test]
fn names_follow_the_rules_of_prometheus() {
    let producer = producer();
    for bad in ["", "1t", "t-t", "t t", "ringmeter_t", "__t", "up", "scrape_t", "t\u{e9}"] {
        let refused = producer.counter((bad, "T."));
        assert!(matches!(refused, Err(RegisterError::Name { .. })), "{bad:?}");
    }
    for bad in ["__a", "1a", "le", "a-b", "ringmeter_overflow", ""] {
        let refused = producer.histogram_vec(("t", "T."), &[bad]);
        assert!(matches!(refused, Err(RegisterError::Name { .. })), "{bad:?}");
    }
    let unordered = producer.histogram(Options::new("t", "T.").buckets(&[2.0, 1.0]));
    assert!(matches!(unordered, Err(RegisterError::Name { .. })));
    let long = "x".repeat(1025);
    let family = producer.counter_vec(("f_total", "F."), &["l"]).expect("register");
    assert!(matches!(family.try_with(&[&long]), Err(RegisterError::Name { .. })));
}

#[test]
fn a_counter_keeps_its_name_and_the_advice_can_be_read() {
    let producer = producer();
    producer.counter(("t", "T.")).expect("register");
    producer.counter(("fine_total", "Fine.")).expect("register");
    let warnings: Vec<String> = producer.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["t: counter metrics should have \"_total\" suffix"]);
}

#[test]
fn beyond_the_series_limit_values_go_to_the_overflow_series() {
    let producer = testing::builder().series_max(4).build();
    let family = producer.counter_vec(("t_total", "T."), &["l"]).expect("register");
    // The overflow series is one of the four.
    for number in 0..10_u32 {
        family.with(&[&number.to_string()]).inc();
    }
    assert_eq!(testing::value(&family.with(&["0"])), 1.0);
    assert_eq!(testing::value(&family.with(&["another"])), 7.0);
    assert!(matches!(family.try_with(&["third"]), Err(RegisterError::NoSpace { .. })));
}

#[test]
fn a_static_that_cannot_be_registered_harms_nobody() {
    static FIRST: Counter = Counter::new("t_static_total", "One help.");
    static SECOND: Counter = Counter::new("t_static_total", "Another help.");
    testing::install();
    FIRST.inc();
    for _ in 0..1000 {
        SECOND.inc();
    }
    assert_eq!(testing::value(&FIRST), 1.0);
    let told = panic_of(|| testing::value(&SECOND));
    assert!(told.contains("One help.") && told.contains("Another help."), "{told}");
    assert!(matches!(SECOND.register(), Err(RegisterError::Conflict { .. })));
    let count = ringmeter::counter!("t_macro_total", "T.", "region" => "eu");
    count.inc();
    assert_eq!(testing::value(count), 1.0);
    assert!(matches!(Producer::global().status(), Status::Private { .. }));
}

/// What a test that reads wrongly is told.
#[expect(clippy::expect_used, reason = "a helper of tests")]
fn panic_of<T>(read: impl FnOnce() -> T + UnwindSafe) -> String {
    let payload = catch_unwind(read).err().expect("a panic");
    *payload.downcast::<String>().expect("a text")
}

#[test]
fn a_test_that_reads_what_was_not_recorded_is_told() {
    let producer = producer();
    let family = producer.counter_vec(("t_total", "T."), &["route", "code"]).expect("register");
    family.with(&["only one"]).inc();
    family.inc(&["three", "are", "too many"]);
    let told = panic_of(|| testing::value(&family.with(&["only one"])));
    assert!(told.contains("\"t_total\" has 2 label names and was given 1"), "{told}");
    assert_eq!(testing::value(&family.with(&["/", "200"])), 0.0, "others can be read");
    static BAD: ringmeter::CounterVec = ringmeter::CounterVec::new("bad-name", "B.", &["l"]);
    static UNUSED: Counter = Counter::new("bad name", "B.");
    testing::install();
    BAD.with(&["x"]).inc();
    let told = panic_of(|| testing::value(&BAD.with(&["x"])));
    assert!(told.contains("could not be registered"), "{told}");
    assert_eq!(testing::value(&UNUSED), 0.0, "nobody has used it");
    UNUSED.inc();
    let told = panic_of(|| testing::value(&UNUSED));
    assert!(told.contains("\"bad name\""), "{told}");
}

#[test]
fn what_register_refuses_is_told_in_whole_by_expect_and_by_the_question_mark() {
    static FIRST: Counter = Counter::new("bad name 1", "B.");
    static SECOND: Counter = Counter::new("bad name 2", "B.");
    static GOOD: Counter = Counter::new("t_good_total", "G.");
    testing::install();
    let asked = || -> Result<(), Box<dyn std::error::Error>> {
        Ok(ringmeter::register!(FIRST, GOOD, SECOND)?)
    };
    let text = asked().expect_err("two are wrong").to_string();
    assert!(text.contains("\"bad name 1\"") && text.contains("\"bad name 2\""), "{text}");
    let errors = ringmeter::register!(FIRST, GOOD, SECOND).expect_err("two are wrong");
    assert_eq!(format!("{errors:?}"), text);
    assert_eq!(errors.iter().count(), 2);
    assert!(errors.into_iter().all(|error| matches!(error, RegisterError::Name { .. })));
    assert_eq!(testing::value(&GOOD), 0.0, "registered all the same");
}

#[test]
fn tests_in_parallel_do_not_meet() {
    let both: Vec<Counter> =
        (0..2).map(|_| producer().counter(("t_total", "T.")).expect("register")).collect();
    both[0].inc();
    assert_eq!(testing::value(&both[0]), 1.0);
    assert_eq!(testing::value(&both[1]), 0.0);
}

#[test]
fn a_handle_for_signal_handlers_counts_like_the_others() {
    let producer = producer();
    let counter = producer.counter(("t_total", "T.")).expect("register");
    let gauge = producer.gauge(("g", "G.")).expect("register");
    counter.signal_safe().inc();
    counter.inc();
    gauge.signal_safe().set(2.0);
    gauge.signal_safe().add(1.0);
    assert_eq!(testing::value(&counter), 2.0);
    assert_eq!(testing::value(&gauge), 3.0);
}

#[test]
fn a_lane_handle_counts_metrics_of_any_producer() {
    let (own, other) = (producer(), producer());
    let counter = own.counter(("t_total", "T.")).expect("register");
    let stranger = other.counter(("t_total", "T.")).expect("register");
    let lane = own.lane();
    lane.inc(&counter);
    lane.inc_by(&counter, 2);
    lane.inc(&stranger);
    let histogram = own.histogram(("h", "H.")).expect("register");
    lane.observe(&histogram, 0.5);
    assert_eq!(testing::value(&counter), 3.0);
    assert_eq!(testing::value(&stranger), 1.0);
    assert_eq!(testing::count(&histogram), 1);
}

#[test]
fn many_threads_lose_nothing() {
    let counter = producer().counter(("t_total", "T.")).expect("register");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..10_000).for_each(|_| counter.inc()));
        }
    });
    assert_eq!(testing::value(&counter), 80_000.0);
}

#[test]
fn guards_of_a_lookup_outlive_the_lookup() {
    let producer = producer();
    let latency = producer.histogram_vec(("t_seconds", "T."), &["route"]).expect("register");
    let working = producer.gauge_vec(("working", "W."), &["route"]).expect("register");
    {
        let _timer = latency.with(&["/"]).start_timer();
        let _guard = working.with(&["/"]).track_in_progress();
        assert_eq!(testing::value(&working.with(&["/"])), 1.0);
    }
    assert_eq!(testing::count(&latency.with(&["/"])), 1);
    assert_eq!(testing::value(&working.with(&["/"])), 0.0);
}

#[test]
fn a_family_that_began_with_constant_labels_has_its_overflow_series_too() {
    let producer = testing::builder().series_max(2).build();
    let one = producer.counter(Options::new("t_total", "T.").label("region", "eu"));
    one.expect("register").inc();
    let family = producer.counter_vec(("t_total", "T."), &["region"]).expect("the same metric");
    family.with(&["us"]).inc();
    family.with(&["ap"]).inc_by(2);
    assert_eq!(testing::value(&family.with(&["sa"])), 3.0, "the overflow series");
    assert_eq!(testing::value(&family.with(&["eu"])), 1.0);
}

#[test]
fn all_problems_of_the_settings_are_told_at_once() {
    let settings = Producer::builder().lanes_max(0).lane_capacity_records(100).service("a b");
    let error = settings.try_build().expect_err("three problems").to_string();
    for name in ["lanes_max", "lane_capacity_records", "a b"] {
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_definition_that_breaks_a_rule_is_not_a_matter_of_room() {
    let options = Options::new("s", "S.").objectives(&[0.5]).age_buckets(0);
    let refused = producer().summary(options);
    assert!(matches!(refused, Err(RegisterError::Definition { .. })), "{refused:?}");
}
