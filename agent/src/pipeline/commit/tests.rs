//! The end of a dead process' files: committed, then told, then removed, and never otherwise.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use ringmeter_layout::ack::STATE_OFFSET_BYTES;
use ringmeter_layout::file::Identity;
use ringmeter_layout::segment::Geometry;

use super::super::Waste;
use super::*;
use crate::attach::Files;
use crate::discover::Listing;
use crate::ledger::{Disk, File, Ledger};
use crate::limits::Limits;
use crate::segment::sample::header_page;
use crate::segment::{Attachment, Before};
use crate::source::AckSink;

/// What was done to files, in order.
#[derive(Debug, Default)]
struct Done {
    steps: Vec<Step>,
    /// Writes to the ledger, failed ones too, and the one that fails.
    writes: usize,
    failing: Option<usize>,
    is_ack_broken: bool,
    /// The segment.
    file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A part of a commit.
    Write,
    /// The ack says that everything was taken, while the segment is there or not.
    Final { is_there: bool },
}

#[derive(Clone, Default)]
struct World(Arc<Mutex<Done>>);

impl World {
    fn set_failing(&self, write: Option<usize>) {
        let mut done = self.0.lock().unwrap();
        (done.writes, done.failing) = (0, write);
    }

    fn steps(&self) -> Vec<Step> {
        std::mem::take(&mut self.0.lock().unwrap().steps)
    }

    fn write(&self) -> io::Result<()> {
        let mut done = self.0.lock().unwrap();
        done.writes += 1;
        if done.failing == Some(done.writes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        done.steps.push(Step::Write);
        Ok(())
    }
}

impl Disk for World {
    fn write(&mut self, _: File, _: u64, _: &[u8]) -> io::Result<()> {
        World::write(self)
    }

    fn read(&mut self, _: u64, bytes: &mut [u8]) -> io::Result<()> {
        bytes.fill(0);
        Ok(())
    }

    fn reserve(&mut self, _: u64) -> io::Result<()> {
        World::write(self)
    }

