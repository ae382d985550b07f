use proptest::prelude::*;

use super::*;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const DRAFT: &str = "application/openmetrics-text; version=0.0.1; charset=utf-8";
const PROTOBUF: &str = "application/vnd.google.protobuf; \
                        proto=io.prometheus.client.MetricFamily; encoding=delimited";

fn content_type(accept: &str) -> &'static str {
    choose(accept).content_type()
}

#[test]
fn the_best_that_is_asked_for_is_taken() {
    let cases = [
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", OPEN_METRICS),
        ("text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0", OPEN_METRICS),
        ("text/plain, application/openmetrics-text; version=1.0.0", text::CONTENT_TYPE),
        ("application/openmetrics-text; version=1.0.0, text/plain", OPEN_METRICS),
        ("Application/OpenMetrics-Text; Version=\"1.0.0\" ; Q=0.3", OPEN_METRICS),
        ("application/openmetrics-text", DRAFT),
        ("application/openmetrics-text;version=0.0.1;charset=utf-8;foo=\"a,b;c\"", DRAFT),
        ("application/*", OPEN_METRICS),
    ];
    for (accept, expected) in cases {
        assert_eq!(content_type(accept), expected, "{accept}");
    }
    let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                    encoding=delimited";
    assert_eq!(content_type(protobuf), PROTOBUF);
    assert_eq!(content_type(&format!("{protobuf};q=0.2, text/plain;q=0.1")), PROTOBUF);
}

#[test]
fn what_matches_nothing_gets_text() {
    for accept in [
        "",
        "*/*",
        "text/*",
        "text/html,application/xhtml+xml;q=0.9",
        "application/json",
        "text/plain;version=1.0.0",
        "application/openmetrics-text;version=2.0.0",
        "application/vnd.google.protobuf;proto=other.Family;encoding=delimited",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
        "application/openmetrics-text;version=1.0.0;q=0",
        ";;;,,,q=;=;\"",
        "application/openmetrics-text;version=\"1.0.0",
    ] {
        assert_eq!(content_type(accept), text::CONTENT_TYPE, "{accept}");
    }
}

#[test]
fn qualities_are_clamped_and_wildcards_come_last() {
    let open_metrics = "application/openmetrics-text;version=1.0.0";
    let cases = [
        (format!("{open_metrics};q=0.5,text/plain;q=0.3,*/*;q=2"), OPEN_METRICS),
        (format!("{open_metrics};q=7,text/plain"), OPEN_METRICS),
        (format!("text/plain,{open_metrics};q=7"), text::CONTENT_TYPE),
        (format!("{open_metrics};q=-1,text/plain;q=0.001"), text::CONTENT_TYPE),
        (format!("{open_metrics};q=x,text/plain;q=0.9"), OPEN_METRICS),
        (format!("{open_metrics};q=NaN,text/plain;q=0.9"), OPEN_METRICS),
        (format!("*/*,{open_metrics};q=0.1"), OPEN_METRICS),
    ];
    for (accept, expected) in cases {
        assert_eq!(content_type(&accept), expected, "{accept}");
    }
}

#[test]
fn escaping_is_answered_if_it_is_asked_for() {
    for scheme in ["allow-utf-8", "underscores", "dots", "values", "nonsense"] {
        let accept = format!("application/openmetrics-text;version=1.0.0;escaping={scheme}");
        assert_eq!(content_type(&accept), format!("{OPEN_METRICS}; escaping=underscores"));
    }
    let twice = "text/plain;version=0.0.4;escaping=allow-utf-8;escaping=allow-utf-8;q=1";
    assert_eq!(content_type(twice), text::CONTENT_TYPE);
}

#[test]
fn compression_is_for_those_who_ask() {
    for accepted in ["gzip", "deflate, GZIP;q=0.5", "x-gzip", "*", "br, *;q=0.1", "gzip;q=9"] {
        assert!(is_gzip_accepted(accepted), "{accepted}");
    }
    for refused in ["", "identity", "gzip;q=0", "*;q=0", "gzip;q=0, *", "gzipped", "br;q=1.0, zstd"]
    {
        assert!(!is_gzip_accepted(refused), "{refused}");
    }
}

#[test]
fn names_are_read_from_the_query() {
    assert_eq!(names(""), Vec::<String>::new());
    assert_eq!(names("name[]=b&name%5B%5D=a&name%5b%5d=b&name=c&x[]=d"), ["a", "b"]);
    assert_eq!(names("name[]=a%20b+c%zz%"), ["a b c%zz%"]);
    assert_eq!(names("name[]"), Vec::<String>::new());
    assert_eq!(names("name[]="), [""]);
}

#[test]
fn several_headers_are_one_list() {
    let mut headers = HeaderMap::new();
    headers.append(ACCEPT, HeaderValue::from_static("text/html"));
    headers.append(ACCEPT, HeaderValue::from_static("application/openmetrics-text;version=1.0.0"));
    headers.append(ACCEPT_ENCODING, HeaderValue::from_static("br"));
    headers.append(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    let asked = asked(&headers, None);
    assert_eq!((asked.want.format, asked.want.gzip), (Format::OpenMetrics, true));
}

proptest! {
    #[test]
    fn nothing_breaks_it(accept in "\\PC{0,80}", parts in prop::collection::vec(
        prop::sample::select(vec![
            "text/plain", "application/openmetrics-text", "*/*", ";", ",", "version=", "1.0.0",
            "q=", "0.5", "\"", "\\", "=", " ", "escaping=dots", "gzip", "%", "name[]=", "&",
        ]), 0..20)) {
        for text in [accept, parts.concat()] {
            let known = choose(&text).content_type();
            prop_assert!(known.contains('/'));
            is_gzip_accepted(&text);
            names(&text);
        }
    }

    /// Headers may hold any bytes from 32 on but 127, and tabs; several of a name are one list.
    #[test]
    fn any_bytes_are_answered_in_a_format_that_there_is(
        accept in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4),
        encoding in prop::collection::vec(any::<u8>(), 0..60),
        query in prop::option::of("\\PC{0,60}"),
        known in prop::sample::select(vec!["", OPEN_METRICS, DRAFT, PROTOBUF, "*/*;q=2"]),
    ) {
        let header = |mut bytes: Vec<u8>| {
            bytes.retain(|byte| (*byte >= 32 && *byte != 127) || *byte == 9);
            HeaderValue::from_bytes(&bytes).unwrap()
        };
        let mut headers = HeaderMap::new();
        for bytes in accept {
            headers.append(ACCEPT, header(bytes));
        }
        headers.append(ACCEPT, header(known.into()));
        headers.append(ACCEPT_ENCODING, header(encoding));
        let Asked { want, content_type } = asked(&headers, query.as_deref());
        let found = content_type.to_str().unwrap();
        let begin = match want.format {
            Format::Text => text::CONTENT_TYPE,
            Format::OpenMetrics => "application/openmetrics-text; version=",
            Format::Protobuf => PROTOBUF,
        };
        prop_assert!(found.starts_with(begin), "{found}");
        let rest = found.strip_prefix(begin).unwrap();
        let all = ["", "; escaping=underscores", "1.0.0; charset=utf-8", "0.0.1; charset=utf-8",
            "1.0.0; charset=utf-8; escaping=underscores",
            "0.0.1; charset=utf-8; escaping=underscores"];
        prop_assert!(all.contains(&rest), "{found}");
        prop_assert!(want.names.is_sorted());
    }
}
