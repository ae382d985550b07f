//! What a producer can do to the agent through the files that it may write.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;

use nix::fcntl::{FallocateFlags, FcntlArg, fallocate, fcntl};
use ringmeter_layout::definition::SeriesDefinition;
use ringmeter_layout::naming::Kind;
use ringmeter_layout::record::{Operation, pack};
use ringmeter_layout::segment::{
    ChunkKind, LIVE_OFFSET_BYTES, chunk_entry_offset_bytes, control_offset_bytes,
};

use crate::lengths::{lane_cells, lying_exemplars, wide_lanes};
use crate::site::{Planted, Site, family};

/// An attack goes on until its time is over.
pub(crate) type Attack = fn(&mut Site);

/// Every attack but that on cardinality, which leaves series behind.
pub(crate) const ATTACKS: &[(&str, Attack)] = &[
    ("tail-jumps", tail_jumps),
    ("tail-goes-back", tail_goes_back),
    ("rewritten-records", rewritten_records),
    ("unknown-records", unknown_records),
    ("absurd-geometry", absurd_geometry),
    ("edited-header", edited_header),
    ("truncation", truncation),
    ("sparse-growth", sparse_growth),
    ("hole-punching", hole_punching),
    ("fast-appending", fast_appending),
    ("spilling", spilling),
    ("nasty-labels", nasty_labels),
    ("reserved-names", reserved_names),
    ("conflicting-types", conflicting_types),
    ("crafted-hashes", crafted_hashes),
    ("changed-definitions", changed_definitions),
    ("alien-headers", alien_headers),
    ("lying-counts", lying_counts),
    ("directory-flood", directory_flood),
    ("no-files", no_files),
    ("lease", lease),
    ("locks", locks),
    ("inode-swap", inode_swap),
    ("crash-loop", crash_loop),
    ("lying-exemplars", lying_exemplars),
    ("lane-cells", lane_cells),
];

/// Bombs: attacks that make as much as they can.
pub(crate) const BOMBS: &[(&str, Attack)] =
    &[("cardinality", cardinality), ("metrics", too_many_metrics), ("wide-lanes", wide_lanes)];

fn tail_jumps(site: &mut Site) {
    while site.goes_on() {
        let planted = site.alive(64);
        site.goes_on();
        planted.set_tail(0, u64::MAX / 2);
        for _ in 0..20 {
            site.goes_on();
            let tail = site.random.next();
            planted.set_tail(0, tail);
        }
    }
}

fn tail_goes_back(site: &mut Site) {
    while site.goes_on() {
        let planted = site.alive(64);
        for tail in [40, 60, 3, 1, 0, 0, 0] {
            planted.set_tail(0, tail);
            site.wait(8);
        }
    }
}

fn rewritten_records(site: &mut Site) {
    let name = site.name();
    let image = site.image(name, 1024);
    let ring = image.word(control_offset_bytes(0) + 16).load_relaxed();
    let planted = site.plant(name, &image.bytes(), true);
    let mut tail = 2;
    while site.goes_on() {
        for _ in 0..200 {
            let at = site.random.below(2048) as u64 * 8;
            let word = site.random.next();
            planted.put(ring + at, word);
        }
        tail += site.random.below(500) as u64;
        let acked = site.acked(&planted, 0);
        tail = tail.min(acked + 1024);
        planted.set_tail(0, tail);
    }
}

fn unknown_records(site: &mut Site) {
    while site.goes_on() {
        let name = site.name();
        let image = site.image(name, 1024);
        for _ in 0..1000 {
            let (word, value) = (site.random.next(), site.random.next());
            let word = match site.random.below(3) {
                0 => word,
                1 => pack(u32::MAX, Operation::AddU64),
                _ => pack(0, Operation::ObserveF64) | word << 48,
            };
            image.record(0, word, value);
        }
        let planted = site.plant(name, &image.bytes(), true);
        site.wait(10);
        drop(planted);
    }
}

/// Numbers of a header that make a naive reader read or allocate without end.
fn absurd_geometry(site: &mut Site) {
    while site.goes_on() {
        let name = site.name();
        let mut bytes = site.image(name, 64).bytes();
        // Sizes and offsets from 20 to 64, and the size limit.
        let at = if site.random.below(4) == 0 { 104 } else { 20 + site.random.below(11) * 4 };
        let absurd = [u64::MAX, 0, 1, 1 << 31, 1 << 62, 3, site.random.next()];
        let value = absurd[site.random.below(absurd.len())];
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes()[..4]);
        let planted = site.plant(name, &bytes, true);
        site.wait(4);
        drop(planted);
    }
}

