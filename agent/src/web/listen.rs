//! Listening sockets: TCP, unix, and those that systemd passes.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use listenfd::ListenFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::{LISTEN_ADDRESSES_MAX, ListenAddress};

/// A socket that connections come from.
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(TcpListener),
    /// From this machine. The file goes with it if the server made it.
    Unix(UnixListener, Option<SocketFile>),
}

/// The sockets of a server.
#[derive(Debug, Default)]
pub struct Listeners {
    /// For every page, as the web configuration guards them.
    pub main: Vec<Listener>,
    /// For health and readiness alone, unguarded.
    pub health: Vec<Listener>,
}

/// The file of a unix socket; removed when it is dropped, if it is still the same file.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if is_ours {
            // Another agent takes over what cannot be removed, as it is nobody's.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds every address, and logs what was bound.
///
/// # Errors
///
/// [`BindError`] with all addresses that could not be bound.
pub async fn bind(addresses: &[ListenAddress]) -> Result<Vec<Listener>, BindError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    let mut failures = Vec::new();
    for address in addresses {
        let bound = match address {
            ListenAddress::Unix(path) => bind_unix(path).await,
            _ => bind_tcp(address).await,
        };
        match bound {
            Ok(listener) => listeners.push(listener),
            Err(error) => failures.push((address.to_string(), error)),
        }
    }
    if failures.is_empty() { Ok(listeners) } else { Err(BindError { failures }) }
}

async fn bind_tcp(address: &ListenAddress) -> io::Result<Listener> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for candidate in address.candidates() {
        match TcpListener::bind(candidate).await {
            Ok(listener) => {
                tracing::info!(address = %listener.local_addr()?, "listening");
                return Ok(Listener::Tcp(listener));
            }
            // The next candidate is for hosts without IPv6, not for ports that are taken.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn bind_unix(path: &Path) -> io::Result<Listener> {
    let bound = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_if_nobody_listens(path).await?;
            UnixListener::bind(path)
        }
        bound => bound,
    };
    let listener = bound?;
    let made = std::fs::symlink_metadata(path)?;
    let file = SocketFile { path: path.to_owned(), device: made.dev(), inode: made.ino() };
    tracing::info!(address = %format_args!("unix:{}", path.display()), "listening");
    Ok(Listener::Unix(listener, Some(file)))
}

/// A socket file outlives its process when that is killed. Whoever listens answers a connect.
async fn remove_if_nobody_listens(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path)?.file_type().is_socket();
    match UnixStream::connect(path).await {
        Err(error) if is_socket && error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// The sockets that systemd passed (`LISTEN_FDS`).
///
/// # Errors
///
/// [`BindError`] if there are none, more than the limit, or one that is no stream socket.
pub fn from_systemd() -> Result<Vec<Listener>, BindError> {
    let failure = |error: io::Error| BindError { failures: vec![("systemd".to_owned(), error)] };
    let count = std::env::var("LISTEN_FDS").ok().and_then(|text| text.parse::<usize>().ok());
    if count.is_some_and(|count| count > LISTEN_ADDRESSES_MAX) {
        return Err(failure(io::Error::other("more sockets were passed than can be served")));
    }
    let mut passed = ListenFd::from_env();
    let mut listeners = Vec::with_capacity(passed.len());
    for index in 0..passed.len() {
        listeners.push(take(&mut passed, index).map_err(failure)?);
    }
    if listeners.is_empty() {
        return Err(failure(io::Error::other(
            "no sockets were passed: start the agent by a .socket unit, or leave out \
             --web.systemd-socket",
        )));
    }
    Ok(listeners)
}

fn take(passed: &mut ListenFd, index: usize) -> io::Result<Listener> {
    if let Ok(Some(listener)) = passed.take_tcp_listener(index) {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        tracing::info!(address = %listener.local_addr()?, "listening");
        return Ok(Listener::Tcp(listener));
    }
    let listener = passed.take_unix_listener(index)?;
    let listener = listener.ok_or_else(|| io::Error::other("a socket was passed twice"))?;
    listener.set_nonblocking(true)?;
    tracing::info!(address = ?listener.local_addr()?, "listening");
    Ok(Listener::Unix(UnixListener::from_std(listener)?, None))
}

/// Addresses that could not be bound.
#[derive(Debug)]
pub struct BindError {
    /// Each with its reason; never empty.
    pub failures: Vec<(String, io::Error)>,
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

impl Listener {
    /// The next connection, and the address it comes from.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Without it, the end of a large response may wait for an acknowledgement.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Some(peer.ip().to_canonical())))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), None))
            }
        }
    }
}

/// A connection's socket.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Calls the method of whichever socket it is.
macro_rules! either {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
