//! Spill, death, restart of the agent, and who has the directory.

use std::fs;
use std::os::unix::fs::FileExt;

use ringmeter_agent::limits::Limits;
use ringmeter_layout::naming::Kind;

use crate::scratch::Scratch;
use crate::stage::{Stage, find};
use crate::writer::{CAPACITY_RECORDS, LIVE_MISLABELED, LIVE_NAN, LIVE_OVERFLOWED, Writer, family};

struct App {
    writer: Writer,
    counter: u32,
    histogram: u32,
    summary: u32,
}

fn app(scratch: &Scratch, service: &str, id: u8) -> App {
    let mut writer = Writer::create(scratch.path(), service, id);
    let counters = writer.family(family(Kind::Counter, "n_total", &[]));
    let counter = writer.series(counters, &[]);
    let histograms = writer.family(family(Kind::Histogram, "h", &[]));
    let histogram = writer.series(histograms, &[]);
    let summaries = writer.family(family(Kind::Summary, "s", &[]));
    let summary = writer.series(summaries, &[]);
    App { writer, counter, histogram, summary }
}

/// Counter 0 is the overflow series of the metric, counter 1 the series itself.
#[test]
fn cells_in_lanes_are_taken_by_difference_and_once() {
    let scratch = Scratch::new();
    let mut app = app(&scratch, "shop", 1);
    let second = app.writer.lane();
    let mut stage = Stage::new(&scratch);
    assert_eq!(stage.value("n_total"), Some(0.0));
    app.writer.hold_in_lane(0, 1, 5);
    assert_eq!(stage.value("n_total"), Some(5.0), "the first that the agent sees of it");
    app.writer.hold_in_lane(second, 1, 7);
    assert_eq!(stage.value("n_total"), Some(12.0));
    app.writer.spill_add(app.counter, 3);
    app.writer.hold_in_lane(0, 1, 10);
    app.writer.add(app.counter, 100);
    assert_eq!(stage.value("n_total"), Some(120.0), "together with spill and a record");
    assert_eq!(stage.value("n_total"), Some(120.0), "nothing new, nothing added");
    drop(stage);
    app.writer.hold_in_lane(second, 1, 8);
    let mut stage = Stage::new(&scratch);
    assert_eq!(stage.value("n_total"), Some(121.0), "the next agent goes on from the marks");
    let third = app.writer.lane();
    app.writer.hold_in_lane(third, 1, u64::MAX);
    let text = stage.scrape();
    assert_eq!(find(&text, "n_total"), Some(121.0), "nobody counts so much: it went back by one");
    let rejected = find(&text, "ringmeter_records_rejected_total{reason=\"cell\"}");
    assert_eq!(rejected, Some(1.0));
    app.writer.hold_in_lane(third, 1, 1);
    assert_eq!(stage.value("n_total"), Some(123.0));
    let name = app.writer.name;
    app.writer.hold_in_lane(0, 1, 20);
    let path = app.writer.die();
    stage.later(1000);
    assert_eq!(stage.value("n_total"), Some(133.0), "what it had counted when it died");
    stage.list();
    assert!(!path.exists(), "{name:?} is removed");
}

