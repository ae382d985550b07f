//! The agent's configuration: flags and environment as written, and as used.
//!
//! A flag wins over its environment variable, which wins over the default. Every value is
//! checked before anything starts, and all problems are reported at once. An empty environment
//! variable counts as unset. Unknown flags are errors; unknown variables are not, because
//! Kubernetes itself sets `RINGMETER_PORT` and its like for a Service named `ringmeter`.

mod demo;
mod duration;
pub mod file;
mod healthcheck;
mod size;
mod value;
mod web;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use clap::Parser;

pub use demo::{
    BENCH_SECONDS_DEFAULT, BENCH_SECONDS_MAX, BenchArguments, BenchConfig, CHILD_COMMAND,
    ChildCommand, DemoArguments, DemoConfig, REQUESTS_PER_SECOND_DEFAULT, REQUESTS_PER_SECOND_MAX,
    SECONDS_MAX,
};
pub(crate) use duration::parse as parse_duration;
pub use healthcheck::{HEALTH_PATH, HealthcheckArguments, HealthcheckConfig};
pub use size::{OutputFormat, SizeArguments, SizeConfig};
pub use value::{
    DEFAULT_PORT, ListenAddress, LogFormat, LogLevel, Reason, TELEMETRY_PATH_LENGTH_MAX_BYTES,
    TelemetryPath, UNIX_PATH_LENGTH_MAX_BYTES,
};
pub use web::{AccessConfig, REQUESTS_DEFAULT, REQUESTS_MAX, WebArguments};

/// Exit code for a bad configuration (`EX_USAGE` of sysexits.h).
pub const EXIT_CONFIGURATION: u8 = 64;

/// Exit code for a start that failed although the configuration is good.
pub const EXIT_START: u8 = 1;

/// How long the agent may go on serving after SIGTERM, at most.
pub const SHUTDOWN_LINGER_MAX: Duration = Duration::from_secs(3600);

/// As many addresses as may be listened on.
pub const LISTEN_ADDRESSES_MAX: usize = 16;

/// The command line of the `ringmeter` program.
#[derive(Debug, clap::Parser)]
#[command(name = "ringmeter", version, about = "Metrics at the speed of a memory write")]
struct CommandLine {
    #[command(subcommand)]
    command: WrittenCommand,
}

#[derive(Debug, clap::Subcommand)]
enum WrittenCommand {
    /// Drain instrumented processes, aggregate, and serve Prometheus exposition.
    Agent(AgentArguments),
    /// Look for mistakes in a configuration file; tells all of them and exits with 64 if there
    /// are any.
    CheckConfig(CheckConfigArguments),
    /// Print the default configuration file, with every field explained.
    Config(ConfigArguments),
    /// Check metrics by the rules of `promtool check metrics`; exits with 3 if there is advice.
    Lint(LintArguments),
    /// Ask the agent on this machine how it is; exit code 0 if it is well, else 1. For probes in
    /// images without a shell.
    Healthcheck(HealthcheckArguments),
    /// Tell how much memory volumes, application and agent need, with the arithmetic.
    Size(SizeArguments),
    /// Show it all at work: start an agent and the example service, put the service under HTTP
    /// load, and watch the scrape. Ctrl-C ends it.
    Demo(DemoArguments),
    /// Measure what a record costs on this machine, with an agent that reads and without one: one
    /// table, after 20 seconds.
    Bench(BenchArguments),
    /// Check a file for --web.config.file, and the certificates that it names, as the agent would:
    /// all problems at once. Exits with 0 if it is good, with 64 if not.
    CheckWebConfig {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Run a program that ends when its parent does; for `demo` and `bench`.
    #[command(name = CHILD_COMMAND, hide = true)]
    DemoChild(ChildCommand),
}

/// What to check.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct CheckConfigArguments {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// What to print.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ConfigArguments {
    /// Print the configuration that is in force without a file
    #[arg(long = "print-default", required = true)]
    pub print_default: bool,
}

/// What to check.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct LintArguments {
    /// http://HOST:PORT/PATH to scrape, a file with a scrape, or - for standard input
    #[arg(value_name = "URL|FILE", default_value = "-")]
    pub source: OsString,
}

