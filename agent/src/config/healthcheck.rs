//! The flags of `ringmeter healthcheck`: by default it asks the agent that the same environment
//! configures.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{ListenAddress, Problem, Reader, Reason, duration};

/// What is asked for unless the URL says otherwise.
pub const HEALTH_PATH: &str = "/-/healthy";

/// For an answer, unless set: well below the period of any probe.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(3);

/// The longest timeout that can be set.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// The health check's flags as written: text, not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct HealthcheckArguments {
    /// What to ask, as http://127.0.0.1:19310/-/ready; host: localhost or an IP address; without
    /// a path: /-/healthy [default: the agent's first listen address, on this machine]
    #[arg(long = "url", value_name = "URL")]
    pub url: Option<String>,

    /// How long to wait for the answer, up to 1m [default: 3s]
    #[arg(long = "timeout", value_name = "DURATION")]
    pub timeout: Option<String>,

    /// The agent's address, if it was given as a flag: as the agent's flag of this name; the
    /// first one is asked [env: RINGMETER_WEB_LISTEN_ADDRESS] [default: :19310]
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    pub web_listen_address: Vec<String>,
}

/// The health check as used: every value checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthcheckConfig {
    /// Addresses to ask, in this order, until one can be connected to.
    pub addresses: Vec<SocketAddr>,
    /// What to ask for.
    pub path: String,
    /// For everything together.
    pub timeout: Duration,
}

impl HealthcheckConfig {
    /// Turns what was written into what is used.
    ///
    /// # Errors
    ///
    /// All problems, in the order of the flags.
    pub fn check(
        written: &HealthcheckArguments,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader { variable, problems: Vec::new() };
        let url = written.url.as_deref();
        let parsed = url.map(|text| parse_url(text).ok_or(Reason::Url));
        let target = match (url, parsed) {
            (Some(_), Some(Ok(target))) => Some(target),
            (Some(text), Some(Err(reason))) => {
                reader.problem("--url", text, reason);
                None
            }
            _ => agent_address(written, &mut reader)
                .and_then(|address| target_of(&address, &mut reader)),
        };
        let timeout = reader
            .value(written.timeout.as_deref(), ["--timeout"; 2], |text| {
                duration::parse(text, TIMEOUT_MAX)
            })
            .unwrap_or(TIMEOUT_DEFAULT);
        match target {
            Some((addresses, path)) if reader.problems.is_empty() => {
                Ok(Self { addresses, path, timeout })
            }
            _ => Err(reader.problems),
        }
    }
}

/// The address that the agent of this environment answers health checks on: one for them alone,
/// which asks for no password, else its first.
fn agent_address<V: Fn(&str) -> Option<OsString>>(
    written: &HealthcheckArguments,
    reader: &mut Reader<V>,
) -> Option<ListenAddress> {
    let health = ["RINGMETER_WEB_HEALTH_LISTEN_ADDRESS"; 2];
    let all = ["--web.listen-address", "RINGMETER_WEB_LISTEN_ADDRESS"];
    let flags = &written.web_listen_address;
    let own = if flags.is_empty() { reader.listen_addresses(&[], health) } else { None };
    let found = own.or_else(|| reader.listen_addresses(flags, all));
    found.map_or_else(|| Some(ListenAddress::default()), |found| found.into_iter().next())
}

/// Where an agent that listens on `address` can be asked from the same machine.
fn target_of<V: Fn(&str) -> Option<OsString>>(
    address: &ListenAddress,
    reader: &mut Reader<V>,
) -> Option<(Vec<SocketAddr>, String)> {
    let addresses = match *address {
        ListenAddress::Unix(_) => {
            reader.problem("--web.listen-address", &address.to_string(), Reason::UnixHealth);
            return None;
        }
        ListenAddress::AllInterfaces { port } => on_loopback(port),
        ListenAddress::One(one) if !one.ip().is_unspecified() => vec![one],
        ListenAddress::One(one) if one.is_ipv6() => {
            vec![SocketAddr::from((Ipv6Addr::LOCALHOST, one.port()))]
        }
        ListenAddress::One(one) => vec![SocketAddr::from((Ipv4Addr::LOCALHOST, one.port()))],
    };
    if addresses.iter().all(|address| address.port() != 0) {
        return Some((addresses, HEALTH_PATH.to_owned()));
    }
    reader.problem("--web.listen-address", &address.to_string(), Reason::AnyPort);
    None
}

