//! Forest plots: a row for each arm, a column for each domain, means with their intervals.

use super::{
    axis::{AxisScale, Panel},
    coding::{Coding, Look},
    drawing::{Anchor, Drawing, DrawnText, Figure, Ink, Marker, Pen, SMALL, TEXT, fitted},
    font,
};
use crate::{
    evaluation::{Comparison, ComparisonRow, Scores},
    report::arm_table::{find, questioned, warned},
    rows::{Cell, MeasureName},
};

const WIDTH: f64 = 960.0;
const ROW: f64 = 19.0;
/// Room for numbers to the right of each column's intervals.
const NUMBERS: f64 = 128.0;
/// Columns that fit beside each other.
const MOST_COLUMNS: usize = 3;
/// Rows that are readable on a page.
const MOST_ROWS: usize = 60;

/// A value with its interval, in the units of the axis.
#[derive(Clone, Copy, Debug)]
struct Point {
    mean: f64,
    interval: Option<[f64; 2]>,
}

#[derive(Debug)]
struct ForestRow {
    /// Heading above the first row of each group.
    group: String,
    label: String,
    look: Look,
    is_warned: bool,
    /// By column.
    points: Vec<Option<Point>>,
}

/// Where a column draws its points.
#[derive(Clone, Copy, Debug)]
struct Column {
    panel: Panel,
    scale: AxisScale,
}

struct Forest {
    columns: Vec<String>,
    axis_title: String,
    rows: Vec<ForestRow>,
    /// Whether values are differences, which are written with their sign.
    is_signed: bool,
}

/// Differences of precision of all arms from their baseline, in points; none without a baseline.
pub(crate) fn difference_forest(stage: &str, comparison: &Comparison) -> Option<Figure> {
    let baseline = comparison.baseline.as_deref()?;
    let arms = comparison.arms.iter().filter(|arm| arm.baseline.is_some());
    let cells: Vec<Cell> = arms.map(|arm| Cell::parse(&arm.name)).collect();
    let coding = coding(&cells, comparison);
    let domains = columns(comparison);
    let mut rows: Vec<ForestRow> = cells
        .iter()
        .map(|cell| {
            let arm = cell.to_string();
            let row = |domain: &&str| find(comparison, &arm, domain, MeasureName::Precision);
            let points = domains.iter().map(|domain| row(domain).and_then(difference));
            let is_warned = domains.iter().any(|domain| warned(comparison, &arm, domain).is_some());
            ForestRow { is_warned, ..ForestRow::new(&coding, cell, points.collect()) }
        })
        .filter(|row| row.points.iter().any(Option::is_some))
        .collect();
    let left = shorten(&mut rows);
    rows.first()?;
    let any_warned = rows.iter().any(|row| row.is_warned);
    let forest = Forest {
        columns: domains
            .iter()
            .map(|domain| title(comparison.in_domain.as_deref(), domain))
            .collect(),
        axis_title: "difference of precision, points".to_owned(),
        rows: grouped(rows),
        is_signed: true,
    };
    let mut caption = format!(
        "Difference of factual precision from {baseline} on the same prompts, with 95 % \
        intervals. {}",
        coding.caption()
    );
    if any_warned {
        caption.push_str(" Hollow markers with †: the report warns of how the arm gained.");
    }
    if left > 0 {
        caption.push_str(&format!(
            " The {MOST_ROWS} arms with the largest gains; {left} more are in the tables."
        ));
    }
    Some(Figure {
        name: format!("forest-{stage}"),
        caption,
        drawing: forest.draw("Difference of factual precision by arm and domain"),
    })
}

