//! Gains against each other: out-of-domain against in-domain, and precision against shift.

use super::{
    coding::Coding,
    drawing::Figure,
    forest::coding,
    scatter::{MOST_PANELS, Scatter, ScatterPoint},
};
use crate::{
    evaluation::{ComparedArm, Comparison, ComparisonRow, Diagnosis, DomainDiagnosis},
    report::arm_table::{find, warned},
    rows::{Cell, MeasureName, OUT_OF_DOMAIN, ShiftMeasureName},
};

/// Gain in precision out-of-domain against the one in-domain; none without both.
pub(crate) fn domain_gains(stage: &str, comparison: &Comparison) -> Option<Figure> {
    let home = comparison.in_domain.as_deref()?;
    let arms: Vec<&ComparedArm> =
        comparison.arms.iter().filter(|arm| arm.baseline.is_some()).collect();
    let cells: Vec<Cell> = arms.iter().map(|arm| Cell::parse(&arm.name)).collect();
    let coding = coding(&cells, comparison);
    let across_title = format!("gain in {home} (in-domain), points");
    let mut scatter = Scatter {
        title: "Gain of precision in-domain and out-of-domain",
        across_title: &across_title,
        up_title: "gain out-of-domain, points",
        panels: Vec::new(),
        has_diagonal: true,
    };
    for cell in &cells {
        let arm = cell.to_string();
        let [inside, outside] = [home, OUT_OF_DOMAIN]
            .map(|domain| find(comparison, &arm, domain, MeasureName::Precision));
        let Some((inside, outside)) = inside.zip(outside) else { continue };
        let Some(at) = inside.difference.zip(outside.difference) else { continue };
        let is_warned =
            [home, OUT_OF_DOMAIN].iter().any(|domain| warned(comparison, &arm, domain).is_some());
        let (x, y) = (100.0 * at.0, 100.0 * at.1);
        let point = ScatterPoint {
            at: (x, y),
            across: interval(inside),
            up: interval(outside),
            look: coding.look(cell),
            is_warned,
            tip: format!("{}: {x:+.1} in {home}, {y:+.1} out-of-domain", coding.short_name(cell)),
        };
        scatter.add(&coding.panel_among(cell, cells.len()), point);
    }
    scatter.panels.first()?;
    Some(figure(
        format!("gains-{stage}"),
        &scatter,
        &coding,
        "Lines: 95 % intervals; dashed: equal \
        gains in both.",
    ))
}

/// Change of precision against KL divergence, in-domain and out-of-domain.
pub(crate) fn shift_gains(stage: &str, diagnosis: &Diagnosis) -> Option<Figure> {
    let cells: Vec<Cell> = diagnosis.arms.iter().map(|arm| Cell::parse(&arm.name)).collect();
    let coding = Coding::new(&cells.iter().collect::<Vec<_>>(), None);
    let mut scatter = Scatter {
        title: "Change of precision against token shift",
        across_title: "KL divergence, nats per token",
        up_title: "change of precision, points",
        panels: Vec::new(),
        has_diagonal: false,
    };
    for (arm, cell) in diagnosis.arms.iter().zip(&cells) {
        for domain in &arm.domains {
            let is_home = domain.domain == diagnosis.in_domain;
            // The mean over the other domains stands for each of them.
            if !is_home && domain.domain != OUT_OF_DOMAIN {
                continue;
            }
            let name = coding.short_name(cell);
            let Some(point) = shifted(domain, &name) else { continue };
            let place = if is_home {
                format!("{} (in-domain)", domain.domain)
            } else {
                domain.domain.clone()
            };
            let panel = match coding.panel_among(cell, cells.len()) {
                panel if panel.is_empty() => place,
                panel => format!("{place}, {panel}"),
            };
            scatter.add(&panel, ScatterPoint { look: coding.look(cell), ..point });
        }
    }
    scatter.panels.first()?;
    Some(figure(format!("shift-{stage}"), &scatter, &coding, "Lines: 95 % intervals."))
}

fn shifted(domain: &DomainDiagnosis, name: &str) -> Option<ScatterPoint> {
    let (shift, change) = (domain.shift.get(&ShiftMeasureName::Kl)?, domain.change?);
    let (x, y) = (shift.mean, 100.0 * change.mean);
    Some(ScatterPoint {
        at: (x, y),
        across: shift.interval(),
        up: change.interval().map(|ends| ends.map(|end| 100.0 * end)),
        look: Coding::default().look(&Cell::of_stage("")),
        is_warned: false,
        tip: format!("{name}, {}: {x:.4} nats/token, {y:+.1} points", domain.domain),
    })
}

fn figure(name: String, scatter: &Scatter<'_>, coding: &Coding, about: &str) -> Figure {
    let mut caption = format!("{}. {} {about}", scatter.title, coding.caption());
    let mut points = scatter.panels.iter().flat_map(|(_, points)| points);
    if points.any(|point| point.is_warned) {
        caption.push_str(" Hollow: the report warns of how the arm gained.");
    }
    let left = scatter.panels.len().saturating_sub(MOST_PANELS);
    if left > 0 {
        caption.push_str(&format!(" {left} more panels are not drawn."));
    }
    Figure { name, caption, drawing: scatter.draw(coding) }
}

fn interval(row: &ComparisonRow) -> Option<[f64; 2]> {
    Some([100.0 * row.difference_low?, 100.0 * row.difference_high?])
}
