//! Clients that mean harm: slow ones, too many of them, bad logins, nonsense.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ringmeter_tests::agent::free_address;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::guarded::{Guarded, SECRET_HASH, curl};
use ringmeter_tests::process::binary;
use ringmeter_tests::worker::Worker;

const SLOW_CLIENTS: u64 = 2_000;
const BAD_LOGINS_PER_SECOND: u64 = 1_000;
const ATTACK: Duration = Duration::from_secs(8);

/// What an agent may take under attack: 256 connections at 64 KiB are 16 MiB, and the rest of it
/// takes less than that.
const MEMORY_MAX_BYTES: u64 = 64 << 20;

/// A request whose head never ends, a byte at a time; how long until the agent had enough.
fn patience_of(address: SocketAddr) -> Duration {
    let mut stream = TcpStream::connect(address).expect("connect");
    let begin = Instant::now();
    for byte in b"GET /metrics HTTP/1.1\r\nHost: ".iter().chain(std::iter::repeat(&b'a')) {
        let alive = Duration::from_millis(250);
        stream.set_read_timeout(Some(alive)).expect("above zero");
        let is_over = match stream.read(&mut [0]) {
            Ok(length) => length == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        if is_over || stream.write_all(&[*byte]).is_err() {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "still open");
    }
    begin.elapsed()
}

/// Counts of what the attackers saw.
#[derive(Default)]
struct Seen {
    is_over: AtomicBool,
    connections: AtomicU64,
    closed: AtomicU64,
    logins: AtomicU64,
    refused: AtomicU64,
    put_off: AtomicU64,
}

impl Seen {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// Keeps so many connections, each with a byte a second; those that were closed are opened anew.
fn hold_slow_connections(address: SocketAddr, seen: &Seen) {
    let mut held: Vec<Option<TcpStream>> = (0..SLOW_CLIENTS).map(|_| None).collect();
    while !seen.is_over() {
        let round = Instant::now();
        for place in &mut held {
            if let Some(stream) = place {
                let is_alive = stream.write(b"a").is_ok()
                    && !matches!(stream.read(&mut [0; 64]), Ok(0))
                    && !matches!(stream.take_error(), Ok(Some(_)));
                if !is_alive {
                    seen.closed.fetch_add(1, Ordering::Relaxed);
                    *place = None;
                }
            }
            if place.is_none()
                && let Ok(mut stream) = TcpStream::connect(address)
            {
                stream.set_nonblocking(true).expect("a socket");
                seen.connections.fetch_add(1, Ordering::Relaxed);
                // No faster than the listen queue takes them: full, it would slow the attack down.
                std::thread::sleep(Duration::from_micros(200));
                *place = stream.write(b"GET / HTTP/1.1\r\nSlow: ").is_ok().then_some(stream);
            }
        }
        while round.elapsed() < Duration::from_secs(1) && !seen.is_over() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Logs in with another wrong password each time, at a steady rate together with its like.
fn log_in_badly(address: SocketAddr, begin: Instant, seen: &Seen) {
    let mut connection = None;
    while !seen.is_over() {
        let number = seen.logins.fetch_add(1, Ordering::Relaxed);
        let due = begin + Duration::from_micros(number * 1_000_000 / BAD_LOGINS_PER_SECOND);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => match TcpStream::connect(address) {
                Ok(stream) => stream,
                Err(_) => continue,
            },
        };
        // "bob:" and a number, in base64 by `curl`'s own rules.
        let credentials = base64(format!("bob:{number}").as_bytes());
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {credentials}\r\n\r\n"
        );
        let mut answer = [0; 1024];
        if stream.write_all(request.as_bytes()).is_err() {
            continue;
        }
        match stream.read(&mut answer) {
            Ok(length) if answer[..length].starts_with(b"HTTP/1.1 401") => {
                seen.refused.fetch_add(1, Ordering::Relaxed);
                connection = Some(stream);
            }
            Ok(length) if answer[..length].starts_with(b"HTTP/1.1 503") => {
                seen.put_off.fetch_add(1, Ordering::Relaxed);
                connection = Some(stream);
            }
            _ => {}
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0; 3];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes([0, word[0], word[1], word[2]]);
        for place in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// One scrape on a connection of its own: how long it took, and what came.
fn scrape(address: SocketAddr) -> (Duration, String) {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("above zero");
    let credentials = base64(b"alice:secret");
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {credentials}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("ask");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    (begin.elapsed(), text)
}

fn raise_own_descriptor_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limits");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("raise");
    assert!(hard > SLOW_CLIENTS + 200, "needs {SLOW_CLIENTS} descriptors, has {hard}");
}

#[test]
fn scrapes_go_on_under_slow_connections_and_bad_logins() {
    raise_own_descriptor_limit();
    let (directory, calm_directory) = (Directory::new(), Directory::new());
    let file = directory.path().join("web.yml");
    std::fs::write(&file, format!("basic_auth_users: {{alice: {SECRET_HASH}}}\n")).expect("write");
    let file = file.to_str().expect("plain ASCII");
    let agent = Guarded::start(&directory, &["--web.config.file", file]);
    let calm = Guarded::start(&calm_directory, &[]);
    let mut worker = Worker::start(directory.path(), "wide --series 1000");
    worker.wait_until_done();
    assert!(scrape(agent.address()).1.starts_with("HTTP/1.1 200"));
    let before = agent.resident_bytes();

    let (seen, begin) = (Seen::default(), Instant::now());
    let (mut times, mut worst) = (Vec::new(), 0);
    let patience = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| patience_of(calm.address()));
        scope.spawn(|| hold_slow_connections(agent.address(), &seen));
        for _ in 0..12 {
            scope.spawn(|| log_in_badly(agent.address(), begin, &seen));
        }
        std::thread::sleep(Duration::from_secs(1));
        // A first login from elsewhere gets its turn, too.
        let elsewhere = ["--interface", "127.0.0.9", "--user", "alice:secret"];
        let first = agent.curl("http", "/metrics", &elsewhere);
        assert_eq!(first.status, 200, "{first:?}");
        while begin.elapsed() < ATTACK {
            let (time, text) = scrape(agent.address());
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            assert!(text.contains("worker_wide_total{number=\"999\"} 1\n"));
            times.push(time);
            worst = worst.max(agent.resident_bytes());
            assert_eq!(agent.health("/-/healthy").status, 200);
            std::thread::sleep(Duration::from_millis(20));
        }
        seen.is_over.store(true, Ordering::Relaxed);
        waiting.join().expect("the slow client ends")
    });
    times.sort_unstable();
    let rank = |percent: usize| times[percent * (times.len() - 1) / 100];
    let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{} scrapes: p50 {:?}, p99 {:?}, longest {:?} (goal for p99: 50 ms); memory {before} to \
         {worst} bytes; {} slow connections opened, {} closed on them; {} bad logins, {} answered \
         401, {} with 503; a slow head was closed after {patience:?}",
        times.len(),
        rank(50),
        rank(99),
        rank(100),
        load(&seen.connections),
        load(&seen.closed),
        load(&seen.logins),
        load(&seen.refused),
        load(&seen.put_off),
    );
    assert!(worst < MEMORY_MAX_BYTES, "{worst} bytes");
    assert!(load(&seen.connections) >= SLOW_CLIENTS && load(&seen.closed) > 0);
    assert!(load(&seen.refused) > 0 && load(&seen.put_off) > 0, "not all could be verified");
    assert!(patience >= Duration::from_secs(9), "closed too early: {patience:?}");
    let last = agent.curl("http", "/metrics", &["--user", "alice:secret"]).scrape();
    let turned_away =
        |reason| last.value(&format!("ringmeter_web_refused_total{{reason={reason:?}}}"));
    assert!(turned_away("connection_limit") > 0.0 && turned_away("logins_waiting") > 0.0);
    let slow = calm.curl("http", "/metrics", &[]).scrape();
    assert_eq!(slow.value("ringmeter_web_refused_total{reason=\"slow_request\"}"), 1.0);
    assert_eq!(worker.finish().code(), Some(0));
}

