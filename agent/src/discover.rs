//! Which segments there are: complete listings, and word of changes in between.
//!
//! inotify only says that it is time to look; what is there comes from the listing alone. So
//! nothing hangs on an event that was lost, and a listing is due every second anyway.
//!
//! A directory of more than 2,048 entries is flooded: it is listed in pieces of 256, about 0.15 ms
//! each. So a flood of files holds nobody up for long, and hides nothing for ever.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use ringmeter_layout::file::Identity;
use ringmeter_layout::naming::SegmentName;

/// A listing is made at least this often.
const LISTING_INTERVAL_NS: u64 = 1_000_000_000;
/// After an event, a listing waits this many times as long as the last one took, so that a flood
/// of files costs a tenth of a thread's time at most. A scrape does not wait so long.
const LISTING_PAUSE_FACTOR: u64 = 9;
/// And at least this: what belongs to a short listing, handing it to another thread and back, and
/// looking into what changed, takes some 0.1 ms.
const LISTING_PAUSE_MIN_NS: u64 = 1_000_000;
/// A listing of no more entries than this is made at once.
const LISTING_SHORT_ENTRIES: usize = 2048;
/// Entries of a flooded directory that are looked at in one piece: 0.15 ms.
const PIECE_ENTRIES: usize = 256;
/// Batches of events discarded at once; what is left wakes the agent again.
const EVENT_BATCHES_MAX: u32 = 16;

/// What the directory held at one moment, or in a flooded one what a piece of it held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Segments, sorted, each once.
    pub names: Vec<SegmentName>,
    /// Whether these are all: only then is a missing name a file that is gone.
    pub is_complete: bool,
    /// Entries that are no segments and not on the way to become one.
    pub strangers: u64,
}

/// A listing under way.
struct Walk {
    entries: fs::ReadDir,
    seen: usize,
    /// All segments so far, as long as they may be all there are.
    names: Vec<SegmentName>,
    strangers: u64,
    has_failed: bool,
}

impl Walk {
    fn new(path: &Path) -> io::Result<Self> {
        let entries = fs::read_dir(path)?;
        Ok(Self { entries, seen: 0, names: Vec::new(), strangers: 0, has_failed: false })
    }

    /// Looks at some more entries; says whether there may be others behind them.
    fn go_on(&mut self, count_max: usize, names: &mut Vec<SegmentName>) -> bool {
        for _ in 0..count_max {
            let Some(entry) = self.entries.next() else { return false };
            self.seen += 1;
            let Ok(entry) = entry else {
                self.has_failed = true;
                continue;
            };
            let file_name = entry.file_name();
            let Some(file_name) = file_name.to_str() else {
                self.strangers += 1;
                continue;
            };
            match SegmentName::parse(file_name) {
                Ok(name) => names.push(name),
                Err(_) if SegmentName::parse_temporary(file_name).is_ok() => {}
                Err(_) => self.strangers += 1,
            }
        }
        true
    }
}

/// Watches the directory of segments, which need not exist yet.
pub struct Watcher {
    path: PathBuf,
    entries_max: usize,
    /// What is still to be listed.
    walk: Option<Walk>,
    /// Strangers in the last whole listing.
    strangers: u64,
    /// None where the system gives out no more of them: listings alone are enough.
    inotify: Option<Inotify>,
    watched: Option<(WatchDescriptor, Identity)>,
    is_stirred: bool,
    listed_ns: Option<u64>,
    took_ns: u64,
    /// Entries of the last whole listing, or of the one under way where those are more.
    seen: usize,
    is_flooded: bool,
}

