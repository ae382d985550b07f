//! How a producer is set up: as the application says it, and checked.

use std::path::PathBuf;

use ringmeter_layout::lane::{CAPACITY_DEFAULT_RECORDS, Capacity};
use ringmeter_layout::segment::{
    CHUNK_ALIGN_BYTES, LANE_CELLS_DEFAULT, LANE_CELLS_MAX, LANE_CELLS_UNIT, LANES_MAX,
    SEGMENT_SIZE_MAX_BYTES, SPILL_SCHEMA_DEFAULT, SPILL_SCHEMA_MAX,
};
use ringmeter_layout::{definition, naming};

use crate::error::ConfigError;

/// Environment variable that names the service unless the builder does.
pub const SERVICE_VARIABLE: &str = "RINGMETER_SERVICE";
/// Lanes per segment unless configured: threads beyond it record into cells.
pub const LANES_DEFAULT: u32 = 64;
/// Series per producer unless configured.
pub const SERIES_DEFAULT: u32 = 10_000;
/// Most series that can be configured: 2^19, half of what a segment can define.
pub const SERIES_LIMIT: u32 = 1 << 19;
/// Segments in one directory beyond which a new process counts privately, unless configured.
pub const SEGMENTS_DEFAULT: u32 = 1024;
/// Largest size of a segment unless configured: 64 MiB.
pub const SEGMENT_SIZE_DEFAULT_BYTES: u64 = 64 << 20;
/// Smallest size of a segment that can be configured: header, definitions, cells, gauges, and two
/// lanes with their cells.
pub const SEGMENT_SIZE_MIN_BYTES: u64 = 7 * CHUNK_ALIGN_BYTES as u64;

/// A producer's settings, as written.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) directory: Option<PathBuf>,
    pub(crate) service: Option<String>,
    pub(crate) lane_capacity_records: u32,
    pub(crate) lanes_max: u32,
    pub(crate) lane_cells: u32,
    pub(crate) series_max: u32,
    pub(crate) label_value_length_max_bytes: u32,
    pub(crate) segment_size_max_bytes: u64,
    pub(crate) segments_max: u32,
    pub(crate) spill_schema: u8,
    pub(crate) allow_any_filesystem: bool,
    pub(crate) private_only: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            directory: None,
            service: None,
            lane_capacity_records: CAPACITY_DEFAULT_RECORDS,
            lanes_max: LANES_DEFAULT,
            lane_cells: LANE_CELLS_DEFAULT,
            series_max: SERIES_DEFAULT,
            label_value_length_max_bytes: LABEL_VALUE_DEFAULT_BYTES,
            segment_size_max_bytes: SEGMENT_SIZE_DEFAULT_BYTES,
            segments_max: SEGMENTS_DEFAULT,
            spill_schema: SPILL_SCHEMA_DEFAULT,
            allow_any_filesystem: false,
            private_only: false,
        }
    }
}

/// Longest label values that can be configured: 32 of them fit into one definition.
const LABEL_VALUE_LIMIT_BYTES: u64 = 1536;
const _: () = assert!(
    naming::LABELS_MAX as u64 * (LABEL_VALUE_LIMIT_BYTES + 2) + 64
        <= definition::ENTRY_SIZE_MAX_BYTES as u64
);

#[expect(clippy::cast_possible_truncation, reason = "1024")]
const LABEL_VALUE_DEFAULT_BYTES: u32 = naming::LABEL_VALUE_LENGTH_MAX_BYTES as u32;

/// A producer's settings, checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) directory: Option<PathBuf>,
    pub(crate) service: String,
    pub(crate) lane_capacity: Capacity,
    pub(crate) lanes_max: u32,
    pub(crate) lane_cells: u32,
    pub(crate) series_max: u32,
    pub(crate) label_value_length_max_bytes: usize,
    pub(crate) segment_size_max_bytes: u64,
    pub(crate) segments_max: u32,
    pub(crate) spill_schema: u8,
    pub(crate) allow_any_filesystem: bool,
    pub(crate) private_only: bool,
}

