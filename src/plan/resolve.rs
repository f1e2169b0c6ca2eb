//! Resolves the fields of a stage in each of its cells: checks values and finds references.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{
    execution_options::Common,
    space::Space,
    unit::{Fields, FilledFields, Unit, Units},
};
use crate::{
    diagnostic::{Problem, Problems, Span, known, shortened, suggestion},
    recipe::{
        Data, Node, check_parameter, fill, is_setting, resolve_path,
        schema::{Chosen, Count, Default, Input, Kind, Mismatch, Parameter},
    },
};

/// A stage's fields in one cell.
pub(super) struct ResolvedFields {
    /// Shared with the stages of the plan.
    pub(super) parameters: Arc<BTreeMap<String, Value>>,
    pub(super) common: Common,
    /// Inputs in the order of the kind's declaration.
    pub(super) links: Vec<ResolvedInput>,
    /// Whether all parameters and inputs have valid values, as the kind's checks need.
    pub(super) is_complete: bool,
}

/// One input of a stage.
pub(super) struct ResolvedInput {
    pub(super) input: &'static Input,
    pub(super) target: Target,
    /// Span of the reference; none for wires of a composite.
    pub(super) span: Option<Span>,
}

/// Target of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A unit, by index.
    Unit(usize),
    /// A file or folder; absolute.
    Path(PathBuf),
}

/// A unit resolved in all of its cells.
pub(super) struct ResolvedStage {
    /// By value indices of the unit's own axes, in axis order. A list, since a map's node has room
    /// for 11 entries, and most stages have one.
    by_cell: Vec<(Vec<u32>, ResolvedFields)>,
}

impl ResolvedStage {
    fn of(by_cell: BTreeMap<Vec<u32>, ResolvedFields>) -> Self {
        Self { by_cell: by_cell.into_iter().collect() }
    }

    /// The fields at these value indices.
    pub(super) fn at(&self, coordinates: &[u32]) -> Option<&ResolvedFields> {
        let place = self.by_cell.binary_search_by(|(own, _)| own.as_slice().cmp(coordinates));
        place.ok().map(|place| &self.by_cell[place].1)
    }

    /// The fields in each cell, in the order of value indices.
    pub(super) fn cells(&self) -> impl Iterator<Item = &ResolvedFields> + Clone {
        self.by_cell.iter().map(|(_, fields)| fields)
    }
}

/// A cell's coordinates on some axes.
pub(super) fn project<'a>(cell: &[u32], axes: impl IntoIterator<Item = &'a usize>) -> Vec<u32> {
    axes.into_iter().map(|axis| cell[*axis]).collect()
}

/// Resolves a unit's fields in each distinct cell.
pub(super) fn resolve(
    unit: &Unit<'_>,
    units: &Units<'_>,
    space: &Space<'_>,
    problems: &mut Problems,
) -> ResolvedStage {
    let mut by_cell = BTreeMap::new();
    let (mut unused, mut missing) = (Unused::default(), BTreeSet::new());
    if unit.kind.fan_in && !unit.axes.is_empty() {
        reject_variables(unit, space, problems);
        return ResolvedStage::of(by_cell);
    }
    for cell in space.cells_along(&unit.axes) {
        // Cells that differ only in variables that the stage does not mention are one cell of it.
        let coordinates = project(cell, &unit.axes);
        if by_cell.contains_key(&coordinates) {
            continue;
        }
        let fields = unit.fields_in(cell);
        check_required_here(unit, &fields, &mut missing, problems);
        let known = fields.iter().filter(|(_, node)| space.is_known(node, cell));
        let filled: FilledFields<'_> = known
            .map(|(name, node)| (*name, fill(node, &|name| space.value(cell, name))))
            .collect();
        let mut resolved = ResolvedFields {
            parameters: Arc::new(settle_parameters(unit.kind, &filled, units, problems)),
            common: Common::read(&filled, problems),
            links: settle_links(unit, &filled, units, problems),
            is_complete: false,
        };
        resolved.is_complete = is_complete(unit, &resolved, &filled);
        // A value is unused only if no cell uses it: `beta` of a sweep over algorithms is not.
        unused.begin(unit, &fields);
        for problem in check_fit(unit, &resolved, &filled, problems) {
            unused.add(&fields, problem);
        }
        by_cell.insert(coordinates, resolved);
    }
    unused.tell(units, problems);
    ResolvedStage::of(by_cell)
}

