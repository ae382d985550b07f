//! What a request has to pass before it is answered: rate limit, login, scrapes in flight.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::plain;
use super::connection::ResponseBody;
use super::logins::{Login, Logins};
use super::settings::{RateLimit, WebSettings};
use super::source::SettingsSource;
use crate::web_counts::Refusal;

/// What guards the pages; shared by all connections.
#[derive(Debug)]
pub struct Guard {
    pub(super) source: SettingsSource,
    logins: Logins,
    bucket: Mutex<Option<Bucket>>,
    in_flight: Option<Arc<Semaphore>>,
}

impl Guard {
    /// Guards by a configuration, and allows `max_requests` scrapes at a time.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub fn new(
        source: SettingsSource,
        max_requests: Option<u32>,
    ) -> Result<Self, ring::error::Unspecified> {
        let in_flight = max_requests.map(|max| Arc::new(Semaphore::new(max as usize)));
        Ok(Self { source, logins: Logins::new()?, bucket: Mutex::default(), in_flight })
    }

    /// Whether a request may pass.
    pub(super) async fn admit<B>(
        &self,
        settings: &WebSettings,
        request: &Request<B>,
        address: Option<IpAddr>,
    ) -> Result<(), Refusal> {
        if !self.is_within_rate(settings.rate_limit) {
            return Err(Refusal::RateLimit);
        }
        if settings.users.is_empty() {
            return Ok(());
        }
        let header = request.headers().get(AUTHORIZATION);
        match self.logins.verify(settings, header, address).await {
            Login::Accepted => Ok(()),
            Login::Refused => Err(Refusal::Unauthorized),
            Login::Busy => Err(Refusal::LoginsWaiting),
        }
    }

    /// A place among the scrapes in flight, if their number is limited.
    pub(super) fn place(&self) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        let Some(places) = &self.in_flight else { return Ok(None) };
        Arc::clone(places).try_acquire_owned().map(Some).map_err(|_| Refusal::MaxRequests)
    }

    /// What is answered to a request that may not pass; counts it.
    pub(super) fn turn_away(&self, reason: Refusal) -> Response<ResponseBody> {
        self.source.counts().refuse(reason);
        let (status, text) = match reason {
            Refusal::RateLimit => (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests\n"),
            Refusal::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized\n"),
            Refusal::MaxRequests => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Limit of concurrent requests reached, try again later.\n",
            ),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "Too many logins wait, try again later.\n"),
        };
        let mut response = plain(status, text);
        let headers = response.headers_mut();
        match status {
            StatusCode::UNAUTHORIZED => {
                let basic = HeaderValue::from_static("Basic realm=\"ringmeter\"");
                headers.insert(WWW_AUTHENTICATE, basic);
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }

    fn is_within_rate(&self, limit: Option<RateLimit>) -> bool {
        let Some(limit) = limit else { return true };
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if bucket.as_ref().is_none_or(|bucket| bucket.limit != limit) {
            *bucket = Some(Bucket { limit, tokens: limit.burst.into(), filled: now });
        }
        bucket.as_mut().is_none_or(|bucket| bucket.take(now))
    }
}

/// The headers that the configuration adds to every response.
pub(super) fn dress(settings: &WebSettings, response: &mut Response<ResponseBody>) {
    for (name, value) in &settings.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
}

#[derive(Debug)]
struct Bucket {
    limit: RateLimit,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        let earned = passed / self.limit.interval.as_secs_f64();
        self.tokens = (self.tokens + earned).min(self.limit.burst.into());
        self.filled = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_gives_the_burst_and_then_one_per_interval() {
        let limit = RateLimit { interval: Duration::from_secs(2), burst: 3 };
        let start = Instant::now();
        let mut bucket = Bucket { limit, tokens: 3.0, filled: start };
        let mut taken = |after_ms| {
            let now = start + Duration::from_millis(after_ms);
            (0..10).filter(|_| bucket.take(now)).count()
        };
        assert_eq!(taken(0), 3);
        assert_eq!(taken(1_000), 0);
        assert_eq!(taken(2_000), 1);
        assert_eq!(taken(6_500), 2);
        assert_eq!(taken(1_000_000), 3, "no more than the burst");
        assert_eq!(taken(0), 0, "a clock that went back gives nothing");
    }
}
