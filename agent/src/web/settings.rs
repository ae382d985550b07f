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
use crate::yaml::{self, At, Entry, Place, Problem, Problems, Section, Value, flag, text};

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

/// The keys of the file.
const KEYS: [&str; 4] =
    ["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"];

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
        Err(error) => {
            let message = format!("cannot be read: {error}");
            Err(vec![Problem { place: Place::top(), message }])
        }
    };
    Reading { files, outcome }
}

fn parse(path: &Path, bytes: &[u8], files: &mut Files) -> Result<WebSettings, Vec<Problem>> {
    let node = yaml::parse(bytes).map_err(|problem| vec![problem])?;
    let mut reader = Reader {
        directory: path.parent().unwrap_or(Path::new("")).to_owned(),
        files,
        problems: Problems::default(),
        warnings: Problems::default(),
    };
    let section = Section::new(&At::top(&node), &KEYS, &mut reader.problems);
    let [tls, http, users, rate_limit] = KEYS.map(|key| section.at(key));
    let settings = WebSettings {
        tls: tls.and_then(|at| tls::read(at, &mut reader)),
        headers: http.map(|at| reader.http(at)).unwrap_or_default(),
        users: users.map(|at| reader.users(at)).unwrap_or_default(),
        rate_limit: rate_limit.and_then(|at| reader.rate_limit(at)),
        warnings: std::mem::take(&mut reader.warnings).into_sorted(),
    };
    reader.problems.unless_any(settings)
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
    fn http(&mut self, at: &At<'_>) -> Vec<(HeaderName, HeaderValue)> {
        let problems = &mut self.problems;
        let section = Section::new(at, &["http2", "headers"], problems);
        // Accepted, and without effect: the server speaks HTTP/1.1 only, and offers no other.
        section.read("http2", problems, flag);
        let Some(headers) = section.at("headers") else { return Vec::new() };
        let headers = Section::open(headers, "a mapping of headers to their values", problems);
        let mut found = Vec::new();
        for Entry { key, key_place: place, at } in headers.into_entries() {
            let Some((_, name, allowed)) = HEADERS.iter().find(|header| header.0 == key) else {
                let names: Vec<&str> = HEADERS.iter().map(|header| header.0).collect();
                let names = names.join(", ");
                problems.add(&place, format!("cannot be set: must be one of {names}"));
                continue;
            };
            let is_null = at.node.value == Value::Null;
            let value = if is_null { Some(String::new()) } else { text(&at, problems) };
            let Some(value) = value else { continue };
            if !allowed.is_empty() && !allowed.contains(&value.as_str()) {
                problems.add(&place, format!("must be one of {}", allowed.join(", ")));
            } else if let Ok(header) = HeaderValue::from_str(&value) {
                found.extend((!value.is_empty()).then(|| (name.clone(), header)));
            } else {
                problems.add(&place, "must be one line of visible characters");
            }
        }
        found
    }

    fn users(&mut self, at: &At<'_>) -> BTreeMap<String, String> {
        let problems = &mut self.problems;
        let what = "a mapping of users to the hashes of their passwords";
        let mut users = BTreeMap::new();
        for user in Section::open(at, what, problems).into_entries() {
            let hash = user.at.node.text().unwrap_or_default();
            if !is_bcrypt(hash) {
                problems.add(
                    &user.key_place,
                    "must be the bcrypt hash of the password, as `htpasswd -nBC 10 USER` prints it",
                );
            }
            users.insert(user.key.to_owned(), hash.to_owned());
        }
        if users.len() > USERS_MAX {
            at.problem(problems, format!("must be {USERS_MAX} users at most"));
        }
        users
    }

    fn rate_limit(&mut self, at: &At<'_>) -> Option<RateLimit> {
        let section = Section::new(at, &["interval", "burst"], &mut self.problems);
        let interval = section.setting("interval", &mut self.problems, text);
        let burst = section.setting("burst", &mut self.problems, text);
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
