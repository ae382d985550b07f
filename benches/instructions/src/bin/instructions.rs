//! Counts the instructions of a record anew and writes them into the tree: `make instructions`.

use std::fs;
use std::process::ExitCode;

use ringmeter_instructions::callgrind::Recorder;
use ringmeter_instructions::pins::{self, Pins};

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn run() -> Result<(), Box<dyn std::error::Error>> {
    let recorder = Recorder::new(&std::env::current_exe()?.with_file_name("recorder"))?;
    let counts = recorder.count_all()?;
    let written = Pins::parse(&fs::read_to_string(pins::path())?)?;
    println!("{}", recorder.toolchain());
    for count in &counts {
        let before = written.call.get(&count.case);
        let before = before.map_or_else(|| "new".to_owned(), |pin| pin.instructions.to_string());
        println!("{:>10} (was {before:>10})  {}", count.instructions, count.title);
    }
    fs::write(pins::path(), written.text(recorder.toolchain(), &counts))?;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "there is no table when the run fails")]
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
