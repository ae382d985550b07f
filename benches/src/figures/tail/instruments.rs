//! The same instruments by each crate: of each request, a counter by route and status, a
//! histogram of its duration, and a gauge that goes up and down. Beside these each has a
//! thousand other series, so that a scrape is one.

use std::net::SocketAddr;
use std::sync::Arc;

use metrics::Label;
use opentelemetry::KeyValue;
use prometheus::{Encoder, TextEncoder};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter as ClientCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge as ClientGauge;
use prometheus_client::metrics::histogram::Histogram as ClientHistogram;
use prometheus_client::registry::Registry as ClientRegistry;
use ringmeter::{Producer, buckets};

use super::scraper::serve;
use crate::agent::{Agent, get};
use crate::error::Outcome;
use crate::peers::{Exporter, Reader};
use crate::setup::Setup;

/// Records a request: route, status, seconds.
type Record = Box<dyn Fn(&'static str, &'static str, f64)>;

/// A crate at work.
pub(super) struct Instruments {
    /// Short, for files.
    pub(super) id: &'static str,
    /// For readers.
    pub(super) name: String,
    /// Records a request.
    pub(super) record: Record,
    /// Where it is scraped.
    pub(super) address: Option<SocketAddr>,
    /// Requests that a scrape shows.
    pub(super) counted: Box<dyn Fn() -> Outcome<f64>>,
}

const REQUESTS: &str = "app_requests_total";
const SECONDS: &str = "app_request_seconds";
const BUSY: &str = "app_requests_in_progress";
const OTHERS: &str = "app_other_total";
const HELP: &str = "Of requests.";
const LABELS: [&str; 2] = ["route", "status"];
const OTHER_SERIES: usize = 1000;

