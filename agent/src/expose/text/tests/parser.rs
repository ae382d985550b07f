//! A reader of text 0.0.4 written from the format's description, sharing nothing with the writer.

/// A number equal to itself bit by bit, except that all NaNs are one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value(f64);

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self(value)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits() || (self.0.is_nan() && other.0.is_nan())
    }
}

#[derive(Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: Value,
}

#[derive(Debug, PartialEq)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) help: Option<String>,
    pub(super) type_word: String,
    pub(super) samples: Vec<Sample>,
}

/// All families in their order; every sample must stand under its own TYPE line.
pub(super) fn parse(text: &str) -> Result<Vec<Family>, String> {
    let body = text.strip_suffix('\n').ok_or("the last line has no line feed")?;
    let mut families: Vec<Family> = Vec::new();
    let mut help: Option<(String, String)> = None;
    for line in body.split('\n') {
        if line.is_empty() {
            continue;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, escaped) = rest.split_once(' ').ok_or("HELP without text")?;
            if help.is_some() {
                return Err(format!("two HELP lines before a TYPE line: {line}"));
            }
            help = Some((name.into(), unescape(escaped, false)?));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, word) = rest.split_once(' ').ok_or("TYPE without a type")?;
            if families.iter().any(|family| family.name == name) {
                return Err(format!("a second TYPE line: {line}"));
            }
            let help = match help.take() {
                Some((of, _)) if of != name => return Err(format!("HELP of {of} before {name}")),
                other => other.map(|(_, text)| text),
            };
            let (name, type_word) = (name.into(), word.into());
            families.push(Family { name, help, type_word, samples: Vec::new() });
        } else if line.starts_with('#') {
            return Err(format!("a comment that nobody wrote: {line}"));
        } else {
            let family = families.last_mut().ok_or("a sample before any TYPE line")?;
            family.samples.push(sample(line, family)?);
        }
    }
    Ok(families)
}

fn sample(line: &str, family: &Family) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or_else(|| format!("no value: {line}"))?;
    let (name, mut rest) = line.split_at(end);
    let suffixes: &[&str] = match family.type_word.as_str() {
        "histogram" => &["_bucket", "_sum", "_count"],
        "summary" => &["", "_sum", "_count"],
        "counter" | "gauge" => &[""],
        other => return Err(format!("unknown type {other}")),
    };
    if !suffixes.iter().any(|suffix| name.strip_suffix(suffix) == Some(&family.name)) {
        return Err(format!("not a sample of {}: {line}", family.name));
    }
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").ok_or("a label without value")?;
            let close = closing_quote(after).ok_or_else(|| format!("no closing quote: {line}"))?;
            labels.push((label.into(), unescape(&after[..close], true)?));
            rest = &after[close + 1..];
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        rest = &rest[1..];
    }
    let number = rest.strip_prefix(' ').ok_or_else(|| format!("no blank: {line}"))?;
    let value = match number {
        "NaN" => f64::NAN,
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        digits => digits.parse().map_err(|_| format!("not a number: {line}"))?,
    };
    Ok(Sample { name: name.into(), labels, value: value.into() })
}

/// The first quote that is not escaped.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(index),
            _ => {}
        }
    }
    None
}

fn unescape(text: &str, quotes: bool) -> Result<String, String> {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('\\') => out.push('\\'),
            Some('n') => out.push('\n'),
            Some('"') if quotes => out.push('"'),
            other => return Err(format!("unknown escape {other:?} in {text}")),
        }
    }
    Ok(out)
}
