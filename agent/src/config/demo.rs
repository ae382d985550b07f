//! The flags of `ringmeter demo` and `ringmeter bench`. They read no environment: what is set there
//! is meant for production, and they must not meet it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::{ListenAddress, Problem, Reader, Reason};

/// Requests per second unless set: modest, so that a laptop stays quiet.
pub const REQUESTS_PER_SECOND_DEFAULT: u32 = 500;

/// More requests per second than one thread that makes them can do.
pub const REQUESTS_PER_SECOND_MAX: u32 = 100_000;

/// As long as a demo may be told to run: a day.
pub const SECONDS_MAX: u32 = 86_400;

/// Name of the hidden command that runs [`ChildCommand`].
pub const CHILD_COMMAND: &str = "demo-child";

/// The demo's flags as written: text, not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct DemoArguments {
    /// Stop after this many seconds, compare what was sent with what was scraped, and end with
    /// one line of JSON; exit code 1 if less was scraped than sent [default: run until Ctrl-C]
    #[arg(long = "seconds", value_name = "N")]
    pub seconds: Option<String>,

    /// HTTP requests to send per second, 1 to 100000 [default: 500]
    #[arg(long = "requests-per-second", value_name = "R")]
    pub requests_per_second: Option<String>,

    /// The example service [default: http_service, beside this program or in `examples` there]
    #[arg(long = "service-binary", value_name = "PATH")]
    pub service_binary: Option<OsString>,

    /// Directory to share, on a tmpfs; must exist, and is kept [default: a new one in /dev/shm,
    /// removed at the end]
    #[arg(long = "dir", value_name = "PATH")]
    pub directory: Option<OsString>,

    /// Address and port of the agent [default: 127.0.0.1:0, any free port]
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    pub web_listen_address: Option<String>,

    /// Address and port of the example service [default: 127.0.0.1:0, any free port]
    #[arg(long = "service.listen-address", value_name = "ADDRESS")]
    pub service_listen_address: Option<String>,
}

/// The demo's configuration as used: every value checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoConfig {
    /// How long to run; `None` until a signal.
    pub duration: Option<Duration>,
    /// Requests to send per second, at least one.
    pub requests_per_second: u32,
    /// The example service; `None` for the usual places.
    pub service_binary: Option<PathBuf>,
    /// Shared directory; `None` for a temporary one.
    pub directory: Option<PathBuf>,
    /// Where the agent listens.
    pub web_listen_address: ListenAddress,
    /// Where the example service listens.
    pub service_listen_address: ListenAddress,
}

/// Seconds that `ringmeter bench` takes unless it is told otherwise.
pub const BENCH_SECONDS_DEFAULT: u32 = 20;

/// Longest that `ringmeter bench` may be told to take, seconds.
pub const BENCH_SECONDS_MAX: u32 = 600;

/// The flags of `ringmeter bench` as written: text, not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct BenchArguments {
    /// Take about this long, 2 to 600 [default: 20]
    #[arg(long = "seconds", value_name = "N")]
    pub seconds: Option<String>,

    /// The program that records [default: record_cost, beside this program or in `examples` there]
    #[arg(long = "producer-binary", value_name = "PATH")]
    pub producer_binary: Option<OsString>,

    /// Directory to record in, on a tmpfs; must exist, and is kept [default: a new one in
    /// /dev/shm, removed at the end]
    #[arg(long = "dir", value_name = "PATH")]
    pub directory: Option<OsString>,
}

/// The configuration of `ringmeter bench` as used: every value checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BenchConfig {
    /// How long to take, about.
    pub duration: Duration,
    /// The program that records; `None` for the usual places.
    pub producer_binary: Option<PathBuf>,
    /// Shared directory; `None` for a temporary one.
    pub directory: Option<PathBuf>,
}

impl BenchConfig {
    /// Turns what was written into what is used.
    ///
    /// # Errors
    ///
    /// All problems, in the order of the flags.
    pub fn check(written: &BenchArguments) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader { variable: |_: &str| None, problems: Vec::new() };
        let seconds = reader.value(written.seconds.as_deref(), ["--seconds"; 2], |text| {
            whole_number(text, [BENCH_SECONDS_MIN, BENCH_SECONDS_MAX])
        });
        let directory = reader.path(written.directory.as_ref(), ["--dir"; 2]);
        if !reader.problems.is_empty() {
            return Err(reader.problems);
        }
        Ok(Self {
            duration: Duration::from_secs(seconds.unwrap_or(BENCH_SECONDS_DEFAULT).into()),
            producer_binary: written.producer_binary.as_ref().map(PathBuf::from),
            directory,
        })
    }
}

/// Less would be a handful of batches of each kind.
const BENCH_SECONDS_MIN: u32 = 2;

/// A program that ends when its parent does.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ChildCommand {
    /// Process id of the parent.
    pub parent: u32,

    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub program: Vec<OsString>,
}

