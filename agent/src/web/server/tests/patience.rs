//! Time: slow and silent clients, slow pipelines, delivery, and shutdown.

use super::*;

const REQUEST: &str = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

/// More than both ends' socket buffers take, so that a client that does not read is noticed.
fn large() -> Vec<FamilyBlock> {
    let filler = "x".repeat(1_000);
    let values: Vec<String> = (0..32_000).map(|i| format!("{i}{filler}")).collect();
    let labels: Vec<[(&str, &str); 1]> = values.iter().map(|v| [("a", v.as_str())]).collect();
    let samples: Vec<(&[(&str, &str)], u64)> = labels.iter().map(|l| (&l[..], 1)).collect();
    vec![FamilyBlock::of_counters("large_total", "", &samples)]
}

#[test]
fn a_slow_or_silent_head_is_closed() {
    let server = Server::start(|options| {
        options.head_timeout = Duration::from_millis(200);
        options.idle_timeout = Duration::from_millis(500);
    });
    for beginning in ["", "GET /metrics HT"] {
        let mut client = server.connect();
        let start = Instant::now();
        client.send(beginning);
        let rest = String::from_utf8(client.rest()).expect("ASCII");
        assert!(!rest.contains(" 200 "), "{rest}");
        assert!(start.elapsed() >= Duration::from_millis(190), "closed too early");
    }
    let mut client = server.connect();
    client.send(REQUEST);
    assert_eq!(client.answer(false).status, 200);
    let start = Instant::now();
    assert_eq!(client.rest(), b"", "an idle connection is closed without a word");
    assert!(start.elapsed() >= Duration::from_millis(490), "closed too early");
}

#[test]
fn a_byte_now_and_then_does_not_extend_the_time() {
    let server = Server::start(|options| options.head_timeout = Duration::from_millis(300));
    for is_second in [false, true] {
        let mut client = server.connect();
        if is_second {
            client.send(REQUEST);
            assert_eq!(client.answer(false).status, 200);
        }
        let start = Instant::now();
        for byte in REQUEST.as_bytes() {
            std::thread::sleep(Duration::from_millis(50));
            if client.stream.write_all(&[*byte]).is_err() {
                break;
            }
        }
        assert_eq!(client.rest(), b"");
        assert!(start.elapsed() >= Duration::from_millis(290), "closed too early");
    }
}

#[test]
fn an_old_connection_is_closed_behind_a_response() {
    let server = Server::start(|options| {
        options.connection_age_max = Duration::from_millis(300);
    });
    let mut client = server.connect();
    client.send(REQUEST);
    assert_eq!(client.answer(false).header("connection"), None);
    server.fake.hangs.store(true, Ordering::Relaxed);
    client.send(REQUEST);
    std::thread::sleep(Duration::from_millis(400));
    server.fake.hangs.store(false, Ordering::Relaxed);
    assert_eq!(client.answer(false).header("connection"), Some("close"));
    assert_eq!(client.rest(), b"");
    let mut idle = server.connect();
    idle.send(REQUEST);
    assert_eq!(idle.answer(false).status, 200);
    assert_eq!(idle.rest(), b"", "an idle one is closed when it is old");
}

#[test]
fn a_scrape_is_in_flight_until_it_is_written() {
    let server = Server::start_limited(Some(1), |_| {});
    server.fake.publish(7, large());
    let mut slow = server.connect();
    slow.send(REQUEST);
    assert!(slow.receive(), "the head arrives");
    let refused = server.ask("GET", "/metrics");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.body.starts_with("Limit of concurrent requests reached"), "{}", refused.body);
    assert_eq!(server.ask("GET", "/-/healthy").status, 200, "only scrapes are limited");
    assert!(slow.answer(false).body.ends_with("} 1\n"));
    server.await_served(Served { count: 1, generation: Some(7) });
    assert_eq!(server.ask("HEAD", "/metrics").status, 200);
    assert_eq!(server.ask("GET", "/metrics").status, 200, "also behind a HEAD");
}

#[test]
fn a_slow_pipeline_is_unavailable() {
    let server = Server::start(|options| options.scrape_timeout = Duration::from_millis(50));
    server.fake.hangs.store(true, Ordering::Relaxed);
    let answer = server.ask("GET", "/metrics");
    assert_eq!((answer.status, answer.body.as_str()), (503, "No snapshot within 50 ms.\n"));
    assert_eq!(server.ask("GET", "/-/healthy").status, 200);
}