#[test]
fn readers_that_do_not_read_share_one_rendering() {
    let directory = Directory::new();
    let agent = Guarded::start(&directory, &[]);
    let mut worker = Worker::start(directory.path(), "wide --series 100000");
    worker.wait_until_done();
    // The first ones make what all later ones use again.
    let lengths = [(); 5].map(|()| agent.curl("http", "/metrics", &[]).text.len() as u64);
    let (length, before) = (lengths[4], agent.resident_bytes());
    let mut readers = Vec::new();
    for _ in 0..30 {
        let mut stream = TcpStream::connect(agent.address()).expect("connect");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").expect("ask");
        stream.read_exact(&mut [0; 15]).expect("the begin of the answer");
        readers.push(stream);
    }
    let after = agent.resident_bytes();
    println!("30 readers of {length} bytes that read nothing: memory {before} to {after} bytes");
    assert!(after.saturating_sub(before) < 6 * length, "a copy for each of them");
    let answer = agent.curl("http", "/metrics", &[]);
    assert!(matches!(answer.status, 200 | 503), "{answer:?}");
    drop(readers);
    assert_eq!(worker.finish().code(), Some(0));
}

#[test]
fn without_descriptors_the_agent_neither_spins_nor_dies() {
    let directory = Directory::new();
    let address = free_address();
    let mut command = Command::new("prlimit");
    command.arg("--nofile=48:48").arg(binary("ringmeter")).arg("agent");
    command.args(["--web.listen-address", &address.to_string()]);
    let agent = Guarded::start_command(command, address, &directory, &[]);
    let connect = || TcpStream::connect(address).expect("the kernel accepts");
    let held: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    let (ticks, begin) = (agent.processor_ticks(), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let share = (agent.processor_ticks() - ticks) as f64 / 100.0 / begin.elapsed().as_secs_f64();
    println!("processor while nothing can be accepted: {:.0} %", share * 100.0);
    assert!(share < 0.5, "{share} of a processor");
    let answer = agent.curl("http", "/metrics", &[]);
    assert_eq!(answer.status, 200, "silent connections make room: {answer:?}");
    assert!(agent.log().contains("cannot accept connections"), "{}", agent.log());
    let failed = answer.scrape().value("ringmeter_web_refused_total{reason=\"accept_failed\"}");
    assert!((1.0..1_000.0).contains(&failed), "{failed} failures");
    drop(held);
    assert_eq!(agent.health("/-/healthy").status, 200);
}

#[test]
fn nonsense_is_answered_with_4xx_and_closed() {
    let directory = Directory::new();
    let agent = Guarded::start(&directory, &[]);
    let long = "a".repeat(20_000);
    let many = "a: b\r\n".repeat(100);
    let cases = [
        ("\r\n\r\nGET\r\n\r\n".to_owned(), 400),
        ("GET /metrics HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), 400),
        ("GET /metrics HTTP/1.1\r\nContent-Length: x\r\n\r\n".to_owned(), 400),
        ("GET /metrics HTTP/9.9\r\n\r\n".to_owned(), 400),
        (format!("GET /metrics HTTP/1.1\r\nLong: {long}\r\n\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\n\r\n"), 431),
        (format!("GET /metrics HTTP/1.1\r\n{many}\r\n"), 431),
        ("PUT /metrics HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\nbody".to_owned(), 405),
        ("BREW /metrics HTTP/1.1\r\n\r\n".to_owned(), 405),
        ("GET /../etc/passwd HTTP/1.1\r\n\r\n".to_owned(), 404),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 0),
    ];
    for (request, expected) in cases {
        let mut stream = TcpStream::connect(agent.address()).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("above zero");
        // The agent may have had enough before it has taken everything.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).unwrap_or(0);
        let text = String::from_utf8_lossy(&answer[..length]);
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        assert_eq!(status, expected, "{:.60}: {text:.200}", request.escape_debug().to_string());
        if matches!(expected, 0 | 400 | 431) {
            while !matches!(stream.read(&mut answer), Ok(0) | Err(_)) {}
        }
    }
    let body = vec!["--request", "GET", "--data", "a body"];
    assert_eq!(agent.curl("http", "/metrics", &body).status, 200, "a body is not looked at");
    let h2 = ["--http2-prior-knowledge"];
    assert!(!agent.curl("http", "/metrics", &h2).is_answered, "HTTP/1.1 only");
    assert_eq!(curl(&format!("http://{}/metrics", agent.address()), &["--http1.0"]).status, 200);
}
