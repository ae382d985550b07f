use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use super::*;

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Result<AgentConfig, ConfigError> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    let line = ["ringmeter", "agent"].iter().chain(arguments).map(OsString::from);
    match parse(line, |name| variables.get(name).map(OsString::from))? {
        Command::Agent(config) => Ok(config),
        other => panic!("expected the agent, got {other:?}"),
    }
}

fn problems(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    match run(arguments, variables) {
        Err(ConfigError::Values(problems)) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("expected problems, got {other:?}"),
    }
}

fn addresses(config: &AgentConfig) -> Vec<String> {
    config.web.listen_addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults() {
    let config = run(&[], &[]).expect("defaults are good");
    assert_eq!(config.directory, None);
    assert_eq!(addresses(&config), [":19310"]);
    assert_eq!(config.web.telemetry_path.as_str(), "/metrics");
    assert_eq!(config.web.shutdown_linger, Duration::from_secs(20));
    assert_eq!(config.log, LogConfig { level: LogLevel::Info, format: LogFormat::Logfmt });
}

#[test]
fn created_samples_are_asked_for() {
    let is_on = |arguments: &[&str], variables: &[(&str, &str)]| {
        run(arguments, variables).expect("good").web.openmetrics_created
    };
    let variable = |value| [("RINGMETER_WEB_OPENMETRICS_CREATED", value)];
    assert!(!is_on(&[], &[]));
    assert!(is_on(&["--web.openmetrics-created"], &[]));
    assert!(is_on(&[], &variable("true")));
    assert!(!is_on(&["--web.openmetrics-created=false"], &variable("true")));
    assert_eq!(
        problems(&[], &variable("yes")),
        ["RINGMETER_WEB_OPENMETRICS_CREATED \"yes\": must be one of true, false"]
    );
}

#[test]
fn flags_win_over_the_environment() {
    let variables = [
        ("RINGMETER_DIR", "/from/environment"),
        ("RINGMETER_WEB_LISTEN_ADDRESS", "127.0.0.1:1, [::1]:2,127.0.0.1:1"),
        ("RINGMETER_WEB_TELEMETRY_PATH", "/m"),
        ("RINGMETER_WEB_SHUTDOWN_LINGER", "1m"),
        ("RINGMETER_LOG_LEVEL", "debug"),
        ("RINGMETER_LOG_FORMAT", "json"),
        ("RINGMETER_PORT", "tcp://10.0.0.1:19310"),
    ];
    let config = run(&[], &variables).expect("the environment is good");
    assert_eq!(config.directory.as_deref(), Some(Path::new("/from/environment")));
    assert_eq!(addresses(&config), ["127.0.0.1:1", "[::1]:2"]);
    assert_eq!(config.web.telemetry_path.as_str(), "/m");
    assert_eq!(config.web.shutdown_linger, Duration::from_secs(60));
    assert_eq!(config.log, LogConfig { level: LogLevel::Debug, format: LogFormat::Json });

    let arguments = [
        "--dir=/from/flag",
        "--web.listen-address=:3",
        "--web.listen-address",
        "10.0.0.1:4",
        "--web.telemetry-path=/",
        "--web.shutdown-linger=0",
        "--log.level=error",
        "--log.format=logfmt",
    ];
    let config = run(&arguments, &variables).expect("the flags are good");
    assert_eq!(config.directory.as_deref(), Some(Path::new("/from/flag")));
    assert_eq!(addresses(&config), [":3", "10.0.0.1:4"]);
    assert_eq!(config.web.telemetry_path.as_str(), "/");
    assert_eq!(config.web.shutdown_linger, Duration::ZERO);
    assert_eq!(config.log, LogConfig { level: LogLevel::Error, format: LogFormat::Logfmt });
}

#[test]
fn an_empty_variable_is_unset() {
    let variables = [("RINGMETER_DIR", ""), ("RINGMETER_LOG_LEVEL", "")];
    assert_eq!(run(&[], &variables).expect("good"), run(&[], &[]).expect("good"));
}

#[test]
fn all_problems_are_reported_at_once() {
    let arguments = [
        "--dir=relative",
        "--web.listen-address=localhost:1",
        "--web.listen-address=:70000",
        "--web.telemetry-path=metrics",
        "--log.level=loud",
    ];
    let variables = [("RINGMETER_WEB_SHUTDOWN_LINGER", "2h"), ("RINGMETER_LOG_FORMAT", "xml\u{7}")];
    let found = problems(&arguments, &variables);
    let expected = [
        "--dir \"relative\": must be an absolute path",
        "--web.listen-address \"localhost:1\": must be an IP address and a port",
        "--web.listen-address \":70000\": must be an IP address and a port",
        "--web.telemetry-path \"metrics\": must start with /",
        "RINGMETER_WEB_SHUTDOWN_LINGER \"2h\": must be a duration of up to 3600 s",
        "--log.level \"loud\": must be one of debug, info, warn, error",
        "RINGMETER_LOG_FORMAT \"xml\\u{7}\": must be one of logfmt, json",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
    let error = run(&arguments, &variables).expect_err("problems");
    assert_eq!(error.exit_code(), EXIT_CONFIGURATION);
    assert!(error.to_string().starts_with("7 problems in the configuration:\n  --dir"));
}

#[test]
fn unusable_values() {
    for path in ["", "/-/ready", "/a?b", "/a b", "/a//b", "/a/../b", "/%6d", "/é", "//"] {
        let arguments = [format!("--web.telemetry-path={path}")];
        assert_eq!(problems(&[&arguments[0]], &[]).len(), 1, "{path}");
    }
    for address in ["", ":", "1", "1.2.3.4", "::1:80", ":+1", "[::1]", "host:80"] {
        let arguments = [format!("--web.listen-address={address}")];
        assert_eq!(problems(&[&arguments[0]], &[]).len(), 1, "{address}");
    }
    for directory in ["", "a", "/a/../b"] {
        assert_eq!(problems(&[&format!("--dir={directory}")], &[]).len(), 1, "{directory}");
    }
    let many: Vec<String> = (1..18).map(|port| format!("--web.listen-address=:{port}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(problems(&many, &[])[0].contains("at most 16"), "17 addresses");
}

#[test]
fn a_variable_that_is_not_text_is_a_problem() {
    let line = ["ringmeter", "agent"].map(OsString::from);
    let garbage = |name: &str| name.starts_with("RINGMETER_LOG_L").then_some(vec![0xff]);
    let error = parse(line, |name| garbage(name).map(OsString::from_vec)).expect_err("not UTF-8");
    assert!(error.to_string().contains("RINGMETER_LOG_LEVEL \"\u{fffd}\": must be UTF-8"));
}

#[test]
fn help_and_version_are_no_failures() {
    for (arguments, code) in [
        (&["ringmeter", "--version"][..], 0),
        (&["ringmeter", "--help"], 0),
        (&["ringmeter", "agent", "--help"], 0),
        (&["ringmeter"], EXIT_CONFIGURATION),
        (&["ringmeter", "agent", "--unknown"], EXIT_CONFIGURATION),
        (&["ringmeter", "agent", "--log.level"], EXIT_CONFIGURATION),
        (&["ringmeter", "fly"], EXIT_CONFIGURATION),
    ] {
        let error = parse(arguments.iter().map(OsString::from), |_| None).expect_err("no command");
        assert_eq!(error.exit_code(), code, "{arguments:?}");
    }
}

#[test]
fn how_the_server_is_reached() {
    assert_eq!(run(&[], &[]).expect("good").web.access, AccessConfig::default());
    let arguments = [
        "--web.listen-address=unix:/run/web.sock",
        "--web.listen-address=[::1]:2",
        "--web.config.file=web.yml",
        "--web.systemd-socket",
        "--web.max-requests=0",
        "--web.health-listen-address=:3",
        "--web.health-listen-address=unix:/run/health.sock",
    ];
    let config = run(&arguments, &[("RINGMETER_WEB_CONFIG_FILE", "/other")]).expect("good");
    assert_eq!(addresses(&config), ["unix:/run/web.sock", "[::1]:2"]);
    let access = config.web.access;
    assert_eq!(access.config_file.as_deref(), Some(Path::new("web.yml")), "relative, as exporters");
    assert!(access.systemd_socket);
    assert_eq!(access.max_requests, None);
    let health: Vec<String> =
        access.health_listen_addresses.iter().map(|a| a.to_string()).collect();
    assert_eq!(health, [":3", "unix:/run/health.sock"]);

    let variables = [
        ("RINGMETER_WEB_CONFIG_FILE", "/etc/web.yml"),
        ("RINGMETER_WEB_MAX_REQUESTS", "7"),
        ("RINGMETER_WEB_HEALTH_LISTEN_ADDRESS", ":1,:2"),
    ];
    let access = run(&[], &variables).expect("good").web.access;
    assert_eq!(access.config_file.as_deref(), Some(Path::new("/etc/web.yml")));
    assert_eq!((access.max_requests, access.health_listen_addresses.len()), (Some(7), 2));

    let arguments = [
        "--web.listen-address=unix:relative",
        "--web.config.file=",
        "--web.max-requests=-1",
        "--web.health-listen-address=nowhere",
    ];
    let found = problems(&arguments, &[]);
    let expected = [
        "--web.listen-address \"unix:relative\": must be unix: and an absolute path of up to 107",
        "--web.config.file \"\": must be the path of a file",
        "--web.max-requests \"-1\": must be a whole number from 0 to 100000",
        "--web.health-listen-address \"nowhere\": must be an IP address and a port",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}