fn edited_header(site: &mut Site) {
    while site.goes_on() {
        let planted = site.alive(64);
        site.wait(10);
        for _ in 0..50 {
            let at = site.random.below(496) as u64 * 8;
            let word = site.random.next();
            planted.put(at, word);
            site.goes_on();
        }
    }
}

fn truncation(site: &mut Site) {
    while site.goes_on() {
        let name = site.name();
        let bytes = site.image(name, 64).bytes();
        let planted = site.plant(name, &bytes, true);
        for _ in 0..200 {
            let length = site.random.below(bytes.len()) as u64;
            let _ = planted.file.set_len(length);
            let _ = planted.file.set_len(bytes.len() as u64);
            if site.random.below(20) == 0 {
                site.goes_on();
            }
        }
        planted.set_tail(0, 3);
        site.wait(5);
    }
}

/// A file of 4 EiB takes no memory on tmpfs, and must take none of the agent's.
fn sparse_growth(site: &mut Site) {
    while site.goes_on() {
        let planted = site.alive(64);
        let _ = planted.file.set_len(1 << 62);
        for number in 3..40_u32 {
            let at = chunk_entry_offset_bytes(number);
            planted.put(at, ChunkKind::Cells as u64);
            planted.put(at + 8, u64::from(number) << 32);
            planted.put(at + 16, 1 << 32);
            planted.put(LIVE_OFFSET_BYTES.into(), u64::from(number) + 1);
            site.goes_on();
        }
    }
}

fn hole_punching(site: &mut Site) {
    while site.goes_on() {
        let planted = site.alive(1024);
        let size = planted.file.metadata().map_or(0, |metadata| metadata.len());
        for tail in 2..30 {
            let at = site.random.below(usize::try_from(size / 4096).expect("fits")) * 4096;
            let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            let _ = fallocate(&planted.file, flags, i64::try_from(at).expect("fits"), 8192);
            planted.set_tail(0, tail);
            site.goes_on();
        }
    }
}

/// Lanes as large as they may be, always as full as the agent lets them be.
fn fast_appending(site: &mut Site) {
    let name = site.name();
    let capacity = 1 << 20;
    let mut image = site.image(name, capacity);
    let lanes = [0, image.add_lane(), image.add_lane()];
    let counter = pack(0, Operation::AddU64);
    let ring = |lane| image.word(control_offset_bytes(lane) + 16).load_relaxed();
    for lane in lanes {
        for slot in 0..u64::from(capacity) {
            image.word(ring(lane) + slot * 16).store_relaxed(counter);
        }
    }
    let planted = site.plant(name, &image.bytes(), true);
    drop(image);
    while site.goes_on() {
        for lane in lanes {
            planted.set_tail(lane, site.acked(&planted, lane) + u64::from(capacity));
        }
    }
}

/// Cells that always look as if there were something new in them, and go back.
fn spilling(site: &mut Site) {
    let name = site.name();
    let mut image = site.bare(name, 64);
    let mut family = family("hostile_cells", Kind::Histogram, &["l"]);
    family.bounds = (0..10).map(f64::from).collect();
    let family = image.family(family);
    for number in 0..50_u32 {
        image.series(family, &[&number.to_string()], false);
    }
    image.add_lane();
    let cells: Vec<u64> = (2..5).map(|chunk| chunk << 16).collect();
    let planted = site.plant(name, &image.bytes(), true);
    let mut count = 0;
    while site.goes_on() {
        count += 1;
        planted.put(control_offset_bytes(0) + 8, count);
        for cell in &cells {
            let (at, word) = (site.random.below(8192) as u64 * 8, site.random.next());
            planted.put(cell + at, word >> site.random.below(64));
        }
    }
}

