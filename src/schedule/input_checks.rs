//! Checks the input files of a plan before anything runs.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    path::{Path, PathBuf},
};

use petgraph::graph::NodeIndex;

use crate::{
    diagnostic::{Problem, Problems, Span},
    plan::{InputSource, Plan, PlannedStage},
    preflight::{Foreseen, Origin, Outlook, Wanted},
};

/// Caches checks, so that each file is read once per purpose.
#[derive(Default)]
pub(super) struct InputChecks {
    known: BTreeMap<(PathBuf, Wanted), Option<String>>,
    /// Programs on PATH that were found, since thousands of stages may run the same one.
    programs: BTreeSet<String>,
}

/// An error or warning that a stage would report later.
pub(super) struct InputProblem<'p> {
    /// The field concerned.
    pub(super) field: &'static str,
    /// The message.
    pub(super) problem: String,
    /// Whether it concerns the content of an input.
    pub(super) is_input: bool,
    /// Whether the stage cannot run.
    pub(super) is_error: bool,
    span: Option<&'p Span>,
    label: String,
}

/// Problems of the input files of these stages, and of their combination with parameters, located
/// in the recipe. Files are read completely, row by row.
pub fn wrong_inputs(plan: &Plan, stages: impl IntoIterator<Item = NodeIndex>) -> Problems {
    let (mut checks, mut problems) = (InputChecks::default(), Problems::default());
    for node in stages {
        for found in checks.of_stage(plan, node) {
            let problem = if found.is_error {
                Problem::error(found.problem)
            } else {
                Problem::warning(found.problem)
            };
            problems.push(match found.span {
                Some(span) => problem.at(span, found.label),
                None => problem,
            });
        }
    }
    problems
}

impl InputProblem<'_> {
    /// The problem with the input that it is about, for a line without a place.
    pub(super) fn text(&self) -> String {
        let Self { field, problem, is_input, .. } = self;
        if *is_input { format!("the input `{field}`: {problem}") } else { problem.clone() }
    }
}

impl InputChecks {
    /// Problems of a stage's inputs.
    pub(super) fn of_stage<'p>(
        &mut self,
        plan: &'p Plan,
        node: NodeIndex,
    ) -> Vec<InputProblem<'p>> {
        let stage = &plan.graph[node];
        let program = program(stage);
        if program.is_some_and(|program| self.programs.contains(program)) {
            return Vec::new();
        }
        let mut all = Vec::new();
        for input in &stage.inputs {
            if let InputSource::Path(path) = &input.source
                && let Some(problem) = self.problem(wanted(stage, input.accepts.name), path)
            {
                let label = format!("read as `{}`", input.accepts.name);
                let (field, span) = (input.name, input.span.as_ref());
                all.push(InputProblem {
                    field,
                    problem,
                    is_input: true,
                    is_error: true,
                    span,
                    label,
                });
            }
        }
        let no_folders = BTreeMap::new();
        let outlook = outlook(plan, node, &Outlook::FOLLOWED, &no_folders);
        let model = stage.inputs.iter().find(|input| input.name == "model");
        if let (Some(input), Some(folder)) = (model, outlook.template_folder())
            && let Some(problem) =
                self.problem(wanted(stage, input.accepts.name).of_imported(), folder)
        {
            let (field, span, label) =
                (input.name, input.span.as_ref(), "another model is expected".to_owned());
            all.push(InputProblem { field, problem, is_input: true, is_error: true, span, label });
        }
        // Tables and phrases are checked together only if both can be read.
        let is_readable = all.is_empty() || stage.kind.name != "facts";
        let mismatches = if is_readable { outlook.look() } else { Vec::new() };
        for mismatch in mismatches {
            let input = stage.inputs.iter().find(|input| input.name == mismatch.field);
            // A parameter that has its default is not in the recipe; the stage's kind always is.
            let places = [mismatch.field, "kind"].into_iter().find_map(|field| stage.place(field));
            let span = input.and_then(|input| input.span.as_ref()).or(places);
            let (field, problem, is_error) = (mismatch.field, mismatch.problem, mismatch.is_error);
            all.push(InputProblem {
                field,
                problem,
                is_input: false,
                is_error,
                span,
                label: mismatch.right,
            });
        }
        if let (Some(program), true) = (program, all.is_empty()) {
            self.programs.insert(program.to_owned());
        }
        all
    }

    fn problem(&mut self, wanted: Wanted, path: &Path) -> Option<String> {
        let key = (path.to_owned(), wanted);
        match self.known.entry(key) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(unknown) => {
                let found = unknown.key().1.check(path).err();
                unknown.insert(found).clone()
            }
        }
    }
}

/// The program of a stage that reads no file, all of whose checks concern the program.
fn program(stage: &PlannedStage) -> Option<&str> {
    let is_alone = stage.inputs.iter().all(|input| input.source.stage().is_some());
    let program = stage.parameters.get("program").filter(|_| stage.kind.name == "command");
    program.filter(|_| is_alone)?.as_str()
}

/// Requirements of a stage on an input of a type.
fn wanted(stage: &PlannedStage, artifact: &'static str) -> Wanted {
    Wanted::of(stage.kind.name, artifact, &stage.parameters)
}

/// The outlook of a stage and of its inputs with these names. Stages with a folder are looked up
/// there.
pub(super) fn outlook<'p>(
    plan: &'p Plan,
    node: NodeIndex,
    followed: &[&str],
    folders: &'p BTreeMap<NodeIndex, PathBuf>,
) -> Outlook<'p> {
    let stage = &plan.graph[node];
    // Only some inputs decide what a later stage can read; the others are not worth a walk.
    let inputs = stage.inputs.iter().filter(|input| followed.contains(&input.name));
    let inputs = inputs.map(|input| Foreseen {
        name: input.name,
        cell: input.cell.as_deref(),
        from: match &input.source {
            InputSource::Path(path) => Origin::Path(path),
            InputSource::Stage(node) => match folders.get(node) {
                Some(folder) => Origin::Path(folder),
                None => Origin::Stage(outlook(plan, *node, followed, folders)),
            },
        },
    });
    let (name, kind, values) = (&stage.name, stage.kind, &stage.parameters);
    Outlook { name, kind, values, inputs: inputs.collect() }
}
