//! Series and metrics that leave when nobody has defined them for as long as is retained.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ringmeter_agent::limits::Limits;
use ringmeter_layout::naming::Kind;

use crate::scratch::Scratch;
use crate::stage::{Stage, find};
use crate::writer::{Writer, family};

const HOUR_MS: u64 = 3_600_000;

fn limits() -> Limits {
    Limits { retention_ns: Some(HOUR_MS * 1_000_000), ..Limits::default() }
}

/// Everything undefined leaves: first the agent notes since when, then the time passes.
fn expire(stage: &mut Stage) -> String {
    stage.scrape();
    stage.later(HOUR_MS);
    stage.scrape()
}

#[test]
fn a_series_leaves_after_its_time_and_starts_at_zero_when_it_comes_back() {
    let scratch = Scratch::new();
    let mut stage = Stage::with(&scratch, limits());
    let mut app = Writer::create(scratch.path(), "shop", 1);
    let counters = app.family(family(Kind::Counter, "n_total", &["k"]));
    let series = app.series(counters, &["a \"quoted\"\n\\ value"]);
    app.add(series, 5);
    let text = "n_total{k=\"a \\\"quoted\\\"\\n\\\\ value\"}";
    assert_eq!(stage.value(text), Some(5.0));
    stage.later(2 * HOUR_MS);
    assert_eq!(stage.value(text), Some(5.0), "silence is no reason");
    drop(app.die());
    stage.scrape();
    stage.later(HOUR_MS - 10_000);
    assert_eq!(stage.value(text), Some(5.0), "not yet");
    stage.later(HOUR_MS);
    let after = stage.scrape();
    assert_eq!(find(&after, text), None, "{after}");
    assert_eq!(find(&after, "ringmeter_series"), Some(0.0));
    assert_eq!(find(&after, "ringmeter_metrics"), Some(0.0));
    assert_eq!(find(&after, "ringmeter_series_expired_total"), Some(1.0));
    assert_eq!(find(&after, "ringmeter_metrics_expired_total"), Some(1.0));
    let used = find(&after, "ringmeter_memory_bytes");
    assert_eq!(used, Some(0.0), "all of the memory is given back");
    let mut app = Writer::create(scratch.path(), "shop", 2);
    let counters = app.family(family(Kind::Counter, "n_total", &["k"]));
    let series = app.series(counters, &["a \"quoted\"\n\\ value"]);
    app.add(series, 2);
    assert_eq!(stage.value(text), Some(2.0), "anew");
    drop(stage);
    let mut stage = Stage::with(&scratch, limits());
    assert_eq!(stage.value(text), Some(2.0), "and after a restart");
}

#[test]
fn what_left_makes_room_for_others_again_and_again() {
    let scratch = Scratch::new();
    let limits = Limits { families_max: 4, series_max: 12, variants_max: 2, ..limits() };
    let mut stage = Stage::with(&scratch, limits);
    for round in 0..20_u8 {
        let mut app = Writer::create(scratch.path(), "shop", round + 1);
        let name = format!("n{round}_total");
        let counters = app.family(family(Kind::Counter, &name, &["k"]));
        let kind = if round % 2 == 0 { Kind::Histogram } else { Kind::Summary };
        // A variant of the same name in each round.
        let values = app.family(family(kind, "values", if round % 3 == 0 { &[] } else { &["k"] }));
        let series = app.series(counters, &["v"]);
        app.add(series, u64::from(round) + 1);
        let labels: &[&str] = if round % 3 == 0 { &[] } else { &["v"] };
        let series = app.series(values, labels);
        app.observe(series, 1.5);
        let text = stage.scrape();
        let total = find(&text, &format!("{name}{{k=\"v\"}}"));
        assert_eq!(total, Some(f64::from(round) + 1.0), "round {round}: {text}");
        let count = if labels.is_empty() { "values_count" } else { "values_count{k=\"v\"}" };
        assert_eq!(find(&text, count), Some(1.0), "round {round}: {text}");
        drop(app.die());
        stage.scrape();
        expire(&mut stage);
    }
    let text = stage.scrape();
    assert_eq!(find(&text, "ringmeter_series"), Some(0.0), "{text}");
    assert_eq!(find(&text, "ringmeter_memory_bytes"), Some(0.0), "{text}");
}

