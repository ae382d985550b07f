//! The protocol under every interleaving and every reordering that the memory model allows.
//!
//! The models run the functions of `lane` and the words of `word` that production runs, on heap
//! memory, under loom: see `tests/models.sh`, or
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p ringmeter-layout --release --test loom_lane \
//!     --target-dir target/loom
//! ```
//!
//! A model that cannot fail proves nothing. So every ordering and every order of steps that the
//! protocol needs has a mutant here, which does without it, and each must be caught: `MUTANTS` is
//! the list of those that were tried. Atomics alone do not show all of them, because loom knows
//! only a few old values of each; hence every payload word has a canary beside it, a plain cell
//! for which loom checks that no two threads touch it without order between them.

#![cfg(loom)]
// The one `unsafe` says that canaries may be shared: that is what they are there to find out.
#![allow(unsafe_code)]

#[path = "loom_lane/definitions.rs"]
mod definitions;
#[path = "loom_lane/hand_over.rs"]
mod hand_over;
#[path = "loom_lane/lane_cells.rs"]
mod lane_cells;
#[path = "loom_lane/private.rs"]
mod private;
#[path = "loom_lane/removal.rs"]
mod removal;
#[path = "loom_lane/ring.rs"]
mod ring;
#[path = "loom_lane/spill.rs"]
mod spill;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use loom::cell::UnsafeCell;
use ringmeter_layout::word::{Weakened, Word};

/// What a run does otherwise than production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Nothing: this is the proof.
    Nothing,
    TailStoreRelaxed,
    TailLoadRelaxed,
    AckStoreRelaxed,
    AckLoadRelaxed,
    /// The writer does not stop at the limit.
    LimitIgnored,
    /// The slots of a long record are published one after the other.
    TailForEachSlot,
    SpillStoreRelaxed,
    SpillLoadRelaxed,
    SharedSpillAddRelaxed,
    SharedSpillLoadRelaxed,
    /// The spill count is raised before the cell.
    SpillCountFirst,
    ChunkCountStoreRelaxed,
    ChunkCountLoadRelaxed,
    DefinitionCountStoreRelaxed,
    DefinitionCountLoadRelaxed,
    /// The reader reads the definition count before the tail.
    DefinitionCountBeforeTail,
    /// The reader reads the chunk count before the definition count.
    ChunkCountBeforeDefinitionCount,
    StateStoreRelaxed,
    StateExchangeRelaxed,
    LockFallRelaxed,
    LockQueryRelaxed,
    /// The reader asks for the lock after it has read the tail.
    TailBeforeLock,
    /// The last reading takes cells only where a spill count moved.
    CellsByCountOnly,
    /// A thread writes the cells of a lane that it has not claimed.
    LaneSharedByTwo,
    OpenStoreRelaxed,
    OpenLoadRelaxed,
    /// Who counts privately looks for a segment without a fence in between.
    NoFenceAfterPrivateCount,
    /// Who opens a segment moves the counts without order in between.
    UnorderedAfterOpening,
    /// Counts are moved by reading and clearing.
    MovedWithoutExchange,
}

impl Mutant {
    /// A word on which the store, addition or exchange is weakened by `write`, the load by `read`.
    pub(crate) fn word(self, write: (Self, Weakened), read: Self) -> Word {
        let weakened = match self {
            mutant if mutant == write.0 => write.1,
            mutant if mutant == read => Weakened::Load,
            _ => Weakened::Nothing,
        };
        Word::weakened(0, weakened)
    }
}

/// A plain memory location that is written and read together with a payload word.
#[derive(Debug, Default)]
pub(crate) struct Canary(UnsafeCell<()>);

// SAFETY:
// - The cell holds nothing, and no pointer to it is dereferenced.
// - loom panics when two threads use it without order between them: the models rely on it.
unsafe impl Sync for Canary {}

impl Canary {
    pub(crate) fn write(&self) {
        self.0.with_mut(|_| ());
    }

    pub(crate) fn read(&self) {
        self.0.with(|_| ());
    }
}

/// Counts over all executions of a model what must have happened in at least one of them.
#[derive(Debug)]
pub(crate) struct Seen(AtomicU64);

