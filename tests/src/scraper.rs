//! Scrapes with headers of one's choice, and a proxy that makes a server send them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// An answer whose body may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.find(|pair| pair.0.eq_ignore_ascii_case(name)).map(|pair| pair.1)
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the test expects text")]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }
}

/// Sends a request with these headers, if anybody answers.
#[must_use]
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes.get(..end)?.to_vec()).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, head, body: bytes.get(end + 4..)?.to_vec() })
}

/// Stands between a server and its target, and notes what formats the answers are in. It ends with
/// the test's process.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    content_types: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Listens on a loopback address and passes each request on to `target`, if `accept` is given
    /// with that in place of what the client accepts.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its proxy is no test")]
    pub fn start(target: SocketAddr, accept: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let content_types: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&content_types);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || pass_on(client, target, accept, &seen));
            }
        });
        Self { address, content_types }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The Content-Types of the answers so far.
    #[must_use]
    pub fn content_types(&self) -> Vec<String> {
        self.content_types.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One request for each connection; the server opens another one for its next.
fn pass_on(
    mut client: TcpStream,
    target: SocketAddr,
    accept: Option<&str>,
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).ok()?;
    let mut words = head.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let pairs = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let is_kept = |name: &str| {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        !(is("host") || is("connection") || (is("accept") && accept.is_some()))
    };
    let mut headers: Vec<(&str, &str)> = pairs.filter(|(name, _)| is_kept(name)).collect();
    headers.extend(accept.map(|accept| ("Accept", accept)));
    let reply = request(target, method, path, &headers)?;
    let content_type = reply.header("content-type").unwrap_or_default().to_owned();
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(content_type);
    client.write_all(reply.head.as_bytes()).ok()?;
    client.write_all(b"\r\n\r\n").ok()?;
    client.write_all(&reply.body).ok()
}
