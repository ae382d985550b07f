//! Over real sockets, with a client that is nothing but bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::oneshot;

use super::*;
use crate::config::{ListenAddress, TelemetryPath};
use crate::snapshot::{FamilyBlock, Snapshot};
use crate::web::listen::{Listener, bind};
use crate::web::source::SettingsSource;
use crate::web::{NotReady, Served};

mod pages;
mod patience;
mod scrapes;

/// Longer than anything here should take, short enough to wait for in a failing test.
const PATIENCE: Duration = Duration::from_secs(20);

struct Fake {
    ready: AtomicBool,
    healthy: AtomicBool,
    hangs: AtomicBool,
    /// Each scrape gets a snapshot of its own.
    advances: AtomicBool,
    /// Native histograms were asked for.
    native: AtomicBool,
    /// Scrapes that hang.
    waiting: AtomicU64,
    snapshot: Mutex<Arc<Snapshot>>,
}

impl Fake {
    fn publish(&self, generation: u64, families: Vec<FamilyBlock>) {
        let snapshot = Arc::new(Snapshot::new(generation, families));
        *self.snapshot.lock().expect("no panic") = snapshot;
    }
}

impl Pipeline for Fake {
    async fn scrape(&self) -> Result<Arc<Snapshot>, NotReady> {
        if self.hangs.load(Ordering::Relaxed) {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            while self.hangs.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        let mut newest = self.snapshot.lock().expect("no panic");
        if self.advances.load(Ordering::Relaxed) {
            let families = newest.families().to_vec();
            let generation = newest.generation() + 1;
            let own = [(&[][..], generation)];
            let own = FamilyBlock::of_counters("generation_total", "", &own);
            *newest = Arc::new(Snapshot::new(generation, [vec![own], families].concat()));
        }
        let snapshot = Arc::clone(&newest);
        drop(newest);
        if snapshot.generation() == 0 {
            return Err(NotReady { reason: "Nothing was collected yet.".into() });
        }
        Ok(snapshot)
    }

    fn expect_native_histograms(&self) {
        self.native.store(true, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }
}

struct Server {
    address: SocketAddr,
    fake: Arc<Fake>,
    served: ScrapesServed,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// A server with one counter in generation 1, and options as the test wants them.
    fn start(change: impl FnOnce(&mut WebOptions)) -> Self {
        Self::start_limited(None, change)
    }

    /// As [`Self::start`], with a limit of scrapes in flight.
    fn start_limited(max_requests: Option<u32>, change: impl FnOnce(&mut WebOptions)) -> Self {
        let fake = Arc::new(Fake {
            ready: AtomicBool::new(true),
            healthy: AtomicBool::new(true),
            hangs: AtomicBool::new(false),
            advances: AtomicBool::new(false),
            native: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            snapshot: Mutex::default(),
        });
        fake.publish(1, vec![FamilyBlock::of_counters("a_total", "Help.", &[(&[], 42)])]);
        let mut options = WebOptions::new(TelemetryPath::default());
        change(&mut options);
        let served = ScrapesServed::new();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let (pipeline, counter) = (Arc::clone(&fake), served.clone());
        let thread = std::thread::spawn(move || {
            runtime().block_on(async move {
                let any = ListenAddress::One(([127, 0, 0, 1], 0).into());
                let main = bind(&[any]).await.expect("a free port");
                tell.send(address(&main[0])).expect("the test waits");
                let listeners = Listeners { main, ..Listeners::default() };
                let source = SettingsSource::open_to_all(Arc::default());
                let guard = Guard::new(source, max_requests).expect("random numbers");
                let shutdown = async move { drop(stopped.await) };
                serve(listeners, pipeline, options, guard, counter, shutdown).await;
            });
        });
        let address = told.recv().expect("the server starts");
        Self { address, fake, served, stop: Some(stop), thread: Some(thread) }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a duration above zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("a duration above zero");
        Client { stream, unread: Vec::new() }
    }

    /// One request on a connection of its own.
    fn ask(&self, method: &str, path: &str) -> Answer {
        let mut client = self.connect();
        client.send(&format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        let answer = client.answer(method == "HEAD");
        assert_eq!(client.rest(), b"", "nothing behind the answer to {method} {path}");
        answer
    }

    fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends without panic");
        }
    }

    fn await_served(&self, expected: Served) {
        let start = Instant::now();
        while self.served.get() != expected {
            assert!(start.elapsed() < PATIENCE, "{:?}, not {expected:?}", self.served.get());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.begin_stop();
        if !std::thread::panicking() {
            self.join();
        }
    }
}

fn address(listener: &Listener) -> SocketAddr {
    match listener {
        Listener::Tcp(listener) => listener.local_addr().expect("bound"),
        Listener::Unix(..) => panic!("not over TCP"),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.find(|pair| pair.0.eq_ignore_ascii_case(name)).map(|pair| pair.1)
    }
}

impl Client {
    fn send(&mut self, request: &str) {
        self.stream.write_all(request.as_bytes()).expect("the server reads");
    }

    /// More bytes, or false at the end of the stream (also by reset: it may come first).
    fn receive(&mut self) -> bool {
        let mut chunk = vec![0; 256 * 1024];
        let length = match self.stream.read(&mut chunk) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("no answer: {error}"),
        };
        self.unread.extend_from_slice(&chunk[..length]);
        length > 0
    }

    fn answer(&mut self, head_only: bool) -> Answer {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(self.receive(), "closed before the head was complete");
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).expect("ASCII");
        let status = head.get(9..12).and_then(|code| code.parse().ok()).expect("a status");
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").map_or(0, |l| l.parse().expect("a length"));
        if !head_only {
            while self.unread.len() < length {
                assert!(self.receive(), "closed within the body");
            }
            let body = self.unread.drain(..length).collect();
            answer.body = String::from_utf8(body).expect("UTF-8");
        }
        answer
    }

    /// Everything until the server closes the connection.
    fn rest(&mut self) -> Vec<u8> {
        while self.receive() {}
        std::mem::take(&mut self.unread)
    }
}
