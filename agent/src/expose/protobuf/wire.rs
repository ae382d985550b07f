//! The protobuf wire format, as far as it is needed (protobuf.dev, "Encoding").

const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const DELIMITED: u32 = 2;

#[expect(clippy::cast_possible_truncation, reason = "seven bits are masked out")]
pub(super) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn push_tag(out: &mut Vec<u8>, field: u32, wire_type: u32) {
    push_varint(out, u64::from(field << 3 | wire_type));
}

pub(super) fn push_uint(out: &mut Vec<u8>, field: u32, value: u64) {
    push_tag(out, field, VARINT);
    push_varint(out, value);
}

/// Small magnitudes are short, whatever their sign.
#[expect(clippy::cast_sign_loss, reason = "the sign is in the lowest bit afterwards")]
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn push_sint(out: &mut Vec<u8>, field: u32, value: i64) {
    push_uint(out, field, zigzag(value));
}

pub(super) fn push_double(out: &mut Vec<u8>, field: u32, value: f64) {
    push_tag(out, field, FIXED_64);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn push_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    push_tag(out, field, DELIMITED);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A message within another one. Its length is written in front of it once it is known: room for
/// one byte is left, which nearly always is enough.
pub(super) fn push_message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    push_tag(out, field, DELIMITED);
    let at = out.len();
    out.push(0);
    write(out);
    let length = (out.len() - at - 1) as u64;
    let mut prefix = Vec::new();
    if length < 0x80 {
        if let (Some(byte), Ok(length)) = (out.get_mut(at), u8::try_from(length)) {
            *byte = length;
        }
        return;
    }
    push_varint(&mut prefix, length);
    drop(out.splice(at..=at, prefix));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_specification_has_it() {
        let mut out = Vec::new();
        push_varint(&mut out, 150);
        assert_eq!(out, [0x96, 0x01]);
        let signed = [(0, 0), (-1, 1), (1, 2), (-2, 3), (0x7fff_ffff, 0xffff_fffe)];
        for (value, expected) in signed {
            assert_eq!(zigzag(value), expected);
        }
        assert_eq!(zigzag(i64::MIN), u64::MAX);
        out.clear();
        push_bytes(&mut out, 2, b"testing");
        assert_eq!(out, [0x12, 7, b't', b'e', b's', b't', b'i', b'n', b'g']);
    }

    #[test]
    fn long_messages_have_long_lengths() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 100_000] {
            let (mut out, mut expected) = (vec![7], vec![7]);
            push_message(&mut out, 3, |out| out.extend(std::iter::repeat_n(b'x', length)));
            push_bytes(&mut expected, 3, &vec![b'x'; length]);
            assert!(out == expected, "{length}");
        }
    }
}
