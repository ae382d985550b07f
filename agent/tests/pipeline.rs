//! From segment files to exposition, without an app: segments are written by hand.
#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "pipeline/scratch.rs"]
mod scratch;
#[path = "pipeline/stage.rs"]
mod stage;
#[path = "pipeline/writer.rs"]
mod writer;

#[path = "pipeline/exemplars.rs"]
mod exemplars;
#[path = "pipeline/fair.rs"]
mod fair;
#[path = "pipeline/half.rs"]
mod half;
#[path = "pipeline/hostile.rs"]
mod hostile;
#[path = "pipeline/life.rs"]
mod life;
#[path = "pipeline/merge.rs"]
mod merge;
#[path = "pipeline/names.rs"]
mod names;
#[path = "pipeline/pieces.rs"]
mod pieces;
#[path = "pipeline/refused.rs"]
mod refused;
#[path = "pipeline/retain.rs"]
mod retain;
#[path = "pipeline/retire.rs"]
mod retire;
#[path = "pipeline/shown.rs"]
mod shown;
#[path = "pipeline/steady.rs"]
mod steady;
