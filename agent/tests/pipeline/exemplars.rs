//! Records of several slots on their way through a lane: over its end, over the shares in which it
//! is read, and lies about their length.

use ringmeter_agent::expose::openmetrics;
use ringmeter_agent::limits::Limits;
use ringmeter_layout::exemplar::LongRecord;
use ringmeter_layout::naming::Kind;
use ringmeter_layout::record::{Operation, pack_long};

use crate::scratch::Scratch;
use crate::stage::{Stage, find};
use crate::writer::{Writer, family};

/// The wall clock when the stage's clock is 0.
const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

/// Writes the slots of a record and then publishes them together.
fn write(app: &mut Writer, record: &LongRecord) {
    app.slots(0, record.slots());
}

fn observed(series: u32, value: f64, id: &str) -> LongRecord {
    let labels = [("trace_id", id)].into_iter();
    LongRecord::new(series, Operation::ObserveF64, value.to_bits(), 0, labels).expect("labels")
}

fn page(stage: &mut Stage) -> String {
    let snapshot = stage.scrape_snapshot(EPOCH_NS);
    let mut bytes = Vec::new();
    openmetrics::encode(&snapshot, false, &mut bytes);
    String::from_utf8(bytes).expect("UTF-8")
}

fn app(scratch: &Scratch) -> (Writer, u32, u32) {
    let mut app = Writer::create(scratch.path(), "shop", 1);
    let mut shape = family(Kind::Histogram, "h_seconds", &[]);
    shape.bounds = vec![1.0, 10.0];
    let histograms = app.family(shape);
    let histogram = app.series(histograms, &[]);
    let counters = app.family(family(Kind::Counter, "n_total", &[]));
    let counter = app.series(counters, &[]);
    (app, histogram, counter)
}

#[test]
fn records_of_every_length_are_taken_whole_wherever_they_stand() {
    let scratch = Scratch::new();
    let (mut app, histogram, counter) = app(&scratch);
    // Shares of 64 slots, the fewest there may be, of lanes of 64.
    let limits = Limits { records_per_round: 64, records_per_step: 64, ..Limits::default() };
    let mut stage = Stage::with(&scratch, limits);
    let (mut count, mut sum, mut added) = (0, 0.0, 0);
    for round in 0..500_u32 {
        // Slots of a round: 3 to 36, so that rounds end everywhere in the ring.
        let id = "x".repeat(usize::try_from(round % 120).expect("small"));
        let value = f64::from(round % 20) + 0.5;
        write(&mut app, &observed(histogram, value, &id));
        app.add(counter, 1);
        (count, sum, added) = (count + 1, sum + value, added + 1);
        let page = page(&mut stage);
        assert_eq!(find(&page, "h_seconds_count"), Some(f64::from(count)), "round {round}");
        let le = if value < 1.0 {
            "1.0"
        } else if value < 10.0 {
            "10.0"
        } else {
            "+Inf"
        };
        let line = page.lines().find(|line| line.contains(&format!("le=\"{le}\"")));
        let expected = format!(" # {{trace_id=\"{id}\"}} {value} 17000");
        assert!(line.is_some_and(|line| line.contains(&expected)), "round {round}: {line:?}");
    }
    let text = stage.scrape();
    assert_eq!(find(&text, "h_seconds_sum"), Some(sum));
    assert_eq!(find(&text, "n_total"), Some(f64::from(added)));
    assert_eq!(find(&text, "ringmeter_records_drained_total"), Some(f64::from(count + added)));
    assert_eq!(find(&text, "ringmeter_exemplars_dropped_total{reason=\"malformed\"}"), Some(0.0));
}

#[test]
fn an_agent_that_comes_later_goes_on_behind_the_last_record() {
    let scratch = Scratch::new();
    let (mut app, histogram, _) = app(&scratch);
    for round in 0..40_u32 {
        write(&mut app, &observed(histogram, 0.5, &"y".repeat(61)));
        let mut stage = Stage::new(&scratch);
        let page = page(&mut stage);
        assert_eq!(find(&page, "h_seconds_count"), Some(f64::from(round + 1)));
        assert_eq!(page.matches("trace_id").count(), 1, "the one that was just taken");
    }
}

#[test]
fn what_an_app_says_of_its_exemplars_is_counted_once() {
    let scratch = Scratch::new();
    let (mut app, histogram, _) = app(&scratch);
    write(&mut app, &observed(histogram, 0.5, "a"));
    let dropped = |text: &str, reason: &str| {
        find(text, &format!("ringmeter_exemplars_dropped_total{{reason=\"{reason}\"}}"))
    };
    let mut stage = Stage::new(&scratch);
    stage.scrape();
    app.live(72, 3);
    app.live(80, 5);
    for _ in 0..2 {
        let text = stage.scrape();
        assert_eq!((dropped(&text, "labels"), dropped(&text, "lane")), (Some(3.0), Some(5.0)));
        drop(stage);
        stage = Stage::new(&scratch);
    }
    app.live(72, 4);
    let text = stage.scrape();
    assert_eq!((dropped(&text, "labels"), dropped(&text, "lane")), (Some(4.0), Some(5.0)));
}

#[test]
fn lengths_that_lie_are_bounded_and_counted() {
    for slots in [0, 2, 33, 34, 35, 64, 200, 255] {
        let scratch = Scratch::new();
        let (mut app, histogram, counter) = app(&scratch);
        let mut stage = Stage::new(&scratch);
        app.add(counter, 1);
        stage.scrape();
        let head = pack_long(histogram, Operation::ObserveF64Exemplar, slots);
        app.raw(0, head, 1.5_f64.to_bits());
        stage.scrape();
        // Longer than what was published: the slots that it claims are left out when they come.
        for _ in 0..300 {
            app.add(counter, 1);
            stage.scrape();
        }
        let text = stage.scrape();
        let rejected = find(&text, "ringmeter_records_rejected_total{reason=\"malformed\"}");
        assert_eq!(rejected, Some(1.0), "{slots} slots");
        assert_eq!(find(&text, "h_seconds_count"), Some(0.0));
        let claimed = f64::from(slots.max(1) - 1);
        assert_eq!(find(&text, "n_total"), Some(301.0 - claimed), "{slots} slots");
    }
}
