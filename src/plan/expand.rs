//! From a recipe to its plan: all checks, then a node for every cell that differs.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::graph::{DiGraph, NodeIndex};

use super::{
    common::read_device,
    graph::{Plan, PlannedInput, PlannedStage, Source},
    order::order_units,
    resolved::resolved,
    settle::{Settled, Settlement, Target, project, settle},
    space::{Space, check_variables},
    unit::{Unit, Units},
};
use crate::{
    diagnostic::{self, Problem, Problems, Span},
    recipe::{Recipe, missing_file, schema::Catalogue},
};

/// Plans a recipe: compares it with the kinds of stage that there are, takes composites apart, and repeats each stage over
/// those coordinates of matrix and seeds on which it depends.
///
/// `device`, where given, holds for all stages that run on one. Nothing is opened; only whether the files exist that the
/// recipe names is looked up.
///
/// # Errors
/// All problems of the recipe, those of [`Recipe::problems`] included. Where there are only warnings, the plan has them.
pub fn plan(recipe: &Recipe, catalogue: &Catalogue, device: Option<&str>) -> Result<Plan, Problems> {
    let mut problems = recipe.problems.clone();
    if let Some(device) = device {
        let span = Span::whole(&diagnostic::Source::new("--device", device));
        read_device(device, &span, &mut problems);
    }
    let space = Space::new(recipe);
    check_variables(recipe, &space, &mut problems);
    let units = Units::read(recipe, catalogue, &space, &mut problems);
    let settlements: Vec<Settlement> =
        units.list.iter().map(|unit| settle(unit, &units, &space, &mut problems)).collect();
    check_files(&settlements, &mut problems);
    let order = order_units(&units, &settlements, &mut problems);
    if problems.errors() > 0 {
        return Err(problems);
    }
    let mut expansion = Expansion::new(&space, &units, &settlements, device);
    for index in order {
        expansion.add(index, &mut problems);
    }
    if problems.errors() > 0 {
        return Err(problems);
    }
    let Expansion { graph, order, .. } = expansion;
    let resolved = resolved(recipe, catalogue);
    Ok(Plan { recipe: recipe.name.clone(), graph, order, resolved, warnings: problems })
}

fn check_files(settlements: &[Settlement], problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    let settled = settlements.iter().flat_map(|settlement| settlement.by_cell.values());
    for link in settled.flat_map(|settled| &settled.links) {
        if let (Target::Path(path), Some(span)) = (&link.target, &link.span)
            && seen.insert((path, &span.source.path, span.range.start))
            && let Some(problem) = missing_file(path, span)
        {
            problems.push(problem);
        }
    }
}

/// The cells of one unit.
#[derive(Default)]
struct Cells {
    /// The axes that can matter to it: its own, and those of all that it can refer to.
    axes: BTreeSet<usize>,
    /// By the coordinates on these axes.
    by_cell: BTreeMap<Vec<u32>, NodeIndex>,
    /// By the coordinates that do matter, since what is referred to can differ from cell to cell.
    by_coordinates: BTreeMap<Vec<(usize, u32)>, NodeIndex>,
    /// In the order of the matrix.
    list: Vec<NodeIndex>,
}

struct Expansion<'a, 'r> {
    space: &'a Space<'r>,
    units: &'a Units<'r>,
    settlements: &'a [Settlement],
    device: Option<&'a str>,
    cells: Vec<Cells>,
    /// For each node the axes that matter to it.
    axes: Vec<BTreeSet<usize>>,
    graph: DiGraph<PlannedStage, ()>,
    order: Vec<NodeIndex>,
}

impl<'a, 'r> Expansion<'a, 'r> {
    fn new(space: &'a Space<'r>, units: &'a Units<'r>, settlements: &'a [Settlement], device: Option<&'a str>) -> Self {
        let cells = units.list.iter().map(|_| Cells::default()).collect();
        let (axes, graph, order) = (Vec::new(), DiGraph::new(), Vec::new());
        Self { space, units, settlements, device, cells, axes, graph, order }
    }

