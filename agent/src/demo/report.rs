//! How a demo ended: what was sent against what was scraped.

use std::fmt;

/// The comparison at the end; shown as one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    /// Requests of the load generator whose whole response it received.
    pub(super) requests_sent: u64,
    /// `http_requests_total` of the last scrape: with requests of others, too.
    pub(super) requests_scraped: u64,
    /// Records in the totals, by lanes and by cells.
    pub(super) records: u64,
    /// Records in no total.
    pub(super) dropped: u64,
    /// Where the agent was scraped.
    pub(super) scrape_url: String,
    /// Where the service answered.
    pub(super) app_url: String,
}

impl Report {
    /// Whether every request that was sent was found in the scrape.
    pub(super) fn is_complete(&self) -> bool {
        self.requests_scraped >= self.requests_sent
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The addresses are our own, of characters that JSON takes as they are.
        write!(
            f,
            "{{\"requests_sent\":{},\"requests_scraped\":{},\"records\":{},\"dropped\":{},\
             \"scrape_url\":\"{}\",\"app_url\":\"{}\"}}",
            self.requests_sent,
            self.requests_scraped,
            self.records,
            self.dropped,
            self.scrape_url,
            self.app_url,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(requests_sent: u64, requests_scraped: u64) -> Report {
        Report {
            requests_sent,
            requests_scraped,
            records: 7,
            dropped: 0,
            scrape_url: "http://127.0.0.1:1/metrics".to_owned(),
            app_url: "http://[::1]:2".to_owned(),
        }
    }

    #[test]
    fn a_report_is_one_line_of_json() {
        assert_eq!(
            report(3, 4).to_string(),
            "{\"requests_sent\":3,\"requests_scraped\":4,\"records\":7,\"dropped\":0,\
             \"scrape_url\":\"http://127.0.0.1:1/metrics\",\"app_url\":\"http://[::1]:2\"}"
        );
    }

    #[test]
    fn more_may_be_scraped_than_sent_but_not_less() {
        assert!(report(3, 3).is_complete());
        assert!(report(3, 4).is_complete());
        assert!(!report(3, 2).is_complete());
    }
}
