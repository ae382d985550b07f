//! The thread that owns all segments and totals.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use tokio::sync::oneshot;

use super::discovery::Discovery;
use super::janitor::Janitor;
use super::reload::Reloader;
use crate::config::file::FileConfig;
use crate::discover::Watcher;
use crate::pipeline::{Pipeline, Scope};
use crate::snapshot::Snapshot;
use crate::web::{self, NotReady};

/// Not ready for longer than these passes means that some producer keeps the first one busy.
const PASSES_TO_READY_MAX: u32 = 10;
/// A pass, and a listing that a scrape waits for, are over within a second: a thread silent for
/// this long is stuck.
const SILENCE_MAX_NS: u64 = 30_000_000_000;
/// Native histograms are made for this long after somebody scraped them.
const NATIVE_FOR_NS: u64 = 600_000_000_000;
/// After a scrape: the web server's thread makes and sends the page, and the client reads it. Where
/// all processors are busy they would wait until this thread has used up its time slice.
const REST_NS: u64 = 1_000_000;
/// Longest sleep, so that the sign of life is fresh.
const SLEEP_MAX_NS: u64 = 1_000_000_000;

type Request = oneshot::Sender<Arc<Snapshot>>;

/// Something to do between two passes.
pub(super) enum Order {
    /// Go on under another configuration.
    Configure {
        /// What it says.
        config: Box<FileConfig>,
        /// When it was read, seconds since 1970.
        unix_s: f64,
        /// Told when it is in force.
        done: oneshot::Sender<()>,
    },
    /// Take note of a configuration that cannot be used.
    RefuseConfiguration,
}

/// What the main thread and this one touch; the discovery thread wakes this one through it.
struct Shared {
    requests: Mutex<Vec<Request>>,
    orders: Mutex<Vec<Order>>,
    wake: EventFd,
    is_ready: AtomicBool,
    is_stopped: AtomicBool,
    /// When the thread last began a pass.
    alive_ns: AtomicU64,
    /// Until when native histograms are made.
    native_until_ns: AtomicU64,
    start: Instant,
}

