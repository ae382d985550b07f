//! What is served, and how requests are read.

use super::*;

const TEXT: &str = "# HELP a_total Help.\n# TYPE a_total counter\na_total 42\n";

#[test]
fn metrics_are_text() {
    let server = Server::start(|_| {});
    let answer = server.ask("GET", "/metrics");
    assert_eq!((answer.status, answer.body.as_str()), (200, TEXT));
    let content_type = answer.header("content-type");
    assert_eq!(content_type, Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"));
    assert_eq!(server.ask("GET", "/metrics?name[]=a_total&name%5B%5D=b").body, TEXT);
    assert_eq!(server.ask("GET", "/metrics?name[]=a").body, "\n");
    assert_eq!(server.ask("GET", "/metrics?anything").body, TEXT);
}

#[test]
fn other_pages() {
    let server = Server::start(|_| {});
    let landing = server.ask("GET", "/");
    assert_eq!(landing.status, 200);
    assert_eq!(landing.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(landing.header("content-security-policy").is_some());
    for part in ["href=\"/metrics\"", "href=\"/-/ready\"", env!("CARGO_PKG_VERSION")] {
        assert!(landing.body.contains(part), "{part}");
    }
    assert_eq!(server.ask("GET", "/-/healthy").body, "Ringmeter is Healthy.\n");
    assert_eq!(server.ask("GET", "/-/ready").body, "Ringmeter is Ready.\n");
    for path in ["/metric", "/metrics/", "//", "/-/", "/-/quit", "/favicon.ico"] {
        assert_eq!(server.ask("GET", path).status, 404, "{path}");
    }
}

#[test]
fn metrics_at_the_root_replace_the_landing_page() {
    let server = Server::start(|options| {
        options.telemetry_path = "/".parse().expect("a path");
    });
    assert_eq!(server.ask("GET", "/").body, TEXT);
    assert_eq!(server.ask("GET", "/metrics").status, 404);
}

#[test]
fn head_has_the_length_and_no_body() {
    let server = Server::start(|_| {});
    for path in ["/", "/metrics", "/-/healthy", "/-/ready"] {
        let (head, get) = (server.ask("HEAD", path), server.ask("GET", path));
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-length"), get.header("content-length"));
        assert_eq!(head.header("content-type"), get.header("content-type"));
        let length = get.body.len().to_string();
        assert_eq!(get.header("content-length"), Some(length.as_str()), "{path}");
    }
}

#[test]
fn other_methods_are_told_which_are_allowed() {
    let server = Server::start(|_| {});
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        for path in ["/", "/metrics", "/-/healthy", "/-/ready"] {
            let answer = server.ask(method, path);
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        }
        assert_eq!(server.ask(method, "/nothing").status, 404);
    }
}

#[test]
fn unavailable_until_ready() {
    let server = Server::start(|_| {});
    server.fake.ready.store(false, Ordering::Relaxed);
    for path in ["/metrics", "/-/ready"] {
        let answer = server.ask("GET", path);
        assert_eq!(answer.status, 503);
        assert_eq!(answer.body, "Ringmeter is not Ready.\n");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(server.ask("HEAD", path).status, 503);
    }
    assert_eq!(server.ask("GET", "/-/healthy").status, 200);
    server.fake.ready.store(true, Ordering::Relaxed);
    server.fake.publish(0, Vec::new());
    let answer = server.ask("GET", "/metrics");
    assert_eq!((answer.status, answer.body.as_str()), (503, "Nothing was collected yet.\n"));
    server.fake.healthy.store(false, Ordering::Relaxed);
    assert_eq!(server.ask("GET", "/-/healthy").status, 503);
    assert_eq!(server.served.get(), Served::default());
}

#[test]
fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let server = Server::start(|_| {});
    let mut client = server.connect();
    client.send(
        "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\nHEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n\
         GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!(client.answer(false).body, TEXT);
    assert_eq!(client.answer(true).status, 200);
    assert_eq!(client.answer(false).body, "Ringmeter is Ready.\n");
    assert_eq!(client.answer(false).body, TEXT);
    client.send("GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer(false).body, "Ringmeter is Healthy.\n");
    server.await_served(Served { count: 2, generation: Some(1) });
}

#[test]
fn oversized_heads_are_refused() {
    let server = Server::start(|_| {});
    let long = "a".repeat(HEAD_LENGTH_MAX_BYTES);
    let many = "a: b\r\n".repeat(101);
    for headers in [format!("Long: {long}\r\n"), many] {
        let mut client = server.connect();
        client.send(&format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
        assert_eq!(client.answer(false).status, 431);
        client.rest();
    }
    assert_eq!(server.ask("GET", "/metrics").status, 200);
}

#[test]
fn garbage_is_refused() {
    let server = Server::start(|_| {});
    for garbage in
        ["\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}hello\r\n\r\n", "GET\r\n\r\n", "GET / FTP/9\r\n\r\n"]
    {
        let mut client = server.connect();
        client.send(garbage);
        assert_eq!(client.answer(false).status, 400, "{garbage:?}");
        client.rest();
    }
    assert_eq!(server.ask("GET", "/metrics").status, 200);
}