/// Precision of each scored cell by domain, for runs without a comparison.
pub(crate) fn score_forest(scored: &[(&Cell, &Scores)]) -> Option<Figure> {
    let (_, first) = scored.first()?;
    let cells: Vec<Cell> = scored.iter().map(|(cell, _)| (*cell).clone()).collect();
    let coding = Coding::new(&cells.iter().collect::<Vec<_>>(), None);
    let domains: Vec<&str> = first.domains.iter().map(|one| one.domain.as_str()).collect();
    let domains = &domains[..domains.len().min(MOST_COLUMNS)];
    let rows = scored.iter().take(MOST_ROWS).map(|(cell, scores)| {
        let points = domains.iter().map(|domain| {
            let found = scores.domains.iter().find(|one| one.domain == *domain)?;
            let precision = found.measures.get(&MeasureName::Precision)?;
            let interval = precision.interval().map(|ends| ends.map(|end| 100.0 * end));
            Some(Point { mean: 100.0 * precision.mean, interval })
        });
        ForestRow {
            label: cell.to_string(),
            group: String::new(),
            ..ForestRow::new(&coding, cell, points.collect())
        }
    });
    let forest = Forest {
        columns: domains.iter().map(|one| title(first.in_domain.as_deref(), one)).collect(),
        axis_title: "precision, %".to_owned(),
        rows: rows.collect(),
        is_signed: false,
    };
    Some(Figure {
        name: "precision".to_owned(),
        caption: format!(
            "Factual precision of each scored stage, with 95 % intervals over topics. {}",
            coding.caption()
        ),
        drawing: forest.draw("Factual precision by stage and domain"),
    })
}

/// Colours and shapes of the arms of a comparison.
pub(super) fn coding(cells: &[Cell], comparison: &Comparison) -> Coding {
    let averaged = comparison.average.as_ref().map(|average| average.axis.as_str());
    Coding::new(&cells.iter().collect::<Vec<_>>(), averaged)
}

/// In-domain and out-of-domain, or the first domains of a comparison without in-domain one.
fn columns(comparison: &Comparison) -> Vec<&str> {
    let mut domains = questioned(comparison);
    domains.truncate(MOST_COLUMNS);
    domains
}

fn title(in_domain: Option<&str>, domain: &str) -> String {
    if in_domain == Some(domain) { format!("{domain} (in-domain)") } else { domain.to_owned() }
}

fn difference(row: &ComparisonRow) -> Option<Point> {
    let interval = row.difference_low.zip(row.difference_high);
    let interval = interval.map(|(low, high)| [100.0 * low, 100.0 * high]);
    Some(Point { mean: 100.0 * row.difference?, interval })
}

/// Keeps the rows with the largest values in the last column, in their order; returns the number
/// of others.
fn shorten(rows: &mut Vec<ForestRow>) -> usize {
    let left = rows.len().saturating_sub(MOST_ROWS);
    if left > 0 {
        let mut values: Vec<f64> = rows.iter().map(ForestRow::last).collect();
        values.sort_by(|one, other| other.total_cmp(one));
        let least = values[MOST_ROWS - 1];
        rows.retain(|row| row.last() >= least);
        rows.truncate(MOST_ROWS);
    }
    left
}

/// Rows of one group side by side, groups in order of first appearance.
fn grouped(rows: Vec<ForestRow>) -> Vec<ForestRow> {
    let mut groups: Vec<(String, Vec<ForestRow>)> = Vec::new();
    for row in rows {
        match groups.iter_mut().find(|(group, _)| *group == row.group) {
            Some((_, members)) => members.push(row),
            None => groups.push((row.group.clone(), vec![row])),
        }
    }
    groups.into_iter().flat_map(|(_, members)| members).collect()
}

impl ForestRow {
    fn new(coding: &Coding, cell: &Cell, points: Vec<Option<Point>>) -> Self {
        let (group, label) = coding.group_and_name(cell);
        Self { group, label, look: coding.look(cell), is_warned: false, points }
    }

    fn last(&self) -> f64 {
        let last = self.points.last().copied().flatten();
        last.map_or(f64::NEG_INFINITY, |point| point.mean)
    }
}