/// A fan-in stage reads all cells at once, so it has no value of a variable.
fn reject_variables(unit: &Unit<'_>, space: &Space<'_>, problems: &mut Problems) {
    for node in unit.fields.values().filter(|node| !space.mentioned(node).is_empty()) {
        let problem = format!("a stage of kind `{}` cannot mention variables", unit.kind.name);
        let problem =
            Problem::error(problem).at(&node.span, "a value without variables is expected");
        let why = "it reads all cells of its inputs at once, so it belongs to no single cell";
        problems.push(problem.help(why));
    }
}

fn settle_parameters(
    kind: &'static Kind,
    filled: &FilledFields<'_>,
    units: &Units<'_>,
    problems: &mut Problems,
) -> BTreeMap<String, Value> {
    let mut parameters = BTreeMap::new();
    for parameter in kind.parameters {
        let value = match filled.get(parameter.name) {
            Some(node) => {
                check_parameter(node, parameter, problems).and_then(|value| match parameter.table {
                    Some(form) => units.tables.find(form, node, problems),
                    None => Some(named(parameter, value)),
                })
            }
            None => parameter.default_value(),
        };
        if let Some(value) = value {
            parameters.insert(parameter.name.to_owned(), parameter.in_order(value));
        }
    }
    parameters
}

/// A stage's fields as its kind's checks see them.
pub(super) fn chosen<'a>(kind: &'a Kind, resolved: &'a ResolvedFields) -> Chosen<'a> {
    let mut inputs: BTreeMap<&str, usize> = BTreeMap::new();
    for link in &resolved.links {
        *inputs.entry(link.input.name).or_default() += 1;
    }
    Chosen { kind, values: &resolved.parameters, inputs }
}

/// Runs the kind's cross-checks once all required fields are present; returns those about fields
/// without effect.
fn check_fit(
    unit: &Unit<'_>,
    resolved: &ResolvedFields,
    filled: &FilledFields<'_>,
    problems: &mut Problems,
) -> Vec<(&'static str, Problem)> {
    let Some(cross_checks) = unit.kind.cross_checks.filter(|_| resolved.is_complete) else {
        return Vec::new();
    };
    let mut unused = Vec::new();
    for mismatch in cross_checks(&chosen(unit.kind, resolved)) {
        let problem = mismatched(&mismatch, unit, filled);
        if mismatch.is_error {
            problems.push(problem);
        } else {
            unused.push((mismatch.field, problem));
        }
    }
    unused
}

/// Whether all parameters and inputs that the recipe should give have values; others were reported
/// before.
fn is_complete(unit: &Unit<'_>, resolved: &ResolvedFields, filled: &FilledFields<'_>) -> bool {
    let mut wanted = unit.kind.parameters.iter().filter(|parameter| {
        filled.contains_key(parameter.name)
            || parameter.default_value().is_some()
            || matches!(parameter.default, Default::Required)
    });
    let mut written = unit.kind.inputs.iter().filter(|input| filled.contains_key(input.name));
    wanted.all(|parameter| resolved.parameters.contains_key(parameter.name))
        && written.all(|input| {
            resolved.links.iter().any(|link| link.input.name == input.name)
                || is_empty(filled, input)
        })
}

/// Reports once that a required field is set only in some arms.
fn check_required_here(
    unit: &Unit<'_>,
    fields: &Fields<'_>,
    told: &mut BTreeSet<&'static str>,
    problems: &mut Problems,
) {
    let inputs = unit.kind.inputs.iter().filter(|input| input.count.is_required());
    let parameters = unit.kind.parameters.iter();
    let required = parameters.filter(|known| matches!(known.default, Default::Required));
    let names = inputs.map(|input| input.name).chain(required.map(|parameter| parameter.name));
    for name in names.filter(|name| !fields.contains_key(name)) {
        let is_in_arm = unit.arms.iter().any(|(_, own)| own.contains_key(name));
        if is_in_arm && told.insert(name) {
            let problem = format!("stage `{}` has no `{name}` outside `when`", unit.stage.name);
            let problem = Problem::error(problem);
            let label =
                format!("a line `{name} = ...` is expected, or one in `when` for each cell");
            problems.push(problem.at(&unit.stage.span, label));
        }
    }
}

/// Unused fields. A value is reported if no cell that has it uses it.
#[derive(Default)]
struct Unused<'r> {
    /// Number of cells.
    all: usize,
    /// By field and where it is written, the number of cells that have it; empty without arms,
    /// where all cells have all fields.
    cells: BTreeMap<Written<'r>, usize>,
    /// Number of these in which it is unused, and the first problem.
    found: BTreeMap<Written<'r>, (usize, Problem)>,
}

