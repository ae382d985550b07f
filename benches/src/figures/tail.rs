//! An application's own latency: a loop that serves requests, without instruments and with each
//! crate's, while these are being scraped.

mod instruments;
mod scraper;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::Found;
use crate::error::{Failure, Outcome};
use crate::figure::Figure;
use crate::setup::{Extent, Setup};
use crate::statistics::{Estimate, Goal, Random, ratio};
use crate::work::some_work;
use instruments::Instruments;
use scraper::Scraper;

const ROUNDS: usize = 32;
/// Requests in a measurement: five are beyond the 99.9th percentile, ten in a full run.
const REQUESTS: [usize; 2] = [5000, 10_000];
/// Requests before a measurement begins.
const WARM_UP: usize = 500;
/// Portions of 40 ns of work in a request: about 5 µs.
const WORK: u64 = 120;
const ROUTES: [&str; 4] = ["/orders", "/users", "/search", "/health"];

/// Percentiles of one measurement, microseconds.
#[derive(Debug, Clone, Copy)]
struct Latency {
    p50: f64,
    p99: f64,
    p99_9: f64,
}

type Percentile = fn(&Latency) -> f64;

/// A client and a server on the two ends of a socket, on one thread: what is measured is the
/// service, not the scheduler between two.
struct Service {
    client: UnixStream,
    server: UnixStream,
    request: [u8; 64],
    answer: [u8; 64],
}

impl Service {
    fn new() -> Outcome<Self> {
        let (client, server) = UnixStream::pair()?;
        Ok(Self { client, server, request: [0; 64], answer: [0; 64] })
    }

    /// Sends a request, serves it, and receives the answer.
    fn request(&mut self, number: usize, instruments: &Instruments) -> Outcome<()> {
        let route = number % ROUTES.len();
        let begin = Instant::now();
        write!(self.client, "GET {} {number}\r\n", ROUTES[route])?;
        let length = self.server.read(&mut self.request)?;
        let line = std::str::from_utf8(&self.request[..length]).unwrap_or_default();
        let asked = line.split(' ').nth(1).unwrap_or_default();
        let found = ROUTES.iter().position(|known| *known == asked);
        (0..WORK).for_each(some_work);
        let status = if found.is_some() { "200" } else { "404" };
        (instruments.record)(ROUTES[route], status, begin.elapsed().as_secs_f64());
        write!(self.server, "{status} {number}\r\n")?;
        let length = self.client.read(&mut self.answer)?;
        if self.answer[..length].starts_with(b"200 ") {
            Ok(())
        } else {
            Err(Failure::new("the service answered wrongly"))
        }
    }

    fn measure(&mut self, requests: usize, instruments: &Instruments) -> Outcome<Latency> {
        for number in 0..WARM_UP {
            self.request(number, instruments)?;
        }
        let mut times = Vec::with_capacity(requests);
        for number in 0..requests {
            let begin = Instant::now();
            self.request(number, instruments)?;
            times.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        times.sort_unstable_by(f64::total_cmp);
        let at = |per_thousand: usize| times[requests * per_thousand / 1000];
        Ok(Latency { p50: at(500), p99: at(990), p99_9: at(999) })
    }
}

/// Column by instrument, in rounds of random order.
fn rounds(
    subjects: &[Instruments],
    requests: usize,
    random: &mut Random,
) -> Outcome<Vec<Vec<Latency>>> {
    let scraper = Scraper::new();
    let mut service = Service::new()?;
    let mut columns = vec![Vec::new(); subjects.len()];
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    for _ in 0..ROUNDS {
        random.shuffle(&mut order);
        for index in &order {
            scraper.aim(subjects[*index].address);
            columns[*index].push(service.measure(requests, &subjects[*index])?);
        }
    }
    let scrapes = scraper.end()?;
    for subject in subjects {
        let made = ROUNDS * (requests + WARM_UP);
        let counted = (subject.counted)()?;
        if subject.address.is_some() && counted != made as f64 {
            let name = &subject.name;
            return Err(Failure::new(format!("{name} counted {counted} of {made} requests")));
        }
    }
    if scrapes < ROUNDS as u64 {
        return Err(Failure::new(format!("only {scrapes} scrapes")));
    }
    Ok(columns)
}

pub(super) fn requests(setup: &Setup, random: &mut Random) -> Outcome<Found> {
    let mut subjects = vec![instruments::none(), instruments::ringmeter(setup)?];
    subjects.push(instruments::prometheus()?);
    subjects.push(instruments::client()?);
    if setup.extent == Extent::Full {
        subjects.push(instruments::metrics()?);
        subjects.push(instruments::otel()?);
    }
    let [few, many] = REQUESTS;
    let columns = rounds(&subjects, setup.extent.pick(few, many), random)?;
    let column =
        |index: usize, of: fn(&Latency) -> f64| columns[index].iter().map(of).collect::<Vec<f64>>();
    let tails: Vec<Vec<f64>> =
        (0..subjects.len()).map(|index| column(index, |latency| latency.p99_9)).collect();
    let beside = |index: usize, random: &mut Random| ratio(&tails[index], &tails[0], random);
    let mut figures = Vec::new();
    let title = "p99.9 of requests, ringmeter being scraped, to that without instruments";
    figures.push(
        Figure::estimated("app-tail", title, "ratio", beside(1, random), ROUNDS)
            .wanted(Goal::AtMost(1.05)),
    );
    let best: Option<(usize, Estimate)> = (2..subjects.len())
        .map(|index| (index, ratio(&tails[1], &tails[index], random)))
        .max_by(|a, b| a.1.value.total_cmp(&b.1.value));
    if let Some((index, estimate)) = best {
        let title = "p99.9 of requests, ringmeter being scraped, to that of the best peer";
        let figure = Figure::estimated("app-tail-peer", title, "ratio", estimate, ROUNDS);
        let note = format!("beside {}; undecided means no better peer", subjects[index].name);
        figures.push(figure.wanted(Goal::AtMost(1.0)).noted(note));
    }
    for (index, subject) in subjects.iter().enumerate() {
        let name = &subject.name;
        let percentiles: [(&str, Percentile); 3] = [
            ("p50", |latency| latency.p50),
            ("p99", |latency| latency.p99),
            ("p99.9", |latency| latency.p99_9),
        ];
        for (percentile, of) in percentiles {
            let samples = column(index, of);
            let id = format!("app-tail-{}-{percentile}", subject.id);
            let title = format!("{percentile} of requests, {name}");
            figures.push(Figure::of(id, title, "µs", &samples, random));
        }
    }
    Ok(figures.into())
}
