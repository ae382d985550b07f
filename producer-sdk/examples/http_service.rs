//! An HTTP service that measures itself with all four kinds of metric.
//!
//! ```text
//! cargo run --release --example http_service -- --listen 127.0.0.1:8080
//! ringmeter agent                      # beside it; then scrape http://127.0.0.1:19310/metrics
//! ```
//!
//! | route | answer |
//! |---|---|
//! | `/` | 200 and the list of routes |
//! | `/items/{id}` | 200 and (id mod 64 + 1) × 100 bytes; 404 from id 1000 on |
//! | `/work?ms=N&units=X` | 200 after N ms (to 10000); observes X (or N) as `app_work_units` |
//! | `/error` | 500 |
//!
//! # What is counted, and when
//!
//! A request is counted once, when its response is complete with its body and before the first
//! byte of it is sent. So a client that has received a response finds it counted, and the sum of
//! `http_requests_total` over all labels equals the number of requests that clients have
//! completed, plus those whose client went away before it had read its response. A request whose
//! client goes away before the response is made is not counted; nor is one that is not HTTP,
//! which never becomes a request.
//!
//! Label values come from a closed set, or a client could make as many series as it likes: the
//! route is the pattern and not the path, and unusual methods are `other`.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::hint::black_box;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use ringmeter::{
    Counter, CounterVec, Gauge, Histogram, HistogramVec, Producer, RegisterErrors, Status, Summary,
    buckets,
};
use tokio::net::TcpListener;

static REQUESTS: CounterVec = CounterVec::new(
    "http_requests_total",
    "Requests answered, by method, pattern of the route, and status code.",
    &["method", "route", "code"],
);
static IN_FLIGHT: Gauge =
    Gauge::new("http_requests_in_flight", "Requests whose response is being made.");
static DURATION: HistogramVec = HistogramVec::new(
    "http_request_duration_seconds",
    "Time from a request's head to its complete response, by pattern of the route.",
    &["route"],
)
.with_unit("seconds")
.with_buckets(&[
    0.00001, 0.000_025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
]);
static RESPONSE_SIZE: Summary =
    Summary::new("http_response_size_bytes", "Size of a response's body.")
        .with_unit("bytes")
        .with_objectives(&[0.5, 0.9, 0.99]);
static WORK_UNITS: Histogram =
    Histogram::new("app_work_units", "Units of work that requests asked for, as they wrote them.")
        .with_buckets(&WORK_BOUNDS);
static WORK_BOUNDS: [f64; 14] = buckets::exponential(1.0, 2.0);
static CALIBRATIONS: Counter = Counter::new(
    "app_calibration_records_total",
    "Increments of this counter, made only to time what one costs.",
);
static RECORD_COST: Gauge = Gauge::new(
    "app_record_cost_seconds",
    "Time per counter increment, loop included: median of batches timed at start; 0 until then.",
)
.with_unit("seconds");

const USAGE: &str = "\
usage: http_service [--listen ADDRESS] [--workers N]

  --listen ADDRESS  IP address and port to serve on; port 0 for any free one [default: 127.0.0.1:0]
  --workers N       threads that serve, 1 to 64 [default: 2]

Metrics go to the directory that RINGMETER_DIR names, under the name in RINGMETER_SERVICE.
";

/// For requests in flight to end after SIGTERM.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// Between two failed accepts: descriptors are short, and at once there are no more of them.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For a client to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest time that `/work` takes, ms.
const WORK_MAX_MS: u32 = 10_000;
const ITEMS: u64 = 1000;

/// A batch is long enough that reading the clock twice (about 40 ns) does not show, and all of them
/// fit into an empty lane of the default size (4096 records), so that no record is spilled.
const BATCH_RECORDS: u64 = 512;
const BATCHES: usize = 7;
/// Until the start is over and processors have something else to do than to load pages.
const CALIBRATION_DELAY: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            say(USAGE.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(problem) => return fail(&format!("{problem}\n\n{USAGE}"), 64),
    };
    // Before there are threads that would all make it at once.
    let producer = Producer::global();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.workers)
        .enable_all()
        .on_thread_start(move || producer.prepare_thread())
        .build();
    match runtime.and_then(|runtime| runtime.block_on(run(options.listen))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("http_service: {error}"), 1),
    }
}

