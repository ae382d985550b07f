//! All segments and all totals, and the passes over them. No thread, no clock of its own.

mod commit;
mod configure;
mod open;
mod own;
mod pass;
mod refused;
mod report;
mod waste;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::Arc;

use ringmeter_layout::ack::STATE_FINAL;
use ringmeter_layout::file::Identity;
use ringmeter_layout::naming::SegmentName;

use crate::aggregate::Aggregate;
use crate::attach::{Attached, Candidate, Files, Memory};
use crate::context::{Buffers, Counts};
use crate::discover::Listing;
use crate::ledger::{self, Ledger};
use crate::limits::Limits;
use crate::log_limit::LogLimit;
use crate::metrics::{ConfigFacts, Timing};
use crate::quarantine::Refusal;
use crate::segment::{Entry, Kept, Phase, Segment};
use crate::snapshot::{Names, Snapshot};
use crate::view::View;
use crate::web_counts::WebCounts;
use commit::Leaving;
use own::Own;
use refused::{Gone, Refused, RefusedFiles};
use waste::Unclosed;

pub use waste::Waste;

pub use open::Restored;

/// New files looked into at one listing: each takes about 10 µs.
const INSPECTIONS_MAX: usize = 128;
/// Refused files asked at one listing whether they are still the same, at about 2 µs.
const REVIEWS_MAX: usize = 256;
/// An eighth of both where the listing is one of many pieces: those come often, and a scrape waits
/// for one.
const PIECE_DIVISOR: usize = 8;
/// Ack files looked at when the agent starts: its own.
const ACKS_MAX: usize = 65_536;

/// A number that nobody outside can foresee.
#[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
fn some_number() -> usize {
    RandomState::new().build_hasher().finish() as usize
}

/// Which segments a pass visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that are due.
    Due,
    /// All, with cells and gauges: what was recorded before the pass is in the totals after it.
    All,
    /// All, while nobody waits for a scrape yet: as much of each as one pass may read.
    Start,
}

/// What a pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassReport {
    /// Whether everything that the pass found published was read and committed.
    pub is_complete: bool,
    /// When the next pass is due.
    pub next_ns: u64,
}

/// A segment that the ledger has an entry of, or will have with the next commit.
#[derive(Debug)]
struct Known {
    entry: Entry,
    is_attached: bool,
    /// Everything was taken.
    is_final: bool,
    /// From before a restart, until it is attached.
    kept: Option<Box<Kept>>,
}

/// The stages from files to totals, and the totals.
pub struct Pipeline {
    files: Files,
    limits: Limits,
    ledger: Ledger,
    /// The last commit failed.
    is_failing: bool,
    /// No commit before this time: in broken builds only.
    late_until_ns: u64,
    aggregate: Aggregate,
    segments: Vec<Segment>,
    known: BTreeMap<SegmentName, Known>,
    /// Segments on their way out: the next commit says so.
    leaving: Vec<Leaving>,
    /// The commit that says they left is over; their files are to be removed and closed.
    waste: Vec<Leaving>,
    /// Waste that was handed over, and is not closed yet.
    unclosed: Unclosed,
    /// Segments whose files are gone: after the next commit their numbers are free, then their acks
    /// are removed.
    gone: Vec<(SegmentName, Option<u32>)>,
    free_numbers: Vec<u32>,
    next_number: u32,
    refused: RefusedFiles,
    /// Everything was taken; the file, the ack or both are still there.
    finals: BTreeMap<SegmentName, Identity>,
    /// Files beyond the limit of segments.
    waiting: u64,
    strangers: u64,
    /// Behind which new file looking into them goes on.
    inspected: Option<SegmentName>,
    is_swept: bool,
    /// The service whose segments are attached: the first one seen.
    service: Option<String>,
    /// Serial number of the segment whose records are read first: the last pass ended before it.
    next_serial: u64,
    /// Which visit's cells are read first.
    turn: usize,
    /// When it is looked next for series whose time is over.
    expiry_ns: u64,
    /// Whether all that the last listing found is attached or refused.
    is_listed: bool,
    serial: u64,
    generation: u64,
    ack_failures: u64,
    buffers: Buffers,
    counts: Counts,
    view: View,
    names: Names,
    timing: Timing,
    /// Counters of the agent as committed, and as they will be.
    committed: Own,
    committing: Own,
    set_aside: [u64; ledger::Reason::ALL.len()],
    /// The label that tells services apart; without one there is one service.
    service_label: Option<Box<str>>,
    config: ConfigFacts,
    shows_own: bool,
    /// When the agent started, seconds since 1970.
    start_unix_s: f64,
    /// What was served last.
    last: Arc<Snapshot>,
    log_limit: LogLimit,
    /// What the web server counts, for the snapshot to show.
    web: Arc<WebCounts>,
}

