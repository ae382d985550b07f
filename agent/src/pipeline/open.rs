//! The start: from a ledger, if there is one to go on with.

use std::collections::BTreeMap;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use ringmeter_layout::ack::STATE_FINAL;
use ringmeter_layout::naming::SegmentName;

use super::own::Own;
use super::{ACKS_MAX, Known, Pipeline};
use crate::aggregate::Aggregate;
use crate::attach::Files;
use crate::broken::{self, Break};
use crate::ledger::{self, Contents, Ledger, LedgerError, Place, Reason};
use crate::limits::Limits;
use crate::segment::{Entry, Kept};

/// A ledger that was read and makes sense.
#[derive(Debug)]
pub struct Restored {
    contents: Contents,
    aggregate: Aggregate,
    kept: Vec<Kept>,
}

impl Restored {
    /// Reads the bytes of a ledger and its journal; `Ok(None)` when nothing was ever in it.
    ///
    /// A pure function that accepts any bytes.
    ///
    /// # Errors
    /// Why it is not to be used.
    pub fn parse(
        ledger: &[u8],
        journal: &[u8],
        limits: &Limits,
        now_ns: u64,
    ) -> Result<Option<Self>, LedgerError> {
        let Some(contents) = ledger::parse(ledger, journal)? else { return Ok(None) };
        let mut aggregate = Aggregate::new(limits.clone());
        aggregate.restore(&contents, now_ns)?;
        let kept = Kept::all(&contents)?;
        Ok(Some(Self { contents, aggregate, kept }))
    }

    /// What the bytes held.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The totals.
    pub fn aggregate(&mut self) -> &mut Aggregate {
        &mut self.aggregate
    }

    /// Asks the ack files whether this is the ledger that stood behind them, and not an old copy.
    fn check_acks(&self, files: &Files) -> Result<(), LedgerError> {
        let kept: BTreeMap<SegmentName, &Kept> =
            self.kept.iter().map(|kept| (kept.name, kept)).collect();
        // Without acks nobody was told anything.
        let acks = files.acks(ACKS_MAX).unwrap_or_default();
        for (name, header, positions) in acks {
            let is_ours = header.ledger_id == self.contents.id;
            let stale = |what: String| {
                let name = name.ack_file();
                let detail = format!("{} is ahead of it: {what}", name.as_str());
                Err(LedgerError::new(Reason::Stale, detail))
            };
            let Some(kept) = kept.get(&name) else {
                // The entry of a segment goes after its file, and the ack after the entry.
                if is_ours && files.identity(&name).is_ok() {
                    return stale("it does not know the segment".to_owned());
                }
                continue;
            };
            if !is_ours && header.ledger_id != [0; 16] {
                let detail = format!("{} names another ledger", name.ack_file().as_str());
                return Err(LedgerError::new(Reason::Foreign, detail));
            }
            if kept.is_final {
                continue;
            }
            if header.state == STATE_FINAL {
                return stale("everything was taken".to_owned());
            }
            let own = kept.lanes.iter().map(|lane| lane.position).chain(std::iter::repeat(0));
            let ahead = positions.iter().zip(own).position(|(acked, own)| *acked > own);
            if let Some(lane) = ahead {
                return stale(format!("lane {lane}"));
            }
        }
        Ok(())
    }
}

impl Pipeline {
    /// Opens the ledger, and goes on from it where that is right; else it is set aside.
    ///
    /// # Errors
    /// When the files of the ledger cannot be opened or read.
    pub fn open(files: Files, place: &Place, limits: Limits, now_ns: u64) -> io::Result<Self> {
        let disk = place.open()?;
        let (bytes, journal) = place.read(&disk)?;
        let restored = Restored::parse(&bytes, &journal, &limits, now_ns).and_then(|restored| {
            restored.as_ref().map_or(Ok(()), |own| own.check_acks(&files))?;
            Ok(restored)
        });
        drop((bytes, journal));
        match restored {
            Ok(Some(restored)) => {
                let ledger = Ledger::resume(Box::new(disk), &restored.contents);
                Ok(Self::resume(files, ledger, restored, limits))
            }
            Ok(None) => Ok(Self::new(files, fresh(disk), limits)),
            Err(error) => {
                let kept = place.set_aside(error.reason)?;
                tracing::error!(
                    reason = error.reason.as_str(),
                    detail = error.detail,
                    kept_as = %kept.display(),
                    "the ledger is set aside: totals begin anew, nothing is counted twice"
                );
                let mut own = Self::new(files, fresh(place.open()?), limits);
                if let Some(count) = own.set_aside.get_mut(error.reason as usize) {
                    *count += 1;
                }
                Ok(own)
            }
        }
    }

    fn resume(files: Files, ledger: Ledger, restored: Restored, limits: Limits) -> Self {
        let Restored { contents, aggregate, kept } = restored;
        let own = Own::restore(&contents);
        let mut new = Self::new(files, ledger, limits);
        new.aggregate = aggregate;
        new.aggregate.rejected = own.rejected.clone();
        new.aggregate.overflowed = own.overflowed.clone();
        new.aggregate.exemplars_dropped = own.exemplars_dropped.clone();
        new.aggregate.expired_series = own.expired_series;
        new.aggregate.expired_families = own.expired_families;
        new.aggregate.budget().set_refusals(own.memory_refusals);
        new.counts = own.counts.clone();
        new.ack_failures = own.ack_failures;
        new.timing.passes = own.passes;
        new.timing.scrapes_incomplete = own.scrapes_incomplete;
        new.set_aside = own.set_aside;
        new.service = super::own::restore_service(&contents);
        new.committing = own.clone();
        new.committed = own;
        let used: Vec<u32> = kept.iter().map(|kept| kept.number).collect();
        new.next_number = used.iter().max().map_or(0, |most| most.saturating_add(1));
        for mut kept in kept {
            if broken::is(Break::CellsReset) {
                kept.marks.clear();
            }
            let entry = Entry::of(&kept);
            let (is_final, is_attached) = (kept.is_final, false);
            let known = Known { entry, is_attached, is_final, kept: Some(Box::new(kept)) };
            if let Some(kept) = &known.kept {
                new.known.insert(kept.name, known);
            }
        }
        // What the journal holds has to be in place before anything else.
        new.retry();
        tracing::info!(commit = new.ledger.sequence(), "going on from the ledger");
        new
    }
}

fn fresh(disk: ledger::Files) -> Ledger {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let created_unix_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    Ledger::new(Box::new(disk), random_id(), created_unix_ns)
}

/// Hash keys of the standard library come from the system's random numbers.
fn random_id() -> [u8; 16] {
    use std::hash::BuildHasher;
    let word = || std::hash::RandomState::new().hash_one(std::process::id()) | 1;
    bytemuck::cast([word(), word()])
}