    fn shorten_journal(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

impl AckSink for World {
    fn write(&mut self, at: u64, _: &[u8]) -> io::Result<()> {
        let mut done = self.0.lock().unwrap();
        if done.is_ack_broken {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if at == STATE_OFFSET_BYTES {
            let is_there = done.file.exists();
            done.steps.push(Step::Final { is_there });
        }
        Ok(())
    }
}

/// A pipeline over a directory of its own, with the segment of a process that is dead.
struct Stage {
    world: World,
    pipeline: Pipeline,
    base: PathBuf,
    name: SegmentName,
}

static MADE: AtomicU32 = AtomicU32::new(0);

impl Stage {
    fn new() -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let directory = format!("ringmeter-commit-{}-{number}", std::process::id());
        let base = std::env::temp_dir().join(directory);
        let name = SegmentName::new("shop", [1; 16]).unwrap();
        for part in ["segments", "agent"] {
            fs::create_dir_all(base.join(part)).unwrap();
        }
        fs::write(base.join("agent").join(name.ack_file()), []).unwrap();
        let world = World::default();
        world.0.lock().unwrap().file = base.join("segments").join(name.segment_file());
        let files = Files::new(base.join("segments"), base.join("agent"));
        let ledger = Ledger::new(Box::new(world.clone()), [7; 16], 1);
        let pipeline = Pipeline::new(files, ledger, Limits::default());
        let mut stage = Self { world, pipeline, base, name };
        let segment = stage.segment();
        stage.pipeline.leave(segment, true, 1);
        stage
    }

    fn segment(&self) -> Segment {
        let bytes = header_page("shop", 1);
        let path = self.base.join("segments").join(self.name.segment_file());
        fs::write(&path, &bytes).unwrap();
        let file = fs::File::open(path).unwrap();
        let attachment = Attachment {
            name: self.name,
            identity: Identity::of(&file).unwrap(),
            geometry: Geometry::parse(&bytes).unwrap(),
            source: Box::new(file),
            ack: Box::new(self.world.clone()),
            has_ledger_id: true,
            before: Before::Nothing,
            kept: None,
            number: 0,
            is_old: false,
            is_alive: false,
        };
        Segment::new(attachment, 1, 1)
    }

    fn clean_up(&mut self) {
        self.pipeline.take_waste().into_iter().for_each(Waste::put_away);
    }

    fn has_segment(&self) -> bool {
        self.base.join("segments").join(self.name.segment_file()).exists()
    }

    fn has_ack(&self) -> bool {
        self.base.join("agent").join(self.name.ack_file()).exists()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.base);
    }
}

/// Whichever write of the commit fails, once and again.
#[test]
fn a_segment_is_removed_after_its_end_was_committed_and_told() {
    for failing in 1.. {
        let mut stage = Stage::new();
        stage.world.set_failing(Some(failing));
        if stage.pipeline.commit(Scope::Due) {
            // There were fewer writes.
            assert!(failing > 3, "room, the journal, and the copy into place");
            break;
        }
        stage.clean_up();
        let is_write = |step: &Step| *step == Step::Write;
        assert!(stage.has_segment() && stage.world.steps().iter().all(is_write), "{failing}");
        assert!(stage.pipeline.finals.is_empty());
        stage.world.set_failing(Some(1));
        assert!(!stage.pipeline.retry());
        stage.clean_up();
        assert!(stage.has_segment() && stage.world.steps().is_empty(), "{failing} and again");
        stage.world.set_failing(None);
        assert!(stage.pipeline.retry());
        let steps = stage.world.steps();
        let (last, writes) = steps.split_last().unwrap();
        assert_eq!(*last, Step::Final { is_there: true }, "{failing}: {steps:?}");
        assert!(!writes.is_empty() && writes.iter().all(is_write), "{failing}: {steps:?}");
        assert!(stage.has_segment(), "whoever waits for the commit does not wait for this");
        stage.clean_up();
        assert!(!stage.has_segment() && stage.has_ack(), "{failing}");
    }
}

#[test]
fn a_segment_whose_end_could_not_be_told_stays() {
    let mut stage = Stage::new();
    stage.world.0.lock().unwrap().is_ack_broken = true;
    assert!(stage.pipeline.commit(Scope::Due));
    stage.clean_up();
    assert!(stage.has_segment(), "an SDK that starts would not know that it may be removed");
    assert_eq!((stage.pipeline.finals.len(), stage.pipeline.ack_failures), (0, 1));
    assert!(stage.pipeline.known[&stage.name].is_final, "told when it is looked at again");
}

/// The ack of a segment that is gone stays until the ledger has forgotten the segment, and so
/// does its number there.
#[test]
fn an_ack_is_removed_after_the_ledger_has_forgotten_its_segment() {
    let mut stage = Stage::new();
    assert!(stage.pipeline.commit(Scope::Due));
    stage.clean_up();
    let name = stage.name;
    stage.pipeline.forget(&name);
    stage.world.set_failing(Some(1));
    assert!(!stage.pipeline.commit(Scope::Due));
    stage.clean_up();
    assert!(stage.has_ack() && stage.pipeline.free_numbers.is_empty());
    stage.world.set_failing(None);
    assert!(stage.pipeline.retry());
    stage.clean_up();
    assert!(!stage.has_ack());
    assert_eq!(stage.pipeline.free_numbers, [0]);
}

/// Its descriptors count as long as it is open, and nobody else removes it meanwhile.
#[test]
fn a_segment_that_was_handed_over_is_somebody_elses_until_it_is_closed() {
    let mut stage = Stage::new();
    assert!(stage.pipeline.take_waste().is_none(), "nothing is committed yet");
    assert!(stage.pipeline.commit(Scope::Due));
    let waste = stage.pipeline.take_waste();
    assert!(waste.is_some() && stage.pipeline.take_waste().is_none(), "handed over once");
    let (names, is_complete) = (vec![stage.name], true);
    let listing = Listing { names, is_complete, strangers: 0 };
    stage.pipeline.reconcile(&listing, 1);
    assert_eq!(stage.pipeline.unclosed.count(), 1);
    assert!(stage.has_segment());
    // Whoever had it came to no end: the next listing finds it.
    drop(waste);
    assert_eq!(stage.pipeline.unclosed.count(), 0);
    assert!(stage.has_segment());
    stage.pipeline.reconcile(&listing, 2);
    assert!(!stage.has_segment());
}

/// Two descriptors each: as many as there may be, wherever they are on their way out.
#[test]
fn a_segment_that_is_not_closed_yet_keeps_its_place() {
    let mut stage = Stage::new();
    stage.pipeline.limits.segments_max = 1;
    let next = SegmentName::new("shop", [2; 16]).unwrap();
    let waits = |stage: &mut Stage| {
        let listing = Listing { names: vec![next], is_complete: true, strangers: 0 };
        let inspection = stage.pipeline.plan(&listing);
        assert!(!stage.pipeline.is_listed, "nobody has looked into it");
        stage.pipeline.apply(inspection.carry_out(), 1);
        // Else the exposed variants would follow those that live before all are known.
        assert_eq!(stage.pipeline.is_listed, stage.pipeline.waiting == 0);
        stage.pipeline.waiting == 1
    };
    assert!(waits(&mut stage), "not committed");
    assert!(stage.pipeline.commit(Scope::Due));
    assert!(waits(&mut stage), "not handed over");
    let waste = stage.pipeline.take_waste().unwrap();
    assert!(waits(&mut stage), "not closed");
    waste.put_away();
    assert!(!waits(&mut stage), "its place is free");
    assert!(stage.pipeline.is_listed);
    waits(&mut stage);
    let piece = Listing { names: vec![next], is_complete: false, strangers: 0 };
    stage.pipeline.reconcile(&piece, 2);
    assert!(!stage.pipeline.is_listed, "there may be others");
}

/// It would lose its ack: that of its name is removed when the end of the old one is committed.
#[test]
fn a_name_that_comes_back_waits_until_its_old_ack_is_removed() {
    let mut stage = Stage::new();
    assert!(stage.pipeline.commit(Scope::Due));
    stage.clean_up();
    let name = stage.name;
    stage.pipeline.forget(&name);
    drop(stage.segment());
    let listing = Listing { names: vec![name], is_complete: true, strangers: 0 };
    stage.pipeline.reconcile(&listing, 1);
    assert_eq!(stage.pipeline.attached(), 0, "not committed yet");
    assert!(stage.pipeline.retry());
    stage.pipeline.reconcile(&listing, 2);
    assert_eq!(stage.pipeline.attached(), 0, "not handed over yet");
    let waste = stage.pipeline.take_waste().unwrap();
    stage.pipeline.reconcile(&listing, 3);
    assert_eq!(stage.pipeline.attached(), 0, "not removed yet");
    waste.put_away();
    stage.pipeline.reconcile(&listing, 4);
    assert!(stage.pipeline.attached() == 1 && stage.has_ack());
}

/// Whatever has the name meanwhile is not attached: its ack would be removed with the old one.
#[test]
fn an_ack_that_cannot_be_removed_is_tried_again_and_keeps_its_name() {
    let mut stage = Stage::new();
    assert!(stage.pipeline.commit(Scope::Due));
    stage.clean_up();
    let ack = stage.base.join("agent").join(stage.name.ack_file());
    fs::remove_file(&ack).unwrap();
    // A directory is no file that could be removed.
    fs::create_dir(&ack).unwrap();
    let name = stage.name;
    stage.pipeline.forget(&name);
    assert!(stage.pipeline.retry());
    stage.clean_up();
    assert!(ack.exists());
    drop(stage.segment());
    let listing = Listing { names: vec![name], is_complete: true, strangers: 0 };
    stage.pipeline.reconcile(&listing, 1);
    assert_eq!((stage.pipeline.attached(), stage.pipeline.refused.len()), (0, 0));
    fs::remove_dir(&ack).unwrap();
    stage.clean_up();
    assert!(stage.pipeline.take_waste().is_none(), "nothing else is to be put away");
    // With the next waste.
    let other = SegmentName::new("shop", [2; 16]).unwrap();
    stage.pipeline.gone.push((other, None));
    stage.clean_up();
    stage.pipeline.reconcile(&listing, 2);
    assert_eq!(stage.pipeline.attached(), 1);
}