impl Pipeline {
    /// Nothing attached yet, and nothing in the ledger.
    pub fn new(files: Files, ledger: Ledger, limits: Limits) -> Self {
        Self {
            files,
            ledger,
            is_failing: false,
            late_until_ns: 0,
            aggregate: Aggregate::new(limits.clone()),
            segments: Vec::new(),
            known: BTreeMap::new(),
            leaving: Vec::new(),
            waste: Vec::new(),
            unclosed: Unclosed::default(),
            gone: Vec::new(),
            free_numbers: Vec::new(),
            next_number: 0,
            refused: RefusedFiles::default(),
            finals: BTreeMap::new(),
            waiting: 0,
            strangers: 0,
            inspected: None,
            is_swept: false,
            service: None,
            next_serial: 0,
            turn: 0,
            expiry_ns: 0,
            is_listed: false,
            serial: 0,
            generation: 0,
            ack_failures: 0,
            buffers: Buffers::new(&limits),
            counts: Counts::default(),
            view: View::default(),
            names: Names::default(),
            timing: Timing::default(),
            committed: Own::default(),
            committing: Own::default(),
            set_aside: [0; ledger::Reason::ALL.len()],
            service_label: None,
            config: ConfigFacts::default(),
            shows_own: true,
            start_unix_s: 0.0,
            last: Arc::default(),
            log_limit: LogLimit::default(),
            web: Arc::default(),
            limits,
        }
    }

    /// Sets the wall clock: `unix_ns` since 1970 when the monotonic clock says `now_ns`. Without
    /// it nothing says when a series began.
    pub fn set_unix_time(&mut self, unix_ns: u64, now_ns: u64) {
        self.aggregate.set_unix_time(unix_ns, now_ns);
    }

    /// Whether snapshots have native histograms from here on: making them takes time that is
    /// wasted unless somebody scrapes protobuf.
    pub fn show_native(&mut self, is_shown: bool) {
        self.view.show_native(is_shown);
    }

    /// Shows these counts of the web server from now on.
    pub fn show_web_counts(&mut self, counts: Arc<WebCounts>) {
        self.web = counts;
    }

    /// Follows a listing: attaches what is new, forgets what is gone. Says whether there is more
    /// to do at once.
    pub fn reconcile(&mut self, listing: &Listing, now_ns: u64) -> bool {
        self.remove_acks();
        self.strangers = listing.strangers;
        let divisor = if listing.is_complete { 1 } else { PIECE_DIVISOR };
        let present: BTreeSet<SegmentName> = listing.names.iter().copied().collect();
        if listing.is_complete && !self.is_stuck() {
            self.forget_missing(&present);
        }
        self.remove_finals(&present);
        self.review(REVIEWS_MAX / divisor);
        let is_new = |name: &&SegmentName| {
            !self.known.get(name).is_some_and(|known| known.is_attached)
                && !self.is_leaving(name)
                && !self.finals.contains_key(name)
                && self.refused.get(name).is_none_or(|refused| refused.is_doubtful)
        };
        let mut fresh: Vec<SegmentName> = present.iter().filter(is_new).copied().collect();
        // In a circle, so that no number of bad files keeps a good one waiting for ever. Pieces
        // come in a circle of their own: of each, some that nobody can foresee.
        let from = if listing.is_complete {
            self.inspected.map_or(0, |last| fresh.partition_point(|name| *name <= last))
        } else {
            some_number().checked_rem(fresh.len()).unwrap_or(0)
        };
        fresh.rotate_left(from);
        // What is leaving has its descriptors until it is put away.
        let leaving = self.leaving.len() + self.waste.len() + self.unclosed.count();
        let open = self.segments.len() + leaving;
        let room = self.limits.segments_max.saturating_sub(open);
        let now = fresh.len().min(INSPECTIONS_MAX / divisor).min(room);
        let chosen = fresh.get(..now).unwrap_or_default();
        self.inspected = chosen.last().copied();
        self.attach_all(chosen, now_ns);
        self.waiting = (fresh.len() - now) as u64;
        let has_more = fresh.len() > now && now < room;
        self.is_listed = listing.is_complete && !has_more && self.waiting == 0;
        has_more
    }

    /// Drops what the complete listing lacks. Entries and acks go only now: a file that is still
    /// there would be read from its beginning without them.
    fn forget_missing(&mut self, present: &BTreeSet<SegmentName>) {
        self.refused.forget_missing(present);
        if !self.is_swept {
            self.is_swept = true;
            // Left over by an agent before this one, between entry and ack.
            let acks = self.files.acks(ACKS_MAX).unwrap_or_default();
            for (name, header, _) in acks {
                let is_final = header.state == STATE_FINAL;
                if is_final && !present.contains(&name) && !self.known.contains_key(&name) {
                    let _ = self.files.remove_ack(&name);
                }
            }
        }
        let is_gone =
            |(name, known): &(&SegmentName, &Known)| !known.is_attached && !present.contains(*name);
        let gone: Vec<SegmentName> = self.known.iter().filter(is_gone).map(|k| *k.0).collect();
        for name in gone.into_iter().filter(|name| !self.is_leaving(name)).collect::<Vec<_>>() {
            self.forget(&name);
        }
    }