/// Series 0 to 5 are the overflow series and the series of the counter, the histogram and the
/// summary, and so are their cells in lanes.
#[test]
fn sums_in_lanes_are_taken_with_the_shared_cells_and_once() {
    let scratch = Scratch::new();
    let mut app = app(&scratch, "shop", 1);
    let second = app.writer.lane();
    let (histogram, summary) = ((app.histogram, 3), (app.summary, 5));
    let mut stage = Stage::new(&scratch);
    let totals = |stage: &mut Stage| {
        let text = stage.scrape();
        ["h_count", "h_sum", "s_count", "s_sum"].map(|name| find(&text, name).expect("shown"))
    };
    assert_eq!(totals(&mut stage), [0.0; 4]);
    let first = app.writer.spill_observe_in_lane(histogram, 0, 0.0, 0.5);
    assert_eq!(totals(&mut stage), [1.0, 0.5, 0.0, 0.0], "the first that the agent sees of it");
    let other = app.writer.spill_observe_in_lane(histogram, second, 0.0, -0.25);
    let _ = app.writer.spill_observe_in_lane(summary, second, 0.0, 8.0);
    assert_eq!(totals(&mut stage), [2.0, 0.25, 1.0, 8.0], "two lanes, two series");
    app.writer.spill_observe(app.histogram, 4.0);
    app.writer.observe(app.histogram, 16.0);
    let first = app.writer.spill_observe_in_lane(histogram, 0, first, 0.5);
    assert_eq!(totals(&mut stage), [5.0, 20.75, 1.0, 8.0], "with a shared sum, and a record");
    assert_eq!(totals(&mut stage), [5.0, 20.75, 1.0, 8.0], "nothing new, nothing added");
    drop(stage);
    let _ = app.writer.spill_observe_in_lane(histogram, second, other, 1.25);
    let mut stage = Stage::new(&scratch);
    assert_eq!(totals(&mut stage), [6.0, 22.0, 1.0, 8.0], "the next agent goes on from the marks");
    // A lie: what is not a number is not added, and nothing else is spoilt.
    let _ = app.writer.spill_observe_in_lane(histogram, second, f64::NAN, 1.0);
    assert_eq!(totals(&mut stage), [7.0, 22.0, 1.0, 8.0]);
    let text = stage.scrape();
    let rejected = find(&text, "ringmeter_records_rejected_total{reason=\"cell\"}");
    assert_eq!(rejected, Some(1.0));
    let _ = app.writer.spill_observe_in_lane(summary, 0, 0.0, 2.0);
    let _ = app.writer.spill_observe_in_lane(summary, 0, 2.0, 2.0);
    let _ = app.writer.spill_observe_in_lane(histogram, 0, first, 0.5);
    app.writer.die();
    stage.later(1000);
    assert_eq!(totals(&mut stage), [8.0, 22.0, 3.0, 12.0], "what was spilled when it died");
}

#[test]
fn spill_is_taken_by_difference_and_once() {
    let scratch = Scratch::new();
    let mut app = app(&scratch, "shop", 1);
    let mut stage = Stage::new(&scratch);
    stage.scrape();
    for round in 1..=5u32 {
        app.writer.spill_add(app.counter, 10);
        app.writer.spill_add_f64(app.counter, 0.25);
        app.writer.spill_add_shared(app.counter, 1);
        app.writer.add(app.counter, 100);
        for value in [0.05, 0.5, 5.0, 50.0, 0.0, -1.0, f64::INFINITY] {
            app.writer.spill_observe(app.histogram, value);
        }
        for value in 1..=99 {
            app.writer.spill_observe(app.summary, f64::from(value));
        }
        let text = stage.scrape();
        let n = f64::from(round);
        assert_eq!(find(&text, "n_total"), Some(n * 111.25));
        assert_eq!(find(&text, "h_bucket{le=\"0.1\"}"), Some(n * 3.0));
        assert_eq!(find(&text, "h_bucket{le=\"1.0\"}"), Some(n * 4.0));
        assert_eq!(find(&text, "h_count"), Some(n * 7.0));
        assert_eq!(find(&text, "h_sum"), Some(n * 54.55), "round {round}");
        assert_eq!(find(&text, "s_count"), Some(n * 99.0));
        let median = find(&text, "s{quantile=\"0.5\"}").expect("a median");
        assert!((median - 50.0).abs() / 50.0 < 0.1, "schema 2 errs by 8.7 % and a half: {median}");
        assert_eq!(find(&text, "ringmeter_records_spilled_total"), Some(n * 109.0));
    }
    assert_eq!(stage.value("n_total"), Some(556.25), "nothing new, nothing added");
}

#[test]
fn quantiles_know_the_first_and_the_last_bucket_of_a_cell() {
    let scratch = Scratch::new();
    let mut app = app(&scratch, "shop", 1);
    let mut stage = Stage::new(&scratch);
    stage.scrape();
    // Each outnumbers what was before.
    for (count, value) in [(1, 1.01 / f64::from(1 << 30)), (3, 0.99 * 2_f64.powi(34))] {
        (0..count).for_each(|_| app.writer.spill_observe(app.summary, value));
        let median = stage.value("s{quantile=\"0.5\"}").expect("a median");
        assert!((median - value).abs() / value < 0.1, "{median}, and not {value}");
    }
}

