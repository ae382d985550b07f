//! Sockets to requests: accept, serve, and an orderly end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, Patience, Registry, Ticket};
use super::answer::{Site, plain};
use super::connection::{Delivery, ResponseBody, Watch, Watched};
use super::guard::{Guard, dress};
use super::listen::{Listener, Listeners, Stream};
use super::watchman::{Event, Watchman};
use super::{Pipeline, ScrapesServed, WebOptions};
use crate::web_counts::{Refusal, WebCounts};

/// A request's line and headers may be this long; more is answered with 431.
pub const HEAD_LENGTH_MAX_BYTES: usize = 16 * 1024;

/// Headers of a request; more are answered with 431.
const HEADERS_MAX: usize = 64;

/// What a connection buffers of requests, and of responses beside the shared rendering.
const BUFFER_LENGTH_MAX_BYTES: usize = 32 * 1024;

/// Connections for health and readiness alone, beside all others.
const HEALTH_CONNECTIONS_MAX: usize = 16;

/// Pause after a failed accept: usually descriptors or memory are short, and trying again at
/// once would only burn the processor that the rest needs to free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Silent connections that are closed when nothing can be accepted.
const ACCEPT_EVICTIONS: usize = 8;

/// What all connections share.
struct Server<P> {
    site: Site<P>,
    /// Connections to the listeners for everything.
    main: Arc<Registry>,
    guard: Guard,
    patience: Patience,
}

/// Which pages a listener has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// All of them, guarded.
    Main,
    /// Health and readiness, for everybody.
    Health,
}

/// Serves until `shutdown` completes; then closes the listeners at once, lets requests in flight
/// end within the grace, and drops what is left.
///
/// Needs a runtime with I/O and time. `served` is told of every scrape that was fully written.
pub async fn serve<P: Pipeline>(
    listeners: Listeners,
    pipeline: Arc<P>,
    options: WebOptions,
    guard: Guard,
    served: ScrapesServed,
    shutdown: impl Future<Output = ()>,
) {
    let counts = Arc::clone(guard.source.counts());
    let main = Arc::new(Registry::new(options.connections_max, Some(counts)));
    let health = Arc::new(Registry::new(HEALTH_CONNECTIONS_MAX, None));
    let patience = Patience {
        head: options.head_timeout,
        idle: options.idle_timeout,
        age: options.connection_age_max,
    };
    let site = Site::new(pipeline, options, served);
    let server = Arc::new(Server { site, main: Arc::clone(&main), guard, patience });
    let (stop, stopped) = watch::channel(false);
    let mut acceptors = JoinSet::new();
    let mains = listeners.main.into_iter().map(|listener| (listener, Role::Main, &main));
    let healths = listeners.health.into_iter().map(|listener| (listener, Role::Health, &health));
    for (listener, role, registry) in mains.chain(healths) {
        let (server, registry) = (Arc::clone(&server), Arc::clone(registry));
        acceptors.spawn(accept(listener, role, server, registry, stopped.clone()));
    }
    shutdown.await;
    // Fails only if there is no acceptor to stop.
    let _ = stop.send(true);
    while acceptors.join_next().await.is_some() {}
}

