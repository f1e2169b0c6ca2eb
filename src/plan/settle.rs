//! The fields of a stage in each of the cells that its own variables tell apart: values checked, references found.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    common::Common,
    space::Space,
    unit::{Unit, Units},
};
use crate::{
    diagnostic::{Problem, Problems, Span, known, shortened, suggestion},
    recipe::{
        Data, Node, check, fill, is_setting, resolve_path,
        schema::{Chosen, Count, Default, Input, Kind, Mismatch, Parameter},
    },
};

/// A stage's fields where its own variables have certain values.
pub(super) struct Settled {
    pub(super) parameters: BTreeMap<String, Value>,
    pub(super) common: Common,
    /// What it reads, in the order of the kind's declaration.
    pub(super) links: Vec<Link>,
}

/// One thing that a stage reads.
pub(super) struct Link {
    pub(super) input: &'static Input,
    pub(super) target: Target,
    /// Where the reference was written; none for wires of a composite.
    pub(super) span: Option<Span>,
}

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A unit, by index.
    Unit(usize),
    /// A file or folder; absolute.
    Path(PathBuf),
}

/// Everything that is known of a unit in all of its cells.
pub(super) struct Settlement {
    /// By the indices of the values of the unit's own axes, in the order of the axes.
    pub(super) by_cell: BTreeMap<Vec<u32>, Settled>,
}

/// A cell's coordinates on some axes.
pub(super) fn project<'a>(cell: &[u32], axes: impl IntoIterator<Item = &'a usize>) -> Vec<u32> {
    axes.into_iter().map(|axis| cell[*axis]).collect()
}

/// Settles a unit's fields in each cell that differs for it.
pub(super) fn settle(unit: &Unit<'_>, units: &Units<'_>, space: &Space<'_>, problems: &mut Problems) -> Settlement {
    let mut by_cell = BTreeMap::new();
    let mut unused = Unused::default();
    if unit.kind.gathers && !unit.axes.is_empty() {
        for node in unit.fields.values().filter(|node| !space.mentioned(node).is_empty()) {
            let problem = Problem::error(format!("a stage of kind `{}` cannot mention variables", unit.kind.name));
            let problem = problem.at(&node.span, "a value without variables is expected");
            problems.push(problem.help("it takes all cells of its inputs at once, and so is not in any one of them"));
        }
        return Settlement { by_cell };
    }
    for cell in &space.cells {
        let coordinates = project(cell, &unit.axes);
        if by_cell.contains_key(&coordinates) {
            continue;
        }
        let lookup = |name: &str| space.value(cell, name);
        let known = unit.fields.iter().filter(|(_, node)| space.is_known(node, cell));
        let filled: BTreeMap<&'static str, Node> = known.map(|(name, node)| (*name, fill(node, &lookup))).collect();
        let settled = Settled {
            parameters: settle_parameters(unit.kind, &filled, problems),
            common: Common::read(&filled, problems),
            links: settle_links(unit, &filled, units, problems),
        };
        check_fit(unit, &settled, &filled, problems, &mut unused);
        by_cell.insert(coordinates, settled);
    }
    unused.tell(by_cell.len(), units, problems);
    Settlement { by_cell }
}

fn settle_parameters(
    kind: &'static Kind,
    filled: &BTreeMap<&'static str, Node>,
    problems: &mut Problems,
) -> BTreeMap<String, Value> {
    let mut parameters = BTreeMap::new();
    for parameter in kind.parameters {
        let value = match filled.get(parameter.name) {
            Some(node) => check(node, &parameter.shape, parameter.name, problems).map(|value| named(parameter, value)),
            None => parameter.default_value(),
        };
        if let Some(value) = value {
            parameters.insert(parameter.name.to_owned(), parameter.in_order(value));
        }
    }
    parameters
}

