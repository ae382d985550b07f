//! TLS with a client that is not rustls.

use ringmeter_tests::certificates::Certificates;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::guarded::{Curled, Guarded};

struct Site {
    directory: Directory,
    certificates: Certificates,
}

impl Site {
    /// Certificates of a server, of clients, and of a CA that nobody knows.
    fn new() -> Self {
        let directory = Directory::new();
        let certificates = Certificates::new(directory.path());
        certificates.ca("ca");
        certificates.ca("strange");
        certificates.issue("ca", "server", "DNS:localhost,IP:127.0.0.1");
        certificates.issue("ca", "scraper", "DNS:scraper.example,URI:spiffe://example/scraper");
        certificates.issue("strange", "stranger", "DNS:scraper.example");
        Self { directory, certificates }
    }

    fn write(&self, more: &str) {
        let text =
            format!("tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n{more}");
        std::fs::write(self.directory.path().join("web.yml"), text).expect("write");
    }

    fn start(&self, more: &str) -> Guarded {
        self.write(more);
        let file = self.path("web.yml");
        Guarded::start(&self.directory, &["--web.config.file", &file])
    }

    fn path(&self, name: &str) -> String {
        self.certificates.path(name).to_str().expect("plain ASCII").to_owned()
    }

    fn ask(&self, agent: &Guarded, arguments: &[&str]) -> Curled {
        let ca = self.path("ca.pem");
        agent.curl("https", "/metrics", &[&["--cacert", ca.as_str()], arguments].concat())
    }

    fn ask_as(&self, agent: &Guarded, client: &str, arguments: &[&str]) -> Curled {
        let (certificate, key) =
            (self.path(&format!("{client}.pem")), self.path(&format!("{client}.key")));
        let own = ["--cert", certificate.as_str(), "--key", key.as_str()];
        self.ask(agent, &[&own, arguments].concat())
    }

    /// The fingerprint of the certificate that the agent shows to a new connection.
    fn shown(&self, agent: &Guarded) -> String {
        let shown = self.ask(agent, &["--write-out", "%{certs}"]);
        assert_eq!(shown.status, 200, "{shown:?}");
        let begin = shown.text.rfind("-----BEGIN").expect("a certificate");
        std::fs::write(self.path("shown.pem"), &shown.text[begin..]).expect("write");
        self.certificates.fingerprint("shown")
    }
}

const V12: &[&str] = &["--tlsv1.2", "--tls-max", "1.2"];
const V13: &[&str] = &["--tlsv1.3"];

#[test]
fn both_versions_suites_and_no_plain_text() {
    let site = Site::new();
    let agent = site.start("");
    for version in [V12, V13] {
        let answer = site.ask(&agent, version);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.text.starts_with("HTTP/1.1 "), "{answer:?}");
        assert!(answer.scrape().get("ringmeter_passes_total").is_some());
    }
    assert!(!agent.curl("http", "/metrics", &[]).text.contains("ringmeter_passes_total"));
    assert!(!agent.curl("https", "/metrics", &[]).is_answered, "curl does not know this CA");
    assert_eq!(agent.health("/-/healthy").status, 200, "no TLS for probes");
    assert_eq!(agent.health("/metrics").status, 404, "and nothing else");

    drop(agent);
    let suite = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
    let agent =
        site.start(&format!("  cipher_suites: [{suite}]\n  curve_preferences: [CurveP384]\n"));
    let other = [V12, &["--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"]].concat();
    assert!(!site.ask(&agent, &other).is_answered, "a suite that was not listed");
    let listed = [V12, &["--ciphers", "ECDHE-ECDSA-CHACHA20-POLY1305"]].concat();
    assert_eq!(site.ask(&agent, &listed).status, 200);
    assert_eq!(site.ask(&agent, V13).status, 200, "those of TLS 1.3 are always there");
    assert!(!site.ask(&agent, &["--curves", "X25519"]).is_answered, "another curve");
    drop(agent);

    for (version, good, bad) in [("min_version: TLS13", V13, V12), ("max_version: TLS12", V12, V13)]
    {
        let agent = site.start(&format!("  {version}\n"));
        assert_eq!(site.ask(&agent, good).status, 200, "{version}");
        assert!(!site.ask(&agent, bad).is_answered, "{version}");
    }
}

