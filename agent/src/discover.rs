//! Which segments there are: complete listings, and word of changes in between.
//!
//! inotify only says that it is time to look; what is there comes from the listing alone. So
//! nothing hangs on an event that was lost, and a listing is due every second anyway.
//!
//! A listing looks at a limited number of entries, and the next one goes on behind them: a flood
//! of files costs a bounded time, and hides nothing for ever.

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
/// of files costs a tenth of the time at most.
const LISTING_PAUSE_FACTOR: u64 = 9;
/// A listing of no more entries than this is made for every scrape that has reason to: a scrape
/// shows processes that came a moment ago, unless somebody floods the directory.
const LISTING_SHORT_ENTRIES: usize = 2048;
/// Batches of events discarded at once; what is left wakes the agent again.
const EVENT_BATCHES_MAX: u32 = 16;

/// What the directory held at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Segments, in no order.
    pub names: Vec<SegmentName>,
    /// Whether these are all: only then is a missing name a file that is gone.
    pub is_complete: bool,
    /// Entries that are no segments and not on the way to become one.
    pub strangers: u64,
}

/// Watches the directory of segments, which need not exist yet.
pub struct Watcher {
    path: PathBuf,
    entries_max: usize,
    /// What the last listing had no time for.
    rest: Option<fs::ReadDir>,
    /// None where the system gives out no more of them: listings alone are enough.
    inotify: Option<Inotify>,
    watched: Option<(WatchDescriptor, Identity)>,
    is_stirred: bool,
    listed_ns: Option<u64>,
    took_ns: u64,
    /// Whether the last listing was not a short one.
    is_flooded: bool,
}

impl Watcher {
    /// Watches `path`; looks at no more than `entries_max` entries at once.
    pub fn new(path: &Path, entries_max: usize) -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC);
        if let Err(error) = &inotify {
            tracing::warn!(%error, "no inotify: new segments are found within a second");
        }
        Self {
            path: path.to_owned(),
            entries_max,
            rest: None,
            inotify: inotify.ok(),
            watched: None,
            is_stirred: false,
            listed_ns: None,
            took_ns: 0,
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

    /// When the next listing is due. Before a scrape it is as well if nothing would have told of
    /// a change, because the directory is not there yet or cannot be watched.
    pub fn due_ns(&self, is_scrape: bool) -> u64 {
        let Some(listed_ns) = self.listed_ns else { return 0 };
        let is_wanted = self.is_stirred || (is_scrape && self.watched.is_none());
        let pause = match (is_wanted, is_scrape && !self.is_flooded) {
            (false, _) => LISTING_INTERVAL_NS,
            (true, true) => 0,
            (true, false) => {
                self.took_ns.saturating_mul(LISTING_PAUSE_FACTOR).min(LISTING_INTERVAL_NS)
            }
        };
        listed_ns.saturating_add(pause)
    }

    /// Whether the next listing would be long, and the last one was not long ago: then a scrape
    /// comes first.
    pub fn may_wait(&self, now_ns: u64) -> bool {
        let age_ns = self.listed_ns.map(|listed_ns| now_ns.saturating_sub(listed_ns));
        self.is_flooded && age_ns.is_some_and(|age| age < LISTING_INTERVAL_NS)
    }

    /// Lists the directory. `clock` is monotonic.
    pub fn list(&mut self, clock: impl Fn() -> u64) -> Listing {
        let begin_ns = clock();
        self.is_stirred = false;
        // Watching first: what comes after the listing then causes an event.
        self.watch();
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
        let (mut entries, is_whole) = match self.rest.take() {
            Some(rest) => (rest, false),
            None => (fs::read_dir(&self.path)?, true),
        };
        let mut listing = Listing { is_complete: is_whole, ..Listing::default() };
        self.is_flooded = !is_whole;
        for count in 0.. {
            self.is_flooded |= count > LISTING_SHORT_ENTRIES;
            if count >= self.entries_max {
                listing.is_complete = false;
                self.rest = Some(entries);
                break;
            }
            let Some(entry) = entries.next() else { break };
            let Ok(entry) = entry else {
                listing.is_complete = false;
                continue;
            };
            let file_name = entry.file_name();
            let Some(file_name) = file_name.to_str() else {
                listing.strangers += 1;
                continue;
            };
            match SegmentName::parse(file_name) {
                Ok(name) => listing.names.push(name),
                Err(_) if SegmentName::parse_temporary(file_name).is_ok() => {}
                Err(_) => listing.strangers += 1,
            }
        }
        Ok(listing)
    }
}
