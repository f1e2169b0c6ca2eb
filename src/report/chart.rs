//! Charts as SVG: lines over steps, and points with intervals by group.

use maud::{Markup, html};

/// Colours that stay apart for the colour-blind (Okabe and Ito 2008).
const COLOURS: [&str; 7] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

/// A colour by number.
pub(super) fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// A line of a chart.
pub(super) struct Line {
    /// Its name in the legend.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A value with its interval.
pub(super) struct Dot {
    /// The mean.
    pub mean: f64,
    /// The interval's ends, where there is one.
    pub interval: Option<[f64; 2]>,
}

/// Dots that belong together, e.g. one arm's in all domains.
pub(super) struct Series {
    /// Its name in the legend.
    pub name: String,
    /// A dot for each group, or none.
    pub dots: Vec<Option<Dot>>,
}

/// Points that belong together, each with its name and its places to the right and upwards.
pub(super) struct Cloud {
    /// Its name in the legend.
    pub name: String,
    /// The points.
    pub points: Vec<(String, f64, f64)>,
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 30.0;
const TOP: f64 = 14.0;

/// Maps values to places in a chart.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// A scale over all values, with a little air; equal values get some too.
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        match low <= high {
            true if high - low > 1e-12 => Self { low, high, from, to },
            true => Self { low: low - 0.5, high: high + 0.5, from, to },
            false => Self { low: 0.0, high: 1.0, from, to },
        }
    }

    fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Round values to mark, about `count` of them.
    fn ticks(&self, count: f64) -> Vec<f64> {
        let rough = (self.high - self.low) / count;
        let power = 10f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0];
        let step = power * steps.into_iter().find(|step| step * power >= rough).unwrap_or(10.0);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|tick| tick as f64 * step).collect()
    }
}

fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1e-3 => format!("{value:.0e}"),
        size if size < 10.0 => format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned(),
        _ => format!("{value:.0}"),
    }
}

fn value_axis(scale: &Scale) -> Markup {
    html! {
        @for tick in scale.ticks(4.0) {
            line x1=(LEFT) x2=(WIDTH) y1=(scale.place(tick)) y2=(scale.place(tick)) class="grid" {}
            text x=(LEFT - 6.0) y=(scale.place(tick) + 4.0) text-anchor="end" { (short(tick)) }
        }
    }
}

fn legend(names: &[&str]) -> Markup {
    html! {
        p.legend {
            @for (index, name) in names.iter().enumerate() {
                span { span.key style=(format!("background:{}", colour(index))) {} (name) }
            }
        }
    }
}

/// Lines over steps.
pub(super) fn lines(title: &str, lines: &[Line]) -> Markup {
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let across = Scale::over(points().map(|(x, _)| x), LEFT + 4.0, WIDTH - 8.0);
    let up = Scale::over(points().map(|(_, y)| y), HEIGHT - BOTTOM, TOP);
    let path = |line: &Line| {
        let finite = line.points.iter().filter(|(_, y)| y.is_finite());
        finite.map(|(x, y)| format!("{:.1},{:.1} ", across.place(*x), up.place(*y))).collect::<String>()
    };
    html! {
        figure {
            figcaption { (title) }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
                (value_axis(&up))
                @for tick in across.ticks(6.0) {
                    text x=(across.place(tick)) y=(HEIGHT - 10.0) text-anchor="middle" { (short(tick)) }
                }
                @for (index, line) in lines.iter().enumerate() {
                    polyline points=(path(line)) fill="none" stroke=(colour(index)) stroke-width="1.5" {}
                }
            }
            @if lines.len() > 1 { (legend(&lines.iter().map(|line| line.name.as_str()).collect::<Vec<_>>())) }
        }
    }
}

