//! The thread that looks at the directory of segments.
//!
//! Whoever creates or removes a file holds its directory, and is not in a hurry to let it go where
//! the processors are busy. So listing, and looking into files, is for a thread that nobody waits
//! for, with one exception: a scrape shows processes that came a moment ago, so it waits for a
//! listing that has begun after it was asked for. Not where somebody floods the directory.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use crate::discover::{Listing, Watcher};
use crate::pipeline::{Findings, Inspection, Pipeline};

/// A scrape waits for a listing of twice as many entries as there are segments that are read, and
/// of so many beside: some 0.3 ms.
const ENTRIES_BESIDE: usize = 256;
/// In a directory of more a scrape takes in nothing new unless the last listing is older.
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

/// Who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// Nobody.
    None,
    /// A scrape.
    Scrape,
    /// The agent, to become ready.
    Start,
}

/// The drain thread's end.
pub(super) struct Discovery {
    /// None once the thread is to end.
    errands: Option<Sender<Errand>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
    /// None while an errand is under way; there is one at a time.
    watcher: Option<Watcher>,
    /// Whether the directory holds many files that are not read: then no scrape waits for it.
    is_crowded: bool,
    /// When the last listing began.
    begun_ns: u64,
    /// When to list again because there was more to look into than at one listing.
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

    /// Goes on as far as it can: takes in what is done and has the next thing done, until nothing
    /// is due. What `asker` waits for is done at once, by this thread: handing it over and back
    /// would take longer.
    ///
    /// # Errors
    /// When the other thread has ended.
    pub(super) fn go_on(
        &mut self,
        pipeline: &mut Pipeline,
        asker: Asker,
        clock: &impl Fn() -> u64,
    ) -> Result<(), Ended> {
        let asked_ns = clock();
        let is_recent = asked_ns.saturating_sub(self.begun_ns) < PATIENCE_NS;
        if asker == Asker::Scrape && self.is_crowded && is_recent {
            return Ok(());
        }
        let is_awaited = asker == Asker::Start || asker == Asker::Scrape && !self.is_crowded;
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
                self.take(done, pipeline, clock)
            };
            match errand {
                Some(errand) if !is_awaited => self.send(errand)?,
                mut next => {
                    while let Some(errand) = next {
                        next = self.take(errand.run(clock), pipeline, clock);
                    }
                }
            }
        }
    }

    /// Takes in what is done; returns what is to be done next for it.
    fn take(
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
        let has_more = pipeline.take(findings, self.begun_ns);
        let most = ENTRIES_BESIDE.saturating_add(pipeline.attached().saturating_mul(2));
        self.is_crowded = watcher.entries() > most;
        self.watcher = Some(watcher);
        // A flood of files costs half of the time at most.
        let now_ns = clock();
        let pause_ns = now_ns.saturating_sub(self.begun_ns);
        self.more_ns = has_more.then(|| now_ns.saturating_add(pause_ns));
        None
    }

    /// Whether the last listing was whole, and all of it is attached or refused.
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
