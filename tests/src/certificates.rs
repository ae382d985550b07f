//! Certificates for one test, made by `openssl`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory with certificates and keys: `NAME.pem` and `NAME.key`.
#[derive(Debug, Clone)]
pub struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    /// Makes certificates in a directory that exists.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The path of a file in the directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A CA that signs itself.
    ///
    /// # Panics
    /// When `openssl` does not make it.
    pub fn ca(&self, name: &str) {
        self.request(name, &["-addext", "basicConstraints=critical,CA:TRUE"], None);
    }

    /// A certificate with these names (`DNS:a,IP:127.0.0.1`), signed by a CA made before.
    ///
    /// # Panics
    /// When `openssl` does not make it.
    pub fn issue(&self, ca: &str, name: &str, names: &str) {
        let names = format!("subjectAltName={names}");
        let own = ["-addext", &names, "-addext", "basicConstraints=CA:FALSE"];
        self.request(name, &own, Some(ca));
    }

    fn request(&self, name: &str, extensions: &[&str], ca: Option<&str>) {
        let mut command = Command::new("openssl");
        command
            .current_dir(&self.directory)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-noenc", "-days", "2", "-subj", &format!("/CN={name}")])
            .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
            .args(extensions);
        if let Some(ca) = ca {
            command.args(["-CA", &format!("{ca}.pem"), "-CAkey", &format!("{ca}.key")]);
        }
        run(&mut command);
    }

    /// The SHA-256 fingerprint of a certificate, as `openssl` prints it.
    ///
    /// # Panics
    /// When there is no such certificate.
    #[must_use]
    pub fn fingerprint(&self, name: &str) -> String {
        let mut command = Command::new("openssl");
        command
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(self.path(&format!("{name}.pem")));
        run(&mut command)
    }
}

#[expect(clippy::expect_used, reason = "without certificates there is no test")]
fn run(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("run openssl; tests/install-deps.sh installs it");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
