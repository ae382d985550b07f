//! What each connection does, and who has to go when there are too many.
//!
//! ```text
//!   Fresh ─ bytes ► Head ─ request ► Busy ─ response ► Answered ─ flushed ► Idle ─ bytes ► Head
//! ```
//!
//! A connection on which a request is being answered is never closed for another. Of the others,
//! those that have not sent a request for a second go first, the oldest before the newer ones;
//! then those that idle longest. So holding connections open keeps nobody else out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::web_counts::WebCounts;

/// An honest client has sent its request by then, unless it is far away.
const HEAD_USUAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was received yet, or the TLS handshake goes on.
    Fresh,
    /// A part of a request's head was received.
    Head,
    /// A request is being answered.
    Busy,
    /// The response is on its way to the socket.
    Answered,
    /// The response was written; nothing was received since.
    Idle,
}

/// What one connection does.
#[derive(Debug)]
pub(super) struct Activity {
    born: Instant,
    now: Mutex<(State, Instant)>,
}

/// When a connection that waits for its client is given up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) head: Duration,
    pub(super) idle: Duration,
    pub(super) age: Duration,
}

impl Activity {
    fn new() -> Self {
        let born = Instant::now();
        Self { born, now: Mutex::new((State::Fresh, born)) }
    }

    fn now(&self) -> MutexGuard<'_, (State, Instant)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn become_if(&self, from: State, to: State) {
        let mut now = self.now();
        if now.0 == from {
            *now = (to, Instant::now());
        }
    }

    /// Bytes came in.
    pub(super) fn received(&self) {
        let mut now = self.now();
        match now.0 {
            State::Idle => *now = (State::Head, Instant::now()),
            // The clock goes on: a byte now and then does not extend it.
            State::Fresh => now.0 = State::Head,
            State::Head | State::Busy | State::Answered => {}
        }
    }

    /// The TLS handshake is over; the time for the first request begins.
    pub(super) fn shaken(&self) {
        *self.now() = (State::Fresh, Instant::now());
    }

    /// A whole head was received.
    pub(super) fn asked(&self) {
        *self.now() = (State::Busy, Instant::now());
    }

    /// The response is there.
    pub(super) fn answered(&self) {
        self.become_if(State::Busy, State::Answered);
    }

    /// Everything is in the socket.
    pub(super) fn flushed(&self) {
        self.become_if(State::Answered, State::Idle);
    }

    /// Whether the client waits for nothing, so that the connection may be closed without a word.
    pub(super) fn is_idle(&self) -> bool {
        self.now().0 == State::Idle
    }

    /// Whether it was open for so long that the next response is its last.
    pub(super) fn is_old(&self, patience: &Patience) -> bool {
        self.born.elapsed() >= patience.age
    }

    /// When the connection is given up, unless something happens; `None` while it is answered,
    /// which has time limits of its own.
    pub(super) fn deadline(&self, patience: &Patience) -> Option<Instant> {
        let (state, since) = *self.now();
        match state {
            State::Fresh | State::Head => since.checked_add(patience.head),
            State::Idle => {
                let old = self.born.checked_add(patience.age);
                since.checked_add(patience.idle).into_iter().chain(old).min()
            }
            State::Busy | State::Answered => None,
        }
    }

    /// How readily it is closed for another connection: the greatest goes first.
    fn expendable(&self) -> Option<(u8, Duration)> {
        let (state, since) = *self.now();
        let waited = since.elapsed();
        match state {
            State::Fresh | State::Head if waited >= HEAD_USUAL => Some((2, waited)),
            State::Idle => Some((1, waited)),
            State::Fresh | State::Head => Some((0, waited)),
            State::Busy | State::Answered => None,
        }
    }
}

/// All connections of a kind of listener.
#[derive(Debug)]
pub(super) struct Registry {
    max: usize,
    open: Mutex<Open>,
    counts: Option<Arc<WebCounts>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, (Arc<Activity>, oneshot::Sender<()>)>,
}

/// A place in the registry, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    registry: Arc<Registry>,
    number: u64,
    pub(super) activity: Arc<Activity>,
    /// Completes, with an error, when the connection has to go.
    pub(super) evicted: oneshot::Receiver<()>,
}

