//! A stand-in for the agent: drains lanes between two timed stretches.
//!
//! A dense loop of two nanoseconds a record fills the default lane in eight microseconds, so what
//! is timed is a stretch of half a lane. Between two stretches the stand-in reads the new records
//! with `pread`, adds them up, and acknowledges them in the ack file, as the agent does. It runs
//! on the thread that records, outside the timed stretch, and each thread drains its own lane:
//! what a reader on another core does to the producer is a row of its own, with the real agent.
//!
//! It believes what it reads: the segment is this process' own.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytemuck::Zeroable;
use ringmeter::{Producer, Status};
use ringmeter_layout::ack::{AckHeader, position_offset_bytes};
use ringmeter_layout::cell;
use ringmeter_layout::definition::Definition;
use ringmeter_layout::naming::Kind;
use ringmeter_layout::record::{Operation, Record, shape_of};
use ringmeter_layout::segment::{
    ChunkKind, ChunkTable, Geometry, LANES_MAX, LIVE_OFFSET_BYTES, RawChunk, RawControl, RawLive,
    chunk_entry_offset_bytes, control_offset_bytes, live_word_offset_bytes,
};

use crate::error::{Failure, Outcome};

/// What was recorded in a metric: how often, and the sum.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Total {
    /// Records, or the count of a distribution; for a gauge its value.
    pub count: f64,
    /// Sum of the values recorded.
    pub sum: f64,
}

impl Total {
    fn plus(self, other: Self) -> Self {
        Self { count: self.count + other.count, sum: self.sum + other.sum }
    }
}

