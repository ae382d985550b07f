//! Text 0.0.4 and OpenMetrics, read as far as advice needs it: metrics, types, labels.

use std::collections::BTreeMap;
use std::fmt;

/// What `# TYPE` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Type {
    /// `counter`.
    Counter,
    /// `gauge`, and what OpenMetrics has beside it.
    Gauge,
    /// `histogram`.
    Histogram,
    /// `summary`.
    Summary,
    /// Nothing, `untyped` or `unknown`.
    #[default]
    Untyped,
}

/// Names and values of the labels of one series, sorted; without those of buckets and quantiles.
type Labels = Vec<(String, String)>;

/// A metric as it was scraped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScrapedFamily {
    /// Its name; of a counter with `_total`, as in text 0.0.4.
    pub name: String,
    /// Its type.
    pub metric_type: Type,
    /// Whether there is a HELP line with a text.
    pub has_help: bool,
    /// Whether there is a TYPE line.
    pub has_type: bool,
    /// Its series, each as often as it stands there.
    pub series: Vec<Vec<(String, String)>>,
}

/// Why a text is no scrape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Its line, 1 for the first.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

/// Reads a scrape.
///
/// # Errors
/// At the first line that is none of a scrape.
pub fn parse(text: &str) -> Result<Vec<ScrapedFamily>, ParseError> {
    let mut reader = Reader::default();
    if !text.is_empty() && !text.ends_with('\n') {
        let (line, message) = (text.lines().count(), "does not end with a line feed".to_owned());
        return Err(ParseError { line, message });
    }
    let is_open_metrics = text.lines().next_back() == Some("# EOF");
    for (at, line) in text.lines().enumerate() {
        let read = match line.trim_start().strip_prefix('#') {
            Some(comment) => reader.comment(comment, is_open_metrics),
            None if line.trim().is_empty() => Ok(()),
            None => reader.sample(line.trim()),
        };
        read.map_err(|message| ParseError { line: at + 1, message })?;
    }
    if is_open_metrics {
        reader.share_help();
    }
    Ok(reader.families.into_values().filter(|family| !family.series.is_empty()).collect())
}

const DISTRIBUTIONS: [Type; 2] = [Type::Histogram, Type::Summary];

/// A metric that a line of this name is read as, in words.
fn again(own: &str, name: &str) -> String {
    if own == name {
        return name.to_owned();
    }
    format!("{own}, which has samples called {name} itself: rename one of the two")
}

#[derive(Default)]
struct Reader {
    families: BTreeMap<String, ScrapedFamily>,
}

impl Reader {
    fn family(&mut self, name: &str) -> &mut ScrapedFamily {
        let new = || ScrapedFamily { name: name.to_owned(), ..ScrapedFamily::default() };
        self.families.entry(name.to_owned()).or_insert_with(new)
    }

    /// The metric that a HELP or TYPE line of this name is read as, as promtool does: a histogram's
    /// or summary's if that has a sample of this name.
    fn owner(&mut self, name: &str) -> &mut ScrapedFamily {
        let is_known = self.families.contains_key(name);
        let of_part = if is_known { None } else { self.of_part(name) };
        self.family(of_part.as_deref().unwrap_or(name))
    }

    fn type_of(&self, name: &str) -> Type {
        self.families.get(name).map_or(Type::Untyped, |own| own.metric_type)
    }

    fn of_distribution(&self, name: &str, suffix: &str, wanted: &[Type]) -> Option<String> {
        let stem = name.strip_suffix(suffix)?;
        wanted.contains(&self.type_of(stem)).then(|| stem.to_owned())
    }

    /// The histogram or summary that a sample of this name is a part of.
    fn of_part(&self, name: &str) -> Option<String> {
        self.of_distribution(name, "_sum", &DISTRIBUTIONS)
            .or_else(|| self.of_distribution(name, "_count", &DISTRIBUTIONS))
            .or_else(|| self.of_distribution(name, "_bucket", &[Type::Histogram]))
    }

    /// OpenMetrics names a counter and an info without the suffixes of their samples.
    fn share_help(&mut self) {
        let names: Vec<String> = self.families.keys().cloned().collect();
        for name in names {
            let stem = name.strip_suffix("_total").or_else(|| name.strip_suffix("_info"));
            let stem = stem.and_then(|stem| self.families.get(stem));
            if stem.is_some_and(|stem| stem.has_help && stem.series.is_empty()) {
                self.family(&name).has_help = true;
            }
        }
    }

