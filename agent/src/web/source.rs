//! The web configuration in force, which follows its files.
//!
//! As in Prometheus' exporters there is no signal to send: every connection and every request
//! looks whether the file or a certificate changed. What cannot be used leaves the old
//! configuration in force, is logged once and shows in
//! `ringmeter_web_config_last_reload_successful`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::files::Files;
use super::settings::{self, WebSettings};
use crate::web_counts::WebCounts;
use crate::yaml::{Place, Problem};

/// Files whose stamps may hide a change are read again after this.
const RECHECK: Duration = Duration::from_secs(1);

/// Problems of one reading that are logged.
const PROBLEMS_LOGGED_MAX: usize = 20;

/// The web configuration: that of a file, or none at all.
#[derive(Debug)]
pub struct SettingsSource {
    path: Option<PathBuf>,
    state: Mutex<State>,
    counts: Arc<WebCounts>,
}

#[derive(Debug)]
struct State {
    current: Arc<WebSettings>,
    files: Files,
    read: Instant,
}

impl SettingsSource {
    /// Neither TLS nor users.
    pub fn open_to_all(counts: Arc<WebCounts>) -> Self {
        let state = State {
            current: Arc::new(WebSettings::default()),
            files: Files::default(),
            read: Instant::now(),
        };
        Self { path: None, state: Mutex::new(state), counts }
    }

    /// Reads a file for the first time.
    ///
    /// # Errors
    ///
    /// All problems of the file, and of the certificates that it names.
    pub fn of_file(path: &Path, counts: Arc<WebCounts>) -> Result<Self, Vec<Problem>> {
        let reading = settings::read(path);
        let current = reading.outcome?;
        warn(path, &current);
        counts.note_reload(true, unix_seconds());
        tracing::info!(
            file = %path.display(),
            tls = current.tls.is_some(),
            users = current.users.len() as u64,
            rate_limit = current.rate_limit.is_some(),
            "web configuration read"
        );
        let current = Arc::new(current);
        let state = State { current, files: reading.files, read: Instant::now() };
        Ok(Self { path: Some(path.to_owned()), state: Mutex::new(state), counts })
    }

    /// What the server counts.
    pub(super) fn counts(&self) -> &Arc<WebCounts> {
        &self.counts
    }

    /// The configuration in force now.
    pub fn current(&self) -> Arc<WebSettings> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.path {
            let is_unsure = state.read.elapsed() >= RECHECK && state.files.are_recent();
            if is_unsure || state.files.have_other_stamps() {
                self.reload(path, &mut state);
            }
        }
        Arc::clone(&state.current)
    }

    fn reload(&self, path: &Path, state: &mut State) {
        let reading = settings::read(path);
        let is_same = reading.files.are_same(&state.files);
        state.files = reading.files;
        state.read = Instant::now();
        if is_same {
            return;
        }
        match reading.outcome.and_then(|new| keeps_scheme(&state.current, new)) {
            Ok(new) => {
                warn(path, &new);
                tracing::info!(file = %path.display(), "web configuration read again");
                self.counts.note_reload(true, unix_seconds());
                state.current = Arc::new(new);
            }
            Err(problems) => {
                for problem in problems.iter().take(PROBLEMS_LOGGED_MAX) {
                    tracing::error!(
                        file = %path.display(),
                        %problem,
                        "web configuration cannot be used: the old one stays in force"
                    );
                }
                self.counts.note_reload(false, unix_seconds());
            }
        }
    }
}

/// A file that lost its TLS section by mistake must not open the server to everybody.
fn keeps_scheme(old: &WebSettings, new: WebSettings) -> Result<WebSettings, Vec<Problem>> {
    if old.tls.is_some() == new.tls.is_some() {
        return Ok(new);
    }
    let place = Place { path: "tls_server_config".to_owned(), ..Place::top() };
    let message = "TLS can be switched on and off by a restart only".to_owned();
    Err(vec![Problem { place, message }])
}

fn warn(path: &Path, settings: &WebSettings) {
    for warning in settings.warnings.iter().take(PROBLEMS_LOGGED_MAX) {
        tracing::warn!(file = %path.display(), %warning, "web configuration");
    }
}

fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
