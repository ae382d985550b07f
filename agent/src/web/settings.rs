//! The web configuration file, in the format of Prometheus' exporters.
//!
//! Keys and values are those of the exporter toolkit (`docs/web-configuration.md` there). Where
//! the toolkit is silent about a mistake that leaves a server open, this is not:
//! `tls_server_config` without a certificate, verification of clients without a CA, and an empty
//! CA file are problems.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};
use rustls::ServerConfig;

use super::files::Files;
use super::tls;
use crate::config::parse_duration;
use crate::yaml::{self, Place, Problem, Problems, Section};

/// Users at most: who has more needs another kind of authentication.
pub const USERS_MAX: usize = 1024;

/// The longest time between two requests that a rate limit can ask for.
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// Headers that may be added to responses, and the values they may have; none means any.
const HEADERS: [(&str, HeaderName, &[&str]); 5] = [
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY, &[]),
    ("X-Frame-Options", X_FRAME_OPTIONS, &["deny", "sameorigin"]),
    ("X-Content-Type-Options", X_CONTENT_TYPE_OPTIONS, &["nosniff"]),
    ("X-XSS-Protection", X_XSS_PROTECTION, &[]),
    ("Strict-Transport-Security", STRICT_TRANSPORT_SECURITY, &[]),
];

/// What the file says, as used.
#[derive(Debug, Clone, Default)]
pub struct WebSettings {
    /// TLS, if there is any.
    pub tls: Option<Arc<ServerConfig>>,
    /// Headers of every response.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Users and the bcrypt hashes of their passwords; nobody is asked if it is empty.
    pub users: BTreeMap<String, String>,
    /// Requests per time.
    pub rate_limit: Option<RateLimit>,
    /// What works, but not as it is written.
    pub warnings: Vec<Problem>,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// One request in this time.
    pub interval: Duration,
    /// As many at once, if there were none before.
    pub burst: u32,
}

/// One reading of the file and of all that it names.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) files: Files,
    pub(super) outcome: Result<WebSettings, Vec<Problem>>,
}

/// Reads and checks a web configuration file and the certificates that it names.
///
/// # Errors
///
/// All problems, in the order of their lines.
pub fn check(path: &Path) -> Result<WebSettings, Vec<Problem>> {
    read(path).outcome
}

pub(super) fn read(path: &Path) -> Reading {
    let mut files = Files::default();
    let outcome = match files.read(path) {
        Ok(bytes) => parse(path, &bytes, &mut files),
        Err(error) => Err(vec![whole(format!("cannot be read: {error}"))]),
    };
    Reading { files, outcome }
}

fn whole(message: String) -> Problem {
    Problem { place: Place { line: 1, column: 1, path: String::new() }, message }
}

fn parse(path: &Path, bytes: &[u8], files: &mut Files) -> Result<WebSettings, Vec<Problem>> {
    let text = str::from_utf8(bytes).map_err(|_| vec![whole("is not UTF-8".to_owned())])?;
    let node = yaml::parse(text).map_err(|problem| vec![problem])?;
    let mut reader = Reader {
        directory: path.parent().unwrap_or(Path::new("")).to_owned(),
        files,
        problems: Problems::default(),
        warnings: Problems::default(),
    };
    let mut top = Section::top(&node, &mut reader.problems);
    let tls = top.section("tls_server_config", &mut reader.problems);
    let http = top.section("http_server_config", &mut reader.problems);
    let users = top.section("basic_auth_users", &mut reader.problems);
    let rate_limit = top.section("rate_limit", &mut reader.problems);
    top.finish(&mut reader.problems);
    let settings = WebSettings {
        tls: tls::read(tls, &mut reader),
        headers: reader.http(http),
        users: reader.users(users),
        rate_limit: reader.rate_limit(rate_limit),
        warnings: std::mem::take(&mut reader.warnings).into_sorted(),
    };
    if reader.problems.is_empty() { Ok(settings) } else { Err(reader.problems.into_sorted()) }
}

/// What the parts of the file are read with.
pub(super) struct Reader<'f> {
    /// What relative paths are relative to: the file's own directory.
    pub(super) directory: PathBuf,
    pub(super) files: &'f mut Files,
    pub(super) problems: Problems,
    pub(super) warnings: Problems,
}

impl Reader<'_> {
    fn http(&mut self, mut section: Section<'_>) -> Vec<(HeaderName, HeaderValue)> {
        // Accepted, and without effect: the server speaks HTTP/1.1 only, and offers no other.
        section.boolean("http2", &mut self.problems);
        let headers = section.section("headers", &mut self.problems);
        section.finish(&mut self.problems);
        let mut found = Vec::new();
        for (place, key, node) in headers.into_entries() {
            let Some((_, name, allowed)) = HEADERS.iter().find(|header| header.0 == key) else {
                let names: Vec<&str> = HEADERS.iter().map(|header| header.0).collect();
                let names = names.join(", ");
                self.problems.add(&place, format!("cannot be set: must be one of {names}"));
                continue;
            };
            let text = node.text(&place, &mut self.problems).unwrap_or_default();
            if !allowed.is_empty() && !allowed.contains(&text.as_str()) {
                self.problems.add(&place, format!("must be one of {}", allowed.join(", ")));
            } else if let Ok(value) = HeaderValue::from_str(&text) {
                found.extend((!text.is_empty()).then(|| (name.clone(), value)));
            } else {
                self.problems.add(&place, "must be one line of visible characters");
            }
        }
        found
    }

    fn users(&mut self, section: Section<'_>) -> BTreeMap<String, String> {
        let at = section.place().clone();
        let mut users = BTreeMap::new();
        for (place, user, node) in section.into_entries() {
            let hash = node.text(&place, &mut self.problems).unwrap_or_default();
            if !is_bcrypt(&hash) {
                self.problems.add(
                    &place,
                    "must be the bcrypt hash of the password, as `htpasswd -nBC 10 USER` prints it",
                );
            }
            users.insert(user.to_owned(), hash);
        }
        if users.len() > USERS_MAX {
            self.problems.add(&at, format!("must be {USERS_MAX} users at most"));
        }
        users
    }

    fn rate_limit(&mut self, mut section: Section<'_>) -> Option<RateLimit> {
        let interval = section.text("interval", &mut self.problems);
        let burst = section.text("burst", &mut self.problems);
        section.finish(&mut self.problems);
        let burst_count = burst.as_ref().map_or(Some(0), |burst| burst.value.parse().ok());
        if let (None, Some(burst)) = (burst_count, &burst) {
            let high = u32::MAX;
            self.problems.add(&burst.place, format!("must be a whole number from 0 to {high}"));
        }
        let interval = interval?;
        let duration = match parse_duration(&interval.value, INTERVAL_MAX) {
            Ok(Duration::ZERO) => return None,
            Ok(duration) => duration,
            Err(reason) => {
                self.problems.add(&interval.place, reason.to_string());
                return None;
            }
        };
        if burst_count == Some(0) {
            let place = burst.map_or(interval.place, |burst| burst.place);
            self.problems.add(&place, "burst must be at least 1, or every request is refused");
        }
        Some(RateLimit { interval: duration, burst: burst_count? })
    }
}

/// Whether a text is a bcrypt hash whose cost is allowed.
fn is_bcrypt(hash: &str) -> bool {
    let parts = hash.parse::<bcrypt::HashParts>();
    parts.is_ok_and(|parts| (4..=31).contains(&parts.get_cost()))
}
