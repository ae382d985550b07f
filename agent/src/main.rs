//! The `ringmeter` program. See README.md.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use ringmeter_agent::config::file::FileConfig;
use ringmeter_agent::config::{self, AgentConfig, Command, EXIT_CONFIGURATION, EXIT_START};
use ringmeter_agent::{check, demo, log, run};

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
        Command::Demo(config) => demo::run(&config),
        Command::DemoChild(child) => {
            let error = demo::become_child(&child);
            let _ = writeln!(io::stderr().lock(), "cannot run {:?}: {error}", child.program);
            ExitCode::from(EXIT_START)
        }
    }
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
            tracing::error!(%error, "the agent has ended");
            ExitCode::from(EXIT_START)
        }
    }
}
