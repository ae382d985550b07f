//! Sockets to requests: bind, accept, serve, and an orderly end.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::answer::Site;
use super::connection::{Delivery, Watched};
use super::{Pipeline, ScrapesServed, WebOptions};
use crate::config::ListenAddress;

/// A request's line and headers may be this long; more is answered with 431.
pub const HEAD_LENGTH_MAX_BYTES: usize = 16 * 1024;

/// What a connection buffers of requests, and of responses beside the shared rendering.
const BUFFER_LENGTH_MAX_BYTES: usize = 32 * 1024;

/// Pause after a failed accept: usually descriptors or memory are short, and trying again at
/// once would only burn the processor that the rest needs to free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds every address, and logs what was bound.
///
/// # Errors
///
/// [`BindError`] with all addresses that could not be bound.
pub async fn bind(addresses: &[ListenAddress]) -> Result<Vec<TcpListener>, BindError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    let mut failures = Vec::new();
    for &address in addresses {
        match bind_one(address).await {
            Ok(listener) => listeners.push(listener),
            Err(error) => failures.push((address, error)),
        }
    }
    if failures.is_empty() { Ok(listeners) } else { Err(BindError { failures }) }
}

async fn bind_one(address: ListenAddress) -> io::Result<TcpListener> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for candidate in address.candidates() {
        match TcpListener::bind(candidate).await {
            Ok(listener) => {
                tracing::info!(address = %listener.local_addr()?, "listening");
                return Ok(listener);
            }
            // The next candidate is for hosts without IPv6, not for ports that are taken.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Addresses that could not be bound.
#[derive(Debug)]
pub struct BindError {
    /// Each with its reason; never empty.
    pub failures: Vec<(ListenAddress, io::Error)>,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot listen on")?;
        let mut separator = " ";
        for (address, error) in &self.failures {
            write!(f, "{separator}{address} ({error})")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl std::error::Error for BindError {}

/// Serves until `shutdown` completes; then closes the listeners at once, lets requests in flight
/// end within the grace, and drops what is left.
///
/// Needs a runtime with I/O and time. `served` is told of every scrape that was fully written.
pub async fn serve<P: Pipeline>(
    listeners: Vec<TcpListener>,
    pipeline: Arc<P>,
    options: WebOptions,
    served: ScrapesServed,
    shutdown: impl Future<Output = ()>,
) {
    // Each acceptor holds a permit while it waits: with fewer, some would never accept.
    let connections_max = options.connections_max.max(listeners.len());
    let permits = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
    let site = Arc::new(Site::new(pipeline, options, served));
    let (stop, stopped) = watch::channel(false);
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        let (site, permits) = (Arc::clone(&site), Arc::clone(&permits));
        acceptors.spawn(accept(listener, site, permits, stopped.clone()));
    }
    shutdown.await;
    // Fails only if there is no acceptor to stop.
    let _ = stop.send(true);
    while acceptors.join_next().await.is_some() {}
}

async fn accept<P: Pipeline>(
    listener: TcpListener,
    site: Arc<Site<P>>,
    permits: Arc<Semaphore>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut failing = false;
    loop {
        let next = accept_one(&listener, &permits);
        let Either::Second(accepted) = first_of(signalled(&mut stopped), next).await else { break };
        match accepted {
            Ok((stream, permit)) => {
                failing = false;
                connections.spawn(connection(stream, Arc::clone(&site), stopped.clone(), permit));
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                // Once per spell of failures: at ten tries a second it would flood the log.
                if !failing {
                    tracing::warn!(%error, "cannot accept connections, retrying");
                }
                failing = true;
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(site.options.shutdown_grace, ended).await.is_err() {
        tracing::warn!(connections = connections.len() as u64, "cut off at shutdown");
        connections.shutdown().await;
    }
}

async fn accept_one(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

/// The client went away before it was accepted: the listener itself is fine.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn connection<P: Pipeline>(
    stream: TcpStream,
    site: Arc<Site<P>>,
    mut stopped: watch::Receiver<bool>,
    permit: OwnedSemaphorePermit,
) {
    // Without it, the end of a large response may wait for an acknowledgement; not vital.
    let _ = stream.set_nodelay(true);
    let options = &site.options;
    let delivery = Arc::new(Delivery::new(site.served.clone()));
    let io = Watched::new(stream, Arc::clone(&delivery), options.write_timeout);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(options.head_timeout)
        .max_header_size(HEAD_LENGTH_MAX_BYTES)
        .max_buf_size(BUFFER_LENGTH_MAX_BYTES);
    let service = service_fn(|request| {
        let (site, delivery) = (Arc::clone(&site), Arc::clone(&delivery));
        async move { Ok::<_, Infallible>(site.answer(&request, &delivery).await) }
    });
    let mut served = pin!(http.serve_connection(io, service));
    let ended = match first_of(signalled(&mut stopped), served.as_mut()).await {
        Either::First(()) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
        Either::Second(ended) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
    drop(permit);
}

/// Completes at shutdown, or if nobody is left to ask for it.
async fn signalled(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// The output of one of two futures.
pub(crate) enum Either<A, B> {
    /// That of the first.
    First(A),
    /// That of the second.
    Second(B),
}

/// Completes with whichever future does so first; the other is dropped.
pub(crate) async fn first_of<A: Future, B: Future>(
    first: A,
    second: B,
) -> Either<A::Output, B::Output> {
    let mut first = pin!(first);
    let mut second = pin!(second);
    poll_fn(|cx| {
        if let Poll::Ready(output) = first.as_mut().poll(cx) {
            return Poll::Ready(Either::First(output));
        }
        second.as_mut().poll(cx).map(Either::Second)
    })
    .await
}

#[cfg(test)]
mod tests;
