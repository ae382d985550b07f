//! A scrape of many series: numbers to text.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Encoder, TextEncoder};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter as ClientCounter;
use prometheus_client::metrics::family::Family;
use ringmeter_agent::expose::{Format, RenderOptions, Renderer, Want, text};
use ringmeter_agent::snapshot::{FamilyBlock, FamilyMeta, LabelText, Number, Snapshot, Values};

use super::Setup;
use crate::error::Outcome;
use crate::measure::{Plan, Subject};
use crate::row::{Row, Unit};
use crate::stand_in::Total;
use crate::statistics::Random;

const NAME: &str = "http_requests_total";
const HELP: &str = "Requests answered.";
const NAMES: [&str; 3] = ["method", "code", "path"];
const SERIES: usize = 100_000;
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

fn numbers(seed: u64) -> Vec<u64> {
    let mut random = Random::new(seed);
    (0..SERIES)
        .map(|_| {
            let digits = 1 + random.next_u64() % u64::from(DIGITS_MAX);
            random.next_u64() % 10_u64.pow(u32::try_from(digits).unwrap_or(1))
        })
        .collect()
}

/// One subject: renders into a buffer that is kept from one call to the next.
fn subject(
    name: &str,
    expected: Total,
    render: impl Fn(&mut Vec<u8>) + Send + Sync + 'static,
) -> Subject {
    shared_subject(name, expected, move |page| {
        // Nobody else has it.
        let page = Arc::make_mut(page);
        page.clear();
        render(page);
    })
}

/// One subject that may keep its pages.
fn shared_subject(
    name: &str,
    expected: Total,
    render: impl Fn(&mut Arc<Vec<u8>>) + Send + Sync + 'static,
) -> Subject {
    let page = Arc::new(Mutex::new(Arc::default()));
    let shown = Arc::clone(&page);
    Subject {
        name: name.to_owned(),
        calls: Box::new(move |_, calls| {
            let mut page = page.lock().unwrap_or_else(PoisonError::into_inner);
            for _ in 0..calls {
                render(&mut page);
            }
        }),
        pause: Box::new(|| Ok(())),
        total: Box::new(move || {
            Ok(read_back(&shown.lock().unwrap_or_else(PoisonError::into_inner)))
        }),
        expected: Box::new(move |_, _| expected),
        parks: false,
    }
}

/// How many samples a page has, and their sum.
fn read_back(page: &[u8]) -> Total {
    let text = String::from_utf8_lossy(page);
    let mut total = Total::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        total.count += 1.0;
        total.sum += value.unwrap_or(f64::NAN);
    }
    total
}

/// Makes snapshots in which every series has another number than in the one before, and the sum
/// stays the same.
fn snapshots(numbers: &[u64]) -> Outcome<impl Fn(u64) -> Snapshot + Send + Sync + 'static> {
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

/// As the agent does from its second scrape on.
fn ours_next(numbers: &[u64], expected: Total) -> Outcome<Subject> {
    let snapshots = snapshots(numbers)?;
    let renderer = Mutex::new((0, Renderer::new(RenderOptions::default())));
    let want = Want { format: Format::Text, names: Vec::new(), gzip: false };
    Ok(shared_subject("ringmeter snapshot + next page", expected, move |page| {
        let mut renderer = renderer.lock().unwrap_or_else(PoisonError::into_inner);
        let (generation, renderer) = &mut *renderer;
        *generation += 1;
        // The last page is sent, and its memory is free again.
        *page = Arc::default();
        *page = renderer.page(&snapshots(*generation), &want);
    }))
}

/// As the agent does at its first scrape.
fn ours_first(numbers: &[u64], expected: Total) -> Outcome<Subject> {
    let snapshots = snapshots(numbers)?;
    Ok(subject("ringmeter snapshot + encode", expected, move |page| {
        text::encode(&snapshots(1), page);
    }))
}

fn prometheus(numbers: &[u64], expected: Total) -> Outcome<[Subject; 2]> {
    let family = prometheus::IntCounterVec::new(prometheus::Opts::new(NAME, HELP), &NAMES)?;
    for (index, number) in numbers.iter().enumerate() {
        family.with_label_values(&labels(index)).inc_by(*number);
    }
    let registry = prometheus::Registry::new();
    registry.register(Box::new(family))?;
    let gathered = registry.gather();
    let all = subject("prometheus gather + encode", expected, move |page| {
        // The page is read back and compared, so a failure does not stay unseen.
        let _ = TextEncoder::new().encode(&registry.gather(), page);
    });
    let encode = subject("prometheus encode only", expected, move |page| {
        let _ = TextEncoder::new().encode(&gathered, page);
    });
    Ok([all, encode])
}

fn client(numbers: &[u64], expected: Total) -> Subject {
    let family = Family::<Labels, ClientCounter>::default();
    for (index, number) in numbers.iter().enumerate() {
        let [method, code, path] = labels(index);
        family.get_or_create(&Labels { method, code, path }).inc_by(*number);
    }
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register(NAME.trim_end_matches("_total"), HELP, family);
    subject("prometheus-client encode", expected, move |page| {
        // It writes to a String: the buffer changes hands, its memory stays the same.
        let mut text = String::from_utf8(std::mem::take(page)).unwrap_or_default();
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        *page = text.into_bytes();
    })
}

pub(super) fn next_page(setup: &Setup) -> Outcome<Row> {
    let title = "render 100,000 counter series, all changed since the last scrape";
    row(setup, "render", title, Some(0.1), ours_next)
}

pub(super) fn first_page(setup: &Setup) -> Outcome<Row> {
    row(setup, "render-first", "the same, at the agent's first scrape", Some(0.2), ours_first)
}

fn row(
    setup: &Setup,
    id: &'static str,
    title: &'static str,
    goal: Option<f64>,
    ours: impl Fn(&[u64], Total) -> Outcome<Subject>,
) -> Outcome<Row> {
    let numbers = numbers(setup.seed);
    let expected =
        Total { count: SERIES as f64, sum: numbers.iter().map(|number| *number as f64).sum() };
    let mut subjects = vec![ours(&numbers, expected)?];
    subjects.extend(prometheus(&numbers, expected)?);
    subjects.push(client(&numbers, expected));
    Ok(Row {
        id,
        title,
        plan: Plan { threads: 1, rounds: setup.rounds.min(32), stretches: 1, calls: 1 },
        subjects,
        rivals: 3,
        goal,
        aim: None,
        unit: Unit::Milliseconds,
        spilled: None,
        has_tail: false,
    })
}
