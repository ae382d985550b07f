//! What names may look like, and how long every text and list may be.
//!
//! One set of rules for both sides: the SDK refuses a bad name when a metric is registered,
//! and the agent refuses it again when it reads a definition, because it believes nothing it
//! reads. Names follow the classic Prometheus character set (data model, "Metric names and
//! labels"), which every scraper and every exposition format takes without escaping:
//!
//! | text | form | longest |
//! |---|---|---|
//! | metric name | `[a-zA-Z_:][a-zA-Z0-9_:]*` | 256 bytes |
//! | label name | `[a-zA-Z_][a-zA-Z0-9_]*` | 128 bytes |
//! | label value | UTF-8 | 1024 bytes, a setting |
//! | help text | UTF-8, may be empty | 4096 bytes |
//! | unit | `[a-zA-Z0-9_]*`, may be empty | 64 bytes |
//! | service name | `[A-Za-z0-9_][A-Za-z0-9_.-]*` | 64 bytes |
//!
//! No check of one of them allocates or panics. Names of several metrics are compared by
//! [`shared_sample`], which allocates.

mod error;
mod file_name;
mod kind;
pub mod lint;
mod samples;

pub use error::{NameError, NameField};
pub use file_name::{FILE_NAME_LENGTH_MAX_BYTES, FileName, SegmentName};
pub use kind::{GaugeRule, Kind};
pub use samples::{SharedSample, sample_suffixes, shared_sample};

/// The longest metric name, in bytes.
pub const METRIC_NAME_LENGTH_MAX_BYTES: usize = 256;
/// The longest label name, in bytes.
pub const LABEL_NAME_LENGTH_MAX_BYTES: usize = 128;
/// The longest label value unless configured otherwise, in bytes.
pub const LABEL_VALUE_LENGTH_MAX_BYTES: usize = 1024;
/// The most labels of one series, constant ones included.
pub const LABELS_MAX: usize = 32;
/// The longest help text, in bytes.
pub const HELP_LENGTH_MAX_BYTES: usize = 4096;
/// The longest unit, in bytes.
pub const UNIT_LENGTH_MAX_BYTES: usize = 64;
/// The longest service name, in bytes.
pub const SERVICE_NAME_LENGTH_MAX_BYTES: usize = 64;
/// The most bucket bounds of one histogram, without `+Inf`.
pub const BOUNDS_MAX: usize = 128;
/// The most quantile objectives of one summary.
pub const OBJECTIVES_MAX: usize = 16;

/// The label of the series that takes what a family's limit refuses.
pub const OVERFLOW_LABEL: &str = "ringmeter_overflow";

/// Beginnings of metric names that applications may not use.
///
/// `ringmeter_` is the agent's own, `scrape_` is written by the Prometheus server next to
/// every scrape, and `__` is Prometheus' own.
pub const RESERVED_METRIC_PREFIXES: [&str; 3] = ["__", "ringmeter_", "scrape_"];

/// Checks a metric name that an application gives.
///
/// ```
/// use ringmeter_layout::naming::metric_name;
///
/// assert!(metric_name("http_requests_total").is_ok());
/// assert!(metric_name("uptime_seconds").is_ok());
/// assert!(metric_name("up").is_err()); // The Prometheus server writes it.
/// assert!(metric_name("http-requests").is_err());
/// ```
///
/// # Errors
///
/// Those of [`metric_name_syntax`], and [`NameError::ReservedPrefix`] or
/// [`NameError::ReservedName`] for a name that belongs to Prometheus or to the agent.
pub fn metric_name(name: &str) -> Result<(), NameError> {
    let field = NameField::MetricName;
    metric_name_syntax(name)?;
    if name == "up" {
        return Err(NameError::ReservedName { field, name: "up" });
    }
    match RESERVED_METRIC_PREFIXES.into_iter().find(|prefix| name.starts_with(prefix)) {
        Some(prefix) => Err(NameError::ReservedPrefix { field, prefix }),
        None => Ok(()),
    }
}

/// Checks the form of a metric name, reserved or not: for the agent's own metrics.
///
/// # Errors
///
/// [`NameError::Empty`], [`NameError::TooLong`] or [`NameError::Character`].
pub fn metric_name_syntax(name: &str) -> Result<(), NameError> {
    let field = NameField::MetricName;
    text(field, name, METRIC_NAME_LENGTH_MAX_BYTES, false)?;
    characters(field, name, |position, c| match c {
        'a'..='z' | 'A'..='Z' | '_' | ':' => true,
        '0'..='9' => position > 0,
        _ => false,
    })
}