thread_local! {
    /// The lane of this thread, once it is known.
    static OWN_LANE: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Drains the segment of one producer in this process.
#[derive(Debug)]
pub struct StandIn {
    producer: Producer,
    segment: File,
    geometry: Geometry,
    ack_path: PathBuf,
    ack: Option<File>,
    claiming: Mutex<()>,
    /// By lane, so that threads do not wait for each other.
    lanes: Vec<Mutex<Drained>>,
}

/// What was taken from a lane.
#[derive(Debug, Default)]
struct Drained {
    position: u64,
    totals: HashMap<u32, Total>,
    batch: Vec<Record>,
}

/// A series of a metric in the segment.
struct Series {
    id: u32,
    kind: Kind,
    cell_offset_bytes: u64,
    bounds: usize,
    /// Number of its cell in each lane, if there are so many.
    lane_cell: Option<u32>,
}

impl StandIn {
    /// Stands in for the agent of `directory`, for a producer that has a segment there. Without
    /// `acknowledge` it only reads cells: lanes stay full, as when no agent runs.
    ///
    /// # Errors
    /// When the producer has no segment, or a file cannot be opened.
    pub fn new(producer: &Producer, directory: &Path, acknowledge: bool) -> Outcome<Self> {
        let Status::Shared { path, .. } = producer.status() else {
            return Err(Failure::new(format!("no segment: {:?}", producer.status())));
        };
        let segment = File::open(&path)?;
        let mut page = vec![0; LIVE_OFFSET_BYTES as usize];
        segment.read_exact_at(&mut page, 0)?;
        let geometry = Geometry::parse(&page)?;
        let agent = directory.join("agent");
        std::fs::create_dir_all(&agent)?;
        let name = path.with_extension("ack");
        let ack_path = agent.join(name.file_name().unwrap_or_default());
        let ack = if acknowledge {
            let ack =
                OpenOptions::new().write(true).create(true).truncate(false).open(&ack_path)?;
            ack.write_all_at(bytemuck::bytes_of(&AckHeader::new(geometry.id, [0; 16])), 0)?;
            Some(ack)
        } else {
            None
        };
        let lanes = (0..LANES_MAX).map(|_| Mutex::default()).collect();
        let claiming = Mutex::default();
        Ok(Self { producer: *producer, segment, geometry, ack_path, ack, claiming, lanes })
    }

    /// Takes what is in this thread's lane, and acknowledges it. The first call of a thread
    /// claims the lane, so there must have been no record before. One stand-in only may be asked.
    ///
    /// # Errors
    /// When a file cannot be read or written, or no lane is left.
    pub fn drain_own(&self) -> Outcome<()> {
        let lane = match OWN_LANE.get() {
            Some(lane) => lane,
            None => self.claim()?,
        };
        OWN_LANE.set(Some(lane));
        self.drain_lane(lane)
    }

    /// Claims a lane for this thread and tells which: no other thread claims meanwhile.
    fn claim(&self) -> Outcome<u32> {
        let _alone = self.claiming.lock();
        let claims = || -> Outcome<Vec<u64>> {
            let lanes = u32::try_from(self.live()?.lane_count).unwrap_or(0);
            (0..lanes).map(|lane| Ok(self.control(lane)?.claims)).collect()
        };
        let before = claims()?;
        self.producer.prepare_thread();
        let after = claims()?;
        let claimed = (0..)
            .zip(&after)
            .find(|(lane, now)| before.get(*lane as usize).is_none_or(|before| before != *now));
        claimed.map(|(lane, _)| lane).ok_or_else(|| Failure::new("this thread claimed no lane"))
    }

    /// Takes what is in the lanes, and acknowledges it.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn drain(&self) -> Outcome<()> {
        let lanes = self.live()?.lane_count;
        (0..u32::try_from(lanes).unwrap_or(0)).try_for_each(|lane| self.drain_lane(lane))
    }

    fn drain_lane(&self, lane: u32) -> Outcome<()> {
        let (Some(ack), Some(drained)) = (&self.ack, self.lanes.get(lane as usize)) else {
            return Ok(());
        };
        let mut drained = drained.lock().unwrap_or_else(PoisonError::into_inner);
        let Drained { position: from, totals, batch } = &mut *drained;
        let control = self.control(lane)?;
        let mut position = *from;
        if position == control.tail {
            return Ok(());
        }
        let capacity = self.geometry.lane_capacity;
        while position < control.tail {
            let length = capacity.stretch_end(position, position).min(control.tail) - position;
            batch.resize(usize::try_from(length).unwrap_or(0), Record::zeroed());
            let offset = control.ring_offset_bytes + capacity.slot(position) * 16;
            self.segment.read_exact_at(bytemuck::cast_slice_mut(batch), offset)?;
            add_up(batch, totals);
            position += length;
        }
        *from = position;
        Ok(ack.write_all_at(&position.to_le_bytes(), position_offset_bytes(lane))?)
    }

    /// Whether somebody has acknowledged everything that was published.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn is_acknowledged(&self) -> Outcome<bool> {
        let Ok(ack) = File::open(&self.ack_path) else { return Ok(false) };
        for lane in 0..u32::try_from(self.live()?.lane_count).unwrap_or(0) {
            let mut position = [0; 8];
            let read = ack.read_exact_at(&mut position, position_offset_bytes(lane));
            if read.is_err() || u64::from_le_bytes(position) != self.control(lane)?.tail {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Everything recorded in the metric of this name so far, over its series, from lanes
    /// (as far as drained) and cells.
    ///
    /// # Errors
    /// When there is no such metric, or a file cannot be read.
    pub fn total(&self, name: &str) -> Outcome<Total> {
        self.drain()?;
        let series = self.series(name)?;
        if series.is_empty() {
            return Err(Failure::new(format!("{name} is not defined in the segment")));
        }
        let mut sum = Total::default();
        for one in series {
            sum = sum.plus(self.cell_total(&one)?);
            for lane in &self.lanes {
                let drained = lane.lock().unwrap_or_else(PoisonError::into_inner);
                sum = sum.plus(drained.totals.get(&one.id).copied().unwrap_or_default());
            }
        }
        Ok(sum)
    }

    /// Records that went to cells so far, for want of room or of a lane.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn spilled(&self) -> Outcome<u64> {
        let live = self.live()?;
        let mut spilled = live.shared_spill_count;
        for lane in 0..u32::try_from(live.lane_count).unwrap_or(0) {
            spilled += self.control(lane)?.spill_count;
        }
        Ok(spilled)
    }

    fn cell_total(&self, series: &Series) -> Outcome<Total> {
        let word = |index: usize| -> Outcome<u64> {
            let mut bytes = [0; 8];
            self.segment.read_exact_at(&mut bytes, series.cell_offset_bytes + index as u64 * 8)?;
            Ok(u64::from_le_bytes(bytes))
        };
        match series.kind {
            Kind::Counter => {
                let in_lanes = self.in_lanes(series.lane_cell)?.into_iter();
                let integer = in_lanes.fold(word(cell::COUNTER_INTEGER)?, u64::wrapping_add) as f64;
                let total = integer + f64::from_bits(word(cell::COUNTER_FLOAT)?);
                Ok(Total { count: total, sum: total })
            }
            Kind::Gauge => {
                let value = f64::from_bits(word(cell::GAUGE_VALUE)?);
                Ok(Total { count: value, sum: value })
            }
            Kind::Histogram | Kind::Summary => {
                let base2 =
                    ringmeter_layout::bucket::spill_bucket_count(self.geometry.spill_schema);
                let first = cell::DISTRIBUTION_HEAD_WORDS + base2 as usize;
                let mut count = 0;
                for bucket in first..=first + series.bounds {
                    count += word(bucket)?;
                }
                let in_lanes = self.in_lanes(series.lane_cell)?.into_iter();
                let sum = f64::from_bits(word(cell::DISTRIBUTION_SUM)?)
                    + in_lanes.map(f64::from_bits).sum::<f64>();
                Ok(Total { count: count as f64, sum })
            }
        }
    }

    /// What the cells of all lanes hold of a series.
    fn in_lanes(&self, lane_cell: Option<u32>) -> Outcome<Vec<u64>> {
        let mut found = Vec::new();
        let Some(number) = lane_cell.filter(|number| *number < self.geometry.lane_cells) else {
            return Ok(found);
        };
        for lane in 0..u32::try_from(self.live()?.lane_count).unwrap_or(0) {
            let cells = self.control(lane)?.cells_offset_bytes;
            if cells > 0 {
                let mut bytes = [0; 8];
                self.segment.read_exact_at(&mut bytes, cells + u64::from(number) * 8)?;
                found.push(u64::from_le_bytes(bytes));
            }
        }
        Ok(found)
    }

    fn live(&self) -> Outcome<RawLive> {
        let mut live = RawLive::zeroed();
        self.segment.read_exact_at(bytemuck::bytes_of_mut(&mut live), live_word_offset_bytes(0))?;
        Ok(live)
    }

    fn control(&self, lane: u32) -> Outcome<RawControl> {
        let mut control = RawControl::zeroed();
        let offset = control_offset_bytes(lane);
        self.segment.read_exact_at(bytemuck::bytes_of_mut(&mut control), offset)?;
        Ok(control)
    }

    /// The series of the metric of this name.
    fn series(&self, name: &str) -> Outcome<Vec<Series>> {
        let mut families = HashMap::new();
        let mut series = Vec::new();
        let mut lane_cells = 0_u32;
        for definition in self.definitions()? {
            match definition {
                Definition::Family(family) => {
                    families.insert(family.id, family);
                }
                Definition::Series(one) => {
                    let Some(family) = families.get(&one.family) else { continue };
                    let kind = family.kind;
                    let lane_cell = cell::has_lane_cell(kind).then_some(lane_cells);
                    lane_cells += u32::from(cell::has_lane_cell(kind));
                    if family.name == name {
                        let (bounds, cell_offset_bytes) =
                            (family.bounds.len(), one.cell_offset_bytes);
                        series.push(Series {
                            id: one.id,
                            kind,
                            cell_offset_bytes,
                            bounds,
                            lane_cell,
                        });
                    }
                }
                Definition::EndOfChunk => {}
            }
        }
        Ok(series)
    }

    fn definitions(&self) -> Outcome<Vec<Definition>> {
        let live = self.live()?;
        let size = self.segment.metadata()?.len();
        let mut table = ChunkTable::default();
        for index in 0..table.check_count(live.chunk_count)? {
            let mut raw = RawChunk::zeroed();
            let offset = chunk_entry_offset_bytes(index);
            self.segment.read_exact_at(bytemuck::bytes_of_mut(&mut raw), offset)?;
            table.push(&raw, &self.geometry, size)?;
        }
        let mut left = live.definition_count;
        let mut definitions = Vec::new();
        let chunks = table.chunks().iter().filter(|chunk| chunk.kind == ChunkKind::Definitions);
        for chunk in chunks {
            let mut bytes = vec![0; usize::try_from(chunk.length_bytes).unwrap_or(0)];
            self.segment.read_exact_at(&mut bytes, chunk.offset_bytes)?;
            let mut rest = &bytes[..];
            while left > 0 && !rest.is_empty() {
                let (definition, length) = Definition::parse(rest)?;
                if definition == Definition::EndOfChunk {
                    break;
                }
                definitions.push(definition);
                rest = &rest[length..];
                left -= 1;
            }
        }
        Ok(definitions)
    }
}

/// Adds a batch to its series, by runs of one series: a benchmark records little else.
fn add_up(batch: &[Record], totals: &mut HashMap<u32, Total>) {
    for run in batch.chunk_by(|a, b| a.word == b.word) {
        let Some(first) = run.first() else { continue };
        let total = totals.entry(first.series()).or_default();
        if first.shape() == shape_of(Operation::AddU64) {
            let sum = run.iter().map(|record| record.value).sum::<u64>() as f64;
            total.count += sum;
            total.sum += sum;
        } else if first.shape() == shape_of(Operation::ObserveF64) {
            total.count += run.len() as f64;
            total.sum += run.iter().map(|record| f64::from_bits(record.value)).sum::<f64>();
        }
    }
}