/// What the fields of a stage say, as its kind sees it.
pub(super) fn chosen<'a>(kind: &'a Kind, settled: &'a Settled) -> Chosen<'a> {
    let mut inputs: BTreeMap<&str, usize> = BTreeMap::new();
    for link in &settled.links {
        *inputs.entry(link.input.name).or_default() += 1;
    }
    Chosen { kind, parameters: &settled.parameters, inputs }
}

/// Asks the kind what does not fit together, where everything is there that a recipe must say.
fn check_fit(
    unit: &Unit<'_>,
    settled: &Settled,
    filled: &BTreeMap<&'static str, Node>,
    problems: &mut Problems,
    unused: &mut Unused,
) {
    let Some(fits) = unit.kind.fits else { return };
    let is_there = |parameter: &&Parameter| settled.parameters.contains_key(parameter.name);
    let mut wanted = unit.kind.parameters.iter().filter(|parameter| {
        filled.contains_key(parameter.name)
            || parameter.default_value().is_some()
            || matches!(parameter.default, Default::Required)
    });
    // An input that is written, but names nothing that is there, was reported already.
    let is_given = |input: &Input| settled.links.iter().any(|link| link.input.name == input.name);
    let mut written = unit.kind.inputs.iter().filter(|input| unit.fields.contains_key(input.name));
    if !wanted.all(|parameter| is_there(&parameter)) || !written.all(|input| is_given(input) || is_empty(filled, input))
    {
        return;
    }
    for mismatch in fits(&chosen(unit.kind, settled)) {
        let problem = mismatched(&mismatch, unit, filled);
        match mismatch.is_error {
            true => problems.push(problem),
            false => unused.add(mismatch.field, problem),
        }
    }
}