#[test]
fn late_spill_enters_totals_and_not_the_window() {
    let scratch = Scratch::new();
    let mut app = app(&scratch, "shop", 1);
    app.writer.spill_observe(app.summary, 1000.0);
    let mut stage = Stage::new(&scratch);
    let text = stage.scrape();
    assert_eq!(find(&text, "s_count"), Some(1.0));
    assert!(text.contains("s{quantile=\"0.5\"} NaN"), "from before this agent\n{text}");
    app.writer.spill_observe(app.summary, 10.0);
    let text = stage.scrape();
    assert!((find(&text, "s{quantile=\"0.5\"}").expect("a median") - 10.0).abs() < 1.0);
    stage.later(60_000);
    app.writer.spill_observe(app.summary, 1.0);
    let text = stage.scrape();
    assert_eq!(find(&text, "s_count"), Some(3.0));
    assert!(find(&text, "s{quantile=\"0.5\"}").expect("a median") > 5.0, "it may be old\n{text}");
}

#[test]
fn a_dead_process_leaves_everything_and_its_files_go() {
    let scratch = Scratch::new();
    let mut app = app(&scratch, "shop", 1);
    let mut stage = Stage::new(&scratch);
    stage.scrape();
    app.writer.add(app.counter, 5);
    app.writer.live(LIVE_NAN, 3);
    // Killed between the cell and the spill count.
    let cell = app.writer.cells[app.counter as usize].offset;
    app.writer.write(cell, &7u64.to_le_bytes());
    let ack = scratch.path().join("agent").join(app.writer.name.ack_file());
    let path = app.writer.die();
    assert!(path.exists() && ack.exists());
    let text = stage.scrape();
    assert_eq!(find(&text, "n_total"), Some(12.0), "{text}");
    assert!(!path.exists(), "taken, so removed");
    assert!(ack.exists(), "until a listing lacks the segment");
    let text = stage.scrape();
    assert!(!ack.exists());
    assert_eq!(find(&text, "n_total"), Some(12.0));
    assert_eq!(find(&text, "ringmeter_segments{state=\"final\"}"), Some(0.0));
    assert_eq!(find(&text, "ringmeter_producers{service=\"shop\"}"), None);
    assert_eq!(find(&text, "ringmeter_records_rejected_total{reason=\"nan\"}"), Some(3.0));
}

#[test]
fn lookups_that_went_wrong_are_told_by_reason_and_once() {
    let scratch = Scratch::new();
    let app = app(&scratch, "shop", 1);
    let lookups = |reason: &str, text: &str| {
        find(text, &format!("ringmeter_overflowed_lookups_total{{reason=\"{reason}\"}}"))
    };
    let mut stage = Stage::new(&scratch);
    let text = stage.scrape();
    assert_eq!((lookups("limit", &text), lookups("label_count", &text)), (Some(0.0), Some(0.0)));
    app.writer.live(LIVE_OVERFLOWED, 5);
    app.writer.live(LIVE_MISLABELED, 2);
    let text = stage.scrape();
    assert_eq!((lookups("limit", &text), lookups("label_count", &text)), (Some(5.0), Some(2.0)));
    drop(stage);
    app.writer.live(LIVE_MISLABELED, 3);
    let text = Stage::new(&scratch).scrape();
    assert_eq!((lookups("limit", &text), lookups("label_count", &text)), (Some(5.0), Some(3.0)));
}

#[test]
fn a_segment_that_was_taken_before_is_removed_and_not_read_again() {
    let scratch = Scratch::new();
    let mut app = app(&scratch, "shop", 1);
    app.writer.add(app.counter, 5);
    let ack = scratch.path().join("agent").join(app.writer.name.ack_file());
    let mut stage = Stage::new(&scratch);
    stage.scrape();
    let path = app.writer.die();
    let kept = fs::read(&path).expect("segment");
    stage.scrape();
    // As if the agent had been killed between the final ack and the removal.
    fs::write(&path, kept).expect("segment");
    drop(stage);
    let mut next = Stage::new(&scratch);
    assert_eq!(next.value("n_total"), Some(5.0), "once, by the ledger");
    next.scrape();
    assert!(!path.exists());
    next.scrape();
    assert!(!ack.exists());
}

fn lose_ledger(scratch: &Scratch) {
    for name in ["agent/ledger", "agent/ledger.journal"] {
        fs::remove_file(scratch.path().join(name)).expect("a ledger");
    }
}

