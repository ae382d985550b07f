//! The agent for negative controls: `RINGMETER_BREAK` names the promise that it breaks.

#[path = "../main.rs"]
mod program;

fn main() -> std::process::ExitCode {
    program::main()
}
