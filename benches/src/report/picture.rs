//! Plots as SVG, legible on light and on dark pages.

use std::fmt::Display;
use std::ops::Range;

use plotters::chart::{ChartBuilder, SeriesLabelPosition};
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::element::{Circle, PathElement};
use plotters::prelude::{IntoDrawingArea, IntoFont, SVGBackend};
use plotters::series::LineSeries;
use plotters::style::{Color, RGBColor, WHITE};

use crate::error::{Failure, Outcome};
use crate::figure::short;
use crate::plot::{Axis, Plot};

const SIZE: (u32, u32) = (860, 480);
/// About what of it is between the axes, and what a legend takes, in the same unit.
const INNER_SIZE: (f64, f64) = (732.0, 370.0);
const LEGEND_MARGINS: (f64, f64) = (45.0, 16.0);
const LINE: f64 = 18.0;
const LETTER: f64 = 7.0;
/// Okabe and Ito's palette, without those that are too pale on white or too dark on black.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(150, 110, 30),
    RGBColor(86, 150, 200),
    RGBColor(120, 120, 120),
];
const INK: RGBColor = RGBColor(36, 41, 47);
const GRID: RGBColor = RGBColor(216, 222, 228);
/// What a dark page changes: paper, ink and grid, by the colours above.
const DARK: &str = "<style>@media (prefers-color-scheme: dark) {\
     [fill=\"#FFFFFF\"] { fill: #0D1117 } [fill=\"#24292F\"] { fill: #E6EDF3 } \
     [stroke=\"#24292F\"] { stroke: #E6EDF3 } [stroke=\"#D8DEE4\"] { stroke: #30363D } \
     }</style>";
/// Steps of a linear axis.
const STEPS: f64 = 5.0;

/// Draws a plot.
///
/// # Errors
/// When there is nothing to draw.
pub(super) fn draw(plot: &Plot) -> Outcome<String> {
    let points = || plot.curves.iter().flat_map(|curve| &curve.points);
    if points().next().is_none() {
        return Err(Failure::new(format!("{}: no points", plot.id)));
    }
    let x = Scale::new(&plot.x, points().map(|point| point.0));
    let y = Scale::new(&plot.y, points().map(|point| point.1));
    let mut svg = String::new();
    paint(plot, &x, &y, &mut svg)?;
    // Behind the opening tag, where a style belongs.
    let begin = svg.find("<rect").ok_or_else(|| Failure::new("the plot has no paper"))?;
    svg.insert_str(begin, DARK);
    svg.truncate(svg.trim_end().len());
    svg.push('\n');
    Ok(svg)
}

fn failure(error: impl Display) -> Failure {
    Failure::new(format!("plot: {error}"))
}

fn paint(plot: &Plot, x: &Scale, y: &Scale, svg: &mut String) -> Outcome<()> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(failure)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(plot.title, ("sans-serif", 18).into_font().color(&INK))
        .margin(16)
        .margin_right(40)
        .x_label_area_size(52)
        .y_label_area_size(72)
        .build_cartesian_2d(x.clone(), y.clone())
        .map_err(failure)?;
    let text = || ("sans-serif", 14).into_font().color(&INK);
    chart
        .configure_mesh()
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(WHITE.mix(0.0))
        .label_style(text())
        .axis_desc_style(text())
        .x_desc(plot.x.label)
        .y_desc(plot.y.label)
        .x_label_formatter(&|mark| label(*mark))
        .y_label_formatter(&|mark| label(*mark))
        .draw()
        .map_err(failure)?;
    for (curve, colour) in plot.curves.iter().zip(COLOURS.into_iter().cycle()) {
        let points = &curve.points;
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
        let drawn = chart.draw_series(line).map_err(failure)?;
        drawn.label(curve.name.clone()).legend(move |(left, top)| {
            PathElement::new(vec![(left, top), (left + 18, top)], colour.stroke_width(3))
        });
        let dots = points.iter().map(|point| Circle::new(*point, 3, colour.filled()));
        chart.draw_series(dots).map_err(failure)?;
    }
    chart
        .configure_series_labels()
        .position(free_corner(plot, x, y))
        .background_style(WHITE)
        .border_style(GRID)
        .label_font(text())
        .draw()
        .map_err(failure)?;
    area.present().map_err(failure)
}

/// The corner where the legend covers least of the curves.
fn free_corner(plot: &Plot, x: &Scale, y: &Scale) -> SeriesLabelPosition {
    let letters = plot.curves.iter().map(|curve| curve.name.chars().count()).max().unwrap_or(0);
    let width = (LEGEND_MARGINS.0 + LETTER * letters as f64) / INNER_SIZE.0;
    let height = (LEGEND_MARGINS.1 + LINE * plot.curves.len() as f64) / INNER_SIZE.1;
    let corners = [
        (SeriesLabelPosition::UpperLeft, (0.0, 1.0 - height)),
        (SeriesLabelPosition::UpperRight, (1.0 - width, 1.0 - height)),
        (SeriesLabelPosition::LowerRight, (1.0 - width, 0.0)),
        (SeriesLabelPosition::LowerLeft, (0.0, 0.0)),
    ];
    let path = path(plot, x, y);
    let covered = |(left, low): (f64, f64)| {
        let is_in = |(x, y): &&(f64, f64)| {
            (left..=left + width).contains(x) && (low..=low + height).contains(y)
        };
        path.iter().filter(is_in).count()
    };
    let best = corners.into_iter().min_by_key(|(_, corner)| covered(*corner));
    best.map_or(SeriesLabelPosition::UpperLeft, |(position, _)| position)
}

