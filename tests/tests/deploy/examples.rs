//! Examples of configuration for the agent: taken by the program that they are for.

use std::path::Path;
use std::process::Command;

use ringmeter_tests::certificates::Certificates;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::process::binary;

use super::{path, said, text};

const AGENT: &str = "deploy/config/ringmeter.yml";
const WEB: &str = "deploy/config/web.yml";

fn check(command: &str, file: &Path) -> (bool, String) {
    said(Command::new(binary("ringmeter")).arg(command).arg(file))
}

/// With a mistake put in, a file must be refused, and the mistake named.
fn refuses(command: &str, name: &str, (from, to): (&str, &str), directory: &Path) {
    let good = text(name);
    let bad = good.replacen(from, to, 1);
    assert_ne!(bad, good, "{from:?} is not there");
    let file = directory.join("mistaken.yml");
    std::fs::write(&file, bad).expect("write");
    let (is_good, words) = check(command, &file);
    assert!(!is_good && words.contains(to), "{words}");
}

#[test]
fn the_agent_takes_its_configuration() {
    let (is_good, words) = check("check-config", &path(AGENT));
    assert!(is_good, "{words}");
    let directory = Directory::new();
    let mistake = ("series_per_segment_max", "series_per_segmnt_max");
    refuses("check-config", AGENT, mistake, directory.path());
}

#[test]
fn the_agent_takes_its_web_configuration() {
    // It is read with what it names beside it.
    let directory = Directory::new();
    let certificates = Certificates::new(directory.path());
    certificates.ca("ca");
    certificates.issue("ca", "server", "DNS:localhost");
    let file = directory.path().join("web.yml");
    std::fs::copy(path(WEB), &file).expect("copy");
    let (is_good, words) = check("check-web-config", &file);
    assert!(is_good, "{words}");
    refuses("check-web-config", WEB, ("rate_limit", "rate_limits"), directory.path());
}

#[test]
fn the_readme_leads_to_the_examples() {
    let readme = text("deploy/README.md");
    for words in ["(config/ringmeter.yml)", "--config.file", "(config/web.yml)"] {
        assert!(readme.contains(words), "{words}");
    }
    for words in ["--web.config.file", "service_label", "(systemd/ringmeter.socket)"] {
        assert!(readme.contains(words), "{words}");
    }
}
