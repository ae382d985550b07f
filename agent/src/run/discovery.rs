//! The thread that looks at the directory of segments.
//!
//! Whoever creates or removes a file holds its directory, and where the processors are busy it may
//! be waiting for one meanwhile. So listing, and looking into files, is for a thread that nobody
//! waits for. With two exceptions, in which the drain thread does it itself: until the agent is
//! ready, and for a scrape if something has changed, so that it shows processes that came a moment
//! ago. Not in a crowded directory, one with many entries that are not read.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use crate::discover::{Listing, Watcher};
use crate::pipeline::{Findings, Inspection, Pipeline, Scope};

/// A directory is crowded if it has more entries than these and two for each segment that is read.
/// To list one takes about 1 µs.
const ENTRIES_BESIDE: usize = 256;
/// In a crowded directory a scrape does nothing unless the last listing began longer ago than this;
/// then it goes on as if nobody waited.
const PATIENCE_NS: u64 = 1_000_000_000;

/// What the thread does. The watcher goes with it, and comes back.
enum Errand {
    List(Watcher),
    Inspect(Watcher, Inspection),
}

/// What came of it.
enum Done {
    Listed(Watcher, Listing),
    Inspected(Watcher, Findings),
}

impl Errand {
    fn run(self, clock: &impl Fn() -> u64) -> Done {
        match self {
            Self::List(mut watcher) => {
                let listing = watcher.list(clock);
                Done::Listed(watcher, listing)
            }
            Self::Inspect(watcher, inspection) => Done::Inspected(watcher, inspection.carry_out()),
        }
    }
}

/// The thread has ended, which it never should.
#[derive(Debug)]
pub(super) struct Ended;

/// The drain thread's end.
pub(super) struct Discovery {
    /// None once the thread is to end.
    errands: Option<Sender<Errand>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
    /// None while an errand is under way; there is one at a time.
    watcher: Option<Watcher>,
    /// Whether the directory is crowded: then no scrape waits for it.
    is_crowded: bool,
    /// When the last listing began.
    begun_ns: u64,
    /// When to list again because there is more to look into than one listing allows.
    more_ns: Option<u64>,
}

impl Discovery {
    /// Starts the thread. `wake` is called when something is done.
    ///
    /// # Errors
    /// When the system gives out no more threads.
    pub(super) fn start(
        watcher: Watcher,
        clock: impl Fn() -> u64 + Send + 'static,
        wake: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let (errands, receiver) = channel::<Errand>();
        let (sender, done) = channel();
        let work = move || {
            for errand in receiver {
                if sender.send(errand.run(&clock)).is_err() {
                    return;
                }
                wake();
            }
        };
        let thread = thread::Builder::new().name("discovery".to_owned()).spawn(work)?;
        Ok(Self {
            errands: Some(errands),
            done,
            thread: Some(thread),
            watcher: Some(watcher),
            is_crowded: false,
            begun_ns: 0,
            more_ns: None,
        })
    }

    /// Goes on as far as it can: applies what is done and has the next thing done, until nothing is
    /// due. What a scrape or the start waits for is done at once, by this thread: handing it over
    /// and back would take longer.
    ///
    /// # Errors
    /// When the other thread has ended.
    pub(super) fn go_on(
        &mut self,
        pipeline: &mut Pipeline,
        scope: Scope,
        clock: &impl Fn() -> u64,
    ) -> Result<(), Ended> {
        let asked_ns = clock();
        let is_recent = asked_ns.saturating_sub(self.begun_ns) < PATIENCE_NS;
        if scope == Scope::All && self.is_crowded && is_recent {
            return Ok(());
        }
        let is_awaited = match scope {
            Scope::Start => true,
            Scope::All => !self.is_crowded,
            Scope::Due => false,
        };
        loop {
            let errand = if let Some(mut watcher) = self.watcher.take() {
                watcher.discard_events();
                let now_ns = clock();
                // Pauses are for when nobody waits. To become ready takes some passes at most, and
                // those do not wait for pauses.
                let more_ns = self.more_ns.map(|more_ns| if is_awaited { now_ns } else { more_ns });
                let due_ns = watcher.due_ns(is_awaited).min(more_ns.unwrap_or(u64::MAX));
                // One is enough: somebody may change the directory all the time.
                let is_done = is_awaited && self.begun_ns >= asked_ns;
                if due_ns > now_ns || is_done {
                    self.watcher = Some(watcher);
                    return Ok(());
                }
                self.begun_ns = now_ns;
                Some(Errand::List(watcher))
            } else {
                let Some(done) = self.receive(is_awaited)? else { return Ok(()) };
                self.apply(done, pipeline, clock)
            };
            match errand {
                Some(errand) if !is_awaited => self.send(errand)?,
                mut next => {
                    while let Some(errand) = next {
                        next = self.apply(errand.run(clock), pipeline, clock);
                    }
                }
            }
        }
    }

    /// Applies what is done; returns what is to be done next for it.
    fn apply(
        &mut self,
        done: Done,
        pipeline: &mut Pipeline,
        clock: &impl Fn() -> u64,
    ) -> Option<Errand> {
        let (watcher, findings) = match done {
            Done::Listed(watcher, listing) => {
                let inspection = pipeline.plan(&listing);
                if !inspection.is_empty() {
                    return Some(Errand::Inspect(watcher, inspection));
                }
                (watcher, inspection.carry_out())
            }
            Done::Inspected(watcher, findings) => (watcher, findings),
        };
        let has_more = pipeline.apply(findings, self.begun_ns);
        let most = ENTRIES_BESIDE.saturating_add(pipeline.attached().saturating_mul(2));
        self.is_crowded = watcher.entries() > most;
        self.watcher = Some(watcher);
        // Looking into the rest takes half of the time at most.
        let now_ns = clock();
        let pause_ns = now_ns.saturating_sub(self.begun_ns);
        self.more_ns = has_more.then(|| now_ns.saturating_add(pause_ns));
        None
    }

    /// Whether the last listing was whole, and all of it that there is room for is attached or
    /// refused; false while an errand is under way.
    pub(super) fn is_over(&self) -> bool {
        self.more_ns.is_none() && self.watcher.as_ref().is_some_and(|watcher| !watcher.is_amid())
    }

    /// When there is something to do, and what becomes readable when there is sooner; the thread
    /// wakes whoever waits for it.
    pub(super) fn next(&self) -> (u64, Option<BorrowedFd<'_>>) {
        let Some(watcher) = &self.watcher else { return (u64::MAX, None) };
        if let Some(more_ns) = self.more_ns {
            return (more_ns, None);
        }
        // One change is enough to list again when that is due; a flood of them is no reason to
        // stay awake.
        (watcher.due_ns(false), watcher.descriptor().filter(|_| !watcher.is_stirred()))
    }

    fn send(&self, errand: Errand) -> Result<(), Ended> {
        let errands = self.errands.as_ref().ok_or(Ended)?;
        errands.send(errand).map_err(|_| Ended)
    }

    fn receive(&self, is_awaited: bool) -> Result<Option<Done>, Ended> {
        if is_awaited {
            return self.done.recv().map(Some).map_err(|_| Ended);
        }
        match self.done.try_recv() {
            Ok(done) => Ok(Some(done)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Ended),
        }
    }
}

impl Drop for Discovery {
    /// Waits until what is under way is done.
    fn drop(&mut self) {
        self.errands = None;
        // An error is a panic in the thread, which has been reported where it happened.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests;
