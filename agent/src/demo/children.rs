//! The agent and the service: found, started, and known to be ready.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::Instant;

use super::DemoError;
use super::child::Child;
use super::samples::Samples;
use crate::client::Client;
use crate::config::{DemoConfig, ListenAddress};

/// For each step of the start; far more than a loaded machine needs.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);
/// For the service to time its records; without that there is just one figure less to show.
const TIMING_TIMEOUT: Duration = Duration::from_secs(5);
/// Between the last sign of a process and the time when its end can be seen, at most.
const END_DELAY_MAX: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// As many of a failed child's last lines are shown.
const LAST_LINES: usize = 15;

const TELEMETRY_PATH: &str = "/metrics";

/// Names of the children in messages.
const AGENT: &str = "agent";
const SERVICE: &str = "service";

/// Both children, running and ready.
#[derive(Debug)]
pub(super) struct Children {
    service: Child,
    agent: Child,
    /// Where the service answers.
    pub(super) service_address: SocketAddr,
    /// Where the agent answers.
    pub(super) agent_address: SocketAddr,
    scraper: Client,
}

impl Children {
    /// Starts both, and waits until a scrape of the agent shows the service, ready for load.
    pub(super) async fn start(config: &DemoConfig, directory: &Path) -> Result<Self, DemoError> {
        let service = find_service(config.service_binary.as_deref())?;
        let (agent, agent_address) = start_agent(&config.web_listen_address, directory).await?;
        let (service, service_address) = start_service(config, &service, directory).await?;
        let scraper = Client::new(agent_address);
        let mut children = Self { service, agent, service_address, agent_address, scraper };
        children.wait_for_first_scrape().await?;
        Ok(children)
    }

    pub(super) fn app_url(&self) -> String {
        format!("http://{}", self.service_address)
    }

    pub(super) fn scrape_url(&self) -> String {
        format!("http://{}{TELEMETRY_PATH}", self.agent_address)
    }

    /// A scrape of the agent: everything recorded before the call is in it.
    pub(super) async fn scrape(&mut self) -> Result<Samples, DemoError> {
        let answer = match self.scraper.get(TELEMETRY_PATH).await {
            Ok(answer) => answer,
            Err(error) => {
                // If it is about to end, that says more; its sockets close a moment before.
                let deadline = Instant::now() + END_DELAY_MAX;
                while Instant::now() < deadline {
                    self.check()?;
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                return Err(DemoError::Scrape { url: self.scrape_url(), error });
            }
        };
        let body = String::from_utf8_lossy(&answer.body);
        if answer.status != StatusCode::OK {
            let (url, status) = (self.scrape_url(), answer.status.as_u16());
            let body = body.trim().chars().take(200).collect();
            return Err(DemoError::ScrapeStatus { url, status, body });
        }
        Ok(Samples::parse(&body))
    }

    /// An error if one of them has ended.
    pub(super) fn check(&mut self) -> Result<(), DemoError> {
        check(&mut self.agent)?;
        check(&mut self.service)
    }

    /// What they have to say since the last call: warnings and errors of the agent, and whatever
    /// the service writes.
    pub(super) fn messages(&self) -> Vec<String> {
        let is_grave = |line: &String| {
            let level = logfmt_value(line, "level");
            level.is_none_or(|level| matches!(level, "WARN" | "ERROR"))
        };
        let agent = self.agent.new_lines().into_iter().filter(is_grave);
        let agent = agent.map(|line| format!("{AGENT}: {line}"));
        let service = self.service.new_lines().into_iter();
        agent.chain(service.map(|line| format!("{SERVICE}: {line}"))).collect()
    }

    /// Ends both, the service first; names those that had to be killed.
    pub(super) fn end(mut self) -> Vec<&'static str> {
        let children = [&mut self.service, &mut self.agent];
        children.into_iter().filter_map(|child| (!child.end()).then_some(child.name())).collect()
    }

