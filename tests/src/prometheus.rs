//! A real Prometheus server, from Debian's package or from `PROMETHEUS_BIN`, and its tools.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::agent::{free_address, get};
use crate::process::{Process, wait_until};

/// Makes a server scrape and keep native histograms.
pub const NATIVE_HISTOGRAMS: &str = "--enable-feature=native-histograms";

/// Makes a server keep exemplars.
pub const EXEMPLARS: &str = "--enable-feature=exemplar-storage";

/// A running server that scrapes one target every second.
#[derive(Debug)]
pub struct Prometheus {
    _process: Process,
    address: SocketAddr,
    directory: PathBuf,
}

impl Prometheus {
    /// Starts a server that scrapes `target`, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready; `tests/install-deps.sh` installs it.
    #[must_use]
    pub fn start(target: SocketAddr) -> Self {
        Self::start_with(target, &[])
    }

    /// As [`start`](Self::start), with more arguments.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its server is no test")]
    pub fn start_with(target: SocketAddr, arguments: &[&str]) -> Self {
        let address = free_address();
        let name = format!("ringmeter-prometheus-{}-{}", std::process::id(), address.port());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("a directory for the server");
        let configuration = directory.join("prometheus.yml");
        let native =
            if wants_native(arguments) { "    scrape_native_histograms: true\n" } else { "" };
        let text = format!(
            "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n  \
             - job_name: ringmeter\n{native}    static_configs:\n      - targets: [\"{target}\"]\n"
        );
        std::fs::write(&configuration, text).expect("write the configuration");
        let child = Command::new(program())
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .expect("start prometheus; tests/install-deps.sh installs it");
        let server = Self { _process: child.into(), address, directory };
        wait_until("prometheus is ready", Duration::from_secs(60), || {
            get(server.address, "/-/ready").is_some_and(|answer| answer.status == 200)
        });
        server
    }

    /// The answer to an instant query, as JSON.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a broken answer fails the test")]
    pub fn query_json(&self, expression: &str) -> String {
        let path = format!("/api/v1/query?query={}", percent_encoded(expression));
        let answer = get(self.address, &path).expect("prometheus answers");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// The value of an instant query that has one sample, or none.
    ///
    /// # Panics
    /// When the server does not answer, or there are several samples.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a broken answer fails the test")]
    pub fn query(&self, expression: &str) -> Option<f64> {
        let body = self.query_json(expression);
        let samples: Vec<&str> = body.split("\"value\":[").skip(1).collect();
        assert!(samples.len() <= 1, "{expression} has several samples: {body}");
        let value = samples.first()?.split('"').nth(1).expect("a value");
        Some(value.parse().expect("a number"))
    }

    /// The exemplars of the last hour, as JSON.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a broken answer fails the test")]
    pub fn exemplars_json(&self, expression: &str) -> String {
        let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
        let query = percent_encoded(expression);
        let (start, end) = (now - 3600, now + 60);
        let path = format!("/api/v1/query_exemplars?query={query}&start={start}&end={end}");
        let answer = get(self.address, &path).expect("prometheus answers");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// Whether an instant query has any sample.
    ///
    /// # Panics
    /// When the server refuses the query.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a broken answer fails the test")]
    pub fn has_data(&self, expression: &str) -> bool {
        let path = format!("/api/v1/query?query={}", percent_encoded(expression));
        let answer = get(self.address, &path).expect("prometheus answers");
        assert_eq!(answer.status, 200, "{expression}: {}", answer.body);
        answer.body.contains("\"value\":[")
    }

    /// Waits until a query has a value.
    ///
    /// # Panics
    /// When it does not get it in time.
    pub fn wait_for(&self, expression: &str, value: f64) {
        let mut last = None;
        for _ in 0..300 {
            last = self.query(expression);
            if last == Some(value) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic_with(expression, last, value);
    }
}

fn program() -> String {
    std::env::var("PROMETHEUS_BIN").unwrap_or_else(|_| "prometheus".to_owned())
}

/// From 3.8 on a setting asks for native histograms, where a flag did before; that flag is known
/// to later versions, and does nothing.
fn wants_native(arguments: &[&str]) -> bool {
    if !arguments.contains(&NATIVE_HISTOGRAMS) {
        return false;
    }
    let output = Command::new(program()).arg("--version").output().map(|output| output.stdout);
    let words = String::from_utf8(output.unwrap_or_default()).unwrap_or_default();
    let version = words.split("version ").nth(1).unwrap_or_default();
    let mut numbers = version.split(['.', ' ']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(3), Some(8))
}

#[expect(clippy::panic, reason = "the test fails")]
fn panic_with(expression: &str, last: Option<f64>, value: f64) -> ! {
    panic!("{expression} is {last:?} in prometheus after 30 s, expected {value}")
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self._process.child().kill();
        let _ = self._process.child().wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// What `promtool check metrics` says to a text: success, and its words.
///
/// # Panics
/// When promtool cannot be run.
#[must_use]
#[expect(clippy::expect_used, reason = "without promtool there is no test")]
pub fn promtool_check_metrics(text: &str) -> (bool, String) {
    let program = std::env::var("PROMTOOL_BIN").unwrap_or_else(|_| "promtool".to_owned());
    let mut child = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run promtool; tests/install-deps.sh installs it");
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("write to promtool");
    let output = child.wait_with_output().expect("promtool ends");
    let words = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), words)
}

/// The interpreter that has the reference parser, `prometheus_client`.
#[must_use]
pub fn python() -> PathBuf {
    std::env::var_os("RINGMETER_TEST_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/.venv/bin/python"),
        PathBuf::from,
    )
}