/// The agent's flags as written: text, not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct AgentArguments {
    /// Directory shared with the instrumented processes: an absolute path that exists. By
    /// default /run/ringmeter if usable, else $XDG_RUNTIME_DIR/ringmeter, else
    /// /dev/shm/ringmeter-UID [env: RINGMETER_DIR]
    #[arg(long = "dir", value_name = "PATH")]
    pub directory: Option<OsString>,

    /// File that keeps totals while the agent is away: an absolute path, in a directory that
    /// exists and that only the agent writes; by default `agent/ledger` in the shared directory
    /// [env: RINGMETER_LEDGER_PATH]
    #[arg(long = "ledger.path", value_name = "PATH")]
    pub ledger_path: Option<OsString>,

    /// Configuration of what is exposed and how much is taken; see `ringmeter config
    /// --print-default` [env: RINGMETER_CONFIG_FILE] [default: none]
    #[arg(long = "config.file", value_name = "FILE")]
    pub config_file: Option<OsString>,

    /// Let POST to /-/reload read the configuration again [env: RINGMETER_WEB_ENABLE_LIFECYCLE,
    /// true or false]
    #[arg(long = "web.enable-lifecycle")]
    pub web_enable_lifecycle: bool,

    /// Leave out the metrics that the agent has about itself
    /// [env: RINGMETER_WEB_DISABLE_EXPORTER_METRICS, true or false]
    #[arg(long = "web.disable-exporter-metrics")]
    pub web_disable_exporter_metrics: bool,

    /// IP address and port to serve on, or only :PORT for all interfaces, or unix:/PATH for a
    /// unix socket; may be repeated, up to 16 times; separated by commas in the environment
    /// [env: RINGMETER_WEB_LISTEN_ADDRESS] [default: :19310]
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    pub web_listen_address: Vec<String>,

    /// Path under which metrics are served [env: RINGMETER_WEB_TELEMETRY_PATH]
    /// [default: /metrics]
    #[arg(long = "web.telemetry-path", value_name = "PATH")]
    pub web_telemetry_path: Option<String>,

    /// Whether OpenMetrics has a `_created` sample for each series: true or false. A server
    /// without a use for them stores each as one more series
    /// [env: RINGMETER_WEB_OPENMETRICS_CREATED] [default: false]
    #[arg(
        long = "web.openmetrics-created",
        value_name = "BOOLEAN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub web_openmetrics_created: Option<String>,

    /// How long to go on serving after SIGTERM until one scrape has fetched the final values, as
    /// 500ms, 20s or 1m30s, up to 1h; 0 to stop at once [env: RINGMETER_WEB_SHUTDOWN_LINGER]
    /// [default: 20s]
    #[arg(long = "web.shutdown-linger", value_name = "DURATION")]
    pub web_shutdown_linger: Option<String>,

    /// How the server is reached, and by whom.
    #[command(flatten)]
    pub web: WebArguments,

    /// Least severe messages to log: debug, info, warn or error [env: RINGMETER_LOG_LEVEL]
    /// [default: info]
    #[arg(long = "log.level", value_name = "LEVEL")]
    pub log_level: Option<String>,

    /// Form of the log on standard error: logfmt or json [env: RINGMETER_LOG_FORMAT]
    /// [default: logfmt]
    #[arg(long = "log.format", value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// What the program was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run the agent.
    Agent(AgentConfig),
    /// Look for mistakes in a configuration file.
    CheckConfig(CheckConfigArguments),
    /// Print the default configuration file.
    PrintDefault,
    /// Check metrics.
    Lint(LintArguments),
    /// Ask an agent how it is.
    Healthcheck(HealthcheckConfig),
    /// Calculate sizes.
    Size(SizeConfig),
    /// Run the demo.
    Demo(DemoConfig),
    /// Measure what a record costs.
    Bench(BenchConfig),
    /// Check a web configuration.
    CheckWebConfig(PathBuf),
    /// Become a child of the demo.
    DemoChild(ChildCommand),
}

/// The agent's configuration as used: every value checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// Shared directory, absolute and without `..`; `None` for the usual places.
    pub directory: Option<PathBuf>,
    /// Configuration file.
    pub config_file: Option<PathBuf>,
    /// File of the ledger, absolute and without `..`; `None` for the usual place.
    pub ledger_path: Option<PathBuf>,
    /// What is served, and where.
    pub web: WebConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// The web server's part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebConfig {
    /// Addresses to serve on, at least one, in the order given, each once.
    pub listen_addresses: Vec<ListenAddress>,
    /// Where metrics are served.
    pub telemetry_path: TelemetryPath,
    /// Whether OpenMetrics has a `_created` sample for each series.
    pub openmetrics_created: bool,
    /// How long serving goes on after SIGTERM for one scrape of the final values.
    pub shutdown_linger: Duration,
    /// Whether `/-/reload` may be asked.
    pub enable_lifecycle: bool,
    /// Whether the agent's own metrics are left out.
    pub disable_exporter_metrics: bool,
    /// How the server is reached, and by whom.
    pub access: AccessConfig,
}