/// A field, with source and place of its value.
type Written<'r> = (&'static str, &'r str, usize);

fn written<'r>(field: &'static str, node: &'r Node) -> Written<'r> {
    (field, &node.span.source.path, node.span.range().start)
}

impl<'r> Unused<'r> {
    fn begin(&mut self, unit: &Unit<'r>, fields: &Fields<'r>) {
        self.all += 1;
        for (field, node) in fields.iter().filter(|_| !unit.arms.is_empty()) {
            *self.cells.entry(written(field, node)).or_default() += 1;
        }
    }

    fn add(&mut self, fields: &Fields<'r>, (field, problem): (&'static str, Problem)) {
        if let Some(node) = fields.get(field) {
            self.found.entry(written(field, node)).or_insert((0, problem)).0 += 1;
        }
    }

    /// Reports values that no cell uses. Fields inherited from a base recipe are exempt, since they
    /// cannot be removed.
    fn tell(self, units: &Units<'_>, problems: &mut Problems) {
        for (place, (count, problem)) in self.found {
            let span = problem.span.as_ref();
            let is_own =
                span.is_some_and(|span| span.source == units.recipe.source || is_setting(span));
            if is_own && *self.cells.get(&place).unwrap_or(&self.all) == count {
                problems.push(problem);
            }
        }
    }
}

fn is_empty(filled: &FilledFields<'_>, input: &Input) -> bool {
    filled.get(input.name).and_then(|node| node.as_list()).is_some_and(<[Node]>::is_empty)
}

/// Reports failed checks at the field's span, or at the stage's kind for defaults.
pub(super) fn mismatched(
    mismatch: &Mismatch,
    unit: &Unit<'_>,
    filled: &FilledFields<'_>,
) -> Problem {
    let make = if mismatch.is_error { Problem::error } else { Problem::warning };
    let problem = make(&mismatch.problem);
    match filled.get(mismatch.field) {
        Some(node) => problem.at(&node.span, &*mismatch.right),
        None => {
            let kind = unit.stage.fields.value("kind").map_or(&unit.stage.span, |kind| &kind.span);
            problem.at(kind, &*mismatch.right)
        }
    }
}

/// Only the name of a file parameter is a value; its location belongs to its input.
fn named(parameter: &Parameter, value: Value) -> Value {
    match value.as_str() {
        Some(text) if parameter.is_file(text) => {
            Value::from(text.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default())
        }
        _ => value,
    }
}

/// The files named by parameters.
fn link_files(unit: &Unit<'_>, filled: &FilledFields<'_>, links: &mut Vec<ResolvedInput>) {
    for parameter in unit.kind.parameters {
        if let (Some(input), Some(node)) = (parameter.file, filled.get(parameter.name))
            && let Some(text) = node.as_text().filter(|text| parameter.is_file(text))
        {
            let (target, span) =
                (Target::Path(resolve_path(text, &node.span)), Some(node.span.clone()));
            links.push(ResolvedInput { input, target, span });
        }
    }
}

fn settle_links(
    unit: &Unit<'_>,
    filled: &FilledFields<'_>,
    units: &Units<'_>,
    problems: &mut Problems,
) -> Vec<ResolvedInput> {
    let mut links = Vec::new();
    for input in unit.kind.inputs {
        if let Some(part) = unit.wires.get(input.name) {
            links.extend(units.by_name.get(part).map(|index| ResolvedInput {
                input,
                target: Target::Unit(*index),
                span: None,
            }));
            continue;
        }
        let Some(node) = filled.get(input.name) else { continue };
        let single = std::slice::from_ref(&**node);
        let (list, is_list) = node.as_list().map_or((single, false), |list| (list, true));
        if is_list && (!input.count.takes_list() || list.is_empty() && input.count.is_required()) {
            let problem = Problem::error(match input.count {
                Count::Many => format!("`{}` is empty", input.name),
                _ => format!("`{}` takes one artifact, but this is a list", input.name),
            });
            problems.push(problem.at(&node.span, expected(input)));
            continue;
        }
        for node in list {
            let reference = Reference { unit, input, node, units };
            let span = node
                .as_table()
                .and_then(|table| table.value("path"))
                .map_or(&node.span, |path| &path.span);
            links.extend(reference.follow(problems).map(|target| ResolvedInput {
                input,
                target,
                span: Some(span.clone()),
            }));
        }
    }
    link_files(unit, filled, &mut links);
    links.shrink_to_fit();
    links
}