impl Watcher {
    /// Watches `path`; a listing of more than `entries_max` entries is never complete.
    pub fn new(path: &Path, entries_max: usize) -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC);
        if let Err(error) = &inotify {
            tracing::warn!(%error, "no inotify: new segments are found within a second");
        }
        Self {
            path: path.to_owned(),
            entries_max,
            walk: None,
            strangers: 0,
            inotify: inotify.ok(),
            watched: None,
            is_stirred: false,
            listed_ns: None,
            took_ns: 0,
            seen: 0,
            is_flooded: false,
        }
    }

    /// What becomes readable when something changes.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// Discards events; remembers that there were some.
    pub fn discard_events(&mut self) {
        let Some(inotify) = &self.inotify else { return };
        for _ in 0..EVENT_BATCHES_MAX {
            match inotify.read_events() {
                Ok(events) if !events.is_empty() => self.is_stirred = true,
                _ => return,
            }
        }
    }

    /// Whether a change was told since the last listing: further ones tell nothing new.
    pub fn is_stirred(&self) -> bool {
        self.is_stirred
    }

    /// When the next listing is due. A scrape does not keep to the pause after a change, and lists
    /// also where nothing would have told of one, because the directory is not there yet or cannot
    /// be watched.
    pub fn due_ns(&self, is_scrape: bool) -> u64 {
        let Some(listed_ns) = self.listed_ns else { return 0 };
        let is_begun = self.is_stirred || self.walk.is_some();
        let is_wanted = is_begun || (is_scrape && self.watched.is_none());
        let pause = match (is_wanted, is_scrape) {
            (false, _) => LISTING_INTERVAL_NS,
            (true, true) => 0,
            (true, false) => self
                .took_ns
                .saturating_mul(LISTING_PAUSE_FACTOR)
                .clamp(LISTING_PAUSE_MIN_NS, LISTING_INTERVAL_NS),
        };
        listed_ns.saturating_add(pause)
    }

    /// Whether a listing is under way, of which pieces are still to come.
    pub fn is_amid(&self) -> bool {
        self.walk.is_some()
    }

    /// How many entries the directory has, as far as it is known.
    pub fn entries(&self) -> usize {
        self.seen
    }

    /// Lists the directory, or the next piece of it. `clock` is monotonic.
    pub fn list(&mut self, clock: impl Fn() -> u64) -> Listing {
        let begin_ns = clock();
        if self.walk.is_none() {
            // What changes while pieces are read is looked at from the beginning afterwards.
            self.is_stirred = false;
            // Watching first: what comes after the listing then causes an event.
            self.watch();
        }
        let listing = self.read().unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::debug!(%error, "cannot list the segments");
            }
            Listing::default()
        });
        let end_ns = clock();
        self.listed_ns = Some(end_ns);
        self.took_ns = end_ns.saturating_sub(begin_ns);
        listing
    }

    /// Watches the directory that has the path now; where there is none, the one in which it
    /// will be made.
    fn watch(&mut self) {
        let Some(inotify) = &self.inotify else { return };
        let directories = [Some(self.path.as_path()), self.path.parent()];
        let found = directories
            .into_iter()
            .flatten()
            .find_map(|path| Some((path, Identity::of_metadata(&fs::metadata(path).ok()?))));
        let now = found.map(|(_, identity)| identity);
        if let Some((descriptor, identity)) = self.watched {
            if now == Some(identity) {
                return;
            }
            // Fails if the directory is gone, and the watch with it.
            let _ = inotify.rm_watch(descriptor);
            self.watched = None;
        }
        let Some((path, identity)) = found else { return };
        let flags = AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        self.watched = inotify.add_watch(path, flags).ok().map(|wd| (wd, identity));
    }

    fn read(&mut self) -> io::Result<Listing> {
        let mut walk = match self.walk.take() {
            Some(walk) => walk,
            None => Walk::new(&self.path)?,
        };
        let most = if self.is_flooded { PIECE_ENTRIES } else { LISTING_SHORT_ENTRIES };
        let mut names = Vec::new();
        let has_more = walk.go_on(most.min(self.entries_max), &mut names);
        self.is_flooded |= has_more;
        if walk.seen <= self.entries_max {
            walk.names.extend_from_slice(&names);
        }
        self.seen = if has_more { self.seen.max(walk.seen) } else { walk.seen };
        if has_more {
            let strangers = self.strangers.max(walk.strangers);
            self.walk = Some(walk);
            return Ok(Listing { names: sorted(names), is_complete: false, strangers });
        }
        self.is_flooded = walk.seen > LISTING_SHORT_ENTRIES.min(self.entries_max);
        self.strangers = walk.strangers;
        let is_complete = walk.seen <= self.entries_max && !walk.has_failed;
        let names = if is_complete { walk.names } else { names };
        Ok(Listing { names: sorted(names), is_complete, strangers: walk.strangers })
    }
}

/// What changes while it is listed may be listed twice.
fn sorted(mut names: Vec<SegmentName>) -> Vec<SegmentName> {
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests;