/// Both families: on all interfaces usually means both, but either may be switched off.
fn on_loopback(port: u16) -> Vec<SocketAddr> {
    vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

/// Takes an `http` URL apart. Names other than `localhost` are not looked up: an image made from
/// scratch has nothing to look them up with.
fn parse_url(text: &str) -> Option<(Vec<SocketAddr>, String)> {
    let rest = text.strip_prefix("http://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let addresses = if let Some(port) = host.strip_prefix("localhost") {
        on_loopback(if port.is_empty() { 80 } else { port.strip_prefix(':')?.parse().ok()? })
    } else if let Ok(address) = host.parse::<SocketAddr>() {
        vec![address]
    } else {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        vec![SocketAddr::from((bare.parse::<IpAddr>().ok()?, 80))]
    };
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic());
    let path = if matches!(path, "" | "/") { HEALTH_PATH } else { path };
    (is_plain && addresses.iter().all(|one| one.port() != 0)).then(|| (addresses, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::{Command, ConfigError, parse};
    use super::*;

    fn run(arguments: &[&str], listen: Option<&str>) -> Result<HealthcheckConfig, Vec<String>> {
        let line = ["ringmeter", "healthcheck"].iter().chain(arguments).map(OsString::from);
        let variable = |name: &str| {
            listen.filter(|_| name == "RINGMETER_WEB_LISTEN_ADDRESS").map(OsString::from)
        };
        match parse(line, variable) {
            Ok(Command::Healthcheck(config)) => Ok(config),
            Err(ConfigError::Values(problems)) => {
                Err(problems.iter().map(ToString::to_string).collect())
            }
            other => panic!("neither a check nor problems: {other:?}"),
        }
    }

    fn target(arguments: &[&str], listen: Option<&str>) -> String {
        let config = run(arguments, listen).expect("a good configuration");
        let addresses: Vec<String> = config.addresses.iter().map(ToString::to_string).collect();
        format!("{} {}", addresses.join(","), config.path)
    }

    #[test]
    fn the_agent_of_this_environment_is_asked() {
        assert_eq!(target(&[], None), "127.0.0.1:19310,[::1]:19310 /-/healthy");
        assert_eq!(target(&[], Some(":81")), "127.0.0.1:81,[::1]:81 /-/healthy");
        assert_eq!(target(&[], Some("10.0.0.1:81, :82")), "10.0.0.1:81 /-/healthy");
        assert_eq!(target(&[], Some("0.0.0.0:81")), "127.0.0.1:81 /-/healthy");
        assert_eq!(target(&[], Some("[::]:81")), "[::1]:81 /-/healthy");
        let flag = ["--web.listen-address", "10.0.0.2:83"];
        assert_eq!(target(&flag, Some(":81")), "10.0.0.2:83 /-/healthy");
    }

    #[test]
    fn an_address_for_health_checks_goes_first_and_a_unix_socket_is_none() {
        let ask = |arguments: &[&str], health: &'static str, listen: &'static str| {
            let line = ["ringmeter", "healthcheck"].iter().chain(arguments).map(OsString::from);
            parse(line, |name: &str| match name {
                "RINGMETER_WEB_HEALTH_LISTEN_ADDRESS" => Some(health.into()),
                "RINGMETER_WEB_LISTEN_ADDRESS" => Some(listen.into()),
                _ => None,
            })
        };
        let Ok(Command::Healthcheck(config)) = ask(&[], "127.0.0.1:82", ":81") else {
            panic!("a good configuration")
        };
        assert_eq!(config.addresses, [SocketAddr::from(([127, 0, 0, 1], 82))]);
        let Err(ConfigError::Values(problems)) = ask(&[], "", "unix:/run/x.sock") else {
            panic!("a unix socket is refused")
        };
        assert!(problems[0].to_string().contains("--web.health-listen-address"), "{problems:?}");
    }

    #[test]
    fn a_url_says_it_all() {
        let cases = [
            ("http://127.0.0.1:81", "127.0.0.1:81 /-/healthy"),
            ("http://127.0.0.1:81/", "127.0.0.1:81 /-/healthy"),
            ("http://[::1]:81/-/ready", "[::1]:81 /-/ready"),
            ("http://[::1]/-/ready", "[::1]:80 /-/ready"),
            ("http://localhost:81/x", "127.0.0.1:81,[::1]:81 /x"),
            ("http://localhost", "127.0.0.1:80,[::1]:80 /-/healthy"),
        ];
        for (url, expected) in cases {
            assert_eq!(target(&["--url", url], Some("rubbish")), expected);
        }
        let config = run(&["--url=http://[::1]", "--timeout=500ms"], None).expect("good");
        assert_eq!(config.timeout, Duration::from_millis(500));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let urls = [
            "https://127.0.0.1:81",
            "http://example.com",
            "http://127.0.0.1:0",
            "http://localhostx",
            "http://localhost:x",
            "http://127.0.0.1:81/a b",
            "127.0.0.1:81",
            "",
        ];
        for url in urls {
            let problems = run(&["--url", url, "--timeout", "2h"], None).expect_err(url);
            assert_eq!(problems.len(), 2, "{url}: {problems:?}");
            assert!(problems[0].contains("plain http"), "{problems:?}");
        }
        let problems = run(&[], Some(":0")).expect_err("any port");
        assert!(problems[0].contains("--url"), "{problems:?}");
    }
}
