//! The names of a metric's samples, and whether those of two metrics keep apart.
//!
//! A histogram `x` is exposed as `x_bucket`, `x_count` and `x_sum`, a summary as `x`, `x_count` and
//! `x_sum` (Prometheus, "Exposition formats"). A metric `x_count` beside it would be the same
//! sample again: text 0.0.4 cannot say which is meant, and promtool refuses it.
//!
//! What OpenMetrics alone reserves does not count: it calls a counter `a_total` the family `a`, and
//! keeps `a_created` for it, but `a` and `a_total` are two samples. Pairs of that kind are usual
//! (`go_memstats_alloc_bytes` and `go_memstats_alloc_bytes_total`), and shown in every format.

use super::Kind;

/// Endings of samples that are parts of a metric.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];

/// What the names of a metric's samples have behind its own, besides nothing.
///
/// ```
/// use ringmeter_layout::naming::{Kind, sample_suffixes};
///
/// assert_eq!(sample_suffixes(Kind::Summary), ["_count", "_sum"]);
/// assert!(sample_suffixes(Kind::Counter).is_empty());
/// ```
#[must_use]
pub const fn sample_suffixes(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Counter | Kind::Gauge => &[],
        Kind::Histogram => &PARTS,
        Kind::Summary => &["_count", "_sum"],
    }
}

/// A sample name that two metrics of different names would have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedSample<T> {
    /// The sample's name, which is also that of one of the two.
    pub sample: String,
    /// What `known` said of the other metric.
    pub other: T,
}

/// Looks among known metrics for one whose samples cannot be told from those of a new one.
///
/// `known` says of a name whether there is such a metric, and its kind. Two metrics of one name
/// are no concern of this. It allocates, and is meant for registration and first sight.
///
/// ```
/// use ringmeter_layout::naming::{Kind, shared_sample};
///
/// let known = |name: &str| (name == "x_seconds").then_some((Kind::Histogram, "x_seconds"));
/// let shared = shared_sample(Kind::Counter, "x_seconds_count", known).unwrap();
/// assert_eq!((shared.sample.as_str(), shared.other), ("x_seconds_count", "x_seconds"));
/// assert!(shared_sample(Kind::Counter, "x_seconds_total", known).is_none());
/// ```
#[must_use]
pub fn shared_sample<T>(
    kind: Kind,
    name: &str,
    known: impl Fn(&str) -> Option<(Kind, T)>,
) -> Option<SharedSample<T>> {
    // Two samples with an ending each are the same only if their metrics are.
    let as_whole = sample_suffixes(kind).iter().find_map(|suffix| {
        let sample = format!("{name}{suffix}");
        let (_, other) = known(&sample)?;
        Some(SharedSample { sample, other })
    });
    as_whole.or_else(|| {
        PARTS.into_iter().find_map(|suffix| {
            let (of, other) = known(name.strip_suffix(suffix)?)?;
            let is_part = sample_suffixes(of).contains(&suffix);
            is_part.then(|| SharedSample { sample: name.to_owned(), other })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition: the names that each takes, compared one by one.
    fn shares(a: (Kind, &str), b: (Kind, &str)) -> bool {
        let names = |(kind, name): (Kind, &str)| -> Vec<String> {
            let parts = sample_suffixes(kind).iter().map(|suffix| format!("{name}{suffix}"));
            std::iter::once(name.to_owned()).chain(parts).collect()
        };
        names(a).iter().any(|name| names(b).contains(name))
    }

    #[test]
    fn what_is_found_is_what_the_names_say_whichever_comes_first() {
        let suffixes = ["", "_bucket", "_count", "_sum", "_total", "_created", "_count_sum"];
        let all: Vec<(Kind, String)> = Kind::ALL
            .into_iter()
            .flat_map(|kind| suffixes.map(|suffix| (kind, format!("x{suffix}"))))
            .collect();
        let mut found = 0;
        for (first_kind, first) in &all {
            for (kind, name) in all.iter().filter(|(_, name)| name != first) {
                let known = |name: &str| (name == first).then_some((*first_kind, ()));
                let is_found = shared_sample(*kind, name, known).is_some();
                let expected = shares((*kind, name), (*first_kind, first));
                assert_eq!(is_found, expected, "{kind} {name} beside {first_kind} {first}");
                found += usize::from(is_found);
            }
        }
        assert!(found > 0);
    }
}
