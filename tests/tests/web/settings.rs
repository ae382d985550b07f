//! The web configuration file, beside the program that defines it.

use std::path::{Path, PathBuf};
use std::process::Command;

use ringmeter_tests::certificates::Certificates;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::guarded::{SECRET_HASH, check_web_config, promtool};
use ringmeter_tests::process::binary;

/// Files on which `promtool check web-config` and we say the same: good or bad.
const AGREED: &[(bool, &str)] = &[
    (true, ""),
    (true, "# nothing\n"),
    (true, "tls_server_config:\n"),
    (true, "basic_auth_users:\n"),
    (true, "TLS"),
    (true, "TLS  client_auth_type: NoClientCert\n"),
    (true, "TLS  client_auth_type: RequestClientCert\n"),
    (true, "TLS  client_auth_type: RequireAnyClientCert\n"),
    (true, "TLS  client_auth_type: RequireClientCert\n"),
    (true, "TLS  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.pem\n"),
    (true, "TLS  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"),
    (true, "TLS  client_auth_type: \"\"\n  client_ca_file: \"\"\n"),
    (true, "TLS  min_version: TLS13\n"),
    (true, "TLS  min_version: TLS12\n  max_version: TLS12\n"),
    (true, "TLS  min_version: TLS10\n"),
    (true, "TLS  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n"),
    (true, "TLS  cipher_suites:\n  - TLS_AES_128_GCM_SHA256\n  - TLS_RSA_WITH_AES_128_CBC_SHA\n"),
    (true, "TLS  cipher_suites: []\n  curve_preferences: []\n"),
    (true, "TLS  curve_preferences: [X25519, CurveP256, CurveP384, CurveP521]\n"),
    (true, "TLS  prefer_server_cipher_suites: false\n"),
    (true, "TLShttp_server_config: {http2: false}\n"),
    (true, "TLShttp_server_config: {http2: on}\n"),
    (true, "http_server_config:\n  headers:\n    X-XSS-Protection: 1\n    X-Frame-Options: deny\n"),
    (true, "http_server_config:\n  headers: {X-Content-Type-Options: nosniff}\n"),
    (true, "http_server_config:\n  headers: {Strict-Transport-Security: max-age=31536000}\n"),
    (true, "http_server_config:\n  headers: {Content-Security-Policy: \"default-src 'self'\"}\n"),
    (true, "basic_auth_users: {alice: HASH, 'b:ob': HASH, 7: HASH}\n"),
    (true, "basic_auth_users: {a: $2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW}\n"),
    (true, "basic_auth_users: {a: $2b$31$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW}\n"),
    (false, "tls_server_config: {cert_file: server.pem}\n"),
    (false, "tls_server_config: {key_file: server.key}\n"),
    (false, "tls_server_config: {client_auth_type: RequireAnyClientCert}\n"),
    (false, "tls_server_config: {client_ca_file: ca.pem}\n"),
    (false, "tls_server_config: {cert_file: absent.pem, key_file: server.key}\n"),
    (false, "tls_server_config: {cert_file: server.pem, key_file: absent.key}\n"),
    (false, "tls_server_config: {cert_file: server.pem, key_file: other.key}\n"),
    (false, "tls_server_config: {cert_file: server.key, key_file: server.key}\n"),
    (false, "tls_server_config: {cert_file: server.pem, key_file: server.pem}\n"),
    (false, "tls_server_config: {cert_file: empty, key_file: server.key}\n"),
    (false, "tls_server_config: {cert_file: ., key_file: server.key}\n"),
    (false, "tls_server_config: [a, b]\n"),
    (false, "tls_server_config: server.pem\n"),
    (false, "TLS  client_ca_file: ca.pem\n"),
    (false, "TLS  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: absent.pem\n"),
    (false, "TLS  client_auth_type: Sometimes\n"),
    (false, "TLS  min_version: TLS14\n"),
    (false, "TLS  max_version: 1.3\n"),
    (false, "TLS  cipher_suites: [TLS_MADE_UP]\n"),
    (false, "TLS  cipher_suites: TLS_AES_128_GCM_SHA256\n  curve_preferences: {a: b}\n"),
    (false, "TLS  curve_preferences: [CurveP999]\n"),
    (false, "TLS  prefer_server_cipher_suites: perhaps\n"),
    (false, "TLS  unknown: 1\n"),
    (false, "TLSunknown: {}\n"),
    (false, "http_server_config: {http3: true}\n"),
    (false, "http_server_config: {http2: 2}\n"),
    (false, "http_server_config: {headers: {Server: mine}}\n"),
    (false, "http_server_config: {headers: {x-frame-options: deny}}\n"),
    (false, "http_server_config: {headers: {X-Frame-Options: allow}}\n"),
    (false, "http_server_config: {headers: {X-Content-Type-Options: \"\"}}\n"),
    (false, "http_server_config: {headers: [a]}\n"),
    (false, "basic_auth_users: {alice: secret}\n"),
    (
        false,
        "basic_auth_users: {alice: $2y$03$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5s}\n",
    ),
    (false, "basic_auth_users: {alice: }\n"),
    (false, "basic_auth_users: [alice]\n"),
    (false, "basic_auth_users: {alice: HASH, alice: HASH}\n"),
    (false, "basic_auth_users: {alice: HASH\n"),
    (false, "just text\n"),
    (false, "- a list\n"),
    (false, "\ttabs: 1\n"),
];

