//! A scrape waits for what a process has published, and for no process that cannot be read whole.

use std::cell::Cell;

use ringmeter_agent::limits::Limits;
use ringmeter_layout::naming::Kind;

use crate::scratch::Scratch;
use crate::stage::{Stage, find};
use crate::writer::{CAPACITY_RECORDS, Writer, family};

const ROUND: u64 = 4;
const SCRAPE: u64 = 32;

fn limits() -> Limits {
    Limits {
        records_per_round: ROUND,
        records_per_step: ROUND,
        records_per_scrape: SCRAPE,
        ..Limits::default()
    }
}

/// A process that counts by records: its counter has no cell in lanes.
struct App {
    writer: Writer,
    series: u32,
}

impl App {
    fn new(scratch: &Scratch, name: &str, id: u8) -> Self {
        let mut writer = Writer::create(scratch.path(), "shop", id);
        let counters = writer.family(family(Kind::Counter, name, &[]));
        let series = writer.series(counters, &[]);
        Self { writer, series }
    }

    fn count(&mut self, calls: u64) {
        (0..calls).for_each(|_| self.writer.add(self.series, 1));
    }
}

#[test]
fn a_scrape_does_not_wait_for_a_process_that_it_cannot_read_whole() {
    let scratch = Scratch::new();
    let mut honest = App::new(&scratch, "honest_total", 1);
    let mut fast = App::new(&scratch, "fast_total", 2);
    let mut stage = Stage::with(&scratch, limits());
    stage.scrape();
    honest.count(SCRAPE);
    fast.count(SCRAPE + 1);
    stage.later(1000);
    assert!(!stage.pass().is_complete, "not all of it was read");
    let text = stage.render();
    assert_eq!(find(&text, "honest_total"), Some(SCRAPE as f64), "whole");
    assert_eq!(find(&text, "fast_total"), Some(ROUND as f64), "a round of it");
    // It is the same where a pass before has left something, however little that is.
    fast.count(SCRAPE);
    stage.later(1000);
    assert!(!stage.pass().is_complete);
    assert_eq!(find(&stage.render(), "fast_total"), Some(2.0 * ROUND as f64));
    // Nothing is lost by that.
    stage.later(1000);
    stage.due();
    assert!(stage.pass().is_complete);
    assert_eq!(find(&stage.render(), "fast_total"), Some((2 * SCRAPE + 1) as f64));
}

#[test]
fn time_for_definitions_is_no_time_for_records() {
    let scratch = Scratch::new();
    let mut fast = App::new(&scratch, "fast_total", 1);
    fast.count(CAPACITY_RECORDS.into());
    let mut stage = Stage::with(&scratch, limits());
    stage.list();
    assert!(!stage.pass().is_complete);
    assert_eq!(find(&stage.render(), "fast_total"), Some(ROUND as f64), "defined and begun");
    stage.later(1000);
    stage.due();
    assert_eq!(find(&stage.scrape(), "fast_total"), Some(CAPACITY_RECORDS.into()));
    // Also of what is defined later.
    let counters = fast.writer.family(family(Kind::Counter, "later_total", &[]));
    fast.series = fast.writer.series(counters, &[]);
    fast.count(CAPACITY_RECORDS.into());
    assert_eq!(find(&stage.scrape(), "later_total"), Some(ROUND as f64));
}

#[test]
fn a_pass_that_nobody_waits_for_ends_when_somebody_does() {
    let scratch = Scratch::new();
    let mut apps = [App::new(&scratch, "a_total", 1), App::new(&scratch, "b_total", 2)];
    let mut stage = Stage::with(&scratch, limits());
    stage.scrape();
    apps.iter_mut().for_each(|app| app.count(SCRAPE));
    stage.later(1000);
    // Three rounds are over when somebody comes.
    let asked = Cell::new(0);
    let report = stage.due_unless(&|| {
        asked.set(asked.get() + 1);
        asked.get() > 3
    });
    assert!(!report.is_complete);
    assert_eq!(asked.get(), 4, "asked before each round of each, and not after");
    let text = stage.render();
    let total = find(&text, "a_total").zip(find(&text, "b_total")).map(|(a, b)| a + b);
    assert_eq!(total, Some(3.0 * ROUND as f64), "what was read till then is committed and shown");
    assert!(stage.pass().is_complete, "the scrape has the rest");
    let text = stage.render();
    assert_eq!(find(&text, "a_total"), Some(SCRAPE as f64));
    assert_eq!(find(&text, "b_total"), Some(SCRAPE as f64));
}

