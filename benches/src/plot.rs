//! What plots show.

use serde::Serialize;

/// An axis.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Axis {
    /// What it says, with its unit.
    pub label: &'static str,
    /// Whether each step is a factor.
    pub is_logarithmic: bool,
}

/// Points that belong together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// What the legend says.
    pub name: String,
    /// Where it goes through.
    pub points: Vec<(f64, f64)>,
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plot {
    /// Name of its file, without extension.
    pub id: &'static str,
    /// What it says above.
    pub title: &'static str,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// What is in it.
    pub curves: Vec<Curve>,
}

impl Axis {
    /// With equal steps.
    #[must_use]
    pub const fn linear(label: &'static str) -> Self {
        Self { label, is_logarithmic: false }
    }

    /// With steps that are factors.
    #[must_use]
    pub const fn logarithmic(label: &'static str) -> Self {
        Self { label, is_logarithmic: true }
    }
}
