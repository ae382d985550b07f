//! The Prometheus text format 0.0.4.
//!
//! Source: Prometheus documentation, "Exposition formats", text-based format. Labels, headers
//! and edges are rendered already; what is left per sample is copying and printing one number.

use super::lines::{Page, Style, samples};
use super::parts::Spot;
use crate::snapshot::{FamilyBlock, Snapshot};

#[cfg(test)]
mod tests;

/// The Content-Type of [`encode`]'s output.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const STYLE: Style = Style { exemplars: false, created: false };

/// Appends the snapshot to `out`. Families without series are left out; the last byte is always
/// a line feed, even if there is nothing to show.
pub fn encode(snapshot: &Snapshot, out: &mut Vec<u8>) {
    let mut spots = Vec::new();
    for family in snapshot.families() {
        encode_family(family, out, &mut spots);
        spots.clear();
    }
    end(out);
}

pub(super) fn encode_family(family: &FamilyBlock, out: &mut Vec<u8>, spots: &mut Vec<Spot>) {
    if family.series().is_empty() {
        return;
    }
    let mut page = Page::new(out, spots);
    page.text(family.meta().header().as_bytes());
    samples(family, STYLE, &mut page);
}

pub(super) fn end(out: &mut Vec<u8>) {
    if out.last() != Some(&b'\n') {
        out.push(b'\n');
    }
}