/// The log's part of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// Least severe level that is logged.
    pub level: LogLevel,
    /// Form of a line.
    pub format: LogFormat,
}

/// Reads the command line, program name first, and the environment through `variable`.
///
/// # Errors
///
/// [`ConfigError`], with all bad values at once; also for `--help` and `--version`.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, ConfigError> {
    let line = CommandLine::try_parse_from(arguments).map_err(ConfigError::Arguments)?;
    match line.command {
        WrittenCommand::Agent(written) => {
            AgentConfig::check(&written, variable).map(Command::Agent).map_err(ConfigError::Values)
        }
        WrittenCommand::CheckConfig(written) => Ok(Command::CheckConfig(written)),
        WrittenCommand::Config(_) => Ok(Command::PrintDefault),
        WrittenCommand::Lint(written) => Ok(Command::Lint(written)),
        WrittenCommand::Healthcheck(written) => HealthcheckConfig::check(&written, variable)
            .map(Command::Healthcheck)
            .map_err(ConfigError::Values),
        WrittenCommand::Size(written) => {
            SizeConfig::check(&written).map(Command::Size).map_err(ConfigError::Values)
        }
        WrittenCommand::Demo(written) => {
            DemoConfig::check(&written).map(Command::Demo).map_err(ConfigError::Values)
        }
        WrittenCommand::Bench(written) => {
            BenchConfig::check(&written).map(Command::Bench).map_err(ConfigError::Values)
        }
        WrittenCommand::CheckWebConfig { file } => Ok(Command::CheckWebConfig(file)),
        WrittenCommand::DemoChild(child) => Ok(Command::DemoChild(child)),
    }
}

impl AgentConfig {
    /// Turns what was written into what is used.
    ///
    /// # Errors
    ///
    /// All problems, in the order of the flags.
    pub fn check(
        written: &AgentArguments,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader { variable, problems: Vec::new() };
        let directory = reader.path(written.directory.as_ref(), ["--dir", "RINGMETER_DIR"]);
        let ledger_path =
            reader.path(written.ledger_path.as_ref(), ["--ledger.path", "RINGMETER_LEDGER_PATH"]);
        let config_file = written.config_file.clone().map(PathBuf::from);
        let config_file =
            config_file.or_else(|| reader.environment("RINGMETER_CONFIG_FILE").map(PathBuf::from));
        let enable_lifecycle = reader.flag(
            written.web_enable_lifecycle,
            ["--web.enable-lifecycle", "RINGMETER_WEB_ENABLE_LIFECYCLE"],
        );
        let disable_exporter_metrics = reader.flag(
            written.web_disable_exporter_metrics,
            ["--web.disable-exporter-metrics", "RINGMETER_WEB_DISABLE_EXPORTER_METRICS"],
        );
        let names = ["--web.listen-address", "RINGMETER_WEB_LISTEN_ADDRESS"];
        let listen_addresses = reader.listen_addresses(&written.web_listen_address, names);
        let telemetry_path = reader.value(
            written.web_telemetry_path.as_deref(),
            ["--web.telemetry-path", "RINGMETER_WEB_TELEMETRY_PATH"],
            str::parse,
        );
        let openmetrics_created = reader.value(
            written.web_openmetrics_created.as_deref(),
            ["--web.openmetrics-created", "RINGMETER_WEB_OPENMETRICS_CREATED"],
            |text| text.parse().map_err(|_| Reason::Boolean),
        );
        let shutdown_linger = reader.value(
            written.web_shutdown_linger.as_deref(),
            ["--web.shutdown-linger", "RINGMETER_WEB_SHUTDOWN_LINGER"],
            |text| duration::parse(text, SHUTDOWN_LINGER_MAX),
        );
        let access = AccessConfig::check(&written.web, &mut reader);
        let level = reader.value(
            written.log_level.as_deref(),
            ["--log.level", "RINGMETER_LOG_LEVEL"],
            str::parse,
        );
        let format = reader.value(
            written.log_format.as_deref(),
            ["--log.format", "RINGMETER_LOG_FORMAT"],
            str::parse,
        );
        if !reader.problems.is_empty() {
            return Err(reader.problems);
        }
        let web = WebConfig {
            listen_addresses: listen_addresses.unwrap_or_else(|| vec![ListenAddress::default()]),
            telemetry_path: telemetry_path.unwrap_or_default(),
            openmetrics_created: openmetrics_created.unwrap_or(false),
            shutdown_linger: shutdown_linger.unwrap_or(Duration::from_secs(20)),
            enable_lifecycle,
            disable_exporter_metrics,
            access,
        };
        let log =
            LogConfig { level: level.unwrap_or_default(), format: format.unwrap_or_default() };
        Ok(Self { directory, config_file, ledger_path, web, log })
    }
}

