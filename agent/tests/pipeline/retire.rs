//! Series that processes have removed: gone with the last process that held them, and neither
//! sooner nor later when the agent is restarted.

use proptest::prelude::*;
use ringmeter_agent::limits::Limits;
use ringmeter_layout::cell;
use ringmeter_layout::naming::Kind;

use crate::scratch::Scratch;
use crate::stage::{Stage, find};
use crate::writer::{Writer, family};

/// A process with a counter, a histogram and a gauge of one label.
struct App {
    writer: Writer,
    series: [u32; 3],
    /// In the counter's cell of its only lane.
    counted: u64,
    is_held: bool,
}

const NAMES: [&str; 3] = ["n_total{k=\"v\"}", "h_count{k=\"v\"}", "g{k=\"v\"}"];

impl App {
    fn new(scratch: &Scratch, id: u8) -> Self {
        let mut writer = Writer::create(scratch.path(), "shop", id);
        let kinds = [("n_total", Kind::Counter), ("h", Kind::Histogram), ("g", Kind::Gauge)];
        let series = kinds.map(|(name, kind)| {
            let family = writer.family(family(kind, name, &["k"]));
            writer.series(family, &["v"])
        });
        writer.set(series[2], 1.0);
        Self { writer, series, counted: 0, is_held: true }
    }

    /// Counts in the lane's cell, and observes by a record: nothing of the histogram is ever in
    /// its cell but the state.
    fn record(&mut self) {
        self.counted += 1;
        self.writer.hold_in_lane(0, 1, self.counted);
        self.writer.observe(self.series[1], 0.5);
    }

    /// Removes its series, or asks for them again.
    fn turn(&mut self) {
        self.series.iter().for_each(|series| self.writer.turn(*series));
        self.is_held = !self.is_held;
    }
}

fn shown(stage: &mut Stage) -> [Option<f64>; 3] {
    let text = stage.scrape();
    NAMES.map(|name| find(&text, name))
}

/// A process dies: it is seen, and everything of it taken.
fn bury(app: App, stage: &mut Stage) {
    let path = app.writer.die();
    stage.scrape();
    assert!(!path.exists());
}

#[test]
fn what_the_dead_held_is_shown_by_the_next_agent_too() {
    let scratch = Scratch::new();
    let (mut first, mut second) = (App::new(&scratch, 1), App::new(&scratch, 2));
    first.record();
    second.record();
    let mut stage = Stage::new(&scratch);
    assert_eq!(shown(&mut stage), [Some(2.0), Some(2.0), Some(2.0)]);
    first.turn();
    assert_eq!(shown(&mut stage), [Some(2.0), Some(2.0), Some(1.0)], "the other holds it");
    bury(second, &mut stage);
    for restart in 0..3 {
        assert_eq!(shown(&mut stage), [Some(2.0), Some(2.0), None], "restart {restart}");
        drop(stage);
        stage = Stage::new(&scratch);
    }
    first.turn();
    first.record();
    assert_eq!(shown(&mut stage), [Some(3.0), Some(3.0), Some(1.0)], "asked for again");
    first.turn();
    for restart in 0..3 {
        assert_eq!(shown(&mut stage), [None; 3], "removed by the last, restart {restart}");
        drop(stage);
        stage = Stage::new(&scratch);
    }
    bury(first, &mut stage);
    assert_eq!(shown(&mut stage), [None; 3]);
    let mut third = App::new(&scratch, 3);
    third.record();
    assert_eq!(shown(&mut stage), [Some(4.0), Some(4.0), Some(1.0)], "with its total");
}

/// Removed, asked for and removed again between two looks is removed by a process that held it.
#[test]
fn a_process_that_held_a_series_unseen_takes_it_along() {
    for is_restarted in [false, true] {
        let scratch = Scratch::new();
        let (mut first, second) = (App::new(&scratch, 1), App::new(&scratch, 2));
        first.record();
        let mut stage = Stage::new(&scratch);
        shown(&mut stage);
        first.turn();
        shown(&mut stage);
        bury(second, &mut stage);
        assert_eq!(shown(&mut stage), [Some(1.0), Some(1.0), None]);
        let mut stage = Some(stage).filter(|_| !is_restarted);
        first.turn();
        first.turn();
        let stage = stage.get_or_insert_with(|| Stage::new(&scratch));
        assert_eq!(shown(stage), [None; 3], "{is_restarted}");
    }
}

/// The series leaves its overflow series when there is room, and is nobody's then.
#[test]
fn a_removed_series_that_gets_a_place_of_its_own_is_removed_there() {
    let scratch = Scratch::new();
    let mut app = App::new(&scratch, 1);
    app.record();
    let few = Limits { series_per_family_max: 1, ..Limits::default() };
    let mut stage = Stage::with(&scratch, few);
    stage.scrape();
    app.turn();
    stage.scrape();
    drop(stage);
    assert_eq!(shown(&mut Stage::new(&scratch)), [None; 3]);
}

