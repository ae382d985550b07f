//! Queues of records of 16 bytes, as an application might build its own way to an aggregator.
//! They hold as many as a lane, and are emptied between two stretches.

use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_queue::ArrayQueue;
use ringmeter_layout::lane::CAPACITY_DEFAULT_RECORDS;

use crate::error::Outcome;
use crate::measure::Subject;
use crate::setup::{Setup, count};
use crate::work::dense;

type Record = (u64, f64);

/// rtrb: one thread puts in, one takes out.
#[must_use]
pub fn rtrb(setup: &Setup) -> Subject {
    let (producer, consumer) = rtrb::RingBuffer::<Record>::new(CAPACITY_DEFAULT_RECORDS as usize);
    let producer = Mutex::new(producer);
    let consumer = Arc::new(Mutex::new((consumer, 0.0)));
    let (drained, shown) = (Arc::clone(&consumer), consumer);
    let mut subject = setup.peer(
        "rtrb push",
        move |_, calls| {
            let mut producer = producer.lock().unwrap_or_else(PoisonError::into_inner);
            dense!(calls, call => producer.push((call, 1.0)));
        },
        move || {
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            count(take(&mut shown))
        },
    );
    subject.pause = Box::new(move || {
        take(&mut drained.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    });
    subject
}

fn take((consumer, sum): &mut (rtrb::Consumer<Record>, f64)) -> f64 {
    while let Ok((_, value)) = consumer.pop() {
        *sum += value;
    }
    *sum
}

/// crossbeam's `ArrayQueue`: any thread puts in, any takes out.
#[must_use]
pub fn array_queue(setup: &Setup) -> Subject {
    let queue = Arc::new(ArrayQueue::<Record>::new(CAPACITY_DEFAULT_RECORDS as usize));
    let sum = Arc::new(Mutex::new(0.0));
    let take = {
        let (queue, sum) = (Arc::clone(&queue), Arc::clone(&sum));
        move || {
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some((_, value)) = queue.pop() {
                *sum += value;
            }
            *sum
        }
    };
    let shown = take.clone();
    let mut subject = setup.peer(
        "crossbeam ArrayQueue push",
        move |_, calls| {
            dense!(calls, call => queue.push((call, 1.0)));
        },
        move || count(shown()),
    );
    subject.pause = Box::new(move || -> Outcome<()> {
        take();
        Ok(())
    });
    subject
}
