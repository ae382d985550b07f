//! A hash of keys for the index: three multiplications, where the standard library's hash of any
//! bytes takes twenty nanoseconds.

use std::hash::{BuildHasher, Hasher, RandomState};

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Makes hashers that start from a number which nobody outside knows: producers choose slices.
#[derive(Debug, Clone)]
pub(super) struct ByKey {
    seed: u64,
}

impl ByKey {
    /// With a random seed.
    pub(super) fn new() -> Self {
        Self { seed: RandomState::new().hash_one(0) }
    }
}

impl BuildHasher for ByKey {
    type Hasher = KeyHasher;

    #[inline]
    fn build_hasher(&self) -> KeyHasher {
        KeyHasher { state: self.seed }
    }
}

/// Takes in the three numbers of a key.
#[derive(Debug)]
pub(super) struct KeyHasher {
    state: u64,
}

impl Hasher for KeyHasher {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the halves of the product")]
    fn write_u32(&mut self, number: u32) {
        // Both halves of the product: every bit of the state counts in every bit that is used.
        let product = u128::from(self.state ^ u64::from(number)) * u128::from(FACTOR);
        self.state = (product as u64) ^ ((product >> 64) as u64).rotate_left(32);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.state
    }
}