async fn accept<P: Pipeline>(
    listener: Listener,
    role: Role,
    server: Arc<Server<P>>,
    registry: Arc<Registry>,
    mut stopped: watch::Receiver<bool>,
) {
    let counts = Arc::clone(server.guard.source.counts());
    let mut connections = JoinSet::new();
    let mut failing = false;
    loop {
        let next = listener.accept();
        let Either::Second(accepted) = first_of(signalled(&mut stopped), next).await else { break };
        match accepted {
            Ok((stream, address)) => {
                failing = false;
                let (ticket, is_crowded) = registry.admit();
                if is_crowded || ticket.is_none() {
                    counts.refuse(Refusal::Connections);
                }
                if let Some(ticket) = ticket {
                    let client = Client { address, role, server: Arc::clone(&server) };
                    connections.spawn(client.serve(stream, ticket, stopped.clone()));
                }
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                counts.refuse(Refusal::Accept);
                // Once per spell of failures: at ten tries a second it would flood the log.
                if !failing {
                    tracing::warn!(%error, "cannot accept connections, retrying");
                }
                failing = true;
                // Descriptors of silent clients are of more use to somebody who asks.
                for _ in 0..ACCEPT_EVICTIONS {
                    server.main.evict();
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(server.site.options.shutdown_grace, ended).await.is_err() {
        tracing::warn!(connections = connections.len() as u64, "cut off at shutdown");
        connections.shutdown().await;
    }
}

/// The client went away before it was accepted: the listener itself is fine.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Who is at the other end, and what it is served with.
struct Client<P> {
    address: Option<IpAddr>,
    role: Role,
    server: Arc<Server<P>>,
}

impl<P: Pipeline> Client<P> {
    async fn serve(self, stream: Stream, ticket: Ticket, stopped: watch::Receiver<bool>) {
        let tls = match self.role {
            Role::Main => self.server.guard.source.current().tls.clone(),
            Role::Health => None,
        };
        let activity = Arc::clone(&ticket.activity);
        let mut watchman = Watchman::new(ticket, self.server.patience, stopped);
        let Some(tls) = tls else { return self.serve_http(stream, &mut watchman).await };
        let mut shaking = pin!(TlsAcceptor::from(tls).accept(stream));
        let counts = self.counts();
        match watchman.watch(shaking.as_mut()).await {
            Ok(Ok(stream)) => {
                activity.shaken();
                self.serve_http(stream, &mut watchman).await;
            }
            Ok(Err(error)) => {
                counts.refuse(Refusal::Handshake);
                tracing::debug!(%error, "TLS handshake failed");
            }
            Err(Event::Late | Event::Overdue) => counts.refuse(Refusal::SlowHead),
            Err(Event::Stopped | Event::Evicted) => {}
        }
    }

    async fn serve_http<S>(self, stream: S, watchman: &mut Watchman)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let options = &self.server.site.options;
        let activity = Arc::clone(watchman.activity());
        let delivery = Arc::new(Delivery::new(self.server.site.served.clone()));
        let watch = Watch {
            delivery: Arc::clone(&delivery),
            activity: Arc::clone(&activity),
            counts: Arc::clone(self.counts()),
            write_timeout: options.write_timeout,
        };
        let mut http = http1::Builder::new();
        // The watchman is stricter; this one also ends a head that came behind a request.
        http.timer(TokioTimer::new())
            .header_read_timeout(options.idle_timeout.max(options.head_timeout))
            .max_headers(HEADERS_MAX)
            .max_header_size(HEAD_LENGTH_MAX_BYTES)
            .max_buf_size(BUFFER_LENGTH_MAX_BYTES);
        let service = service_fn(|request| {
            let (client, delivery, activity) = (&self, &delivery, &activity);
            async move { Ok::<_, Infallible>(client.respond(&request, delivery, activity).await) }
        });
        let io = TokioIo::new(Watched::new(stream, watch));
        let mut served = pin!(http.serve_connection(io, service));
        loop {
            match watchman.watch(served.as_mut()).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => return tracing::debug!(%error, "connection ended"),
                Err(Event::Stopped | Event::Overdue) => served.as_mut().graceful_shutdown(),
                Err(Event::Late) => return self.counts().refuse(Refusal::SlowHead),
                Err(Event::Evicted) => return,
            }
        }
    }

    fn counts(&self) -> &Arc<WebCounts> {
        self.server.guard.source.counts()
    }

    /// Answers a request; its body, if it has one, is not read.
    async fn respond<B>(
        &self,
        request: &Request<B>,
        delivery: &Arc<Delivery>,
        activity: &Activity,
    ) -> Response<ResponseBody> {
        activity.asked();
        let mut response = match self.role {
            Role::Main => self.guarded(request, delivery).await,
            Role::Health => match request.uri().path() {
                "/-/healthy" | "/-/ready" => self.server.site.answer(request, delivery).await,
                _ => plain(StatusCode::NOT_FOUND, "404 page not found\n"),
            },
        };
        if activity.is_old(&self.server.patience) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        activity.answered();
        response
    }

    async fn guarded<B>(
        &self,
        request: &Request<B>,
        delivery: &Arc<Delivery>,
    ) -> Response<ResponseBody> {
        let (site, guard) = (&self.server.site, &self.server.guard);
        let settings = guard.source.current();
        let is_scrape = request.uri().path() == site.options.telemetry_path.as_str();
        let admitted = guard.admit(&settings, request, self.address).await;
        let place = admitted.and_then(|()| if is_scrape { guard.place() } else { Ok(None) });
        let mut response = match place {
            Ok(place) => {
                let mut response = site.answer(request, delivery).await;
                if let Some(place) = place {
                    response.body_mut().hold(place, delivery);
                }
                response
            }
            Err(reason) => guard.turn_away(reason),
        };
        dress(&settings, &mut response);
        response
    }
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
