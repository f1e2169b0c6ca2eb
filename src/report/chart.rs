//! SVG charts: lines over steps, and points with intervals by group.

use maud::{Markup, html};

/// Colour-blind safe palette (Okabe and Ito 2008).
const COLOURS: [&str; 7] =
    ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

/// The colour of a series.
pub(super) fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// A curve over steps.
pub(super) struct Curve {
    /// Name in the legend.
    pub name: String,
    /// Points from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A value with its interval.
pub(super) struct Dot {
    /// Mean.
    pub mean: f64,
    /// Interval, if known.
    pub interval: Option<[f64; 2]>,
}

/// Dots of one series, e.g. one arm in all domains.
pub(super) struct Series {
    /// Name in the legend.
    pub name: String,
    /// One optional dot per group.
    pub dots: Vec<Option<Dot>>,
}

/// Points of one series with their names and coordinates.
pub(super) struct Cloud {
    /// Name in the legend.
    pub name: String,
    /// The points.
    pub points: Vec<(String, f64, f64)>,
}

/// Probabilities of one tool against the share of true items.
pub(super) struct Calibration {
    /// Name in the legend.
    pub name: String,
    /// Points from left to right.
    pub points: Vec<CalibrationPoint>,
}

/// Items of similar probability.
pub(super) struct CalibrationPoint {
    /// Mean probability.
    pub x: f64,
    /// Share of true items.
    pub y: f64,
    /// Number of items.
    pub count: usize,
    /// Share of all items.
    pub share: f64,
}

impl CalibrationPoint {
    /// Radius of a circle whose area grows with the share of items.
    fn radius(&self) -> String {
        format!("{:.1}", 2.5 + 8.0 * self.share.sqrt())
    }
}

impl Calibration {
    fn path(&self, across: &AxisScale, up: &AxisScale) -> String {
        let points = self.points.iter();
        points
            .map(|point| format!("{:.1},{:.1} ", across.place(point.x), up.place(point.y)))
            .collect()
    }
}

impl Curve {
    /// The finite points as SVG coordinates: a diverged training must not hide the rest.
    fn path(&self, across: &AxisScale, up: &AxisScale) -> String {
        let finite = self.points.iter().filter(|(_, y)| y.is_finite());
        finite.map(|(x, y)| format!("{:.1},{:.1} ", across.place(*x), up.place(*y))).collect()
    }
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 30.0;
const TOP: f64 = 14.0;

/// Maps values to chart coordinates.
struct AxisScale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl AxisScale {
    /// A scale over all values with some padding.
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        // A diverged training has infinite values, which no axis can show.
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        if low > high {
            Self { low: 0.0, high: 1.0, from, to }
        } else if high - low > 1e-12 {
            Self { low, high, from, to }
        } else {
            // A constant lies in the middle instead of dividing by zero.
            Self { low: low - 0.5, high: high + 0.5, from, to }
        }
    }

    fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// About `count` round tick values.
    fn ticks(&self, count: f64) -> Vec<f64> {
        let rough = (self.high - self.low) / count;
        let power = 10f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0];
        let step = power * steps.into_iter().find(|step| step * power >= rough).unwrap_or(10.0);
        // Counted in whole steps, so that a tick is no sum of rounding errors.
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|tick| tick as f64 * step).collect()
    }
}

fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1e-3 => format!("{value:.0e}"),
        size if size < 10.0 => {
            format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => format!("{value:.0}"),
    }
}

fn value_axis(scale: &AxisScale) -> Markup {
    html! {
        @for tick in scale.ticks(4.0) {
            line x1=(LEFT) x2=(WIDTH) y1=(scale.place(tick)) y2=(scale.place(tick)) class="grid" {}
            text x=(LEFT - 6.0) y=(scale.place(tick) + 4.0) text-anchor="end" { (short(tick)) }
        }
    }
}

fn step_axis(scale: &AxisScale) -> Markup {
    html! {
        @for tick in scale.ticks(6.0) {
            text x=(scale.place(tick)) y=(HEIGHT - 10.0) text-anchor="middle" { (short(tick)) }
        }
    }
}

fn legend<'a>(names: impl Iterator<Item = &'a String>) -> Markup {
    html! {
        p.legend {
            @for (index, name) in names.enumerate() {
                span { span.key style=(format!("background:{}", colour(index))) {} (name) }
            }
        }
    }
}

/// Lines over steps.
pub(super) fn lines(title: &str, lines: &[Curve]) -> Markup {
    let points: Vec<(f64, f64)> =
        lines.iter().flat_map(|line| line.points.iter().copied()).collect();
    let across = AxisScale::over(points.iter().map(|(x, _)| *x), LEFT + 4.0, WIDTH - 8.0);
    let up = AxisScale::over(points.iter().map(|(_, y)| *y), HEIGHT - BOTTOM, TOP);
    html! {
        figure {
            figcaption { (title) }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
                (value_axis(&up))
                (step_axis(&across))
                @for (index, line) in lines.iter().enumerate() {
                    polyline points=(line.path(&across, &up)) fill="none" stroke=(colour(index))
                        stroke-width="1.5" {}
                }
            }
            // The title names a single curve.
            @if lines.len() > 1 { (legend(lines.iter().map(|line| &line.name))) }
        }
    }
}

