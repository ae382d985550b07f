//! Waits beside a connection for whatever ends it early.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::watch;
use tokio::time::Sleep;

use super::activity::{Activity, Patience, Ticket};

/// Why a connection ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The server stops: what is being answered is answered, then it is over.
    Stopped,
    /// It idled too long, or is too old: it is closed in an orderly way.
    Overdue,
    /// The client took too long for a request or for the handshake.
    Late,
    /// Another connection needs the place.
    Evicted,
}

/// Watches one connection: its place, its deadline, and whether the server stops.
pub(super) struct Watchman {
    ticket: Ticket,
    patience: Patience,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Stopped or overdue: told once, and from then on the connection ends by itself.
    is_ending: bool,
    sleep: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Watchman {
    pub(super) fn new(
        ticket: Ticket,
        patience: Patience,
        mut stopped: watch::Receiver<bool>,
    ) -> Self {
        // An error means that nobody is left to ask for it, which is the same.
        let stopped = Box::pin(async move { drop(stopped.wait_for(|stop| *stop).await) });
        Self { ticket, patience, stopped, is_ending: false, sleep: None }
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.ticket.activity
    }

    /// The output of the connection's future, or what came first.
    pub(super) async fn watch<F: Future>(
        &mut self,
        mut future: Pin<&mut F>,
    ) -> Result<F::Output, Event> {
        poll_fn(|cx| {
            // First the future: what it does moves the deadline.
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            self.poll(cx).map(Err)
        })
        .await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if Pin::new(&mut self.ticket.evicted).poll(cx).is_ready() {
            return Poll::Ready(Event::Evicted);
        }
        if self.is_ending {
            return Poll::Pending;
        }
        if self.stopped.as_mut().poll(cx).is_ready() {
            self.is_ending = true;
            return Poll::Ready(Event::Stopped);
        }
        if !self.is_deadline_over(cx) {
            return Poll::Pending;
        }
        if self.ticket.activity.is_idle() {
            self.is_ending = true;
            return Poll::Ready(Event::Overdue);
        }
        Poll::Ready(Event::Late)
    }

    fn is_deadline_over(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.ticket.activity.deadline(&self.patience) else {
            self.sleep = None;
            return false;
        };
        let sleep = match &mut self.sleep {
            Some((at, sleep)) if *at == deadline => sleep,
            sleep => {
                let pinned = Box::pin(tokio::time::sleep_until(deadline.into()));
                &mut sleep.insert((deadline, pinned)).1
            }
        };
        sleep.as_mut().poll(cx).is_ready()
    }
}
