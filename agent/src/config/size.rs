//! The flags of `ringmeter size`: what a pod runs, as its owner knows it.

use std::str::FromStr;

use ringmeter_layout::lane::{CAPACITY_DEFAULT_RECORDS, Capacity};
use ringmeter_layout::segment::{
    LANE_CELLS_DEFAULT, LANE_CELLS_MAX, LANE_CELLS_UNIT, LANES_MAX, SPILL_SCHEMA_DEFAULT,
    SPILL_SCHEMA_MAX,
};

use super::{Problem, Reader, Reason};

/// Most series of one kind, and most metrics, that are calculated with: as many as an agent keeps.
const SERIES_MAX: u64 = 262_144;
/// Most processes: as many segments as an agent attaches.
const PROCESSES_MAX: u64 = 1024;
/// Most bounds of a histogram.
const BOUNDS_MAX: u64 = 1024;
/// Most bytes of labels in a series: 32 labels of 1 KiB.
const LABEL_BYTES_MAX: u64 = 32 << 10;

/// The flags as written: text, not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct SizeArguments {
    /// Threads that record, in each process: each has a lane, 1 to 256 [default: 8]
    #[arg(long = "threads", value_name = "N")]
    pub threads: Option<String>,

    /// Records in a lane, as the application sets lane_capacity_records [default: 4096]
    #[arg(long = "lane-capacity", value_name = "RECORDS")]
    pub lane_capacity: Option<String>,

    /// Series, gauges not counted, that have a cell in every lane, as the application sets
    /// lane_cells, 0 to 8192 [default: 512]
    #[arg(long = "lane-cells", value_name = "SERIES")]
    pub lane_cells: Option<String>,

    /// Processes of the service that run at the same time in the pod, 1 to 1024 [default: 1]
    #[arg(long = "processes", value_name = "N")]
    pub processes: Option<String>,

    /// Series of counters. Here and below: all label values that occur, and one more (the
    /// overflow series) for each metric that has labels [default: 50]
    #[arg(long = "counters", value_name = "N")]
    pub counters: Option<String>,

    /// Series of gauges [default: 20]
    #[arg(long = "gauges", value_name = "N")]
    pub gauges: Option<String>,

    /// Series of histograms [default: 25]
    #[arg(long = "histograms", value_name = "N")]
    pub histograms: Option<String>,

    /// Series of summaries [default: 5]
    #[arg(long = "summaries", value_name = "N")]
    pub summaries: Option<String>,

    /// Bucket bounds of a histogram, without +Inf [default: 11]
    #[arg(long = "bounds", value_name = "N")]
    pub bounds: Option<String>,

    /// Bytes of the label values of a series [default: 24]
    #[arg(long = "label-bytes", value_name = "BYTES")]
    pub label_bytes: Option<String>,

    /// Metric names over which the series are spread [default: 20]
    #[arg(long = "metrics", value_name = "N")]
    pub metrics: Option<String>,

    /// Schema of the base-2 buckets that take overload, as the application sets it, 0 to 5
    /// [default: 2]
    #[arg(long = "spill-schema", value_name = "N")]
    pub spill_schema: Option<String>,

    /// text, with the arithmetic; json, bytes and quantities; or yaml, values for the Helm chart
    /// [default: text]
    #[arg(long = "output", value_name = "FORMAT")]
    pub output: Option<String>,
}

/// What a pod runs, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeConfig {
    /// Threads that record, in each process.
    pub threads: u64,
    /// Records in a lane.
    pub lane_capacity: Capacity,
    /// Cells in each lane.
    pub lane_cells: u32,
    /// Processes at the same time.
    pub processes: u64,
    /// Series of counters.
    pub counters: u64,
    /// Series of gauges.
    pub gauges: u64,
    /// Series of histograms.
    pub histograms: u64,
    /// Series of summaries.
    pub summaries: u64,
    /// Bucket bounds of a histogram.
    pub bounds: u32,
    /// Bytes of the label values of a series.
    pub label_bytes: u64,
    /// Metric names.
    pub metrics: u64,
    /// Schema of the buckets in cells.
    pub spill_schema: u8,
    /// Form of the answer.
    pub output: OutputFormat,
}

/// The form of what `ringmeter size` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// For people: the arithmetic.
    #[default]
    Text,
    /// For programs: bytes and quantities.
    Json,
    /// For the Helm chart: its values.
    Yaml,
}

impl FromStr for OutputFormat {
    type Err = Reason;

