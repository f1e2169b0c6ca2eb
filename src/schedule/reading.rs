//! Files that a plan names as inputs, looked through before anything runs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use petgraph::graph::NodeIndex;

use crate::{
    diagnostic::{Problem, Problems},
    plan::{Plan, PlannedInput, PlannedStage, Source},
    stage::check_input,
};

/// Looks each file up once, however many stages name it.
#[derive(Default)]
pub(super) struct Reading {
    known: BTreeMap<(PathBuf, String, &'static str), Option<String>>,
}

/// What is wrong in the files that these stages of a plan name, with the place in the recipe. They are read whole, a row at a
/// time.
pub fn wrong_inputs(plan: &Plan, stages: impl IntoIterator<Item = NodeIndex>) -> Problems {
    let (mut reading, mut problems) = (Reading::default(), Problems::default());
    for node in stages {
        let stage = &plan.graph[node];
        for (input, problem) in reading.of_stage(stage) {
            let problem = Problem::error(problem);
            let label = format!("read as `{}`", input.accepts.name);
            problems.push(input.span.as_ref().map_or(problem.clone(), |span| problem.at(span, label)));
        }
    }
    problems
}

impl Reading {
    /// The inputs of a stage in which something is wrong, with what.
    pub(super) fn of_stage<'s>(&mut self, stage: &'s PlannedStage) -> Vec<(&'s PlannedInput, String)> {
        let files = stage.inputs.iter().filter_map(|input| match &input.source {
            Source::Path(path) => Some((input, path)),
            Source::Stage(_) => None,
        });
        files.filter_map(|(input, path)| Some((input, self.problem(stage, input, path)?))).collect()
    }

    fn problem(&mut self, stage: &PlannedStage, input: &PlannedInput, path: &Path) -> Option<String> {
        let (kind, artifact) = (stage.kind.name, input.accepts.name);
        let key = (path.to_owned(), artifact.to_owned(), kind);
        self.known.entry(key).or_insert_with(|| check_input(kind, artifact, path).err()).clone()
    }
}
