//! What the agent knows of one attached segment.

mod keep;
#[cfg(test)]
pub(crate) mod sample;

use std::io;

use ringmeter_layout::ack;
use ringmeter_layout::file::Identity;
use ringmeter_layout::lane::Capacity;
use ringmeter_layout::naming::SegmentName;
use ringmeter_layout::segment::{ChunkTable, Geometry, RawLive};
use ringmeter_layout::word::fence_all;

use crate::aggregate::LocalSeries;
use crate::definitions::Definitions;
use crate::pace::Pace;
use crate::source::{AckSink, Source};
use crate::spill::Cells;

pub use keep::{Entry, Kept, KeptLane};

/// What the ack file said when the segment was attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// There was none: everything in the segment is new.
    Nothing,
    /// Up to these positions, one per lane, all was taken by an agent before this one.
    Positions(Vec<u64>),
    /// The ledger remembers these lanes, and what was taken from cells.
    Kept(Vec<KeptLane>),
    /// There was one, and it cannot be read: what is in the segment may have been taken.
    Unknown,
}

impl Before {
    /// Whether what is in the cells may have been taken, nobody knows how much of it.
    pub fn is_vague(&self) -> bool {
        matches!(self, Self::Positions(_) | Self::Unknown)
    }
}

/// Whether the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It held its lock when last asked.
    Live,
    /// Its lock was free: what is read from now on is the last.
    Dying,
}

/// One lane.
#[derive(Debug)]
pub struct Lane {
    /// Where the ring starts in the file.
    pub ring_offset_bytes: u64,
    /// Where the lane's cells start in the file, if it has any.
    pub cells_offset_bytes: Option<u64>,
    /// Position up to which records are applied.
    pub position: u64,
    /// Tail that this pass reads up to.
    pub target: u64,
    /// Position that the app was told.
    pub acked: u64,
    /// Slots that still belong to a record begun before `position`.
    pub skip: u32,
    /// Spill count as last seen.
    pub spill_count: u64,
    /// Passes in a row whose tail could not be right.
    pub tail_failures: u32,
    /// Whether a thread owns the lane.
    pub is_claimed: bool,
}

impl Lane {
    /// Records that this pass has still to read.
    pub fn backlog(&self) -> u64 {
        self.target.wrapping_sub(self.position)
    }
}

/// One attached segment.
pub struct Segment {
    /// Name of its file.
    pub name: SegmentName,
    /// The file, so that another one under its name is not taken for it.
    pub identity: Identity,
    /// Counts attachments; names the process in the agent.
    pub serial: u64,
    /// Its number in the ledger.
    pub number: u32,
    /// Whether it was visited since the last commit.
    pub is_visited: bool,
    /// Whether the ack file carries the ledger's id.
    pub has_ledger_id: bool,
    /// The header, copied once.
    pub geometry: Geometry,
    /// The file's bytes.
    pub source: Box<dyn Source>,
    /// The ack file.
    pub ack: Box<dyn AckSink>,
    /// What was taken before this agent.
    pub before: Before,
    /// Whether what it holds at the first visit is too old for sliding windows.
    pub is_old: bool,
    /// Whether the process lives.
    pub phase: Phase,
    /// Chunks accepted so far.
    pub chunks: ChunkTable,
    /// Definitions read so far.
    pub definitions: Definitions,
    /// What the series ids mean.
    pub local: LocalSeries,
    /// Lanes accepted so far.
    pub lanes: Vec<Lane>,
    /// Lane that the next step begins with.
    pub next_lane: usize,
    /// Spill cells and gauges.
    pub cells: Cells,
    /// Live words as last seen.
    pub live: RawLive,
    /// When the segment is visited next.
    pub pace: Pace,
    /// When liveness was last asked for.
    pub life_asked_ns: u64,
    /// When it was last visited.
    pub visited_ns: u64,
    /// When something new was last found in its lanes or spill.
    pub moved_ns: u64,
    /// When it was last asked what is published.
    pub begun_ns: u64,
    /// When everything published was last read; 0 before the first time.
    pub complete_ns: u64,
    /// Writes of acks that failed.
    pub ack_failures: u64,
}