#[test]
fn the_next_agent_goes_on_from_the_ledger() {
    let scratch = Scratch::new();
    let mut app = app(&scratch, "shop", 1);
    app.writer.add(app.counter, 1000);
    app.writer.spill_add(app.counter, 1000);
    app.writer.spill_observe(app.histogram, 0.5);
    Stage::new(&scratch).scrape();
    app.writer.add(app.counter, 1);
    app.writer.spill_add(app.counter, 3);
    app.writer.spill_observe(app.histogram, 0.5);
    let mut next = Stage::new(&scratch);
    assert_eq!(next.value("n_total"), Some(2004.0));
    app.writer.spill_add(app.counter, 2);
    let text = next.scrape();
    assert_eq!(find(&text, "n_total"), Some(2006.0));
    assert_eq!(find(&text, "h_count"), Some(2.0));
    assert_eq!(find(&text, "h_sum"), Some(1.0));
    assert_eq!(find(&text, "ringmeter_records_spilled_total"), Some(5.0), "calls");
}

#[test]
fn without_a_ledger_the_next_agent_goes_on_at_the_ack() {
    let scratch = Scratch::new();
    let mut app = app(&scratch, "shop", 1);
    app.writer.add(app.counter, 1000);
    app.writer.spill_add(app.counter, 1000);
    Stage::new(&scratch).scrape();
    lose_ledger(&scratch);
    app.writer.add(app.counter, 1);
    let mut next = Stage::new(&scratch);
    assert_eq!(next.value("n_total"), Some(1.0), "neither record nor cell is counted again");
    app.writer.spill_add(app.counter, 2);
    let text = next.scrape();
    assert_eq!(find(&text, "n_total"), Some(3.0));
    assert_eq!(find(&text, "ringmeter_records_spilled_total"), Some(1.0));
    assert_eq!(find(&text, "ringmeter_segments_baselined_total"), Some(1.0));
}

#[test]
fn an_ack_that_is_lost_counts_nothing_twice() {
    let scratch = Scratch::new();
    let mut app = app(&scratch, "shop", 1);
    let mut stage = Stage::new(&scratch);
    for _ in 0..3 {
        for _ in 0..CAPACITY_RECORDS {
            app.writer.add(app.counter, 1);
        }
        stage.scrape();
    }
    drop(stage);
    let ack = scratch.path().join("agent").join(app.writer.name.ack_file());
    let taken = f64::from(3 * CAPACITY_RECORDS);
    for (number, damage) in (0..).zip([Vec::new(), vec![1; 300]]) {
        fs::write(&ack, damage.clone()).expect("damage");
        let mut next = Stage::new(&scratch);
        let before = taken + f64::from(number);
        assert_eq!(next.value("n_total"), Some(before), "the ledger knows");
        app.writer.add(app.counter, 1);
        assert_eq!(next.value("n_total"), Some(before + 1.0), "and it goes on");
    }
    for damage in [Vec::new(), vec![1; 300]] {
        fs::write(&ack, damage).expect("damage");
        lose_ledger(&scratch);
        let mut next = Stage::new(&scratch);
        assert_eq!(next.value("n_total"), Some(0.0));
        assert_eq!(next.value("ringmeter_lanes_rebased_total"), Some(1.0));
        app.writer.add(app.counter, 1);
        assert_eq!(next.value("n_total"), Some(1.0), "and it goes on");
    }
}

#[test]
fn a_second_service_is_never_added_to_the_first() {
    let scratch = Scratch::new();
    let mut first = app(&scratch, "shop", 1);
    first.writer.add(first.counter, 1);
    let mut second = app(&scratch, "bakery", 2);
    second.writer.add(second.counter, 10);
    let mut stage = Stage::new(&scratch);
    let text = stage.scrape();
    assert_eq!(find(&text, "n_total"), Some(1.0), "the older one has the directory");
    let quarantined = "ringmeter_segments_quarantined{reason=\"other_service\"}";
    assert_eq!(find(&text, quarantined), Some(1.0));
    let ack = scratch.path().join("agent").join(second.writer.name.ack_file());
    assert!(!ack.exists(), "nobody would ever remove it");
    first.writer.die();
    stage.scrape();
    let text = stage.scrape();
    assert_eq!(find(&text, "n_total"), Some(1.0), "{text}");
    assert_eq!(find(&text, quarantined), Some(1.0), "also when the first is gone");
    drop(stage);
    let text = Stage::new(&scratch).scrape();
    assert_eq!(find(&text, "n_total"), Some(1.0), "{text}");
    assert_eq!(find(&text, quarantined), Some(1.0), "also for the next agent");
    assert!(!ack.exists());
}