impl Seen {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn at_least(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    pub(crate) fn most(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

static EXECUTIONS: AtomicU64 = AtomicU64::new(0);

/// Runs a model in all its executions with at most `preemptions` preemptions each, or all of them.
pub(crate) fn explore(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        EXECUTIONS.fetch_add(1, Ordering::Relaxed);
        model();
    });
}

type Model = fn(Mutant);

const MODELS: &[(&str, Model)] = &[
    ("lane: writer and reader, wrap-around, full", ring::model),
    ("long records: several slots, one tail", ring::long_model),
    ("spill: lane's count and shared count", spill::model),
    ("definitions: chunk, definition, then a record of it", definitions::model),
    ("hand-over of a lane between two threads", hand_over::model),
    ("removal of a dead producer's segment", removal::model),
    ("lane cells: two owners in turn, and who reads their sum", lane_cells::model),
    ("private counts: moved once when a segment opens", private::model),
];

const MUTANTS: &[(Mutant, Model)] = &[
    (Mutant::TailStoreRelaxed, ring::model),
    (Mutant::TailLoadRelaxed, ring::model),
    (Mutant::AckStoreRelaxed, ring::model),
    (Mutant::AckLoadRelaxed, ring::model),
    (Mutant::LimitIgnored, ring::model),
    (Mutant::TailStoreRelaxed, ring::long_model),
    (Mutant::TailLoadRelaxed, ring::long_model),
    (Mutant::AckStoreRelaxed, ring::long_model),
    (Mutant::AckLoadRelaxed, ring::long_model),
    (Mutant::LimitIgnored, ring::long_model),
    (Mutant::TailForEachSlot, ring::long_model),
    (Mutant::SpillStoreRelaxed, spill::model),
    (Mutant::SpillLoadRelaxed, spill::model),
    (Mutant::SharedSpillAddRelaxed, spill::model),
    (Mutant::SharedSpillLoadRelaxed, spill::model),
    (Mutant::SpillCountFirst, spill::model),
    (Mutant::TailStoreRelaxed, definitions::model),
    (Mutant::TailLoadRelaxed, definitions::model),
    (Mutant::ChunkCountStoreRelaxed, definitions::model),
    (Mutant::ChunkCountLoadRelaxed, definitions::model),
    (Mutant::DefinitionCountStoreRelaxed, definitions::model),
    (Mutant::DefinitionCountLoadRelaxed, definitions::model),
    (Mutant::DefinitionCountBeforeTail, definitions::model),
    (Mutant::ChunkCountBeforeDefinitionCount, definitions::model),
    (Mutant::StateStoreRelaxed, hand_over::model),
    (Mutant::StateExchangeRelaxed, hand_over::model),
    (Mutant::LockFallRelaxed, removal::model),
    (Mutant::LockQueryRelaxed, removal::model),
    (Mutant::TailBeforeLock, removal::model),
    (Mutant::CellsByCountOnly, removal::model),
    (Mutant::StateStoreRelaxed, lane_cells::model),
    (Mutant::StateExchangeRelaxed, lane_cells::model),
    (Mutant::LaneSharedByTwo, lane_cells::model),
    (Mutant::OpenStoreRelaxed, private::model),
    (Mutant::OpenLoadRelaxed, private::model),
    (Mutant::NoFenceAfterPrivateCount, private::model),
    (Mutant::UnorderedAfterOpening, private::model),
    (Mutant::MovedWithoutExchange, private::model),
];

fn name_of(model: Model) -> &'static str {
    let found = MODELS.iter().find(|(_, known)| std::ptr::fn_addr_eq(*known, model));
    found.map_or("?", |(name, _)| name.split(':').next().unwrap_or(name))
}

/// One test on purpose: models and mutants share the count of executions, and the table that it
/// prints (with `--nocapture`) is the list that the documentation refers to.
#[test]
fn models_hold_and_mutants_are_caught() {
    for (name, model) in MODELS {
        let start = Instant::now();
        EXECUTIONS.store(0, Ordering::Relaxed);
        model(Mutant::Nothing);
        let executions = EXECUTIONS.load(Ordering::Relaxed);
        println!("holds  {name}: {executions} executions in {:.1?}", start.elapsed());
    }
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let outcomes: Vec<(Mutant, Model, Option<String>)> =
        MUTANTS.iter().map(|&(mutant, model)| (mutant, model, caught(mutant, model))).collect();
    std::panic::set_hook(quiet);
    let mut survivors = Vec::new();
    for (mutant, model, reason) in outcomes {
        let name = format!("{mutant:?}");
        match reason {
            Some(reason) => println!("caught {name:<32} in {}: {reason}", name_of(model)),
            None => survivors.push(format!("{name} in {}", name_of(model))),
        }
    }
    println!("{} models hold, {} mutants tried", MODELS.len(), MUTANTS.len());
    assert!(survivors.is_empty(), "mutants that no model noticed: {survivors:?}");
}

/// The first line of what the model said about the mutant, or nothing when it noticed nothing.
fn caught(mutant: Mutant, model: Model) -> Option<String> {
    let payload = catch_unwind(AssertUnwindSafe(|| model(mutant))).err()?;
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words");
    Some(text.lines().next().unwrap_or_default().to_owned())
}
