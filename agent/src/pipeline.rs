//! All segments and all totals, and the passes over them. No thread, no clock of its own.

mod commit;
mod configure;
mod inspection;
mod open;
mod own;
mod pass;
mod reconcile;
mod refused;
mod report;
mod waste;

use std::collections::BTreeMap;
use std::sync::Arc;

use ringmeter_layout::file::Identity;
use ringmeter_layout::naming::SegmentName;

use crate::aggregate::Aggregate;
use crate::attach::Files;
use crate::context::{Buffers, Counts};
use crate::ledger::{self, Ledger};
use crate::limits::Limits;
use crate::log_limit::LogLimit;
use crate::metrics::{ConfigFacts, Timing};
use crate::quarantine::Refusal;
use crate::segment::{Entry, Kept, Segment};
use crate::snapshot::{Names, Snapshot};
use crate::view::View;
use crate::web_counts::WebCounts;
use commit::Leaving;
use own::Own;
use refused::{Refused, RefusedFiles};
use waste::{OldAcks, Unclosed};

pub use inspection::{Findings, Inspection};
pub use open::Restored;
pub use waste::Waste;

/// Ack files looked at when the agent starts: its own.
const ACKS_MAX: usize = 65_536;

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
    /// Acks that were handed over, and are not removed yet.
    old_acks: OldAcks,
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
    /// Whether all that the last listing found is attached or refused; false during an inspection.
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
            old_acks: OldAcks::default(),
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

    /// How many segments are attached.
    pub fn attached(&self) -> usize {
        self.segments.len()
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