/// Fields that are passed over, with the number of cells in which they are.
#[derive(Default)]
struct Unused(BTreeMap<&'static str, (usize, Option<Problem>)>);

impl Unused {
    fn add(&mut self, field: &'static str, problem: Problem) {
        let (count, first) = self.0.entry(field).or_default();
        *count += 1;
        first.get_or_insert(problem);
    }

    /// Says which fields no cell has any use for. What a base recipe says cannot be left out in a recipe that extends it.
    fn tell(self, cells: usize, units: &Units<'_>, problems: &mut Problems) {
        let is_own = |problem: &Problem| {
            let place = problem.span.as_ref();
            place.is_some_and(|span| span.source == units.recipe.source || is_setting(span))
        };
        let everywhere = self.0.into_values().filter(|(count, _)| *count == cells).filter_map(|(_, problem)| problem);
        everywhere.filter(is_own).for_each(|problem| problems.push(problem));
    }
}

fn is_empty(filled: &BTreeMap<&'static str, Node>, input: &Input) -> bool {
    filled.get(input.name).and_then(Node::as_list).is_some_and(<[Node]>::is_empty)
}

/// What does not fit, where it was written; a default that does not fit is shown at the stage's kind.
pub(super) fn mismatched(mismatch: &Mismatch, unit: &Unit<'_>, filled: &BTreeMap<&'static str, Node>) -> Problem {
    let problem = match mismatch.is_error {
        true => Problem::error(&*mismatch.problem),
        false => Problem::warning(&*mismatch.problem),
    };
    match filled.get(mismatch.field) {
        Some(node) => problem.at(&node.span, &*mismatch.right),
        None => {
            let kind = unit.stage.fields.value("kind").map_or(&unit.stage.span, |kind| &kind.span);
            problem.at(kind, &*mismatch.right)
        }
    }
}

/// Of a parameter that is a file only the name is a value; where it lies is a matter of its input.
fn named(parameter: &Parameter, value: Value) -> Value {
    match value.as_str() {
        Some(text) if parameter.is_file(text) => {
            Value::from(text.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default())
        }
        _ => value,
    }
}

/// The files that parameters name.
fn link_files(unit: &Unit<'_>, filled: &BTreeMap<&'static str, Node>, links: &mut Vec<Link>) {
    for parameter in unit.kind.parameters {
        if let (Some(input), Some(node)) = (parameter.file, filled.get(parameter.name))
            && let Some(text) = node.as_text().filter(|text| parameter.is_file(text))
        {
            let (target, span) = (Target::Path(resolve_path(text, &node.span)), Some(node.span.clone()));
            links.push(Link { input, target, span });
        }
    }
}

fn settle_links(
    unit: &Unit<'_>,
    filled: &BTreeMap<&'static str, Node>,
    units: &Units<'_>,
    problems: &mut Problems,
) -> Vec<Link> {
    let mut links = Vec::new();
    for input in unit.kind.inputs {
        if let Some(part) = unit.wires.get(input.name) {
            links.extend(units.by_name.get(part).map(|index| Link { input, target: Target::Unit(*index), span: None }));
            continue;
        }
        let Some(node) = filled.get(input.name) else { continue };
        let single = std::slice::from_ref(node);
        let (list, is_list) = node.as_list().map_or((single, false), |list| (list, true));
        if is_list && (!input.count.takes_list() || list.is_empty() && input.count.is_required()) {
            let problem = Problem::error(match input.count {
                Count::Many => format!("`{}` names nothing", input.name),
                _ => format!("`{}` takes one artifact, but this is a list", input.name),
            });
            problems.push(problem.at(&node.span, expected(input)));
            continue;
        }
        for node in list {
            let reference = Reference { unit, input, node, units };
            let span = node.as_table().and_then(|table| table.value("path")).map_or(&node.span, |path| &path.span);
            links.extend(reference.follow(problems).map(|target| Link { input, target, span: Some(span.clone()) }));
        }
    }
    link_files(unit, filled, &mut links);
    links
}

fn expected(input: &Input) -> String {
    let what = if input.is_path { "a path" } else { "the name of a stage, or { path = \"...\" }," };
    match input.count {
        Count::Many | Count::Any => format!("{what} is expected, or a list of these"),
        _ => format!("{what} is expected"),
    }
}

/// A value that says what an input is.
struct Reference<'a, 'r> {
    unit: &'a Unit<'r>,
    input: &'static Input,
    node: &'a Node,
    units: &'a Units<'r>,
}

impl Reference<'_, '_> {
    fn follow(&self, problems: &mut Problems) -> Option<Target> {
        let path = match &self.node.data {
            Data::Text(path) if self.input.is_path => Some(path),
            Data::Text(name) => return self.find(name, problems),
            Data::Table(table) => match (table.0.as_slice(), table.value("path").map(|node| &node.data)) {
                ([_], Some(Data::Text(path))) => Some(path),
                _ => None,
            },
            _ => None,
        };
        if let Some(path) = path.filter(|path| !path.is_empty()) {
            return Some(Target::Path(resolve_path(path, &self.node.span)));
        }
        let problem = Problem::error(format!("`{}` does not name an artifact", self.input.name));
        problems.push(self.place(problem, expected(self.input)));
        None
    }

    /// Points at the reference, and at the matrix value where that gave it.
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
            let problem = Problem::error(format!("stage `{}` names itself as its `{}`", unit.stage.name, input.name));
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
        let is = format!("`{name}` is of kind `{}`, which provides {}", found.kind.name, known(provided));
        let problem = self.place(problem, label).help(is);
        match self.providers() {
            right if right.is_empty() => problem.help(format!("no stage here provides `{}`", input.accepts.name)),
            right => problem.help(format!("stages that provide `{}`: {}", input.accepts.name, known(right))),
        }
    }

    fn providers(&self) -> Vec<&str> {
        let provides = |kind: &Kind| kind.provides.iter().any(|provided| self.input.accepts.takes(provided));
        let others = self.units.list.iter().filter(|other| other.stage.name != self.unit.stage.name);
        others.filter(|other| provides(other.kind)).map(|other| &*other.name).collect()
    }

    fn unknown(&self, name: &str) -> Problem {
        let problem = Problem::error(format!("there is no stage `{}`", shortened(name)));
        let label = format!("the name of a stage that provides `{}` is expected", self.input.accepts.name);
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
