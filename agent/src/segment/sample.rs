//! A segment for tests.

use ringmeter_layout::lane::Capacity;
use ringmeter_layout::segment::{Birth, HEADER_SIZE_BYTES, RawHeader, version_word};

/// The header page of a segment with an id of `number`s, and nothing behind it: what a process
/// leaves that has made its segment and no more.
pub(crate) fn header_page(service: &str, number: u8) -> Vec<u8> {
    let header = RawHeader::new(&Birth {
        id: [number; 16],
        service,
        created_unix_ns: 0,
        size_limit_bytes: 1 << 20,
        process_id: 1,
        lane_capacity: Capacity::new(64).unwrap(),
        spill_schema: 2,
        lane_cells: 8,
    });
    let mut page = vec![0; HEADER_SIZE_BYTES as usize];
    let head = bytemuck::bytes_of(&header);
    page[..head.len()].copy_from_slice(head);
    page[8..16].copy_from_slice(&version_word().to_le_bytes());
    page
}
