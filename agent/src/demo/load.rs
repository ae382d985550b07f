//! The load: HTTP requests at a steady rate over connections that are kept alive.
//!
//! The schedule does not wait for responses: each request has its time, and the next connection
//! that is free takes it. Only when all of them are late for more than a second does the schedule
//! slip, so that a slow moment is not followed by a flood.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Client;
use crate::web::server::{Either, first_of};

/// How far the schedule may be behind.
const LATE_MAX: Duration = Duration::from_secs(1);

/// Pause of a connection after a failure, for a service that is in trouble.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// Load on a service, until it is stopped.
#[derive(Debug)]
pub(super) struct Load {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    connections: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    schedule: Mutex<Schedule>,
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Load {
    /// Begins. Needs a runtime with I/O and time.
    pub(super) fn start(service: SocketAddr, requests_per_second: u32) -> Self {
        let shared = Arc::new(Shared {
            schedule: Mutex::new(Schedule::new(Instant::now(), requests_per_second)),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let (stop, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        for _ in 0..connection_count(requests_per_second) {
            let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
            connections.spawn(keep_asking(Client::new(service), shared, stopped));
        }
        Self { shared, stop, connections }
    }

    /// Requests whose whole response has been received.
    pub(super) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Requests that ended without a response.
    pub(super) fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// Sends nothing more and waits for what is in flight.
    pub(super) async fn stop(&mut self) {
        // Fails only if there is nobody left to stop.
        let _ = self.stop.send(true);
        while self.connections.join_next().await.is_some() {}
    }
}

/// A connection carries one request at a time, which takes 2 ms on average and up to 20: enough
/// of them to keep the rate when some wait, and no more than a browser farm would open.
fn connection_count(requests_per_second: u32) -> u32 {
    (requests_per_second / 50).clamp(requests_per_second.min(8), 128)
}

async fn keep_asking(mut client: Client, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    loop {
        let turn = shared.schedule.lock().unwrap_or_else(PoisonError::into_inner).next_turn();
        let is_due = tokio::time::sleep_until(turn.due);
        if let Either::First(()) = first_of(wait_for(&mut stopped), is_due).await {
            break;
        }
        match client.get(&path(turn.number)).await {
            Ok(_) => {
                shared.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                shared.failed.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(FAILURE_PAUSE).await;
            }
        }
    }
}

/// Completes when told to stop, or if nobody is left to say so.
async fn wait_for(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Which request comes next, and when.
#[derive(Debug)]
struct Schedule {
    number: u64,
    due: Instant,
    interval: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    number: u64,
    due: Instant,
}

impl Schedule {
    fn new(start: Instant, requests_per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / requests_per_second.max(1);
        Self { number: 0, due: start, interval }
    }

    fn next_turn(&mut self) -> Turn {
        self.next_turn_at(Instant::now())
    }

    fn next_turn_at(&mut self, now: Instant) -> Turn {
        if let Some(earliest) = now.checked_sub(LATE_MAX) {
            self.due = self.due.max(earliest);
        }
        let turn = Turn { number: self.number, due: self.due };
        self.number += 1;
        self.due += self.interval;
        turn
    }
}

/// A mix with a bit of everything: of 100 requests 40 for the index, 38 for items of all sizes, 15
/// for work of 1 to 20 ms, 5 for what does not exist and 2 for an error.
fn path(number: u64) -> String {
    // A step coprime to 100 visits every remainder and keeps the kinds apart.
    match number * 37 % 100 {
        0..40 => "/".to_owned(),
        40..78 => format!("/items/{}", number % 1000),
        78..93 => format!("/work?ms={}", number / 7 % 20 + 1),
        93..98 => format!("/items/{}", 1000 + number % 1000),
        _ => "/error".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_steady() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 500);
        for number in 0..1000 {
            let now = start + Duration::from_millis(2 * number + 300);
            let turn = schedule.next_turn_at(now);
            assert_eq!(turn.number, number);
            assert_eq!(turn.due, start + Duration::from_millis(2 * number));
        }
    }

    #[test]
    fn the_schedule_slips_instead_of_flooding() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 10);
        let late = start + Duration::from_secs(60);
        assert_eq!(schedule.next_turn_at(late).due, late - LATE_MAX);
        let at_once = (0..).take_while(|_| schedule.next_turn_at(late).due <= late).count();
        assert_eq!(at_once, 10);
    }

    #[test]
    fn the_mix_is_as_described() {
        let paths: Vec<String> = (0..100).map(path).collect();
        let starting = |start: &str| paths.iter().filter(|path| path.starts_with(start)).count();
        assert_eq!(paths.iter().filter(|path| *path == "/").count(), 40);
        assert_eq!(starting("/items/"), 43);
        assert_eq!(starting("/work?ms="), 15);
        assert_eq!(starting("/error"), 2);
        let missing = paths.iter().filter_map(|path| path.strip_prefix("/items/")?.parse().ok());
        assert_eq!(missing.filter(|id: &u64| *id >= 1000).count(), 5);
    }

    #[test]
    fn there_is_always_a_connection() {
        assert_eq!(connection_count(1), 1);
        assert_eq!(connection_count(500), 10);
        assert_eq!(connection_count(100_000), 128);
    }
}
