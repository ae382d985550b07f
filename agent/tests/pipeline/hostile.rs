//! Segments that lie. The agent says why it refuses them, and an honest one beside them is exact.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Instant;

use proptest::prelude::*;
use ringmeter_agent::limits::Limits;
use ringmeter_layout::cell;
use ringmeter_layout::definition::{FamilyDefinition, SeriesDefinition};
use ringmeter_layout::naming::Kind;
use ringmeter_layout::record::{Operation, pack};

use crate::scratch::Scratch;
use crate::stage::{Stage, find};
use crate::writer::{
    CAPACITY_RECORDS, LIVE_CHUNKS, LIVE_DEFINITIONS, LIVE_LANES, LIVE_SHARED_SPILL, Writer, family,
};

/// An honest process that counts to a hundred while the other one does its worst.
struct Honest {
    app: Writer,
    series: u32,
    count: u64,
}

impl Honest {
    fn new(scratch: &Scratch) -> Self {
        let mut app = Writer::create(scratch.path(), "shop", 255);
        let counters = app.family(family(Kind::Counter, "honest_total", &[]));
        let series = app.series(counters, &[]);
        Self { app, series, count: 0 }
    }

    fn work(&mut self) {
        self.app.add(self.series, 1);
        self.app.spill_add(self.series, 1);
        self.count += 2;
    }
}

fn hostile(scratch: &Scratch) -> (Writer, u32) {
    let mut app = Writer::create(scratch.path(), "shop", 1);
    let counters = app.family(family(Kind::Counter, "hostile_total", &[]));
    let series = app.series(counters, &[]);
    (app, series)
}

/// Runs an attack between scrapes; returns the last exposition.
fn attack(during: impl FnOnce(&mut Writer, u32)) -> String {
    let scratch = Scratch::new();
    let mut honest = Honest::new(&scratch);
    let (mut app, series) = hostile(&scratch);
    let mut stage = Stage::new(&scratch);
    honest.work();
    app.add(series, 1);
    let text = stage.scrape();
    assert_eq!(find(&text, "hostile_total"), Some(1.0));
    during(&mut app, series);
    for _ in 0..5 {
        honest.work();
        stage.scrape();
    }
    let text = stage.scrape();
    assert_eq!(find(&text, "honest_total"), Some(honest.count as f64), "{text}");
    assert_eq!(find(&text, "ringmeter_segments{state=\"live\"}").map(|n| n >= 1.0), Some(true));
    text
}

fn assert_quarantined(text: &str, reason: &str) {
    let series = format!("ringmeter_segments_quarantined{{reason=\"{reason}\"}}");
    assert_eq!(find(text, &series), Some(1.0), "{reason} in\n{text}");
}

#[test]
fn tails_that_lie() {
    let capacity = u64::from(CAPACITY_RECORDS);
    for tail in [0, 2 + capacity, u64::MAX, 1 << 63] {
        let text = attack(|app, _| {
            app.lanes[0].tail = tail;
            app.publish(0);
        });
        assert_quarantined(&text, "tail");
    }
    // One bad look is forgiven.
    let scratch = Scratch::new();
    let (mut app, series) = hostile(&scratch);
    let mut stage = Stage::new(&scratch);
    app.add(series, 1);
    stage.scrape();
    app.lanes[0].tail = 1000;
    app.publish(0);
    stage.scrape();
    app.lanes[0].tail = 1;
    app.add(series, 1);
    assert_eq!(stage.value("hostile_total"), Some(2.0));
}

#[test]
fn files_that_shrink() {
    let text = attack(|app, _| {
        app.file.set_len(65_536).expect("truncate");
        app.lanes[0].tail += 1;
        app.publish(0);
    });
    assert_quarantined(&text, "short");
    let text = attack(|app, _| app.file.set_len(0).expect("truncate"));
    assert_quarantined(&text, "short");
}

