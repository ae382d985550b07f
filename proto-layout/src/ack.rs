//! The ack file: what the agent tells an app. One file per segment, written by the agent only.
//!
//! ```text
//! offset size field          written by  read by
//!      0    8 magic          agent       agent     "RINGACK\0"
//!      8    2 version_major  agent       agent     written last when the file is made
//!     10    2 version_minor  agent       agent
//!     12    4 reserved       agent       -         zero
//!     16   16 segment_id     agent       agent     the segment that this acknowledges
//!     32   16 ledger_id      agent       agent     the ledger behind the acks
//!     48    8 state          agent       app       1 active, 2 final: all was taken
//!     56   72 reserved       agent       -         zero
//!    128  8·n positions      agent       app       per lane, the position committed
//! ```
//!
//! The app `pread`s the eight bytes of its lane when its cached copy says "full", and the state
//! when it sweeps the files of processes that are gone. It never maps this file: an agent that
//! truncates or rewrites it can stop acknowledging, and nothing worse. A missing file or a short
//! read means position 0 and state "active".

use bytemuck::{Pod, Zeroable};

use crate::segment::LANES_MAX;

/// First bytes of an ack file.
pub const MAGIC: [u8; 8] = *b"RINGACK\0";
/// Layout version that this crate writes.
pub const VERSION_MAJOR: u16 = 1;
/// Minor layout version that this crate writes.
pub const VERSION_MINOR: u16 = 0;
/// The segment is being drained.
pub const STATE_ACTIVE: u64 = 1;
/// Everything in the segment has been taken: its file may be removed.
pub const STATE_FINAL: u64 = 2;
/// Offset of the id of the ledger behind the acks; zero until the first commit.
pub const LEDGER_ID_OFFSET_BYTES: u64 = 32;
/// Offset of the state word.
pub const STATE_OFFSET_BYTES: u64 = 48;
/// Offset of the first lane's position.
pub const POSITIONS_OFFSET_BYTES: u64 = 128;
/// Size of the file with every lane present: 128 B + 256 × 8 B.
pub const SIZE_MAX_BYTES: u64 = POSITIONS_OFFSET_BYTES + LANES_MAX as u64 * 8;

/// Offset of the position of `lane` in the ack file.
#[inline]
#[must_use]
pub const fn position_offset_bytes(lane: u32) -> u64 {
    POSITIONS_OFFSET_BYTES + lane as u64 * 8
}

/// The fixed head of an ack file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct AckHeader {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION_MAJOR`].
    pub version_major: u16,
    /// [`VERSION_MINOR`].
    pub version_minor: u16,
    /// Zero.
    pub reserved_0: u32,
    /// Id of the segment that this file acknowledges.
    pub segment_id: [u8; 16],
    /// Id of the ledger that the acks rest on; zero while there is none.
    pub ledger_id: [u8; 16],
    /// [`STATE_ACTIVE`] or [`STATE_FINAL`].
    pub state: u64,
    /// Zero.
    pub reserved_1: [u64; 9],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<AckHeader>() as u64 == POSITIONS_OFFSET_BYTES);
    assert!(offset_of!(AckHeader, version_major) == 8);
    assert!(offset_of!(AckHeader, version_minor) == 10);
    assert!(offset_of!(AckHeader, segment_id) == 16);
    assert!(offset_of!(AckHeader, ledger_id) as u64 == LEDGER_ID_OFFSET_BYTES);
    assert!(offset_of!(AckHeader, state) as u64 == STATE_OFFSET_BYTES);
    assert!(offset_of!(AckHeader, reserved_1) == 56);
};

impl AckHeader {
    /// The head of a new ack file for a segment.
    #[must_use]
    pub const fn new(segment_id: [u8; 16], ledger_id: [u8; 16]) -> Self {
        Self {
            magic: MAGIC,
            version_major: VERSION_MAJOR,
            version_minor: VERSION_MINOR,
            reserved_0: 0,
            segment_id,
            ledger_id,
            state: STATE_ACTIVE,
            reserved_1: [0; 9],
        }
    }

    /// Reads the head of an ack file; `None` when it is not one of this version for `segment_id`.
    #[must_use]
    pub fn parse(bytes: &[u8], segment_id: &[u8; 16]) -> Option<Self> {
        let header: Self = bytemuck::pod_read_unaligned(bytes.get(..size_of::<Self>())?);
        let reserved_is_zero = header.reserved_0 == 0 && header.reserved_1 == [0; 9];
        let ours = header.magic == MAGIC
            && header.version_major == VERSION_MAJOR
            && header.segment_id == *segment_id
            && (header.version_minor > VERSION_MINOR || reserved_is_zero)
            && matches!(header.state, STATE_ACTIVE | STATE_FINAL);
        ours.then_some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_file_is_accepted_for_its_own_segment_only() {
        let header = AckHeader::new([7; 16], [9; 16]);
        let bytes = bytemuck::bytes_of(&header);
        assert_eq!(AckHeader::parse(bytes, &[7; 16]), Some(header));
        assert_eq!(AckHeader::parse(bytes, &[8; 16]), None, "another segment's");
        assert_eq!(AckHeader::parse(&bytes[..127], &[7; 16]), None, "short");
        let mut foreign = bytes.to_vec();
        foreign[0] ^= 1;
        assert_eq!(AckHeader::parse(&foreign, &[7; 16]), None, "no magic");
    }
}
