//! The section `limits`: one table, from which it is read and documented.

use std::time::Duration;

use super::section::{At, Problems, Section, format_bytes};
use crate::config::duration;
use crate::limits::Limits;

/// How a limit is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Count,
    Bytes,
    /// Kept in nanoseconds.
    Duration,
}

/// A field of [`Limits`], whatever its type.
enum Field<'a> {
    Size(&'a mut usize),
    Word(&'a mut u64),
    Half(&'a mut u32),
}

impl Field<'_> {
    fn get(&self) -> u64 {
        match self {
            Self::Size(value) => **value as u64,
            Self::Word(value) => **value,
            Self::Half(value) => u64::from(**value),
        }
    }

    /// The table's ranges fit into the fields.
    fn set(self, value: u64) {
        match self {
            Self::Size(own) => *own = usize::try_from(value).unwrap_or(usize::MAX),
            Self::Word(own) => *own = value,
            Self::Half(own) => *own = u32::try_from(value).unwrap_or(u32::MAX),
        }
    }
}

/// One limit in the file.
struct LimitKey {
    key: &'static str,
    help: &'static str,
    form: Form,
    low: u64,
    high: u64,
    field: fn(&mut Limits) -> Field<'_>,
}

const SECOND_NS: u64 = 1_000_000_000;
const MILLISECOND_NS: u64 = 1_000_000;

/// Every limit that can be set, in the order of [`Limits`].
const LIMITS: &[LimitKey] = &[
    LimitKey {
        key: "segments_max",
        help: "Processes attached at once. The segments of others wait, and lose nothing.",
        form: Form::Count,
        low: 1,
        high: 65_536,
        field: |limits| Field::Size(&mut limits.segments_max),
    },
    LimitKey {
        key: "directory_entries_max",
        help: "Entries of the segments directory looked at in one listing.",
        form: Form::Count,
        low: 64,
        high: 1 << 20,
        field: |limits| Field::Size(&mut limits.directory_entries_max),
    },
    LimitKey {
        key: "families_max",
        help: "Metrics, contradicting definitions of one name counted apart. Records of others are \
               rejected and counted.",
        form: Form::Count,
        low: 1,
        high: 1 << 20,
        field: |limits| Field::Size(&mut limits.families_max),
    },
    LimitKey {
        key: "variants_max",
        help: "Contradicting definitions of one metric. Records of others are rejected and counted.",
        form: Form::Count,
        low: 1,
        high: 4096,
        field: |limits| Field::Size(&mut limits.variants_max),
    },
    LimitKey {
        key: "series_max",
        help: "Series over all metrics. Beyond, values count in the metric's overflow series.",
        form: Form::Count,
        low: 1,
        high: 1 << 24,
        field: |limits| Field::Size(&mut limits.series_max),
    },
    LimitKey {
        key: "series_per_segment_max",
        help: "Series that one process may define. Beyond, values count in the overflow series.",
        form: Form::Count,
        low: 1,
        high: 1 << 24,
        field: |limits| Field::Size(&mut limits.series_per_segment_max),
    },
    LimitKey {
        key: "memory_max",
        help: "Memory for texts, buckets and marks of all processes. Beyond, detail is given up and \
               counted; totals are kept.",
        form: Form::Bytes,
        low: 1 << 20,
        high: 1 << 40,
        field: |limits| Field::Word(&mut limits.memory_max_bytes),
    },
    LimitKey {
        key: "segment_memory_max",
        help: "Memory for the definitions of one process. Beyond, its segment is refused.",
        form: Form::Bytes,
        low: 1 << 16,
        high: 1 << 40,
        field: |limits| Field::Word(&mut limits.segment_memory_max_bytes),
    },
    LimitKey {
        key: "cells_per_segment_max",
        help: "Cells of one process that are read. What is in others waits there.",
        form: Form::Bytes,
        low: 1 << 16,
        high: 1 << 40,
        field: |limits| Field::Word(&mut limits.cells_per_segment_max_bytes),
    },
    LimitKey {
        key: "definitions_per_round",
        help: "Definitions read from one process between two looks at the others.",
        form: Form::Count,
        low: 1,
        high: 1 << 20,
        field: |limits| Field::Half(&mut limits.definitions_per_round),
    },
    LimitKey {
        key: "records_per_round",
        help: "Records (16 bytes) read from one lane between two looks at the others.",
        form: Form::Count,
        low: 64,
        high: 1 << 20,
        field: |limits| Field::Word(&mut limits.records_per_round),
    },
    LimitKey {
        key: "records_per_step",
        help: "Records read from one process between two looks at the others.",
        form: Form::Count,
        low: 64,
        high: 1 << 24,
        field: |limits| Field::Word(&mut limits.records_per_step),
    },
    LimitKey {
        key: "pass_duration_max",
        help: "A pass ends after this, even if lanes are not empty.",
        form: Form::Duration,
        low: MILLISECOND_NS,
        high: 10 * SECOND_NS,
        field: |limits| Field::Word(&mut limits.pass_duration_max_ns),
    },
    LimitKey {
        key: "scrape_duration_max",
        help: "A pass for a scrape ends after this.",
        form: Form::Duration,
        low: MILLISECOND_NS,
        high: 10 * SECOND_NS,
        field: |limits| Field::Word(&mut limits.scrape_duration_max_ns),
    },
    LimitKey {
        key: "spill_interval",
        help: "Cells are read at most once in this time, and at every scrape.",
        form: Form::Duration,
        low: MILLISECOND_NS,
        high: 60 * SECOND_NS,
        field: |limits| Field::Word(&mut limits.spill_interval_ns),
    },
    LimitKey {
        key: "spill_late_after",
        help: "What was found in cells later than this is left out of sliding windows.",
        form: Form::Duration,
        low: MILLISECOND_NS,
        high: 3600 * SECOND_NS,
        field: |limits| Field::Word(&mut limits.spill_late_after_ns),
    },
    LimitKey {
        key: "life_interval",
        help: "How often it is asked whether a process is still there.",
        form: Form::Duration,
        low: MILLISECOND_NS,
        high: 60 * SECOND_NS,
        field: |limits| Field::Word(&mut limits.life_interval_ns),
    },
    LimitKey {
        key: "tail_failures_max",
        help: "A lane's position that cannot be right is read again in this many passes, before its \
               segment is refused.",
        form: Form::Count,
        low: 1,
        high: 1000,
        field: |limits| Field::Half(&mut limits.tail_failures_max),
    },
];

/// Reads the section.
pub(super) fn read(at: At<'_>, problems: &mut Problems) -> Option<Limits> {
    let keys: Vec<&str> = LIMITS.iter().map(|limit| limit.key).collect();
    let section = Section::new(at, &keys, problems);
    let mut limits = Limits::default();
    for limit in LIMITS {
        let range = (limit.low, limit.high);
        let value = match limit.form {
            Form::Count => section.number(limit.key, range, problems),
            Form::Bytes => section.bytes(limit.key, range, problems),
            Form::Duration => {
                let range = (Duration::from_nanos(limit.low), Duration::from_nanos(limit.high));
                let value = section.duration(limit.key, range, problems);
                value.and_then(|value| u64::try_from(value.as_nanos()).ok())
            }
        };
        if let Some(value) = value {
            (limit.field)(&mut limits).set(value);
        }
    }
    Some(limits)
}

/// Each key with its help, its range and its default, as the file has them.
pub(super) fn documented() -> impl Iterator<Item = (&'static str, String, String)> {
    LIMITS.iter().map(|limit| {
        let mut limits = Limits::default();
        let write = |value: u64| match limit.form {
            Form::Count => value.to_string(),
            Form::Bytes => format_bytes(value),
            Form::Duration => duration::format(Duration::from_nanos(value)),
        };
        let (low, high) = (write(limit.low), write(limit.high));
        let help = format!("{} From {low} to {high}.", limit.help);
        (limit.key, help, write((limit.field)(&mut limits).get()))
    })
}