/// Points in a plane, with the line where nothing changes.
pub(super) fn scatter(title: &str, clouds: &[Cloud]) -> Markup {
    let points = || clouds.iter().flat_map(|cloud| &cloud.points);
    let across = Scale::over(points().map(|point| point.1).chain([0.0]), LEFT + 8.0, WIDTH - 8.0);
    let up = Scale::over(points().map(|point| point.2).chain([0.0]), HEIGHT - BOTTOM, TOP);
    html! {
        figure {
            figcaption { (title) }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
                (value_axis(&up))
                @for tick in across.ticks(6.0) {
                    text x=(across.place(tick)) y=(HEIGHT - 10.0) text-anchor="middle" { (short(tick)) }
                }
                line x1=(LEFT) x2=(WIDTH) y1=(up.place(0.0)) y2=(up.place(0.0)) class="edge" {}
                @for (index, cloud) in clouds.iter().enumerate() {
                    @for (name, x, y) in &cloud.points {
                        circle cx=(across.place(*x)) cy=(up.place(*y)) r="4" fill=(colour(index)) {
                            title { (format!("{name}, {}: {x:.4}, {y:+.4}", cloud.name)) }
                        }
                    }
                }
            }
            (legend(&clouds.iter().map(|cloud| cloud.name.as_str()).collect::<Vec<_>>()))
        }
    }
}

/// Dots with intervals, side by side in each group.
pub(super) fn dots(title: &str, groups: &[String], series: &[Series]) -> Markup {
    let all = series.iter().flat_map(|series| series.dots.iter().flatten());
    let ends = |dot: &Dot| dot.interval.unwrap_or([dot.mean; 2]);
    let up = Scale::over(all.flat_map(ends).chain([0.0]), HEIGHT - BOTTOM, TOP);
    let room = (WIDTH - LEFT) / groups.len().max(1) as f64;
    let across =
        |group: usize, index: usize| LEFT + room * (group as f64 + (index as f64 + 1.0) / (series.len() as f64 + 1.0));
    html! {
        figure {
            figcaption { (title) }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
                (value_axis(&up))
                @for (group, name) in groups.iter().enumerate() {
                    text x=(LEFT + room * (group as f64 + 0.5)) y=(HEIGHT - 10.0) text-anchor="middle" { (name) }
                    @for (index, series) in series.iter().enumerate() {
                        @if let Some(dot) = &series.dots[group] {
                            @let x = across(group, index);
                            @if let Some([low, high]) = dot.interval {
                                line x1=(x) x2=(x) y1=(up.place(low)) y2=(up.place(high))
                                    stroke=(colour(index)) stroke-width="2" {}
                            }
                            circle cx=(x) cy=(up.place(dot.mean)) r="4" fill=(colour(index)) {
                                title {
                                    (format!("{} {}: {:.4}", series.name, name, dot.mean))
                                    @if let Some([low, high]) = dot.interval { (format!(" [{low:.4}, {high:.4}]")) }
                                }
                            }
                        }
                    }
                }
            }
            (legend(&series.iter().map(|series| series.name.as_str()).collect::<Vec<_>>()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::over([0.13, 0.87].into_iter(), 0.0, 100.0);
        assert_eq!(scale.ticks(4.0).iter().map(|tick| short(*tick)).collect::<Vec<_>>(), ["0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(scale.place(0.5), 50.0);
    }

    #[test]
    fn a_chart_of_nothing_is_drawn_all_the_same() {
        assert!(lines("empty", &[]).into_string().contains("<svg"));
        assert!(!scatter("empty", &[]).into_string().contains("NaN"));
        let cloud = Cloud { name: "people".to_owned(), points: vec![("after".to_owned(), 0.5, -1.0)] };
        assert!(scatter("one", &[cloud]).into_string().contains("after, people: 0.5000, -1.0000"));
        let constant = Line { name: "loss".to_owned(), points: vec![(1.0, 2.0), (2.0, 2.0), (3.0, f64::NAN)] };
        assert!(!lines("constant", &[constant]).into_string().contains("NaN"));
    }
}