impl DemoConfig {
    /// Turns what was written into what is used.
    ///
    /// # Errors
    ///
    /// All problems, in the order of the flags.
    pub fn check(written: &DemoArguments) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader { variable: |_: &str| None, problems: Vec::new() };
        let seconds = reader.value(written.seconds.as_deref(), ["--seconds"; 2], |text| {
            whole_number(text, [1, SECONDS_MAX])
        });
        let requests_per_second = reader.value(
            written.requests_per_second.as_deref(),
            ["--requests-per-second"; 2],
            |text| whole_number(text, [1, REQUESTS_PER_SECOND_MAX]),
        );
        let directory = reader.path(written.directory.as_ref(), ["--dir"; 2]);
        let web_listen_address = reader.value(
            written.web_listen_address.as_deref(),
            ["--web.listen-address"; 2],
            over_tcp,
        );
        let service_listen_address = reader.value(
            written.service_listen_address.as_deref(),
            ["--service.listen-address"; 2],
            over_tcp,
        );
        if !reader.problems.is_empty() {
            return Err(reader.problems);
        }
        let any_port = ListenAddress::One(([127, 0, 0, 1], 0).into());
        Ok(Self {
            duration: seconds.map(|seconds| Duration::from_secs(seconds.into())),
            requests_per_second: requests_per_second.unwrap_or(REQUESTS_PER_SECOND_DEFAULT),
            service_binary: written.service_binary.as_ref().map(PathBuf::from),
            directory,
            web_listen_address: web_listen_address.unwrap_or(any_port.clone()),
            service_listen_address: service_listen_address.unwrap_or(any_port),
        })
    }
}

/// The demo's own clients speak TCP only.
fn over_tcp(text: &str) -> Result<ListenAddress, Reason> {
    match text.parse()? {
        ListenAddress::Unix(_) => Err(Reason::ListenAddress),
        address => Ok(address),
    }
}

fn whole_number(text: &str, [low, high]: [u32; 2]) -> Result<u32, Reason> {
    let number = text.parse().ok().filter(|number| (low..=high).contains(number));
    number.ok_or(Reason::Number { low: low.into(), high: high.into() })
}

#[cfg(test)]
mod tests {
    use super::super::{Command, ConfigError, parse};
    use super::*;

    fn run(arguments: &[&str]) -> Result<Command, ConfigError> {
        // A demo that met the environment of production would be drained by another agent.
        parse(arguments.iter().map(OsString::from), |_| Some(OsString::from("/from/environment")))
    }

    #[test]
    fn defaults() {
        let Ok(Command::Demo(config)) = run(&["ringmeter", "demo"]) else { panic!("no demo") };
        assert_eq!(config.duration, None);
        assert_eq!(config.requests_per_second, 500);
        assert_eq!(config.service_binary, None);
        assert_eq!(config.directory, None);
        assert_eq!(config.web_listen_address.to_string(), "127.0.0.1:0");
        assert_eq!(config.service_listen_address.to_string(), "127.0.0.1:0");
    }

    #[test]
    fn flags_are_read() {
        let config = run(&[
            "ringmeter",
            "demo",
            "--seconds=3",
            "--requests-per-second=20",
            "--service-binary=target/x",
            "--dir=/dev/shm/d",
            "--web.listen-address=:19310",
            "--service.listen-address=[::1]:8080",
        ]);
        let Ok(Command::Demo(config)) = config else { panic!("no demo") };
        assert_eq!(config.duration, Some(Duration::from_secs(3)));
        assert_eq!(config.requests_per_second, 20);
        assert_eq!(config.service_binary, Some("target/x".into()));
        assert_eq!(config.directory, Some("/dev/shm/d".into()));
        assert_eq!(config.web_listen_address.to_string(), ":19310");
        assert_eq!(config.service_listen_address.to_string(), "[::1]:8080");
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let bad = run(&[
            "ringmeter",
            "demo",
            "--seconds=0",
            "--requests-per-second=fast",
            "--dir=relative",
            "--web.listen-address=80",
            "--service.listen-address=localhost",
        ]);
        let Err(ConfigError::Values(problems)) = bad else { panic!("no problems") };
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 5, "{texts:?}");
        assert_eq!(texts[0], "--seconds \"0\": must be a whole number from 1 to 86400");
        assert!(texts[1].ends_with("must be a whole number from 1 to 100000"), "{}", texts[1]);
    }

    #[test]
    fn a_bench_is_short() {
        let Ok(Command::Bench(config)) = run(&["ringmeter", "bench"]) else { panic!("no bench") };
        assert_eq!(config.duration, Duration::from_secs(20));
        assert_eq!((config.producer_binary, config.directory), (None, None));
        let bad = run(&["ringmeter", "bench", "--seconds=1", "--dir=relative"]);
        let Err(ConfigError::Values(problems)) = bad else { panic!("no problems") };
        assert_eq!(problems.len(), 2);
        let text = problems[0].to_string();
        assert_eq!(text, "--seconds \"1\": must be a whole number from 2 to 600");
    }

    #[test]
    fn a_child_keeps_its_arguments() {
        let line = ["ringmeter", CHILD_COMMAND, "7", "/bin/x", "--seconds", "1", "--help"];
        let Ok(Command::DemoChild(child)) = run(&line) else { panic!("no child") };
        assert_eq!(child.parent, 7);
        assert_eq!(child.program, ["/bin/x", "--seconds", "1", "--help"]);
    }
}
