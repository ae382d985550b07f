//! Measures every row and writes the table; see `benches/README.md`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use ringmeter_benches::error::{Failure, Outcome};
use ringmeter_benches::machine::{Busy, Machine, Noise};
use ringmeter_benches::report::{Report, figure_progress, progress};
use ringmeter_benches::setup::{Extent, Setup};
use ringmeter_benches::statistics::Random;
use ringmeter_benches::{figures, rows};

const USAGE: &str = "\
Usage: bench [ROW...] [--quick yes] [--rounds N] [--seed N] [--agent PATH] [--out DIR]

  ROW          measure these rows only; a prefix is enough; results are written to --out only
  --quick yes  what has a goal, in less than a minute; writes quick.json
  --rounds N   rounds per row (64; quick 40)
  --seed N     start of the random order and of the data (1)
  --agent PATH the agent's binary (the one beside this program)
  --out DIR    where the results are written (benches/results)";

const ROUNDS: usize = 64;
const ROUNDS_QUICK: usize = 40;

/// The command line.
struct Options {
    rows: Vec<String>,
    extent: Extent,
    rounds: Option<usize>,
    seed: u64,
    agent: Option<PathBuf>,
    out: Option<PathBuf>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Outcome<Self> {
        let beside = std::env::current_exe()?.with_file_name("ringmeter");
        let mut options = Self {
            rows: Vec::new(),
            extent: Extent::Full,
            rounds: None,
            seed: 1,
            agent: Some(beside).filter(|path| path.exists()),
            out: None,
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
                "--quick" if value == "yes" => options.extent = Extent::Quick,
                "--rounds" => options.rounds = Some(number()?.max(1) as usize),
                "--seed" => options.seed = number()?.into(),
                "--agent" => options.agent = Some(value.into()),
                "--out" => options.out = Some(value.into()),
                _ => return Err(Failure::new(USAGE)),
            }
        }
        Ok(options)
    }

    /// Whether a row is asked for: by a prefix of its id, or one that its ids begin with.
    fn wants(&self, id: &str, is_quick: bool) -> bool {
        let is_named = |name: &String| id.starts_with(name.as_str()) || name.starts_with(id);
        let is_asked = self.rows.is_empty() || self.rows.iter().any(is_named);
        is_asked && (is_quick || self.extent == Extent::Full)
    }

    /// Where results are written: those of some rows only where one is told to.
    fn directory(&self) -> Option<PathBuf> {
        let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        self.out.clone().or_else(|| self.rows.is_empty().then(usual))
    }

    fn command(&self) -> String {
        self.extent.pick("make bench-quick", "make bench").to_owned()
    }
}

/// Only what this machine lacks is left out; a row that records wrongly ends the run.
#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn measure(options: &Options, setup: &Setup, report: &mut Report) -> Outcome<()> {
    let (mut random, begin) = (Random::new(options.seed), Instant::now());
    for entry in rows::ALL.iter().filter(|entry| options.wants(entry.id, entry.is_quick)) {
        match (entry.make)(setup) {
            Ok(row) => {
                let answer = row.answer(&mut random)?;
                println!("{:>4} s{}", begin.elapsed().as_secs(), progress(&answer));
                report.answers.push(answer);
            }
            Err(why) => {
                println!("  {}: not measured: {why}", entry.id);
                report.missing.push((entry.id, why));
            }
        }
    }
    for entry in figures::ALL.iter().filter(|entry| options.wants(entry.id, entry.is_quick)) {
        match (entry.make)(setup, &mut random) {
            Ok(found) => {
                let seconds = begin.elapsed().as_secs();
                let show = |figure| println!("{seconds:>4} s{}", figure_progress(figure));
                found.figures.iter().for_each(show);
                report.figures.extend(found.figures);
                report.plots.extend(found.plots);
            }
            Err(why) => {
                println!("  {}: not measured: {why}", entry.id);
                report.missing.push((entry.id, why));
            }
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn run() -> Outcome<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let begin = Instant::now();
    let (machine, busy) = (Machine::now(), Busy::now());
    let rounds = options.rounds.unwrap_or(options.extent.pick(ROUNDS_QUICK, ROUNDS));
    let setup = Setup::new(options.agent.as_deref(), options.extent, rounds, options.seed)?;
    println!("{machine:#?}\nseed {}\n", options.seed);
    let mut report = Report {
        machine,
        command: options.command(),
        seed: options.seed,
        answers: Vec::new(),
        figures: Vec::new(),
        plots: Vec::new(),
        missing: Vec::new(),
        seconds: 0,
        noise: Noise::default(),
    };
    measure(&options, &setup, &mut report)?;
    report.seconds = begin.elapsed().as_secs();
    let disturbed = report.answers.iter().map(|answer| answer.noisy).sum();
    let measured = report.answers.iter().map(|answer| answer.measured).sum();
    report.noise = busy.noise(measured, disturbed);
    println!("\n{}", report.table());
    if let Some(directory) = options.directory() {
        report.write_quick(&directory)?;
        println!("written: {}/quick.json", directory.display());
        if options.extent == Extent::Full {
            report.write(&directory, "bench")?;
            println!("written: {}/bench.{{json,md}} and plots", directory.display());
        }
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "there is no table when the run fails")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, rest)) if first == figures::processes::WORKER => {
            figures::processes::work(rest)
        }
        _ => run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
