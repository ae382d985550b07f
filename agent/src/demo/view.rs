//! What the demo shows while it runs: a picture that refreshes, or a line a second.

use std::io::{self, IsTerminal, Stdout, Write};
use std::time::Duration;

use super::figures::Figures;

/// Behind every figure of one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picture {
    /// Since the load began.
    pub(super) elapsed: Duration,
    /// Responses that the load generator has received, before the scrape was asked for.
    pub(super) sent: u64,
    /// Requests without a response.
    pub(super) failed: u64,
    /// Requests scraped per second.
    pub(super) requests_per_second: f64,
    /// Records per second.
    pub(super) records_per_second: f64,
    /// What the scrape says.
    pub(super) figures: Figures,
}

impl Picture {
    /// Lines for a terminal.
    pub(super) fn screen(&self) -> Vec<String> {
        let figures = &self.figures;
        let mut lines = Vec::new();
        let mut row = |name: &str, text: String| lines.push(format!("  {name:<16}{text}"));
        row("running", format!("{} s", self.elapsed.as_secs()));
        row(
            "requests",
            format!(
                "{} answered   {} scraped   {} per second   {} failed",
                grouped(self.sent),
                grouped(figures.requests),
                rate(self.requests_per_second),
                grouped(self.failed),
            ),
        );
        row(
            "errors",
            format!(
                "{} of 5xx   {} of 4xx",
                grouped(figures.server_errors),
                grouped(figures.client_errors)
            ),
        );
        row("time to answer", quantiles(figures.durations_seconds, duration));
        row("response size", quantiles(figures.sizes_bytes, |bytes| format!("{bytes:.0} B")));
        row("in flight", grouped(figures.in_flight));
        row(
            "records",
            format!(
                "{} per second   {} by lanes   {} by cells",
                rate(self.records_per_second),
                grouped(figures.drained),
                grouped(figures.spilled),
            ),
        );
        row("lane fill", format!("{} (the fullest lane since the last scrape)", self.fill()));
        row("dropped", grouped(figures.dropped));
        row(
            "record cost",
            format!("{} (median of batches that the service timed at its start)", self.cost()),
        );
        lines
    }

    /// One line for a log.
    pub(super) fn line(&self) -> String {
        let figures = &self.figures;
        let [p50, p90, p99] = figures.durations_seconds.map(|seconds| shown(seconds, compact));
        format!(
            "{}s requests={} scraped={} failed={} errors_5xx={} errors_4xx={} p50={p50} \
             p90={p90} p99={p99} in_flight={} records_per_second={:.0} lane_fill={} \
             record_cost={} dropped={}",
            self.elapsed.as_secs(),
            self.sent,
            figures.requests,
            self.failed,
            figures.server_errors,
            figures.client_errors,
            figures.in_flight,
            self.records_per_second,
            self.fill().replace(' ', ""),
            self.cost().replace(' ', ""),
            figures.dropped,
        )
    }

    fn fill(&self) -> String {
        shown(self.figures.lane_fill, |ratio| format!("{:.1} %", ratio * 100.0))
    }

    fn cost(&self) -> String {
        shown(self.figures.record_cost_seconds, |seconds| format!("{:.1} ns", seconds * 1e9))
    }
}

/// What is not known yet is a dash.
fn shown(value: Option<f64>, text: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}

fn quantiles(values: [Option<f64>; 3], text: impl Fn(f64) -> String) -> String {
    let [p50, p90, p99] = values.map(|value| shown(value, &text));
    format!("p50 {p50:<10} p90 {p90:<10} p99 {p99}")
}

