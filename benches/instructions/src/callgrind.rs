//! Counting with callgrind.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::pins::Toolchain;

/// Name of the function that makes the calls; nothing outside of it is counted.
pub const COUNTED_FUNCTION: &str = "make_calls";
/// The loop without a call.
pub const EMPTY: &str = "empty";
/// Numbers of calls in the two runs: few enough for the 63 observations between two looks of a full
/// lane's owner at the ack.
const CALLS: [u64; 2] = [16, 48];

/// Why nothing was counted.
#[derive(Debug)]
pub enum CountError {
    /// A program could not be started.
    Start {
        /// Which one.
        program: String,
        /// Why.
        error: std::io::Error,
    },
    /// There is no directory in memory to record in.
    Directory(nix::Error),
    /// The program met an instruction that this valgrind does not know.
    UnknownInstruction {
        /// The case.
        case: String,
        /// What valgrind said.
        said: String,
    },
    /// The program failed, or the function was not found in it.
    Run {
        /// The case.
        case: String,
        /// What valgrind and the program said.
        said: String,
    },
    /// More calls took fewer instructions.
    Nonsense {
        /// The case.
        case: String,
        /// Instructions of the two runs.
        counts: [u64; 2],
    },
    /// A case that the program does not have.
    UnknownCase(String),
}

impl fmt::Display for CountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { program, error } => write!(
                f,
                "{program} cannot be started ({error}); valgrind is Debian's package of that \
                 name, and `make check-deps` installs it"
            ),
            Self::Directory(error) => write!(f, "no directory can be made in /dev/shm: {error}"),
            Self::UnknownInstruction { case, said } => write!(
                f,
                "{case}: this valgrind does not know an instruction of the program, so nothing \
                 was compared; install a newer valgrind, or build without RUSTFLAGS:\n{said}"
            ),
            Self::Run { case, said } => write!(f, "{case}: not counted:\n{said}"),
            Self::Nonsense { case, counts: [few, many] } => write!(
                f,
                "{case}: {many} instructions for {} calls, but {few} for {}",
                CALLS[1], CALLS[0]
            ),
            Self::UnknownCase(case) => write!(f, "{case}: `recorder` has no such case"),
        }
    }
}

impl std::error::Error for CountError {}

/// A call, and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    /// Short name, as in the file of pinned counts.
    pub case: String,
    /// What is called, for readers.
    pub title: String,
    /// Instructions per call, without the loop.
    pub instructions: f64,
}

/// The program `recorder`, to be counted.
#[derive(Debug, Clone)]
pub struct Recorder {
    program: PathBuf,
    cases: Vec<(String, String)>,
    toolchain: Toolchain,
}

impl Recorder {
    /// Asks the program what it can do and how it was built.
    ///
    /// # Errors
    /// When it cannot be started, or says nothing that can be read.
    pub fn new(program: &Path) -> Result<Self, CountError> {
        let cases = said(Command::new(program).arg("--cases"))?;
        let cases: Vec<(String, String)> = cases
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(id, title)| (id.to_owned(), title.to_owned()))
            .collect();
        let built = said(Command::new(program).arg("--toolchain"))?;
        let mut built = built.lines().map(str::to_owned);
        let mut next = || built.next().unwrap_or_default();
        let toolchain = Toolchain { rustc: next(), target: next(), flags: next() };
        Ok(Self { program: program.to_owned(), cases, toolchain })
    }

    /// What the program was built by.
    #[must_use]
    pub const fn toolchain(&self) -> &Toolchain {
        &self.toolchain
    }

    /// Counts all cases.
    ///
    /// # Errors
    /// When one of them cannot be counted.
    pub fn count_all(&self) -> Result<Vec<Count>, CountError> {
        let empty = self.per_call(EMPTY)?;
        self.cases.iter().map(|(case, title)| self.one(case, title, empty)).collect()
    }

    /// Counts one case, which may be one that [`count_all`](Self::count_all) leaves out.
    ///
    /// # Errors
    /// When it cannot be counted.
    pub fn count(&self, case: &str) -> Result<Count, CountError> {
        let known = self.cases.iter().find(|(id, _)| id == case);
        self.one(case, known.map_or("", |(_, title)| title), self.per_call(EMPTY)?)
    }

    fn one(&self, case: &str, title: &str, empty: f64) -> Result<Count, CountError> {
        let instructions = self.per_call(case)? - empty;
        Ok(Count { case: case.to_owned(), title: title.to_owned(), instructions })
    }

    /// Instructions of one turn of the loop.
    fn per_call(&self, case: &str) -> Result<f64, CountError> {
        let counts = [self.run(case, CALLS[0])?, self.run(case, CALLS[1])?];
        let Some(difference) = counts[1].checked_sub(counts[0]) else {
            return Err(CountError::Nonsense { case: case.to_owned(), counts });
        };
        Ok(difference as f64 / (CALLS[1] - CALLS[0]) as f64)
    }

    /// Instructions of so many turns of the loop.
    fn run(&self, case: &str, calls: u64) -> Result<u64, CountError> {
        let directory = Directory::new()?;
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(format!("--toggle-collect=*{COUNTED_FUNCTION}*"))
            .arg(&self.program)
            .args([case, &calls.to_string()])
            .arg(&directory.0);
        let output = output(&mut command)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let case = case.to_owned();
        if said.contains("unrecognised instruction") || said.contains("unhandled instruction") {
            return Err(CountError::UnknownInstruction { case, said });
        }
        if output.status.code() == Some(UNKNOWN_CASE_STATUS.into()) {
            return Err(CountError::UnknownCase(case));
        }
        match collected(&said) {
            Some(count) if output.status.success() && count > 0 => Ok(count),
            _ => Err(CountError::Run { case, said }),
        }
    }
}

/// Exit status of `recorder` for a case that it does not have.
pub const UNKNOWN_CASE_STATUS: u8 = 64;

/// The number in callgrind's line `==1== Collected : 1234`.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

fn output(command: &mut Command) -> Result<Output, CountError> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().map_err(|error| CountError::Start { program, error })
}

fn said(command: &mut Command) -> Result<String, CountError> {
    Ok(String::from_utf8_lossy(&output(command)?.stdout).into_owned())
}

/// A directory in memory, removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self, CountError> {
        let made = nix::unistd::mkdtemp("/dev/shm/ringmeter-instructions-XXXXXX");
        made.map(Self).map_err(CountError::Directory)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What stays behind is one segment; there is nobody to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_with_the_count_is_found() {
        let said = "==7== Events    : Ir\n==7== Collected : 23068\n==7== \n";
        assert_eq!(collected(said), Some(23_068));
        assert_eq!(collected("==7== Collected : \n"), None);
        assert_eq!(collected("Illegal instruction"), None);
    }
}
