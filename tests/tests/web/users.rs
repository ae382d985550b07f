//! Users, rate limit, headers, and scrapes at a time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ringmeter_tests::directory::Directory;
use ringmeter_tests::guarded::{Guarded, SECRET_HASH};
use ringmeter_tests::process::wait_until;
use ringmeter_tests::worker::Worker;

fn start(directory: &Directory, text: &str) -> Guarded {
    let file = directory.path().join("web.yml");
    std::fs::write(&file, text.replace("HASH", SECRET_HASH)).expect("write");
    Guarded::start(directory, &["--web.config.file", file.to_str().expect("plain ASCII")])
}

#[test]
fn only_users_with_their_password_are_let_in() {
    let directory = Directory::new();
    let agent = start(
        &directory,
        "basic_auth_users: {alice: HASH}\nhttp_server_config:\n  headers:\n    \
         X-Frame-Options: deny\n    Content-Security-Policy: default-src 'none'\n",
    );
    for path in ["/", "/metrics", "/-/healthy", "/-/ready", "/nothing"] {
        let expected = if path == "/nothing" { 404 } else { 200 };
        let anonymous = agent.curl("http", path, &[]);
        assert_eq!(anonymous.status, 401, "{anonymous:?}");
        assert!(anonymous.has_header("www-authenticate: basic realm=\"ringmeter\""));
        assert!(anonymous.has_header("x-frame-options: deny"));
        let alice = agent.curl("http", path, &["--user", "alice:secret"]);
        assert_eq!(alice.status, expected, "{alice:?}");
        assert!(alice.has_header("content-security-policy: default-src 'none'"), "{alice:?}");
    }
    for user in ["alice:Secret", "alice:", "bob:secret", ":secret", "alice:secret2", "ALICE:secret"]
    {
        // Twice: the second answer comes from what is kept.
        for _ in 0..2 {
            assert_eq!(agent.curl("http", "/metrics", &["--user", user]).status, 401, "{user}");
        }
    }
    let garbage = ["--header", "Authorization: Basic !!!"];
    assert_eq!(agent.curl("http", "/metrics", &garbage).status, 401);
    assert_eq!(agent.health("/-/ready").status, 200, "probes need no password");
    assert_eq!(agent.health("/").status, 404);

    // An unknown user takes as long as a known one; printed, not judged.
    for user in ["alice", "nobody"] {
        let begin = Instant::now();
        for number in 0..5 {
            let wrong = format!("{user}:{number}");
            assert_eq!(agent.curl("http", "/", &["--user", &wrong]).status, 401);
        }
        println!("a wrong password of {user}: {:?} each", begin.elapsed() / 5);
    }
    let file = directory.path().join("web.yml");
    std::fs::write(&file, format!("basic_auth_users: {{bob: {SECRET_HASH}}}\n")).expect("write");
    assert_eq!(agent.curl("http", "/metrics", &["--user", "alice:secret"]).status, 401);
    let bob = agent.curl("http", "/metrics", &["--user", "bob:secret"]);
    assert!(!bob.has_header("x-frame-options: deny"), "the new file holds at once");
    let refused = bob.scrape().value("ringmeter_web_refused_total{reason=\"unauthorized\"}");
    assert!(refused >= 29.0, "{refused} of the logins that were refused");
}

#[test]
fn more_requests_than_the_rate_are_answered_with_429() {
    let directory = Directory::new();
    let agent = start(&directory, "rate_limit: {interval: 1h, burst: 3}\n");
    let codes: Vec<u16> = (0..5).map(|_| agent.curl("http", "/metrics", &[]).status).collect();
    assert_eq!(codes, [200, 200, 200, 429, 429]);
    let file = directory.path().join("web.yml");
    std::fs::write(&file, "rate_limit: {interval: 1ms, burst: 1}\n").expect("write");
    wait_until("the new rate holds", Duration::from_secs(10), || {
        agent.curl("http", "/metrics", &[]).status == 200
    });
}

#[test]
fn scrapes_beyond_the_limit_are_answered_with_503() {
    let directory = Directory::new();
    let agent = Guarded::start(&directory, &["--web.max-requests", "1"]);
    let mut worker = Worker::start(directory.path(), "wide --series 10000");
    worker.wait_until_done();
    let connect = || TcpStream::connect(agent.address()).expect("connect");
    let mut clients: Vec<TcpStream> = (0..40).map(|_| connect()).collect();
    for client in &mut clients {
        client
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .expect("ask");
    }
    let answers: Vec<String> = clients
        .iter_mut()
        .map(|client| {
            client.set_read_timeout(Some(Duration::from_secs(20))).expect("above zero");
            let mut text = String::new();
            client.read_to_string(&mut text).expect("an answer");
            text
        })
        .collect();
    let count = |begin: &str| answers.iter().filter(|answer| answer.starts_with(begin)).count();
    let (served, refused) = (count("HTTP/1.1 200 "), count("HTTP/1.1 503 "));
    println!("of 40 scrapes at a time {served} were served and {refused} refused");
    assert_eq!(served + refused, 40);
    assert!(served > 0 && refused > 0);
    let text = "Limit of concurrent requests reached, try again later.\n";
    assert_eq!(answers.iter().filter(|answer| answer.ends_with(text)).count(), refused);
    let scrape = agent.curl("http", "/metrics", &[]).scrape();
    let counted = scrape.value("ringmeter_web_refused_total{reason=\"max_requests\"}");
    assert_eq!(counted, refused as f64);
    assert_eq!(worker.finish().code(), Some(0));
}
