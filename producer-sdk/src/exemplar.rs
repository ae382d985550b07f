//! Exemplars: what leads from one event to its trace.

use std::time::{SystemTime, UNIX_EPOCH};

use ringmeter_layout::exemplar::{self, LongRecord};
use ringmeter_layout::record::Operation;

pub use ringmeter_layout::exemplar::ExemplarError;

/// Labels of one event, such as the ids of its trace.
///
/// The agent keeps the newest exemplar of each bucket, and of each counter, and shows it where the
/// scraper asks for OpenMetrics or protobuf. Names and values together may have 128 characters.
///
/// ```
/// use ringmeter::{Exemplar, Histogram};
///
/// static LATENCY: Histogram = Histogram::new("app_latency_seconds", "Time to answer.");
///
/// // Ids as text, any labels:
/// LATENCY.observe_with_exemplar(0.25, &[("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736")]);
///
/// // Ids as bytes, as OpenTelemetry has them (`TraceId::to_bytes`, `SpanId::to_bytes`):
/// let (trace_id, span_id) = ([0x4b; 16], [0xf9; 8]);
/// LATENCY.observe_with_exemplar(0.25, Exemplar::of_trace(trace_id, span_id));
/// ```
///
/// # What may be given up
///
/// The event counts in any case; its exemplar is a detail. It is given up where this thread's lane
/// has no room for all of it, where there is no lane (without a segment, and in
/// [`signal_safe`](crate::Histogram::signal_safe) handles), and where its labels are no good. The
/// agent counts both (`ringmeter_exemplars_dropped_total`); [`check`](Self::check) says what is
/// wrong with labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exemplar<'a> {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    labels: &'a [(&'a str, &'a str)],
    unix_ms: u64,
}

impl<'a> Exemplar<'a> {
    /// An exemplar with these labels. One without any is none: the event is recorded as usual.
    #[must_use]
    pub const fn new(labels: &'a [(&'a str, &'a str)]) -> Self {
        Self { trace_id: [0; 16], span_id: [0; 8], labels, unix_ms: 0 }
    }

    /// An exemplar with the labels `trace_id` and `span_id`, in hexadecimal digits. An id of zeros,
    /// which W3C's trace context calls invalid, is left out.
    #[must_use]
    pub const fn of_trace(trace_id: [u8; 16], span_id: [u8; 8]) -> Self {
        Self { trace_id, span_id, labels: &[], unix_ms: 0 }
    }

    /// More labels beside those of a trace.
    #[must_use]
    pub const fn with_labels(self, labels: &'a [(&'a str, &'a str)]) -> Self {
        Self { labels, ..self }
    }

    /// When the event happened. Without this it is the time at which the agent takes it, at most
    /// a tenth of a second later while one runs; the clock is not read here.
    #[must_use]
    pub fn at(self, time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { unix_ms: u64::try_from(since.as_millis()).unwrap_or(0), ..self }
    }

    /// Checks the labels.
    ///
    /// ```
    /// use ringmeter::Exemplar;
    ///
    /// assert!(Exemplar::of_trace([1; 16], [2; 8]).check().is_ok());
    /// let error = Exemplar::new(&[("trace-id", "1")]).check().unwrap_err();
    /// assert!(error.to_string().contains("label name"), "{error}");
    /// ```
    ///
    /// # Errors
    /// Why the exemplar would be given up.
    pub fn check(&self) -> Result<(), ExemplarError> {
        exemplar::check(self.ids().labels(self.labels))
    }

    fn ids(&self) -> Ids {
        Ids { trace: hexadecimal(&self.trace_id), span: hexadecimal(&self.span_id) }
    }

    /// Whether there is anything to record beside the event.
    pub(crate) fn is_none(&self) -> bool {
        self.labels.is_empty() && self.trace_id == [0; 16] && self.span_id == [0; 8]
    }

    /// The record of an event with this exemplar; allocates nothing.
    pub(crate) fn record(
        &self,
        series: u32,
        operation: Operation,
        value: u64,
    ) -> Result<LongRecord, ExemplarError> {
        let ids = self.ids();
        LongRecord::new(series, operation, value, self.unix_ms, ids.labels(self.labels))
    }
}

impl<'a> From<&'a [(&'a str, &'a str)]> for Exemplar<'a> {
    fn from(labels: &'a [(&'a str, &'a str)]) -> Self {
        Self::new(labels)
    }
}

impl<'a, const N: usize> From<&'a [(&'a str, &'a str); N]> for Exemplar<'a> {
    fn from(labels: &'a [(&'a str, &'a str); N]) -> Self {
        Self::new(labels)
    }
}

/// The ids of a trace as text; an empty one is left out.
struct Ids {
    trace: Digits,
    span: Digits,
}

impl Ids {
    fn labels<'a>(
        &'a self,
        more: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
        let ids = [("trace_id", self.trace.text()), ("span_id", self.span.text())];
        ids.into_iter().filter(|(_, id)| !id.is_empty()).chain(more.iter().copied())
    }
}

/// Up to sixteen bytes as hexadecimal digits.
struct Digits {
    digits: [u8; 32],
    count: usize,
}

impl Digits {
    fn text(&self) -> &str {
        let digits = self.digits.get(..self.count).unwrap_or_default();
        core::str::from_utf8(digits).unwrap_or_default()
    }
}

/// The digits of an id; none of an id of zeros.
fn hexadecimal(id: &[u8]) -> Digits {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 32];
    if id.iter().all(|byte| *byte == 0) {
        return Digits { digits, count: 0 };
    }
    for (pair, byte) in digits.chunks_exact_mut(2).zip(id) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    Digits { digits, count: 2 * id.len() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn found(exemplar: Exemplar<'_>) -> (u64, Vec<(String, String)>) {
        let record = exemplar.record(1, Operation::ObserveF64, 2).expect("an exemplar");
        let found = exemplar::parse(&record.slots()[1..]).expect("an exemplar");
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        (found.unix_ms, found.labels.iter().map(own).collect())
    }

    fn pairs(labels: &[(&str, &str)]) -> Vec<(String, String)> {
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn ids_are_written_as_digits_beside_other_labels() {
        let mut trace = [0; 16];
        (trace[0], trace[15]) = (0x0a, 0xf9);
        let labels = [("user", "é")];
        let exemplar = Exemplar::of_trace(trace, [0xff; 8]).with_labels(&labels);
        let expected = pairs(&[
            ("trace_id", "0a0000000000000000000000000000f9"),
            ("span_id", "ffffffffffffffff"),
            ("user", "é"),
        ]);
        assert_eq!(found(exemplar), (0, expected));
        let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let exemplar = Exemplar::of_trace([0; 16], [1; 8]).at(time);
        let span = pairs(&[("span_id", "0101010101010101")]);
        assert_eq!(found(exemplar), (1_700_000_000_123, span));
    }

    #[test]
    fn an_exemplar_without_labels_is_none() {
        assert!(Exemplar::of_trace([0; 16], [0; 8]).is_none());
        assert!(Exemplar::default().is_none() && Exemplar::from(&[]).is_none());
        assert!(!Exemplar::of_trace([1; 16], [0; 8]).is_none());
        assert!(!Exemplar::new(&[("a", "")]).is_none());
    }

    #[test]
    fn a_label_of_the_same_name_as_an_id_is_refused() {
        let labels = [("trace_id", "mine")];
        let error = Exemplar::of_trace([1; 16], [0; 8]).with_labels(&labels).check();
        assert_eq!(error, Err(ExemplarError::Twice { first: 0, second: 1 }));
    }
}