#[test]
fn a_stopped_process_is_not_a_dead_one_and_nothing_is_needed_to_start() {
    let scratch = Scratch::new();
    let mut stage = Stage::new(&scratch);
    assert_eq!(stage.value("ringmeter_segments{state=\"live\"}"), Some(0.0), "no directory yet");
    let mut app = app(&scratch, "shop", 1);
    app.writer.add(app.counter, 1);
    stage.scrape();
    for _ in 0..100 {
        stage.later(60_000);
        stage.list();
        stage.pass();
    }
    assert_eq!(stage.value("ringmeter_segments{state=\"live\"}"), Some(1.0));
    assert!(app.writer.path.exists());
    let mut word = [0; 8];
    let ack = scratch.path().join("agent").join(app.writer.name.ack_file());
    let ack = fs::File::open(ack).expect("ack");
    ack.read_exact_at(&mut word, 48).expect("state");
    assert_eq!(u64::from_le_bytes(word), ringmeter_layout::ack::STATE_ACTIVE);
}

/// What a baseline has no memory for must not be added later.
#[test]
fn a_segment_that_brings_nothing_new_is_idle() {
    let scratch = Scratch::new();
    let mut app = app(&scratch, "shop", 1);
    let mut stage = Stage::new(&scratch);
    let idle_s = |stage: &mut Stage| {
        stage.value("ringmeter_segment_idle_max_seconds").expect("the agent says so").floor()
    };
    let _ = stage.scrape();
    stage.later(70_000);
    assert!(idle_s(&mut stage) >= 70.0);
    app.writer.hold_in_lane(0, 1, 5);
    assert_eq!(idle_s(&mut stage), 0.0, "a counter in a lane");
    stage.later(5_000);
    assert_eq!(idle_s(&mut stage), 6.0, "a scrape is a second later");
    app.writer.observe(app.histogram, 1.0);
    assert_eq!(idle_s(&mut stage), 0.0, "a record");
    stage.later(5_000);
    app.writer.spill_observe(app.summary, 1.0);
    assert_eq!(idle_s(&mut stage), 0.0, "spill");
    stage.later(5_000);
    assert_eq!(idle_s(&mut stage), 6.0, "a scrape brings nothing");
}

#[test]
fn what_was_taken_of_a_cell_beyond_a_limit_is_not_forgotten() {
    let scratch = Scratch::new();
    let mut app = app(&scratch, "shop", 1);
    let counters = app.writer.family(family(Kind::Counter, "after_total", &[]));
    let after = app.writer.series(counters, &[]);
    // The last of the summary's buckets, so that the counter's words share a slice with it.
    let value = 1.5 * 2.0_f64.powi(63);
    app.writer.spill_observe(app.summary, value);
    assert_eq!(Stage::new(&scratch).value("s_count"), Some(1.0));
    // The second agent reads the counter's cells and not the summary's.
    app.writer.spill_add(after, 5);
    let few = Limits { cells_per_segment_max_bytes: 64, ..Limits::default() };
    let mut stage = Stage::with(&scratch, few);
    assert_eq!((stage.value("after_total"), stage.value("s_count")), (Some(5.0), Some(1.0)));
    drop(stage);
    let mut stage = Stage::new(&scratch);
    assert_eq!((stage.value("after_total"), stage.value("s_count")), (Some(5.0), Some(1.0)));
    app.writer.spill_observe(app.summary, value);
    assert_eq!(stage.value("s_count"), Some(2.0));
}

#[test]
fn a_baseline_is_remembered_whatever_memory_there_is() {
    let scratch = Scratch::new();
    let mut app = app(&scratch, "shop", 1);
    app.writer.spill_observe(app.histogram, 0.5);
    app.writer.hold_in_lane(0, 1, 1000);
    Stage::new(&scratch).scrape();
    lose_ledger(&scratch);
    let limits = Limits { segment_memory_max_bytes: 1800, ..Limits::default() };
    let mut next = Stage::with(&scratch, limits);
    let totals = |text: &str| (find(text, "n_total"), find(text, "h_count"));
    assert_eq!(totals(&next.scrape()), (Some(0.0), Some(0.0)));
    app.writer.hold_in_lane(0, 1, 1002);
    app.writer.die();
    assert_eq!(totals(&next.scrape()), (Some(2.0), Some(0.0)));
}