/// Seconds in the unit that leaves one to three digits before the point.
fn duration(seconds: f64) -> String {
    if seconds < 1e-3 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

fn compact(seconds: f64) -> String {
    duration(seconds).replace(' ', "").replace('µ', "u")
}

fn rate(per_second: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let whole = per_second.round() as u64;
    grouped(whole)
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Standard output: a terminal that is drawn on, or anything else, which gets lines.
#[derive(Debug)]
pub(super) struct Screen<W> {
    out: W,
    is_terminal: bool,
    /// Lines of the picture that is there now.
    drawn: usize,
}

impl Screen<Stdout> {
    pub(super) fn standard_output() -> Self {
        let out = io::stdout();
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let is_terminal = out.is_terminal() && !is_dumb;
        Self { out, is_terminal, drawn: 0 }
    }
}

impl<W: Write> Screen<W> {
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Puts text above the picture, which the next [`show`](Self::show) draws again.
    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        let text = format!("{}{text}\n", self.erasure());
        self.drawn = 0;
        self.write(&text)
    }

    /// Shows a picture in place of the one before, or adds its line.
    pub(super) fn show(&mut self, picture: &Picture) -> io::Result<()> {
        if !self.is_terminal {
            return self.write(&format!("{}\n", picture.line()));
        }
        let lines = picture.screen();
        // A line that wrapped would be two, and the next picture one too low: none may.
        let text = format!("{}\x1b[?7l{}\n\x1b[?7h", self.erasure(), lines.join("\n"));
        self.drawn = lines.len();
        self.write(&text)
    }

    fn erasure(&self) -> String {
        if self.drawn == 0 { String::new() } else { format!("\x1b[{}A\r\x1b[J", self.drawn) }
    }

    /// At once, so that a terminal never shows half a picture.
    fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: Picture = Picture {
        elapsed: Duration::from_millis(12_345),
        sent: 6172,
        failed: 1,
        requests_per_second: 500.4,
        records_per_second: 1_502.6,
        figures: Figures {
            requests: 6175,
            client_errors: 308,
            server_errors: 61,
            durations_seconds: [Some(0.000_042), Some(0.0123), Some(1.5)],
            sizes_bytes: [Some(32.0), Some(5000.0), None],
            in_flight: 3,
            drained: 1_234_567,
            spilled: 0,
            dropped: 2,
            lane_fill: Some(0.0123),
            record_cost_seconds: Some(2.34e-9),
        },
    };

    #[test]
    fn a_screen_shows_every_figure() {
        let screen = PICTURE.screen().join("\n");
        for part in [
            "running         12 s",
            "6,172 answered   6,175 scraped   500 per second   1 failed",
            "61 of 5xx   308 of 4xx",
            "p50 42 µs      p90 12.3 ms    p99 1.50 s",
            "p50 32 B       p90 5000 B     p99 -",
            "in flight       3",
            "1,503 per second   1,234,567 by lanes   0 by cells",
            "1.2 %",
            "dropped         2",
            "2.3 ns",
        ] {
            assert!(screen.contains(part), "{part:?} is not in\n{screen}");
        }
        assert!(PICTURE.screen().iter().all(|line| line.chars().count() <= 80), "{screen}");
    }

    #[test]
    fn a_line_is_one_line_of_pairs() {
        assert_eq!(
            PICTURE.line(),
            "12s requests=6172 scraped=6175 failed=1 errors_5xx=61 errors_4xx=308 p50=42us \
             p90=12.3ms p99=1.50s in_flight=3 records_per_second=1503 lane_fill=1.2% \
             record_cost=2.3ns dropped=2"
        );
        let empty = Picture { figures: Figures::default(), ..PICTURE };
        assert!(empty.line().contains("p50=- p90=- p99=- "), "{}", empty.line());
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn a_terminal_is_drawn_over() {
        let mut screen = Screen { out: Vec::new(), is_terminal: true, drawn: 0 };
        screen.show(&PICTURE).expect("a vector takes everything");
        screen.show(&PICTURE).expect("a vector takes everything");
        screen.print("a message").expect("a vector takes everything");
        screen.show(&PICTURE).expect("a vector takes everything");
        let text = String::from_utf8(screen.out).expect("UTF-8");
        let up = format!("\x1b[{}A\r\x1b[J", PICTURE.screen().len());
        assert_eq!(text.matches(&up).count(), 2, "{text:?}");
        assert!(text.contains(&format!("{up}a message\n\x1b[?7l  running")), "{text:?}");
    }

    #[test]
    fn no_terminal_gets_no_escapes() {
        let mut screen = Screen { out: Vec::new(), is_terminal: false, drawn: 0 };
        screen.print("a message").expect("a vector takes everything");
        screen.show(&PICTURE).expect("a vector takes everything");
        let text = String::from_utf8(screen.out).expect("UTF-8");
        assert_eq!(text, format!("a message\n{}\n", PICTURE.line()));
    }
}
