//! From a recipe to its plan: all checks, then a node for every cell that differs.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::graph::{DiGraph, NodeIndex};

use super::{
    common::read_device,
    graph::{Plan, PlannedInput, PlannedStage, Source},
    order::order_units,
    resolved::resolved,
    settle::{Link, Settled, Settlement, Target, chosen, mismatched, project, settle},
    space::{Space, check_variables},
    unit::{Unit, Units, check_settings},
};
use crate::{
    diagnostic::{self, Problem, Problems, Span},
    recipe::{
        Node, Recipe, missing_file,
        schema::{Catalogue, Gathered, Lack},
    },
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
    let space = Space::new(recipe, &mut problems);
    check_variables(recipe, &space, &mut problems);
    let units = Units::read(recipe, catalogue, &space, &mut problems);
    check_settings(recipe, &units, &space, &mut problems);
    if let Some(problem) = too_many(units.list.iter().map(|unit| space.most_cells(&unit.axes)).sum(), recipe) {
        problems.push(problem);
        return Err(problems);
    }
    let settlements: Vec<Settlement> =
        units.list.iter().map(|unit| settle(unit, &units, &space, &mut problems)).collect();
    check_files(&settlements, &mut problems);
    check_lacks(&units, &settlements, &space, &mut problems);
    let order = order_units(&units, &settlements, &mut problems);
    if problems.errors() > 0 {
        return Err(problems);
    }
    let mut expansion = Expansion::new(recipe, &space, &units, &settlements, device);
    for index in order {
        expansion.add(index, &mut problems);
        if expansion.most > MOST_STAGES {
            return Err(problems);
        }
        expansion.check_gathered(index, &mut problems);
    }
    if problems.errors() > 0 {
        return Err(problems);
    }
    let Expansion { graph, order, .. } = expansion;
    let resolved = resolved(recipe, catalogue);
    Ok(Plan { recipe: recipe.name.clone(), graph, order, resolved, warnings: problems })
}

/// The most stages of a plan: each takes some 8 kB of memory.
const MOST_STAGES: usize = 250_000;