/// A scatter plot with a line at zero change.
pub(super) fn scatter(title: &str, clouds: &[Cloud]) -> Markup {
    let points: Vec<&(String, f64, f64)> = clouds.iter().flat_map(|cloud| &cloud.points).collect();
    // Both axes include zero, so that no change and no shift are in sight.
    let across = points.iter().map(|point| point.1).chain([0.0]);
    let across = AxisScale::over(across, LEFT + 8.0, WIDTH - 8.0);
    let up = points.iter().map(|point| point.2).chain([0.0]);
    let up = AxisScale::over(up, HEIGHT - BOTTOM, TOP);
    html! {
        figure {
            figcaption { (title) }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
                (value_axis(&up))
                (step_axis(&across))
                line x1=(LEFT) x2=(WIDTH) y1=(up.place(0.0)) y2=(up.place(0.0)) class="edge" {}
                @for (index, cloud) in clouds.iter().enumerate() {
                    @for (name, x, y) in &cloud.points {
                        circle cx=(across.place(*x)) cy=(up.place(*y)) r="4" fill=(colour(index)) {
                            title { (format!("{name}, {}: {x:.4}, {y:+.4}", cloud.name)) }
                        }
                    }
                }
            }
            (legend(clouds.iter().map(|cloud| &cloud.name)))
        }
    }
}

/// A reliability diagram: the share of true items (y) by their probability (x), with the diagonal
/// on which both are equal. Larger circles are of more items.
pub(super) fn reliability(title: &str, calibrations: &[Calibration]) -> Markup {
    // Whole circles fit at both ends.
    let across = AxisScale { low: 0.0, high: 1.0, from: LEFT + 12.0, to: WIDTH - 12.0 };
    let up = AxisScale { low: 0.0, high: 1.0, from: HEIGHT - BOTTOM - 6.0, to: TOP };
    html! {
        figure {
            figcaption { (title) }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
                (value_axis(&up))
                (step_axis(&across))
                line x1=(across.place(0.0)) y1=(up.place(0.0)) x2=(across.place(1.0))
                    y2=(up.place(1.0)) class="diagonal" {}
                @for (index, calibration) in calibrations.iter().enumerate() {
                    polyline points=(calibration.path(&across, &up)) fill="none"
                        stroke=(colour(index)) stroke-width="1.5" {}
                    @for point in &calibration.points {
                        circle cx=(across.place(point.x)) cy=(up.place(point.y)) r=(point.radius())
                            fill=(colour(index)) fill-opacity="0.7" {
                            title { (format!("{}: probability {:.2}, {:.2} true, {} claims",
                                calibration.name, point.x, point.y, point.count)) }
                        }
                    }
                }
            }
            (legend(calibrations.iter().map(|calibration| &calibration.name)))
        }
    }
}

/// Dots with intervals, side by side in each group.
pub(super) fn dots(title: &str, groups: &[String], series: &[Series]) -> Markup {
    let all = series.iter().flat_map(|series| series.dots.iter().flatten());
    let ends = all.flat_map(|dot| dot.interval.unwrap_or([dot.mean; 2]));
    // Zero is in sight, so that a small difference looks small.
    let up = AxisScale::over(ends.chain([0.0]), HEIGHT - BOTTOM, TOP);
    let room = (WIDTH - LEFT) / groups.len().max(1) as f64;
    // A gap of one dot's width separates the groups.
    let step = room / (series.len() as f64 + 1.0);
    html! {
        figure {
            figcaption { (title) }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
                (value_axis(&up))
                @for (group, name) in groups.iter().enumerate() {
                    @let middle = LEFT + room * (group as f64 + 0.5);
                    text x=(middle) y=(HEIGHT - 10.0) text-anchor="middle" { (name) }
                    @for (index, series) in series.iter().enumerate() {
                        @if let Some(dot) = &series.dots[group] {
                            @let x = LEFT + room * group as f64 + step * (index as f64 + 1.0);
                            @if let Some([low, high]) = dot.interval {
                                line x1=(x) x2=(x) y1=(up.place(low)) y2=(up.place(high))
                                    stroke=(colour(index)) stroke-width="2" {}
                            }
                            circle cx=(x) cy=(up.place(dot.mean)) r="4" fill=(colour(index)) {
                                title {
                                    (format!("{} {}: {:.4}", series.name, name, dot.mean))
                                    @if let Some([low, high]) = dot.interval {
                                        (format!(" [{low:.4}, {high:.4}]"))
                                    }
                                }
                            }
                        }
                    }
                }
            }
            (legend(series.iter().map(|series| &series.name)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = AxisScale::over([0.13, 0.87].into_iter(), 0.0, 100.0);
        assert_eq!(
            scale.ticks(4.0).iter().map(|tick| short(*tick)).collect::<Vec<_>>(),
            ["0.2", "0.4", "0.6", "0.8"]
        );
        assert_eq!(scale.place(0.5), 50.0);
    }

    #[test]
    fn a_chart_of_nothing_is_drawn_all_the_same() {
        assert!(lines("empty", &[]).into_string().contains("<svg"));
        assert!(!scatter("empty", &[]).into_string().contains("NaN"));
        let cloud =
            Cloud { name: "people".to_owned(), points: vec![("after".to_owned(), 0.5, -1.0)] };
        assert!(scatter("one", &[cloud]).into_string().contains("after, people: 0.5000, -1.0000"));
        assert!(reliability("empty", &[]).into_string().contains("class=\"diagonal\""));
        let point = CalibrationPoint { x: 0.25, y: 0.5, count: 3, share: 1.0 };
        let calibration = Calibration { name: "words".to_owned(), points: vec![point] };
        let drawn = reliability("one", &[calibration]).into_string();
        assert!(drawn.contains("words: probability 0.25, 0.50 true, 3 claims"), "{drawn}");
        let constant = Curve {
            name: "loss".to_owned(),
            points: vec![(1.0, 2.0), (2.0, 2.0), (3.0, f64::NAN)],
        };
        assert!(!lines("constant", &[constant]).into_string().contains("NaN"));
    }
}