/// What is remembered of the first file must leave with it, or the next agent finds a ledger that
/// contradicts itself.
#[test]
fn another_file_under_the_name_of_a_refused_one_does_not_spoil_the_ledger() {
    let scratch = Scratch::new();
    let mut honest = Honest::new(&scratch);
    let (mut app, series) = hostile(&scratch);
    let mut stage = Stage::new(&scratch);
    honest.work();
    app.spill_add(series, 5);
    let text = stage.scrape();
    assert_eq!(find(&text, "hostile_total"), Some(5.0));
    app.lanes[0].tail = u64::MAX;
    app.publish(0);
    for _ in 0..5 {
        stage.scrape();
    }
    assert_quarantined(&stage.scrape(), "tail");
    // Another valid file under the same name, of which no cell is used; then its process dies.
    let path = app.die();
    fs::remove_file(&path).expect("the segment");
    let (second, _) = hostile(&scratch);
    for _ in 0..5 {
        stage.scrape();
    }
    let path = second.die();
    for _ in 0..5 {
        stage.scrape();
    }
    assert!(!path.exists(), "it is taken and removed");
    drop(stage);
    honest.work();
    let mut next = Stage::new(&scratch);
    let text = next.scrape();
    for reason in ["corrupt", "stale", "foreign", "newer"] {
        let aside = format!("ringmeter_ledger_set_aside_total{{reason=\"{reason}\"}}");
        assert_eq!(find(&text, &aside), Some(0.0));
    }
    assert_eq!(find(&text, "honest_total"), Some(honest.count as f64), "{text}");
}

#[test]
fn a_huge_sparse_file_costs_nothing() {
    let text = attack(|app, series| {
        app.file.set_len(1 << 45).expect("grow");
        app.add(series, 1);
    });
    assert_eq!(find(&text, "hostile_total"), Some(2.0));
    assert!(find(&text, "ringmeter_memory_bytes").expect("bytes") < 1e5);
}

#[test]
fn counts_that_lie() {
    for (word, value, reason) in [
        (LIVE_CHUNKS, u64::MAX, "chunks"),
        (LIVE_CHUNKS, 0, "chunks"),
        (LIVE_LANES, 300, "lanes"),
        (LIVE_LANES, 0, "lanes"),
        (LIVE_LANES, 2, "lanes"),
        (LIVE_DEFINITIONS, u64::MAX, "definitions"),
        (LIVE_DEFINITIONS, 4, "definitions"),
        (LIVE_DEFINITIONS, 0, "definitions"),
    ] {
        let text = attack(|app, _| {
            app.live(word, value);
            if word == LIVE_CHUNKS {
                // Chunks are looked at when something is said to be in them.
                app.live(LIVE_DEFINITIONS, 4);
            }
        });
        assert_quarantined(&text, reason);
    }
}

#[test]
fn chunks_that_lie() {
    let lies: [(u32, u64, u64); 6] = [
        (1, 65_536, 65_536),
        (1, 1 << 40, 65_536),
        (1, 262_145, 65_536),
        (9, 393_216, 65_536),
        (2, 0, 65_536),
        (1, u64::MAX - 65_535, u64::MAX - 65_535),
    ];
    for (kind, offset, length) in lies {
        let text = attack(|app, _| {
            app.file.set_len(1 << 20).expect("grow");
            app.chunk_entry(kind, offset, length);
            app.live(LIVE_DEFINITIONS, 4);
        });
        assert_quarantined(&text, "chunks");
    }
}

#[test]
fn definitions_that_lie() {
    let series = |id, family, cell_offset_bytes, values: &[&str]| SeriesDefinition {
        id,
        family,
        cell_offset_bytes,
        label_values: values.iter().map(|value| (*value).to_owned()).collect(),
        is_overflow: false,
    };
    let named = |name: &str| FamilyDefinition { id: 1, ..family(Kind::Counter, name, &[]) };
    let lies: Vec<Vec<u8>> = vec![
        vec![0; 8],
        vec![255; 64],
        series(7, 0, 196_608, &[]).encode(),
        series(2, 9, 196_608, &[]).encode(),
        series(2, 0, 0, &[]).encode(),
        series(2, 0, 65_536, &[]).encode(),
        series(2, 0, u64::MAX - 7, &[]).encode(),
        series(2, 0, 196_608, &["surplus"]).encode(),
        named("ringmeter_build_info").encode(),
        named("up").encode(),
        named("bad name").encode(),
        named("").encode(),
    ];
    for lie in lies {
        let text = attack(|app, _| app.define(&lie));
        assert_quarantined(&text, "definitions");
    }
}

