//! A directory that somebody floods is listed in pieces: a few new files are looked into at each,
//! good ones among any number of bad ones get their turn, and nothing is taken for gone.

use ringmeter_agent::discover::Listing;
use ringmeter_layout::naming::{Kind, SegmentName};

use crate::scratch::Scratch;
use crate::stage::Stage;
use crate::writer::{Writer, family};

const NOW_NS: u64 = 2_000_000_000;
const LIVE: &str = "ringmeter_segments{state=\"live\"}";
/// What is looked into at one listing, and at one of many pieces.
const AT_ONCE: usize = 128;
const IN_A_PIECE: usize = 16;

fn listing(names: &[SegmentName], is_complete: bool) -> Listing {
    Listing { names: names.to_vec(), is_complete, strangers: 0 }
}

fn value(stage: &mut Stage, series: &str) -> Option<f64> {
    stage.pass();
    crate::stage::find(&stage.render(), series)
}

/// Names of files that are gone by the time they are looked into: such a name is new each time.
fn missing(count: u16) -> impl Iterator<Item = SegmentName> {
    let name = |number: u16| {
        let mut id = [0; 16];
        id[14..].copy_from_slice(&number.to_be_bytes());
        SegmentName::new("shop", id).expect("a name")
    };
    (0..count).map(name)
}

#[test]
fn of_each_piece_a_few_files_are_looked_into_and_of_a_whole_listing_many() {
    let scratch = Scratch::new();
    let count = AT_ONCE + 12;
    let apps = (1..=count).map(|id| u8::try_from(id).expect("few"));
    let apps: Vec<Writer> = apps.map(|id| Writer::bare(scratch.path(), "shop", id)).collect();
    let names: Vec<SegmentName> = apps.iter().map(|app| app.name).collect();
    for (is_complete, step) in [(false, IN_A_PIECE), (true, AT_ONCE)] {
        let mut stage = Stage::new(&scratch);
        for looked_into in (step..).step_by(step) {
            let has_more = stage.pipeline.reconcile(&listing(&names, is_complete), NOW_NS);
            let live = looked_into.min(count);
            assert_eq!(value(&mut stage, LIVE), Some(live as f64), "{is_complete}");
            let waiting = "ringmeter_segments{state=\"waiting\"}";
            assert_eq!(value(&mut stage, waiting), Some((count - live) as f64));
            assert_eq!(has_more, live < count, "there is more to do at once");
            if !has_more {
                break;
            }
        }
    }
}

#[test]
fn bad_files_keep_no_good_one_waiting_for_ever() {
    for (is_complete, rounds) in [(false, 2000), (true, 3)] {
        let scratch = Scratch::new();
        let app = Writer::bare(scratch.path(), "shop", 255);
        let names: Vec<SegmentName> = missing(300).chain([app.name]).collect();
        let mut stage = Stage::new(&scratch);
        // In a piece it is a matter of chance: 16 of 301 each time.
        let found = (0..rounds).find(|_| {
            stage.pipeline.reconcile(&listing(&names, is_complete), NOW_NS);
            value(&mut stage, LIVE) == Some(1.0)
        });
        assert!(found.is_some(), "not in {rounds} rounds, {is_complete}");
    }
}

#[test]
fn what_a_piece_lacks_is_not_gone() {
    let scratch = Scratch::new();
    let mut app = Writer::create(scratch.path(), "shop", 1);
    let counters = app.family(family(Kind::Counter, "n_total", &[]));
    let series = app.series(counters, &[]);
    app.add(series, 5);
    assert_eq!(Stage::new(&scratch).value("n_total"), Some(5.0));
    // The next agent hears of it in a later piece.
    let mut stage = Stage::new(&scratch);
    let ack = scratch.path().join("agent").join(app.name.ack_file());
    for _ in 0..3 {
        stage.pipeline.reconcile(&listing(&[], false), NOW_NS);
        stage.pass();
        assert!(ack.exists());
    }
    assert_eq!(stage.value("n_total"), Some(5.0), "it goes on where it was");
    app.add(series, 1);
    assert_eq!(stage.value("n_total"), Some(6.0));
    drop(app.die());
    stage.scrape();
    stage.pipeline.reconcile(&listing(&[], false), NOW_NS);
    stage.pass();
    assert!(ack.exists());
    stage.pipeline.reconcile(&listing(&[], true), NOW_NS);
    stage.pass();
    assert!(!ack.exists(), "a whole listing tells");
}
