//! An HTTP client: one connection that is kept alive, one request at a time.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue, InvalidHeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// For a request, connecting included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// The largest response taken: 100,000 series are about 10 MiB.
const RESPONSE_LENGTH_MAX_BYTES: usize = 256 << 20;

/// Why there is no response.
#[derive(Debug)]
pub enum RequestError {
    /// The connection could not be made.
    Connect(io::Error),
    /// The address is nothing that a header could hold.
    Host(InvalidHeaderValue),
    /// What was to be asked for is no path.
    Path(hyper::http::Error),
    /// The connection failed on the way.
    Http(hyper::Error),
    /// The body failed on the way, or is too long.
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// There was no whole response in time.
    Timeout,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::Host(error) => write!(f, "the address makes no Host header: {error}"),
            Self::Path(error) => write!(f, "cannot be asked for: {error}"),
            Self::Http(error) => write!(f, "the connection failed: {error}"),
            Self::Body(error) if error.is::<LengthLimitError>() => {
                write!(f, "the response is longer than {RESPONSE_LENGTH_MAX_BYTES} bytes")
            }
            Self::Body(error) => write!(f, "the response broke off: {error}"),
            Self::Timeout => {
                write!(f, "no whole response within {} s", REQUEST_TIMEOUT.as_secs())
            }
        }
    }
}

impl std::error::Error for RequestError {}

/// A response, received whole.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// The whole body.
    pub body: Bytes,
}

/// A client of one address. Connects when it needs to, and again after a failure.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Sends a GET request and waits for all of its response.
    ///
    /// Nothing is sent twice: after an error the request may or may not have been answered.
    ///
    /// # Errors
    ///
    /// [`RequestError`] unless there is a whole response.
    pub async fn get(&mut self, path: &str) -> Result<Answer, RequestError> {
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, self.exchange(path));
        answer.await.unwrap_or(Err(RequestError::Timeout))
    }

    async fn exchange(&mut self, path: &str) -> Result<Answer, RequestError> {
        // Comes back only after a whole response: what was left half done is not used again.
        let mut sender = match self.connection.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.connect().await?,
        };
        sender.ready().await.map_err(RequestError::Http)?;
        let host = HeaderValue::try_from(self.address.to_string()).map_err(RequestError::Host)?;
        let request = Request::get(path).header(HOST, host).body(Empty::new());
        let request = request.map_err(RequestError::Path)?;
        let response = sender.send_request(request).await.map_err(RequestError::Http)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), RESPONSE_LENGTH_MAX_BYTES).collect().await;
        let body = body.map_err(RequestError::Body)?.to_bytes();
        self.connection = Some(sender);
        Ok(Answer { status, body })
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, RequestError> {
        let stream = TcpStream::connect(self.address).await.map_err(RequestError::Connect)?;
        // Without it a request may wait for an acknowledgement; not vital.
        let _ = stream.set_nodelay(true);
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(RequestError::Http)?;
        // Ends with its sender; what it fails with, the request in flight is told.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}