/// Reads one setting after the other and collects what is wrong with them.
struct Reader<V> {
    variable: V,
    problems: Vec<Problem>,
}

impl<V: Fn(&str) -> Option<OsString>> Reader<V> {
    fn environment(&self, name: &str) -> Option<OsString> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn problem(&mut self, setting: &'static str, written: &str, reason: Reason) {
        self.problems.push(Problem { setting, written: written.to_owned(), reason });
    }

    /// The text of a setting and the name it came under, if it was written anywhere.
    fn text(
        &mut self,
        flag: Option<&str>,
        names: [&'static str; 2],
    ) -> Option<(&'static str, String)> {
        if let Some(text) = flag {
            return Some((names[0], text.to_owned()));
        }
        match self.environment(names[1])?.into_string() {
            Ok(text) => Some((names[1], text)),
            Err(raw) => {
                self.problem(names[1], &raw.to_string_lossy(), Reason::NotUtf8);
                None
            }
        }
    }

    fn value<T>(
        &mut self,
        flag: Option<&str>,
        names: [&'static str; 2],
        parse: impl FnOnce(&str) -> Result<T, Reason>,
    ) -> Option<T> {
        let (setting, text) = self.text(flag, names)?;
        parse(&text).map_err(|reason| self.problem(setting, &text, reason)).ok()
    }

    fn flag(&mut self, flag: bool, names: [&'static str; 2]) -> bool {
        let written = if flag { Some("true") } else { None };
        let parse = |text: &str| text.parse::<bool>().map_err(|_| Reason::Boolean);
        self.value(written, names, parse).unwrap_or(false)
    }

    fn path(&mut self, flag: Option<&OsString>, names: [&'static str; 2]) -> Option<PathBuf> {
        let (setting, path) = match flag {
            Some(path) => (names[0], PathBuf::from(path)),
            None => (names[1], PathBuf::from(self.environment(names[1])?)),
        };
        if is_plain_absolute(&path) {
            return Some(path);
        }
        self.problem(setting, &path.to_string_lossy(), Reason::Directory);
        None
    }
}

fn is_plain_absolute(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|part| part == Component::ParentDir)
}

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The flag or environment variable.
    pub setting: &'static str,
    /// What it says.
    pub written: String,
    /// What is wrong, and what would be right.
    pub reason: Reason,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {}", self.setting, self.written, self.reason)
    }
}

/// Why there is no configuration to run with.
#[derive(Debug)]
pub enum ConfigError {
    /// The arguments could not be taken apart, or asked for help or the version.
    Arguments(clap::Error),
    /// Values that cannot be used: all of them.
    Values(Vec<Problem>),
}

impl ConfigError {
    /// What the process exits with: 0 after help or version, else [`EXIT_CONFIGURATION`].
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Arguments(error) if !error.use_stderr() => 0,
            Self::Arguments(_) | Self::Values(_) => EXIT_CONFIGURATION,
        }
    }

    /// Writes help and version to standard output, problems to standard error.
    ///
    /// # Errors
    ///
    /// As the stream reports them.
    pub fn report(&self) -> io::Result<()> {
        match self {
            Self::Arguments(error) => error.print(),
            Self::Values(_) => writeln!(io::stderr().lock(), "{self}"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(error) => error.fmt(f),
            Self::Values(problems) => {
                let plural = if problems.len() == 1 { "" } else { "s" };
                write!(f, "{} problem{plural} in the configuration:", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
