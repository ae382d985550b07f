//! The agent for negative controls: `RINGMETER_BREAK` names the promise that it breaks.

#[path = "../main.rs"]
mod program;

use std::io::Write;
use std::process::ExitCode;

use ringmeter_agent::broken::{Break, VARIABLE};
use ringmeter_agent::config::EXIT_CONFIGURATION;

fn main() -> ExitCode {
    let name = std::env::var(VARIABLE).unwrap_or_default();
    if !name.is_empty() && Break::of_name(&name).is_none() {
        let _ = writeln!(std::io::stderr(), "{VARIABLE}: nothing called {name} can be broken");
        return ExitCode::from(EXIT_CONFIGURATION);
    }
    program::main()
}
