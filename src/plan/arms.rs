//! Settings of single arms: `[stage.tuned.when."algorithm=ipo"]`.

use std::collections::{BTreeMap, BTreeSet};

use super::space::{Coordinates, Space, WHEN};
use crate::{
    diagnostic::{Problem, Problems, Span, suggestion},
    recipe::{StageText, Table, schema::KindOrComposite},
};

/// Fields of a stage in the cells that a condition names.
pub(super) struct Arm<'r> {
    /// Variables and values of the condition.
    pub(super) condition: Coordinates,
    /// The condition as text, and its span.
    written: (&'r str, &'r Span),
    /// Fields with the spans of their names.
    pub(super) fields: &'r Table,
}

impl<'r> Arm<'r> {
    /// Reads the arms of a stage; the more conditions, the later in the list. Fields are checked
    /// elsewhere.
    pub(super) fn read(
        stage: &'r StageText,
        declared: &KindOrComposite,
        space: &Space<'_>,
        problems: &mut Problems,
    ) -> Vec<Self> {
        let Some(when) = stage.fields.get(WHEN) else { return Vec::new() };
        let example = format!("[stage.{}.when.\"VARIABLE=VALUE\"] is expected", stage.name);
        // A fan-in stage reads all cells at once; the unknown field is reported.
        if declared.kinds().iter().any(|kind| kind.fan_in) {
            return Vec::new();
        }
        let Some(tables) = when.value.as_table() else {
            let problem = Problem::error(format!("`when` is {}", when.value.what()));
            problems.push(problem.at(&when.value.span, example));
            return Vec::new();
        };
        let mut arms = Vec::new();
        for entry in &tables.0 {
            let Some(fields) = entry.value.as_table() else {
                let problem = Problem::error(format!("`{}` is {}", entry.key, entry.value.what()));
                problems.push(problem.at(&entry.key_span, example.as_str()));
                continue;
            };
            // An unknown variable or value is an error: an arm that is never used would be a silent
            // wrong experiment.
            match space.condition(&entry.key) {
                Ok(condition) => {
                    arms.push(Self { condition, written: (&entry.key, &entry.key_span), fields })
                }
                Err(rest) => problems.push(unknown_condition(rest, &entry.key_span, space)),
            }
        }
        // Stable, so that arms with as many conditions keep the order of the recipe in messages.
        arms.sort_by_key(|arm| arm.condition.len());
        check_arms(&arms, space, problems);
        arms
    }
}

/// Arms in the cells of a matrix, by their places in the list.
struct Meetings {
    /// Whether any cell has the arm's condition.
    has_cells: Vec<bool>,
    /// Arms that share a cell with an earlier one of as many conditions, and that one: neither is
    /// more specific.
    rivals: BTreeSet<(usize, usize)>,
}

impl Meetings {
    fn of(arms: &[Arm<'_>], space: &Space<'_>) -> Self {
        // By the variables of the condition, then by its values: a cell finds its arms without a
        // look at all of them, of which there may be thousands.
        let mut by_axes: BTreeMap<Vec<usize>, BTreeMap<Vec<u32>, Vec<usize>>> = BTreeMap::new();
        for (index, arm) in arms.iter().enumerate() {
            let (axes, values) = arm.condition.iter().map(|(axis, value)| (*axis, *value)).unzip();
            by_axes.entry(axes).or_default().entry(values).or_default().push(index);
        }
        let mut meetings = Self { has_cells: vec![false; arms.len()], rivals: BTreeSet::new() };
        for cell in &space.cells {
            let mut here: Vec<usize> = Vec::new();
            for (axes, by_values) in &by_axes {
                let values: Vec<u32> = axes.iter().map(|axis| cell[*axis]).collect();
                here.extend(by_values.get(&values).into_iter().flatten());
            }
            here.sort_unstable();
            meetings.add(&here, arms);
        }
        meetings
    }

    /// Adds the arms of one cell, in the order of the list.
    fn add(&mut self, here: &[usize], arms: &[Arm<'_>]) {
        for (position, index) in here.iter().enumerate() {
            self.has_cells[*index] = true;
            let conditions = arms[*index].condition.len();
            let equals = here[..position]
                .iter()
                .filter(|earlier| arms[**earlier].condition.len() == conditions);
            self.rivals.extend(equals.map(|earlier| (*index, *earlier)));
        }
    }
}

/// The problem of a condition from where it names no variable with one of its values, or names a
/// variable again.
fn unknown_condition(rest: &str, span: &Span, space: &Space<'_>) -> Problem {
    let label = "VARIABLE=VALUE is expected, or several with commas";
    let (variable, value) = rest.split_once('=').unwrap_or((rest, ""));
    let Some(words) = space.words(variable) else {
        let problem = Problem::error(format!("there is no variable `{variable}`"));
        return problem.at(span, label).help(suggestion(variable, "variables", &space.names()));
    };
    if space.first_condition(rest).is_some() {
        let problem = Problem::error(format!("`{variable}` has two values in one condition"));
        return problem.at(span, "one value is expected; write a table for each");
    }
    let problem = format!("`{variable}` never is `{value}`");
    // `--seeds 0` and the like leave arms without cells on purpose.
    if space.is_set_elsewhere(variable, span) {
        let problem = Problem::warning(problem).at(span, "these fields have no effect");
        return problem.help(suggestion(value, "values", &words));
    }
    Problem::error(problem).at(span, label).help(suggestion(value, "values", &words))
}

/// Each arm has a cell, and where two with equally many conditions meet, they set different fields.
fn check_arms(arms: &[Arm<'_>], space: &Space<'_>, problems: &mut Problems) {
    // Without a valid matrix there are no cells to compare with.
    if problems.errors() > 0 {
        return;
    }
    let meetings = Meetings::of(arms, space);
    for (index, arm) in arms.iter().enumerate() {
        let (text, span) = arm.written;
        if !meetings.has_cells[index] {
            // A warning, since `--set matrix.exclude=...` may leave none.
            let problem = Problem::warning(format!("no cell has `{text}`"));
            problems.push(problem.at(span, "these fields have no effect"));
        }
        for (_, rival) in meetings.rivals.range((index, 0)..(index + 1, 0)) {
            let rival = &arms[*rival];
            let own = arm.fields.0.iter();
            for field in own.filter(|field| rival.fields.get(&field.key).is_some()) {
                let problem = format!(
                    "`{text}` and `{}` have as many conditions, and both set `{}`",
                    rival.written.0, field.key
                );
                let problem = Problem::error(problem)
                    .at(&field.key_span, "one value for each cell is expected")
                    .beside(rival.written.1, "these cells are also among its own");
                problems.push(problem.help("set it under all these conditions together"));
            }
        }
    }
}
