//! What a refused metric counts is told as rejected: all of it, and once.

use std::mem::offset_of;
use std::time::{SystemTime, UNIX_EPOCH};

use ringmeter_agent::limits::Limits;
use ringmeter_layout::naming::Kind;
use ringmeter_layout::segment::RawHeader;

use crate::scratch::Scratch;
use crate::stage::Stage;
use crate::writer::{Writer, family};

const REJECTED: &str = "ringmeter_records_rejected_total{reason=\"metric_refused\"}";

/// A process with three metrics, of which only the first is taken.
struct App {
    writer: Writer,
    counter: u32,
    histogram: u32,
}

/// Of the refused counter, as they are defined.
const IN_LANE: u64 = 3;

fn app(scratch: &Scratch) -> App {
    let mut writer = Writer::create(scratch.path(), "shop", 1);
    let metrics = [("taken_total", Kind::Counter), ("n_total", Kind::Counter)];
    let [_, counter] = metrics.map(|(name, kind)| {
        let family = writer.family(family(kind, name, &[]));
        writer.series(family, &[])
    });
    let histograms = writer.family(family(Kind::Histogram, "h", &[]));
    let histogram = writer.series(histograms, &[]);
    App { writer, counter, histogram }
}

/// With room for one metric of a process.
fn few() -> Limits {
    Limits { families_per_segment_max: 1, ..Limits::default() }
}

#[test]
fn what_a_refused_metric_counts_in_cells_is_told_once() {
    for is_young in [false, true] {
        let scratch = Scratch::new();
        let App { mut writer, counter, histogram } = app(&scratch);
        if is_young {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            let now_ns = u64::try_from(now.as_nanos()).expect("before 2554");
            writer.write(offset_of!(RawHeader, created_unix_ns) as u64, &now_ns.to_le_bytes());
        }
        writer.hold_in_lane(0, IN_LANE, 5);
        writer.spill_add(counter, 20);
        (0..300).for_each(|_| writer.spill_observe(histogram, 0.5));
        writer.add(counter, 1);
        let mut stage = Stage::with(&scratch, few());
        assert_eq!(stage.value(REJECTED), Some(326.0), "from before the agent, {is_young}");
        writer.hold_in_lane(0, IN_LANE, 6);
        assert_eq!(stage.value(REJECTED), Some(327.0), "in a lane alone");
        drop(stage);
        writer.hold_in_lane(0, IN_LANE, 7);
        writer.spill_observe(histogram, -1.0);
        for restart in 0..3 {
            let mut stage = Stage::with(&scratch, few());
            assert_eq!(stage.value(REJECTED), Some(329.0), "restart {restart}, {is_young}");
            assert_eq!(stage.value(REJECTED), Some(329.0), "and nothing new");
        }
        let mut stage = Stage::with(&scratch, few());
        writer.hold_in_lane(0, IN_LANE, 8);
        drop(writer.die());
        assert_eq!(stage.value(REJECTED), Some(330.0), "what it had counted when it died");
    }
}

#[test]
fn what_was_told_as_rejected_is_in_no_total_when_there_is_room() {
    let scratch = Scratch::new();
    let App { mut writer, counter, histogram } = app(&scratch);
    writer.hold_in_lane(0, IN_LANE, 5);
    writer.spill_observe(histogram, 0.5);
    assert_eq!(Stage::with(&scratch, few()).value(REJECTED), Some(6.0));
    let mut stage = Stage::new(&scratch);
    assert_eq!(stage.value("n_total"), Some(0.0));
    assert_eq!(stage.value("h_count"), Some(0.0));
    writer.hold_in_lane(0, IN_LANE, 6);
    writer.spill_add(counter, 10);
    writer.spill_observe(histogram, 2.0);
    assert_eq!(stage.value("n_total"), Some(11.0));
    assert_eq!(stage.value("h_count"), Some(1.0));
    assert_eq!(stage.value("h_bucket{le=\"1.0\"}"), Some(0.0));
    assert_eq!(stage.value(REJECTED), Some(6.0));
}

/// A histogram's cell is 2,144 bytes: one of the refused metric is read, so that there is room for
/// both of the one that is taken.
#[test]
fn cells_of_refused_metrics_keep_no_others_from_being_read() {
    let scratch = Scratch::new();
    let mut other = Writer::create(scratch.path(), "shop", 2);
    let histograms = other.family(family(Kind::Histogram, "shared", &[]));
    let _ = other.series(histograms, &[]);
    let limits = Limits { cells_per_segment_max_bytes: 6600, ..few() };
    let mut stage = Stage::with(&scratch, limits);
    assert_eq!(stage.value("shared_count"), Some(0.0));
    let App { mut writer, histogram: refused, .. } = app(&scratch);
    let histograms = writer.family(family(Kind::Histogram, "shared", &[]));
    let taken = writer.series(histograms, &[]);
    writer.spill_observe(refused, 0.5);
    writer.spill_observe(taken, 0.5);
    assert_eq!(stage.value("shared_count"), Some(1.0));
    assert_eq!(stage.value("ringmeter_cells_deferred_total"), Some(1.0));
    assert_eq!(stage.value(REJECTED), Some(0.0));
}