/// What a segment is attached with.
pub struct Attachment {
    /// Name of its file.
    pub name: SegmentName,
    /// The file.
    pub identity: Identity,
    /// The header.
    pub geometry: Geometry,
    /// The file's bytes.
    pub source: Box<dyn Source>,
    /// The ack file.
    pub ack: Box<dyn AckSink>,
    /// Whether the ack file carries the ledger's id.
    pub has_ledger_id: bool,
    /// What was taken before this agent.
    pub before: Before,
    /// What the ledger remembers of it.
    pub kept: Option<Box<Kept>>,
    /// Its number in the ledger.
    pub number: u32,
    /// Whether what it holds is too old for sliding windows.
    pub is_old: bool,
    /// Whether the process lives.
    pub is_alive: bool,
}

impl Segment {
    /// A segment of which nothing but the header was read.
    pub fn new(from: Attachment, serial: u64, now_ns: u64) -> Self {
        let mut cells = Cells::new(now_ns);
        let mut live = RawLive::default();
        if let Some(kept) = from.kept {
            live = kept.live;
            cells.restore(kept.marks);
        }
        Self {
            name: from.name,
            identity: from.identity,
            serial,
            number: from.number,
            is_visited: true,
            has_ledger_id: from.has_ledger_id,
            geometry: from.geometry,
            source: from.source,
            ack: from.ack,
            before: from.before,
            is_old: from.is_old,
            phase: if from.is_alive { Phase::Live } else { Phase::Dying },
            chunks: ChunkTable::default(),
            definitions: Definitions::default(),
            local: LocalSeries::default(),
            lanes: Vec::new(),
            next_lane: 0,
            cells,
            live,
            pace: Pace::new(),
            life_asked_ns: now_ns,
            visited_ns: now_ns,
            moved_ns: now_ns,
            begun_ns: now_ns,
            complete_ns: 0,
            ack_failures: 0,
        }
    }

    /// Records that this pass has still to read.
    pub fn backlog(&self) -> u64 {
        self.lanes.iter().fold(0, |sum, lane| sum.saturating_add(lane.backlog()))
    }

    /// Whether everything that this pass found published is read.
    pub fn is_caught_up(&self) -> bool {
        self.definitions.is_complete() && self.lanes.iter().all(|lane| lane.backlog() == 0)
    }

    /// How full the fullest lane is, from 0 to 1.
    pub fn fill(&self) -> f64 {
        let most = self.lanes.iter().map(Lane::backlog).max().unwrap_or(0);
        most as f64 / self.geometry.lane_capacity.records() as f64
    }

    /// How long it has brought nothing new.
    pub fn idle_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.moved_ns.max(self.cells.moved_ns))
    }

    /// Capacity of each lane.
    pub fn capacity(&self) -> Capacity {
        self.geometry.lane_capacity
    }

    /// Whether its cells are still to be taken as a baseline.
    pub fn needs_baseline(&self) -> bool {
        self.before.is_vague() && self.complete_ns == 0
    }

    /// Tells the app what is committed: one write for all lanes that moved. The first one also
    /// says which ledger stands behind it.
    pub fn acknowledge(&mut self, ledger_id: [u8; 16]) {
        if !self.has_ledger_id {
            match self.ack.write(ack::LEDGER_ID_OFFSET_BYTES, &ledger_id) {
                Ok(()) => self.has_ledger_id = true,
                Err(_) => {
                    self.ack_failures = self.ack_failures.saturating_add(1);
                    return;
                }
            }
        }
        let moved = |lane: &Lane| lane.position != lane.acked;
        let Some(first) = self.lanes.iter().position(moved) else { return };
        let last = self.lanes.iter().rposition(moved).unwrap_or(first);
        let Some(range) = self.lanes.get(first..=last) else { return };
        let positions: Vec<u64> = range.iter().map(|lane| lane.position).collect();
        let Ok(first_lane) = u32::try_from(first) else { return };
        let at = ack::position_offset_bytes(first_lane);
        // PAIRS WITH: `lane-ack`, by way of the file: what was read of the lanes must not be read
        // after the app has been told that it may write there. A system call alone is no fence.
        fence_all();
        match self.ack.write(at, bytemuck::cast_slice(&positions)) {
            Ok(()) => self.lanes.iter_mut().for_each(|lane| lane.acked = lane.position),
            // Written again with the next pass; until then the app spills when a lane is full.
            Err(_) => self.ack_failures = self.ack_failures.saturating_add(1),
        }
    }

    /// Tells whoever sweeps that everything was taken.
    ///
    /// # Errors
    /// What the system says.
    pub fn acknowledge_final(&mut self) -> io::Result<()> {
        self.ack.write(ack::STATE_OFFSET_BYTES, &ack::STATE_FINAL.to_le_bytes())
    }
}