fn expected(input: &Input) -> String {
    let what = if input.is_path { "a path" } else { "the name of a stage, or { path = \"...\" }," };
    match input.count {
        Count::Many | Count::Any => format!("{what} is expected, or a list of these"),
        _ => format!("{what} is expected"),
    }
}

/// A value that names an input.
struct Reference<'a, 'r> {
    unit: &'a Unit<'r>,
    input: &'static Input,
    node: &'a Node,
    units: &'a Units<'r>,
}

impl Reference<'_, '_> {
    fn follow(&self, problems: &mut Problems) -> Option<Target> {
        let path = match &self.node.data {
            Data::Text(_) if self.input.is_path => Some(self.node),
            Data::Text(name) => return self.find(name, problems),
            Data::Table(table) if table.0.len() == 1 => table.value("path"),
            _ => None,
        };
        if let Some(path) = path
            && let Some(text) = path.as_text().filter(|text| !text.is_empty())
        {
            // By the place of the path, which `--set` may have replaced in the table of a file.
            return Some(Target::Path(resolve_path(text, &path.span)));
        }
        let problem = Problem::error(format!("`{}` does not name an artifact", self.input.name));
        problems.push(self.place(problem, expected(self.input)));
        None
    }

    /// Points at the reference and, if it came from the matrix, at the matrix value.
    fn place(&self, problem: Problem, label: impl Into<String>) -> Problem {
        let problem = problem.at(&self.node.span, label);
        match &self.node.origin {
            Some(origin) => problem.beside(origin, "the value comes from here"),
            None => problem,
        }
    }

    fn find(&self, name: &str, problems: &mut Problems) -> Option<Target> {
        let (unit, input) = (self.unit, self.input);
        let Some(index) = self.units.by_name.get(name) else {
            let is_broken = self.units.broken.contains(name.split('/').next().unwrap_or(name));
            if !is_broken && !name.contains("${") {
                problems.push_error(|| self.unknown(name));
            }
            return None;
        };
        let found = &self.units.list[*index];
        if found.name == unit.name || found.stage.name == unit.stage.name {
            let problem = Problem::error(format!(
                "stage `{}` names itself as its `{}`",
                unit.stage.name, input.name
            ));
            problems.push(self.place(problem, "the name of another stage is expected"));
            return None;
        }
        if !found.kind.provides.iter().any(|provided| input.accepts.takes(provided)) {
            problems.push_error(|| self.of_another_type(name, found));
            return None;
        }
        Some(Target::Unit(*index))
    }

    fn of_another_type(&self, name: &str, found: &Unit<'_>) -> Problem {
        let input = self.input;
        let provided = found.kind.provides.iter().map(|provided| provided.name);
        let problem = Problem::error(format!("`{}` cannot be `{name}`", input.name));
        let label = format!("a stage that provides `{}` is expected", input.accepts.name);
        let is = format!(
            "`{name}` is of kind `{}`, which provides {}",
            found.kind.name,
            known(provided)
        );
        let problem = self.place(problem, label).help(is);
        match self.providers() {
            right if right.is_empty() => {
                problem.help(format!("no stage here provides `{}`", input.accepts.name))
            }
            right => problem.help(format!(
                "stages that provide `{}`: {}",
                input.accepts.name,
                known(right)
            )),
        }
    }

    fn providers(&self) -> Vec<&str> {
        let provides =
            |kind: &Kind| kind.provides.iter().any(|provided| self.input.accepts.takes(provided));
        let others =
            self.units.list.iter().filter(|other| other.stage.name != self.unit.stage.name);
        others.filter(|other| provides(other.kind)).map(|other| &*other.name).collect()
    }

    fn unknown(&self, name: &str) -> Problem {
        let problem = Problem::error(format!("there is no stage `{}`", shortened(name)));
        let label =
            format!("the name of a stage that provides `{}` is expected", self.input.accepts.name);
        let names: Vec<&str> = self.units.list.iter().map(|unit| &*unit.name).collect();
        let right = self.providers();
        let near = crate::diagnostic::nearest(name, right.iter().copied());
        let listed = if right.is_empty() || near.is_none() { names } else { right };
        let problem = self.place(problem, label).help(suggestion(name, "stages", &listed));
        let looks_like_a_file = name.contains('/') || Path::new(name).extension().is_some();
        if looks_like_a_file {
            problem.help(format!("for a file or folder write {{ path = \"{name}\" }}"))
        } else {
            problem
        }
    }
}