async fn run(address: SocketAddr) -> io::Result<()> {
    register().map_err(io::Error::other)?;
    match Producer::global().status() {
        Status::Shared { path, pending: None, .. } => {
            say(&format!("metrics go to {}", path.display()));
        }
        Status::Shared { path, pending: Some(reason), .. } => {
            say(&format!("metrics go to {}, but not yet all: {reason}", path.display()));
        }
        Status::Private { reason } => say(&format!("metrics stay in this process: {reason}")),
        status => say(&format!("metrics: {status:?}")),
    }
    let listener = TcpListener::bind(address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })?;
    let stop = stop_signal()?;
    let calibration = thread::Builder::new().name("calibration".to_owned()).spawn(calibrate)?;
    // Whoever waits for this line may send requests as soon as it is there.
    say(&format!("listening on http://{}", listener.local_addr()?));
    serve(listener, stop).await;
    if calibration.join().is_err() {
        say("the calibration of record costs has failed");
    }
    say("stopped");
    Ok(())
}

/// Registers everything that has no variable labels, so that it is exposed at zero, and the
/// families, so that a mistake shows now and not at the first request.
fn register() -> Result<(), RegisterErrors> {
    ringmeter::register!(IN_FLIGHT, RESPONSE_SIZE, WORK_UNITS, CALIBRATIONS, RECORD_COST)?;
    ringmeter::register!(REQUESTS, DURATION)?;
    for warning in Producer::global().warnings() {
        say(&format!("advice: {warning}"));
    }
    Ok(())
}

/// Serves until `stop`; then accepts nothing more and lets requests in flight end.
async fn serve(listener: TcpListener, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    while let Some(accepted) = unless(stop.as_mut(), listener.accept()).await {
        let Ok((stream, _)) = accepted else {
            if unless(stop.as_mut(), tokio::time::sleep(ACCEPT_PAUSE)).await.is_none() {
                break;
            }
            continue;
        };
        // Without it the end of a response may wait for an acknowledgement; not vital.
        let _ = stream.set_nodelay(true);
        let connection = http.serve_connection(TokioIo::new(stream), service_fn(answer));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // The client went away, or was none: its own matter.
            let _ = connection.await;
        });
    }
    drop(listener);
    if tokio::time::timeout(SHUTDOWN_GRACE, graceful.shutdown()).await.is_err() {
        say("cut off connections that did not end in time");
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let start = Instant::now();
    let _in_flight = IN_FLIGHT.track_in_progress();
    let route = Route::of(request.uri().path());
    let page = match *request.method() {
        Method::GET | Method::HEAD => route.page(&request).await,
        _ => Page::text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered.\n"),
    };
    let size_bytes = if request.method() == Method::HEAD { 0 } else { page.body.len() };
    let response = page.into_response();
    let code = response.status();
    let labels = [method_label(request.method()), route.pattern(), code.as_str()];
    REQUESTS.with(&labels).inc();
    DURATION.with(&[route.pattern()]).observe_duration(start.elapsed());
    RESPONSE_SIZE.observe(size_bytes as f64);
    Ok(response)
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// What a path leads to.
#[derive(Debug, Clone, Copy)]
enum Route {
    Index,
    Item(u64),
    Work,
    Error,
    Unknown,
}

impl Route {
    fn of(path: &str) -> Self {
        match path {
            "/" => Self::Index,
            "/work" => Self::Work,
            "/error" => Self::Error,
            _ => match path.strip_prefix("/items/").map(str::parse) {
                Some(Ok(id)) => Self::Item(id),
                _ => Self::Unknown,
            },
        }
    }

    const fn pattern(self) -> &'static str {
        match self {
            Self::Index => "/",
            Self::Item(_) => "/items/{id}",
            Self::Work => "/work",
            Self::Error => "/error",
            Self::Unknown => "other",
        }
    }

    async fn page<B>(self, request: &Request<B>) -> Page {
        match self {
            Self::Index => Page::text(StatusCode::OK, "/\n/items/{id}\n/work?ms=N\n/error\n"),
            Self::Item(id) if id < ITEMS => Page::item(id),
            Self::Item(_) => Page::text(StatusCode::NOT_FOUND, "No such item.\n"),
            Self::Work => Work::page(request.uri().query().unwrap_or_default()).await,
            Self::Error => Page::text(StatusCode::INTERNAL_SERVER_ERROR, "As asked for.\n"),
            Self::Unknown => Page::text(StatusCode::NOT_FOUND, "No such page.\n"),
        }
    }
}

