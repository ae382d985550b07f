//! A scrape of many series: numbers to text.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Encoder, TextEncoder};
use ringmeter_agent::expose::{Format, RenderOptions, Renderer, Want, text};

use super::pages::{client_registry, numbers, prometheus_registry, snapshots};
use crate::error::Outcome;
use crate::measure::{Plan, Subject};
use crate::row::{Row, Unit};
use crate::setup::{Extent, Setup};
use crate::stand_in::Total;

const SERIES: usize = 100_000;

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
    let registry = prometheus_registry(numbers)?;
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
    let registry = client_registry(numbers);
    subject("prometheus-client encode", expected, move |page| {
        // It writes to a String: the buffer changes hands, its memory stays the same.
        let mut text = String::from_utf8(std::mem::take(page)).unwrap_or_default();
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        *page = text.into_bytes();
    })
}

pub(super) fn next_page(setup: &Setup) -> Outcome<Row> {
    let title = "render 100,000 counter series, all changed since the last scrape";
    row(setup, "render", title, Some(0.08), ours_next)
}

pub(super) fn first_page(setup: &Setup) -> Outcome<Row> {
    row(setup, "render-first", "the same, at the agent's first scrape", None, ours_first)
}

fn row(
    setup: &Setup,
    id: &'static str,
    title: &'static str,
    goal: Option<f64>,
    ours: impl Fn(&[u64], Total) -> Outcome<Subject>,
) -> Outcome<Row> {
    let numbers = numbers(SERIES, setup.seed);
    let expected =
        Total { count: SERIES as f64, sum: numbers.iter().map(|number| *number as f64).sum() };
    let mut subjects = vec![ours(&numbers, expected)?];
    let [gathered, encoded] = prometheus(&numbers, expected)?;
    subjects.extend([gathered, client(&numbers, expected)]);
    if setup.extent == Extent::Full {
        subjects.push(encoded);
    }
    Ok(Row {
        id,
        title,
        plan: Plan { threads: 1, rounds: setup.rounds.min(30), stretches: 1, calls: 1 },
        subjects,
        // To encode what was gathered before is no scrape.
        rivals: 2,
        goal,
        unit: Unit::Milliseconds,
        spilled: None,
        has_tail: false,
    })
}
