//! The commented default configuration, made from the tables that the file is read by.

use std::fmt::Write;

use super::limits;

const HEAD: &str = "\
# Configuration of the Ringmeter agent: `ringmeter agent --config.file=FILE`.
#
# This is the default: an empty file means the same. `ringmeter check-config FILE` tells every
# problem at once. SIGHUP, or POST to /-/reload with --web.enable-lifecycle, reads the file again:
# a file with problems leaves the one before in force (ringmeter_config_last_reload_successful 0).
# A reload resets no total. Sizes are written 64MiB, durations 500ms or 1m30s.

";

const SERVICE: &str = "
# The label that tells the services in one directory apart, as service: every series carries it
# then. Empty: the directory belongs to the first service seen, and the segments of others are not
# read. A metric's own label of this name is shown as exported_NAME. Read at the start only.
service_label: \"\"
";

const VIEWS: &str = r#"
# How metrics are exposed. The first view that selects a series decides; what none selects is
# exposed as the application declared it. A change takes effect in the next scrape. At most 256.
views: []
# - metric: "app_*_seconds"     # Name of the metric; * stands for any characters, ? for one.
#                               # Default: every metric, if labels are given.
#   labels: {route: "/pay*"}    # Only series with these labels, wildcards as above; "" is a label
#                               # that is not there. What changes the form of a metric then needs
#                               # rename. Default: all series.
#   drop: false                 # true: not exposed (and still counted, for a view to come).
#   rename: app_pay_seconds     # Another name; then metric must be one name. Default: its own.
#   help: "Time to pay."        # Another help text, up to 4096 bytes. Default: its own.
#   unit: seconds               # Another unit; in OpenMetrics if the name ends in it. Default: its
#                               # own.
#   gauge_rule: max             # How processes merge: sum, min, max, mean, most_recent,
#                               # per_process. Gauges only. Default: as declared.
#   series_max: 1000            # Series that the metric may have, from 1: what appears beyond
#                               # counts in its overflow series. Series that are there stay.
#                               # Default: only the limits above.
#   show: [histogram, summary]  # Forms in which observations are exposed. Default: those that the
#                               # three fields below speak of, else as declared. A summary beside
#                               # a histogram has a name of its own.
#   buckets: [0.001, 0.01, 0.1] # Upper bounds of classic buckets, increasing, up to 128, without
#                               # +Inf. Declared bounds stay exact. Others are computed from base-2
#                               # buckets: as if the bound were off by up to 1.1 %, and for
#                               # records that were spilled by up to 8.7 %. HELP says so.
#                               # Default: as declared.
#   native_histogram:           # Native buckets, for scrapers that take protobuf; false: none.
#                               # A finer schema than before, or a smaller zero bucket, is a
#                               # counter reset to a server.
#     schema: 5                 # Resolution, -4 to 5: each bucket is 2^(2^-schema) times the one
#                               # before. Default: 5, an error of 1.1 %.
#     buckets_max: 160          # Where there are more, the zero bucket is widened, then the schema
#                               # lowered. 4 to 4096. Default: 160.
#     zero_threshold: 5.421010862427522e-20 # Up to here a value is in the zero bucket, up to 1;
#                               # rounded up to a bucket's edge. Default: 2^-64, the least.
#     zero_threshold_max: 0     # The zero bucket may be widened up to here, 0 to 1. Default: 0, not
#                               # at all.
#   summary:                    # Quantiles over a sliding window.
#     objectives: [0.5, 0.99]   # Increasing, 0 to 1, up to 16. Default: as declared.
#     max_age: 10m              # Length of the window, 1s to 24h. Default: as declared, or 10m.
#     age_buckets: 5            # Steps in which it moves on, 1 to 60. Default: as declared, or 5.
#     name: app_pay_quantiles_seconds # Name beside a histogram; metric must be one name then.
#                               # Default: with _quantiles, in front of a unit.
"#;

const RELABEL: &str = r#"
# Rules in the manner of Prometheus' metric_relabel_configs, applied in order to what the views
# leave; the agent's own metrics are not changed. __name__ is the name of the metric, without
# _bucket, _sum and _count; there is no le and no quantile. Series of one metric that become equal
# are merged: counters, histograms and summaries are added up, gauges follow their gauge_rule. Of
# two metrics with one name, or with a sample of one name, the one that was defined first is shown
# (ringmeter_metrics_hidden). At most 256.
metric_relabel_configs: []
# - source_labels: [code]       # Labels whose values are joined. Default: none.
#   separator: ";"              # Stands between them. Default: ";".
#   regex: "(.).*"              # RE2's kind; must match all of the source. Default: "(.*)".
#   target_label: class         # The label to set; $1 names a group. No default.
#   replacement: "${1}xx"       # Its value, up to 4096 bytes; empty removes it. Default: "$1".
#   action: replace             # replace, keep, drop, keepequal, dropequal, labelmap, labeldrop,
#                               # labelkeep, lowercase, uppercase. Default: replace.
"#;

/// The configuration that is in force without a file, with every field explained.
pub fn default_text() -> String {
    let mut text = String::from(HEAD);
    text.push_str(
        "# How much is taken from processes. Beyond a limit totals are kept, or what is ",
    );
    text.push_str("lost is counted.\nlimits:\n");
    for (key, help, default) in limits::documented() {
        for line in wrapped(&help, 94) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  # {line}");
        }
        let _ = writeln!(text, "  {key}: {default}");
    }
    text.extend([SERVICE, VIEWS, RELABEL]);
    text
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && line.len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
