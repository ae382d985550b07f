//! What a request for metrics asks for. Nothing here fails: what is not understood is passed over,
//! and what matches nothing gets text 0.0.4, as with Prometheus' own libraries.

use hyper::HeaderMap;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderValue};

use crate::expose::{Format, Want, text};

/// What is asked for, and how the answer is labelled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) want: Want,
    pub(super) content_type: HeaderValue,
}

/// Reads headers and query.
pub(super) fn asked(headers: &HeaderMap, query: Option<&str>) -> Asked {
    let accept = joined(headers, &ACCEPT);
    let chosen = choose(&accept);
    let gzip = is_gzip_accepted(&joined(headers, &ACCEPT_ENCODING));
    let want = Want { format: chosen.format, names: names(query.unwrap_or_default()), gzip };
    Asked { want, content_type: HeaderValue::from_static(chosen.content_type()) }
}

/// A list may be spread over several headers.
fn joined(headers: &HeaderMap, name: &hyper::header::HeaderName) -> String {
    let values: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    values.join(",")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chosen {
    format: Format,
    /// OpenMetrics before its 1.0: the same text under another number.
    is_draft: bool,
    /// The scraper said how names are to be escaped, so it is told. All our names are of the kind
    /// that no scheme changes, except `dots`, which nobody has to honour.
    tells_escaping: bool,
}

impl Chosen {
    const fn content_type(self) -> &'static str {
        match (self.format, self.is_draft, self.tells_escaping) {
            (Format::Text, ..) => text::CONTENT_TYPE,
            (Format::OpenMetrics, false, false) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
            (Format::OpenMetrics, false, true) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
            }
            (Format::OpenMetrics, true, false) => {
                "application/openmetrics-text; version=0.0.1; charset=utf-8"
            }
            (Format::OpenMetrics, true, true) => {
                "application/openmetrics-text; version=0.0.1; charset=utf-8; escaping=underscores"
            }
            (Format::Protobuf, _, false) => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited"
            }
            (Format::Protobuf, _, true) => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited; escaping=underscores"
            }
        }
    }
}

/// The format with the highest quality. A wildcard counts only if nothing else matches, because
/// its quality can be higher by mistake (Prometheus 2.49.0 says 2).
fn choose(accept: &str) -> Chosen {
    let mut best: Option<(bool, f64, Chosen)> = None;
    for range in split(accept, ',') {
        let Some((is_exact, quality, chosen)) = offer(range) else { continue };
        // The first of equals.
        let is_better = best.is_none_or(|(exact, highest, _)| {
            (is_exact && !exact) || (is_exact == exact && quality > highest)
        });
        if quality > 0.0 && is_better {
            best = Some((is_exact, quality, chosen));
        }
    }
    let text = Chosen { format: Format::Text, is_draft: false, tells_escaping: false };
    best.map_or(text, |(_, _, chosen)| chosen)
}

/// What there is for a media range: whether it names that exactly, and how much it is wanted.
fn offer(range: &str) -> Option<(bool, f64, Chosen)> {
    let mut fields = split(range, ';');
    let media_type = fields.next()?.trim().to_ascii_lowercase();
    let parameters: Vec<(String, &str)> = fields.filter_map(parameter).collect();
    // Of several with one name the first counts.
    let get = |name: &str| parameters.iter().find(|(own, _)| own == name).map(|(_, value)| *value);
    let is = |name: &str, expected: &str| get(name) == Some(expected);
    let version = get("version").unwrap_or_default();
    let mut is_draft = false;
    let (is_exact, format) = match media_type.as_str() {
        "text/plain" if matches!(version, "" | "0.0.4") => (true, Format::Text),
        "application/openmetrics-text" if matches!(version, "" | "0.0.1" | "1.0.0") => {
            is_draft = version != "1.0.0";
            (true, Format::OpenMetrics)
        }
        "application/vnd.google.protobuf"
            if is("proto", "io.prometheus.client.MetricFamily") && is("encoding", "delimited") =>
        {
            (true, Format::Protobuf)
        }
        "application/*" => (false, Format::OpenMetrics),
        "*/*" | "*" | "text/*" => (false, Format::Text),
        _ => return None,
    };
    let tells_escaping = get("escaping").is_some();
    Some((is_exact, quality(get("q")), Chosen { format, is_draft, tells_escaping }))
}

fn parameter(text: &str) -> Option<(String, &str)> {
    let (name, value) = text.split_once('=')?;
    let value = value.trim();
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    Some((name.trim().to_ascii_lowercase(), unquoted.unwrap_or(value)))
}

/// From 0 to 1, whatever is written.
fn quality(text: Option<&str>) -> f64 {
    let written = text.and_then(|text| text.trim().parse::<f64>().ok());
    written.filter(|quality| !quality.is_nan()).unwrap_or(1.0).clamp(0.0, 1.0)
}

/// Parts of a text between separators that do not stand in quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |character| {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        character == separator && !is_quoted
    })
}

fn is_gzip_accepted(accept_encoding: &str) -> bool {
    let mut any = None;
    for coding in split(accept_encoding, ',') {
        let mut fields = split(coding, ';');
        let name = fields.next().unwrap_or_default().trim().to_ascii_lowercase();
        let weight = fields.filter_map(parameter).find(|(own, _)| own == "q");
        let is_wanted = quality(weight.map(|(_, value)| value)) > 0.0;
        match name.as_str() {
            "gzip" | "x-gzip" => return is_wanted,
            "*" => any = Some(is_wanted),
            _ => {}
        }
    }
    any.unwrap_or(false)
}

/// The values of `name[]`, sorted, each once.
fn names(query: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let own = pairs.filter(|(key, _)| decoded(key) == "name[]");
    let mut names: Vec<String> = own.map(|(_, value)| decoded(value)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Undoes the escapes of a query; what is no escape stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).filter(|_| *first == b'%');
        let hexadecimal = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = match hexadecimal {
            Some(byte) => {
                bytes.push(byte);
                behind.get(2..).unwrap_or_default()
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                behind
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