/// Says where there are more stages than a plan may have, before they take memory.
fn too_many(count: usize, recipe: &Recipe) -> Option<Problem> {
    let (cells, seeds) = (recipe.matrix.cells.len(), recipe.seeds.as_ref().map_or(1, Vec::len));
    let problem =
        Problem::error(format!("with {cells} cells of the matrix and {seeds} seeds this plan has {count} stages"));
    let span = recipe.matrix.variables.first().map(|variable| &variable.span).or(recipe.seeds_span.as_ref());
    let start = Span::new(&recipe.source, 0..0);
    let problem = problem.at(span.unwrap_or(&start), format!("at most {MOST_STAGES} stages are possible"));
    (count > MOST_STAGES).then(|| problem.help("name fewer seeds or values, or make several recipes of it"))
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

/// Says where a stage reads what another one does not leave with the parameters that it has in the same cell.
fn check_lacks(units: &Units<'_>, settlements: &[Settlement], space: &Space<'_>, problems: &mut Problems) {
    let lack = |target: usize, settled: &Settled, link: &Link| {
        chosen(units.list[target].kind, settled).lack(link.input.accepts)
    };
    // Few kinds leave one thing or another; only their cells are looked at one by one.
    let can_lack: Vec<bool> = units.list.iter().map(|unit| unit.kind.lacks.is_some()).collect();
    for (index, unit) in units.list.iter().enumerate() {
        let links = settlements[index].by_cell.values().flat_map(|settled| &settled.links);
        let reads = |link: &Link| matches!(link.target, Target::Unit(target) if can_lack[target]);
        if !links.into_iter().any(reads) {
            continue;
        }
        let mut seen = BTreeSet::new();
        for cell in &space.cells {
            // A kind that gathers is settled once, and reads all cells.
            let Some(settled) = settlements[index].by_cell.get(&project(cell, &unit.axes)) else { continue };
            for link in settled.links.iter().filter(|link| reads(link)) {
                let Target::Unit(target) = link.target else { continue };
                let coordinates = project(cell, &units.list[target].axes);
                let Some(other) = settlements[target].by_cell.get(&coordinates) else { continue };
                if seen.insert((link.input.name, target, coordinates))
                    && let Some(lack) = lack(target, other, link)
                {
                    problems.push(lacking(unit, link, &units.list[target], &lack));
                }
            }
        }
    }
}

fn lacking(unit: &Unit<'_>, link: &Link, other: &Unit<'_>, lack: &Lack) -> Problem {
    let (input, name) = (link.input.name, &other.name);
    let problem = format!("`{input}` cannot be `{name}`, which leaves no `{}` {}", lack.artifact, lack.why);
    let span = link.span.as_ref().unwrap_or(&unit.stage.span);
    let problem = Problem::error(problem).at(span, format!("a stage that leaves `{}` is expected", lack.artifact));
    problem.help(format!("in `{name}`: {}", lack.right))
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
    recipe: &'r Recipe,
    /// How many stages there are at most so far.
    most: usize,
}

impl<'a, 'r> Expansion<'a, 'r> {
    fn new(
        recipe: &'r Recipe,
        space: &'a Space<'r>,
        units: &'a Units<'r>,
        settlements: &'a [Settlement],
        device: Option<&'a str>,
    ) -> Self {
        let cells = units.list.iter().map(|_| Cells::default()).collect();
        let (axes, graph, order) = (Vec::new(), DiGraph::new(), Vec::new());
        Self { space, units, settlements, device, cells, axes, graph, order, recipe, most: 0 }
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
        self.most += self.space.most_cells(&axes);
        if let Some(problem) = too_many(self.most, self.recipe) {
            problems.push(problem);
            return;
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

    /// Asks a kind that gathers whether its parameters suit the cells that it was given.
    fn check_gathered(&self, index: usize, problems: &mut Problems) {
        let unit = &self.units.list[index];
        let (Some(suits), Some(settled)) = (unit.kind.suits, self.settlements[index].by_cell.values().next()) else {
            return;
        };
        for stage in self.cells[index].list.iter().map(|node| &self.graph[*node]) {
            let cells = stage.inputs.iter().filter_map(|input| {
                let from = &self.graph[input.source.stage()?];
                Some(Gathered { input: input.name, name: &from.name, stage: &from.stage, cell: &from.cell })
            });
            let cells: Vec<Gathered<'_>> = cells.collect();
            // Files have names of their own, which say nothing of a matrix.
            if cells.len() < stage.inputs.len() {
                return;
            }
            let fields: BTreeMap<&'static str, Node> =
                unit.fields.iter().map(|(name, node)| (*name, (*node).clone())).collect();
            for mismatch in suits(&chosen(unit.kind, settled), &cells) {
                problems.push(mismatched(&mismatch, unit, &fields));
            }
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
                inputs.push(PlannedInput { name, accepts, source, span: link.span.clone(), label });
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

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::plan::example::{CATALOGUE, outline, plan_text, try_plan};

    const SWEEP: &str = r#"
        seeds = [0, 7]
        [matrix]
        algorithm = ["dpo", "ipo"]
        size = [1, 2]
        [defaults.tune]
        beta = 0.5
        [stage.base]
        kind = "make"
        size = "${matrix.size}"
        [stage.plain]
        kind = "evaluate"
        model = "base"
        [stage.tuned]
        kind = "tune"
        model = "base"
        algorithm = "${matrix.algorithm}"
        note = "a ${matrix.algorithm} of size ${matrix.size}"
        [stage.scores]
        kind = "evaluate"
        model = "tuned"
        [stage.table]
        kind = "compare"
        scores = ["plain", "scores"]
    "#;

    #[test]
    fn stages_are_repeated_over_what_they_depend_on_and_nothing_else() {
        let settings = ["seeds=[0]", "stage.table.scores=[\"plain\"]"];
        expect![[r#"
            base@size=1 <- 
            base@size=2 <- 
            plain/sample@size=1,seed=0 <- base@size=1
            plain/sample@size=2,seed=0 <- base@size=2
            plain@size=1,seed=0 <- plain/sample@size=1,seed=0
            plain@size=2,seed=0 <- plain/sample@size=2,seed=0
            tuned@algorithm=dpo,size=1,seed=0 <- base@size=1
            tuned@algorithm=dpo,size=2,seed=0 <- base@size=2
            tuned@algorithm=ipo,size=1,seed=0 <- base@size=1
            tuned@algorithm=ipo,size=2,seed=0 <- base@size=2
            scores/sample@algorithm=dpo,size=1,seed=0 <- tuned@algorithm=dpo,size=1,seed=0
            scores/sample@algorithm=dpo,size=2,seed=0 <- tuned@algorithm=dpo,size=2,seed=0
            scores/sample@algorithm=ipo,size=1,seed=0 <- tuned@algorithm=ipo,size=1,seed=0
            scores/sample@algorithm=ipo,size=2,seed=0 <- tuned@algorithm=ipo,size=2,seed=0
            scores@algorithm=dpo,size=1,seed=0 <- scores/sample@algorithm=dpo,size=1,seed=0
            scores@algorithm=dpo,size=2,seed=0 <- scores/sample@algorithm=dpo,size=2,seed=0
            scores@algorithm=ipo,size=1,seed=0 <- scores/sample@algorithm=ipo,size=1,seed=0
            scores@algorithm=ipo,size=2,seed=0 <- scores/sample@algorithm=ipo,size=2,seed=0
            table <- plain@size=1,seed=0 plain@size=2,seed=0
        "#]]
        .assert_eq(&outline(&plan_text(SWEEP, &settings)));
    }

    #[test]
    fn a_stage_that_gathers_takes_all_cells_with_their_names() {
        let plan = plan_text(SWEEP, &[]);
        let table = plan.order.iter().map(|node| &plan.graph[*node]).find(|stage| stage.stage == "table").unwrap();
        assert_eq!(table.name, "table");
        assert_eq!(table.inputs.len(), 2 * 2 + 2 * 2 * 2);
        let label = |index: usize| table.inputs[index].label.clone().unwrap();
        assert_eq!(label(0), "plain@size=1,seed=0");
        assert_eq!(label(11), "scores@algorithm=ipo,size=2,seed=7");
    }

    #[test]
    fn variables_and_defaults_reach_the_parameters() {
        let plan = plan_text(SWEEP, &["stage.tuned.timeout=2 min"]);
        let name = "tuned@algorithm=ipo,size=2,seed=7";
        let stage = plan.graph.node_weights().find(|stage| stage.name == name).unwrap();
        let parameters = serde_json::to_string(&stage.parameters).unwrap();
        expect![[r#"{"algorithm":"ipo","batch":8,"beta":0.5,"note":"a ipo of size 2"}"#]].assert_eq(&parameters);
        assert_eq!((stage.seed, stage.cell["size"].as_i64(), stage.cell["seed"].as_i64()), (Some(7), Some(2), Some(7)));
        assert_eq!(stage.timeout.unwrap().as_secs(), 120);
        assert_eq!(stage.device.as_deref(), Some("cpu"));
    }

    #[test]
    fn without_seeds_names_have_none_and_seed_0_is_used() {
        let plan = plan_text("[stage.a]\nkind = \"make\"\n[stage.b]\nkind = \"sample\"\nmodel = \"a\"\n", &[]);
        let stage = &plan.graph[plan.order[1]];
        assert_eq!((&*stage.name, stage.seed, stage.cell.len()), ("b", Some(0), 0));
    }

    #[test]
    fn excluded_included_and_zipped_cells() {
        let recipe = r#"
            [stage.a]
            kind = "tune"
            model = "b"
            algorithm = "${matrix.algorithm}"
            batch = "${matrix.batch}"
            note = "${matrix.note}"
            [stage.b]
            kind = "make"
            [matrix]
            algorithm = ["dpo", "ipo"]
            note = ["x", "y z"]
            batch = [1, 2]
            zip = [["algorithm", "batch"]]
            exclude = [{ algorithm = "dpo", note = "x" }]
            include = [{ algorithm = "dpo", note = "", batch = 9 }]
        "#;
        expect![[r#"
            b <- 
            a@algorithm=dpo,note="y z",batch=1 <- b
            a@algorithm=ipo,note=x,batch=2 <- b
            a@algorithm=ipo,note="y z",batch=2 <- b
            a@algorithm=dpo,note="",batch=9 <- b
        "#]]
        .assert_eq(&outline(&plan_text(recipe, &[])));
    }

    #[test]
    fn cells_depend_on_what_they_name_and_not_on_what_others_name() {
        let recipe = r#"
            seeds = [0, 1]
            [matrix]
            model = ["made", "tuned"]
            [stage.made]
            kind = "make"
            [stage.tuned]
            kind = "tune"
            model = "made"
            [stage.copy]
            kind = "make"
            base = "${matrix.model}"
        "#;
        expect![[r#"
            made <- 
            tuned@seed=0 <- made
            tuned@seed=1 <- made
            copy@model=made <- made
            copy@model=tuned,seed=0 <- tuned@seed=0
            copy@model=tuned,seed=1 <- tuned@seed=1
        "#]]
        .assert_eq(&outline(&plan_text(recipe, &[])));
    }

    #[test]
    fn the_resolved_recipe_gives_the_same_plan() {
        let plan = plan_text(SWEEP, &["stage.tuned.note=costs $${HOME}", "stage.base.data=/"]);
        let again = plan_text(plan.resolved.strip_prefix("name = \"x\"\n").unwrap(), &[]);
        assert_eq!(again.resolved, plan.resolved);
        let stages = |plan: &crate::plan::Plan| {
            let parts =
                plan.graph.node_weights().map(|stage| (stage.name.clone(), stage.parameters.clone(), stage.seed));
            parts.collect::<Vec<_>>()
        };
        assert_eq!(stages(&again), stages(&plan));
        assert_eq!(outline(&again), outline(&plan));
        expect![[r#"
            name = "x"
            seeds = [0, 7]

            [matrix]
            algorithm = ["dpo", "ipo"]
            size = [1, 2]

            [stage.base]
            kind = "make"
            size = "${matrix.size}"
            data = "/"

            [stage.plain]
            kind = "evaluate"
            model = "base"

            [stage.tuned]
            kind = "tune"
            model = "base"
            algorithm = "${matrix.algorithm}"
            note = "costs $${HOME}"
            beta = 0.5
            batch = 8

            [stage.scores]
            kind = "evaluate"
            model = "tuned"

            [stage.table]
            kind = "compare"
            scores = ["plain", "scores"]
        "#]]
        .assert_eq(&plan.resolved);
    }

    #[test]
    fn ten_thousand_stages() {
        let numbers: Vec<String> = (1..=100).map(|number| number.to_string()).collect();
        let recipe = format!(
            "[matrix]\nbatch = [{}]\nnote = [\"{}\"]\n[stage.a]\nkind = \"make\"\n[stage.b]\nkind = \"tune\"\n\
             model = \"a\"\nbeta = \"${{matrix.batch}}\"\nnote = \"${{matrix.note}}\"\n\
             [stage.c]\nkind = \"sample\"\nmodel = \"b\"\n",
            numbers.join(", "),
            numbers.join("\", \""),
        );
        assert!(try_plan(&recipe, &[]).unwrap_err().errors() == 91, "beta above 9 is out of range");
        let recipe = recipe.replace("\"${matrix.batch}\"", "1").replace("note = \"${", "note = \"${matrix.batch}-${");
        let plan = plan_text(&recipe, &[]);
        assert_eq!((plan.graph.node_count(), plan.graph.edge_count()), (20_001, 20_000));
        assert_eq!(plan.graph[plan.order[20_000]].name, "c@batch=100,note=100");
    }

    #[test]
    fn names_of_stages_choose_cells_and_parts() {
        let plan = plan_text(SWEEP, &[]);
        let count = |name: &str| plan.select("--until", &[name.to_owned()]).map(|chosen| chosen.len());
        assert_eq!(count("tuned"), Ok(8));
        assert_eq!(count("plain"), Ok(4 + 4));
        assert_eq!(count("plain/sample"), Ok(4));
        assert_eq!(count("base@size=2"), Ok(1));
        let chosen = plan.select("--until", &["tuned@algorithm=dpo,size=2,seed=0".to_owned()]).unwrap();
        assert_eq!(plan.with_needs(&chosen).len(), 2);
        expect![[r#"
            error: there is no stage `tunde`
             --> --until:1:1
              |
            1 | tunde
              | ^^^^^ the name of a stage is expected
              |
              = help: did you mean `tuned`? known stages: `base`, `plain/sample`, `plain`, `tuned`, `scores/sample`, `scores` and `table`

            1 error
        "#]].assert_eq(&count("tunde").unwrap_err().render(false));
    }

    #[test]
    fn kinds_and_composites_of_the_catalogue_are_found() {
        assert_eq!(CATALOGUE.find("evaluate").unwrap().field_names()[..2], ["model", "n"]);
        assert!(CATALOGUE.find("evaluat").is_none());
    }
}