    async fn wait_for_first_scrape(&mut self) -> Result<(), DemoError> {
        let start = Instant::now();
        loop {
            let shown = self.scrape().await?;
            let is_shown = shown.value("http_requests_in_flight").is_some();
            // The service times what a record costs while nothing else goes on.
            let is_timed = shown.value("app_record_cost_seconds").is_some_and(|cost| cost > 0.0);
            if is_shown && (is_timed || start.elapsed() >= TIMING_TIMEOUT) {
                return Ok(());
            }
            self.check()?;
            if start.elapsed() >= STEP_TIMEOUT {
                return Err(not_ready(&self.agent, "show the service's metrics"));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Starts an agent, and waits until it is ready.
pub(super) async fn start_agent(
    address: &ListenAddress,
    directory: &Path,
) -> Result<(Child, SocketAddr), DemoError> {
    let program = std::env::current_exe()
        .map_err(|error| DemoError::Io { purpose: "find this program's own file", error })?;
    let address = address.to_string();
    let arguments = [
        "agent",
        "--web.listen-address",
        &address,
        "--web.telemetry-path",
        TELEMETRY_PATH,
        "--web.shutdown-linger=0",
        "--log.level=info",
        "--log.format=logfmt",
    ];
    let mut child = start(AGENT, &program, &arguments, directory)?;
    let address = wait_for_line(&mut child, "listen", |line| {
        let is_it = logfmt_value(line, "msg") == Some("listening");
        logfmt_value(line, "address").filter(|_| is_it)?.parse().ok()
    })
    .await?;
    let address = reachable(address);
    wait_until_ready(&mut child, address).await?;
    Ok((child, address))
}

async fn wait_until_ready(agent: &mut Child, address: SocketAddr) -> Result<(), DemoError> {
    let mut client = Client::new(address);
    let deadline = Instant::now() + STEP_TIMEOUT;
    loop {
        if client.get("/-/ready").await.is_ok_and(|answer| answer.status == StatusCode::OK) {
            return Ok(());
        }
        check(agent)?;
        if Instant::now() >= deadline {
            return Err(not_ready(agent, "become ready"));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn start_service(
    config: &DemoConfig,
    program: &Path,
    directory: &Path,
) -> Result<(Child, SocketAddr), DemoError> {
    // The service takes one address: for all interfaces that is the one of IPv4.
    let address = config.service_listen_address.candidates().last();
    let address = address.map(|address| address.to_string()).unwrap_or_default();
    let mut child = start(SERVICE, program, &["--listen", &address], directory)?;
    let address = wait_for_line(&mut child, "listen", |line| {
        line.strip_prefix("listening on http://")?.parse().ok()
    })
    .await?;
    Ok((child, reachable(address)))
}

pub(super) fn start(
    name: &'static str,
    program: &Path,
    arguments: &[&str],
    directory: &Path,
) -> Result<Child, DemoError> {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let service = program.file_stem().unwrap_or_default();
    let variables: [(&str, &OsStr); 2] =
        [("RINGMETER_DIR", directory.as_os_str()), ("RINGMETER_SERVICE", service)];
    Child::start(name, program, &arguments, &variables)
        .map_err(|error| DemoError::Start { child: name, error })
}

/// Waits for a line that `find` makes something of. Lines before it are not shown later.
async fn wait_for_line<T>(
    child: &mut Child,
    awaited: &'static str,
    find: impl Fn(&str) -> Option<T>,
) -> Result<T, DemoError> {
    let deadline = Instant::now() + STEP_TIMEOUT;
    loop {
        // In this order: what it wrote before it ended is seen.
        let ended = check(child);
        if let Some(found) = child.new_lines().iter().find_map(|line| find(line)) {
            return Ok(found);
        }
        ended?;
        if Instant::now() >= deadline {
            return Err(not_ready(child, awaited));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn check(child: &mut Child) -> Result<(), DemoError> {
    match child.ended() {
        None => Ok(()),
        Some(status) => {
            let lines = child.last_lines(LAST_LINES);
            Err(DemoError::Ended { child: child.name(), status, lines })
        }
    }
}

fn not_ready(child: &Child, awaited: &'static str) -> DemoError {
    let seconds = STEP_TIMEOUT.as_secs();
    DemoError::NotReady {
        child: child.name(),
        awaited,
        seconds,
        lines: child.last_lines(LAST_LINES),
    }
}

/// The address to reach a listener at: the loopback one of a listener on all interfaces.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// The value of a key in a line of the agent's log, if it is one without quotes.
fn logfmt_value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split(' ').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

fn find_service(named: Option<&Path>) -> Result<PathBuf, DemoError> {
    find("http_service", named)?.map_err(|tried| DemoError::NoService { tried })
}

/// Finds an example of the SDK, which this program does not contain; or where it was looked for.
pub(super) fn find(
    example: &str,
    named: Option<&Path>,
) -> Result<Result<PathBuf, Vec<PathBuf>>, DemoError> {
    let tried = match named {
        Some(path) => vec![path.to_owned()],
        None => {
            let own = std::env::current_exe().map_err(|error| DemoError::Io {
                purpose: "find this program's own file",
                error,
            })?;
            let beside = own.parent().unwrap_or(Path::new("."));
            vec![beside.join(example), beside.join("examples").join(example)]
        }
    };
    match tried.iter().find(|path| path.is_file()) {
        // A bare name would be looked up in $PATH.
        Some(path) => std::path::absolute(path)
            .map(Ok)
            .map_err(|error| DemoError::Io { purpose: "find the current directory", error }),
        None => Ok(Err(tried)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_the_address() {
        let line = "time=2026-11-22T11:51:00.1Z level=INFO source=ringmeter_agent::web::server \
                    msg=listening address=127.0.0.1:19310";
        assert_eq!(logfmt_value(line, "msg"), Some("listening"));
        assert_eq!(logfmt_value(line, "address"), Some("127.0.0.1:19310"));
        assert_eq!(logfmt_value(line, "level"), Some("INFO"));
        assert_eq!(logfmt_value(line, "port"), None);
    }

    #[test]
    fn a_listener_on_all_interfaces_is_reached_at_the_loopback() {
        let reached = |text: &str| reachable(text.parse().expect("an address")).to_string();
        assert_eq!(reached("0.0.0.0:7"), "127.0.0.1:7");
        assert_eq!(reached("[::]:7"), "[::1]:7");
        assert_eq!(reached("10.0.0.1:7"), "10.0.0.1:7");
    }

    #[test]
    fn a_missing_service_is_told_how_to_build() {
        let path = Path::new("/nonexistent/http_service");
        let error = find_service(Some(path)).expect_err("not there").to_string();
        assert!(error.contains("/nonexistent/http_service"), "{error}");
        assert!(error.contains("--example http_service"), "{error}");
    }
}