/// Checks a label name without regard to the metric's kind.
///
/// ```
/// use ringmeter_layout::naming::label_name;
///
/// assert!(label_name("method").is_ok());
/// assert!(label_name("__name__").is_err());
/// assert!(label_name("ringmeter_overflow").is_err());
/// ```
///
/// # Errors
///
/// [`NameError::Empty`], [`NameError::TooLong`] or [`NameError::Character`] for its form,
/// [`NameError::ReservedPrefix`] for `__`, [`NameError::ReservedName`] for
/// [`OVERFLOW_LABEL`].
pub fn label_name(name: &str) -> Result<(), NameError> {
    let field = NameField::LabelName;
    text(field, name, LABEL_NAME_LENGTH_MAX_BYTES, false)?;
    characters(field, name, |position, c| match c {
        'a'..='z' | 'A'..='Z' | '_' => true,
        '0'..='9' => position > 0,
        _ => false,
    })?;
    if name.starts_with("__") {
        return Err(NameError::ReservedPrefix { field, prefix: "__" });
    }
    if name == OVERFLOW_LABEL {
        return Err(NameError::ReservedName { field, name: OVERFLOW_LABEL });
    }
    Ok(())
}

/// Checks a label name of a metric of `kind`.
///
/// Histograms and summaries may use neither `le` nor `quantile`: the agent can expose one as
/// the other, and then writes that label itself.
///
/// ```
/// use ringmeter_layout::naming::{Kind, label_name_for};
///
/// assert!(label_name_for(Kind::Counter, "le").is_ok());
/// assert!(label_name_for(Kind::Histogram, "le").is_err());
/// ```
///
/// # Errors
///
/// Those of [`label_name`], and [`NameError::ReservedName`] for `le` and `quantile`.
pub fn label_name_for(kind: Kind, name: &str) -> Result<(), NameError> {
    label_name(name)?;
    let reserved = ["le", "quantile"].into_iter().find(|reserved| *reserved == name);
    match reserved {
        Some(name) if kind.is_distribution() => {
            Err(NameError::ReservedName { field: NameField::LabelName, name })
        }
        _ => Ok(()),
    }
}

/// Checks all label names of a family together.
///
/// ```
/// use ringmeter_layout::naming::{Kind, NameError, label_names};
///
/// assert!(label_names(Kind::Counter, &["method", "code"]).is_ok());
/// assert_eq!(
///     label_names(Kind::Counter, &["code", "method", "code"]),
///     Err(NameError::DuplicateLabel { first: 0, second: 2 }),
/// );
/// ```
///
/// # Errors
///
/// [`NameError::TooManyLabels`], [`NameError::DuplicateLabel`], or the first error of
/// [`label_name_for`].
pub fn label_names<S: AsRef<str>>(kind: Kind, names: &[S]) -> Result<(), NameError> {
    if names.len() > LABELS_MAX {
        return Err(NameError::TooManyLabels { count: names.len(), limit: LABELS_MAX });
    }
    // At most 32 x 31 / 2 comparisons: a set would allocate.
    for (second, name) in names.iter().enumerate() {
        label_name_for(kind, name.as_ref())?;
        let earlier = names.iter().take(second).position(|other| other.as_ref() == name.as_ref());
        if let Some(first) = earlier {
            return Err(NameError::DuplicateLabel { first, second });
        }
    }
    Ok(())
}

/// Checks a label value against the configured limit, in bytes.
///
/// ```
/// use ringmeter_layout::naming::{LABEL_VALUE_LENGTH_MAX_BYTES, label_value};
///
/// assert!(label_value("GET \"/\"\n", LABEL_VALUE_LENGTH_MAX_BYTES).is_ok());
/// assert!(label_value("GET", 2).is_err());
/// ```
///
/// # Errors
///
/// [`NameError::TooLong`].
pub fn label_value(value: &str, limit_bytes: usize) -> Result<(), NameError> {
    text(NameField::LabelValue, value, limit_bytes, true)
}

/// Checks a help text.
///
/// It may be empty; [`lint::lint`] says that it should not be.
///
/// # Errors
///
/// [`NameError::TooLong`].
pub fn help(help: &str) -> Result<(), NameError> {
    text(NameField::Help, help, HELP_LENGTH_MAX_BYTES, true)
}

