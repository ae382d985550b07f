//! Short listings, floods, and when the next one is due.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;

/// A directory that goes with its test, and a clock in which everything takes a millisecond.
struct Place {
    path: PathBuf,
    now_ns: Cell<u64>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

const MILLISECOND_NS: u64 = 1_000_000;

impl Place {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringmeter-{test}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self { path, now_ns: Cell::new(0) }
    }

    fn tick(&self) -> u64 {
        self.now_ns.set(self.now_ns.get() + MILLISECOND_NS);
        self.now_ns.get()
    }

    fn list(&self, watcher: &mut Watcher) -> Listing {
        let listing = watcher.list(|| self.tick());
        assert!(listing.names.is_sorted_by(|a, b| a < b), "each once, in order");
        listing
    }

    fn add(&self, from: usize, count: usize) {
        for number in from..from + count {
            fs::write(self.path.join(name(number).segment_file().as_str()), b"").unwrap();
        }
    }
}

/// Else one file would be attached twice.
#[test]
fn each_name_is_listed_once_and_in_order() {
    let names = [3, 1, 2, 1, 3].map(name).into();
    assert_eq!(sorted(names), [1, 2, 3].map(name));
}

fn name(number: usize) -> SegmentName {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(number as u64).to_le_bytes());
    SegmentName::new("shop", id).unwrap()
}

/// Lists until no piece is left; returns the last piece, all names of all pieces, and how many
/// pieces there were.
fn walk(place: &Place, watcher: &mut Watcher) -> (Listing, BTreeSet<SegmentName>, usize) {
    let mut all = BTreeSet::new();
    for pieces in 1.. {
        let listing = place.list(watcher);
        all.extend(listing.names.iter().copied());
        if !watcher.is_amid() {
            return (listing, all, pieces);
        }
        assert!(!listing.is_complete && listing.names.len() <= LISTING_SHORT_ENTRIES);
    }
    unreachable!("a walk ends")
}

#[test]
fn a_change_is_listed_at_once_for_a_scrape_and_otherwise_after_a_while() {
    let place = Place::new("short-and-flooded");
    place.add(0, 10);
    fs::write(place.path.join("stranger"), b"").unwrap();
    let mut watcher = Watcher::new(&place.path, 4096);
    assert_eq!(watcher.due_ns(true), 0, "the first one");
    let listing = place.list(&mut watcher);
    assert!(listing.is_complete && listing.names.len() == 10 && listing.strangers == 1);
    let now_ns = place.now_ns.get();
    assert!(watcher.due_ns(true) >= now_ns + LISTING_INTERVAL_NS, "nothing has changed");
    place.add(10, 1);
    watcher.discard_events();
    assert!(watcher.is_stirred());
    assert!(watcher.due_ns(true) <= now_ns, "for a scrape at once");
    assert!(watcher.due_ns(false) > now_ns, "otherwise after a while");
    // Somebody floods the directory.
    place.add(11, LISTING_SHORT_ENTRIES);
    place.list(&mut watcher);
    let now_ns = place.now_ns.get();
    assert!(watcher.is_amid() && watcher.entries() == LISTING_SHORT_ENTRIES);
    assert!(watcher.due_ns(false) > now_ns, "others come first");
    assert!(watcher.due_ns(false) < now_ns + LISTING_INTERVAL_NS, "but the rest comes soon");
    walk(&place, &mut watcher);
    assert_eq!(watcher.entries(), 11 + LISTING_SHORT_ENTRIES + 1);
    // The flood is over.
    (11..11 + LISTING_SHORT_ENTRIES).for_each(|number| {
        fs::remove_file(place.path.join(name(number).segment_file().as_str())).unwrap()
    });
    let (last, all, _) = walk(&place, &mut watcher);
    assert!(last.is_complete && all.len() == 11 && watcher.entries() == 12);
}

/// Somebody may change it all the time: then the agent is not to list it all the time.
#[test]
fn a_directory_that_is_listed_in_no_time_is_left_alone_for_a_while() {
    let place = Place::new("no-time");
    let mut watcher = Watcher::new(&place.path, 4096);
    watcher.list(|| 1);
    place.add(0, 1);
    watcher.discard_events();
    assert!(watcher.is_stirred());
    assert_eq!(watcher.due_ns(false), 1 + MILLISECOND_NS);
    assert_eq!(watcher.due_ns(true), 1, "a scrape does not wait");
}

#[test]
fn a_flooded_directory_is_listed_in_pieces_and_wholly() {
    let place = Place::new("pieces");
    place.add(0, 3000);
    let mut watcher = Watcher::new(&place.path, 4096);
    let (last, all, pieces) = walk(&place, &mut watcher);
    assert_eq!((all.len(), pieces), (3000, 5), "2,048, then 256 at a time");
    assert!(last.is_complete, "as many as this are remembered");
    assert_eq!(last.names.len(), 3000);
    let (last, all, pieces) = walk(&place, &mut watcher);
    assert_eq!((all.len(), pieces, last.is_complete), (3000, 12, true), "256 at a time");
    // What comes while pieces are read is looked at afterwards.
    place.list(&mut watcher);
    place.add(3000, 1);
    watcher.discard_events();
    walk(&place, &mut watcher);
    assert!(watcher.is_stirred());
    let (last, ..) = walk(&place, &mut watcher);
    assert!(last.names.contains(&name(3000)) && !watcher.is_stirred());
}

#[test]
fn beyond_the_limit_a_listing_is_never_complete_and_hides_nothing() {
    let place = Place::new("limit");
    place.add(0, 300);
    let mut watcher = Watcher::new(&place.path, 64);
    let (last, all, pieces) = walk(&place, &mut watcher);
    assert_eq!((all.len(), last.is_complete), (300, false));
    assert_eq!(pieces, 5, "64 at a time");
    assert!(last.names.len() <= 64 && watcher.entries() == 300);
}