/// Many places on the curves, as shares of the two axes.
fn path(plot: &Plot, x: &Scale, y: &Scale) -> Vec<(f64, f64)> {
    const PARTS: u32 = 50;
    let place = |point: &(f64, f64)| (x.share(point.0), y.share(point.1));
    let between = |pair: &[(f64, f64)]| {
        let ends = pair.first().zip(pair.last()).map(|(a, b)| (place(a), place(b)));
        ends.into_iter().flat_map(|(a, b)| {
            (0..=PARTS).map(move |step| {
                let part = f64::from(step) / f64::from(PARTS);
                (a.0 + (b.0 - a.0) * part, a.1 + (b.1 - a.1) * part)
            })
        })
    };
    plot.curves.iter().flat_map(|curve| curve.points.windows(2).flat_map(between)).collect()
}

/// An axis whose marks are chosen; those of a logarithmic one are powers of ten.
#[derive(Clone)]
struct Scale {
    is_logarithmic: bool,
    from: f64,
    to: f64,
    marks: Vec<f64>,
}

impl Scale {
    fn new(axis: &Axis, values: impl Iterator<Item = f64>) -> Self {
        let is_logarithmic = axis.is_logarithmic;
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| !is_logarithmic || *value > 0.0) {
            least = least.min(value);
            most = most.max(value);
        }
        if is_logarithmic {
            let (from, to) = (least.log10().floor(), most.log10().ceil());
            let to = if to > from { to } else { from + 1.0 };
            let marks = steps(from, to, 1.0).into_iter().map(|mark| 10_f64.powf(mark)).collect();
            return Self { is_logarithmic, from, to, marks };
        }
        let step = round_step(most / STEPS);
        let to = (most / step).ceil().max(1.0) * step;
        Self { is_logarithmic, from: 0.0, to, marks: steps(0.0, to, step) }
    }

    /// How far along the axis a value is, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        let scaled = if self.is_logarithmic { value.log10().max(self.from) } else { value };
        (scaled - self.from) / (self.to - self.from)
    }
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    #[expect(clippy::cast_possible_truncation, reason = "pixels")]
    fn map(&self, value: &f64, (begin, end): (i32, i32)) -> i32 {
        begin + (f64::from(end - begin) * self.share(*value)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.marks.clone() }
    }

    fn range(&self) -> Range<f64> {
        let ends = || self.marks.first().copied().zip(self.marks.last().copied());
        ends().map_or(0.0..1.0, |(first, last)| first..last)
    }
}

/// A mark's label: 100, 20 k, 1.5 M.
fn label(value: f64) -> String {
    let units = [(1e9, " G"), (1e6, " M"), (1e3, " k")];
    let unit = units.into_iter().find(|(size, _)| value >= *size * 0.999);
    let (number, unit) = unit.map_or((value, ""), |(size, unit)| (value / size, unit));
    let number = short(number);
    let has_point = number.contains('.');
    let number = number.trim_end_matches(|last| has_point && last == '0').trim_end_matches('.');
    format!("{number}{unit}")
}

fn steps(from: f64, to: f64, step: f64) -> Vec<f64> {
    let mut marks = vec![from];
    while let Some(last) = marks.last().filter(|last| **last < to - step / 2.0) {
        marks.push(last + step);
    }
    marks
}

/// The next larger of 1, 2 and 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.max(f64::MIN_POSITIVE).log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::Curve;

    fn plot(x: Axis, points: Vec<(f64, f64)>) -> Plot {
        let curves = vec![Curve { name: "a curve".to_owned(), points }];
        Plot { id: "test", title: "A title", x, y: Axis::linear("ns"), curves }
    }

    #[test]
    fn a_picture_says_what_the_plot_says_on_light_and_dark() {
        let points = vec![(1e4, 1.0), (1e6, 7.5), (1e8, 3.0)];
        let svg = draw(&plot(Axis::logarithmic("a second"), points)).expect("drawn");
        for part in ["A title", "a curve", "a second", "ns", "10 k", "100 M", "dark"] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
        // The colours that the style names are those in the picture.
        for colour in ["fill=\"#FFFFFF\"", "stroke=\"#D8DEE4\"", "fill=\"#24292F\""] {
            assert!(svg.matches(colour).count() > 1, "{colour}");
        }
    }

    #[test]
    fn marks_are_round_and_hold_all_values() {
        let scale = Scale::new(&Axis::linear(""), [3.0, 47.0].into_iter());
        assert_eq!(scale.marks, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        let scale = Scale::new(&Axis::logarithmic(""), [0.0, 120.0, 9000.0].into_iter());
        assert_eq!(scale.marks, [100.0, 1000.0, 10_000.0]);
        assert_eq!([label(100.0), label(1e3), label(0.5), label(0.0)], ["100", "1 k", "0.5", "0"]);
    }

    #[test]
    fn the_legend_leaves_the_curves_free() {
        let corner = |points| {
            let plot = plot(Axis::linear("s"), points);
            let values = |of: fn(&(f64, f64)) -> f64| plot.curves[0].points.iter().map(of);
            let (x, y) = (
                Scale::new(&plot.x, values(|point| point.0)),
                Scale::new(&plot.y, values(|point| point.1)),
            );
            free_corner(&plot, &x, &y)
        };
        let rising = vec![(0.0, 0.0), (100.0, 100.0)];
        assert!(matches!(corner(rising), SeriesLabelPosition::UpperLeft));
        let falling = vec![(0.0, 100.0), (100.0, 0.0)];
        assert!(matches!(corner(falling), SeriesLabelPosition::UpperRight));
        // It passes through both upper corners between its points.
        let level = vec![(0.0, 99.0), (100.0, 100.0)];
        assert!(matches!(corner(level), SeriesLabelPosition::LowerRight));
    }

    #[test]
    fn nothing_is_not_drawn() {
        assert!(draw(&plot(Axis::linear(""), Vec::new())).is_err());
    }
}