/// Plants a segment with one entry that is damaged behind its back.
fn plant_texts(site: &mut Site, values: &[&str], damage: &[(&str, &[u8])]) -> Planted {
    let name = site.name();
    let mut image = site.bare(name, 64);
    let own = image.family(family("hostile_texts_total", Kind::Counter, &["l"]));
    for value in values {
        image.series(own, &[value], false);
    }
    let lane = image.add_lane();
    image.record(lane, pack(0, Operation::AddU64), 1);
    let mut bytes = image.bytes();
    for (from, to) in damage {
        let found = bytes.windows(from.len()).position(|window| window == from.as_bytes());
        if let Some(at) = found {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    site.plant(name, &bytes, true)
}

fn nasty_labels(site: &mut Site) {
    let nasty = ringmeter_tests::worker::nasty_labels();
    let mut planted = Vec::new();
    while site.goes_on() {
        let values: Vec<&str> = nasty.iter().map(String::as_str).collect();
        planted.push(plant_texts(site, &values, &[]));
        for bytes in [&b"\xff\xfe\0\x80"[..], b"\n} 1", b"\0\0\0\0", b"\x01\xff\xff\xff"] {
            planted.push(plant_texts(site, &["abcd"], &[("abcd", bytes)]));
            // The length in front of the text.
            planted.push(plant_texts(site, &["abcd"], &[("\u{4}\0abcd", b"\xff\xff")]));
        }
        site.wait(20);
        planted.clear();
    }
}

fn reserved_names(site: &mut Site) {
    while site.goes_on() {
        let mut planted = Vec::new();
        let names = ["ringmeter_passes_total", "up", "le", "__name__", "ringmeter_series"];
        for name in names {
            let own = site.name();
            let mut image = site.bare(own, 64);
            image.family(family(name, Kind::Gauge, &[]));
            planted.push(site.plant(own, &image.bytes(), true));
        }
        for label in ["le", "quantile", "__name__", "ringmeter_overflow", "ringmeter_x", "a b"] {
            let own = site.name();
            let mut image = site.bare(own, 64);
            let family = image.family(family("hostile_reserved", Kind::Histogram, &[label]));
            image.series(family, &["0.5"], false);
            planted.push(site.plant(own, &image.bytes(), true));
        }
        site.wait(20);
    }
}

/// Names of the honest producers in other shapes, and a name twice.
fn conflicting_types(site: &mut Site) {
    while site.goes_on() {
        let mut planted = Vec::new();
        for kind in Kind::ALL {
            let own = site.name();
            let mut image = site.bare(own, 64);
            for name in ["torture_integer_total", "torture_histogram", "torture_summary"] {
                let label = format!("l{}", site.random.below(100));
                let family = image.family(family(name, kind, &[&label]));
                image.series(family, &["v"], false);
            }
            planted.push(site.plant(own, &image.bytes(), true));
            let own = site.name();
            let mut image = site.bare(own, 64);
            for label in ["a", "b", "c"] {
                image.family(family("torture_float_total", kind, &[label]));
            }
            planted.push(site.plant(own, &image.bytes(), true));
        }
        site.wait(20);
    }
}

/// Label values that collide in a hash without a key.
fn crafted_hashes(site: &mut Site) {
    let fnv = |text: &str| {
        text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    let texts = (0..2_000_000_u32).map(|number| format!("{number:x}"));
    let same: Vec<String> = texts.filter(|text| fnv(text) & 0xfff == 0).take(400).collect();
    let own = site.name();
    let mut image = site.bare(own, 64);
    let family = image.family(family("hostile_hash_total", Kind::Counter, &["l"]));
    for text in &same {
        image.series(family, &[text], false);
    }
    let planted = site.plant(own, &image.bytes(), true);
    while site.goes_on() {}
    drop(planted);
}

fn changed_definitions(site: &mut Site) {
    let name = site.name();
    let image = site.image(name, 64);
    let definitions = image.word(chunk_entry_offset_bytes(0) + 8).load_relaxed();
    let planted = site.plant(name, &image.bytes(), true);
    let mut tail = 2;
    while site.goes_on() {
        for _ in 0..10 {
            let (at, word) = (site.random.below(40) as u64 * 8, site.random.next());
            planted.put(definitions + at, word);
        }
        tail = (tail + 1).min(site.acked(&planted, 0) + 64);
        planted.set_tail(0, tail);
    }
}

fn alien_headers(site: &mut Site) {
    while site.goes_on() {
        let mut planted = Vec::new();
        let damages: [(usize, &[u8]); 7] = [
            (12, &[1, 2, 3, 4]),
            (16, &[4, 0, 0, 0]),
            (8, &[9, 0]),
            (10, &[0xff, 0xff]),
            (64, &[0xff; 8]),
            (0, b"NOTARING"),
            (80, &[7; 16]),
        ];
        for (at, bytes) in damages {
            let name = site.name();
            let mut image = site.image(name, 64).bytes();
            image[at..at + bytes.len()].copy_from_slice(bytes);
            planted.push(site.plant(name, &image, true));
        }
        site.wait(20);
    }
}

/// Counts of chunks, lanes and definitions beyond what there is.
fn lying_counts(site: &mut Site) {
    while site.goes_on() {
        for word in 0..3_u64 {
            let planted = site.alive(64);
            site.wait(5);
            let absurd = [u64::MAX, 255, 1 << 20, 0, 1000];
            let count = absurd[site.random.below(absurd.len())];
            planted.put(u64::from(LIVE_OFFSET_BYTES) + word * 8, count);
            site.wait(5);
        }
    }
}

fn directory_flood(site: &mut Site) {
    let mut count = 0;
    while site.goes_on() && count < 30_000 {
        for _ in 0..200 {
            let name = site.name();
            let own = name.segment_file();
            let text = format!("stranger-{}", site.random.next());
            let path = site.garbage(if count % 2 == 0 { own.as_str() } else { &text });
            let _ = fs::write(path, b"");
            count += 1;
        }
    }
    while site.goes_on() {}
}

fn no_files(site: &mut Site) {
    let own = site.alive(64);
    let mut number = 0;
    while site.goes_on() && number < 200 {
        number += 1;
        let name = site.name();
        let path = site.garbage(name.segment_file().as_str());
        let made = match number % 6 {
            0 => symlink("/dev/zero", &path),
            1 => symlink(&own.path, &path),
            2 => fs::create_dir(&path),
            3 => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).map_err(Into::into),
            4 => fs::hard_link(&own.path, &path),
            _ => {
                use nix::sys::stat::{Mode, SFlag, makedev, mknod};
                mknod(&path, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 5)).map_err(Into::into)
            }
        };
        // Devices are not for everybody.
        drop(made);
    }
    while site.goes_on() {}
}

/// A lease makes a plain `open` wait for 45 seconds.
fn lease(site: &mut Site) {
    while site.goes_on() {
        let name = site.name();
        let image = site.image(name, 64).bytes();
        let planted = site.plant(name, &image, false);
        let path = planted.path.with_extension("leased");
        let _ = fs::rename(&planted.path, &path);
        take_lease(&planted);
        let _ = fs::rename(&path, &planted.path);
        site.wait(40);
    }
}

#[allow(unsafe_code)]
fn take_lease(planted: &Planted) {
    // SAFETY:
    // - The signal tells that somebody wants to open the file; to ignore it takes no handler.
    let _ = unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
    // SAFETY:
    // - The descriptor is open, and the command takes a number and no memory.
    let _ = unsafe { libc::fcntl(planted.file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) };
}

/// Locks on whatever of the agent's files can be opened.
fn locks(site: &mut Site) {
    while site.goes_on() {
        let mut held = Vec::new();
        for entry in fs::read_dir(&site.agent).into_iter().flatten().flatten().take(200) {
            let Ok(file) = fs::File::open(entry.path()) else { continue };
            let lock = nix::libc::flock {
                l_type: i16::try_from(libc::F_RDLCK).expect("small"),
                l_whence: i16::try_from(libc::SEEK_SET).expect("small"),
                l_start: 0,
                l_len: 0,
                l_pid: 0,
            };
            let _ = fcntl(&file, FcntlArg::F_OFD_SETLK(&lock));
            held.push(file);
        }
        site.wait(20);
    }
}

fn inode_swap(site: &mut Site) {
    let name = site.name();
    while site.goes_on() {
        let image = site.image(name, 64).bytes();
        let first = site.plant(name, &image, true);
        site.wait(3);
        let mut other = image.clone();
        let at = site.random.below(other.len() / 8) * 8;
        other[at] ^= 0xff;
        let second = site.plant(name, &other, true);
        site.wait(3);
        drop((first, second));
    }
}

/// Processes that come and go as fast as they can.
fn crash_loop(site: &mut Site) {
    while site.goes_on() {
        let name = site.name();
        let image = site.image(name, 64).bytes();
        let planted = site.plant(name, &image, false);
        site.wait(2);
        drop(planted);
    }
}

/// More series than there may be, with label values that are long.
fn cardinality(site: &mut Site) {
    let mut planted = Vec::new();
    for _ in 0..3 {
        let name = site.name();
        let mut image = site.bare(name, 64);
        let own = image.family(family("bomb_total", Kind::Counter, &["l"]));
        let cells = image.add_chunk(ChunkKind::Cells, 1 << 16);
        for id in 0..100_000_u32 {
            let values = vec![format!("{:016x}-{id}", site.random.next())];
            // All in the same cell: nobody says that cells of liars do not overlap.
            let series = SeriesDefinition {
                id,
                family: own,
                cell_offset_bytes: cells,
                label_values: values,
                is_overflow: false,
            };
            image.define(&series.encode());
        }
        let lane = image.add_lane();
        for _ in 0..64 {
            let series = u32::try_from(site.random.below(100_000)).expect("small");
            image.record(lane, pack(series, Operation::AddU64), 1);
        }
        planted.push(site.plant(name, &image.bytes(), true));
    }
    while site.goes_on() {}
}

fn too_many_metrics(site: &mut Site) {
    let mut planted = Vec::new();
    for _ in 0..3 {
        let name = site.name();
        let mut image = site.bare(name, 64);
        for number in 0..9000_u32 {
            let text = format!("bomb_{:x}_{number}_total", site.random.below(1 << 20));
            image.family(family(&text, Kind::Counter, &[]));
        }
        planted.push(site.plant(name, &image.bytes(), true));
    }
    while site.goes_on() {}
}
