//! The process-wide producer is one, however many threads ask for it first, or whatever a test
//! would have liked.

use std::sync::Barrier;

use ringmeter::{Counter, Producer};

static COUNT: Counter = Counter::new("test_global_total", "Increments.");

#[test]
fn threads_that_ask_at_once_get_the_same_producer() {
    let barrier = Barrier::new(8);
    let handles: Vec<String> = std::thread::scope(|scope| {
        let ask = || {
            barrier.wait();
            let producer = Producer::global();
            COUNT.inc();
            format!("{producer:?} {}", producer.service())
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    assert!(handles.windows(2).all(|pair| pair[0] == pair[1]), "{handles:?}");
}

#[cfg(feature = "testing")]
#[test]
fn a_test_that_installs_its_producer_too_late_is_told() {
    COUNT.inc();
    let payload = std::panic::catch_unwind(ringmeter::testing::install).expect_err("a panic");
    let text = payload.downcast_ref::<String>().expect("a text");
    assert!(text.contains("too late") && text.contains("call it first"), "{text}");
}
