//! Attacks by lengths: of records with exemplars, of their labels, and of cells in lanes.

use std::mem::offset_of;

use ringmeter_layout::exemplar::RECORD_SLOTS_MAX;
use ringmeter_layout::naming::{Kind, SegmentName};
use ringmeter_layout::record::{Operation, pack_long};
use ringmeter_layout::segment::{RawControl, control_offset_bytes};

use crate::site::{Site, family};

/// The most cells that a lane may have.
const LANE_CELLS_MAX: u32 = 8192;
const CAPACITY: u32 = 1024;

/// Records of several slots that lie about how many, and about the lengths of their labels; tails
/// stand in the middle of some.
pub(crate) fn lying_exemplars(site: &mut Site) {
    let name = site.name();
    let image = site.image(name, CAPACITY);
    let ring = image.word(control_offset_bytes(0) + 16).load_relaxed();
    let planted = site.plant(name, &image.bytes(), true);
    let operations = [
        Operation::AddU64Exemplar,
        Operation::AddF64Exemplar,
        Operation::ObserveF64Exemplar,
        Operation::ObserveF64,
    ];
    let mut tail = 2;
    while site.goes_on() {
        for _ in 0..100 {
            let at = ring + site.random.below(CAPACITY as usize) as u64 * 16;
            let operation = operations[site.random.below(operations.len())];
            let absurd = site.random.below(8) == 0;
            let slots = if absurd { site.random.below(256) } else { 2 + site.random.below(33) };
            let slots = u8::try_from(slots).expect("a byte");
            let series = u32::try_from(site.random.below(5)).expect("small");
            planted.put(at, pack_long(series, operation, slots));
            planted.put(at + 8, f64::to_bits(0.75));
            // A time, and the head of a label: the length of its name, and that of its value.
            planted.put(at + 16, 0);
            planted.put(at + 24, site.random.next() >> (site.random.below(8) * 8));
        }
        // Steps that are shorter than the longest record.
        tail += site.random.below(RECORD_SLOTS_MAX * 10) as u64;
        tail = tail.min(site.acked(&planted, 0) + u64::from(CAPACITY));
        planted.set_tail(0, tail);
    }
}

/// Lanes with as many cells as there may be, of which the last ones have no counter; and headers
/// with more cells than that, or an odd number.
pub(crate) fn lane_cells(site: &mut Site) {
    let mut planted = Vec::new();
    for cells in [LANE_CELLS_MAX, LANE_CELLS_MAX + 8, LANE_CELLS_MAX - 1, u32::MAX] {
        let name = site.name();
        let mut bytes = wide(site, name, 60, 16);
        bytes[184..188].copy_from_slice(&cells.to_le_bytes());
        planted.push((site.plant(name, &bytes, true), cells));
    }
    while site.goes_on() {
        for (own, cells) in &planted {
            let lane = u32::try_from(site.random.below(16)).expect("small");
            let mut at = [0; 8];
            let line =
                control_offset_bytes(lane) + offset_of!(RawControl, cells_offset_bytes) as u64;
            let read = std::os::unix::fs::FileExt::read_exact_at(&own.file, &mut at, line);
            let cell = site.random.below(LANE_CELLS_MAX.min(*cells) as usize) as u64;
            if read.is_ok() {
                own.put(u64::from_le_bytes(at) + cell * 8, site.random.next());
            }
        }
    }
}

/// As many counters in as many lanes: 4 MiB of cells, which are read for every scrape.
pub(crate) fn wide_lanes(site: &mut Site) {
    let name = site.name();
    let bytes = wide(site, name, LANE_CELLS_MAX, 64);
    let planted = site.plant(name, &bytes, true);
    let line = usize::try_from(control_offset_bytes(0)).expect("small")
        + offset_of!(RawControl, cells_offset_bytes);
    let cells = u64::from_le_bytes(bytes[line..line + 8].try_into().expect("a word"));
    let mut count = 0;
    while site.goes_on() {
        count += 1;
        for _ in 0..200 {
            planted.put(cells + site.random.below(LANE_CELLS_MAX as usize) as u64 * 8, count);
        }
    }
}

/// A segment whose lanes have the most cells.
fn wide(site: &mut Site, name: SegmentName, counters: u32, lanes: u32) -> Vec<u8> {
    let mut image = site.bare_with(name, 64, LANE_CELLS_MAX);
    let own = image.family(family("hostile_wide_total", Kind::Counter, &["l"]));
    for number in 0..counters {
        image.series(own, &[&number.to_string()], false);
    }
    for _ in 0..lanes {
        image.add_lane();
    }
    image.bytes()
}