#[test]
fn records_that_mean_nothing_are_counted_by_reason() {
    let text = attack(|app, series| {
        let gauges = app.family(family(Kind::Gauge, "gauge", &[]));
        let gauge = app.series(gauges, &[]);
        let histograms = app.family(family(Kind::Histogram, "histogram", &[]));
        let histogram = app.series(histograms, &[]);
        app.raw(0, pack(999, Operation::AddU64), 1);
        app.raw(0, pack(u32::MAX, Operation::ObserveF64), 1);
        app.raw(0, pack(gauge, Operation::AddU64), 1);
        app.raw(0, pack(series, Operation::ObserveF64), 1);
        app.raw(0, pack(histogram, Operation::AddF64), 1);
        app.raw(0, 0, 0);
        app.raw(0, u64::MAX, 1);
        app.raw(0, pack(series, Operation::AddU64) | 1 << 60, 1);
        app.add_f64(series, -1.0);
        app.add_f64(series, f64::NAN);
        app.add_f64(series, f64::INFINITY);
        app.observe(histogram, f64::NAN);
        app.add(series, 1);
    });
    let rejected = |reason: &str| {
        find(&text, &format!("ringmeter_records_rejected_total{{reason=\"{reason}\"}}"))
    };
    assert_eq!(rejected("unknown_series"), Some(2.0), "{text}");
    // The record of 255 slots swallowed what came after it in its lane.
    assert_eq!(rejected("malformed"), Some(2.0));
    assert_eq!(rejected("operation"), Some(3.0));
    let text = attack(|app, series| {
        for value in [-1.0, f64::NAN, f64::INFINITY] {
            app.add_f64(series, value);
        }
        app.raw(0, pack(series, Operation::AddU64) | 1 << 60, 1);
        app.add(series, 1);
    });
    let rejected = |reason: &str| {
        find(&text, &format!("ringmeter_records_rejected_total{{reason=\"{reason}\"}}"))
    };
    assert_eq!((rejected("value"), rejected("malformed")), (Some(3.0), Some(1.0)));
    assert_eq!(find(&text, "hostile_total"), Some(2.0));
}

#[test]
fn cells_that_go_back() {
    let text = attack(|app, series| {
        app.spill_add_f64(series, 5.0);
        app.poke(series, cell::COUNTER_FLOAT, f64::NAN.to_bits());
        app.live(LIVE_SHARED_SPILL, 1);
    });
    let rejected = "ringmeter_records_rejected_total{reason=\"cell\"}";
    assert_eq!(find(&text, rejected), Some(1.0), "{text}");
    assert_eq!(find(&text, "hostile_total"), Some(1.0));
}

#[test]
fn files_that_are_no_segments() {
    let scratch = Scratch::new();
    let mut honest = Honest::new(&scratch);
    honest.work();
    let segments = scratch.path().join("segments");
    let named = |byte: char| segments.join(format!("shop-{}.seg", byte.to_string().repeat(32)));
    fs::write(named('2'), b"").expect("empty");
    fs::write(named('3'), vec![7; 70_000]).expect("garbage");
    fs::create_dir(named('4')).expect("directory");
    symlink(&honest.app.path, named('5')).expect("symlink");
    nix::unistd::mkfifo(&named('6'), nix::sys::stat::Mode::S_IRWXU).expect("fifo");
    fs::copy(&honest.app.path, named('7')).expect("copy under another name");
    fs::write(segments.join("stranger"), b"").expect("stranger");
    fs::write(segments.join(format!(".tmp-{}", "8".repeat(32))), b"").expect("temporary");
    let mut stage = Stage::new(&scratch);
    let text = stage.scrape();
    assert_eq!(find(&text, "honest_total"), Some(2.0));
    for (reason, count) in [("short", 1.0), ("header", 1.0), ("not_regular", 3.0), ("name", 1.0)] {
        let series = format!("ringmeter_segments_quarantined{{reason=\"{reason}\"}}");
        assert_eq!(find(&text, &series), Some(count), "{reason} in\n{text}");
    }
    assert_eq!(find(&text, "ringmeter_directory_strangers"), Some(1.0));
    // A second name of the honest file is told when it is opened again; the first stays open.
    fs::hard_link(&honest.app.path, named('9')).expect("link");
    honest.work();
    assert_eq!(stage.value("honest_total"), Some(4.0));
    // Another file under a refused name is looked at anew.
    fs::remove_file(named('2')).expect("remove");
    fs::write(named('a'), b"x").expect("other file");
    fs::rename(named('a'), named('2')).expect("replace");
    let text = stage.scrape();
    assert_eq!(find(&text, "ringmeter_segments_quarantined{reason=\"short\"}"), Some(1.0));
}

