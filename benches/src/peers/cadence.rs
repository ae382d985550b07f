//! cadence: StatsD lines over a socket, with a thread that takes them out.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cadence::{
    BufferedUdpMetricSink, BufferedUnixMetricSink, Counted, MetricSink, StatsdClient,
    UdpMetricSink, UnixMetricSink,
};

use crate::error::{Failure, Outcome};
use crate::measure::Subject;
use crate::setup::{Setup, count};
use crate::work::dense;

/// How lines travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// A datagram per line.
    Udp,
    /// Datagrams of up to 8 KiB.
    UdpBuffered,
    /// A datagram per line, over a Unix socket.
    Unix,
    /// Datagrams of up to 8 KiB, over a Unix socket.
    UnixBuffered,
}

impl Link {
    const fn name(self) -> &'static str {
        match self {
            Self::Udp => "cadence, UDP unbuffered",
            Self::UdpBuffered => "cadence, UDP buffered (8 KiB)",
            Self::Unix => "cadence, Unix datagrams unbuffered",
            Self::UnixBuffered => "cadence, Unix datagrams buffered (8 KiB)",
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Udp | Self::UdpBuffered => "",
            Self::Unix => "statsd.sock",
            Self::UnixBuffered => "statsd-buffered.sock",
        }
    }
}

const BUFFER: usize = 8192;
/// How long the receiver may take for what was sent.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// Takes datagrams out of a socket and counts their lines.
struct Receiver {
    lines: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    fn new(mut receive: impl FnMut(&mut [u8]) -> std::io::Result<usize> + Send + 'static) -> Self {
        let (lines, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (counted, ends) = (Arc::clone(&lines), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            let mut datagram = vec![0; 1 << 16];
            while !ends.load(Ordering::Relaxed) {
                // A receive that timed out is tried again.
                let Ok(length) = receive(&mut datagram) else { continue };
                let text = datagram.get(..length).unwrap_or_default();
                let breaks = text.iter().filter(|byte| **byte == b'\n').count();
                // The last line of a datagram may end without a break.
                let rest = usize::from(text.last().is_some_and(|byte| *byte != b'\n'));
                counted.fetch_add((breaks + rest) as u64, Ordering::Relaxed);
            }
        });
        Self { lines, is_over, thread: Some(thread) }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It counted, or its counts are missed.
            let _ = thread.join();
        }
    }
}

fn connect(link: Link, directory: &Path) -> Outcome<(StatsdClient, Receiver)> {
    let client = |sink| StatsdClient::from_sink("bench", sink);
    if matches!(link, Link::Udp | Link::UdpBuffered) {
        let inbox = UdpSocket::bind("127.0.0.1:0")?;
        inbox.set_read_timeout(Some(POLL))?;
        let address = inbox.local_addr()?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let receiver = Receiver::new(move |buffer| inbox.recv(buffer));
        let sink: Box<dyn MetricSink + Send + Sync + std::panic::RefUnwindSafe> =
            if link == Link::Udp {
                Box::new(UdpMetricSink::from(address, socket)?)
            } else {
                Box::new(BufferedUdpMetricSink::with_capacity(address, socket, BUFFER)?)
            };
        return Ok((client(Sink(sink)), receiver));
    }
    let path = directory.join(link.file());
    let inbox = UnixDatagram::bind(&path)?;
    inbox.set_read_timeout(Some(POLL))?;
    let socket = UnixDatagram::unbound()?;
    let receiver = Receiver::new(move |buffer| inbox.recv(buffer));
    let sink: Box<dyn MetricSink + Send + Sync + std::panic::RefUnwindSafe> = if link == Link::Unix
    {
        Box::new(UnixMetricSink::from(path, socket))
    } else {
        Box::new(BufferedUnixMetricSink::with_capacity(path, socket, BUFFER))
    };
    Ok((client(Sink(sink)), receiver))
}

/// Any of the sinks.
struct Sink(Box<dyn MetricSink + Send + Sync + std::panic::RefUnwindSafe>);

impl MetricSink for Sink {
    fn emit(&self, metric: &str) -> std::io::Result<usize> {
        self.0.emit(metric)
    }

    fn flush(&self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Counts with one tag, over such a link.
///
/// # Errors
/// When there is no such socket to be had.
pub fn statsd(setup: &Setup, link: Link) -> Outcome<Subject> {
    let (client, receiver) = connect(link, setup.scratch.path())?;
    let client = Arc::new(client);
    let sent = Arc::new(AtomicU64::new(0));
    // Everything that was sent has arrived, so that nothing is dropped for want of room.
    let settle = {
        let (client, sent) = (Arc::clone(&client), Arc::clone(&sent));
        move || -> Outcome<u64> {
            client.flush().map_err(|error| Failure::new(error.to_string()))?;
            let (begin, sent) = (Instant::now(), sent.load(Ordering::Relaxed));
            while receiver.lines.load(Ordering::Relaxed) < sent {
                if begin.elapsed() > PATIENCE {
                    break;
                }
                thread::yield_now();
            }
            Ok(receiver.lines.load(Ordering::Relaxed))
        }
    };
    let settle = Arc::new(settle);
    let shown = Arc::clone(&settle);
    let mut subject = setup.peer(
        link.name(),
        move |_, calls| {
            dense!(calls, _call => {
                client.count_with_tags("calls", 1).with_tag("method", "GET").send();
            });
            sent.fetch_add(calls, Ordering::Relaxed);
        },
        || count(0.0),
    );
    subject.total = Box::new(move || Ok(count(shown()? as f64)));
    subject.pause = Box::new(move || {
        settle()?;
        Ok(())
    });
    // Its system calls may wait.
    subject.parks = true;
    Ok(subject)
}