    fn remove_finals(&mut self, present: &BTreeSet<SegmentName>) {
        if self.unclosed.count() > 0 {
            // Some of them are being removed.
            return;
        }
        for (name, identity) in &self.finals {
            if present.contains(name) {
                // Where the directory is read-only here, the next start of an SDK removes it.
                let _ = self.files.remove_segment(name, *identity);
            }
        }
    }

    /// Gives refused files another chance.
    fn review(&mut self, count_max: usize) {
        let files = &self.files;
        self.refused.review(count_max, |name| match files.identity(name) {
            Ok(identity) => Ok(Some(identity)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Gone),
            Err(_) => Ok(None),
        });
    }

    fn attach_all(&mut self, names: &[SegmentName], now_ns: u64) {
        let mut candidates = Vec::new();
        for name in names {
            match self.files.inspect(name) {
                Ok(candidate) => candidates.push(candidate),
                Err(refusal) => {
                    let identity = self.files.identity(name).ok();
                    self.refuse(*name, identity, &refusal, now_ns);
                }
            }
        }
        // The first live service has the directory.
        candidates.sort_by_key(|c| (!c.is_alive, c.geometry.created_unix_ns, c.name));
        for candidate in candidates {
            self.attach(candidate, now_ns);
        }
    }

    fn attach(&mut self, candidate: Candidate, now_ns: u64) {
        let (name, identity) = (candidate.name, candidate.identity);
        // Series of two services may have the same names: the totals of one must never be added to
        // those of the other, also when no process of the first is left.
        if self.service.is_none() {
            own::put_service(&candidate.geometry.service, &mut self.ledger);
        }
        let service = self.service.get_or_insert_with(|| candidate.geometry.service.clone());
        if self.service_label.is_none() && *service != candidate.geometry.service {
            let is_own = |own: &&Segment| own.geometry.service == *service;
            let is_running =
                self.segments.iter().filter(is_own).any(|own| own.phase == Phase::Live);
            let other = &candidate.geometry.service;
            let refusal = Refusal::of_other_service(service, is_running, other);
            return self.refuse(name, Some(identity), &refusal, now_ns);
        }
        self.serial += 1;
        let number = self.known.get(&name).map(|known| known.entry.number);
        let number = number.unwrap_or_else(|| self.number());
        let known = self.known.entry(name).or_insert_with(|| Known::new(number));
        if known.kept.is_none() && !known.is_final {
            // Another file under the name of one that was given up: what is remembered of that one
            // is nothing to go on from, and nobody would remove it later.
            known.entry.remove(&mut self.ledger);
        }
        known.is_attached = true;
        let (serial, ledger_id) = (self.serial, self.ledger.id());
        let (kept, is_final) = (known.kept.clone(), known.is_final);
        let memory = Memory { serial, number, kept, is_final, ledger_id };
        match self.files.attach(candidate, memory, &self.limits, now_ns) {
            Ok(Attached::Segment(segment)) => {
                if let Some(known) = self.known.get_mut(&name) {
                    known.kept = None;
                }
                if self.log_limit.allows(now_ns) {
                    let segment = name.segment_file();
                    tracing::info!(segment = segment.as_str(), "attached");
                }
                self.refused.remove(&name);
                self.segments.push(*segment);
            }
            Ok(Attached::Final(identity)) => {
                self.refused.remove(&name);
                self.finals.insert(name, identity);
                self.detach(&name);
            }
            Err(refusal) => {
                self.refuse(name, Some(identity), &refusal, now_ns);
                self.detach(&name);
            }
        }
    }

    fn detach(&mut self, name: &SegmentName) {
        if let Some(known) = self.known.get_mut(name) {
            known.is_attached = false;
        }
    }

    fn refuse(
        &mut self,
        name: SegmentName,
        identity: Option<Identity>,
        refusal: &Refusal,
        now_ns: u64,
    ) {
        let before = self.refused.get(&name);
        let is_news = before.is_none_or(|before| before.reason != refusal.reason);
        if is_news && self.log_limit.allows(now_ns) {
            tracing::warn!(
                segment = name.segment_file().as_str(),
                reason = refusal.reason.as_str(),
                detail = refusal.detail,
                "segment quarantined"
            );
        }
        let is_doubtful = false;
        self.refused.insert(name, Refused { identity, reason: refusal.reason, is_doubtful });
    }
}
