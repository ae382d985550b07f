//! The section `limits`: one table, from which it is read and documented.

use std::time::Duration;

use super::units::{self, format_bytes};
use crate::config::duration;
use crate::limits::{Limits, RETENTION_MAX_NS};
use crate::yaml::{At, Problems, Section, number};

/// How a limit is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Count,
    Bytes,
    /// Kept in nanoseconds.
    Duration,
}

impl Form {
    fn write(self, value: u64) -> String {
        match self {
            Self::Count => value.to_string(),
            Self::Bytes => format_bytes(value),
            Self::Duration => duration::format(Duration::from_nanos(value)),
        }
    }
}

/// A field of [`Limits`], whatever its type.
enum Field<'a> {
    Size(&'a mut usize),
    Word(&'a mut u64),
    Half(&'a mut u32),
    /// 0 stands for none.
    Optional(&'a mut Option<u64>),
}

impl Field<'_> {
    fn get(&self) -> u64 {
        match self {
            Self::Size(value) => **value as u64,
            Self::Word(value) => **value,
            Self::Half(value) => u64::from(**value),
            Self::Optional(value) => value.unwrap_or(0),
        }
    }

    /// The table's ranges fit into the fields.
    fn set(self, value: u64) {
        match self {
            Self::Size(own) => *own = usize::try_from(value).unwrap_or(usize::MAX),
            Self::Word(own) => *own = value,
            Self::Half(own) => *own = u32::try_from(value).unwrap_or(u32::MAX),
            Self::Optional(own) => *own = Some(value).filter(|value| *value > 0),
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
        high: 16_384,
        field: |limits| Field::Size(&mut limits.segments_max),
    },
    LimitKey {
        key: "directory_entries_max",
        help: "Entries of the segments directory up to which a listing is complete: beyond, \
               what is left of processes that are gone is not removed.",
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
        high: 1 << 17,
        field: |limits| Field::Size(&mut limits.families_max),
    },
    LimitKey {
        key: "families_per_segment_max",
        help: "Metrics that one process may define before none that is new is taken from it; up to \
               families_max.",
        form: Form::Count,
        low: 1,
        high: 1 << 17,
        field: |limits| Field::Size(&mut limits.families_per_segment_max),
    },
    LimitKey {
        key: "variants_max",
        help: "Contradicting definitions of one metric. Records of others are rejected and \
               counted.",
        form: Form::Count,
        low: 1,
        high: 1024,
        field: |limits| Field::Size(&mut limits.variants_max),
    },
    LimitKey {
        key: "series_max",
        help: "Series over all metrics. Beyond, values count in the metric's overflow series.",
        form: Form::Count,
        low: 1,
        high: 1 << 19,
        field: |limits| Field::Size(&mut limits.series_max),
    },
    LimitKey {
        key: "series_per_family_max",
        help: "Series of one metric, its overflow series included; up to series_max.",
        form: Form::Count,
        low: 2,
        high: 1 << 19,
        field: |limits| Field::Size(&mut limits.series_per_family_max),
    },
    LimitKey {
        key: "series_per_segment_max",
        help: "Series that one process may define. Beyond, values count in the overflow series.",
        form: Form::Count,
        low: 1,
        high: 1 << 19,
        field: |limits| Field::Size(&mut limits.series_per_segment_max),
    },
    LimitKey {
        key: "label_value_max",
        help: "Longest label value. A series with a longer one counts in the overflow series.",
        form: Form::Bytes,
        low: 16,
        high: 1024,
        field: |limits| Field::Size(&mut limits.label_value_max_bytes),
    },
    LimitKey {
        key: "memory_max",
        help: "Memory for texts, buckets and marks of all processes. Beyond, detail is given up \
               and counted; totals are kept.",
        form: Form::Bytes,
        low: 16 << 20,
        high: 64 << 30,
        field: |limits| Field::Word(&mut limits.memory_max_bytes),
    },
    LimitKey {
        key: "segment_memory_max",
        help: "Memory for the definitions of one process. Beyond, its segment is refused.",
        form: Form::Bytes,
        low: 1 << 20,
        high: 64 << 30,
        field: |limits| Field::Word(&mut limits.segment_memory_max_bytes),
    },
    LimitKey {
        key: "cells_per_segment_max",
        help: "Cells of one process that are read. What is in others waits there.",
        form: Form::Bytes,
        low: 1 << 20,
        high: 1 << 30,
        field: |limits| Field::Word(&mut limits.cells_per_segment_max_bytes),
    },
    LimitKey {
        key: "definitions_per_round",
        help: "Definitions read from one process between two looks at the others.",
        form: Form::Count,
        low: 1,
        high: 65_536,
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
        key: "records_per_pass",
        help: "Records read from one process in a pass; a definition counts as 256.",
        form: Form::Count,
        low: 65_536,
        high: 1 << 30,
        field: |limits| Field::Word(&mut limits.records_per_pass),
    },
    LimitKey {
        key: "records_per_scrape",
        help: "Records of one process that a scrape waits for: as many as 64 lanes of the usual \
               length hold. If there are more, it does not wait for them and is incomplete.",
        form: Form::Count,
        low: 4096,
        high: 1 << 30,
        field: |limits| Field::Word(&mut limits.records_per_scrape),
    },
    LimitKey {
        key: "records_per_second",
        help: "Records read from one process in a second, on average, and at least ten times \
               records_per_pass. The rest waits, or comes through cells.",
        form: Form::Count,
        low: 655_360,
        high: 1 << 40,
        field: |limits| Field::Word(&mut limits.records_per_second),
    },
    LimitKey {
        key: "pass_duration_max",
        help: "A pass that is not for a scrape ends after this: it reads lanes for a millisecond, \
               then cells.",
        form: Form::Duration,
        low: MILLISECOND_NS,
        high: SECOND_NS,
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
        high: 10 * SECOND_NS,
        field: |limits| Field::Word(&mut limits.spill_interval_ns),
    },
    LimitKey {
        key: "spill_late_after",
        help: "What was found in cells later than this is left out of sliding windows.",
        form: Form::Duration,
        low: SECOND_NS,
        high: 3600 * SECOND_NS,
        field: |limits| Field::Word(&mut limits.spill_late_after_ns),
    },
    LimitKey {
        key: "life_interval",
        help: "How often it is asked whether a process is still there.",
        form: Form::Duration,
        low: MILLISECOND_NS,
        high: SECOND_NS,
        field: |limits| Field::Word(&mut limits.life_interval_ns),
    },
    LimitKey {
        key: "tail_failures_max",
        help: "A lane's position that cannot be right is read again in this many passes, before \
               its segment is refused.",
        form: Form::Count,
        low: 1,
        high: 1000,
        field: |limits| Field::Half(&mut limits.tail_failures_max),
    },
    LimitKey {
        key: "retention",
        help: "A series, and a metric, leaves this long after the last process that defined it; \
               0s: never. At least 1s otherwise.",
        form: Form::Duration,
        low: 0,
        high: RETENTION_MAX_NS,
        field: |limits| Field::Optional(&mut limits.retention_ns),
    },
];

/// Reads the section.
pub(super) fn read(at: &At<'_>, problems: &mut Problems) -> Option<Limits> {
    let keys: Vec<&str> = LIMITS.iter().map(|limit| limit.key).collect();
    let section = Section::new(at, &keys, problems);
    let mut limits = Limits::default();
    for limit in LIMITS {
        let range = (limit.low, limit.high);
        let value = match limit.form {
            Form::Count => section.read(limit.key, problems, number(range)),
            Form::Bytes => section.read(limit.key, problems, units::bytes(range)),
            Form::Duration => {
                let range = (Duration::from_nanos(limit.low), Duration::from_nanos(limit.high));
                let value = section.read(limit.key, problems, units::duration(range));
                value.and_then(|value| u64::try_from(value.as_nanos()).ok())
            }
        };
        if let Some(value) = value {
            (limit.field)(&mut limits).set(value);
        }
    }
    fit_unset(&mut limits, |key| section.at(key).is_none());
    if let Err(error) = limits.validate() {
        let is_own = |limit: &&LimitKey| error.field.starts_with(limit.key);
        // Of `memory_max` and its like the longest key that fits.
        let own = LIMITS.iter().filter(is_own).max_by_key(|limit| limit.key.len());
        if let Some(limit) = own {
            let (least, most) = (limit.form.write(error.least), limit.form.write(error.most));
            let value = limit.form.write(error.value);
            let message = format!("must be from {least} to {most} beside the others, not {value}");
            problems.add(&section.place_of(limit.key), message);
        }
    }
    Some(limits)
}

/// Limits that are not written follow those that are, where they may not be further apart.
fn fit_unset(limits: &mut Limits, is_unset: impl Fn(&str) -> bool) {
    let defaults = limits.clone();
    if is_unset("families_per_segment_max") {
        limits.families_per_segment_max =
            defaults.families_per_segment_max.min(defaults.families_max);
    }
    if is_unset("series_per_family_max") {
        limits.series_per_family_max =
            defaults.series_per_family_max.min(defaults.series_max.max(2));
    }
    if is_unset("series_per_segment_max") {
        limits.series_per_segment_max = defaults.series_per_segment_max.min(defaults.series_max);
    }
    if is_unset("segment_memory_max") {
        limits.segment_memory_max_bytes =
            defaults.segment_memory_max_bytes.min(defaults.memory_max_bytes);
    }
    if is_unset("records_per_second") {
        let least = defaults.records_per_pass.saturating_mul(10);
        limits.records_per_second = defaults.records_per_second.max(least);
    }
    if is_unset("scrape_duration_max") {
        limits.scrape_duration_max_ns =
            defaults.scrape_duration_max_ns.max(defaults.pass_duration_max_ns);
    }
}

/// Each key with its help, its range and its default, as the file has them.
pub(super) fn documented() -> impl Iterator<Item = (&'static str, String, String)> {
    LIMITS.iter().map(|limit| {
        let mut limits = Limits::default();
        let write = |value: u64| limit.form.write(value);
        let (low, high) = (write(limit.low), write(limit.high));
        let help = format!("{} From {low} to {high}.", limit.help);
        (limit.key, help, write((limit.field)(&mut limits).get()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_a_setting_and_its_default_is_in_its_range() {
        let fields = format!("{:?}", Limits::default()).matches(": ").count();
        assert_eq!(LIMITS.len(), fields, "a new limit needs an entry in the table above");
        for limit in LIMITS {
            let mut limits = Limits::default();
            let default = (limit.field)(&mut limits).get();
            assert!((limit.low..=limit.high).contains(&default), "{}: {default}", limit.key);
            (limit.field)(&mut limits).set(limit.low);
            assert_eq!((limit.field)(&mut limits).get(), limit.low, "{}", limit.key);
        }
    }
}
