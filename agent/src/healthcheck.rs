//! Asks an agent how it is, and says so by the exit code: for images without a shell, where
//! nothing else could be a probe.

use std::fmt;

use tokio::runtime;

use crate::client::{Client, RequestError};
use crate::config::HealthcheckConfig;

/// Why the agent is not known to be well.
#[derive(Debug)]
pub enum HealthcheckError {
    /// The check itself could not run.
    Runtime(std::io::Error),
    /// Nobody could be asked; the last attempt's reason.
    Request(RequestError),
    /// There was no whole answer in time.
    Timeout,
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
            Self::Request(error) => error.fmt(f),
            Self::Timeout => f.write_str("no answer in time"),
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
    runtime.block_on(asked).unwrap_or(Err(HealthcheckError::Timeout))
}

async fn ask(config: &HealthcheckConfig) -> Result<(), HealthcheckError> {
    let mut failure = HealthcheckError::Timeout;
    for &address in &config.addresses {
        match Client::new(address).get(&config.path).await {
            Ok(answer) if answer.status.is_success() => return Ok(()),
            Ok(answer) => {
                let body = String::from_utf8_lossy(&answer.body);
                let text = body.lines().next().unwrap_or_default().trim().to_owned();
                return Err(HealthcheckError::Status { code: answer.status.as_u16(), text });
            }
            Err(error) => failure = HealthcheckError::Request(error),
        }
    }
    Err(failure)
}
