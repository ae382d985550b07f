//! What threads may do at the same moment, and what must come of it.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use ringmeter::{Counter, Gauge, Producer};

/// Statics for one round each, made at run time and kept for ever.
fn fresh_gauge(round: u32) -> &'static Gauge {
    let name = Box::leak(format!("race_gauge_{round}").into_boxed_str());
    Box::leak(Box::new(Gauge::new(name, "A gauge.")))
}

fn fresh_counter(round: u32) -> &'static Counter {
    let name = Box::leak(format!("race_{round}_total").into_boxed_str());
    Box::leak(Box::new(Counter::new(name, "A counter.")))
}

/// Two threads bind the same static, one to its own producer and one to the process-wide one. It
/// may become either's; it must never become half of each, which would write into memory that is
/// nobody's.
#[test]
fn a_static_is_bound_once_and_whole() {
    let other = Producer::builder().service("other").build();
    // Another number of series first, so that the two producers' cells lie elsewhere.
    for number in 0..3000_u32 {
        let _ = other.gauge((format!("filler_{number}"), "A filler."));
    }
    for round in 0..300 {
        let (gauge, counter) = (fresh_gauge(round), fresh_counter(round));
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                gauge.set(1.0);
                counter.inc();
            });
            scope.spawn(|| {
                barrier.wait();
                let _ = gauge.register_in(&other);
                let _ = counter.register_in(&other);
                gauge.set(2.0);
                counter.inc();
            });
        });
        gauge.add(1.0);
        counter.inc();
    }
}

/// One thread's registration of a name fails while another's succeeds.
#[test]
fn a_failed_registration_does_not_spoil_a_successful_one() {
    let other = Producer::builder().service("third").build();
    Producer::global().counter(("race_taken", "Another kind.")).expect("register");
    for _ in 0..300 {
        let gauge: &'static Gauge = Box::leak(Box::new(Gauge::new("race_taken", "A gauge.")));
        let started = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                started.store(true, Ordering::Relaxed);
                gauge.set(1.0);
            });
            scope.spawn(|| {
                while !started.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                let _ = gauge.register_in(&other);
                gauge.set(2.0);
            });
        });
        gauge.set(3.0);
    }
}
