//! What a scrape says, read by a parser of our own: small, strict, and used by nothing that ships.

use std::collections::BTreeMap;

/// The samples of one scrape, by name and labels as they were written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scrape {
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    /// Reads text 0.0.4.
    ///
    /// # Panics
    /// When a line is none: the exposition is wrong then.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a broken exposition fails the test")]
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line must end with a line feed");
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            let before = samples.insert(series.to_owned(), value.parse().expect("a number"));
            assert_eq!(before, None, "{series} stands twice");
        }
        Self { samples }
    }

    /// The value of a series written exactly like `series`, such as `up` or `x{a="b"}`.
    #[must_use]
    pub fn get(&self, series: &str) -> Option<f64> {
        self.samples.get(series).copied()
    }

    /// The value of a series; 0 when it is not there.
    #[must_use]
    pub fn value(&self, series: &str) -> f64 {
        self.get(series).unwrap_or(0.0)
    }

    /// The sum over all series of a name, whatever their labels.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.of(name).map(|(_, value)| value).sum()
    }

    /// All series.
    pub fn all(&self) -> impl Iterator<Item = (&str, f64)> {
        self.samples.iter().map(|(series, value)| (series.as_str(), *value))
    }

    /// All series of a name.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.samples.iter().filter_map(move |(series, value)| {
            let rest = series.strip_prefix(name)?;
            (rest.is_empty() || rest.starts_with('{')).then_some((series.as_str(), *value))
        })
    }

    /// Records that did not reach a total, for whatever reason, as the agent tells.
    #[must_use]
    pub fn lost(&self) -> f64 {
        self.sum("ringmeter_records_dropped_total") + self.sum("ringmeter_records_rejected_total")
    }
}
