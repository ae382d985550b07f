//! The `ringmeter` program. See README.md.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use ringmeter_agent::config::file::FileConfig;
use ringmeter_agent::config::{self, AgentConfig, Command, EXIT_CONFIGURATION, EXIT_START};
use ringmeter_agent::run::RunError;
use ringmeter_agent::{check, demo, healthcheck, log, run, size, web};

pub(crate) fn main() -> ExitCode {
    let command = match config::parse(std::env::args_os(), |name| std::env::var_os(name)) {
        Ok(command) => command,
        Err(error) => {
            // With no stream to write to, the exit code says it.
            let _ = error.report();
            return ExitCode::from(error.exit_code());
        }
    };
    match command {
        Command::Agent(config) => agent(&config),
        Command::CheckConfig(arguments) => check::config(&arguments.file),
        Command::PrintDefault => check::print_default(),
        Command::Lint(arguments) => check::lint(&arguments.source),
        Command::CheckWebConfig(path) => check_web_config(&path),
        Command::Healthcheck(config) => done(healthcheck::run(&config)),
        Command::Size(config) => done(size::run(&config, &mut io::stdout().lock())),
        Command::Demo(config) => demo::run(&config),
        Command::Bench(config) => demo::bench::run(&config),
        Command::DemoChild(child) => {
            let error = demo::become_child(&child);
            let _ = writeln!(io::stderr().lock(), "cannot run {:?}: {error}", child.program);
            ExitCode::from(EXIT_START)
        }
    }
}

fn check_web_config(path: &Path) -> ExitCode {
    let shown = path.display();
    let (text, code) = match web::settings::check(path) {
        Ok(settings) => {
            let warn = |warning| format!("{shown}:{warning} (warning)\n");
            let warnings: String = settings.warnings.iter().map(warn).collect();
            (format!("{warnings}{shown}: good\n"), ExitCode::SUCCESS)
        }
        Err(problems) => {
            let lines = problems.iter().map(|problem| format!("{shown}:{problem}\n"));
            (lines.collect(), ExitCode::from(EXIT_CONFIGURATION))
        }
    };
    // With no stream to write to, the exit code says it.
    let _ = io::stderr().lock().write_all(text.as_bytes());
    code
}

/// Says what failed, if anything did, and ends with the code that tells it.
fn done(outcome: Result<(), impl Display>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    let _ = writeln!(io::stderr().lock(), "{error}");
    ExitCode::from(EXIT_START)
}

fn agent(config: &AgentConfig) -> ExitCode {
    if let Err(error) = log::install(config.log) {
        tracing::warn!(%error, "the log stays as it is");
    }
    let file = match config.config_file.as_deref().map(FileConfig::load).transpose() {
        Ok(file) => file.unwrap_or_default(),
        Err(error) => {
            let path = config.config_file.as_deref().unwrap_or(Path::new("")).display();
            let _ = writeln!(io::stderr().lock(), "{path}: {error}");
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    match run::run(config, file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match &error {
                // As with flags: one line for each mistake.
                RunError::WebConfig { .. } => drop(writeln!(io::stderr().lock(), "{error}")),
                _ => tracing::error!(%error, "the agent has ended"),
            }
            ExitCode::from(error.exit_code())
        }
    }
}
