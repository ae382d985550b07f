//! How the web server is reached, and by whom: flags as written, and as used.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{LISTEN_ADDRESSES_MAX, ListenAddress, Reader, Reason};

/// Scrapes at a time, at most, that `--web.max-requests` can allow.
pub const REQUESTS_MAX: u32 = 100_000;

/// Scrapes at a time by default, as in Prometheus' exporters.
pub const REQUESTS_DEFAULT: u32 = 40;

/// Flags as written: text, not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct WebArguments {
    /// File with TLS, users, rate limit and headers, in the format of Prometheus' exporters; read
    /// again when it or a certificate changes [env: RINGMETER_WEB_CONFIG_FILE]
    #[arg(id = "web_config_file", long = "web.config.file", value_name = "PATH")]
    pub config_file: Option<OsString>,

    /// Serve on the sockets that systemd passes, instead of the listen addresses
    #[arg(long = "web.systemd-socket")]
    pub systemd_socket: bool,

    /// Scrapes at a time; more are answered with 503; 0 for no limit
    /// [env: RINGMETER_WEB_MAX_REQUESTS] [default: 40]
    #[arg(long = "web.max-requests", value_name = "COUNT")]
    pub max_requests: Option<String>,

    /// Address for /-/healthy and /-/ready alone, without TLS and users, so that probes need
    /// neither; written as --web.listen-address, may be repeated
    /// [env: RINGMETER_WEB_HEALTH_LISTEN_ADDRESS]
    #[arg(long = "web.health-listen-address", value_name = "ADDRESS")]
    pub health_listen_address: Vec<String>,
}

/// How the server is reached and by whom: every value checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessConfig {
    /// The file with TLS and users.
    pub config_file: Option<PathBuf>,
    /// Take the sockets from systemd.
    pub systemd_socket: bool,
    /// Scrapes at a time; `None` for no limit.
    pub max_requests: Option<u32>,
    /// Addresses for health and readiness alone.
    pub health_listen_addresses: Vec<ListenAddress>,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self {
            config_file: None,
            systemd_socket: false,
            max_requests: Some(REQUESTS_DEFAULT),
            health_listen_addresses: Vec::new(),
        }
    }
}

impl AccessConfig {
    pub(super) fn check<V>(written: &WebArguments, reader: &mut Reader<V>) -> Self
    where
        V: Fn(&str) -> Option<OsString>,
    {
        let names = ["--web.config.file", "RINGMETER_WEB_CONFIG_FILE"];
        let config_file = reader.file(written.config_file.as_ref(), names);
        let names = ["--web.max-requests", "RINGMETER_WEB_MAX_REQUESTS"];
        let max_requests = reader.value(written.max_requests.as_deref(), names, requests);
        let names = ["--web.health-listen-address", "RINGMETER_WEB_HEALTH_LISTEN_ADDRESS"];
        let health = reader.listen_addresses(&written.health_listen_address, names);
        Self {
            config_file,
            systemd_socket: written.systemd_socket,
            max_requests: Some(max_requests.unwrap_or(REQUESTS_DEFAULT)).filter(|max| *max > 0),
            health_listen_addresses: health.unwrap_or_default(),
        }
    }
}

fn requests(text: &str) -> Result<u32, Reason> {
    let wrong = Reason::Number { low: 0, high: REQUESTS_MAX.into() };
    text.parse().ok().filter(|count| *count <= REQUESTS_MAX).ok_or(wrong)
}

impl<V: Fn(&str) -> Option<OsString>> Reader<V> {
    /// A path that may be relative, as exporters take it.
    fn file(&mut self, flag: Option<&OsString>, names: [&'static str; 2]) -> Option<PathBuf> {
        let written = flag.cloned().or_else(|| self.environment(names[1]))?;
        if written.is_empty() {
            self.problem(names[0], "", Reason::File);
            return None;
        }
        Some(PathBuf::from(written))
    }

    /// The addresses that were written; `None` if there are none.
    pub(super) fn listen_addresses(
        &mut self,
        flags: &[String],
        names: [&'static str; 2],
    ) -> Option<Vec<ListenAddress>> {
        let (setting, written) = if flags.is_empty() {
            let (name, text) = self.text(None, names)?;
            (name, text.split(',').map(|one| one.trim().to_owned()).collect())
        } else {
            (names[0], flags.to_vec())
        };
        let mut addresses = Vec::new();
        for text in &written {
            match text.parse() {
                Ok(address) if addresses.contains(&address) => {}
                Ok(address) => addresses.push(address),
                Err(reason) => self.problem(setting, text, reason),
            }
        }
        if addresses.len() > LISTEN_ADDRESSES_MAX {
            let reason = Reason::TooManyAddresses { limit: LISTEN_ADDRESSES_MAX };
            self.problem(setting, &addresses.len().to_string(), reason);
        }
        Some(addresses)
    }
}
