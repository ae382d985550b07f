//! Somebody who scrapes, again and again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::agent::get;
use crate::error::{Failure, Outcome};

/// Far more often than in operation, so that every measurement has some.
const INTERVAL: Duration = Duration::from_millis(20);

/// A thread that scrapes what it is aimed at.
pub(super) struct Scraper {
    target: Arc<Mutex<Option<SocketAddr>>>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<u64>>,
}

impl Scraper {
    pub(super) fn new() -> Self {
        let (target, is_over) = (Arc::<Mutex<_>>::default(), Arc::<AtomicBool>::default());
        let (aimed, ends) = (Arc::clone(&target), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            let mut scrapes = 0;
            while !ends.load(Ordering::Relaxed) {
                let target = *aimed.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(address) = target {
                    let page = get(address, "/metrics")?;
                    if page.lines().count() < 1000 {
                        return Err(Failure::new("a page lacks series"));
                    }
                    scrapes += 1;
                }
                thread::sleep(INTERVAL);
            }
            Ok(scrapes)
        });
        Self { target, is_over, thread }
    }

    /// Scrapes this from now on, or nothing.
    pub(super) fn aim(&self, target: Option<SocketAddr>) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Ends it, and tells how many scrapes there were.
    pub(super) fn end(self) -> Outcome<u64> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::new("the scraper panicked"))?
    }
}

/// Serves pages in this process, as an application does that links a library: a thread renders
/// and sends.
pub(super) fn serve(render: impl Fn() -> Vec<u8> + Send + 'static) -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // It ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A scraper that went away is missed by its own count.
            let _ = answer(stream, &render);
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream, render: &impl Fn() -> Vec<u8>) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        let length = stream.read(&mut part)?;
        if length == 0 {
            return Ok(());
        }
        request.extend_from_slice(&part[..length]);
    }
    let page = render();
    let length = page.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&page)
}
