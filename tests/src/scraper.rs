//! Scrapes with headers of one's choice, and a proxy that makes a server send them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
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
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes.get(..end)?.to_vec()).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, head, body: bytes.get(end + 4..)?.to_vec() })
}

/// Listens on a loopback address and passes each request on to `target` with `accept` in place of
/// what the client accepts. It ends with the test's process.
///
/// # Panics
/// When there is no free port.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without its proxy is no test")]
pub fn proxy(target: SocketAddr, accept: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || pass_on(client, target, accept));
        }
    });
    address
}

/// One request for each connection; the server opens another one for its next.
fn pass_on(mut client: TcpStream, target: SocketAddr, accept: &str) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).ok()?;
    let is_kept = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default();
        !["accept", "connection"].iter().any(|own| name.eq_ignore_ascii_case(own))
    };
    let lines: Vec<&str> = head.trim_end().lines().filter(is_kept).collect();
    let head = format!("{}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n", lines.join("\r\n"));
    let mut server = TcpStream::connect(target).ok()?;
    server.write_all(head.as_bytes()).ok()?;
    std::io::copy(&mut server, &mut client).ok()?;
    Some(())
}
