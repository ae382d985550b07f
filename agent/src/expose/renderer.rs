//! Each snapshot once, for however many scrapes.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Format;
use super::page::{Made, Page};
use super::{openmetrics, protobuf, text};
use crate::snapshot::Snapshot;

/// A format that nobody asked for in this many generations gives its memory back.
const IDLE_GENERATIONS_MAX: u64 = 64;

/// Pages with some families only, kept as long as their snapshot is the newest.
const SELECTIONS_MAX: usize = 4;

/// What is left to whoever configures the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RenderOptions {
    /// Whether OpenMetrics has a `_created` sample for each series. A server that does not know
    /// what to do with them stores them as series of their own; off by default, as elsewhere.
    pub created_samples: bool,
}

/// What a scrape asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// The format.
    pub format: Format,
    /// Only the families of these names, sorted; all if empty.
    pub names: Vec<String>,
    /// Whether to compress.
    pub gzip: bool,
}

/// Renders each snapshot once for each format, however many scrapes ask for it. Between scrapes
/// it keeps the last page of each format, from which it makes the next.
#[derive(Debug)]
pub struct Renderer {
    options: RenderOptions,
    kept: Vec<Kept>,
    selections: Vec<Selection>,
    renders: u64,
}

#[derive(Debug)]
struct Kept {
    format: Format,
    generation: u64,
    page: Page,
    gzip: Option<Arc<Vec<u8>>>,
}

#[derive(Debug)]
struct Selection {
    generation: u64,
    want: Want,
    bytes: Arc<Vec<u8>>,
}

impl Renderer {
    /// Nothing rendered yet.
    pub fn new(options: RenderOptions) -> Self {
        Self { options, kept: Vec::new(), selections: Vec::new(), renders: 0 }
    }

    /// How many pages were rendered, for whatever reason.
    pub fn renders(&self) -> u64 {
        self.renders
    }

    /// How the pages of a format were made so far.
    pub fn made(&self, format: Format) -> Made {
        self.kept
            .iter()
            .find(|kept| kept.format == format)
            .map_or_else(Made::default, |kept| kept.page.made())
    }

    /// A page of this generation or a later one, with its generation, if it is there already.
    pub fn ready(&self, generation: u64, want: &Want) -> Option<(Arc<Vec<u8>>, u64)> {
        if !want.names.is_empty() {
            let is_it = |own: &&Selection| own.generation >= generation && own.want == *want;
            let own = self.selections.iter().find(is_it)?;
            return Some((Arc::clone(&own.bytes), own.generation));
        }
        let is_it = |own: &&Kept| own.generation >= generation && own.format == want.format;
        let kept = self.kept.iter().find(is_it)?;
        let bytes = if want.gzip { kept.gzip.clone()? } else { kept.page.bytes() };
        Some((bytes, kept.generation))
    }

    /// What a scrape asks for.
    pub fn page(&mut self, snapshot: &Snapshot, want: &Want) -> Arc<Vec<u8>> {
        let generation = snapshot.generation();
        if let Some((ready, of)) = self.ready(generation, want)
            && of == generation
        {
            return ready;
        }
        self.selections.retain(|own| own.generation == generation);
        self.kept.retain(|own| {
            own.format == want.format || own.generation + IDLE_GENERATIONS_MAX > generation
        });
        if want.names.is_empty() { self.whole(snapshot, want) } else { self.select(snapshot, want) }
    }

    fn whole(&mut self, snapshot: &Snapshot, want: &Want) -> Arc<Vec<u8>> {
        let generation = snapshot.generation();
        let at = self.kept.iter().position(|own| own.format == want.format);
        let mut kept = match at {
            Some(at) => self.kept.swap_remove(at),
            None => self.fresh(want.format),
        };
        if kept.generation != generation || at.is_none() {
            kept.gzip = None;
            kept.page.render(snapshot);
            kept.generation = generation;
            self.renders += 1;
        }
        let wanted = if want.gzip {
            let Kept { gzip: compressed, page, .. } = &mut kept;
            Arc::clone(compressed.get_or_insert_with(|| Arc::new(gzip(&page.bytes()))))
        } else {
            kept.page.bytes()
        };
        self.kept.push(kept);
        wanted
    }

    fn fresh(&self, format: Format) -> Kept {
        let page = Page::new(format, self.options.created_samples);
        Kept { format, generation: 0, page, gzip: None }
    }

    fn select(&mut self, snapshot: &Snapshot, want: &Want) -> Arc<Vec<u8>> {
        let names: HashSet<&str> = want.names.iter().map(String::as_str).collect();
        let own = snapshot.only(&names);
        let mut page = Vec::new();
        match want.format {
            Format::Text => text::encode(&own, &mut page),
            Format::OpenMetrics => {
                openmetrics::encode(&own, self.options.created_samples, &mut page);
            }
            Format::Protobuf => protobuf::encode(&own, &mut page),
        }
        self.renders += 1;
        if want.gzip {
            page = gzip(&page);
        }
        let bytes = Arc::new(page);
        if self.selections.len() >= SELECTIONS_MAX {
            self.selections.remove(0);
        }
        let generation = snapshot.generation();
        self.selections.push(Selection {
            generation,
            want: want.clone(),
            bytes: Arc::clone(&bytes),
        });
        bytes
    }
}

/// Level 1: text this repetitive shrinks to a tenth anyway, and the scraper waits.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8 + 64), Compression::fast());
    // Writing to memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests;
