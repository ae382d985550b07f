//! Label values as words, for looking series up.
//!
//! Most label values are short: a method, a status, a region. As words they are compared and
//! hashed without a loop or a call, which is most of what a lookup costs.

/// Longest value that its word holds entirely, bytes.
const SHORT_LENGTH_MAX_BYTES: usize = 7;
/// Set in the words of longer values: these words are hashes.
const LONG: u64 = 1 << 63;

/// A label value as a word: its bytes and, in the highest byte, its length; so equal words are
/// equal values. Of a value longer than seven bytes it is a hash, and [`is_long`].
#[inline(always)]
pub(crate) fn word(value: &str) -> u64 {
    let bytes = value.as_bytes();
    let length = bytes.len();
    if length > SHORT_LENGTH_MAX_BYTES {
        return long_word(bytes);
    }
    let content = if let [a, b, c, d, ..] = bytes {
        // The last four bytes, shifted to where they stand: what overlaps is the same.
        let last = bytes.last_chunk().map_or(0, |last| u32::from_le_bytes(*last));
        let first = u32::from_le_bytes([*a, *b, *c, *d]);
        u64::from(first) | (u64::from(last) << (8 * (length - 4)))
    } else if let ([first, ..], [.., last]) = (bytes, bytes) {
        // One to three bytes: the first, the middle and the last, some of them twice.
        let middle = bytes[length / 2];
        u64::from(*first) | (u64::from(middle) << 8) | (u64::from(*last) << 16)
    } else {
        0
    };
    content | ((length as u64) << 56)
}

/// Whether words, joined by *or*, are equal for values that may differ.
#[inline(always)]
pub(crate) const fn is_long(words: u64) -> bool {
    words & LONG != 0
}

#[inline(never)]
fn long_word(bytes: &[u8]) -> u64 {
    let start = bytes.len() as u64;
    let hash = bytes.chunks(8).fold(start, |hash, chunk| {
        let mut eight = [0; 8];
        eight[..chunk.len()].copy_from_slice(chunk);
        mix(hash, u64::from_le_bytes(eight))
    });
    hash | LONG
}

/// Adds a word to a hash, whose best bits are the high ones.
///
/// Source: the hash of the Rust compiler, rustc-hash 1. Quick, and safe against nothing but
/// chance: who collides on purpose makes a lookup slow, not wrong.
#[inline(always)]
pub(crate) const fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn equal_words_of_short_values_are_equal_values() {
        let mut known = HashMap::new();
        let letters = ["\0", "a", "b", "\u{7f}"];
        let mut values = vec![String::new()];
        for _ in 0..SHORT_LENGTH_MAX_BYTES {
            let longer: Vec<String> = values
                .iter()
                .flat_map(|value| letters.iter().map(move |letter| format!("{value}{letter}")))
                .collect();
            for value in longer.iter().chain([&String::new()]) {
                let word = word(value);
                assert!(!is_long(word));
                assert_eq!(known.entry(word).or_insert_with(|| value.clone()), value);
            }
            values = longer;
        }
    }

    #[test]
    fn the_bytes_of_a_word_are_those_of_the_value() {
        assert_eq!(word("DELETE"), u64::from_le_bytes(*b"DELETE\0\x06"));
        assert_eq!(word("seventy"), u64::from_le_bytes(*b"seventy\x07"));
        assert_eq!(word("four"), u64::from_le_bytes(*b"four\0\0\0\x04"));
    }

    #[test]
    fn longer_values_are_marked() {
        assert!(is_long(word("eu-west-1")));
        assert_ne!(word("eu-west-1"), word("eu-west-2"));
        assert_ne!(word("12345678"), word("12345678\0"));
        assert!(is_long(word("us") | word("eu-west-1")));
    }
}