/// A response before it is one.
struct Page {
    status: StatusCode,
    body: Bytes,
}

impl Page {
    fn text(status: StatusCode, text: &'static str) -> Self {
        Self { status, body: Bytes::from_static(text.as_bytes()) }
    }

    fn item(id: u64) -> Self {
        let line = format!("item {id}\n");
        let size_bytes = (usize::try_from(id % 64).unwrap_or(0) + 1) * 100;
        let body: Vec<u8> = line.bytes().cycle().take(size_bytes).collect();
        Self { status: StatusCode::OK, body: body.into() }
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

/// What a request to `/work` asks for.
struct Work {
    ms: u32,
    units: f64,
}

impl Work {
    fn parse(query: &str) -> Option<Self> {
        let value = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        let ms = value("ms").map_or(Some(0), |text| text.parse().ok())?;
        let units = value("units").map_or(Some(f64::from(ms)), |text| text.parse().ok())?;
        (ms <= WORK_MAX_MS && units.is_finite()).then_some(Self { ms, units })
    }

    /// Waits as a service waits for its database, so that requests are in flight at once.
    async fn page(query: &str) -> Page {
        let Some(work) = Self::parse(query) else {
            let text = "ms must be a whole number from 0 to 10000, units a finite number.\n";
            return Page::text(StatusCode::BAD_REQUEST, text);
        };
        if work.ms > 0 {
            tokio::time::sleep(Duration::from_millis(work.ms.into())).await;
        }
        // Only now: a client that went away meanwhile is not counted anywhere.
        WORK_UNITS.observe(work.units);
        Page::text(StatusCode::OK, "Done.\n")
    }
}

/// Times what a record costs here and now: by way of this thread's lane, when there is a segment.
fn calibrate() {
    Producer::global().prepare_thread();
    thread::sleep(CALIBRATION_DELAY);
    let mut batches_ns = [0; BATCHES];
    for batch_ns in &mut batches_ns {
        let start = Instant::now();
        for _ in 0..BATCH_RECORDS {
            black_box(&CALIBRATIONS).inc();
        }
        *batch_ns = start.elapsed().as_nanos();
    }
    batches_ns.sort_unstable();
    RECORD_COST.set(batches_ns[BATCHES / 2] as f64 / BATCH_RECORDS as f64 / 1e9);
}

/// Completes at ctrl-c, and on Unix at SIGTERM.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminate = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate())?
    };
    Ok(async move {
        let mut interrupt = pin!(tokio::signal::ctrl_c());
        std::future::poll_fn(|cx| {
            #[cfg(unix)]
            if terminate.poll_recv(cx).is_ready() {
                return std::task::Poll::Ready(());
            }
            interrupt.as_mut().poll(cx).map(|_| ())
        })
        .await;
    })
}

/// What `work` comes to, unless `stop` completes first.
async fn unless<T>(
    mut stop: impl Future<Output = ()> + Unpin,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| match pin!(&mut stop).poll(cx) {
        std::task::Poll::Ready(()) => std::task::Poll::Ready(None),
        std::task::Poll::Pending => work.as_mut().poll(cx).map(Some),
    })
    .await
}

struct Options {
    listen: SocketAddr,
    workers: usize,
}

impl Options {
    /// `None` when help was asked for.
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), workers: 2 };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let (flag, value) = match argument.split_once('=') {
                Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            let mut value =
                || value.clone().or_else(|| arguments.next()).ok_or(format!("{flag}: no value"));
            let bad =
                |text: &str, right: &dyn fmt::Display| format!("{flag} {text:?}: must be {right}");
            match flag.as_str() {
                "--help" | "-h" => return Ok(None),
                "--listen" => {
                    let text = value()?;
                    let right = "an IP address and a port, as 127.0.0.1:8080";
                    options.listen = text.parse().map_err(|_| bad(&text, &right))?;
                }
                "--workers" => {
                    let text = value()?;
                    let workers = text.parse().ok().filter(|workers| (1..=64).contains(workers));
                    options.workers =
                        workers.ok_or_else(|| bad(&text, &"a number from 1 to 64"))?;
                }
                _ => return Err(format!("{flag}: there is no such flag")),
            }
        }
        Ok(Some(options))
    }
}

/// One line for whoever watches; nobody need.
fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

fn fail(problem: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "{}", problem.trim_end());
    ExitCode::from(code)
}
