//! The `ringmeter` program. See README.md.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use ringmeter_agent::config::{self, AgentConfig, Command, EXIT_START};
use ringmeter_agent::{demo, healthcheck, log, run, size};

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
        Command::Healthcheck(config) => done(healthcheck::run(&config)),
        Command::Size(config) => done(size::run(&config, &mut io::stdout().lock())),
        Command::Demo(config) => demo::run(&config),
        Command::DemoChild(child) => {
            let error = demo::become_child(&child);
            let _ = writeln!(io::stderr().lock(), "cannot run {:?}: {error}", child.program);
            ExitCode::from(EXIT_START)
        }
    }
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
    match run::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the agent has ended");
            ExitCode::from(EXIT_START)
        }
    }
}
