//! The agent's log: one line per event on standard error, as logfmt or JSON.
//!
//! ```text
//! time=2026-11-22T11:51:00.123456Z level=INFO source=ringmeter_agent::web msg=listening port=1
//! {"time":"2026-11-22T11:51:00.123456Z","level":"INFO","source":"…","msg":"listening","port":1}
//! ```
//!
//! Values can come from producers (file names, definitions), so control characters are escaped
//! and long values cut: a value can neither forge a line nor fill the disk with one.

use std::fmt::{self, Write};
use std::io;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use crate::config::{LogConfig, LogFormat, LogLevel};

/// Longer values are cut and marked with `…`.
pub const VALUE_LENGTH_MAX_BYTES: usize = 2048;

/// Installs the log for the whole process.
///
/// # Errors
///
/// [`AlreadyInstalled`] if the process has a log.
pub fn install(config: LogConfig) -> Result<(), AlreadyInstalled> {
    tracing::subscriber::set_global_default(subscriber(config, io::stderr))
        .map_err(|_| AlreadyInstalled)
}

/// The process has a log already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlreadyInstalled;

impl fmt::Display for AlreadyInstalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the log is installed already")
    }
}

impl std::error::Error for AlreadyInstalled {}

fn subscriber<W>(config: LogConfig, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = match config.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Lines { format: config.format })
        .with_writer(writer)
        // Its report of a failed write is an `eprintln!`, which panics on a closed stream.
        .log_internal_errors(false);
    tracing_subscriber::registry().with(level).with(lines)
}

struct Lines {
    format: LogFormat,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut fields =
            Fields { format: self.format, message: String::new(), rest: String::new() };
        event.record(&mut fields);
        let mut line = String::new();
        push(&mut line, self.format, "time", Value::Text(&time));
        push(&mut line, self.format, "level", Value::Text(word(*event.metadata().level())));
        push(&mut line, self.format, "source", Value::Text(event.metadata().target()));
        push(&mut line, self.format, "msg", Value::Text(&fields.message));
        match self.format {
            LogFormat::Logfmt => writeln!(writer, "{line}{}", fields.rest),
            LogFormat::Json => writeln!(writer, "{{{line}{}}}", fields.rest),
        }
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}

enum Value<'a> {
    Text(&'a str),
    /// A number or boolean, the same in both formats and never in need of quotes.
    Bare(&'a dyn fmt::Display),
}

/// The fields of an event in the order recorded; the message apart, because it goes first.
struct Fields {
    format: LogFormat,
    message: String,
    rest: String,
}

impl Fields {
    fn bare(&mut self, field: &Field, value: &dyn fmt::Display) {
        // Behind other pairs, even where this one is the first of the rest.
        separate(&mut self.rest, self.format);
        pair(&mut self.rest, self.format, field.name(), Value::Bare(value));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            separate(&mut self.rest, self.format);
            pair(&mut self.rest, self.format, field.name(), Value::Text(value));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.bare(field, &value);
        } else {
            // JSON has no such numbers.
            self.record_str(field, &value.to_string());
        }
    }
}

fn push(line: &mut String, format: LogFormat, name: &str, value: Value<'_>) {
    if !line.is_empty() {
        separate(line, format);
    }
    pair(line, format, name, value);
}

fn separate(line: &mut String, format: LogFormat) {
    line.push(match format {
        LogFormat::Logfmt => ' ',
        LogFormat::Json => ',',
    });
}

fn pair(line: &mut String, format: LogFormat, name: &str, value: Value<'_>) {
    // Writing to a String cannot fail.
    let _ = match format {
        LogFormat::Logfmt => write!(line, "{name}="),
        LogFormat::Json => write!(line, "\"{name}\":"),
    };
    match value {
        Value::Bare(number) => {
            let _ = write!(line, "{number}");
        }
        Value::Text(text) => {
            let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"=\"\\".contains(c);
            let is_plain = !text.is_empty() && text.len() <= VALUE_LENGTH_MAX_BYTES;
            if format == LogFormat::Logfmt && is_plain && text.chars().all(plain) {
                line.push_str(text);
            } else {
                quote(line, text);
            }
        }
    }
}

