//! Asks an agent how it is, and says so by the exit code: for images without a shell, where
//! nothing else could be a probe.

use std::fmt;
use std::net::SocketAddr;

use tokio::runtime;

use crate::client::{Client, RequestError};
use crate::config::HealthcheckConfig;

/// Why the agent is not known to be well.
#[derive(Debug)]
pub enum HealthcheckError {
    /// The check itself could not run.
    Runtime(std::io::Error),
    /// Nobody could be asked.
    Request {
        /// What was asked last.
        url: String,
        /// Why there is no answer.
        error: RequestError,
    },
    /// There was no whole answer in time.
    Timeout {
        /// What was asked first.
        url: String,
    },
    /// The agent answered that it is not well.
    Status {
        /// The answer's status.
        code: u16,
        /// The first line of what it says.
        text: String,
    },
}

impl fmt::Display for HealthcheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(error) => write!(f, "cannot start the runtime: {error}"),
            Self::Request { url, error: error @ RequestError::Http(_) } => write!(
                f,
                "{url}: {error}; if the agent serves TLS there, give it a plain address with \
                 --web.health-listen-address, and --url here"
            ),
            Self::Request { url, error } => write!(f, "{url}: {error}"),
            Self::Timeout { url } => write!(f, "{url}: no answer in time"),
            Self::Status { code: 401 | 403, .. } => f.write_str(
                "the address asks for credentials or a certificate: give the agent a plain \
                 address for health, and --url here",
            ),
            Self::Status { code, text } => write!(f, "status {code}: {text}"),
        }
    }
}

impl std::error::Error for HealthcheckError {}

/// Asks, and waits for the answer.
///
/// # Errors
///
/// [`HealthcheckError`] unless the answer is a success.
pub fn run(config: &HealthcheckConfig) -> Result<(), HealthcheckError> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(HealthcheckError::Runtime)?;
    let asked = async { tokio::time::timeout(config.timeout, ask(config)).await };
    let url = || url(config.addresses.first(), &config.path);
    runtime.block_on(asked).unwrap_or_else(|_| Err(HealthcheckError::Timeout { url: url() }))
}

async fn ask(config: &HealthcheckConfig) -> Result<(), HealthcheckError> {
    let mut failure = HealthcheckError::Timeout { url: url(None, &config.path) };
    for &address in &config.addresses {
        match Client::new(address).get(&config.path).await {
            Ok(answer) if answer.status.is_success() => return Ok(()),
            Ok(answer) => {
                let body = String::from_utf8_lossy(&answer.body);
                let text = body.lines().next().unwrap_or_default().trim().to_owned();
                return Err(HealthcheckError::Status { code: answer.status.as_u16(), text });
            }
            Err(error) => {
                let url = url(Some(&address), &config.path);
                failure = HealthcheckError::Request { url, error };
            }
        }
    }
    Err(failure)
}

fn url(address: Option<&SocketAddr>, path: &str) -> String {
    address.map_or_else(|| path.to_owned(), |address| format!("http://{address}{path}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;

    fn asked(address: SocketAddr) -> String {
        let path = "/-/healthy".to_owned();
        let timeout = Duration::from_secs(30);
        let config = HealthcheckConfig { addresses: vec![address], path, timeout };
        run(&config).expect_err("nobody is well").to_string()
    }

    #[test]
    fn who_was_asked_is_said_and_what_to_do_where_it_is_no_http() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            // What a TLS server answers to plain HTTP: an alert.
            stream.write_all(&[21, 3, 3, 0, 2, 2, 10]).expect("an answer");
        });
        let text = asked(address);
        server.join().expect("the server");
        let url = format!("http://{address}/-/healthy: ");
        assert!(text.starts_with(&url) && text.contains("--web.health-listen-address"), "{text}");
        let text = asked(address);
        assert!(text.starts_with(&url) && text.contains("cannot connect"), "{text}");
        assert!(!text.contains("TLS"), "{text}");
    }
}
