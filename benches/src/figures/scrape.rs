//! A scrape by number of series: from the numbers to the text, and compressed.

use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use ringmeter_agent::expose::{Format, RenderOptions, Renderer, Want};
use std::io::Write;

use super::Found;
use crate::error::Outcome;
use crate::figure::Figure;
use crate::plot::{Axis, Curve, Plot};
use crate::rows::pages::{client_registry, numbers, prometheus_registry, snapshots};
use crate::setup::Setup;
use crate::statistics::Random;

const SERIES: [usize; 4] = [100, 1000, 10_000, 100_000];
const ROUNDS: usize = 30;

fn milliseconds(work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_secs_f64() * 1e3
}

/// Milliseconds by way and round, for so many series.
fn rounds(series: usize, seed: u64) -> Outcome<[Vec<f64>; 5]> {
    let numbers = numbers(series, seed);
    let snapshots = snapshots(&numbers)?;
    let want = |gzip| Want { format: Format::Text, names: Vec::new(), gzip };
    let mut renderers =
        [false, true].map(|gzip| (Renderer::new(RenderOptions::default()), want(gzip)));
    let (registry, client) = (prometheus_registry(&numbers)?, client_registry(&numbers));
    let mut samples: [Vec<f64>; 5] = Default::default();
    // The first page of each is made anew, and not counted.
    for round in 0..=ROUNDS as u64 {
        let [text, gzip] = renderers.each_mut().map(|(renderer, want)| {
            milliseconds(|| drop(renderer.page(&snapshots(round + 1), want)))
        });
        let mut page = Vec::new();
        let prometheus = milliseconds(|| {
            // Its text was compared in the row of pages.
            let _ = prometheus::Encoder::encode(
                &prometheus::TextEncoder::new(),
                &registry.gather(),
                &mut page,
            );
        });
        let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
        let prometheus_gzip = prometheus + milliseconds(|| drop(compressed.write_all(&page)));
        let mut page = String::new();
        let client = milliseconds(|| {
            let _ = prometheus_client::encoding::text::encode(&mut page, &client);
        });
        if round > 0 {
            let all = [text, gzip, prometheus, prometheus_gzip, client];
            samples.iter_mut().zip(all).for_each(|(samples, time)| samples.push(time));
        }
    }
    Ok(samples)
}

pub(super) fn by_series(setup: &Setup, random: &mut Random) -> Outcome<Found> {
    let names =
        ["ringmeter", "ringmeter, gzip", "prometheus", "prometheus, gzip", "prometheus-client"];
    let mut found = Found::default();
    let mut curves = names.map(|name| Curve { name: name.to_owned(), points: Vec::new() });
    for series in SERIES {
        for (index, samples) in rounds(series, setup.seed)?.iter().enumerate() {
            let id = format!("scrape-{series}-{}", names[index].replace(", ", "-"));
            let title = format!("a page of {series} counter series, all changed, {}", names[index]);
            let figure = Figure::of(id, title, "ms", samples, random);
            curves[index].points.push((series as f64, figure.estimate.value));
            found.figures.push(figure);
        }
    }
    found.plots.push(Plot {
        id: "scrape",
        title: "Making a page, by counter series with three labels, all changed",
        x: Axis::logarithmic("series"),
        y: Axis::logarithmic("ms"),
        curves: curves.into(),
    });
    Ok(found)
}