impl Shared {
    fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self {
            requests: Mutex::default(),
            orders: Mutex::default(),
            wake: EventFd::from_value_and_flags(0, flags)?,
            is_ready: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            alive_ns: AtomicU64::new(0),
            native_until_ns: AtomicU64::new(0),
            start: Instant::now(),
        })
    }

    /// Monotonic nanoseconds; never 0, which stands for "never".
    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn wake(&self) {
        // Fails only if the count is at its maximum, and then the thread is awake.
        let _ = self.wake.write(1);
    }

    fn take_orders(&self) -> Vec<Order> {
        std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn has_requests(&self) -> bool {
        !self.requests.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The main thread's end.
pub(super) struct DrainThread {
    shared: Arc<Shared>,
    reloader: Reloader,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl DrainThread {
    /// Starts the thread, and the one that looks for segments. The receiver completes when it ends,
    /// for whatever reason.
    pub(super) fn start(
        pipeline: Pipeline,
        watcher: Watcher,
        reloader: Reloader,
    ) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let shared = Arc::new(Shared::new()?);
        let (timer, waker) = (Arc::clone(&shared), Arc::clone(&shared));
        let discovery = Discovery::start(watcher, move || timer.now_ns(), move || waker.wake())?;
        let (end, ended) = oneshot::channel();
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new().name("drain".to_owned()).spawn(move || {
            // Dropped when the thread ends, by a panic too.
            let _end: oneshot::Sender<()> = end;
            drain(&own, pipeline, discovery);
        })?;
        Ok((Self { shared, reloader, thread: Mutex::new(Some(thread)) }, ended))
    }

    /// Has something done before the next pass.
    pub(super) fn order(&self, order: Order) {
        self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner).push(order);
        self.shared.wake();
    }

    /// Ends the thread after its current pass. What is recorded later waits for the next agent.
    pub(super) fn stop(&self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        self.shared.wake();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // An error is a panic in the thread, which has been reported where it happened.
        let _ = thread.map(JoinHandle::join);
    }
}

impl web::Pipeline for DrainThread {
    async fn scrape(&self) -> Result<Arc<Snapshot>, NotReady> {
        if !self.is_ready() {
            return Err(NotReady { reason: "the first pass is not over yet".to_owned() });
        }
        let (request, answer) = oneshot::channel();
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        self.shared.wake();
        answer.await.map_err(|_| NotReady { reason: "the agent is stopping".to_owned() })
    }

    async fn reload(&self) -> Result<(), String> {
        self.reloader.reload(self).await
    }

    fn expect_native_histograms(&self) {
        let until_ns = self.shared.now_ns().saturating_add(NATIVE_FOR_NS);
        // The request that follows goes through a lock, so this is seen with it.
        self.shared.native_until_ns.store(until_ns, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        self.shared.is_ready.load(Ordering::Relaxed)
    }

    fn is_healthy(&self) -> bool {
        let alive_ns = self.shared.alive_ns.load(Ordering::Relaxed);
        self.shared.now_ns().saturating_sub(alive_ns) < SILENCE_MAX_NS
    }
}

fn drain(shared: &Shared, mut pipeline: Pipeline, mut discovery: Discovery) {
    let clock = || shared.now_ns();
    let janitor = Janitor::start();
    let mut passes_to_ready = 0;
    let mut was_scrape = false;
    while !shared.is_stopped.load(Ordering::Relaxed) {
        shared.alive_ns.store(clock(), Ordering::Relaxed);
        shared.take_orders().into_iter().for_each(|order| follow(&mut pipeline, order, clock()));
        // Before the listing and the pass: all that was recorded before a request is in its pass.
        let requests = shared.take_requests();
        let asked_ns = clock();
        let native_until_ns = shared.native_until_ns.load(Ordering::Relaxed);
        pipeline.show_native(asked_ns < native_until_ns);
        pipeline.set_unix_time(unix_ns(), asked_ns);
        let is_scrape = !requests.is_empty();
        let is_ready = shared.is_ready.load(Ordering::Relaxed);
        let scope = match (is_scrape, is_ready) {
            (true, _) => Scope::All,
            (false, false) => Scope::Start,
            (false, true) => Scope::Due,
        };
        if discovery.go_on(&mut pipeline, scope, &clock).is_err() {
            tracing::error!("the discovery thread has ended: no more segments would be found");
            return;
        }
        // A scrape waits for no more than the step that is under way.
        let is_wanted = || scope == Scope::Due && shared.has_requests();
        let report = pipeline.pass_unless(scope, &clock, &is_wanted);
        if is_scrape {
            // The clients may have gone meanwhile; the snapshot is cheap to drop.
            let snapshot = pipeline.snapshot(clock());
            requests.into_iter().for_each(|request| drop(request.send(Arc::clone(&snapshot))));
            pipeline.note_scrape(clock().saturating_sub(asked_ns), report.is_complete);
        }
        if let Some(waste) = pipeline.take_waste() {
            janitor.put_away(waste);
        }
        if !is_ready {
            passes_to_ready += 1;
            let is_full = report.is_complete && discovery.is_over();
            let is_enough = is_full || passes_to_ready >= PASSES_TO_READY_MAX;
            if is_enough && pipeline.is_committed() {
                // Served again as long as no other one can be made.
                pipeline.snapshot(clock());
                shared.is_ready.store(true, Ordering::Relaxed);
                tracing::info!("ready");
            }
        }
        // Not after each of scrapes that come without a pause: what they leave is read by the pass
        // between them.
        let has_to_rest = is_scrape && !was_scrape;
        was_scrape = is_scrape;
        if has_to_rest && rest(shared, clock().saturating_add(REST_NS)) {
            continue;
        }
        let (next_ns, descriptor) = discovery.next();
        sleep_until(shared, descriptor, report.next_ns.min(next_ns));
    }
}

fn follow(pipeline: &mut Pipeline, order: Order, now_ns: u64) {
    match order {
        Order::Configure { config, unix_s, done } => {
            pipeline.configure(*config, unix_s, now_ns);
            // Whoever asked may have gone meanwhile.
            let _ = done.send(());
        }
        Order::RefuseConfiguration => pipeline.refuse_configuration(),
    }
}

/// Is out of the way of those who make, send and read the page. Says whether there is something to
/// do: who woke this thread does not do so again.
fn rest(shared: &Shared, until_ns: u64) -> bool {
    let is_over = || shared.has_requests() || shared.is_stopped.load(Ordering::Relaxed);
    let mut is_woken = false;
    while shared.now_ns() < until_ns && !is_over() {
        is_woken |= sleep_until(shared, None, until_ns);
    }
    is_woken || is_over()
}

/// The wall clock: it says when series began, and nothing else depends on it.
fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Sleeps until the time, a wake-up by the main or the discovery thread, or a change in the
/// directory. Says whether a thread woke it.
fn sleep_until(shared: &Shared, changes: Option<BorrowedFd<'_>>, until_ns: u64) -> bool {
    let sleep_ns = until_ns.saturating_sub(shared.now_ns()).min(SLEEP_MAX_NS);
    let timeout = TimeSpec::from(Duration::from_nanos(sleep_ns));
    let wake = PollFd::new(shared.wake.as_fd(), PollFlags::POLLIN);
    let mut descriptors = vec![wake];
    descriptors.extend(changes.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
    // An interruption by a signal is a short sleep.
    let _ = ppoll(&mut descriptors, Some(timeout), None);
    let is_woken = descriptors.first().and_then(PollFd::any).unwrap_or(false);
    if is_woken {
        let _ = shared.wake.read();
    }
    is_woken
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER_NS: u64 = u64::MAX;

    #[test]
    fn a_rest_is_as_long_as_it_is_to_be_and_tells_what_woke_it() {
        let shared = Shared::new().unwrap();
        let rests = || {
            let until_ns = shared.now_ns() + 1_000_000;
            let is_woken = rest(&shared, until_ns);
            assert!(shared.now_ns() >= until_ns);
            is_woken
        };
        assert!(!rests(), "nobody woke it");
        shared.wake();
        assert!(rests(), "that would be lost");
        assert!(!rests());
    }

    #[test]
    fn a_scrape_and_the_end_are_not_kept_waiting() {
        let shared = Shared::new().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(1));
                shared.requests.lock().unwrap().push(oneshot::channel().0);
                shared.wake();
            });
            assert!(rest(&shared, NEVER_NS));
        });
        assert!(rest(&shared, NEVER_NS), "it waits already");
        shared.take_requests();
        shared.is_stopped.store(true, Ordering::Relaxed);
        assert!(rest(&shared, NEVER_NS));
    }
}
