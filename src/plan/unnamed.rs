//! Settings of tables that no stage names.

use std::collections::BTreeSet;

use super::{resolve::ResolvedStage, unit::Units};
use crate::{
    diagnostic::{Problem, Problems, known},
    recipe::{Recipe, is_setting},
};

/// Reports settings of the command line that change a table which no stage names.
pub(super) fn check_tables(
    recipe: &Recipe,
    units: &Units<'_>,
    resolved_stages: &[ResolvedStage],
    problems: &mut Problems,
) {
    // Without its kind or with an error, a stage may name any of them.
    if problems.errors() > 0 {
        return;
    }
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for (unit, stage) in units.list.iter().zip(resolved_stages) {
        let naming = unit.kind.parameters.iter().filter(|parameter| parameter.table.is_some());
        for parameter in naming {
            let values = stage.cells().filter_map(|cell| cell.parameters.get(parameter.name));
            named.extend(values.filter_map(|value| value["name"].as_str()));
        }
    }
    for entry in recipe.endpoints.iter().filter(|entry| !named.contains(&*entry.key)) {
        let fields = entry.value.as_table().map_or(&[][..], |table| &table.0);
        for field in fields.iter().filter(|field| is_setting(&field.key_span)) {
            let problem = Problem::error(format!("no stage takes `endpoint.{}`", entry.key));
            let problem = problem
                .at(&field.key_span, "a field of an endpoint that a stage names is expected");
            let names = recipe.endpoints.iter().map(|entry| &*entry.key);
            problems.push(problem.help(format!("known endpoints: {}", known(names))));
        }
    }
}