/// Keys newer than promtool 2.42: it knows none of them, and we follow the newer toolkit.
const NEWER: &[(bool, &str)] = &[
    (true, "rate_limit: {interval: 1s, burst: 10}\n"),
    (true, "rate_limit: {interval: 0}\n"),
    (true, "rate_limit: {interval: 1m30s, burst: 1}\n"),
    (true, "rate_limit:\n"),
    (false, "rate_limit: {interval: often, burst: 10}\n"),
    (false, "rate_limit: {interval: 1s, burst: -1}\n"),
    (false, "rate_limit: {interval: 1s, burst: 10, unknown: 1}\n"),
    (true, "NAMED[a.example, 10.0.0.1, 'spiffe://a/b']\n"),
    (true, "TLS  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [a]\n"),
    (false, "TLS  client_auth_type: RequestClientCert\n  client_allowed_sans: [a]\n"),
    (false, "TLS  client_allowed_sans: [a]\n"),
    (true, "INLINE"),
    (false, "tls_server_config: {cert: none, key_file: server.key}\n"),
    (false, "TLS  client_auth_type: RequireAndVerifyClientCert\n  client_ca: none\n"),
];

/// Where we are stricter on purpose: the toolkit would serve, but not what was meant.
const STRICTER: &[&str] = &[
    // No certificate: the toolkit serves without TLS, and says nothing.
    "tls_server_config: {min_version: TLS13}\n",
    // No CA: the toolkit verifies with those of the system, which sign for everybody.
    "TLS  client_auth_type: RequireAndVerifyClientCert\n",
    "TLS  client_auth_type: VerifyClientCertIfGiven\n",
    // No certificate in the CA's file (the newest toolkit refuses it, too).
    "TLS  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: empty\n",
    // Nothing is left to serve with.
    "TLS  max_version: TLS11\n",
    "TLS  min_version: TLS13\n  max_version: TLS12\n",
    "TLS  max_version: TLS12\n  cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]\n",
    "TLS  curve_preferences: [CurveP521]\n",
    // Every request would be refused.
    "rate_limit: {interval: 1s}\n",
    // Two certificates, of which one would be left out.
    "TLS  cert: none\n",
    // Not looked at in certificates.
    "NAMED[somebody@example.org]\n",
    // No version of bcrypt.
    "basic_auth_users: {a: $1y$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u}\n",
    // A second document, which the toolkit leaves out.
    "basic_auth_users: {alice: HASH}\n---\nbasic_auth_users: {bob: HASH}\n",
];

struct Place {
    directory: Directory,
}

impl Place {
    fn new() -> Self {
        let directory = Directory::new();
        let certificates = Certificates::new(directory.path());
        certificates.ca("ca");
        certificates.issue("ca", "server", "DNS:localhost,IP:127.0.0.1");
        certificates.issue("ca", "other", "DNS:other");
        std::fs::write(directory.path().join("empty"), "").expect("write");
        Self { directory }
    }

