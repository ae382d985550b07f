//! From a request to a response.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Mutex as AsyncMutex;

use super::connection::{Delivery, ResponseBody};
use super::negotiate::{Asked, asked};
use super::{Pipeline, ScrapesServed, WebOptions, landing};
use crate::expose::{Format, Renderer, Want};
use crate::snapshot::Snapshot;

/// Pages of up to about this size are made at once: that takes a millisecond or two, compression
/// included. Larger ones are made on a thread of their own, so that nobody else waits, health
/// least of all.
const AT_ONCE_MAX_BYTES: usize = 256 * 1024;

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// What all connections share.
pub(super) struct Site<P> {
    pub(super) options: WebOptions,
    pub(super) served: ScrapesServed,
    pipeline: Arc<P>,
    /// Held while a page is made: who asks for the same meanwhile waits, and gets the same.
    renderer: Arc<AsyncMutex<Renderer>>,
    newest: Mutex<Arc<Snapshot>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Metrics,
    Landing,
    Healthy,
    Ready,
    Reload,
}

impl Page {
    /// The methods that it takes, and what others are told.
    fn methods(self) -> (&'static [Method], &'static str, &'static str) {
        match self {
            Self::Reload => {
                (&[Method::POST, Method::PUT], "POST, PUT", "Only POST or PUT requests allowed\n")
            }
            _ => (&[Method::GET, Method::HEAD], "GET, HEAD", "Only GET or HEAD requests allowed\n"),
        }
    }
}

impl<P: Pipeline> Site<P> {
    pub(super) fn new(pipeline: Arc<P>, options: WebOptions, served: ScrapesServed) -> Self {
        let renderer = Arc::new(AsyncMutex::new(Renderer::new(options.render)));
        Self { options, served, pipeline, renderer, newest: Mutex::default() }
    }

    /// Answers a request; its body, if it has one, is not read.
    pub(super) async fn answer<B>(
        &self,
        request: &Request<B>,
        delivery: &Arc<Delivery>,
    ) -> Response<ResponseBody> {
        let Some(page) = self.page(request.uri().path()) else {
            return plain(StatusCode::NOT_FOUND, "404 page not found\n");
        };
        let (methods, allow, words) = page.methods();
        if !methods.contains(request.method()) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, words);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            return response;
        }
        match page {
            Page::Metrics => self.metrics(request, delivery).await,
            Page::Landing => landing_page(self.options.telemetry_path.as_str()),
            Page::Healthy => state(self.pipeline.is_healthy(), "Healthy"),
            Page::Ready => state(self.pipeline.is_ready(), "Ready"),
            Page::Reload => self.reload().await,
        }
    }

    async fn reload(&self) -> Response<ResponseBody> {
        if !self.options.enable_lifecycle {
            return plain(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.\n");
        }
        match self.pipeline.reload().await {
            Ok(()) => plain(StatusCode::OK, ""),
            Err(reason) => {
                let text = format!("failed to reload config: {reason}\n");
                response(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, ResponseBody::new(text))
            }
        }
    }

    /// Metrics may be served at `/`, and then there is no landing page.
    fn page(&self, path: &str) -> Option<Page> {
        match path {
            path if path == self.options.telemetry_path.as_str() => Some(Page::Metrics),
            "/" => Some(Page::Landing),
            "/-/healthy" => Some(Page::Healthy),
            "/-/ready" => Some(Page::Ready),
            "/-/reload" => Some(Page::Reload),
            _ => None,
        }
    }

    async fn metrics<B>(
        &self,
        request: &Request<B>,
        delivery: &Arc<Delivery>,
    ) -> Response<ResponseBody> {
        if !self.pipeline.is_ready() {
            return unavailable("Ringmeter is not Ready.");
        }
        let Asked { want, content_type } = asked(request.headers(), request.uri().query());
        if want.format == Format::Protobuf {
            self.pipeline.expect_native_histograms();
        }
        let timeout = self.options.scrape_timeout;
        let snapshot = match tokio::time::timeout(timeout, self.pipeline.scrape()).await {
            Ok(Ok(snapshot)) => snapshot,
            Ok(Err(not_ready)) => return unavailable(&not_ready.reason),
            Err(_) => {
                let reason = format!("No snapshot within {} ms.", timeout.as_millis());
                tracing::warn!(timeout_ms = timeout.as_secs_f64() * 1e3, "scrape timed out");
                return unavailable(&reason);
            }
        };
        let is_compressed = want.gzip;
        let Some((page, generation)) = self.rendered(snapshot, want).await else {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return plain(status, "The metrics could not be rendered.\n");
        };
        let body = ResponseBody::of_scrape(page, delivery, generation);
        let mut response = response(StatusCode::OK, content_type, body);
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        if is_compressed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    /// The snapshot's page, or that of a later one, with its generation; `None` if the renderer
    /// panicked. Whoever waits while a page is made gets it if it is new enough, or else the page
    /// of the newest snapshot: so scrapes that come together cost one page, or two.
    async fn rendered(&self, snapshot: Arc<Snapshot>, want: Want) -> Option<(Arc<Vec<u8>>, u64)> {
        let generation = snapshot.generation();
        self.publish(snapshot);
        let mut renderer = Arc::clone(&self.renderer).lock_owned().await;
        if let Some(ready) = renderer.ready(generation, &want) {
            return Some(ready);
        }
        let newest = self.newest();
        let served = self.served.clone();
        let is_small = newest.is_within(AT_ONCE_MAX_BYTES);
        let mut render = move || {
            let before = renderer.renders();
            let page = renderer.page(&newest, &want);
            served.note_renders(renderer.renders() - before);
            (page, newest.generation())
        };
        if is_small {
            return Some(render());
        }
        tokio::task::spawn_blocking(render).await.ok()
    }

    fn publish(&self, snapshot: Arc<Snapshot>) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if snapshot.generation() > newest.generation() {
            *newest = snapshot;
        }
    }

    fn newest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn response(
    status: StatusCode,
    content_type: HeaderValue,
    body: ResponseBody,
) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    response(status, PLAIN, ResponseBody::new(text))
}

fn unavailable(reason: &str) -> Response<ResponseBody> {
    response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, ResponseBody::new(format!("{reason}\n")))
}

fn state(holds: bool, word: &str) -> Response<ResponseBody> {
    if !holds {
        return unavailable(&format!("Ringmeter is not {word}."));
    }
    response(StatusCode::OK, PLAIN, ResponseBody::new(format!("Ringmeter is {word}.\n")))
}

fn landing_page(telemetry_path: &str) -> Response<ResponseBody> {
    let mut page = response(StatusCode::OK, HTML, ResponseBody::new(landing::page(telemetry_path)));
    let policy = HeaderValue::from_static(landing::CONTENT_SECURITY_POLICY);
    page.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    page
}