#[test]
fn more_segments_than_the_limit_wait() {
    let scratch = Scratch::new();
    let limits = Limits { segments_max: 3, ..Limits::default() };
    let mut apps: Vec<Writer> = (1..=5)
        .map(|id| {
            let mut app = Writer::create(scratch.path(), "shop", id);
            let counters = app.family(family(Kind::Counter, "n_total", &[]));
            let series = app.series(counters, &[]);
            app.add(series, 1);
            app
        })
        .collect();
    let mut stage = Stage::with(&scratch, limits);
    let text = stage.scrape();
    assert_eq!(find(&text, "n_total"), Some(3.0));
    assert_eq!(find(&text, "ringmeter_segments{state=\"waiting\"}"), Some(2.0));
    apps.drain(..3).for_each(|app| drop(app.die()));
    stage.scrape();
    assert_eq!(stage.value("n_total"), Some(5.0), "they come in when there is room");
}

#[test]
fn one_segment_leaves_metrics_memory_and_variants_to_others() {
    let scratch = Scratch::new();
    let limits = Limits { families_max: 20, memory_max_bytes: 1 << 20, ..Limits::default() };
    let mut greedy = Writer::create(scratch.path(), "shop", 1);
    for index in 0..40 {
        let own = greedy.family(family(Kind::Counter, &format!("greedy_{index}_total"), &[]));
        let series = greedy.series(own, &[]);
        greedy.add(series, 1);
    }
    let mut stage = Stage::with(&scratch, limits);
    let text = stage.scrape();
    let refused = "ringmeter_metrics_refused_total{reason=\"producer\"}";
    assert_eq!(find(&text, refused), Some(30.0), "half of them is its share");
    let rejected = "ringmeter_records_rejected_total{reason=\"metric_refused\"}";
    assert_eq!(find(&text, rejected), Some(30.0), "what was not counted is shown");
    let mut honest = Writer::create(scratch.path(), "shop", 2);
    let own = honest.family(family(Kind::Counter, "honest_total", &[]));
    let series = honest.series(own, &[]);
    honest.add(series, 5);
    assert_eq!(stage.value("honest_total"), Some(5.0));
    // The same name twice in one segment is no definition.
    let mut twice = Writer::create(scratch.path(), "shop", 3);
    twice.family(family(Kind::Counter, "twice_total", &[]));
    twice.family(family(Kind::Counter, "twice_total", &["l"]));
    let text = stage.scrape();
    let reason = "ringmeter_segments_quarantined{reason=\"definitions\"}";
    assert_eq!(find(&text, reason), Some(1.0), "{text}");
}

