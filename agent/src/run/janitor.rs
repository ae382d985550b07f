//! The thread that puts away what has left.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use crate::pipeline::Waste;

/// Commits whose waste may wait; beyond, the drain thread puts it away itself.
const WAITING_MAX: usize = 64;

/// The drain thread's end.
pub(super) struct Janitor {
    /// None once it is to end, or where the system gives out no more threads.
    sender: Option<SyncSender<Waste>>,
    thread: Option<JoinHandle<()>>,
}

impl Janitor {
    pub(super) fn start() -> Self {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let work = |receiver: Receiver<Waste>| receiver.into_iter().for_each(Waste::put_away);
        let builder = thread::Builder::new().name("janitor".to_owned());
        match builder.spawn(move || work(receiver)) {
            Ok(thread) => Self { sender: Some(sender), thread: Some(thread) },
            Err(error) => {
                tracing::warn!(%error, "no thread to remove files: scrapes may wait for that");
                Self { sender: None, thread: None }
            }
        }
    }

    /// Has it put away; here, if nobody else can soon.
    pub(super) fn put_away(&self, waste: Waste) {
        let refused = match &self.sender {
            Some(sender) => sender.try_send(waste).err(),
            None => Some(TrySendError::Disconnected(waste)),
        };
        if let Some(TrySendError::Full(waste) | TrySendError::Disconnected(waste)) = refused {
            waste.put_away();
        }
    }
}

impl Drop for Janitor {
    /// Waits until everything is put away.
    fn drop(&mut self) {
        self.sender = None;
        // An error is a panic in the thread, which has been reported where it happened.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