/// A JSON string; logfmt readers understand the same escapes.
fn quote(line: &mut String, text: &str) {
    line.push('"');
    let mut length_bytes = 0;
    for character in text.chars() {
        length_bytes += character.len_utf8();
        if length_bytes > VALUE_LENGTH_MAX_BYTES {
            line.push('…');
            break;
        }
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            // All control characters are below U+10000: four digits are enough.
            control if control.is_control() => {
                let _ = write!(line, "\\u{:04x}", u32::from(control));
            }
            other => line.push(other),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("one thread").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: LogLevel, events: impl FnOnce()) -> Vec<String> {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = subscriber(LogConfig { level, format }, move || writer.clone());
        tracing::subscriber::with_default(subscriber, events);
        let bytes = sink.0.lock().expect("one thread").clone();
        String::from_utf8(bytes).expect("UTF-8").lines().map(ToOwned::to_owned).collect()
    }

    /// The line without its time, which is checked to look like one.
    fn after_time<'a>(line: &'a str, prefix: &str, separator: &str) -> &'a str {
        let rest = line.strip_prefix(prefix).expect("the time is first");
        let (time, rest) = rest.split_once(separator).expect("more than a time");
        assert!(time.len() == 27 && time.ends_with('Z') && time.contains('T'), "{time}");
        rest
    }

    fn event() {
        tracing::info!(
            target: "test",
            address = %"[::]:19310",
            nasty = "a=\"b\"\n\u{1b}[2J\\",
            empty = "",
            count = 3u64,
            delta = -4,
            ratio = 0.5,
            nan = f64::NAN,
            ok = true,
            "now {}",
            "listening"
        );
    }

    #[test]
    fn logfmt_quotes_what_needs_it() {
        let lines = logged(LogFormat::Logfmt, LogLevel::Info, event);
        assert_eq!(lines.len(), 1);
        assert_eq!(
            after_time(&lines[0], "time=", " "),
            "level=INFO source=test msg=\"now listening\" address=[::]:19310 \
             nasty=\"a=\\\"b\\\"\\n\\u001b[2J\\\\\" empty=\"\" count=3 delta=-4 ratio=0.5 \
             nan=NaN ok=true"
        );
    }

    #[test]
    fn json_has_the_same_keys() {
        let lines = logged(LogFormat::Json, LogLevel::Info, event);
        assert_eq!(lines.len(), 1);
        assert_eq!(
            after_time(&lines[0], "{\"time\":\"", "\","),
            "\"level\":\"INFO\",\"source\":\"test\",\"msg\":\"now listening\",\
             \"address\":\"[::]:19310\",\"nasty\":\"a=\\\"b\\\"\\n\\u001b[2J\\\\\",\
             \"empty\":\"\",\"count\":3,\"delta\":-4,\"ratio\":0.5,\"nan\":\"NaN\",\"ok\":true}"
        );
    }

    #[test]
    fn levels_below_are_left_out() {
        let events = || {
            tracing::debug!("a");
            tracing::info!("b");
            tracing::warn!("c");
            tracing::error!("d");
        };
        for (level, count) in
            [(LogLevel::Debug, 4), (LogLevel::Info, 3), (LogLevel::Warn, 2), (LogLevel::Error, 1)]
        {
            assert_eq!(logged(LogFormat::Logfmt, level, events).len(), count, "{level:?}");
        }
    }

    #[test]
    fn long_values_are_cut() {
        let long = "é".repeat(VALUE_LENGTH_MAX_BYTES);
        let lines = logged(LogFormat::Logfmt, LogLevel::Info, || tracing::info!(long, "m"));
        let cut = "é".repeat(VALUE_LENGTH_MAX_BYTES / 2);
        assert!(lines[0].ends_with(&format!(" long=\"{cut}…\"")), "{}", lines[0].len());
    }
}