    /// Adds all cells of a unit; those that it refers to are there already.
    fn add(&mut self, index: usize, problems: &mut Problems) {
        let unit = &self.units.list[index];
        let settled = self.settlements[index].by_cell.values();
        let mut axes = unit.axes.clone();
        if !unit.kind.gathers {
            for link in settled.flat_map(|settled| &settled.links) {
                if let Target::Unit(target) = link.target {
                    axes.extend(&self.cells[target].axes);
                }
            }
        }
        self.cells[index].axes = axes;
        for cell in &self.space.cells {
            let coordinates = project(cell, &self.cells[index].axes);
            if self.cells[index].by_cell.contains_key(&coordinates) {
                continue;
            }
            let node = self.add_cell(index, cell, problems);
            self.cells[index].by_cell.insert(coordinates, node);
        }
    }

    fn add_cell(&mut self, index: usize, cell: &[u32], problems: &mut Problems) -> NodeIndex {
        let unit = &self.units.list[index];
        let settled = &self.settlements[index].by_cell[&project(cell, &unit.axes)];
        let inputs = self.bind(unit, settled, cell, problems);
        let mut axes = unit.axes.clone();
        let needs: Vec<NodeIndex> = inputs.iter().filter_map(|input| input.source.stage()).collect();
        if !unit.kind.gathers {
            axes.extend(needs.iter().flat_map(|node| &self.axes[node.index()]));
        }
        let coordinates: Vec<(usize, u32)> = axes.iter().map(|axis| (*axis, cell[*axis])).collect();
        if let Some(same) = self.cells[index].by_coordinates.get(&coordinates) {
            return *same;
        }
        let common = settled.common.clone();
        let device = unit.kind.on_device.then(|| self.device.map_or(common.device, str::to_owned));
        let node = self.graph.add_node(PlannedStage {
            name: self.space.name(&unit.name, cell, &axes),
            stage: unit.name.clone(),
            cell: self.space.coordinates(cell, &axes).into_iter().collect(),
            kind: unit.kind,
            parameters: settled.parameters.clone(),
            inputs,
            seed: unit.kind.draws.then(|| if unit.kind.gathers { 0 } else { self.space.seed_of(cell) }),
            device,
            resources: common.resources,
            retries: common.retries,
            timeout: common.timeout,
        });
        for needed in needs.into_iter().collect::<BTreeSet<_>>() {
            self.graph.add_edge(needed, node, ());
        }
        self.axes.push(axes);
        self.order.push(node);
        self.cells[index].list.push(node);
        self.cells[index].by_coordinates.insert(coordinates, node);
        node
    }

    /// Links a cell's inputs: to the cells with the same coordinates, or for a kind that gathers to all.
    fn bind(&self, unit: &Unit<'_>, settled: &Settled, cell: &[u32], problems: &mut Problems) -> Vec<PlannedInput> {
        let mut inputs = Vec::new();
        for link in &settled.links {
            let (name, accepts) = (link.input.name, link.input.accepts);
            let mut push = |source: Source, label: Option<String>| {
                inputs.push(PlannedInput { name, accepts, source, label });
            };
            match &link.target {
                Target::Path(path) => push(Source::Path(path.clone()), None),
                Target::Unit(target) if unit.kind.gathers => {
                    let list = &self.cells[*target].list;
                    if !link.input.count.takes_list() && list.len() != 1 {
                        let target = &self.units.list[*target].name;
                        let problem = format!("`{name}` takes one artifact, but `{target}` has {} cells", list.len());
                        let span = link.span.as_ref().unwrap_or(&unit.stage.span);
                        problems.push(Problem::error(problem).at(span, "a stage with a single cell is expected"));
                    }
                    list.iter().for_each(|node| push(Source::Stage(*node), Some(self.graph[*node].name.clone())));
                }
                Target::Unit(target) => {
                    let cells = &self.cells[*target];
                    push(Source::Stage(cells.by_cell[&project(cell, &cells.axes)]), None);
                }
            }
        }
        inputs
    }
}
