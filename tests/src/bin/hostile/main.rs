//! Hostile producers beside honest ones: `make hostile`.
//!
//! `hostile run --seconds S` starts an agent and honest producers. For a while there is nobody
//! else; then as many threads as attacks that only compute, which is what any busy neighbour costs
//! a scrape; then every attack by itself; then all at once, with a quarter of a processor together;
//! then all at once and greedy: with all processor time that they get at the lowest priority, which
//! single attacks have too; and last the bombs, which make as much as they can. Before all attack
//! at once they have a second to prepare in, of which no times are taken. It ends with one line,
//! and with success if the honest totals are exact, the agent's memory and log are within their
//! limits, and every kind of attack was noticed. Times are reported, not judged.
//! `--withhold 1` expects one call more than there was, which must fail.
//!
//! `hostile attack DIRECTORY NAMES SECONDS SEED PROCESSORS` runs one attack, or several in threads
//! of one process; together they use PROCESSORS of processor time a second (`inf`: no limit).
//! `hostile compute SECONDS` computes.
#![expect(clippy::print_stdout, reason = "a program for people and tests to read")]
#![expect(clippy::expect_used, reason = "a test that cannot run fails")]

mod site;

mod lengths;

mod attacks;

mod honest;

mod watch;

mod run;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use attacks::{ATTACKS, BOMBS};
use ringmeter_tests::random::Random;
use site::Site;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let value = |name: &str, default: u64| {
        let at = words.iter().position(|word| *word == name);
        let text = at.and_then(|at| words.get(at + 1));
        text.map_or(default, |text| text.parse().expect("a number"))
    };
    match words.as_slice() {
        ["attack", directory, names, seconds, seed, processors] => {
            let seconds = Duration::from_secs_f64(seconds.parse().expect("seconds"));
            let processors = processors.parse().expect("a number of processors");
            let seed = seed.parse().expect("a seed");
            attack(Path::new(directory), names, seconds, seed, processors);
            ExitCode::SUCCESS
        }
        ["compute", seconds] => {
            compute(Duration::from_secs_f64(seconds.parse().expect("seconds")));
            ExitCode::SUCCESS
        }
        ["run", ..] => run::run(value("--seconds", 60).max(3), value("--withhold", 0)),
        _ => {
            println!("usage: hostile run [--seconds S] [--withhold N]");
            ExitCode::FAILURE
        }
    }
}

/// As many threads as there are attacks keep processors busy, and touch nothing.
fn compute(time: Duration) {
    let until = Instant::now() + time;
    std::thread::scope(|scope| {
        for seed in 0..ATTACKS.len() as u64 {
            scope.spawn(move || {
                let mut random = Random::new(seed);
                while Instant::now() < until {
                    for _ in 0..10_000 {
                        std::hint::black_box(random.next());
                    }
                }
            });
        }
    });
}

/// Each of the attacks in a thread of its own, until the time is over.
fn attack(directory: &Path, names: &str, time: Duration, seed: u64, processors: f64) {
    #[expect(clippy::cast_precision_loss, reason = "some attacks")]
    let share = processors / names.split(',').count() as f64;
    std::thread::scope(|scope| {
        for (number, name) in (0u64..).zip(names.split(',')) {
            let all = ATTACKS.iter().chain(BOMBS);
            let (_, attack) = *all.into_iter().find(|own| own.0 == name).expect("an attack");
            scope.spawn(move || attack(&mut Site::new(directory, seed + number, time, share)));
        }
    });
}
