//! Many series, for pages: the same in the agent's snapshots and in the registries of peers.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter as ClientCounter;
use prometheus_client::metrics::family::Family;
use ringmeter_agent::snapshot::{FamilyBlock, FamilyMeta, LabelText, Number, Snapshot, Values};

use crate::error::Outcome;
use crate::statistics::Random;

const NAME: &str = "http_requests_total";
const HELP: &str = "Requests answered.";
const NAMES: [&str; 3] = ["method", "code", "path"];
/// Values have 1 to 10 digits, so that their sum is exact in a float.
const DIGITS_MAX: u32 = 10;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: String,
    code: String,
    path: String,
}

fn labels(index: usize) -> [String; 3] {
    let method = ["GET", "PUT", "POST", "DELETE"][index % 4];
    let code = ["200", "204", "301", "404", "500"][index / 4 % 5];
    [method.to_owned(), code.to_owned(), format!("/api/v1/resource/{:05}", index / 20)]
}

/// A value for each of so many series.
pub(crate) fn numbers(series: usize, seed: u64) -> Vec<u64> {
    let mut random = Random::new(seed);
    (0..series)
        .map(|_| {
            let digits = 1 + random.next_u64() % u64::from(DIGITS_MAX);
            random.next_u64() % 10_u64.pow(u32::try_from(digits).unwrap_or(1))
        })
        .collect()
}

/// Makes snapshots in which every series has another number than in the one before, and the sum
/// stays the same.
pub(crate) fn snapshots(
    numbers: &[u64],
) -> Outcome<impl Fn(u64) -> Snapshot + Send + Sync + 'static> {
    let mut series: Vec<(LabelText, u64)> = numbers
        .iter()
        .enumerate()
        .map(|(index, number)| {
            let values = labels(index);
            let pairs: Vec<(&str, &str)> =
                NAMES.iter().copied().zip(values.iter().map(String::as_str)).collect();
            (LabelText::new(&pairs), *number)
        })
        .collect();
    series.sort();
    let (texts, numbers): (Vec<LabelText>, Vec<u64>) = series.into_iter().unzip();
    let texts: Arc<[LabelText]> = texts.into();
    let meta = Arc::new(FamilyMeta::counter(NAME, HELP));
    let block = move |generation: u64| {
        let by = usize::try_from(generation % 2).unwrap_or(0);
        let turned = numbers.iter().cycle().skip(by).take(numbers.len());
        let values = Values::Counter(turned.copied().map(Number::U64).collect());
        FamilyBlock::new(Arc::clone(&meta), Arc::clone(&texts), values)
    };
    block(0)?;
    // Of the right shape: checked above.
    Ok(move |generation| Snapshot::new(generation, block(generation).into_iter().collect()))
}

/// The series in a registry of prometheus.
pub(crate) fn prometheus_registry(numbers: &[u64]) -> Outcome<prometheus::Registry> {
    let family = prometheus::IntCounterVec::new(prometheus::Opts::new(NAME, HELP), &NAMES)?;
    for (index, number) in numbers.iter().enumerate() {
        family.with_label_values(&labels(index)).inc_by(*number);
    }
    let registry = prometheus::Registry::new();
    registry.register(Box::new(family))?;
    Ok(registry)
}

/// The series in a registry of prometheus-client.
pub(crate) fn client_registry(numbers: &[u64]) -> prometheus_client::registry::Registry {
    let family = Family::<Labels, ClientCounter>::default();
    for (index, number) in numbers.iter().enumerate() {
        let [method, code, path] = labels(index);
        family.get_or_create(&Labels { method, code, path }).inc_by(*number);
    }
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register(NAME.trim_end_matches("_total"), HELP, family);
    registry
}
