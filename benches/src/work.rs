//! What calls do besides recording: the loop around them, the values, and the work in between.

use std::sync::Arc;

use crate::measure::Stretches;
use crate::stand_in::Total;
use crate::statistics::Random;

/// A dense loop. Nothing is kept in registers from one call to the next, as in a program that
/// does something else in between; the fence is for the compiler and costs no instruction.
/// With `context`, there is work between two calls.
macro_rules! dense {
    ($calls:expr, $call:ident => $body:expr) => {
        for $call in 0..$calls {
            let _ = $body;
            core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
        }
    };
    ($context:expr, $calls:expr, $call:ident => $body:expr) => {
        for $call in 0..$calls {
            if $context {
                $crate::work::some_work($call);
            }
            let _ = $body;
            core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
        }
    };
}
pub(crate) use dense;

/// Words that the work reads, 4 KiB.
const WORDS: usize = 512;
/// Steps of the work: about 40 ns.
const STEPS: u32 = 30;

static TABLE: [u64; WORDS] = table();

const fn table() -> [u64; WORDS] {
    let mut table = [0; WORDS];
    let mut word = 1_u64;
    let mut index = 0;
    while index < WORDS {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        table[index] = word;
        index += 1;
    }
    table
}

/// About 40 ns of what programs do: look something up by a hash, and hash what was found. Each
/// step waits for the one before, so the processor has room for other instructions beside it.
#[inline(always)]
pub fn some_work(call: u64) {
    let mut hash = std::hint::black_box(call);
    for _ in 0..STEPS {
        hash ^= TABLE[(hash >> 32) as usize & (WORDS - 1)];
        hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    std::hint::black_box(hash);
}

/// A power of two, so that the index of the next value is a mask.
const VALUES: usize = 1024;

/// Values as latencies are: their logarithms even from 1 ms to 16 s, over all buckets. Multiples
/// of 2^-10, so that sums are exact in any order.
pub struct Values([f64; VALUES]);

impl Values {
    /// Draws them.
    #[must_use]
    pub fn new(seed: u64) -> Arc<Self> {
        let mut random = Random::new(seed);
        Arc::new(Self(std::array::from_fn(|_| {
            let exponent = random.below(14_000) as f64 / 1000.0;
            exponent.exp2().round() / 1024.0
        })))
    }

    /// The value of a call.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "masked")]
    pub fn of(&self, call: u64) -> f64 {
        self.0[call as usize & (VALUES - 1)]
    }

    /// The sum of the values of so many calls, from the first on.
    fn sum(&self, calls: u64) -> f64 {
        (0..calls).map(|call| self.of(call)).sum()
    }

    /// What a total must be when every call recorded its value.
    pub fn expected(self: &Arc<Self>) -> Box<dyn Fn(Total, Stretches) -> Total + Send + Sync> {
        let values = Arc::clone(self);
        Box::new(move |before, stretches| Total {
            count: before.count + stretches.total_calls() as f64,
            sum: before.sum + values.sum(stretches.calls) * stretches.count as f64,
        })
    }

    /// The same, where a summary's or a histogram's sum cannot be read.
    pub fn counted() -> Box<dyn Fn(Total, Stretches) -> Total + Send + Sync> {
        Box::new(|before, stretches| {
            let count = before.count + stretches.total_calls() as f64;
            Total { count, sum: count }
        })
    }
}
