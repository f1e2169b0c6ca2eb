//! The timeline of a run: when attempts of each stage ran.

use super::{
    axis::{AxisScale, Panel},
    drawing::{Anchor, Drawing, DrawnText, Element, Figure, Ink, SMALL, TEXT, fitted},
    font,
};
use crate::{
    diagnostic::counted,
    report::{
        history::{History, RecordedAttempt, StageHistory},
        words::duration,
    },
};

const WIDTH: f64 = 960.0;
const ROW: f64 = 18.0;
/// Stages that a page shows.
const MOST_ROWS: usize = 60;
const RAN: Ink = Ink::Hue(0);
const FAILED: Ink = Ink::Hue(1);

/// Attempts of each stage over the seconds of the run; none if nothing ran.
pub(crate) fn timeline(history: &History) -> Option<Figure> {
    let mut rows: Vec<(&str, Vec<&StageHistory>)> = Vec::new();
    for stage in history.stages.iter().filter(|stage| !stage.attempts.is_empty()) {
        let name = stage.cell.stage.as_str();
        match rows.iter_mut().find(|(known, _)| *known == name) {
            Some((_, members)) => members.push(stage),
            None => rows.push((name, vec![stage])),
        }
    }
    let last = rows.iter().flat_map(|(_, members)| members).flat_map(|stage| &stage.attempts);
    let last = last.map(|attempt| history.seconds_since_start(attempt.to)).fold(0.0, f64::max);
    rows.first()?;
    let left =
        rows.iter().map(|(name, _)| font::width(name, TEXT)).fold(60.0, f64::max).min(220.0) + 16.0;
    let shown = &rows[..rows.len().min(MOST_ROWS)];
    let mut drawing = Drawing::new("Timeline of the run", WIDTH);
    let top = 12.0;
    let panel =
        Panel { left, top, right: WIDTH - 70.0, bottom: top + ROW * shown.len() as f64 + 4.0 };
    let (unit, divisor) = unit_of(last);
    let scale = AxisScale::over([0.0, last / divisor].into_iter(), panel.left, panel.right);
    panel.draw_ticks_across(&mut drawing, &scale);
    for (index, (name, members)) in shown.iter().enumerate() {
        let y = top + 2.0 + ROW * index as f64;
        drawing.label(DrawnText::new((0.0, y + 13.0), fitted(name, TEXT, left - 12.0)));
        let mut seconds = 0.0;
        for is_failed in [false, true] {
            let attempts = members.iter().flat_map(|stage| &stage.attempts);
            let attempts: Vec<&RecordedAttempt> =
                attempts.filter(|attempt| attempt.is_failed == is_failed).collect();
            let place = |at: u64| scale.place(history.seconds_since_start(at) / divisor);
            let boxes: Vec<[f64; 4]> = attempts
                .iter()
                // The shortest attempt is still a pixel.
                .map(|one| {
                    [place(one.from), y + 3.0, (place(one.to) - place(one.from)).max(1.0), 11.0]
                })
                .collect();
            seconds += attempts.iter().map(|one| one.seconds()).sum::<f64>();
            if !boxes.is_empty() {
                let ink = if is_failed { FAILED } else { RAN };
                let tip = format!("{name}: {}", counted(boxes.len(), "attempt"));
                drawing.shapes.push(Element::Boxes { boxes, ink, tip });
            }
        }
        let total = DrawnText::new((WIDTH, y + 13.0), duration(seconds));
        drawing.label(total.anchored(Anchor::End).in_style(SMALL, Ink::Dim));
    }
    let middle = (panel.left + panel.right) / 2.0;
    let title =
        DrawnText::new((middle, panel.bottom + 32.0), format!("{unit} since the run began"));
    drawing.label(title.anchored(Anchor::Middle));
    drawing.height = panel.bottom + 42.0;
    let left = rows.len() - shown.len();
    let more = if left > 0 { format!(" {left} more stages ran.") } else { String::new() };
    Some(Figure {
        name: "timeline".to_owned(),
        caption: format!(
            "Attempts of this run by stage, failed ones in orange; at the right their total \
            duration.{more}"
        ),
        drawing,
    })
}

/// Unit of an axis over so long a time, and its seconds.
fn unit_of(seconds: f64) -> (&'static str, f64) {
    match seconds {
        seconds if seconds < 180.0 => ("seconds", 1.0),
        seconds if seconds < 3.0 * 3600.0 => ("minutes", 60.0),
        _ => ("hours", 3600.0),
    }
}
