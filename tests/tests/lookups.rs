//! Looking series up by label values: whatever the cache of a thread holds, each call counts for
//! its own values.

use std::collections::BTreeMap;

use ringmeter::{CounterVec, HistogramVec, Options, Producer};
use ringmeter_tests::directory::Directory;
use ringmeter_tests::drained::Drained;
use ringmeter_tests::random::Random;

/// More than the cache has entries, so that they displace one another.
const VALUES: usize = 40;
const CALLS: usize = 60_000;
const NAMES: [&str; 3] = ["a", "b", "c"];

/// Values of all lengths that a word holds, and of some that it does not; many begin alike.
fn values(random: &mut Random) -> Vec<String> {
    let mut values: Vec<String> = (0..VALUES)
        .map(|_| {
            let length = 1 + random.below(20);
            (0..length).map(|_| ["x", "y", "z"][random.below(3)]).collect()
        })
        .collect();
    values.sort();
    values.dedup();
    values
}

/// What a thread counted: by the series as it is exposed, whether it is shown, and its total.
type Model = BTreeMap<String, (bool, f64)>;

fn exposed(name: &str, chosen: &[&str]) -> String {
    let pairs: Vec<String> =
        NAMES.iter().zip(chosen).map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    format!("{name}{{{}}}", pairs.join(","))
}

fn count(model: &mut Model, series: String, amount: u64) {
    let (is_shown, total) = model.entry(series).or_default();
    *is_shown = true;
    *total += amount as f64;
}

/// Calls at random, and what they should have done.
fn call(
    counters: &[CounterVec],
    histograms: &[HistogramVec],
    values: &[String],
    random: &mut Random,
) -> Model {
    let mut model = Model::new();
    for _ in 0..CALLS {
        let labels = 1 + random.below(NAMES.len());
        let chosen: Vec<&str> =
            (0..labels).map(|_| values[random.below(values.len())].as_str()).collect();
        let (counter, histogram) = (&counters[labels - 1], &histograms[labels - 1]);
        let amount = random.next() % 1000;
        let counted = exposed(&format!("counted_{labels}_total"), &chosen);
        let observed = exposed(&format!("observed_{labels}_count"), &chosen);
        match random.below(16) {
            0..4 => {
                counter.inc_by(&chosen, amount);
                count(&mut model, counted, amount);
            }
            4..8 => {
                counter.with(&chosen).inc_by(amount);
                count(&mut model, counted, amount);
            }
            8..11 => {
                histogram.observe(&chosen, 0.5);
                count(&mut model, observed, 1);
            }
            11..14 => {
                histogram.with(&chosen).observe(0.5);
                count(&mut model, observed, 1);
            }
            14 => histogram.observe(&chosen, f64::NAN),
            _ => {
                let was_there = counter.remove(&chosen);
                let is_there = model.get(&counted).is_some_and(|(is_shown, _)| *is_shown);
                assert_eq!(was_there, is_there, "{counted}");
                if let Some((is_shown, _)) = model.get_mut(&counted) {
                    *is_shown = false;
                }
            }
        }
    }
    model
}

#[test]
fn each_call_counts_for_its_own_values() {
    let mut random = Random::seeded("lookups");
    let directory = Directory::new();
    let builder = Producer::builder().directory(directory.path()).service("lookups");
    let producer = builder.series_max(300_000).segment_size_max_bytes(1 << 30).build();
    let values = values(&mut random);
    let mut agent = Drained::new(directory.path());
    let (mut counters, mut histograms) = (Vec::new(), Vec::new());
    for labels in 1..=NAMES.len() {
        let name = format!("counted_{labels}_total");
        let family = producer.counter_vec((name.as_str(), "Counted."), &NAMES[..labels]);
        counters.push(family.expect("a family"));
        let options = Options::new(format!("observed_{labels}"), "Observed.").buckets(&[1.0]);
        let family = producer.histogram_vec(options, &NAMES[..labels]);
        histograms.push(family.expect("a family"));
    }
    let model = call(&counters, &histograms, &values, &mut random);
    let scrape = agent.scrape();
    let refused = scrape.value("ringmeter_records_rejected_total{reason=\"nan\"}");
    assert!(refused > 1000.0, "not-a-number is refused and counted: {refused}");
    for (series, (is_shown, total)) in &model {
        let shown = scrape.get(series);
        assert_eq!(shown, is_shown.then_some(*total), "{series}");
    }
    let ours = |series: &str| series.starts_with("counted_") || series.contains("_count{");
    let shown = scrape.all().filter(|(series, value)| ours(series) && *value > 0.0).count();
    let expected = model.values().filter(|(is_shown, total)| *is_shown && *total > 0.0).count();
    assert_eq!(shown, expected, "and nothing else");
}
