//! Measures every row and writes the table; see `benches/README.md`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use ringmeter_benches::error::{Failure, Outcome};
use ringmeter_benches::machine::Machine;
use ringmeter_benches::report::{Report, heading, line};
use ringmeter_benches::rows::{ALL, Setup};
use ringmeter_benches::statistics::Random;

const USAGE: &str = "\
Usage: bench [ROW...] [--rounds N] [--seed N] [--agent PATH] [--out DIR] [--name NAME]

  ROW          measure these rows only; a prefix is enough; results are not written
  --rounds N   rounds per row (64)
  --seed N     start of the random order and of the data (1)
  --agent PATH the agent's binary (the one beside this program)
  --out DIR    where the results are written (benches/results)
  --name NAME  their name, without extension (bench)";

/// The command line.
struct Options {
    rows: Vec<String>,
    rounds: usize,
    seed: u64,
    agent: Option<PathBuf>,
    out: PathBuf,
    name: String,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Outcome<Self> {
        let beside = std::env::current_exe()?.with_file_name("ringmeter");
        let mut options = Self {
            rows: Vec::new(),
            rounds: 64,
            seed: 1,
            agent: Some(beside).filter(|path| path.exists()),
            out: Path::new(env!("CARGO_MANIFEST_DIR")).join("results"),
            name: "bench".to_owned(),
        };
        while let Some(argument) = arguments.next() {
            if !argument.starts_with('-') {
                options.rows.push(argument);
                continue;
            }
            let value = arguments.next().ok_or_else(|| Failure::new(USAGE))?;
            let number = || {
                let problem = |_| Failure::new(format!("{argument} takes a number\n{USAGE}"));
                value.parse::<u32>().map_err(problem)
            };
            match argument.as_str() {
                "--rounds" => options.rounds = number()?.max(1) as usize,
                "--seed" => options.seed = number()?.into(),
                "--agent" => options.agent = Some(value.into()),
                "--out" => options.out = value.into(),
                "--name" => options.name = value,
                _ => return Err(Failure::new(USAGE)),
            }
        }
        Ok(options)
    }

    fn wants(&self, id: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|prefix| id.starts_with(prefix.as_str()))
    }
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn run() -> Outcome<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let begin = Instant::now();
    let machine = Machine::now();
    let setup = Setup::new(options.agent.as_deref(), options.rounds, options.seed)?;
    let mut random = Random::new(options.seed);
    println!("{machine:#?}\nseed {}\n\n{}", options.seed, heading());
    let mut report = Report {
        machine,
        command: "make bench".to_owned(),
        seed: options.seed,
        answers: Vec::new(),
        missing: Vec::new(),
        seconds: 0,
    };
    for (id, make) in ALL.iter().filter(|(id, _)| options.wants(id)) {
        // Only what this machine lacks is left out; a row that records wrongly ends the run.
        match make(&setup) {
            Ok(row) => {
                let answer = row.answer(&mut random)?;
                println!("{}", line(&answer));
                report.answers.push(answer);
            }
            Err(why) => {
                println!("{id}: not measured: {why}");
                report.missing.push((id, why));
            }
        }
    }
    report.seconds = begin.elapsed().as_secs();
    let (goals, held) = report.score();
    println!("\n{held} of {goals} goals hold; {} s", report.seconds);
    if options.rows.is_empty() {
        report.write(&options.out, &options.name)?;
        println!("written: {}/{}.{{json,md}}", options.out.display(), options.name);
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "there is no table when the run fails")]
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