impl Forest {
    fn draw(&self, title: &str) -> Drawing {
        let mut drawing = Drawing::new(title, WIDTH);
        // With room for the indent and the dagger.
        let labels = self.rows.iter().map(|row| font::width(&row.label, TEXT) + 30.0);
        let groups = self.rows.iter().map(|row| font::width(&row.group, TEXT));
        let left = labels.chain(groups).fold(60.0, f64::max).min(300.0) + 16.0;
        let count = self.columns.len().max(1) as f64;
        let room = (WIDTH - left) / count;
        let ends = self.rows.iter().flat_map(|row| row.points.iter().flatten());
        let ends = ends.flat_map(|point| point.interval.unwrap_or([point.mean; 2]));
        let zero = self.is_signed.then_some(0.0);
        // One scale for all columns, so that domains can be compared by eye.
        let scale = AxisScale::over(ends.chain(zero), 0.0, 1.0).padded();
        let top = 30.0;
        let bottom = top + self.height() + 4.0;
        let columns: Vec<Column> = (0..self.columns.len())
            .map(|column| {
                let from = left + room * column as f64;
                let panel = Panel { left: from, top, right: from + room - NUMBERS, bottom };
                Column { panel, scale: AxisScale { from: panel.left, to: panel.right, ..scale } }
            })
            .collect();
        for (Column { panel, scale }, title) in columns.iter().zip(&self.columns) {
            panel.draw_ticks_across(&mut drawing, scale);
            panel.draw_title(&mut drawing, &fitted(title, TEXT, room - 8.0));
            if self.is_signed {
                panel.draw_zero(&mut drawing, Some(scale), None);
            }
            let middle = (panel.left + panel.right) / 2.0;
            let title = DrawnText::new((middle, bottom + 32.0), self.axis_title.as_str());
            drawing.label(title.anchored(Anchor::Middle));
        }
        self.draw_rows(&mut drawing, &columns, left);
        drawing.height = bottom + 42.0;
        drawing
    }

    /// Height of all rows with their headings.
    fn height(&self) -> f64 {
        let headings = self.headings().filter(|heading| *heading).count();
        ROW * (self.rows.len() + headings) as f64
    }

    /// Whether a heading stands above each row.
    fn headings(&self) -> impl Iterator<Item = bool> {
        self.rows.iter().enumerate().map(|(index, row)| {
            let before = index.checked_sub(1).map(|before| &self.rows[before].group);
            !row.group.is_empty() && before != Some(&row.group)
        })
    }

    fn draw_rows(&self, drawing: &mut Drawing, columns: &[Column], left: f64) {
        let mut y = columns.first().map_or(0.0, |column| column.panel.top) + ROW / 2.0 + 2.0;
        for (row, has_heading) in self.rows.iter().zip(self.headings()) {
            if has_heading {
                drawing.label(DrawnText::new((0.0, y + 4.0), row.group.as_str()));
                y += ROW;
            }
            let indent = if row.group.is_empty() { 0.0 } else { 14.0 };
            let mark = if row.is_warned { " †" } else { "" };
            let label = fitted(&row.label, TEXT, left - indent - 30.0) + mark;
            drawing.label(DrawnText::new((indent, y + 4.0), label));
            for (column, point) in columns.iter().zip(&row.points) {
                if let Some(point) = point {
                    self.draw_point(drawing, row, point, column, y);
                }
            }
            y += ROW;
        }
    }

    fn draw_point(
        &self,
        drawing: &mut Drawing,
        row: &ForestRow,
        point: &Point,
        column: &Column,
        y: f64,
    ) {
        let Column { panel, scale } = column;
        if let Some([low, high]) = point.interval {
            let ends = vec![(scale.place(low), y), (scale.place(high), y)];
            drawing.line(ends, Pen::solid(row.look.ink, 2.0));
        }
        let numbers = self.numbers(point);
        let tip = format!("{} {}: {numbers}", row.group, row.label);
        drawing.marker(Marker {
            at: (scale.place(point.mean), y),
            form: row.look.form,
            radius: 4.5,
            ink: row.look.ink,
            is_hollow: row.is_warned,
            tip: tip.trim().to_owned(),
        });
        drawing.label(
            DrawnText::new((panel.right + 10.0, y + 4.0), numbers).in_style(SMALL, Ink::Text),
        );
    }

    /// `+5.9 [+4.1, +7.7]`.
    fn numbers(&self, Point { mean, interval }: &Point) -> String {
        match (self.is_signed, interval) {
            (true, Some([low, high])) => format!("{mean:+.1} [{low:+.1}, {high:+.1}]"),
            (true, None) => format!("{mean:+.1} –"),
            (false, Some([low, high])) => format!("{mean:.1} [{low:.1}, {high:.1}]"),
            (false, None) => format!("{mean:.1} –"),
        }
    }
}
