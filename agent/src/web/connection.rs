//! From a response's body to the socket: who has really received a scrape, and who takes too long.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use super::activity::Activity;
use super::{ScrapesServed, Served};
use crate::web_counts::{Refusal, WebCounts};

/// One connection's scrapes on their way: from "handed to hyper" to "written to the socket".
///
/// hyper takes a body in [`ResponseBody::poll_frame`], puts it behind whatever is left to write,
/// and calls `poll_flush` of the stream only when all of that is written. So the first flush that
/// completes after the hand-over says that the kernel has the whole scrape, and with pipelining
/// perhaps more than one.
#[derive(Debug)]
pub(super) struct Delivery {
    handed_over: Mutex<HandedOver>,
    served: ScrapesServed,
}

#[derive(Debug, Default)]
struct HandedOver {
    scrapes: Served,
    /// Places among the requests in flight; free again when the response is written.
    permits: Vec<OwnedSemaphorePermit>,
}

impl Delivery {
    pub(super) fn new(served: ScrapesServed) -> Self {
        Self { handed_over: Mutex::default(), served }
    }

    fn hand_over(&self, generation: u64) {
        self.lock().scrapes.add(Served { count: 1, generation: Some(generation) });
    }

    fn flushed(&self) {
        let written = std::mem::take(&mut *self.lock());
        if written.scrapes.count > 0 {
            self.served.add(written.scrapes);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HandedOver> {
        self.handed_over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A whole response body, and for a scrape whom to tell when hyper takes it.
#[derive(Debug)]
pub(super) struct ResponseBody {
    bytes: Option<Bytes>,
    scrape: Option<(Arc<Delivery>, u64)>,
    permit: Option<(Arc<Delivery>, OwnedSemaphorePermit)>,
}

impl ResponseBody {
    pub(super) fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: Some(bytes.into()), scrape: None, permit: None }
    }

    /// The body of a scrape; hyper asks for it only if it goes out, so not for HEAD.
    pub(super) fn of_scrape(text: Arc<Vec<u8>>, delivery: &Arc<Delivery>, generation: u64) -> Self {
        let bytes = Bytes::from_owner(SharedText(text));
        let scrape = Some((Arc::clone(delivery), generation));
        Self { bytes: Some(bytes), scrape, permit: None }
    }

    /// Keeps a place among the requests in flight until the response is written, or given up.
    pub(super) fn hold(&mut self, permit: OwnedSemaphorePermit, delivery: &Arc<Delivery>) {
        self.permit = Some((Arc::clone(delivery), permit));
    }
}

struct SharedText(Arc<Vec<u8>>);

impl AsRef<[u8]> for SharedText {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(bytes) = self.bytes.take() else { return Poll::Ready(None) };
        if let Some((delivery, generation)) = self.scrape.take() {
            delivery.hand_over(generation);
        }
        if let Some((delivery, permit)) = self.permit.take() {
            delivery.lock().permits.push(permit);
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// What a connection's socket tells, and whom.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub(super) delivery: Arc<Delivery>,
    pub(super) activity: Arc<Activity>,
    pub(super) counts: Arc<WebCounts>,
    pub(super) write_timeout: Duration,
}

/// A socket that gives up on clients that don't take their response, and reports what comes in
/// and what is written.
///
/// The clock runs from the first write that finds the socket full until everything is written:
/// a client cannot hold a response by taking a byte now and then.
pub(super) struct Watched<S> {
    stream: S,
    watch: Watch,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, watch: Watch) -> Self {
        Self { stream, watch, deadline: None }
    }

    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let started = self.deadline.is_some();
        if !started && written.is_ready() {
            return written;
        }
        let timeout = self.watch.write_timeout;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        match deadline.as_mut().poll(cx) {
            Poll::Ready(()) => {
                self.watch.counts.refuse(Refusal::SlowReader);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => written,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.watch.activity.received();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Over TLS the last records may still wait for room in the socket.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        let flushed = self.in_time(cx, flushed);
        if let Poll::Ready(Ok(())) = flushed {
            self.deadline = None;
            self.watch.delivery.flushed();
            self.watch.activity.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.in_time(cx, shut)
    }
}