/// Others' use of memory must not cost a segment anything but time.
#[test]
fn a_segment_without_memory_waits_and_loses_nothing() {
    let scratch = Scratch::new();
    let limits = Limits {
        memory_max_bytes: 1 << 20,
        segment_memory_max_bytes: 1 << 20,
        ..Limits::default()
    };
    let mut greedy: Vec<Writer> = (1..=3)
        .map(|id| {
            let mut app = Writer::create(scratch.path(), "shop", id);
            let counters = app.family(family(Kind::Counter, "greedy_total", &["n"]));
            for number in 0..800_u32 {
                app.series(counters, &[&format!("{id}-{number}")]);
            }
            app
        })
        .collect();
    let mut stage = Stage::with(&scratch, limits);
    stage.scrape();
    let mut honest = Writer::create(scratch.path(), "shop", 9);
    let counters = honest.family(family(Kind::Counter, "honest_total", &["n"]));
    let mut all = Vec::new();
    for number in 0..600_u32 {
        all.push(honest.series(counters, &[&number.to_string()]));
    }
    for series in &all[..40] {
        honest.add(*series, 1);
        honest.spill_add(*series, 10);
    }
    let text = stage.scrape();
    let starved = "ringmeter_segments_quarantined{reason=\"starved\"}";
    assert!(find(&text, starved).expect("starved") >= 1.0, "{text}");
    greedy.drain(..).for_each(|app| drop(app.die()));
    for _ in 0..4 {
        stage.later(1000);
        stage.scrape();
    }
    let text = stage.scrape();
    assert_eq!(find(&text, starved), Some(0.0), "{text}");
    let total: f64 = text
        .lines()
        .filter(|line| line.starts_with("honest_total"))
        .map(|line| line.rsplit_once(' ').expect("a value").1.parse::<f64>().expect("a number"))
        .sum();
    assert_eq!(total, 440.0, "nothing is lost and nothing doubled");
    assert_eq!(find(&text, "ringmeter_segments_baselined_total"), Some(0.0));
    assert_eq!(find(&text, "ringmeter_segments_quarantined{reason=\"memory\"}"), Some(0.0));
}

#[test]
fn a_bomb_of_series_stays_within_memory() {
    let scratch = Scratch::new();
    let mut honest = Honest::new(&scratch);
    honest.work();
    let mut app = Writer::bare(scratch.path(), "shop", 1);
    let summaries = app.family(family(Kind::Summary, "bomb", &["x"]));
    app.lane();
    let limits = Limits { memory_max_bytes: 2 << 20, ..Limits::default() };
    let mut stage = Stage::with(&scratch, limits);
    let begin = Instant::now();
    for index in 0..2000u32 {
        let series = app.series(summaries, &[&format!("{index}-{}", "x".repeat(200))]);
        for exponent in 0..3 {
            app.observe(series, f64::exp2(f64::from(index % 120) - 60.0 + f64::from(exponent)));
        }
        if index % 16 == 0 {
            stage.list();
            stage.pass();
        }
    }
    let text = stage.scrape();
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    assert!(find(&text, "ringmeter_memory_bytes").expect("bytes") <= f64::from(2 << 20));
    assert!(find(&text, "ringmeter_memory_refusals_total").expect("refusals") > 0.0);
    let total: f64 = text
        .lines()
        .filter(|line| line.starts_with("bomb_count"))
        .map(|line| line.rsplit_once(' ').expect("a value").1.parse::<f64>().expect("a number"))
        .sum();
    assert_eq!(total, 6000.0, "totals are kept");
    assert_eq!(find(&text, "honest_total"), Some(2.0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_harm_nobody_else(
        flips in prop::collection::vec((0u64..330_000, 0u32..8), 1..60),
        cut in prop::option::of(0u64..400_000),
    ) {
        let scratch = Scratch::new();
        let mut honest = Honest::new(&scratch);
        let (mut app, series) = hostile(&scratch);
        let histograms = app.family(family(Kind::Histogram, "hostile", &["l"]));
        let histogram = app.series(histograms, &["v"]);
        app.add(series, 1);
        app.observe(histogram, 1.0);
        app.spill_observe(histogram, 2.0);
        let mut stage = Stage::new(&scratch);
        // Half of the damage before the agent comes, half while it reads.
        for (index, (offset, bit)) in flips.iter().enumerate() {
            // Half of it where the structure is.
            let offset = if bit % 2 == 0 { offset % 20_992 } else { *offset };
            let mut byte = [0];
            use std::os::unix::fs::FileExt;
            if app.file.read_exact_at(&mut byte, offset).is_ok() {
                app.write(offset, &[byte[0] ^ (1 << bit)]);
            }
            if index == flips.len() / 2 {
                stage.scrape();
            }
        }
        if let Some(cut) = cut {
            app.file.set_len(cut).expect("truncate");
        }
        for _ in 0..5 {
            honest.work();
            stage.scrape();
        }
        let text = stage.scrape();
        prop_assert_eq!(find(&text, "honest_total"), Some(honest.count as f64));
        prop_assert!(find(&text, "ringmeter_memory_bytes").expect("bytes") < 1e6);
    }
}