#[test]
fn the_first_pass_of_an_agent_reads_all_that_a_large_process_has_left() {
    let scratch = Scratch::new();
    let mut large = App::new(&scratch, "large_total", 1);
    let gauges = large.writer.family(family(Kind::Gauge, "level", &[]));
    let gauge = large.writer.series(gauges, &[]);
    large.writer.set(gauge, 5.0);
    large.count(CAPACITY_RECORDS.into());
    let mut stage = Stage::with(&scratch, limits());
    stage.list();
    assert!(stage.start().is_complete, "then it is ready");
    let text = stage.render();
    assert_eq!(find(&text, "large_total"), Some(CAPACITY_RECORDS.into()));
    assert_eq!(find(&text, "level"), Some(5.0));
}

#[test]
fn a_due_pass_reads_more_than_a_scrape_would() {
    let scratch = Scratch::new();
    let mut fast = App::new(&scratch, "fast_total", 1);
    let mut stage = Stage::with(&scratch, limits());
    stage.scrape();
    fast.count(CAPACITY_RECORDS.into());
    stage.later(1000);
    assert!(stage.due().is_complete);
    assert_eq!(find(&stage.render(), "fast_total"), Some(CAPACITY_RECORDS.into()));
}

#[test]
fn a_due_pass_is_soon_over_and_the_next_goes_on_with_who_had_to_wait() {
    let scratch = Scratch::new();
    let mut fast = App::new(&scratch, "fast_total", 1);
    let mut other = App::new(&scratch, "other_total", 2);
    let mut stage = Stage::with(&scratch, limits());
    stage.scrape();
    fast.count(SCRAPE);
    other.count(SCRAPE);
    stage.later(1000);
    // A round takes a quarter of a millisecond.
    let report = stage.due_at_pace(250_000);
    assert!(!report.is_complete);
    let text = stage.render();
    let total = |name| find(&text, name).expect("a value");
    let (fast, other) = (total("fast_total"), total("other_total"));
    let (round, rounds) = (ROUND as f64, (fast + other) / ROUND as f64);
    assert!((1.0..=4.0).contains(&rounds), "{rounds} rounds in a millisecond");
    assert!((fast - other).abs() <= round, "{fast} and {other}: one after the other");
    assert!(report.next_ns <= stage.now_ns() + 200_000, "goes on after the shortest nap");
    assert!(stage.pass().is_complete, "a scrape has more time");
}

#[test]
fn a_scrape_has_time_for_what_was_defined_since_a_pass_that_left_something() {
    let scratch = Scratch::new();
    let mut app = App::new(&scratch, "early_total", 1);
    let mut stage = Stage::with(&scratch, Limits { definitions_per_round: 1, ..limits() });
    stage.scrape();
    app.count(2 * ROUND);
    stage.later(1000);
    let rounds = Cell::new(0);
    let report = stage.due_unless(&|| rounds.replace(rounds.get() + 1) > 0);
    assert!(!report.is_complete, "a round of two");
    // Each takes the time of more records than a scrape waits for.
    for number in 0..10 {
        let name = format!("later_{number}_total");
        let family = app.writer.family(family(Kind::Counter, &name, &[]));
        app.series = app.writer.series(family, &[]);
        app.count(1);
    }
    assert!(stage.pass().is_complete);
    let text = stage.render();
    assert_eq!(find(&text, "early_total"), Some(2.0 * ROUND as f64));
    let later = |number| find(&text, &format!("later_{number}_total"));
    assert!((0..10).all(|number| later(number) == Some(1.0)), "{text}");
}

#[test]
fn where_everything_takes_longer_than_a_pass_may_records_are_read_all_the_same() {
    let scratch = Scratch::new();
    let mut apps = [App::new(&scratch, "a_total", 1), App::new(&scratch, "b_total", 2)];
    let mut stage = Stage::with(&scratch, limits());
    stage.scrape();
    apps.iter_mut().for_each(|app| app.count(SCRAPE));
    stage.later(1000);
    // A round each, and a look at the second whether there is more.
    for _ in 0..2 * SCRAPE / ROUND {
        stage.due_at_pace(100_000_000);
        stage.later(1);
    }
    let text = stage.render();
    assert_eq!(find(&text, "a_total"), Some(SCRAPE as f64));
    assert_eq!(find(&text, "b_total"), Some(SCRAPE as f64));
}

#[test]
fn where_commits_take_long_as_much_time_is_for_reading() {
    let scratch = Scratch::new();
    let mut fast = App::new(&scratch, "fast_total", 1);
    let mut stage = Stage::with(&scratch, limits());
    stage.scrape();
    let records = CAPACITY_RECORDS.into();
    let rounds = records / ROUND;
    for (commit_ns, is_complete) in [(250_000, false), (rounds * 300_000, true)] {
        stage.later(1000);
        stage.due_at_pace(commit_ns);
        fast.count(records);
        stage.later(1000);
        assert_eq!(stage.due_at_pace(250_000).is_complete, is_complete, "{commit_ns}");
        stage.later(1000);
        assert!(stage.due().is_complete);
    }
}
