//! What snapshots carry for the other formats than text.

use ringmeter_agent::snapshot::{FamilyBlock, Snapshot, Values};
use ringmeter_layout::naming::Kind;

use crate::scratch::Scratch;
use crate::stage::Stage;
use crate::writer::{Writer, family};

/// The wall clock when the stage's clock is 0.
const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

fn snapshot(stage: &mut Stage) -> std::sync::Arc<Snapshot> {
    stage.scrape_snapshot(EPOCH_NS)
}

fn block<'a>(snapshot: &'a Snapshot, name: &str) -> &'a FamilyBlock {
    let all = snapshot.families();
    all.iter().find(|block| block.meta().name() == name).expect("the family is there")
}

#[test]
fn starts_are_known_as_well_as_can_be_and_outlive_the_agent() {
    let scratch = Scratch::new();
    let mut app = Writer::create(scratch.path(), "shop", 1);
    // The file's own time of birth: one nanosecond after 1970 reads as unknown.
    let early = app.family(family(Kind::Counter, "early_total", &["l"]));
    let first = app.series(early, &["a"]);
    app.add(first, 1);
    let mut stage = Stage::new(&scratch);
    let before = snapshot(&mut stage);
    assert_eq!(block(&before, "early_total").start(0), None);
    // Not there at the pass before, at 2 s; found at 3 s.
    let second = app.series(early, &["b"]);
    app.add(second, 1);
    let after = snapshot(&mut stage);
    let started = Some(1_700_000_002_000);
    let own = block(&after, "early_total");
    assert_eq!((own.start(0), own.start(1)), (None, started));
    drop(stage);
    let mut next = Stage::new(&scratch);
    let restored = snapshot(&mut next);
    let own = block(&restored, "early_total");
    assert_eq!((own.start(0), own.start(1)), (None, started), "totals go on, so starts stay");
}

#[test]
fn native_buckets_are_made_while_they_are_wanted() {
    let scratch = Scratch::new();
    let mut app = Writer::create(scratch.path(), "shop", 1);
    let histograms = app.family(family(Kind::Histogram, "h_seconds", &[]));
    let series = app.series(histograms, &[]);
    for value in [0.0, 1.0, 1.0, 2.0] {
        app.observe(series, value);
    }
    let mut stage = Stage::new(&scratch);
    let shown = |snapshot: &Snapshot| {
        let Values::Histogram(values) = block(snapshot, "h_seconds").values().clone() else {
            panic!("a histogram")
        };
        let native = values.native()?.next()?;
        Some((native.schema, native.zero_count, native.positive.to_vec()))
    };
    assert_eq!(shown(&snapshot(&mut stage)), None);
    stage.pipeline.show_native(true);
    assert_eq!(shown(&snapshot(&mut stage)), Some((5, 1, vec![(0, 2), (32, 1)])));
    stage.pipeline.show_native(false);
    assert_eq!(shown(&snapshot(&mut stage)), None);
}

#[test]
fn a_family_in_which_nothing_changed_is_the_same_block() {
    let scratch = Scratch::new();
    let mut app = Writer::create(scratch.path(), "shop", 1);
    let mut all = Vec::new();
    for (kind, name) in [
        (Kind::Counter, "c_total"),
        (Kind::Gauge, "g"),
        (Kind::Histogram, "h"),
        (Kind::Summary, "s"),
    ] {
        let family = app.family(family(kind, name, &[]));
        all.push((name, app.series(family, &[])));
    }
    app.set(all[1].1, 1.0);
    let mut stage = Stage::new(&scratch);
    stage.pipeline.show_native(true);
    let first = snapshot(&mut stage);
    let second = snapshot(&mut stage);
    let is_same = |a: &Snapshot, b: &Snapshot| {
        all.iter().map(|(n, _)| block(a, n).is_same(block(b, n))).collect::<Vec<_>>()
    };
    assert_eq!(is_same(&first, &second), [true; 4], "an empty summary's NaN, too");
    app.observe(all[2].1, 1.0);
    let third = snapshot(&mut stage);
    assert_eq!(is_same(&second, &third), [true, true, false, true]);
    app.add(all[0].1, 1);
    app.set(all[1].1, 2.0);
    app.observe(all[3].1, 1.0);
    let fourth = snapshot(&mut stage);
    assert_eq!(is_same(&third, &fourth), [false, false, true, false]);
}
