//! Snapshots to bytes: pure, no I/O.
//!
//! ```text
//!   Snapshot ► Renderer ─ per format: page before, in parts ► page now ► compressed
//! ```
//!
//! A snapshot is rendered once for each format that is asked for, however many ask. What did not
//! change since the page before is copied from it (see `parts`).

mod lines;
mod number;
pub mod openmetrics;
mod page;
mod parts;
pub mod protobuf;
mod renderer;
pub mod text;

pub use page::Made;
pub use renderer::{RenderOptions, Renderer, Want};

/// A format in which metrics can be scraped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Text 0.0.4.
    Text,
    /// OpenMetrics 1.0.0 as text.
    OpenMetrics,
    /// Delimited protobuf, with native histograms.
    Protobuf,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Text, Self::OpenMetrics, Self::Protobuf];
}
