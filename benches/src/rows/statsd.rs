//! A counter beside StatsD lines over a socket.

use super::{beside, row};
use crate::error::Outcome;
use crate::measure::{Plan, Subject};
use crate::peers::{self, Link, Peers};
use crate::row::Row;
use crate::setup::{HALF_A_LANE, Setup};
use crate::work::dense;

const HELP: &str = "Counts calls.";

fn ours(setup: &Setup, name: &'static str) -> Outcome<Subject> {
    let family = setup.producer.counter_vec((name, HELP), &["method"])?;
    let counter = family.with(&["GET"]);
    Ok(setup.ours(name, move |_, calls| {
        dense!(calls, _call => counter.inc());
    }))
}

fn links(setup: &Setup, links: [Link; 2]) -> Outcome<Peers> {
    let subjects: Outcome<Vec<Subject>> =
        links.into_iter().map(|link| peers::statsd(setup, link)).collect();
    Ok(Peers { subjects: subjects?, rivals: 2 })
}

pub(super) fn buffered(setup: &Setup) -> Outcome<Row> {
    let ours = ours(setup, "bench_statsd_total")?;
    let subjects = beside(ours, links(setup, [Link::UdpBuffered, Link::UnixBuffered])?);
    let plan = Plan { threads: 1, rounds: setup.rounds, stretches: 4, calls: HALF_A_LANE };
    let names = ["statsd", "counter with one label, beside StatsD over a socket, buffered"];
    Ok(row(setup, plan, names, subjects, Some(0.02)))
}

pub(super) fn unbuffered(setup: &Setup) -> Outcome<Row> {
    let ours = ours(setup, "bench_statsd_line_total")?;
    let subjects = beside(ours, links(setup, [Link::Udp, Link::Unix])?);
    // Few enough that the socket holds them all: what is dropped would not be counted.
    let plan = Plan { threads: 1, rounds: setup.rounds, stretches: 32, calls: 64 };
    let names = ["statsd-unbuffered", "the same, a datagram for each call"];
    Ok(row(setup, plan, names, subjects, None))
}
