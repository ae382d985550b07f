//! A scrape, read back: just enough of the text format to show figures.
//!
//! Lines that are not understood are left out, because the view must not depend on every detail
//! of the exposition; the end-to-end tests read it with Prometheus' own parsers.

/// The samples of one scrape.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Samples {
    samples: Vec<Sample>,
}

/// One line: a name, labels, a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
    /// The value where it is a whole number.
    count: u64,
}

impl Sample {
    /// The value of a label; empty without it, as Prometheus has it.
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|label| label.0 == name).map_or("", |label| label.1.as_str())
    }

    fn parse(line: &str) -> Option<Self> {
        let name_end = line.find(['{', ' '])?;
        let (name, mut rest) = line.split_at(name_end);
        let mut labels = Vec::new();
        if let Some(inner) = rest.strip_prefix('{') {
            (labels, rest) = parse_labels(inner)?;
        }
        let text = rest.split_whitespace().next()?;
        let value = text.parse().ok()?;
        Some(Self { name: name.to_owned(), labels, value, count: whole(text, value) })
    }
}

/// `a="b",c="d"} 1` becomes the labels and ` 1`.
fn parse_labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, after) = parse_quoted(quoted)?;
        labels.push((name.trim().to_owned(), value));
        rest = after;
    }
}

/// What stands before the closing quote, unescaped, and what stands behind it.
fn parse_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            plain => value.push(plain),
        }
    }
    None
}

/// Whole numbers are read as such, so that large counters stay exact.
fn whole(text: &str, value: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let rounded = value as u64;
    text.parse().unwrap_or(rounded)
}

impl Samples {
    /// Reads a scrape.
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self { samples: lines.filter_map(Sample::parse).collect() }
    }

    /// The samples of a name.
    pub(super) fn of(&self, name: &str) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.name == name)
    }

    /// The value of a metric without labels, or of its first series.
    pub(super) fn value(&self, name: &str) -> Option<f64> {
        self.of(name).next().map(|sample| sample.value)
    }

    /// The sum of a counter over all its series; 0 where there is none.
    pub(super) fn total(&self, name: &str) -> u64 {
        self.total_where(name, |_| true)
    }

    /// The sum over the series that `chosen` takes.
    pub(super) fn total_where(&self, name: &str, chosen: impl Fn(&Sample) -> bool) -> u64 {
        self.of(name).filter(|sample| chosen(sample)).map(|sample| sample.count).sum()
    }

    /// A summary's quantiles, one for each of `objectives`; `None` where it has no such one.
    pub(super) fn summary<const N: usize>(
        &self,
        name: &str,
        objectives: [f64; N],
    ) -> [Option<f64>; N] {
        objectives.map(|objective| {
            let is_it = |sample: &&Sample| sample.label("quantile").parse() == Ok(objective);
            self.of(name).find(is_it).map(|sample| sample.value).filter(|value| value.is_finite())
        })
    }

    /// Quantiles of a histogram over all its series, as `histogram_quantile` computes them: the
    /// rank's bucket, and a straight line inside of it. `None` while it is empty.
    pub(super) fn histogram<const N: usize>(
        &self,
        name: &str,
        quantiles: [f64; N],
    ) -> [Option<f64>; N] {
        let mut buckets: Vec<(f64, u64)> = Vec::new();
        for sample in self.of(&format!("{name}_bucket")) {
            let Ok(bound) = sample.label("le").parse::<f64>() else { continue };
            match buckets.iter_mut().find(|bucket| bucket.0 == bound) {
                Some(bucket) => bucket.1 += sample.count,
                None => buckets.push((bound, sample.count)),
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        quantiles.map(|quantile| histogram_quantile(quantile, &buckets))
    }
}

/// `buckets` are bounds and cumulative counts, in their order.
fn histogram_quantile(quantile: f64, buckets: &[(f64, u64)]) -> Option<f64> {
    let total = buckets.last()?.1;
    if total == 0 {
        return None;
    }
    let rank = quantile * total as f64;
    let (mut lower_bound, mut below) = (0.0, 0);
    for &(bound, count) in buckets {
        if count as f64 >= rank && count > below {
            if bound.is_infinite() {
                // Nothing is known above the last bound but that it is above.
                return Some(lower_bound);
            }
            let share = (rank - below as f64) / (count - below) as f64;
            return Some(lower_bound + (bound - lower_bound) * share);
        }
        (lower_bound, below) = (bound, count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{method="GET",route="/items/{id}",code="200"} 40
http_requests_total{code="500",method="GET",route="a \"b\",\\ }\nc"} 2
http_requests_total{code="404"} 9007199254740993 1700000000000
up 1
gone NaN
not a sample
broken{a="b 1
in_flight 3.0
latency_bucket{route="a",le="0.1"} 5
latency_bucket{route="a",le="1.0"} 10
latency_bucket{route="a",le="+Inf"} 10
latency_bucket{route="b",le="0.1"} 5
latency_bucket{route="b",le="1.0"} 5
latency_bucket{route="b",le="+Inf"} 10
empty_bucket{le="+Inf"} 0
size_bytes{quantile="0.5"} 120.5
size_bytes{quantile="0.9"} NaN
size_bytes_sum 7
"#;

    #[test]
    fn labels_are_read_back() {
        let samples = Samples::parse(TEXT);
        let routes: Vec<&str> =
            samples.of("http_requests_total").map(|sample| sample.label("route")).collect();
        assert_eq!(routes, ["/items/{id}", "a \"b\",\\ }\nc", ""]);
    }

    #[test]
    fn totals_are_exact() {
        let samples = Samples::parse(TEXT);
        assert_eq!(samples.total("http_requests_total"), 9_007_199_254_740_993 + 42);
        let is_error = |sample: &Sample| sample.label("code").starts_with('5');
        assert_eq!(samples.total_where("http_requests_total", is_error), 2);
        assert_eq!(samples.total("absent_total"), 0);
    }

    #[test]
    fn values_are_read() {
        let samples = Samples::parse(TEXT);
        assert_eq!(samples.value("up"), Some(1.0));
        assert_eq!(samples.value("in_flight"), Some(3.0));
        assert!(samples.value("gone").is_some_and(f64::is_nan));
        assert_eq!(samples.total("gone"), 0);
        assert_eq!(samples.value("not"), None);
        assert_eq!(samples.value("broken"), None);
    }

    #[test]
    fn quantiles_of_a_histogram_follow_prometheus() {
        let samples = Samples::parse(TEXT);
        // 10 of 20 up to 0.1, 15 up to 1, 5 above.
        let found = samples.histogram("latency", [0.25, 0.5, 0.75, 0.9]);
        assert_eq!(found, [Some(0.05), Some(0.1), Some(1.0), Some(1.0)]);
        let between = samples.histogram("latency", [0.6])[0].expect("not empty");
        assert!((between - 0.46).abs() < 1e-12, "{between}");
        assert_eq!(samples.histogram("empty", [0.5]), [None]);
        assert_eq!(samples.histogram("absent", [0.5]), [None]);
    }

    #[test]
    fn quantiles_of_a_summary_are_found_by_value() {
        let samples = Samples::parse(TEXT);
        assert_eq!(samples.summary("size_bytes", [0.50, 0.9, 0.99]), [Some(120.5), None, None]);
    }
}
