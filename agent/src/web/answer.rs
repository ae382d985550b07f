//! From a request to a response.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::{
    ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use super::connection::{Delivery, ResponseBody};
use super::{Pipeline, ScrapesServed, WebOptions, landing};
use crate::expose::{Renderer, text};

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const METRICS: HeaderValue = HeaderValue::from_static(text::CONTENT_TYPE);

/// What all connections share.
pub(super) struct Site<P> {
    pub(super) options: WebOptions,
    pub(super) served: ScrapesServed,
    pipeline: Arc<P>,
    renderer: Mutex<Renderer>,
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
        Self { options, served, pipeline, renderer: Mutex::default() }
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
            Page::Metrics => self.metrics(delivery).await,
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

    async fn metrics(&self, delivery: &Arc<Delivery>) -> Response<ResponseBody> {
        if !self.pipeline.is_ready() {
            return unavailable("Ringmeter is not Ready.");
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
        // Rendering does not wait for anything: a few milliseconds for 100,000 series.
        let text = self.renderer.lock().unwrap_or_else(PoisonError::into_inner).text(&snapshot);
        let body = ResponseBody::of_scrape(text, delivery, snapshot.generation());
        response(StatusCode::OK, METRICS, body)
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

fn plain(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
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