    fn write(&self, short: &str) -> PathBuf {
        let inline = |name: &str| {
            let text = std::fs::read_to_string(self.directory.path().join(name)).expect("read");
            text.replace('\n', "\n    ").trim_end().to_owned()
        };
        let tls = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";
        let named = "TLS  client_auth_type: RequireAndVerifyClientCert\n  \
                     client_ca_file: ca.pem\n  client_allowed_sans: ";
        let text = short.replace("NAMED", named).replace("TLS  ", &format!("{tls}  "));
        let text = if text == "TLS" { tls.to_owned() } else { text };
        let text = text
            .replace("TLShttp", &format!("{tls}http"))
            .replace("TLSunknown", &format!("{tls}unknown"))
            .replace("HASH", SECRET_HASH);
        let text = if text == "INLINE" {
            let (certificate, key) = (inline("server.pem"), inline("server.key"));
            format!("tls_server_config:\n  cert: |\n    {certificate}\n  key: |\n    {key}\n")
        } else {
            text
        };
        let path = self.directory.path().join("web.yml");
        std::fs::write(&path, text).expect("write");
        path
    }
}

fn theirs(file: &Path) -> (bool, String) {
    check_web_config(&promtool(), &["check", "web-config"], file)
}

fn ours(file: &Path) -> (bool, String) {
    check_web_config(&binary("ringmeter"), &["check-web-config"], file)
}

#[test]
fn promtool_and_the_agent_agree() {
    let place = Place::new();
    let mut wrong = Vec::new();
    for (is_good, short) in AGREED {
        let file = place.write(short);
        for (who, (said, words)) in [("promtool", theirs(&file)), ("ringmeter", ours(&file))] {
            if said != *is_good {
                wrong.push(format!("{who} says {said} to {short:?}: {words}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn newer_keys_are_known_and_dangerous_silence_is_refused() {
    let place = Place::new();
    let stricter = STRICTER.iter().map(|short| (false, *short));
    for (is_good, short) in NEWER.iter().copied().chain(stricter) {
        let file = place.write(short);
        let (said, words) = ours(&file);
        assert_eq!(said, is_good, "{short:?}: {words}");
        println!("{short:?}: good for promtool {}, for us {said}: {words}", theirs(&file).0);
    }
}

#[test]
fn every_problem_is_told_with_its_line_and_the_agent_does_not_start() {
    let place = Place::new();
    let file = place.write(
        "tls_server_config:\n  cert_file: absent.pem\n  key_file: server.key\n  \
         min_version: SSL3\n  client_auth_type: Maybe\n  cipher_suites: [ROT13]\n  \
         curve_preferences: [Flat]\nhttp_server_config:\n  headers:\n    Server: x\n  \
         http9: true\nbasic_auth_users:\n  alice: plain\nrate_limit:\n  interval: soon\n",
    );
    let expected = [
        ":2:14: tls_server_config.cert_file: cannot read",
        ":4:16: tls_server_config.min_version: must be TLS12 or TLS13",
        ":5:21: tls_server_config.client_auth_type: must be one of NoClientCert,",
        ":6:19: tls_server_config.cipher_suites[0]: must be one of TLS_AES_256_GCM_SHA384,",
        ":7:23: tls_server_config.curve_preferences[0]: must be one of X25519,",
        ":10:5: http_server_config.headers.Server: cannot be set: must be one of",
        ":11:3: http_server_config.http9: is not known; did you mean http2?",
        ":13:3: basic_auth_users.alice: must be the bcrypt hash of the password",
        ":15:13: rate_limit.interval: must be a duration",
    ];
    let (is_good, words) = ours(&file);
    assert!(!is_good);
    assert!(!words.contains("plain"), "a password must not be shown: {words}");
    let lines: Vec<&str> = words.lines().filter(|line| line.contains("web.yml:")).collect();
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.contains(&format!("web.yml{expected}")), "{line}\n{expected}");
    }
    assert_eq!(lines.len(), expected.len(), "{words}");

    let output = Command::new(binary("ringmeter"))
        .args(["agent", "--web.listen-address", "127.0.0.1:0", "--dir"])
        .arg(place.directory.path())
        .arg("--web.config.file")
        .arg(&file)
        .output()
        .expect("run the agent");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{words}");
    for expected in expected {
        assert!(words.contains(&format!("web.yml{expected}")), "{expected} in {words}");
    }
    assert!(!place.directory.path().join("agent").exists(), "nothing was touched");
}