impl Registry {
    /// With room for `max` connections; `counts` is told how many there are.
    pub(super) fn new(max: usize, counts: Option<Arc<WebCounts>>) -> Self {
        Self { max: max.max(1), open: Mutex::default(), counts }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection, if need be that of another; `None` if all are busy. Says also
    /// whether another had to go.
    pub(super) fn admit(self: &Arc<Self>) -> (Option<Ticket>, bool) {
        let mut open = self.open();
        let is_full = open.connections.len() >= self.max;
        if is_full && !open.evict() {
            return (None, false);
        }
        let number = open.next;
        open.next += 1;
        let activity = Arc::new(Activity::new());
        let (evict, evicted) = oneshot::channel();
        open.connections.insert(number, (Arc::clone(&activity), evict));
        self.tell(&open);
        drop(open);
        (Some(Ticket { registry: Arc::clone(self), number, activity, evicted }), is_full)
    }

    /// Closes the most expendable connection; false if there is none.
    pub(super) fn evict(&self) -> bool {
        let mut open = self.open();
        let has_evicted = open.evict();
        self.tell(&open);
        has_evicted
    }

    fn tell(&self, open: &Open) {
        if let Some(counts) = &self.counts {
            counts.set_connections(open.connections.len());
        }
    }
}

impl Open {
    fn evict(&mut self) -> bool {
        let candidates = self.connections.iter();
        let ranked = candidates.filter_map(|(number, (activity, _))| {
            activity.expendable().map(|rank| (rank, *number))
        });
        let Some((_, number)) = ranked.max() else { return false };
        // Dropping the sender is the signal.
        self.connections.remove(&number).is_some()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.registry.open();
        open.connections.remove(&self.number);
        self.registry.tell(&open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(max: usize) -> Arc<Registry> {
        Arc::new(Registry::new(max, None))
    }

    fn is_evicted(ticket: &mut Ticket) -> bool {
        ticket.evicted.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    fn backdate(ticket: &Ticket, seconds: u64) {
        let now = &mut ticket.activity.now();
        now.1 = now.1.checked_sub(Duration::from_secs(seconds)).expect("a running clock");
    }

    #[test]
    fn a_connection_goes_through_its_states() {
        let activity = Activity::new();
        let patience = Patience {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            age: Duration::from_secs(3600),
        };
        let since = |activity: &Activity| activity.now().1;
        let begun = since(&activity);
        activity.received();
        assert_eq!(activity.deadline(&patience), Some(begun + patience.head), "no extension");
        activity.asked();
        assert_eq!(activity.deadline(&patience), None);
        activity.flushed();
        assert_eq!(activity.deadline(&patience), None, "a flush before the answer means nothing");
        activity.answered();
        assert!(!activity.is_idle());
        activity.flushed();
        assert!(activity.is_idle());
        assert_eq!(activity.deadline(&patience), Some(since(&activity) + patience.idle));
        let short = Patience { age: Duration::from_secs(1), ..patience };
        assert_eq!(activity.deadline(&short), Some(activity.born + short.age));
        activity.received();
        assert_eq!(activity.deadline(&patience), Some(since(&activity) + patience.head));
    }

    #[test]
    fn silent_ones_go_before_idle_ones_and_busy_ones_never() {
        let registry = registry(4);
        let mut tickets: Vec<Ticket> = (0..4).map(|_| registry.admit().0.expect("room")).collect();
        tickets[0].activity.asked();
        tickets[1].activity.asked();
        tickets[1].activity.answered();
        tickets[1].activity.flushed();
        backdate(&tickets[1], 60);
        backdate(&tickets[2], 2);
        let (fifth, has_evicted) = registry.admit();
        assert!(fifth.is_some() && has_evicted);
        let gone: Vec<bool> = tickets.iter_mut().map(is_evicted).collect();
        assert_eq!(gone, [false, false, true, false], "the one that was silent for two seconds");
        let (sixth, _) = registry.admit();
        let gone: Vec<bool> = tickets.iter_mut().map(is_evicted).collect();
        assert_eq!(gone, [false, true, true, false], "then the idle one, not the new ones");
        for ticket in tickets.iter().chain(&fifth).chain(&sixth) {
            ticket.activity.asked();
        }
        assert!(registry.admit().0.is_none(), "all are busy");
        drop(tickets);
        assert!(registry.admit().0.is_some());
    }
}
