//! Learning curves: a panel for each metric, a line for each arm.

use super::{
    axis::{Axes, Panel},
    coding::{Coding, LegendStyle, draw_legend},
    drawing::{Drawing, Figure, Pen, TEXT},
};
use crate::rows::Cell;

/// Points of a line: more than pixels make a page large and the line a band.
const MOST_POINTS: usize = 60;
/// Lines of a figure: more are not readable, and not asked for.
const MOST_LINES: usize = 60;
const WIDTH: f64 = 370.0;
const HEIGHT: f64 = 170.0;
/// From the left end of a panel to that of the next one.
const STEP: f64 = WIDTH + 90.0;

/// Panels: metric, title of the axis with its unit, and title.
const METRICS: &[(&str, &str, &str)] = &[
    ("loss", "loss, nats", "loss"),
    ("eval_loss", "loss, nats", "loss on held-out rows"),
    ("rewards/margins", "reward, nats", "margin of rewards, chosen minus rejected"),
    ("rewards/accuracies", "share of pairs", "pairs whose chosen completion has the higher reward"),
    ("logps/chosen", "log-probability, nats", "log-probability of chosen completions"),
    ("logps/rejected", "log-probability, nats", "log-probability of rejected completions"),
    ("grad_norm", "norm", "gradient norm before clipping"),
];

/// Metrics of an arm by name: steps with means over its seeds.
pub(crate) struct ArmCurves {
    /// Cell without its seed.
    pub(crate) cell: Cell,
    /// Points by metric.
    pub(crate) curves: Vec<(String, Vec<(f64, f64)>)>,
}

impl ArmCurves {
    fn curve(&self, metric: &str) -> Option<&[(f64, f64)]> {
        self.curves.iter().find(|(name, _)| name == metric).map(|(_, points)| points.as_slice())
    }
}

/// Curves of all arms of a stage; none if it has no known metric.
pub(crate) fn learning_curves(stage: &str, trained: &[ArmCurves]) -> Option<Figure> {
    let shown = &trained[..trained.len().min(MOST_LINES)];
    let coding = Coding::new(&shown.iter().map(|one| &one.cell).collect::<Vec<_>>(), None);
    let measured: Vec<&(&str, &str, &str)> = METRICS
        .iter()
        .filter(|(metric, ..)| shown.iter().any(|one| one.curve(metric).is_some()))
        .collect();
    measured.first()?;
    let mut rows: Vec<String> = Vec::new();
    for one in shown {
        let row = coding.panel(&one.cell);
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    let mut drawing =
        Drawing::new(format!("Learning curves of {stage}"), STEP * measured.len().min(2) as f64);
    let (mut top, mut bottom) = (26.0, 0.0);
    for row in &rows {
        let members: Vec<&ArmCurves> =
            shown.iter().filter(|one| coding.panel(&one.cell) == *row).collect();
        for (index, (metric, axis, title)) in measured.iter().enumerate() {
            let left = 64.0 + STEP * (index % 2) as f64;
            let top = top + (HEIGHT + 74.0) * (index / 2) as f64;
            let panel = Panel { left, top, right: left + WIDTH, bottom: top + HEIGHT };
            let title =
                if row.is_empty() { (*title).to_owned() } else { format!("{row}: {title}") };
            draw_metric(
                &mut drawing,
                &MetricPanel { panel, title, axis, metric },
                &members,
                &coding,
            );
            bottom = panel.bottom + 56.0;
        }
        top = bottom + 20.0;
    }
    let legend = coding.legend();
    drawing.height = draw_legend(&mut drawing, &legend, LegendStyle::Lines, (20.0, bottom));
    let left = trained.len() - shown.len();
    let more = if left > 0 { format!(" {left} more arms are not drawn.") } else { String::new() };
    Some(Figure {
        name: format!("curves-{stage}"),
        caption: format!(
            "Learning curves of {stage}: means over seeds, each point the mean of neighbouring \
            steps. {}{more}",
            coding.caption().replace("shape", "dashes")
        ),
        drawing,
    })
}

/// The panel of a metric.
struct MetricPanel<'a> {
    panel: Panel,
    title: String,
    axis: &'a str,
    metric: &'a str,
}

fn draw_metric(
    drawing: &mut Drawing,
    MetricPanel { panel, title, axis, metric }: &MetricPanel<'_>,
    members: &[&ArmCurves],
    coding: &Coding,
) {
    let curves: Vec<(&ArmCurves, Vec<(f64, f64)>)> =
        members.iter().filter_map(|one| Some((*one, smooth(one.curve(metric)?)))).collect();
    let points = curves.iter().flat_map(|(_, points)| points);
    let across = panel.across(points.clone().map(|point| point.0));
    let up = panel.up(points.map(|point| point.1));
    let axes = Axes { across, across_title: "step", up, up_title: axis };
    panel.draw_axes(drawing, &axes);
    panel.draw_title(drawing, &super::drawing::fitted(title, TEXT, WIDTH));
    for (one, points) in curves {
        let look = coding.look(&one.cell);
        // A diverged training must not hide the rest.
        let points = points.into_iter().filter(|(_, y)| y.is_finite());
        let points = points.map(|(x, y)| (across.place(x), up.place(y))).collect();
        drawing.line(points, Pen { ink: look.ink, width: 1.5, dashes: look.dashes });
    }
}

/// Means of neighbouring points.
fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points.chunks(points.len().div_ceil(MOST_POINTS).max(1)).map(mean).collect()
}

fn mean(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let sum = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    (sum.0 / count, sum.1 / count)
}