/// Other series are 0, so the sum of all that begins so is what requests added.
fn requests_on(page: &str, name: &str) -> f64 {
    let samples = page.lines().filter(|line| line.starts_with(name));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn others() -> impl Iterator<Item = String> {
    (0..OTHER_SERIES).map(|number| number.to_string())
}

fn scraped(address: SocketAddr) -> Box<dyn Fn() -> Outcome<f64>> {
    Box::new(move || Ok(requests_on(&get(address, "/metrics")?, REQUESTS)))
}

pub(super) fn none() -> Instruments {
    Instruments {
        id: "none",
        name: "without instruments".to_owned(),
        record: Box::new(|_, _, _| ()),
        address: None,
        counted: Box::new(|| Ok(0.0)),
    }
}

pub(super) fn ringmeter(setup: &Setup) -> Outcome<Instruments> {
    let directory = setup.scratch.directory("app-tail")?;
    let producer = Producer::builder().directory(&directory).service("bench-app").try_build()?;
    let requests = producer.counter_vec((REQUESTS, HELP), &LABELS)?;
    let seconds = producer.histogram((SECONDS, HELP))?;
    let busy = producer.gauge((BUSY, HELP))?;
    let other = producer.counter_vec((OTHERS, HELP), &["number"])?;
    others().for_each(|number| other.with(&[&number]).inc_by(0));
    let agent = Agent::start(setup.agent_binary()?, &directory)?;
    let address = agent.address();
    Ok(Instruments {
        id: "ringmeter",
        name: "ringmeter, agent scraped".to_owned(),
        record: Box::new(move |route, status, time| {
            busy.inc();
            requests.with(&[route, status]).inc();
            seconds.observe(time);
            busy.dec();
        }),
        address: Some(address),
        counted: Box::new(move || Ok(requests_on(&agent.scrape()?, REQUESTS))),
    })
}

pub(super) fn prometheus() -> Outcome<Instruments> {
    let registry = prometheus::Registry::new();
    let options = |name: &str| prometheus::Opts::new(name, HELP);
    let requests = prometheus::IntCounterVec::new(options(REQUESTS), &LABELS)?;
    let histogram = prometheus::HistogramOpts::new(SECONDS, HELP);
    let seconds = prometheus::Histogram::with_opts(histogram.buckets(buckets::DEFAULT.to_vec()))?;
    let busy = prometheus::IntGauge::new(BUSY, HELP)?;
    let other = prometheus::IntCounterVec::new(options(OTHERS), &["number"])?;
    others().for_each(|number| other.with_label_values(&[number.as_str()]).inc_by(0));
    registry.register(Box::new(requests.clone()))?;
    registry.register(Box::new(seconds.clone()))?;
    registry.register(Box::new(busy.clone()))?;
    registry.register(Box::new(other))?;
    let address = serve(move || {
        let mut page = Vec::new();
        // A page that is not there is missed by the scraper.
        let _ = TextEncoder::new().encode(&registry.gather(), &mut page);
        page
    })?;
    Ok(Instruments {
        id: "prometheus",
        name: "prometheus, scraped".to_owned(),
        record: Box::new(move |route, status, time| {
            busy.inc();
            requests.with_label_values(&[route, status]).inc();
            seconds.observe(time);
            busy.dec();
        }),
        address: Some(address),
        counted: scraped(address),
    })
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Number {
    number: String,
}

pub(super) fn client() -> Outcome<Instruments> {
    let requests = Family::<Labels, ClientCounter>::default();
    let seconds = ClientHistogram::new(buckets::DEFAULT.iter().copied());
    let busy: ClientGauge = ClientGauge::default();
    let other = Family::<Number, ClientCounter>::default();
    others().for_each(|number| drop(other.get_or_create(&Number { number })));
    let mut registry = ClientRegistry::default();
    registry.register(REQUESTS.trim_end_matches("_total"), HELP, requests.clone());
    registry.register(SECONDS, HELP, seconds.clone());
    registry.register(BUSY, HELP, busy.clone());
    registry.register(OTHERS.trim_end_matches("_total"), HELP, other);
    let address = serve(move || {
        let mut page = String::new();
        let _ = prometheus_client::encoding::text::encode(&mut page, &registry);
        page.into_bytes()
    })?;
    Ok(Instruments {
        id: "prometheus-client",
        name: "prometheus-client, scraped".to_owned(),
        record: Box::new(move |route, status, time| {
            busy.inc();
            requests.get_or_create(&Labels { route, status }).inc();
            seconds.observe(time);
            busy.dec();
        }),
        address: Some(address),
        counted: scraped(address),
    })
}

pub(super) fn metrics() -> Outcome<Instruments> {
    let exporter = Exporter::new()?;
    let labelled = |name: &str, value: String| vec![Label::new(name.to_owned(), value)];
    for number in others() {
        exporter.counter(OTHERS, labelled("number", number)).absolute(0);
    }
    let (seconds, busy) = (exporter.histogram(SECONDS), exporter.gauge(BUSY));
    let shown = exporter.clone();
    let address = serve(move || shown.page().into_bytes())?;
    Ok(Instruments {
        id: "metrics",
        name: "metrics, scraped".to_owned(),
        record: Box::new(move |route, status, time| {
            busy.increment(1.0);
            let labels = vec![Label::new(LABELS[0], route), Label::new(LABELS[1], status)];
            exporter.counter(REQUESTS, labels).increment(1);
            seconds.record(time);
            busy.decrement(1.0);
        }),
        address: Some(address),
        counted: scraped(address),
    })
}

/// The SDK has no text of its own: a scrape collects, and sends as many lines as there are series.
pub(super) fn otel() -> Outcome<Instruments> {
    let reader = Reader::default();
    let meter = reader.meter();
    let requests = meter.u64_counter(REQUESTS).build();
    let histogram = meter.f64_histogram(SECONDS).with_boundaries(buckets::DEFAULT.to_vec());
    let seconds = histogram.build();
    let busy = meter.i64_up_down_counter(BUSY).build();
    let other = meter.u64_counter(OTHERS).build();
    others().for_each(|number| other.add(0, &[KeyValue::new("number", number)]));
    let reader = Arc::new(reader);
    let shown = Arc::clone(&reader);
    let address = serve(move || {
        let total = shown.total_of(REQUESTS).count;
        format!("{}{REQUESTS} {total}\n", "app_other_total 0\n".repeat(OTHER_SERIES)).into_bytes()
    })?;
    Ok(Instruments {
        id: "opentelemetry",
        name: "opentelemetry, collected, not encoded".to_owned(),
        record: Box::new(move |route, status, time| {
            busy.add(1, &[]);
            let labels = [KeyValue::new(LABELS[0], route), KeyValue::new(LABELS[1], status)];
            requests.add(1, &labels);
            seconds.record(time, &[]);
            busy.add(-1, &[]);
        }),
        address: Some(address),
        counted: scraped(address),
    })
}
