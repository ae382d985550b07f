//! From scrapes to what the view shows.

use std::collections::VecDeque;
use std::time::Duration;

use super::samples::{Sample, Samples};

/// The quantiles shown.
pub(super) const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// What rates are averaged over: long enough to be calm, short enough to follow.
const RATE_WINDOW: Duration = Duration::from_secs(2);

/// The numbers of one scrape.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Figures {
    /// `http_requests_total` over all labels.
    pub(super) requests: u64,
    /// Requests answered with 4xx.
    pub(super) client_errors: u64,
    /// Requests answered with 5xx.
    pub(super) server_errors: u64,
    /// Quantiles of the time to answer, seconds.
    pub(super) durations_seconds: [Option<f64>; 3],
    /// Quantiles of the size of a response, bytes.
    pub(super) sizes_bytes: [Option<f64>; 3],
    /// Requests in flight when the service was last looked at.
    pub(super) in_flight: u64,
    /// Records that came through lanes.
    pub(super) drained: u64,
    /// Records that went through cells.
    pub(super) spilled: u64,
    /// Records that are not in any total: dropped or rejected, for whatever reason.
    pub(super) dropped: u64,
    /// How full the fullest lane was since the scrape before, 0 to 1.
    pub(super) lane_fill: Option<f64>,
    /// What the service measured a record to cost, seconds; `None` until it has.
    pub(super) record_cost_seconds: Option<f64>,
}

impl Figures {
    pub(super) fn of(samples: &Samples) -> Self {
        let requests_by = |class: char| {
            let is_in_class = |sample: &Sample| sample.label("code").starts_with(class);
            samples.total_where("http_requests_total", is_in_class)
        };
        Self {
            requests: samples.total("http_requests_total"),
            client_errors: requests_by('4'),
            server_errors: requests_by('5'),
            durations_seconds: samples.histogram("http_request_duration_seconds", QUANTILES),
            sizes_bytes: samples.summary("http_response_size_bytes", QUANTILES),
            in_flight: samples.total("http_requests_in_flight"),
            drained: samples.total("ringmeter_records_drained_total"),
            spilled: samples.total("ringmeter_records_spilled_total"),
            dropped: samples.total("ringmeter_records_dropped_total")
                + samples.total("ringmeter_records_rejected_total"),
            lane_fill: samples.value("ringmeter_lane_fill_max_ratio"),
            record_cost_seconds: samples
                .value("app_record_cost_seconds")
                .filter(|seconds| *seconds > 0.0),
        }
    }

    /// Records that are in the totals, whichever way they came.
    pub(super) fn records(&self) -> u64 {
        self.drained + self.spilled
    }
}

/// Rates over the last seconds.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// Time, requests and records of each of the last scrapes.
    history: VecDeque<(Duration, u64, u64)>,
}

impl Rates {
    /// Takes the newest scrape; returns requests and records per second.
    pub(super) fn add(&mut self, at: Duration, requests: u64, records: u64) -> (f64, f64) {
        self.history.push_back((at, requests, records));
        // One beyond the window stays, for the rates to span all of it.
        while self.history.get(1).is_some_and(|second| second.0 + RATE_WINDOW <= at) {
            self.history.pop_front();
        }
        let Some(first) = self.history.front().filter(|first| first.0 < at) else {
            return (0.0, 0.0);
        };
        let seconds = (at - first.0).as_secs_f64();
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        (rate(requests, first.1), rate(records, first.2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_from_a_scrape() {
        let samples = Samples::parse(
            "http_requests_total{method=\"GET\",route=\"/\",code=\"200\"} 7\n\
             http_requests_total{method=\"GET\",route=\"/error\",code=\"500\"} 2\n\
             http_requests_total{method=\"GET\",route=\"other\",code=\"404\"} 1\n\
             http_requests_in_flight 3\n\
             http_request_duration_seconds_bucket{route=\"/\",le=\"0.5\"} 4\n\
             http_request_duration_seconds_bucket{route=\"/\",le=\"+Inf\"} 4\n\
             http_response_size_bytes{quantile=\"0.5\"} 99\n\
             app_record_cost_seconds 2.5e-09\n\
             ringmeter_records_drained_total 100\n\
             ringmeter_records_spilled_total 20\n\
             ringmeter_records_dropped_total{reason=\"quarantined\"} 1\n\
             ringmeter_records_rejected_total{reason=\"a\"} 2\n\
             ringmeter_records_rejected_total{reason=\"b\"} 3\n\
             ringmeter_lane_fill_max_ratio 0.25\n",
        );
        let figures = Figures::of(&samples);
        assert_eq!((figures.requests, figures.server_errors, figures.client_errors), (10, 2, 1));
        assert_eq!(figures.durations_seconds[0], Some(0.25));
        assert_eq!(figures.sizes_bytes, [Some(99.0), None, None]);
        assert_eq!(figures.in_flight, 3);
        assert_eq!((figures.records(), figures.dropped), (120, 6));
        assert_eq!(figures.lane_fill, Some(0.25));
        assert_eq!(figures.record_cost_seconds, Some(2.5e-9));
    }

    #[test]
    fn an_empty_scrape_has_no_figures() {
        let samples = Samples::parse("app_record_cost_seconds 0\n");
        assert_eq!(Figures::of(&samples), Figures::default());
    }

    #[test]
    fn rates_span_the_window() {
        let mut rates = Rates::default();
        let at = Duration::from_millis;
        assert_eq!(rates.add(at(0), 0, 0), (0.0, 0.0));
        assert_eq!(rates.add(at(0), 0, 0), (0.0, 0.0));
        assert_eq!(rates.add(at(1000), 10, 100), (10.0, 100.0));
        assert_eq!(rates.add(at(2000), 40, 300), (20.0, 150.0));
        assert_eq!(rates.add(at(3000), 110, 300), (50.0, 100.0));
        assert_eq!(rates.add(at(60_000), 110, 300), (0.0, 0.0));
    }
}