/// A handle kept from before counts on, for the first time.
#[test]
fn what_is_counted_after_the_removal_does_not_hide_that_it_was_seen() {
    let scratch = Scratch::new();
    let (mut first, mut second) = (App::new(&scratch, 1), App::new(&scratch, 2));
    second.record();
    let mut stage = Stage::new(&scratch);
    shown(&mut stage);
    first.turn();
    shown(&mut stage);
    bury(second, &mut stage);
    first.record();
    for restart in 0..3 {
        assert_eq!(shown(&mut stage), [Some(2.0), Some(2.0), None], "restart {restart}");
        drop(stage);
        stage = Stage::new(&scratch);
    }
}

/// What is remembered of a segment goes with it, or the ledger would contradict itself.
#[test]
fn what_was_removed_in_a_segment_that_is_gone_is_forgotten() {
    for is_liar in [false, true] {
        let scratch = Scratch::new();
        let mut first = App::new(&scratch, 1);
        first.record();
        let mut stage = Stage::new(&scratch);
        shown(&mut stage);
        first.turn();
        assert_eq!(shown(&mut stage), [None; 3]);
        if is_liar {
            first.writer.poke(first.series[1], cell::state_word(Kind::Histogram), 0);
        }
        bury(first, &mut stage);
        stage.scrape();
        drop(stage);
        let mut stage = Stage::new(&scratch);
        let mut second = App::new(&scratch, 2);
        second.record();
        assert_eq!(shown(&mut stage), [Some(2.0), Some(2.0), Some(1.0)]);
        let corrupt = "ringmeter_ledger_set_aside_total{reason=\"corrupt\"}";
        assert_eq!(stage.value(corrupt), Some(0.0));
    }
}

/// A series whose cell is not read is held as long as its process lives, and no longer.
#[test]
fn a_series_whose_cell_is_beyond_a_limit_is_held_by_its_process() {
    let scratch = Scratch::new();
    let mut first = Writer::create(scratch.path(), "shop", 1);
    let others = first.family(family(Kind::Histogram, "other", &[]));
    let _ = first.series(others, &[]);
    let histograms = first.family(family(Kind::Histogram, "h", &["k"]));
    let series = first.series(histograms, &["v"]);
    first.observe(series, 0.5);
    let mut second = App::new(&scratch, 2);
    second.record();
    // The cells of two histograms, each with an overflow series, are 4,288 bytes.
    let limits = Limits { cells_per_segment_max_bytes: 5000, ..Limits::default() };
    let mut stage = Stage::with(&scratch, limits);
    assert_eq!(shown(&mut stage), [Some(1.0), Some(2.0), Some(1.0)]);
    assert_eq!(stage.value("ringmeter_cells_deferred_total"), Some(2.0));
    second.turn();
    assert_eq!(shown(&mut stage), [None, Some(2.0), None], "the other may still have it");
    second.turn();
    stage.scrape();
    drop(first.die());
    stage.scrape();
    second.turn();
    assert_eq!(shown(&mut stage), [None; 3]);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Begin,
    Record(usize),
    Turn(usize),
    End(usize),
}

fn step() -> impl Strategy<Value = (Step, bool)> {
    let some = 0..8usize;
    let step = prop_oneof![
        2 => Just(Step::Begin),
        2 => some.clone().prop_map(Step::Record),
        5 => some.clone().prop_map(Step::Turn),
        2 => some.prop_map(Step::End),
    ];
    (step, any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Against a model of the rule: who removes a series last takes it along, who dies does not.
    /// The agent is killed before some of the steps and started after them.
    #[test]
    fn what_is_shown_does_not_depend_on_restarts(
        steps in prop::collection::vec(step(), 1..25),
    ) {
        let scratch = Scratch::new();
        let mut stage = Some(Stage::new(&scratch));
        let mut apps: Vec<App> = Vec::new();
        let (mut total, mut is_shown) = (0.0, false);
        for (id, (step, is_down)) in (1u8..).zip(steps) {
            if is_down {
                stage = None;
            }
            let count = apps.len();
            match step {
                Step::Begin => {
                    apps.push(App::new(&scratch, id));
                    is_shown = true;
                }
                Step::Record(app) if count > 0 => {
                    apps[app % count].record();
                    total += 1.0;
                }
                Step::Turn(app) if count > 0 => {
                    apps[app % count].turn();
                    is_shown = apps.iter().any(|app| app.is_held);
                }
                Step::End(app) if count > 0 => drop(apps.remove(app % count).writer.die()),
                Step::Record(_) | Step::Turn(_) | Step::End(_) => {}
            }
            let stage = stage.get_or_insert_with(|| Stage::new(&scratch));
            stage.scrape();
            let held = apps.iter().filter(|app| app.is_held).count() as f64;
            let total = is_shown.then_some(total);
            let level = Some(held).filter(|held| *held > 0.0);
            prop_assert_eq!(shown(stage), [total, total, level], "{:?} {}", step, is_down);
        }
    }
}
