//! Watches scrapes: what was served once stays served.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use ringmeter_tests::agent::get;

#[derive(Default)]
struct Shared {
    address: Mutex<Option<SocketAddr>>,
    is_stopped: AtomicBool,
    problems: Mutex<Vec<String>>,
}

/// A thread that scrapes all the time, whichever agent there is.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<u64>>,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        Self { shared, thread: Some(std::thread::spawn(move || watch(&own))) }
    }

    pub(crate) fn follow(&self, address: SocketAddr) {
        *self.shared.address.lock().expect("no panic") = Some(address);
    }

    pub(crate) fn has_problems(&self) -> bool {
        !self.shared.problems.lock().expect("no panic").is_empty()
    }

    /// How many scrapes there were, and what was wrong with them.
    pub(crate) fn finish(mut self) -> (u64, Vec<String>) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        let scrapes = self.thread.take().expect("running").join().expect("no panic");
        (scrapes, std::mem::take(&mut self.shared.problems.lock().expect("no panic")))
    }
}

fn watch(shared: &Shared) -> u64 {
    let mut seen = BTreeMap::new();
    let mut scrapes = 0;
    while !shared.is_stopped.load(Ordering::Relaxed) {
        let address = *shared.address.lock().expect("no panic");
        let answer = address.and_then(|address| get(address, "/metrics"));
        if let Some(answer) = answer.filter(|answer| answer.status == 200) {
            // An answer that was cut off by a kill ends in the middle of a line.
            if is_whole(&answer.head, &answer.body) {
                scrapes += 1;
                let problems = check(&mut seen, &answer.body);
                shared.problems.lock().expect("no panic").extend(problems);
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    scrapes
}

fn is_whole(head: &str, body: &str) -> bool {
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.trim().parse().ok()) == Some(body.len())
}

fn check(seen: &mut BTreeMap<String, f64>, body: &str) -> Vec<String> {
    let mut now = BTreeMap::new();
    for line in body.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').expect("a sample");
        let name = series.split('{').next().unwrap_or_default();
        if ["_total", "_count", "_bucket", "_sum"].iter().any(|end| name.ends_with(end)) {
            now.insert(series.to_owned(), value.parse::<f64>().expect("a number"));
        }
    }
    let mut problems = Vec::new();
    for (series, before) in seen.iter() {
        match now.get(series) {
            Some(value) if value >= before => {}
            found => problems.push(format!("{series}: {before}, then {found:?}")),
        }
    }
    seen.extend(now);
    problems
}
