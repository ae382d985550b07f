//! Why a demo did not run, or did not go on.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::client::RequestError;

/// Why a demo did not run, or did not go on.
#[derive(Debug)]
pub(super) enum DemoError {
    /// There is no tmpfs for the temporary directory.
    NoSharedMemory {
        /// Where it was expected.
        path: PathBuf,
    },
    /// The directory that was named is not there, or is none.
    DirectoryMissing {
        /// The path.
        path: PathBuf,
    },
    /// The directory that was named is on a disk.
    DirectoryNotMemory {
        /// The path.
        path: PathBuf,
    },
    /// The temporary directory could not be made.
    DirectoryCreate {
        /// The path, or its pattern.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// The temporary directory could not be removed.
    DirectoryRemove {
        /// The path.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// The example service has not been built, or lies elsewhere.
    NoService {
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// The program that records has not been built, or lies elsewhere.
    NoProducer {
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// The program that records wrote a line that means nothing.
    Line {
        /// The line.
        line: String,
    },
    /// Not all calls are in a scrape.
    Counts {
        /// The metric.
        metric: String,
        /// Calls that were made.
        made: u64,
        /// Calls that are shown.
        shown: u64,
    },
    /// A system call failed.
    Io {
        /// What it was for.
        purpose: &'static str,
        /// The system's answer.
        error: io::Error,
    },
    /// A child could not be started.
    Start {
        /// Which one.
        child: &'static str,
        /// The system's answer.
        error: io::Error,
    },
    /// A child has ended although it should not.
    Ended {
        /// Which one.
        child: &'static str,
        /// How.
        status: ExitStatus,
        /// The last lines that it wrote.
        lines: Vec<String>,
    },
    /// A child runs, but does not get where it should.
    NotReady {
        /// Which one.
        child: &'static str,
        /// What was waited for.
        awaited: &'static str,
        /// For how long, seconds.
        seconds: u64,
        /// The last lines that it wrote.
        lines: Vec<String>,
    },
    /// The agent did not answer a scrape.
    Scrape {
        /// Where it was asked.
        url: String,
        /// Why there is no answer.
        error: RequestError,
    },
    /// The agent answered a scrape with an error.
    ScrapeStatus {
        /// Where it was asked.
        url: String,
        /// The status code.
        status: u16,
        /// The beginning of what it said.
        body: String,
    },
    /// Nobody reads what the demo shows.
    Output(io::Error),
    /// A signal ended the demo before it could compare anything.
    Interrupted,
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSharedMemory { path } => write!(
                f,
                "{path} is no tmpfs, and records belong in memory. Mount one there (as root: mount \
                 -t tmpfs -o mode=1777,size=64m tmpfs {path}; for a container: docker run --tmpfs \
                 {path}), or name a directory on another tmpfs with --dir, as --dir \
                 /run/user/1000/demo",
                path = path.display()
            ),
            Self::DirectoryMissing { path } => {
                write!(f, "{} is not a directory: create it first", path.display())
            }
            Self::DirectoryNotMemory { path } => write!(
                f,
                "{} is not on a tmpfs, and records belong in memory: name a directory that is, or \
                 leave --dir out for one in /dev/shm",
                path.display()
            ),
            Self::DirectoryCreate { path, error } => write!(
                f,
                "cannot make the directory {}: {error}. --dir names one to use instead",
                path.display()
            ),
            Self::DirectoryRemove { path, error } => {
                write!(f, "cannot remove {}: {error}. Remove it by hand", path.display())
            }
            Self::NoService { tried } => write!(
                f,
                "there is no example service at {}. Build it (cargo build -p ringmeter \
                 --example http_service, in the profile of this program), or name it with \
                 --service-binary",
                list(tried)
            ),
            Self::NoProducer { tried } => write!(
                f,
                "the program that records, `record_cost`, links the SDK and so is not part of this \
                 one, and there is none at {}. In a clone of the repository: make bench-here, or \
                 cargo install --path producer-sdk --example record_cost, which puts it beside an \
                 installed ringmeter. --producer-binary names it elsewhere",
                list(tried)
            ),
            Self::Line { line } => write!(f, "the program that records wrote {line:?}"),
            Self::Counts { metric, made, shown } => write!(
                f,
                "{made} calls were made of {metric}, and a scrape shows {shown}: please report this"
            ),
            Self::Io { purpose, error } => write!(f, "cannot {purpose}: {error}"),
            Self::Start { child, error } => write!(f, "cannot start the {child}: {error}"),
            Self::Ended { child, status, lines } => {
                write!(f, "the {child} has ended ({status}){}", Last(lines))
            }
            Self::NotReady { child, awaited, seconds, lines } => {
                write!(f, "the {child} did not {awaited} within {seconds} s{}", Last(lines))
            }
            Self::Scrape { url, error } => write!(f, "cannot scrape {url}: {error}"),
            Self::ScrapeStatus { url, status, body } => {
                write!(f, "{url} answered with status {status}: {body}")
            }
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    shown.join(" or ")
}

/// The last lines of a child, if it wrote any.
struct Last<'a>(&'a [String]);

impl fmt::Display for Last<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(", without a word");
        }
        f.write_str("; its last words:")?;
        self.0.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

impl std::error::Error for DemoError {}
