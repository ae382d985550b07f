//! Keys of hash maps, for a process that must not be ended: those of the standard library panic
//! where the system refuses random numbers, by a filter of system calls for example.

use core::hash::{BuildHasher, Hasher};
use std::hash::DefaultHasher;

/// Secret keys, so that nobody who chooses label values can make them collide.
#[derive(Clone)]
pub(crate) struct Keys([u64; 2]);

impl Default for Keys {
    fn default() -> Self {
        Self(random().unwrap_or_else(guessable))
    }
}

impl BuildHasher for Keys {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        self.0.iter().for_each(|key| hasher.write_u64(*key));
        hasher
    }
}

#[cfg(target_os = "linux")]
fn random() -> Option<[u64; 2]> {
    crate::os::random_id().map(bytemuck::cast)
}

#[cfg(not(target_os = "linux"))]
fn random() -> Option<[u64; 2]> {
    None
}

/// Where the system gives no random bytes: what an outsider does not see.
fn guessable() -> [u64; 2] {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let place = 0_u64;
    [u64::from(since.map_or(0, |at| at.subsec_nanos())), core::ptr::from_ref(&place).addr() as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_set_of_keys_hashes_alike_and_two_do_not() {
        let (one, two) = (Keys::default(), Keys::default());
        assert_eq!(one.hash_one("label"), one.clone().hash_one("label"));
        assert_ne!(one.hash_one("label"), two.hash_one("label"));
        assert_ne!(one.hash_one("label"), one.hash_one("table"));
    }
}
