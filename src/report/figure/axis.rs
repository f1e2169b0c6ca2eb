//! Axes: scales with round ticks, and panels with titles and a grid.

use super::drawing::{Anchor, Drawing, DrawnText, Ink, Pen, SMALL, TEXT, fitted};

/// Maps values to coordinates.
#[derive(Clone, Copy, Debug)]
pub(super) struct AxisScale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// The rectangle of a panel between its axes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

/// The axes of a panel with their titles, which have the units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axes<'a> {
    pub(super) across: AxisScale,
    pub(super) across_title: &'a str,
    pub(super) up: AxisScale,
    pub(super) up_title: &'a str,
}

impl AxisScale {
    /// A scale over all values.
    pub(super) fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
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

    /// The same with room at both ends, so that no marker is cut.
    pub(super) fn padded(self) -> Self {
        let room = 0.04 * (self.high - self.low);
        Self { low: self.low - room, high: self.high + room, ..self }
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// About `count` round tick values.
    pub(super) fn ticks(&self, count: f64) -> Vec<f64> {
        let rough = (self.high - self.low) / count;
        let power = 10f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
        let step = power * steps.into_iter().find(|step| step * power >= rough).unwrap_or(10.0);
        // Counted in whole steps, so that a tick is no sum of rounding errors.
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|tick| tick as f64 * step).collect()
    }
}

/// A tick in few characters.
pub(super) fn tick(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1e-3 => format!("{value:.0e}"),
        size if size < 10.0 => {
            format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => format!("{value:.1}").trim_end_matches(".0").to_owned(),
    }
}

impl Panel {
    /// A scale over values from the left to the right side.
    pub(super) fn across(&self, values: impl Iterator<Item = f64>) -> AxisScale {
        AxisScale::over(values, self.left, self.right)
    }

    /// A scale over values from the bottom to the top.
    pub(super) fn up(&self, values: impl Iterator<Item = f64>) -> AxisScale {
        AxisScale::over(values, self.bottom, self.top)
    }

    /// Draws the grid, ticks and titles of both axes.
    pub(super) fn draw_axes(&self, drawing: &mut Drawing, axes: &Axes<'_>) {
        let Axes { across, across_title, up, up_title } = axes;
        for value in up.ticks(5.0) {
            let y = up.place(value);
            drawing.line(vec![(self.left, y), (self.right, y)], Pen::solid(Ink::Grid, 1.0));
            let label = DrawnText::new((self.left - 6.0, y + 4.0), tick(value));
            drawing.label(label.anchored(Anchor::End).in_style(SMALL, Ink::Text));
        }
        self.draw_ticks_across(drawing, across);
        let middle = (self.left + self.right) / 2.0;
        // Beside a narrow panel there is the room of the next axis, and no more.
        let title = fitted(across_title, TEXT, self.right - self.left + 70.0);
        let title = DrawnText::new((middle, self.bottom + 32.0), title);
        drawing.label(title.anchored(Anchor::Middle));
        let at = (self.left - 42.0, (self.top + self.bottom) / 2.0);
        let title = DrawnText::new(at, *up_title).anchored(Anchor::Middle);
        drawing.label(DrawnText { is_upright: true, ..title });
    }

    /// Draws the vertical grid lines with their ticks below.
    pub(super) fn draw_ticks_across(&self, drawing: &mut Drawing, across: &AxisScale) {
        // Narrow panels have room for few numbers.
        let count = ((self.right - self.left) / 60.0).clamp(2.0, 8.0);
        for value in across.ticks(count) {
            let x = across.place(value);
            drawing.line(vec![(x, self.top), (x, self.bottom)], Pen::solid(Ink::Grid, 1.0));
            let label = DrawnText::new((x, self.bottom + 15.0), tick(value));
            drawing.label(label.anchored(Anchor::Middle).in_style(SMALL, Ink::Text));
        }
    }

    /// Draws the panel's own title above it.
    pub(super) fn draw_title(&self, drawing: &mut Drawing, title: &str) {
        drawing.label(DrawnText::new((self.left, self.top - 7.0), title).in_style(TEXT, Ink::Text));
    }

    /// Draws the lines of no change, where they are in sight.
    pub(super) fn draw_zero(
        &self,
        drawing: &mut Drawing,
        across: Option<&AxisScale>,
        up: Option<&AxisScale>,
    ) {
        let pen = Pen::solid(Ink::Dim, 1.2);
        if let Some(scale) = across.filter(|scale| scale.low <= 0.0 && scale.high >= 0.0) {
            let x = scale.place(0.0);
            drawing.line(vec![(x, self.top), (x, self.bottom)], pen);
        }
        if let Some(scale) = up.filter(|scale| scale.low <= 0.0 && scale.high >= 0.0) {
            let y = scale.place(0.0);
            drawing.line(vec![(self.left, y), (self.right, y)], pen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = AxisScale::over([0.13, 0.87].into_iter(), 0.0, 100.0);
        let ticks: Vec<String> = scale.ticks(4.0).into_iter().map(tick).collect();
        assert_eq!(ticks, ["0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(scale.place(0.5), 50.0);
        assert_eq!([12.5, 20.0, 0.0, -2.5, 4e-4].map(tick), ["12.5", "20", "0", "-2.5", "4e-4"]);
        let constant = AxisScale::over([2.0, f64::NAN].into_iter(), 0.0, 10.0);
        assert_eq!(constant.place(2.0), 5.0);
        assert_eq!(AxisScale::over(std::iter::empty(), 0.0, 10.0).place(0.5), 5.0);
    }
}