    fn from_str(text: &str) -> Result<Self, Reason> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            _ => Err(Reason::OutputFormat),
        }
    }
}

impl SizeConfig {
    /// Turns what was written into what is used.
    ///
    /// # Errors
    ///
    /// All problems, in the order of the flags.
    pub fn check(written: &SizeArguments) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader { variable: |_: &str| None, problems: Vec::new() };
        let mut number = |text: &Option<String>, name, low, high, default| {
            let parse = |text: &str| {
                let number = text.parse().ok().filter(|number| (low..=high).contains(number));
                number.ok_or(Reason::Number { low, high })
            };
            reader.value(text.as_deref(), [name; 2], parse).unwrap_or(default)
        };
        let threads = number(&written.threads, "--threads", 1, LANES_MAX.into(), 8);
        let (most, cells) = (LANE_CELLS_MAX.into(), LANE_CELLS_DEFAULT.into());
        let cells = number(&written.lane_cells, "--lane-cells", 0, most, cells);
        let processes = number(&written.processes, "--processes", 1, PROCESSES_MAX, 1);
        let counters = number(&written.counters, "--counters", 0, SERIES_MAX, 50);
        let gauges = number(&written.gauges, "--gauges", 0, SERIES_MAX, 20);
        let histograms = number(&written.histograms, "--histograms", 0, SERIES_MAX, 25);
        let summaries = number(&written.summaries, "--summaries", 0, SERIES_MAX, 5);
        let bounds = number(&written.bounds, "--bounds", 0, BOUNDS_MAX, 11);
        let label_bytes = number(&written.label_bytes, "--label-bytes", 0, LABEL_BYTES_MAX, 24);
        let metrics = number(&written.metrics, "--metrics", 1, SERIES_MAX, 20);
        let (finest, usual) = (SPILL_SCHEMA_MAX.into(), SPILL_SCHEMA_DEFAULT.into());
        let schema = number(&written.spill_schema, "--spill-schema", 0, finest, usual);
        let capacity = reader.value(
            written.lane_capacity.as_deref().or(Some(CAPACITY_DEFAULT_TEXT)),
            ["--lane-capacity"; 2],
            |text| text.parse().ok().and_then(Capacity::new).ok_or(Reason::LaneCapacity),
        );
        let output = reader.value(written.output.as_deref(), ["--output"; 2], str::parse);
        let Some(lane_capacity) = capacity.filter(|_| reader.problems.is_empty()) else {
            return Err(reader.problems);
        };
        Ok(Self {
            threads,
            lane_capacity,
            lane_cells: u32::try_from(cells)
                .unwrap_or(LANE_CELLS_MAX)
                .next_multiple_of(LANE_CELLS_UNIT),
            processes,
            counters,
            gauges,
            histograms,
            summaries,
            bounds: u32::try_from(bounds).unwrap_or(u32::MAX),
            label_bytes,
            metrics,
            spill_schema: u8::try_from(schema).unwrap_or(SPILL_SCHEMA_MAX),
            output: output.unwrap_or_default(),
        })
    }
}

const CAPACITY_DEFAULT_TEXT: &str = "4096";
const _: () = assert!(CAPACITY_DEFAULT_RECORDS == 4096);

#[cfg(test)]
mod tests {
    use super::super::{Command, ConfigError, parse};
    use super::*;

    fn run(arguments: &[&str]) -> Result<Command, ConfigError> {
        let line = ["ringmeter", "size"].iter().chain(arguments).map(std::ffi::OsString::from);
        parse(line, |_| None)
    }

    #[test]
    fn defaults_are_a_small_service() {
        let Ok(Command::Size(config)) = run(&[]) else { panic!("no size") };
        assert_eq!((config.threads, config.processes), (8, 1));
        assert_eq!(config.lane_capacity.records(), 4096);
        let series = config.counters + config.gauges + config.histograms + config.summaries;
        assert_eq!(series, 100);
        assert_eq!(config.output, OutputFormat::Text);
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let bad = run(&["--threads=0", "--lane-capacity=100", "--output=xml", "--counters=many"]);
        let Err(ConfigError::Values(problems)) = bad else { panic!("no problems") };
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "--threads \"0\": must be a whole number from 1 to 256",
                "--counters \"many\": must be a whole number from 0 to 262144",
                "--lane-capacity \"100\": must be a power of two from 64 to 4194304",
                "--output \"xml\": must be one of text, json, yaml",
            ]
        );
    }
}
