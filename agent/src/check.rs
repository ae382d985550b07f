//! The commands that look at files and scrapes, and run no agent.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::config::file::{FileConfig, default_text};
use crate::config::{EXIT_CONFIGURATION, EXIT_START};
use crate::lint;

/// As promtool has it when there is advice.
const EXIT_ADVICE: u8 = 3;
/// A scrape may be this large.
const SCRAPE_SIZE_MAX_BYTES: u64 = 256 << 20;
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);

/// Tells every problem of a configuration file.
pub fn config(path: &Path) -> ExitCode {
    match FileConfig::load(path) {
        Ok(_) => {
            let _ = writeln!(io::stdout().lock(), "{}: no problems", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "{}: {error}", path.display());
            ExitCode::from(EXIT_CONFIGURATION)
        }
    }
}

/// Prints the default configuration file.
pub fn print_default() -> ExitCode {
    match io::stdout().lock().write_all(default_text().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(EXIT_START),
    }
}

/// Prints advice on a scrape, as promtool does.
pub fn lint(source: &OsStr) -> ExitCode {
    let advice = fetch(source).and_then(|text| {
        lint::lint_text(&text).map_err(|error| io::Error::other(error.to_string()))
    });
    let mut stream = io::stderr().lock();
    match advice {
        Ok(advice) => {
            for own in &advice {
                let _ = writeln!(stream, "{} {}", own.metric, own.text);
            }
            if advice.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_ADVICE) }
        }
        Err(error) => {
            let _ = writeln!(stream, "{}: {error}", source.to_string_lossy());
            ExitCode::from(EXIT_START)
        }
    }
}

fn fetch(source: &OsStr) -> io::Result<String> {
    let text = source.to_string_lossy();
    if text == "-" {
        return read(io::stdin().lock());
    }
    if text.starts_with("https://") {
        let advice = "pipe it in: curl -s URL | ringmeter lint -";
        return Err(io::Error::other(format!("https is not spoken here; {advice}")));
    }
    match text.strip_prefix("http://") {
        Some(rest) => scrape(rest),
        None => read(File::open(source)?),
    }
}

fn read(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(SCRAPE_SIZE_MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SCRAPE_SIZE_MAX_BYTES {
        return Err(io::Error::other(format!("is larger than {SCRAPE_SIZE_MAX_BYTES} bytes")));
    }
    Ok(text)
}

/// HTTP/1.0, so that the body ends with the connection.
fn scrape(rest: &str) -> io::Result<String> {
    let (host, path) = rest.split_once('/').unwrap_or((rest, "metrics"));
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SCRAPE_TIMEOUT))?;
    stream.set_write_timeout(Some(SCRAPE_TIMEOUT))?;
    write!(
        stream,
        "GET /{path} HTTP/1.0\r\nHost: {host}\r\nAccept: text/plain;version=0.0.4\r\n\r\n"
    )?;
    let answer = read(stream)?;
    let (head, body) =
        answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("the answer is not HTTP"))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(head.lines().next().unwrap_or_default().to_owned())),
    }
}