#[test]
fn a_scrape_counts_when_its_last_byte_is_written() {
    let server = Server::start(|_| {});
    server.fake.publish(7, large());
    assert_eq!(server.ask("HEAD", "/metrics").status, 200);
    let mut client = server.connect();
    client.send(REQUEST);
    assert!(client.receive(), "the head arrives");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(server.served.get(), Served::default(), "the client has not read it");
    let answer = client.answer(false);
    assert!(answer.body.ends_with("} 1\n"));
    server.await_served(Served { count: 1, generation: Some(7) });

    server.fake.publish(8, Vec::new());
    assert_eq!(server.ask("GET", "/metrics").body, "\n");
    let reached = async { server.served.wait_for_generation(8).await };
    runtime().block_on(async { tokio::time::timeout(PATIENCE, reached).await }).expect("served");
    assert_eq!(server.served.get(), Served { count: 2, generation: Some(8) });
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let server = Server::start(|options| options.write_timeout = Duration::from_millis(200));
    server.fake.publish(7, large());
    let mut client = server.connect();
    client.send(REQUEST);
    assert!(client.receive(), "the head arrives");
    std::thread::sleep(Duration::from_millis(600));
    let received = client.rest().len();
    assert!(received < 32_000_000, "{received} bytes arrived");
    assert_eq!(server.served.get(), Served::default());
}

#[test]
fn the_longest_silent_connection_goes_when_there_are_too_many() {
    let server = Server::start(|options| options.connections_max = 2);
    let mut idle = server.connect();
    idle.send(REQUEST);
    assert_eq!(idle.answer(false).status, 200);
    let mut newer = server.connect();
    newer.send(REQUEST);
    assert_eq!(newer.answer(false).status, 200);
    assert_eq!(server.ask("GET", "/metrics").status, 200);
    assert_eq!(idle.rest(), b"", "the one that idled for longest");
    newer.send(REQUEST);
    assert_eq!(newer.answer(false).status, 200);
}

#[test]
fn connections_that_are_being_answered_stay() {
    let server = Server::start(|options| options.connections_max = 2);
    server.fake.hangs.store(true, Ordering::Relaxed);
    let mut busy: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    for client in &mut busy {
        client.send(REQUEST);
    }
    std::thread::sleep(Duration::from_millis(100));
    let mut third = server.connect();
    assert_eq!(third.rest(), b"", "closed at once");
    server.fake.hangs.store(false, Ordering::Relaxed);
    for client in &mut busy {
        assert_eq!(client.answer(false).status, 200);
    }
}

#[test]
fn shutdown_lets_requests_end_and_closes_the_rest() {
    let mut server = Server::start(|_| {});
    let mut idle = server.connect();
    idle.send(REQUEST);
    assert_eq!(idle.answer(false).status, 200);
    let mut unused = server.connect();
    server.fake.hangs.store(true, Ordering::Relaxed);
    let mut busy = server.connect();
    busy.send(REQUEST);
    std::thread::sleep(Duration::from_millis(50));
    server.begin_stop();
    assert_eq!(idle.rest(), b"");
    assert_eq!(unused.rest(), b"");
    let start = Instant::now();
    while TcpStream::connect(server.address).is_ok() {
        assert!(start.elapsed() < PATIENCE, "the listener is still open");
        std::thread::sleep(Duration::from_millis(10));
    }
    server.fake.hangs.store(false, Ordering::Relaxed);
    assert_eq!(busy.answer(false).status, 200);
    assert_eq!(busy.rest(), b"");
    server.join();
    assert_eq!(server.served.get(), Served { count: 2, generation: Some(1) });
}

#[test]
fn shutdown_does_not_wait_for_ever() {
    let mut server = Server::start(|options| {
        options.shutdown_grace = Duration::from_millis(100);
        options.scrape_timeout = PATIENCE;
    });
    server.fake.hangs.store(true, Ordering::Relaxed);
    let mut busy = server.connect();
    busy.send(REQUEST);
    std::thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    server.begin_stop();
    server.join();
    assert!(start.elapsed() < PATIENCE / 2);
    assert_eq!(busy.rest(), b"");
}

#[test]
fn every_address_that_cannot_be_bound_is_named() {
    runtime().block_on(async {
        let any = ListenAddress::One(([127, 0, 0, 1], 0).into());
        let listeners = bind(&[any.clone(), any.clone()]).await.expect("free ports");
        let taken = |i: usize| ListenAddress::One(address(&listeners[i]));
        let error = bind(&[taken(0), any.clone(), taken(1)]).await.expect_err("taken");
        assert_eq!(error.failures.len(), 2);
        assert!(error.to_string().contains(&taken(1).to_string()), "{error}");
        let all = bind(&[ListenAddress::AllInterfaces { port: 0 }]).await.expect("free ports");
        assert!(address(&all[0]).ip().is_unspecified());
    });
}
