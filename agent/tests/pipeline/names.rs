//! Metrics that cannot be shown beside each other.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringmeter_agent::expose::{openmetrics, protobuf, text};
use ringmeter_agent::lint;
use ringmeter_layout::definition::FamilyDefinition;
use ringmeter_layout::naming::Kind;

use crate::scratch::Scratch;
use crate::stage::{Stage, find};
use crate::writer::{Writer, family};

/// Where a log goes to be read.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The warnings of `events`.
fn warnings(events: impl FnOnce()) -> Vec<String> {
    let sink = Sink::default();
    let writer = sink.clone();
    let log = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(log, events);
    let text = String::from_utf8_lossy(&sink.bytes()).into_owned();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn definitions_that_contradict_one_another_are_told_once_with_what_differs_and_whose_they_are() {
    let scratch = Scratch::new();
    let mut old = Writer::create(scratch.path(), "shop", 1);
    let histograms = old.family(family(Kind::Histogram, "h_seconds", &["route"]));
    old.series(histograms, &["/"]);
    let mut stage = Stage::new(&scratch);
    assert_eq!(warnings(|| drop(stage.scrape())), Vec::<String>::new());
    let mut new = Vec::new();
    for id in [2, 3] {
        let mut app = Writer::create(scratch.path(), "shop", id);
        app.family(FamilyDefinition {
            bounds: vec![2.0],
            ..family(Kind::Histogram, "h_seconds", &["route", "code"])
        });
        new.push(app);
    }
    let told = warnings(|| drop(stage.scrape()));
    assert_eq!(told.len(), 1, "{told:?}");
    for part in [
        "h_seconds",
        "label names [\\\"code\\\", \\\"route\\\"], exposed with label names [\\\"route\\\"]",
        "buckets [2.0], exposed with buckets",
        new[0].name.segment_file().as_str(),
        old.name.segment_file().as_str(),
    ] {
        assert!(told[0].contains(part), "{part} in {}", told[0]);
    }
    assert_eq!(warnings(|| drop(stage.scrape())), Vec::<String>::new(), "once");
    drop(stage);
    // The next agent tells it once, too, when it knows who is there.
    let mut next = Stage::new(&scratch);
    let told = warnings(|| (0..3).for_each(|_| drop(next.scrape())));
    assert_eq!(told.len(), 1, "{told:?}");
    old.die();
    let told = warnings(|| (0..3).for_each(|_| drop(next.scrape())));
    assert_eq!(told, Vec::<String>::new(), "the others have the name now");
}

/// Every format of what the stage shows, as text where it is binary.
fn pages(stage: &mut Stage) -> [String; 3] {
    let snapshot = stage.scrape_snapshot(0);
    let (mut plain, mut open, mut binary) = (Vec::new(), Vec::new(), Vec::new());
    text::encode(&snapshot, &mut plain);
    openmetrics::encode(&snapshot, true, &mut open);
    protobuf::encode(&snapshot, &mut binary);
    [plain, open, binary].map(|page| String::from_utf8_lossy(&page).into_owned())
}

#[test]
fn of_metrics_whose_samples_collide_the_first_is_shown_in_every_format() {
    let scratch = Scratch::new();
    let mut first = Writer::create(scratch.path(), "shop", 1);
    let histograms = first.family(family(Kind::Histogram, "h_seconds", &[]));
    let latency = first.series(histograms, &[]);
    first.observe(latency, 0.5);
    let counters = first.family(family(Kind::Counter, "s_bytes_sum", &[]));
    let sum = first.series(counters, &[]);
    first.add(sum, 7);
    let mut stage = Stage::new(&scratch);
    stage.scrape();
    // Two processes may contradict one another where one would have been told at registration.
    let mut second = Writer::create(scratch.path(), "shop", 2);
    let counters = second.family(family(Kind::Counter, "h_seconds_count", &["l"]));
    let count = second.series(counters, &["x"]);
    second.add(count, 1000);
    let summaries = second.family(family(Kind::Summary, "s_bytes", &[]));
    let size = second.series(summaries, &[]);
    second.observe(size, 1.0);
    let counters = second.family(family(Kind::Counter, "h_seconds_total", &[]));
    let total = second.series(counters, &[]);
    second.add(total, 3);
    for _ in 0..2 {
        let pages = pages(&mut stage);
        let [plain, open, binary] = &pages;
        assert_eq!(find(plain, "h_seconds_count"), Some(1.0), "{plain}");
        assert_eq!(find(plain, "s_bytes_sum"), Some(7.0));
        assert_eq!(find(plain, "h_seconds_total"), Some(3.0), "another sample");
        assert_eq!(find(plain, "ringmeter_metrics_hidden"), Some(2.0));
        lint::parse(plain).expect("what promtool reads");
        for page in [plain, open] {
            assert!(
                !page.contains("h_seconds_count{") && !page.contains("s_bytes_count"),
                "{page}"
            );
        }
        assert!(open.contains("# TYPE h_seconds histogram"), "{open}");
        // Field 1 of a family is its name, behind its length.
        let has = |name: &str| {
            let length = u8::try_from(name.len()).expect("short");
            binary.contains(&format!("\n{}{name}", char::from(length)))
        };
        assert!(has("h_seconds") && has("s_bytes_sum") && has("h_seconds_total"), "{binary}");
        assert!(!has("h_seconds_count") && !has("s_bytes"), "{binary}");
    }
    drop(stage);
    let pages = pages(&mut Stage::new(&scratch));
    assert_eq!(find(&pages[0], "h_seconds_count"), Some(1.0), "as before a restart");
    assert_eq!(find(&pages[0], "s_bytes_sum"), Some(7.0));
    assert_eq!(find(&pages[0], "ringmeter_metrics_hidden"), Some(2.0));
}