/// All in one pass: the last observation is read, its process buried, and its series let go. (No
/// setting is as short as that; a pass can be long.)
#[test]
fn what_was_observed_last_does_not_stay_behind_where_the_series_was() {
    let scratch = Scratch::new();
    let limits = Limits { retention_ns: Some(0), ..Limits::default() };
    for round in 1..=3 {
        let mut app = Writer::create(scratch.path(), "shop", round);
        let histograms = app.family(family(Kind::Histogram, "h", &["k"]));
        let series = app.series(histograms, &["v"]);
        app.observe(series, 0.5);
        let mut stage = Stage::with(&scratch, limits.clone());
        if round == 2 {
            assert_eq!(stage.value("h_count{k=\"v\"}"), Some(1.0), "and none from before");
            app.observe(series, 0.5);
        }
        drop(app.die());
        let text = stage.scrape();
        assert_eq!(find(&text, "ringmeter_series"), Some(0.0), "round {round}: {text}");
        assert_eq!(find(&text, "ringmeter_memory_bytes"), Some(0.0), "round {round}: {text}");
        drop(stage);
        let text = Stage::with(&scratch, limits.clone()).scrape();
        let corrupt = "ringmeter_ledger_set_aside_total{reason=\"corrupt\"}";
        assert_eq!(find(&text, corrupt), Some(0.0), "round {round}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A process with these series comes.
    Begin(BTreeSet<(u8, u8)>),
    /// Some process adds to some of its series.
    Add(u8, u8, u64),
    /// Some process ends.
    End(u8),
    /// All that nobody defines leaves.
    Expire,
    /// The agent is killed and started again.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let all = || prop::collection::btree_set((0..3u8, 0..5u8), 1..6);
    prop_oneof![
        3 => all().prop_map(Step::Begin),
        6 => (any::<u8>(), any::<u8>(), 1..1000u64).prop_map(|(p, s, n)| Step::Add(p, s, n)),
        3 => any::<u8>().prop_map(Step::End),
        2 => Just(Step::Expire),
        1 => Just(Step::Restart),
    ]
}

/// A metric of each kind that has totals, and a series of it by its number.
const FAMILIES: [(&str, Kind); 3] =
    [("c_total", Kind::Counter), ("h", Kind::Histogram), ("s", Kind::Summary)];

struct Process {
    app: Writer,
    series: BTreeMap<(u8, u8), u32>,
}

impl Process {
    fn new(scratch: &Scratch, id: u8, wanted: &BTreeSet<(u8, u8)>) -> Self {
        let mut app = Writer::create(scratch.path(), "shop", id);
        let mut families = BTreeMap::new();
        let mut series = BTreeMap::new();
        for (kind, label) in wanted {
            let (name, own) = FAMILIES[usize::from(*kind)];
            let define = |app: &mut Writer| {
                let mut definition = family(own, name, &["k"]);
                if own == Kind::Histogram {
                    definition.bounds = vec![1.0];
                }
                app.family(definition)
            };
            let family = *families.entry(*kind).or_insert_with(|| define(&mut app));
            let id = app.series(family, &[&label.to_string()]);
            series.insert((*kind, *label), id);
        }
        Self { app, series }
    }
}

/// What is shown of each series: the counter, or the number of observations.
fn shown(text: &str) -> BTreeMap<(u8, u8), u64> {
    let mut shown = BTreeMap::new();
    for kind in 0..3u8 {
        let name = ["c_total", "h_count", "s_count"][usize::from(kind)];
        for label in 0..5u8 {
            let value = find(text, &format!("{name}{{k=\"{label}\"}}"));
            let value = value.map(|value| format!("{value}").parse().expect("a count"));
            shown.extend(value.map(|value| ((kind, label), value)));
        }
    }
    shown
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Against a model that keeps a total for each series and drops it when nobody defines it.
    #[test]
    fn totals_are_exact_whatever_comes_leaves_expires_and_restarts(
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let scratch = Scratch::new();
        let mut stage = Stage::with(&scratch, limits());
        let mut processes: Vec<Process> = Vec::new();
        let mut model: BTreeMap<(u8, u8), u64> = BTreeMap::new();
        let mut id = 0;
        for step in steps {
            match step {
                Step::Begin(wanted) => {
                    id += 1;
                    wanted.iter().for_each(|series| {
                        model.entry(*series).or_default();
                    });
                    processes.push(Process::new(&scratch, id, &wanted));
                }
                Step::Add(process, series, value) if !processes.is_empty() => {
                    let count = processes.len();
                    let own = &mut processes[usize::from(process) % count];
                    let at = usize::from(series) % own.series.len();
                    let (key, series) = own.series.iter().nth(at).map(|(k, s)| (*k, *s)).unwrap();
                    if key.0 == 0 {
                        own.app.add(series, value);
                        *model.get_mut(&key).unwrap() += value;
                    } else {
                        own.app.observe(series, value as f64);
                        *model.get_mut(&key).unwrap() += 1;
                    }
                }
                Step::End(process) if !processes.is_empty() => {
                    let at = usize::from(process) % processes.len();
                    drop(processes.remove(at).app.die());
                }
                Step::Expire => {
                    stage.scrape();
                    expire(&mut stage);
                    let held: BTreeSet<(u8, u8)> =
                        processes.iter().flat_map(|p| p.series.keys().copied()).collect();
                    model.retain(|series, _| held.contains(series));
                }
                Step::Restart => {
                    drop(stage);
                    stage = Stage::with(&scratch, limits());
                }
                Step::Add(..) | Step::End(_) => {}
            }
            let text = stage.scrape();
            prop_assert_eq!(shown(&text), model.clone(), "{}", text);
            let corrupt = "ringmeter_ledger_set_aside_total{reason=\"corrupt\"}";
            prop_assert_eq!(find(&text, corrupt), Some(0.0));
        }
    }
}
