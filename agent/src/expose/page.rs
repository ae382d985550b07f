//! One format's page, made from the one before.

use std::sync::Arc;

use super::Format;
use super::openmetrics::{self, Form, Forms};
use super::parts::{Part, patch_floats, patch_text};
use super::{protobuf, text};
use crate::snapshot::{FamilyBlock, Snapshot, Values};

/// A page never keeps more than this many times the memory that it fills.
const SLACK_FACTOR_MAX: usize = 4;

/// Below this size, spare memory is not worth returning.
const SLACK_FREE_BYTES: usize = 64 * 1024;

/// How many families were made how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Made {
    /// Families copied whole.
    pub copied: u64,
    /// Families of which only numbers were formatted.
    pub patched: u64,
    /// Families written from scratch.
    pub written: u64,
}

/// The last page of a format, and what it takes to make the next.
#[derive(Debug)]
pub(super) struct Page {
    format: Format,
    created: bool,
    bytes: Arc<Vec<u8>>,
    parts: Vec<Part>,
    /// Memory of the page before the last.
    spare: Vec<u8>,
    forms: Forms,
    scratch: Vec<u8>,
    made: Made,
}

impl Page {
    pub(super) fn new(format: Format, created: bool) -> Self {
        Self {
            format,
            created: created && format == Format::OpenMetrics,
            bytes: Arc::default(),
            parts: Vec::new(),
            spare: Vec::new(),
            forms: Forms::default(),
            scratch: Vec::new(),
            made: Made::default(),
        }
    }

    pub(super) fn made(&self) -> Made {
        self.made
    }

    /// The last page.
    pub(super) fn bytes(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.bytes)
    }

    /// Makes the snapshot's page.
    pub(super) fn render(&mut self, snapshot: &Snapshot) {
        let mut out = std::mem::take(&mut self.spare);
        out.clear();
        out.reserve(self.bytes.len() + self.bytes.len() / 16);
        let before = std::mem::take(&mut self.parts);
        let forms = match self.format {
            Format::OpenMetrics => self.forms.of(snapshot).to_vec(),
            Format::Text | Format::Protobuf => Vec::new(),
        };
        let mut old = before.into_iter().peekable();
        let mut parts = Vec::with_capacity(snapshot.families().len());
        for (index, block) in snapshot.families().iter().enumerate() {
            let form = forms.get(index).copied().unwrap_or(Form::Typed);
            // Both are sorted by name.
            let name = block.meta().name();
            while old.next_if(|part| part.block.meta().name() < name).is_some() {}
            let same = old.next_if(|part| part.block.meta().name() == name);
            parts.push(self.part(same, block, form, &mut out));
        }
        match self.format {
            Format::Text => text::end(&mut out),
            Format::OpenMetrics => openmetrics::end(&mut out),
            Format::Protobuf => {}
        }
        shrink(&mut out);
        let last = std::mem::replace(&mut self.bytes, Arc::new(out));
        self.parts = parts;
        // A slow reader may still hold it.
        self.spare = Arc::try_unwrap(last).unwrap_or_default();
        shrink(&mut self.scratch);
    }

    fn part(
        &mut self,
        old: Option<Part>,
        block: &FamilyBlock,
        form: Form,
        out: &mut Vec<u8>,
    ) -> Part {
        let begin = out.len();
        let form_number = form as u8;
        if let Some(mut old) = old {
            if old.form == form_number && old.block.is_same(block) {
                out.extend_from_slice(self.bytes.get(old.range.clone()).unwrap_or_default());
                self.made.copied += 1;
                old.range = begin..out.len();
                return old;
            }
            if old.can_become(block, form_number) && self.patch(&mut old, block, out) {
                self.made.patched += 1;
                let Part { spots, .. } = old;
                return Part::new(block.clone(), form_number, begin..out.len(), spots);
            }
            out.truncate(begin);
        }
        self.made.written += 1;
        let mut spots = Vec::new();
        match self.format {
            Format::Text => text::encode_family(block, out, &mut spots),
            Format::OpenMetrics => {
                openmetrics::encode_family(block, form, self.created, out, &mut spots);
            }
            Format::Protobuf => {
                protobuf::encode_family(block, out, &mut spots, &mut self.scratch);
            }
        }
        Part::new(block.clone(), form_number, begin..out.len(), spots)
    }

    fn patch(&self, old: &mut Part, block: &FamilyBlock, out: &mut Vec<u8>) -> bool {
        match (self.format, block.values()) {
            (Format::Protobuf, Values::Counter(_) | Values::Gauge(_)) => {
                patch_floats(old, &self.bytes, block, out)
            }
            (Format::Protobuf, _) => false,
            _ => patch_text(old, &self.bytes, block, self.created, out),
        }
    }
}

fn shrink(buffer: &mut Vec<u8>) {
    if buffer.capacity() > buffer.len().saturating_mul(SLACK_FACTOR_MAX) + SLACK_FREE_BYTES {
        buffer.shrink_to_fit();
    }
}