#[test]
fn each_kind_of_client_authentication() {
    let site = Site::new();
    // Who is let in: nobody's certificate, one of the CA, one of another CA.
    let kinds = [
        ("NoClientCert", "", [true, true, true]),
        ("RequestClientCert", "", [true, true, true]),
        ("RequireAnyClientCert", "", [false, true, true]),
        ("VerifyClientCertIfGiven", "  client_ca_file: ca.pem\n", [true, true, false]),
        ("RequireAndVerifyClientCert", "  client_ca_file: ca.pem\n", [false, true, false]),
    ];
    let agent = site.start("");
    for (kind, ca, expected) in kinds {
        site.write(&format!("  client_auth_type: {kind}\n{ca}"));
        for version in [V12, V13] {
            let answers = [
                site.ask(&agent, version),
                site.ask_as(&agent, "scraper", version),
                site.ask_as(&agent, "stranger", version),
            ];
            assert_eq!(answers.each_ref().map(|answer| answer.status == 200), expected, "{kind}");
        }
    }
    // Names have to be there exactly, and the CA is still asked for.
    for (names, is_in) in [
        ("[scraper.example]", true),
        ("[other.example, 'spiffe://example/scraper']", true),
        ("[example]", false),
        ("['*.example', 127.0.0.1]", false),
        ("[]", false),
    ] {
        site.write(&format!(
            "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  \
             client_allowed_sans: {names}\n"
        ));
        for version in [V12, V13] {
            assert_eq!(site.ask_as(&agent, "scraper", version).status == 200, is_in, "{names}");
            assert!(!site.ask_as(&agent, "stranger", version).is_answered, "{names}");
        }
    }
    site.write("");
    let refused = site.ask(&agent, &[]).scrape();
    assert!(refused.value("ringmeter_web_refused_total{reason=\"tls_handshake\"}") >= 14.0);
}

fn reloads(site: &Site, agent: &Guarded) -> f64 {
    let scrape = site.ask(agent, &[]).scrape();
    scrape.get("ringmeter_web_config_last_reload_successful").expect("there is a file")
}

#[test]
fn certificates_are_rotated_and_a_bad_one_changes_nothing() {
    let site = Site::new();
    let agent = site.start("");
    let first = site.certificates.fingerprint("server");
    assert_eq!(site.shown(&agent), first);
    assert_eq!(reloads(&site, &agent), 1.0);

    site.certificates.issue("ca", "server", "DNS:localhost,IP:127.0.0.1");
    let second = site.certificates.fingerprint("server");
    assert_ne!(first, second);
    assert_eq!(site.shown(&agent), second, "without a restart, at the next connection");
    assert_eq!(reloads(&site, &agent), 1.0);

    // A key that belongs to another certificate, then garbage, then none, then a bad file.
    let key = std::fs::read(site.path("server.key")).expect("read");
    let stranger = std::fs::read(site.path("stranger.key")).expect("read");
    for bad in [Some(&stranger[..]), Some(b"garbage"), Some(&key[..60]), None] {
        match bad {
            Some(bytes) => std::fs::write(site.path("server.key"), bytes).expect("write"),
            None => std::fs::remove_file(site.path("server.key")).expect("remove"),
        }
        assert_eq!(site.shown(&agent), second, "the old one stays");
        assert_eq!(reloads(&site, &agent), 0.0);
    }
    assert!(agent.log().contains("tls_server_config.key_file"), "{}", agent.log());
    let lines = agent.log().matches("the old one stays in force").count();
    assert_eq!(lines, 4, "once for each, not for each connection: {}", agent.log());
    std::fs::write(site.path("server.key"), &key).expect("write");
    assert_eq!(reloads(&site, &agent), 1.0, "mended");

    let good = std::fs::read(site.path("web.yml")).expect("read");
    for bad in ["tls_server_config: {", "unknown: 1\n", "", "basic_auth_users: {a: b}\n"] {
        std::fs::write(site.path("web.yml"), bad).expect("write");
        assert_eq!(site.shown(&agent), second);
        assert_eq!(reloads(&site, &agent), 0.0, "{bad}");
    }
    // As Kubernetes replaces a mounted secret: another file under the same name.
    std::fs::write(site.path("new.yml"), &good).expect("write");
    std::fs::rename(site.path("new.yml"), site.path("web.yml")).expect("rename");
    assert_eq!(reloads(&site, &agent), 1.0);
}
