//! Formats, compression, and how often a page is made.

use std::collections::BTreeSet;

use super::*;
use crate::snapshot::{FamilyMeta, LabelText, Number, Values};

const PROTOBUF: &str = "application/vnd.google.protobuf;\
                        proto=io.prometheus.client.MetricFamily;encoding=delimited";

fn ask(server: &Server, headers: &str) -> (Answer, Vec<u8>) {
    let mut client = server.connect();
    client.send(&format!("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"));
    let answer = client.answer(true);
    (answer, client.rest())
}

/// More series than are rendered without a thread of their own.
fn large(value: u64) -> FamilyBlock {
    let texts: Vec<LabelText> =
        (0..5_000).map(|at| LabelText::new(&[("l", &format!("{at:05}"))])).collect();
    let numbers = vec![Number::U64(value); texts.len()];
    let meta = Arc::new(FamilyMeta::counter("large_total", "Large."));
    FamilyBlock::new(meta, texts.into(), Values::Counter(numbers)).expect("fits")
}

#[test]
fn each_gets_the_format_that_it_asks_for() {
    let server = Server::start(|_| {});
    let (answer, body) = ask(&server, "Accept: application/openmetrics-text;version=1.0.0\r\n");
    let content_type = answer.header("content-type");
    assert_eq!(content_type, Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert_eq!(body, b"# TYPE a counter\n# HELP a Help.\na_total 42\n# EOF\n");
    assert!(!server.fake.native.load(Ordering::Relaxed));
    let (answer, body) = ask(&server, &format!("Accept: {PROTOBUF}\r\n"));
    let content_type = answer.header("content-type").expect("a type");
    assert!(content_type.starts_with("application/vnd.google.protobuf; "), "{content_type}");
    assert_eq!(body.len(), usize::from(body[0]) + 1, "one message behind its length");
    assert!(server.fake.native.load(Ordering::Relaxed), "asked for before the snapshot");
    let (answer, _) = ask(&server, "");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(answer.header("content-encoding"), None);
}

#[test]
fn created_samples_are_a_setting() {
    let start = |created_samples| {
        let server = Server::start(|options| options.render.created_samples = created_samples);
        let block = FamilyBlock::of_counters("a_total", "", &[(&[], 1)]);
        let block = block.with_starts(vec![2_500].into()).expect("one series");
        server.fake.publish(2, vec![block]);
        let (_, body) = ask(&server, "Accept: application/openmetrics-text\r\n");
        String::from_utf8(body).expect("UTF-8")
    };
    assert_eq!(start(false), "# TYPE a counter\na_total 1\n# EOF\n");
    assert_eq!(start(true), "# TYPE a counter\na_total 1\na_created 2.500\n# EOF\n");
}

#[test]
fn compressed_bodies_say_so() {
    let server = Server::start(|_| {});
    server.fake.publish(2, vec![large(7)]);
    let (_, plain) = ask(&server, "");
    let (answer, body) = ask(&server, "Accept-Encoding: gzip\r\n");
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let length = body.len().to_string();
    assert_eq!(answer.header("content-length"), Some(length.as_str()));
    assert!(body.len() < plain.len() / 4);
    let mut read = Vec::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut read).expect("gzip");
    assert!(read == plain);
    assert_eq!(server.served.renders(), 1, "compressed from the same page");
}

/// A hundred scrapes at a time; the number of different bodies, and of pages made for them.
fn storm(server: &Server) -> (usize, u64) {
    let before = server.served.renders();
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    server.fake.hangs.store(true, Ordering::Relaxed);
    for client in &mut clients {
        client.send("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    }
    // All of them wait for a snapshot.
    let start = Instant::now();
    while server.fake.waiting.load(Ordering::Relaxed) < 100 {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(2));
    }
    server.fake.hangs.store(false, Ordering::Relaxed);
    let bodies: BTreeSet<String> =
        clients.iter_mut().map(|client| client.answer(false).body).collect();
    (bodies.len(), server.served.renders() - before)
}

#[test]
fn a_hundred_scrapes_cost_one_page() {
    let server = Server::start(|_| {});
    server.fake.publish(2, vec![large(7)]);
    assert_eq!(storm(&server), (1, 1));
    let (_, body) = ask(&server, "");
    assert!(body.starts_with(b"# HELP large_total"));
    assert_eq!(server.served.renders(), 1, "a later scrape of the same snapshot costs nothing");
    server.fake.publish(3, vec![large(8)]);
    drop(ask(&server, ""));
    assert_eq!(server.served.renders(), 2);
}

/// Each scrape gets a snapshot of its own, and while one page is made, the others wait and then
/// share the newest: their values are newer than what they asked for.
#[test]
fn scrapes_that_wait_share_the_newest_page() {
    let server = Server::start(|_| {});
    server.fake.publish(2, vec![large(7)]);
    server.fake.advances.store(true, Ordering::Relaxed);
    let (bodies, renders) = storm(&server);
    println!("100 snapshots, {renders} pages");
    assert!(renders < 100, "{renders}");
    assert_eq!(bodies as u64, renders);
}