impl Settings {
    /// Checks everything; a setting that cannot be used is replaced by its default and reported.
    pub(crate) fn check(&self) -> (Config, Vec<ConfigError>) {
        let defaults = Self::default();
        let mut problems = Vec::new();
        let mut checked = |name, found: u64, low: u64, high: u64, default: u64| {
            if (low..=high).contains(&found) {
                return found;
            }
            problems.push(ConfigError::OutOfRange { name, found, low, high });
            default
        };
        let lanes_max =
            checked("lanes_max", self.lanes_max.into(), 1, LANES_MAX.into(), LANES_DEFAULT.into());
        let cells_max = LANE_CELLS_MAX.into();
        let cells = defaults.lane_cells.into();
        let lane_cells = checked("lane_cells", self.lane_cells.into(), 0, cells_max, cells);
        let series_max = checked(
            "series_max",
            self.series_max.into(),
            1,
            SERIES_LIMIT.into(),
            SERIES_DEFAULT.into(),
        );
        let label_value = checked(
            "label_value_length_max_bytes",
            self.label_value_length_max_bytes.into(),
            1,
            LABEL_VALUE_LIMIT_BYTES,
            LABEL_VALUE_DEFAULT_BYTES.into(),
        );
        let segment_size = checked(
            "segment_size_max_bytes",
            self.segment_size_max_bytes,
            SEGMENT_SIZE_MIN_BYTES,
            SEGMENT_SIZE_MAX_BYTES,
            SEGMENT_SIZE_DEFAULT_BYTES,
        );
        let schema_max = SPILL_SCHEMA_MAX.into();
        let schema = defaults.spill_schema.into();
        let schema = checked("spill_schema", self.spill_schema.into(), 0, schema_max, schema);
        let segments_max =
            checked("segments_max", self.segments_max.into(), 1, 100_000, SEGMENTS_DEFAULT.into());
        let lane_capacity = Capacity::new(self.lane_capacity_records);
        if lane_capacity.is_none() {
            problems.push(ConfigError::LaneCapacity { found: self.lane_capacity_records });
        }
        let (service, service_problem) = self.service_name();
        problems.extend(service_problem);
        let config = Config {
            directory: self.directory.clone(),
            service,
            lane_capacity: lane_capacity.unwrap_or(DEFAULT_CAPACITY),
            lanes_max: narrow(lanes_max),
            lane_cells: narrow(lane_cells).next_multiple_of(LANE_CELLS_UNIT),
            series_max: narrow(series_max),
            label_value_length_max_bytes: usize::try_from(label_value).unwrap_or(usize::MAX),
            segment_size_max_bytes: segment_size / u64::from(CHUNK_ALIGN_BYTES)
                * u64::from(CHUNK_ALIGN_BYTES),
            segments_max: narrow(segments_max),
            spill_schema: u8::try_from(schema).unwrap_or(SPILL_SCHEMA_DEFAULT),
            allow_any_filesystem: self.allow_any_filesystem,
            private_only: self.private_only,
        };
        (config, problems)
    }

    /// The builder's name, else the environment's, else the program's.
    fn service_name(&self) -> (String, Option<ConfigError>) {
        // What is not UTF-8 keeps a character that no name may have, and is reported as such.
        let from_variable =
            || std::env::var_os(SERVICE_VARIABLE).map(|name| name.to_string_lossy().into_owned());
        let named = self.service.clone().or_else(from_variable);
        let Some(name) = named.filter(|name| !name.is_empty()) else {
            return (program_name(), None);
        };
        match naming::service_name(&name) {
            Ok(()) => (name, None),
            Err(error) => (program_name(), Some(ConfigError::Service { name, error })),
        }
    }
}

const DEFAULT_CAPACITY: Capacity = match Capacity::new(CAPACITY_DEFAULT_RECORDS) {
    Some(capacity) => capacity,
    None => panic!("the default capacity is one"),
};

fn narrow(checked: u64) -> u32 {
    u32::try_from(checked).unwrap_or(u32::MAX)
}

/// The file name of the program, with what a service name may not hold replaced by `_`.
fn program_name() -> String {
    let path = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    service_of(&stem.unwrap_or_default())
}

/// Digits that cargo puts behind the names of test programs.
const CARGO_DIGITS: usize = 16;

/// The service that a program of this name belongs to.
///
/// Cargo calls the tests of a crate `shop` the program `shop-3e54fa617daaa0ef`, and every build
/// another one: under that name each of them would be a service of its own, and the first one in
/// a directory would keep `shop` itself out.
fn service_of(program: &str) -> String {
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let is_cargos = |digits: &str| digits.len() == CARGO_DIGITS && digits.chars().all(is_digit);
    let stem = match program.rsplit_once('-') {
        Some((stem, digits)) if !stem.is_empty() && is_cargos(digits) => stem,
        _ => program,
    };
    let name: String = stem
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' })
        .skip_while(|c| matches!(c, '-' | '.'))
        .take(naming::SERVICE_NAME_LENGTH_MAX_BYTES)
        .collect();
    if naming::service_name(&name).is_ok() { name } else { "unnamed".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        let (config, problem) = Settings::default().check();
        assert_eq!(problem, []);
        assert_eq!(config.lane_capacity.records(), 4096);
        assert!(naming::service_name(&config.service).is_ok());
    }

    #[test]
    fn a_test_program_is_called_as_its_crate() {
        for (program, service) in [
            ("shop-3e54fa617daaa0ef", "shop"),
            ("shop-v2-0123456789abcdef", "shop-v2"),
            ("shop", "shop"),
            ("shop-3e54fa617daaa0e", "shop-3e54fa617daaa0e"),
            ("shop-3e54fa617daaa0ef0", "shop-3e54fa617daaa0ef0"),
            ("shop-3E54FA617DAAA0EF", "shop-3E54FA617DAAA0EF"),
            ("-3e54fa617daaa0ef", "3e54fa617daaa0ef"),
            ("", "unnamed"),
        ] {
            assert_eq!(service_of(program), service, "{program}");
        }
        // This program is one.
        if std::env::var_os(SERVICE_VARIABLE).is_none() {
            assert_eq!(Settings::default().check().0.service, "ringmeter");
        }
    }

    #[test]
    fn a_bad_setting_is_named_and_replaced() {
        let settings = Settings { lane_capacity_records: 100, ..Settings::default() };
        let (config, problems) = settings.check();
        assert_eq!(problems, [ConfigError::LaneCapacity { found: 100 }]);
        assert_eq!(config.lane_capacity.records(), 4096);
        let settings = Settings { lanes_max: 0, ..Settings::default() };
        let message = settings.check().1.first().map(ToString::to_string).unwrap_or_default();
        assert!(message.contains("lanes_max") && message.contains("256"), "{message}");
        let settings = Settings { service: Some("../etc".to_owned()), ..Settings::default() };
        assert!(matches!(settings.check().1[..], [ConfigError::Service { .. }]));
    }
}
