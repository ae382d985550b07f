//! What has not changed is shown as it was: a page that is made from the one before is the same as
//! that of an agent which begins anew.

use proptest::prelude::*;
use ringmeter_agent::snapshot::Snapshot;
use ringmeter_layout::naming::Kind;

use crate::scratch::Scratch;
use crate::stage::Stage;
use crate::writer::{Writer, family};

/// One step of an app.
#[derive(Debug, Clone)]
enum Step {
    Add(usize, u64),
    AddFloat(usize),
    Spill(usize),
    Observe(usize, u32),
    SpillObserve(usize, u32),
    Define(usize),
    /// Retires a counter that no other app has, or brings it back: of one that a dead process had
    /// as well, an agent that begins anew does not know that it is still shown.
    Turn(usize),
    Leave,
    Scrape,
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0..6_usize;
    prop_oneof![
        (at.clone(), 0..3_u64).prop_map(|(at, value)| Step::Add(at, value)),
        at.clone().prop_map(Step::AddFloat),
        at.clone().prop_map(Step::Spill),
        (at.clone(), 0..20_u32).prop_map(|(at, value)| Step::Observe(at, value)),
        (at.clone(), 0..20_u32).prop_map(|(at, value)| Step::SpillObserve(at, value)),
        at.clone().prop_map(Step::Define),
        at.prop_map(Step::Turn),
        Just(Step::Leave),
        Just(Step::Scrape),
        Just(Step::Scrape),
    ]
}

const NAMES: [&str; 2] = ["a_total", "b_total"];

/// A process with counters of two metrics, and a histogram.
struct App {
    writer: Writer,
    counters: Vec<u32>,
    histograms: Vec<u32>,
    families: [u32; 3],
    id: u8,
}

/// Counters that every app defines.
const COMMON: usize = 2;

impl App {
    fn new(scratch: &Scratch, id: u8) -> Self {
        let mut writer = Writer::create(scratch.path(), "shop", id);
        let families = [
            writer.family(family(Kind::Counter, NAMES[0], &["l"])),
            writer.family(family(Kind::Counter, NAMES[1], &["l"])),
            writer.family(family(Kind::Histogram, "h_seconds", &["l"])),
        ];
        let mut app = Self { writer, counters: Vec::new(), histograms: Vec::new(), families, id };
        (0..3).for_each(|number| app.define(number));
        app
    }

    fn define(&mut self, number: usize) {
        let own = self.families[number % 3];
        let count = self.counters.len() + self.histograms.len();
        let label = if count < 3 { format!("l{count}") } else { format!("l{count}-{}", self.id) };
        let series = self.writer.series(own, &[&label]);
        let list = if number % 3 == 2 { &mut self.histograms } else { &mut self.counters };
        list.push(series);
    }

    fn do_step(&mut self, step: &Step) {
        let counter = |at: usize| self.counters[at % self.counters.len()];
        let histogram = |at: usize| self.histograms[at % self.histograms.len()];
        match step {
            Step::Add(at, value) => self.writer.add(counter(*at), *value),
            Step::AddFloat(at) => self.writer.add_f64(counter(*at), 0.5),
            Step::Spill(at) => self.writer.spill_add(counter(*at), 1),
            Step::Observe(at, value) => {
                self.writer.observe(histogram(*at), observed(*value));
            }
            Step::SpillObserve(at, value) => {
                self.writer.spill_observe(histogram(*at), observed(*value));
            }
            Step::Define(number) => self.define(*number),
            Step::Turn(at) => {
                let own = self.counters.get(COMMON..).unwrap_or_default();
                own.get(at % own.len().max(1)).into_iter().for_each(|own| self.writer.turn(*own));
            }
            Step::Leave | Step::Scrape => {}
        }
    }
}

/// Zero, powers of two and others, of both signs and in several octaves.
fn observed(value: u32) -> f64 {
    (f64::from(value) - 5.0) * 0.5
}

/// The apps' part of a snapshot.
fn shown(snapshot: &Snapshot) -> Vec<String> {
    let own = snapshot.families().iter().filter(|own| !own.meta().name().starts_with("ringmeter_"));
    let text = |own: &ringmeter_agent::snapshot::FamilyBlock| {
        format!("{} {:?} {:?} {:?}", own.meta().name(), own.series(), own.starts(), own.values())
    };
    own.map(text).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_snapshot_is_the_same_whatever_was_shown_before(
        steps in prop::collection::vec((0..2_usize, step()), 1..60),
    ) {
        let scratch = Scratch::new();
        let mut stage = Stage::new(&scratch);
        stage.pipeline.show_native(true);
        let mut apps = vec![App::new(&scratch, 1), App::new(&scratch, 2)];
        let mut id = 2;
        stage.scrape();
        for (at, step) in &steps {
            match step {
                Step::Leave => {
                    apps.remove(*at).writer.die();
                    id += 1;
                    apps.insert(*at, App::new(&scratch, id));
                    stage.scrape();
                }
                Step::Scrape => drop(stage.scrape()),
                _ => {
                    apps[*at].do_step(step);
                }
            }
        }
        // Twice: the second one finds nothing new.
        stage.scrape();
        stage.scrape();
        let before = shown(&stage.scrape_snapshot(1 << 60));
        drop(stage);
        let mut stage = Stage::new(&scratch);
        stage.pipeline.show_native(true);
        prop_assert_eq!(shown(&stage.scrape_snapshot(1 << 60)), before);
    }
}
