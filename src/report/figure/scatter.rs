//! Scatter plots in panels with common scales.

use super::{
    axis::{Axes, AxisScale, Panel},
    coding::{Coding, LegendStyle, Look, draw_legend},
    drawing::{Dashes, Drawing, Ink, Marker, Pen, TEXT, fitted},
};

/// Further panels would be too small to read.
pub(super) const MOST_PANELS: usize = 12;

/// A point of a scatter plot.
pub(super) struct ScatterPoint {
    pub(super) at: (f64, f64),
    /// Interval across, if known.
    pub(super) across: Option<[f64; 2]>,
    /// Interval upwards, if known.
    pub(super) up: Option<[f64; 2]>,
    pub(super) look: Look,
    pub(super) is_warned: bool,
    pub(super) tip: String,
}

/// Panels of points.
pub(super) struct Scatter<'a> {
    pub(super) title: &'a str,
    pub(super) across_title: &'a str,
    pub(super) up_title: &'a str,
    /// Panels with their titles.
    pub(super) panels: Vec<(String, Vec<ScatterPoint>)>,
    /// Whether the line on which both values are equal is drawn.
    pub(super) has_diagonal: bool,
}

impl Scatter<'_> {
    /// Adds a point to the panel with this title, which is appended if it is new.
    pub(super) fn add(&mut self, panel: &str, point: ScatterPoint) {
        match self.panels.iter_mut().find(|(title, _)| title == panel) {
            Some((_, points)) => points.push(point),
            None => self.panels.push((panel.to_owned(), vec![point])),
        }
    }

    /// All panels with a legend below.
    pub(super) fn draw(&self, coding: &Coding) -> Drawing {
        let (columns, width, height) = match self.panels.len() {
            0 | 1 => (1, 470.0, 320.0),
            2 => (2, 390.0, 300.0),
            _ => (3, 240.0, 190.0),
        };
        let total = columns as f64 * (width + 76.0);
        let mut drawing = Drawing::new(self.title, total.max(560.0));
        let points = self.panels.iter().flat_map(|(_, points)| points);
        let (mut xs, mut ys) = (vec![0.0], vec![0.0]);
        for point in points {
            xs.extend(point.across.unwrap_or([point.at.0; 2]));
            ys.extend(point.up.unwrap_or([point.at.1; 2]));
        }
        let mut bottom = 0.0;
        for (index, (title, points)) in self.panels.iter().take(MOST_PANELS).enumerate() {
            let left = 62.0 + (index % columns) as f64 * (width + 76.0);
            let top = 26.0 + (index / columns) as f64 * (height + 76.0);
            let panel = Panel { left, top, right: left + width, bottom: top + height };
            let across = panel.across(xs.iter().copied()).padded();
            let up = panel.up(ys.iter().copied()).padded();
            let (across_title, up_title) = (self.across_title, self.up_title);
            panel.draw_axes(&mut drawing, &Axes { across, across_title, up, up_title });
            panel.draw_title(&mut drawing, &fitted(title, TEXT, width));
            panel.draw_zero(&mut drawing, Some(&across), Some(&up));
            if self.has_diagonal {
                draw_diagonal(&mut drawing, &across, &up);
            }
            points.iter().for_each(|point| draw_point(&mut drawing, point, &across, &up));
            bottom = panel.bottom + 56.0;
        }
        let legend = coding.legend();
        drawing.height = draw_legend(&mut drawing, &legend, LegendStyle::Markers, (20.0, bottom));
        drawing
    }
}

/// The line on which both values are equal, within both scales.
fn draw_diagonal(drawing: &mut Drawing, across: &AxisScale, up: &AxisScale) {
    let (low, high) = (across.low.max(up.low), across.high.min(up.high));
    if low < high {
        let ends = [low, high].map(|value| (across.place(value), up.place(value)));
        let pen = Pen { ink: Ink::Dim, width: 1.0, dashes: Dashes::Dashed };
        drawing.line(ends.to_vec(), pen);
    }
}

fn draw_point(drawing: &mut Drawing, point: &ScatterPoint, across: &AxisScale, up: &AxisScale) {
    let (x, y) = (across.place(point.at.0), up.place(point.at.1));
    let pen = Pen::solid(point.look.ink, 1.0);
    if let Some(ends) = point.across {
        drawing.line(ends.map(|end| (across.place(end), y)).to_vec(), pen);
    }
    if let Some(ends) = point.up {
        drawing.line(ends.map(|end| (x, up.place(end))).to_vec(), pen);
    }
    drawing.marker(Marker {
        at: (x, y),
        form: point.look.form,
        radius: 5.0,
        ink: point.look.ink,
        is_hollow: point.is_warned,
        tip: point.tip.clone(),
    });
}
