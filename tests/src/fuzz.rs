//! What fuzz targets run, so that the stable toolchain can run every kept input again.
//!
//! An entry function takes any bytes and panics when a parser breaks a promise. The bytes are a
//! recipe: as they are, they would have to be 64 KiB long before the first interesting one.

use std::fmt::{Display, Write};
use std::sync::OnceLock;

use arbitrary::{Result, Unstructured};
use ringmeter_agent::config::file::FileConfig;
use ringmeter_agent::rule::relabel;
use ringmeter_layout::definition::{
    Definition, ENTRY_SIZE_MAX_BYTES, FamilyDefinition, SeriesDefinition,
};
use ringmeter_layout::naming::{self, GaugeRule, Kind};
use ringmeter_layout::segment::{self, ChunkKind, View};

use crate::golden;

/// Longest text that an error may be in a log: some numbers, one name of up to 128 bytes.
const ERROR_LENGTH_MAX_BYTES: usize = 512;

/// An error must say something, and must not be a way to fill logs.
fn check_error(error: &impl Display) {
    let mut text = String::new();
    assert!(write!(text, "{error}").is_ok());
    assert!((8..=ERROR_LENGTH_MAX_BYTES).contains(&text.len()), "{text}");
}

/// Reads a segment that the recipe makes: bytes as they are, or a golden segment with changes.
///
/// # Panics
/// When the reader breaks a promise.
pub fn segment(recipe: &[u8]) {
    match recipe.split_first() {
        Some((0, raw)) => check_segment(raw),
        Some((_, rest)) => check_segment(&changed_segment(rest)),
        None => check_segment(recipe),
    }
}

/// Reads a ledger that the recipe makes.
///
/// # Panics
/// When the reader breaks a promise.
pub fn ledger(recipe: &[u8]) {
    crate::ledger::fuzz(recipe);
}

/// Reads bytes as a configuration file, and uses what it says on a few series.
///
/// # Panics
/// When the reader breaks a promise: every problem has words of bounded length and a line of the
/// file, and what has no problem can be used.
pub fn config(text: &[u8]) {
    let lines = text.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    let config = match FileConfig::parse(text) {
        Ok(config) => config,
        Err(problems) => {
            assert!(!problems.is_empty() && problems.len() <= 101, "{}", problems.len());
            for problem in problems {
                // A line may end with a carriage return alone.
                let carriages = text.iter().filter(|byte| **byte == b'\r').count() as u64;
                let line = problem.place.line;
                assert!((1..=lines + carriages + 1).contains(&line), "{problem}");
                assert!(problem.message.len() < 4096, "{problem}");
            }
            return;
        }
    };
    let pairs = || [("code", "200"), ("route", "/pay/1"), ("a", "")].into_iter();
    for metric in ["app_latency_seconds", "a", "http_requests_total"] {
        let _ = config.rules.for_series(metric, pairs());
        if let Some(series) = relabel(&config.rules.relabel, metric, pairs()) {
            assert!(naming::metric_name(&series.name).is_ok(), "{}", series.name);
            assert!(series.labels.iter().all(|(_, value)| !value.is_empty()));
            assert!(series.labels.is_sorted());
        }
    }
}

/// Reads bytes as a segment and checks what the view promises.
///
/// # Panics
/// When the reader breaks a promise.
pub fn check_segment(bytes: &[u8]) {
    match segment::view(bytes) {
        Ok(view) => check_view(&view, bytes.len() as u64),
        Err(error) => check_error(&error),
    }
}

fn check_view(view: &View<'_>, length_bytes: u64) {
    let mut chunks = view.chunks.chunks().to_vec();
    chunks.sort_by_key(|chunk| chunk.offset_bytes);
    let mut end = 65_536;
    for chunk in &chunks {
        assert!(chunk.offset_bytes >= end && chunk.length_bytes >= 65_536, "{chunk:?}");
        end = chunk.end_bytes();
    }
    assert!(end <= length_bytes.max(65_536));
    let inside = |offset: u64, size: u64, kind: ChunkKind| {
        let holds = |chunk: &&segment::Chunk| {
            chunk.offset_bytes <= offset && offset + size <= chunk.end_bytes()
        };
        assert!(chunks.iter().find(holds).is_some_and(|chunk| chunk.kind == kind));
    };
    assert_eq!(view.dictionary.count(), view.live.definition_count);
    for series in view.dictionary.series() {
        let family = &view.dictionary.families()[series.family as usize];
        let kind = if family.kind == Kind::Gauge { ChunkKind::Gauges } else { ChunkKind::Cells };
        let words = view.cell(series).count() as u64;
        assert!(words >= 4);
        inside(series.cell_offset_bytes, words * 8, kind);
    }
    assert_eq!(view.lanes.len() as u64, view.live.lane_count);
    for (lane, index) in view.lanes.iter().zip(0..) {
        let size_bytes = lane.geometry.capacity.size_bytes();
        inside(lane.geometry.ring_offset_bytes, size_bytes, ChunkKind::Lanes);
        let cells = view.lane_cells(index).count() as u64;
        if let Some(offset_bytes) = lane.geometry.cells_offset_bytes {
            assert_eq!(cells, u64::from(view.geometry.lane_cells));
            inside(offset_bytes, cells * 8, ChunkKind::LaneCells);
        } else {
            assert_eq!(cells, 0);
        }
        for position in [0, 50, lane.tail, lane.tail.wrapping_sub(64)] {
            match view.records(index, position) {
                Ok(records) => {
                    assert_eq!(records.count() as u64, lane.tail.wrapping_sub(position));
                }
                Err(error) => check_error(&error),
            }
        }
    }
}