    fn comment(&mut self, comment: &str, is_open_metrics: bool) -> Result<(), String> {
        let mut words = comment.split_whitespace();
        let (keyword, name) = (words.next().unwrap_or_default(), words.next());
        let Some(name) = name.filter(|_| matches!(keyword, "HELP" | "TYPE")) else {
            return Ok(());
        };
        if !is_name(name) {
            return Err(format!("{name:?} is not the name of a metric"));
        }
        let word = words.next().unwrap_or_default();
        if keyword == "HELP" {
            let own = self.owner(name);
            if own.has_help {
                return Err(format!("a second HELP line for {}", again(&own.name, name)));
            }
            own.has_help = !word.is_empty();
            return Ok(());
        }
        let metric_type = match word {
            "counter" => Type::Counter,
            "gauge" | "info" | "stateset" | "gaugehistogram" => Type::Gauge,
            "histogram" => Type::Histogram,
            "summary" => Type::Summary,
            "untyped" | "unknown" => Type::Untyped,
            _ => return Err(format!("unknown type {word:?} of {name}")),
        };
        let name = match word {
            "counter" if is_open_metrics && !name.ends_with("_total") => format!("{name}_total"),
            "info" if is_open_metrics => format!("{name}_info"),
            _ => name.to_owned(),
        };
        let own = self.owner(&name);
        if own.has_type || !own.series.is_empty() {
            let name = again(&own.name, &name);
            return Err(format!("a second TYPE line for {name}, or one after its samples"));
        }
        own.metric_type = metric_type;
        own.has_type = true;
        Ok(())
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let end = line.find(|c: char| !is_name_character(c)).unwrap_or(line.len());
        let (name, mut rest) = line.split_at(end);
        if !is_name(name) {
            return Err(format!("{line:?} does not begin with the name of a metric"));
        }
        let mut labels = Labels::new();
        rest = rest.trim_start();
        if let Some(inner) = rest.strip_prefix('{') {
            (labels, rest) = read_labels(inner)?;
        }
        // An exemplar is of no concern here.
        let rest = rest.split_once(" # ").map_or(rest, |(sample, _)| sample);
        let mut words = rest.split_whitespace();
        let value = words.next().ok_or("there is no value")?;
        let others = words.next().into_iter().chain(words.next());
        for number in std::iter::once(value).chain(others.clone()) {
            if number.parse::<f64>().is_err() {
                return Err(format!("{number:?} is not a number"));
            }
        }
        if others.count() > 1 {
            return Err("there is something behind value and timestamp".to_owned());
        }
        self.add(name, labels);
        Ok(())
    }

    fn add(&mut self, name: &str, mut labels: Labels) {
        let is_created = |stem: &str| self.type_of(&format!("{stem}_total")) == Type::Counter;
        if name.strip_suffix("_created").is_some_and(is_created) {
            return;
        }
        let own = if self.families.contains_key(name) { None } else { self.of_part(name) };
        let own = own.or_else(|| self.of_distribution(name, "_created", &DISTRIBUTIONS));
        let own = own.unwrap_or_else(|| name.to_owned());
        let metric_type = self.type_of(&own);
        let edge = match metric_type {
            Type::Histogram => "le",
            Type::Summary => "quantile",
            _ => "",
        };
        labels.retain(|label| label.0 != edge);
        labels.sort();
        let is_distribution = DISTRIBUTIONS.contains(&metric_type);
        let family = self.family(&own);
        // Each of these is several samples.
        let is_known = is_distribution && family.series.contains(&labels);
        if !is_known {
            family.series.push(labels);
        }
    }
}

/// Reads up to the closing brace; returns what follows it.
fn read_labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (name, after) = rest.split_once('=').ok_or("the labels do not end")?;
        let name = name.trim();
        if !is_name(name) || name.contains(':') {
            return Err(format!("{name:?} is not the name of a label"));
        }
        let inner = after.trim_start().strip_prefix('"').ok_or("a label's value needs quotes")?;
        let (value, after) = read_quoted(inner)?;
        if labels.iter().any(|label| label.0 == name) {
            return Err(format!("label {name} stands twice"));
        }
        labels.push((name.to_owned(), value));
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(after) => after,
            None if rest.starts_with('}') => rest,
            None => return Err(format!("label {name} is followed by neither , nor }}")),
        };
    }
}

fn read_quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, own @ ('\\' | '"'))) => value.push(own),
                _ => return Err("a label's value has an unknown escape".to_owned()),
            },
            plain => value.push(plain),
        }
    }
    Err("a label's value does not end".to_owned())
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn is_name(name: &str) -> bool {
    name.chars().all(is_name_character) && name.starts_with(|c: char| !c.is_ascii_digit())
}
