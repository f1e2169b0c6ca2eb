//! Calibration and agreement with people: reliability diagram, and systems by precision.

use super::{
    axis::{Axes, AxisScale, Panel},
    coding::{Coding, LegendStyle, draw_legend},
    drawing::{Dashes, Drawing, Figure, Ink, Marker, Pen},
    scatter::{Scatter, ScatterPoint},
};
use crate::{evaluation::SystemOrder, rows::Cell};

/// Probabilities of one stage against the share of true items.
pub(crate) struct Calibration {
    /// The stage.
    pub(crate) cell: Cell,
    /// Points from left to right.
    pub(crate) points: Vec<CalibrationPoint>,
}

/// Items of similar probability.
pub(crate) struct CalibrationPoint {
    /// Mean probability.
    pub(crate) x: f64,
    /// Share of true items.
    pub(crate) y: f64,
    /// Number of items.
    pub(crate) count: usize,
    /// Share of all items.
    pub(crate) share: f64,
}

impl CalibrationPoint {
    /// Radius of a marker whose area grows with the share of items.
    fn radius(&self) -> f64 {
        2.5 + 8.0 * self.share.sqrt()
    }
}

/// A reliability diagram: share of true items by their probability, with the diagonal on which both
/// are equal. Larger markers are of more items.
pub(crate) fn reliability(calibrations: &[Calibration]) -> Option<Figure> {
    calibrations.first()?;
    let coding = Coding::new(&calibrations.iter().map(|one| &one.cell).collect::<Vec<_>>(), None);
    let mut drawing = Drawing::new("Calibration of the verifier", 560.0);
    let panel = Panel { left: 62.0, top: 26.0, right: 532.0, bottom: 346.0 };
    // Whole markers fit at both ends.
    let across = AxisScale { low: 0.0, high: 1.0, from: panel.left + 12.0, to: panel.right - 12.0 };
    let up = AxisScale { low: 0.0, high: 1.0, from: panel.bottom - 12.0, to: panel.top + 12.0 };
    let axes = Axes {
        across,
        across_title: "probability that the claim is supported",
        up,
        up_title: "share that people call supported",
    };
    panel.draw_axes(&mut drawing, &axes);
    let diagonal = [0.0, 1.0].map(|value| (across.place(value), up.place(value)));
    let pen = Pen { ink: Ink::Dim, width: 1.0, dashes: Dashes::Dashed };
    drawing.line(diagonal.to_vec(), pen);
    for Calibration { cell, points } in calibrations {
        let look = coding.look(cell);
        let places = points.iter().map(|point| (across.place(point.x), up.place(point.y)));
        drawing.line(places.clone().collect(), Pen::solid(look.ink, 1.5));
        for (point, at) in points.iter().zip(places) {
            let tip = format!(
                "{cell}: probability {:.2}, {:.2} true, {} claims",
                point.x, point.y, point.count
            );
            drawing.marker(Marker {
                at,
                form: look.form,
                radius: point.radius(),
                ink: look.ink,
                is_hollow: false,
                tip,
            });
        }
    }
    let legend = coding.legend();
    drawing.height =
        draw_legend(&mut drawing, &legend, LegendStyle::Markers, (20.0, panel.bottom + 56.0));
    Some(Figure {
        name: "calibration".to_owned(),
        caption: format!(
            "Share of claims that people call supported by the tool's probability; on the dashed \
            line both are equal. Larger markers are of more claims. {}",
            coding.caption()
        ),
        drawing,
    })
}

/// Precision of systems by people and by the tool, one point a system.
pub(crate) fn systems(orders: &[(&Cell, &SystemOrder)]) -> Option<Figure> {
    let names: Vec<Cell> = orders
        .iter()
        .flat_map(|(_, order)| &order.systems)
        .map(|system| Cell::of_stage(system.system.as_str()))
        .collect();
    let coding = Coding::new(&names.iter().collect::<Vec<_>>(), None);
    let mut scatter = Scatter {
        title: "Precision of systems by people and by the tool",
        across_title: "precision by people, %",
        up_title: "precision by the tool, %",
        panels: Vec::new(),
        has_diagonal: true,
    };
    for (stage, order) in orders {
        for system in &order.systems {
            let (x, y) = (100.0 * system.human, 100.0 * system.tool);
            let tip = format!("{}: {x:.1} % by people, {y:.1} % by the tool", system.system);
            let look = coding.look(&Cell::of_stage(system.system.as_str()));
            let point =
                ScatterPoint { at: (x, y), across: None, up: None, look, is_warned: false, tip };
            scatter.add(stage.to_string().as_str(), point);
        }
    }
    scatter.panels.first()?;
    let about = "on the dashed line both are equal";
    Some(Figure {
        name: "agreement".to_owned(),
        caption: format!(
            "{}; {about}. {}",
            scatter.title,
            coding.caption().replace("stage", "system")
        ),
        drawing: scatter.draw(&coding),
    })
}