/// The golden segment, changed at up to 64 places and perhaps cut.
#[must_use]
pub fn changed_segment(recipe: &[u8]) -> Vec<u8> {
    static GOLDEN: OnceLock<Vec<u8>> = OnceLock::new();
    let mut bytes = GOLDEN.get_or_init(golden::segment).clone();
    let mut from = Unstructured::new(recipe);
    for _ in 0..64 {
        if from.is_empty() || change(&mut bytes, &mut from).is_err() {
            break;
        }
    }
    bytes
}

/// Where a change is likely to be read: header, live words, control lines, chunk table,
/// definitions; start and length.
const REGIONS: [(usize, usize); 6] =
    [(0, 192), (3968, 128), (4096, 256), (20480, 256), (65536, 1024), (0, 65536)];

const TELLING: [u64; 12] = [
    0,
    1,
    7,
    64,
    65_535,
    65_536,
    131_072,
    1 << 30,
    u32::MAX as u64,
    1 << 63,
    u64::MAX - 65_535,
    u64::MAX,
];

fn change(bytes: &mut Vec<u8>, from: &mut Unstructured<'_>) -> Result<()> {
    let (start, length) = *from.choose(&REGIONS)?;
    let at = start + from.choose_index(length)?;
    let end = bytes.len();
    let mut put = |at: usize, value: &[u8]| {
        if let Some(place) = bytes.get_mut(at.min(end)..(at + value.len()).min(end)) {
            place.copy_from_slice(&value[..place.len()]);
        }
    };
    match from.int_in_range(0..=5_u8)? {
        0 => put(at, &[from.arbitrary()?]),
        1 => put(at / 2 * 2, &from.arbitrary::<u16>()?.to_le_bytes()),
        2 => put(at / 4 * 4, &from.arbitrary::<u32>()?.to_le_bytes()),
        3 => put(at / 8 * 8, &from.choose(&TELLING)?.to_le_bytes()),
        4 => bytes.truncate(at + from.choose_index(6)? * 65_536),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << from.int_in_range(0..=7_u8)?;
            }
        }
    }
    Ok(())
}

/// Reads a definition that the recipe makes: bytes as they are, or an entry with a change.
///
/// # Panics
/// When the reader breaks a promise.
pub fn definition(recipe: &[u8]) {
    match recipe.split_first() {
        Some((0, raw)) => check_definition(raw),
        Some((_, rest)) => {
            // A recipe that ends early makes no entry.
            let _ = built_definition(&mut Unstructured::new(rest));
        }
        None => check_definition(recipe),
    }
}

/// Reads bytes as a definition. What is accepted must be exactly what a writer would write.
///
/// # Panics
/// When the reader breaks a promise.
pub fn check_definition(bytes: &[u8]) {
    match Definition::parse(bytes) {
        Ok((definition, length)) => {
            assert!(length % 8 == 0 && length <= bytes.len().min(ENTRY_SIZE_MAX_BYTES));
            match definition {
                Definition::Family(family) => assert_eq!(family.encode(), bytes[..length]),
                Definition::Series(series) => assert_eq!(series.encode(), bytes[..length]),
                Definition::EndOfChunk => assert_eq!(length, 8),
            }
        }
        Err(error) => check_error(&error),
    }
}

fn built_definition(from: &mut Unstructured<'_>) -> Result<()> {
    let (mut bytes, expected) = if from.arbitrary()? {
        let family = any_family(from)?;
        (family.encode(), family.validate().is_ok().then_some(Definition::Family(family)))
    } else {
        let series = any_series(from)?;
        let encoded = series.encode();
        let fits = encoded.len() <= ENTRY_SIZE_MAX_BYTES;
        (encoded, fits.then_some(Definition::Series(series)))
    };
    let found = Definition::parse(&bytes).ok();
    assert_eq!(found, expected.map(|definition| (definition, bytes.len())));
    let at = from.choose_index(bytes.len())?;
    bytes[at] ^= 1 << from.int_in_range(0..=7_u8)?;
    check_definition(&bytes);
    bytes.truncate(at);
    check_definition(&bytes);
    Ok(())
}

fn any_family(from: &mut Unstructured<'_>) -> Result<FamilyDefinition> {
    const NAMES: [&str; 8] =
        ["a", "b_total", "le", "quantile", "up", "ringmeter_overflow", "", "é"];
    let name = |from: &mut Unstructured<'_>| -> Result<String> {
        if from.ratio(7, 8)? { Ok((*from.choose(&NAMES)?).to_owned()) } else { from.arbitrary() }
    };
    let labels = from.int_in_range(0..=4)?;
    Ok(FamilyDefinition {
        id: from.arbitrary()?,
        kind: *from.choose(&Kind::ALL)?,
        gauge_rule: *from.choose(&GaugeRule::ALL)?,
        name: name(from)?,
        help: from.arbitrary()?,
        unit: name(from)?,
        label_names: (0..labels).map(|_| name(from)).collect::<Result<_>>()?,
        bounds: from.arbitrary()?,
        objectives: from.arbitrary()?,
        max_age_ms: from.int_in_range(0..=100)?,
        age_buckets: from.int_in_range(0..=61)?,
    })
}

fn any_series(from: &mut Unstructured<'_>) -> Result<SeriesDefinition> {
    let values = from.int_in_range(0..=32)?;
    Ok(SeriesDefinition {
        id: from.arbitrary()?,
        family: from.arbitrary()?,
        cell_offset_bytes: from.arbitrary()?,
        label_values: (0..values).map(|_| from.arbitrary()).collect::<Result<_>>()?,
        is_overflow: from.arbitrary()?,
    })
}