/// Checks a unit, such as `seconds`; the empty text stands for none.
///
/// # Errors
///
/// [`NameError::TooLong`] or [`NameError::Character`].
pub fn unit(unit: &str) -> Result<(), NameError> {
    let field = NameField::Unit;
    text(field, unit, UNIT_LENGTH_MAX_BYTES, true)?;
    characters(field, unit, |_, c| c.is_ascii_alphanumeric() || c == '_')
}

/// Checks a service name, which becomes the beginning of file names.
///
/// ```
/// use ringmeter_layout::naming::service_name;
///
/// assert!(service_name("checkout-v2.eu").is_ok());
/// assert!(service_name("../etc").is_err());
/// ```
///
/// # Errors
///
/// [`NameError::Empty`], [`NameError::TooLong`] or [`NameError::Character`].
pub fn service_name(name: &str) -> Result<(), NameError> {
    let field = NameField::ServiceName;
    text(field, name, SERVICE_NAME_LENGTH_MAX_BYTES, false)?;
    // A first '.' would hide the file or climb out of the directory, a first '-' would be an
    // option to the commands that people run on files.
    characters(field, name, |position, c| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => true,
        '.' | '-' => position > 0,
        _ => false,
    })
}

/// Checks the upper bounds of a histogram's buckets, without `+Inf`.
///
/// No bound at all is allowed: such a histogram has the `+Inf` bucket only.
///
/// ```
/// use ringmeter_layout::naming::bounds;
///
/// assert!(bounds(&[0.005, 0.01, 0.025]).is_ok());
/// assert!(bounds(&[0.01, 0.01]).is_err());
/// assert!(bounds(&[1.0, f64::INFINITY]).is_err());
/// ```
///
/// # Errors
///
/// [`NameError::TooManyBounds`], [`NameError::BoundNotFinite`] or
/// [`NameError::BoundsNotIncreasing`].
pub fn bounds(bounds: &[f64]) -> Result<(), NameError> {
    if bounds.len() > BOUNDS_MAX {
        return Err(NameError::TooManyBounds { count: bounds.len(), limit: BOUNDS_MAX });
    }
    let mut previous = f64::NEG_INFINITY;
    for (position, &bound) in bounds.iter().enumerate() {
        if !bound.is_finite() {
            return Err(NameError::BoundNotFinite { position, bound });
        }
        if bound <= previous {
            return Err(NameError::BoundsNotIncreasing { position, previous, bound });
        }
        previous = bound;
    }
    Ok(())
}

/// Checks the quantiles of a summary, each from 0 to 1.
///
/// ```
/// use ringmeter_layout::naming::objectives;
///
/// assert!(objectives(&[0.5, 0.9, 0.99]).is_ok());
/// assert!(objectives(&[50.0, 99.0]).is_err());
/// ```
///
/// # Errors
///
/// [`NameError::TooManyObjectives`], [`NameError::ObjectiveOutOfRange`] or
/// [`NameError::ObjectivesNotIncreasing`].
pub fn objectives(objectives: &[f64]) -> Result<(), NameError> {
    if objectives.len() > OBJECTIVES_MAX {
        let count = objectives.len();
        return Err(NameError::TooManyObjectives { count, limit: OBJECTIVES_MAX });
    }
    let mut previous = f64::NEG_INFINITY;
    for (position, &objective) in objectives.iter().enumerate() {
        if !(0.0..=1.0).contains(&objective) {
            return Err(NameError::ObjectiveOutOfRange { position, objective });
        }
        if objective <= previous {
            return Err(NameError::ObjectivesNotIncreasing { position, previous, objective });
        }
        previous = objective;
    }
    Ok(())
}

fn text(
    field: NameField,
    text: &str,
    limit_bytes: usize,
    may_be_empty: bool,
) -> Result<(), NameError> {
    if text.is_empty() && !may_be_empty {
        return Err(NameError::Empty { field });
    }
    if text.len() > limit_bytes {
        return Err(NameError::TooLong { field, length_bytes: text.len(), limit_bytes });
    }
    Ok(())
}

fn characters(
    field: NameField,
    text: &str,
    is_allowed: impl Fn(usize, char) -> bool,
) -> Result<(), NameError> {
    match text.char_indices().find(|&(position, c)| !is_allowed(position, c)) {
        Some((position_bytes, found)) => Err(NameError::Character { field, position_bytes, found }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
