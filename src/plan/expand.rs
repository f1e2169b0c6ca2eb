//! Expands a recipe into its plan: all checks, then one node per distinct cell.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use petgraph::graph::{DiGraph, NodeIndex};

use super::{
    execution_options::read_device,
    executor_settings::ExecutorSettings,
    graph::{InputSource, Plan, PlannedInput, PlannedStage},
    order::order_units,
    resolve::{
        ResolvedFields, ResolvedInput, ResolvedStage, Target, chosen, mismatched, project, resolve,
    },
    resolved::resolved,
    space::{Space, check_variables},
    unit::{FilledFields, Unit, Units, check_settings},
    unnamed::check_tables,
};
use crate::{
    device::DeviceNames,
    diagnostic::{self, Problem, Problems, Span},
    recipe::{
        Recipe, RemoteSettings, missing_file,
        schema::{Catalogue, InputCell, Lack},
        side_by_side,
    },
    rows::Cell,
};

/// Plans a recipe: checks it against the kinds of stage, expands composites, and repeats each stage
/// over the matrix variables and seeds that it depends on.
///
/// `device` overrides the device of all stages that have one. Pure except for checking that the
/// recipe's files exist.
///
/// # Errors
/// All problems of the recipe, including [`Recipe::problems`]. Warnings alone are returned with the
/// plan.
pub fn plan(
    recipe: &Recipe,
    catalogue: &Catalogue,
    device: Option<&str>,
) -> Result<Plan, Problems> {
    let plan = plan_without_text(recipe, catalogue, device)?;
    Ok(Plan { resolved: resolved(recipe, catalogue), ..plan })
}

/// The same without the text of the resolved recipe, which only runs need.
///
/// # Errors
/// As [`plan`].
pub fn plan_without_text(
    recipe: &Recipe,
    catalogue: &Catalogue,
    device: Option<&str>,
) -> Result<Plan, Problems> {
    let mut problems = recipe.problems.clone();
    let device = device.and_then(|device| {
        let span = Span::whole(&diagnostic::Source::new("--device", device));
        read_device(device, &span, &mut problems)
    });
    let executor = ExecutorSettings::read(recipe.executor.as_ref(), catalogue, &mut problems);
    let remote = RemoteSettings::read(recipe.remote.as_ref(), &mut problems);
    let space = Space::new(recipe, &mut problems);
    check_variables(recipe, &space, &mut problems);
    let units = Units::read(recipe, catalogue, &space, &mut problems);
    check_settings(recipe, &units, &space, &mut problems);
    if let Some(problem) =
        too_many(units.list.iter().map(|unit| space.most_cells(&unit.axes)).sum(), recipe)
    {
        problems.push(problem);
        return Err(problems);
    }
    let resolved_stages = resolve_all(&units, &space, &mut problems);
    check_files(&resolved_stages, &mut problems);
    check_tables(recipe, &units, &resolved_stages, &mut problems);
    check_lacks(&units, &resolved_stages, &space, &mut problems);
    let order = order_units(&units, &resolved_stages, &mut problems);
    if problems.errors() > 0 {
        return Err(problems);
    }
    let mut expansion = Expansion::new(recipe, &space, &units, &resolved_stages, device);
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
    let (recipe, description, resolved) =
        (recipe.name.clone(), recipe.description(), String::new());
    Ok(Plan { recipe, description, graph, order, executor, remote, resolved, warnings: problems })
}

/// Each unit in all of its cells.
fn resolve_all(
    units: &Units<'_>,
    space: &Space<'_>,
    problems: &mut Problems,
) -> Vec<ResolvedStage> {
    /// Units that one thread resolves in a row.
    const IN_A_ROW: usize = 1000;
    let chunks: Vec<&[Unit<'_>]> = units.list.chunks(IN_A_ROW).collect();
    let resolved = side_by_side(&chunks, |chunk| {
        let mut own = Problems::default();
        let all = chunk.iter().map(|unit| {
            let resolved = resolve(unit, units, space, &mut own);
            // Suggestions take long to find; the first problem is enough.
            own.is_empty().then_some(resolved)
        });
        all.collect::<Option<Vec<ResolvedStage>>>()
    });
    match resolved.into_iter().collect::<Option<Vec<_>>>() {
        Some(resolved) => resolved.into_iter().flatten().collect(),
        // A limited number of problems is kept, in the order of the recipe.
        None => units.list.iter().map(|unit| resolve(unit, units, space, problems)).collect(),
    }
}

/// Maximum number of stages; each takes about 5.5 kB of memory.
const MOST_STAGES: usize = 250_000;

/// Reports a plan with too many stages before it takes memory.
fn too_many(count: usize, recipe: &Recipe) -> Option<Problem> {
    if count <= MOST_STAGES {
        return None;
    }
    let (cells, seeds) = (recipe.matrix.cells.len(), recipe.seeds.as_ref().map_or(1, Vec::len));
    let problem = Problem::error(format!(
        "with {cells} cells of the matrix and {seeds} seeds this plan has {count} stages"
    ));
    let span = recipe
        .matrix
        .variables
        .first()
        .map(|variable| &variable.span)
        .or(recipe.seeds_span.as_ref());
    let start = Span::new(&recipe.source, 0..0);
    let problem =
        problem.at(span.unwrap_or(&start), format!("at most {MOST_STAGES} stages are possible"));
    Some(problem.help("name fewer seeds or values, or make several recipes of it"))
}

fn check_files(resolved_stages: &[ResolvedStage], problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    let resolved = resolved_stages.iter().flat_map(ResolvedStage::cells);
    for link in resolved.flat_map(|resolved| &resolved.links) {
        if let (Target::Path(path), Some(span)) = (&link.target, &link.span)
            && seen.insert((path, &span.source.path, span.range().start))
            && let Some(problem) = missing_file(path, span)
        {
            problems.push(problem);
        }
    }
}

/// Reports inputs whose producer does not provide the required type with its parameters in that
/// cell.
fn check_lacks(
    units: &Units<'_>,
    resolved_stages: &[ResolvedStage],
    space: &Space<'_>,
    problems: &mut Problems,
) {
    for (index, unit) in units.list.iter().enumerate() {
        let mut links = resolved_stages[index].cells().flat_map(|cell| &cell.links);
        // Few kinds have outputs that depend on parameters; only their cells are checked one by
        // one, since a plan can have 250,000.
        if !links.any(|link| units.may_lack(link)) {
            continue;
        }
        let mut seen = BTreeSet::new();
        for cell in &space.cells {
            // A fan-in stage is resolved once and reads all cells.
            let Some(resolved) = resolved_stages[index].at(&project(cell, &unit.axes)) else {
                continue;
            };
            for link in resolved.links.iter().filter(|link| units.may_lack(link)) {
                let Target::Unit(target) = link.target else { continue };
                let coordinates = project(cell, &units.list[target].axes);
                let other = resolved_stages[target].at(&coordinates);
                let Some(other) = other.filter(|other| other.is_complete) else { continue };
                if seen.insert((link.input.name, target, coordinates))
                    && let Some(lack) =
                        chosen(units.list[target].kind, other).lack(link.input.accepts)
                {
                    problems.push(lacking(unit, link, &units.list[target], &lack));
                }
            }
        }
    }
}

impl Units<'_> {
    /// Whether an input reads a stage whose outputs depend on parameters.
    fn may_lack(&self, link: &ResolvedInput) -> bool {
        matches!(link.target, Target::Unit(target) if self.list[target].kind.lacks.is_some())
    }
}

fn lacking(unit: &Unit<'_>, link: &ResolvedInput, other: &Unit<'_>, lack: &Lack) -> Problem {
    let (input, name) = (link.input.name, &other.name);
    let problem =
        format!("`{input}` cannot be `{name}`, which leaves no `{}` {}", lack.artifact, lack.why);
    let span = link.span.as_ref().unwrap_or(&unit.stage.span);
    let problem = Problem::error(problem)
        .at(span, format!("a stage that leaves `{}` is expected", lack.artifact));
    problem.help(format!("in `{name}`: {}", lack.right))
}

impl ResolvedInput {
    fn planned(&self, source: InputSource, cell: Option<Arc<Cell>>) -> PlannedInput {
        let (name, accepts) = (self.input.name, self.input.accepts);
        PlannedInput { name, accepts, source, span: self.span.clone(), cell }
    }
}

/// The cells of one unit.
#[derive(Default)]
struct Cells {
    /// Axes that may matter: its own and those of all possible inputs.
    axes: BTreeSet<usize>,
    /// By coordinates on these axes; empty for the only cell of a unit without axes.
    by_cell: HashMap<Vec<u32>, NodeIndex>,
    /// By the coordinates that matter, which depend on the inputs of each cell; empty likewise.
    by_coordinates: HashMap<Vec<(usize, u32)>, NodeIndex>,
    /// In matrix order.
    list: Vec<NodeIndex>,
}

impl Cells {
    /// The node of a cell of the matrix.
    fn at(&self, cell: &[u32]) -> Option<NodeIndex> {
        match self.axes.is_empty() {
            true => self.list.first().copied(),
            false => self.by_cell.get(&project(cell, &self.axes)).copied(),
        }
    }
}

struct Expansion<'a, 'r> {
    space: &'a Space<'r>,
    units: &'a Units<'r>,
    resolved_stages: &'a [ResolvedStage],
    device: Option<DeviceNames>,
    cells: Vec<Cells>,
    /// Relevant axes of each node.
    axes: Vec<BTreeSet<usize>>,
    graph: DiGraph<PlannedStage, ()>,
    order: Vec<NodeIndex>,
    recipe: &'r Recipe,
    /// Upper bound of the number of stages so far.
    most: usize,
}

impl<'a, 'r> Expansion<'a, 'r> {
    fn new(
        recipe: &'r Recipe,
        space: &'a Space<'r>,
        units: &'a Units<'r>,
        resolved_stages: &'a [ResolvedStage],
        device: Option<DeviceNames>,
    ) -> Self {
        let cells = units.list.iter().map(|_| Cells::default()).collect();
        // Most plans have as many stages as units or as cells, and growing would copy them.
        let likely = units.list.len().max(space.cells.len());
        let graph = DiGraph::with_capacity(likely, likely);
        let (axes, order) = (Vec::with_capacity(likely), Vec::with_capacity(likely));
        Self { space, units, resolved_stages, device, cells, axes, graph, order, recipe, most: 0 }
    }

    /// Adds all cells of a unit; its inputs were added before.
    fn add(&mut self, index: usize, problems: &mut Problems) {
        let unit = &self.units.list[index];
        let resolved = self.resolved_stages[index].cells();
        let mut axes = unit.axes.clone();
        if !unit.kind.fan_in {
            for link in resolved.flat_map(|resolved| &resolved.links) {
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
        for cell in self.space.cells_along(&self.cells[index].axes) {
            if self.cells[index].at(cell).is_some() {
                continue;
            }
            let node = self.add_cell(index, cell, problems);
            let cells = &mut self.cells[index];
            if !cells.axes.is_empty() {
                cells.by_cell.insert(project(cell, &cells.axes), node);
            }
        }
    }

    /// Runs the checks of a fan-in kind on its parameters and cells.
    fn check_gathered(&self, index: usize, problems: &mut Problems) {
        let unit = &self.units.list[index];
        let (Some(cell_checks), Some(resolved)) =
            (unit.kind.cell_checks, self.resolved_stages[index].cells().next())
        else {
            return;
        };
        for stage in self.cells[index].list.iter().map(|node| &self.graph[*node]) {
            let cells = stage.inputs.iter().filter_map(|input| {
                let from = &self.graph[input.source.stage()?];
                Some(InputCell { input: input.name, cell: &from.cell })
            });
            let cells: Vec<InputCell<'_>> = cells.collect();
            // Labels of files carry no matrix coordinates.
            if cells.len() < stage.inputs.len() {
                return;
            }
            let fields: FilledFields<'_> =
                unit.fields.iter().map(|(name, node)| (*name, Cow::Borrowed(*node))).collect();
            for mismatch in cell_checks(&chosen(unit.kind, resolved), &cells) {
                problems.push(mismatched(&mismatch, unit, &fields));
            }
        }
    }

    fn add_cell(&mut self, index: usize, cell: &[u32], problems: &mut Problems) -> NodeIndex {
        let unit = &self.units.list[index];
        let resolved = self.resolved_stages[index].at(&project(cell, &unit.axes));
        let resolved = resolved.expect("a stage is resolved in each of its cells");
        let inputs = self.bind(unit, resolved, cell, problems);
        let mut axes = unit.axes.clone();
        let needs: Vec<NodeIndex> =
            inputs.iter().filter_map(|input| input.source.stage()).collect();
        if !unit.kind.fan_in {
            axes.extend(needs.iter().flat_map(|node| &self.axes[node.index()]));
        }
        let coordinates: Vec<(usize, u32)> = axes.iter().map(|axis| (*axis, cell[*axis])).collect();
        // Cells of the recipe that give the same stage share one node, and so one artifact.
        if let Some(same) = self.cells[index].by_coordinates.get(&coordinates) {
            return *same;
        }
        let common = resolved.common.clone();
        let uses_device = unit.kind.uses_device(&resolved.parameters);
        let device = uses_device.then(|| unit.kind.devices(self.device.unwrap_or(common.device)));
        let cell_found = self.space.cell(&unit.name, cell, &axes);
        let first = self.cells[index].list.first();
        let places = first.map_or_else(|| unit.places(), |node| self.graph[*node].places.clone());
        let node = self.graph.add_node(PlannedStage {
            name: cell_found.to_string(),
            stage: unit.name.clone(),
            cell: Arc::new(cell_found),
            kind: unit.kind,
            parameters: Arc::clone(&resolved.parameters),
            inputs,
            seed: unit
                .kind
                .seeded
                .then(|| if unit.kind.fan_in { 0 } else { self.space.seed_of(cell) }),
            device,
            resources: common.resources,
            retries: common.retries,
            timeout: common.timeout,
            places,
        });
        // Two inputs from one stage are one edge, or it would be drawn and counted twice.
        for needed in needs.into_iter().collect::<BTreeSet<_>>() {
            self.graph.add_edge(needed, node, ());
        }
        self.axes.push(axes);
        self.order.push(node);
        let cells = &mut self.cells[index];
        cells.list.push(node);
        if !cells.axes.is_empty() {
            cells.by_coordinates.insert(coordinates, node);
        }
        node
    }

    /// Links a cell's inputs: to cells with the same coordinates or, for a fan-in kind, to all.
    fn bind(
        &self,
        unit: &Unit<'_>,
        resolved: &ResolvedFields,
        cell: &[u32],
        problems: &mut Problems,
    ) -> Vec<PlannedInput> {
        let mut inputs = Vec::with_capacity(resolved.links.len());
        for link in &resolved.links {
            let name = link.input.name;
            match &link.target {
                Target::Path(path) => {
                    inputs.push(link.planned(InputSource::Path(path.clone()), None));
                }
                Target::Unit(target) if unit.kind.fan_in => {
                    let list = &self.cells[*target].list;
                    if !link.input.count.takes_list() && list.len() != 1 {
                        let target = &self.units.list[*target].name;
                        let problem = format!(
                            "`{name}` takes one artifact, but `{target}` has {} cells",
                            list.len()
                        );
                        let span = link.span.as_ref().unwrap_or(&unit.stage.span);
                        problems.push(
                            Problem::error(problem)
                                .at(span, "a stage with a single cell is expected"),
                        );
                    }
                    inputs.extend(list.iter().map(|node| {
                        let cell = Arc::clone(&self.graph[*node].cell);
                        link.planned(InputSource::Stage(*node), Some(cell))
                    }));
                }
                Target::Unit(target) => {
                    let node = self.cells[*target].at(cell).expect("it was added before");
                    inputs.push(link.planned(InputSource::Stage(node), None));
                }
            }
        }
        inputs
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use crate::{
        device::DeviceName,
        plan::test_support::{CATALOGUE, outline, plan_text, try_plan},
        rows::Cell,
    };

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
        let table = plan
            .order
            .iter()
            .map(|node| &plan.graph[*node])
            .find(|stage| stage.stage == "table")
            .unwrap();
        assert_eq!(table.name, "table");
        assert_eq!(table.inputs.len(), 2 * 2 + 2 * 2 * 2);
        let label = |index: usize| table.inputs[index].cell.as_ref().unwrap().to_string();
        assert_eq!(label(0), "plain@size=1,seed=0");
        assert_eq!(label(11), "scores@algorithm=ipo,size=2,seed=7");
    }

    #[test]
    fn variables_and_defaults_reach_the_parameters() {
        let plan = plan_text(SWEEP, &["stage.tuned.timeout=2 min"]);
        let name = "tuned@algorithm=ipo,size=2,seed=7";
        let stage = plan.graph.node_weights().find(|stage| stage.name == name).unwrap();
        let parameters = serde_json::to_string(&*stage.parameters).unwrap();
        expect![[r#"{"algorithm":"ipo","batch":8,"beta":0.5,"note":"a ipo of size 2"}"#]]
            .assert_eq(&parameters);
        assert_eq!(
            (stage.seed, stage.cell.value("size"), stage.cell.seed.as_deref()),
            (Some(7), Some("2"), Some("7"))
        );
        assert_eq!(stage.timeout.unwrap().as_secs(), 120);
        assert_eq!(stage.device, Some(DeviceName::Cpu.into()));
    }

    #[test]
    fn without_seeds_names_have_none_and_seed_0_is_used() {
        let plan = plan_text(
            "[stage.a]\nkind = \"make\"\n[stage.b]\nkind = \"sample\"\nmodel = \"a\"\n",
            &[],
        );
        let stage = &plan.graph[plan.order[1]];
        assert_eq!((&*stage.name, stage.seed, &*stage.cell), ("b", Some(0), &Cell::of_stage("b")));
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

    /// The parameters of each cell of a stage.
    fn parameters(recipe: &str, stage: &str) -> Vec<String> {
        let plan = plan_text(recipe, &[]);
        let cells = plan.order.iter().map(|node| &plan.graph[*node]);
        cells
            .filter(|cell| cell.stage == stage)
            .map(|cell| format!("{} {}", cell.name, json!(*cell.parameters)))
            .collect()
    }

    const ARMS: &str = r#"
        seeds = [0, 1]
        [matrix]
        algorithm = ["dpo", "ipo"]
        pairs = ["all", "few, rare"]
        [stage.base]
        kind = "make"
        [stage.tuned]
        kind = "tune"
        model = "base"
        algorithm = "${matrix.algorithm}"
        note = "plain"
        [stage.tuned.when."algorithm=ipo"]
        beta = 0.05
        note = "${matrix.algorithm}"
        [stage.tuned.when.'algorithm=ipo,pairs="few, rare"']
        beta = 0.01
        [stage.tuned.when."seed=1,algorithm=dpo"]
        batch = 2
    "#;

    #[test]
    fn an_arm_has_its_own_fields_and_more_conditions_win() {
        expect![[r#"
            tuned@algorithm=dpo,pairs=all,seed=0 {"algorithm":"dpo","batch":8,"beta":0.1,"note":"plain"}
            tuned@algorithm=dpo,pairs=all,seed=1 {"algorithm":"dpo","batch":2,"beta":0.1,"note":"plain"}
            tuned@algorithm=dpo,pairs="few, rare",seed=0 {"algorithm":"dpo","batch":8,"beta":0.1,"note":"plain"}
            tuned@algorithm=dpo,pairs="few, rare",seed=1 {"algorithm":"dpo","batch":2,"beta":0.1,"note":"plain"}
            tuned@algorithm=ipo,pairs=all,seed=0 {"algorithm":"ipo","batch":8,"beta":0.05,"note":"ipo"}
            tuned@algorithm=ipo,pairs=all,seed=1 {"algorithm":"ipo","batch":8,"beta":0.05,"note":"ipo"}
            tuned@algorithm=ipo,pairs="few, rare",seed=0 {"algorithm":"ipo","batch":8,"beta":0.01,"note":"ipo"}
            tuned@algorithm=ipo,pairs="few, rare",seed=1 {"algorithm":"ipo","batch":8,"beta":0.01,"note":"ipo"}"#]]
        .assert_eq(&parameters(ARMS, "tuned").join("\n"));
        let resolved = plan_text(ARMS, &[]).resolved;
        assert_eq!(
            plan_text(resolved.strip_prefix("name = \"x\"\n").unwrap(), &[]).resolved,
            resolved
        );
        assert_eq!(
            parameters(resolved.strip_prefix("name = \"x\"\n").unwrap(), "tuned"),
            parameters(ARMS, "tuned")
        );
    }

    #[test]
    fn arms_that_cannot_be_are_errors() {
        let wrong = r#"
            [matrix]
            algorithm = ["dpo", "ipo"]
            pairs = ["all", "few"]
            exclude = [{ algorithm = "ipo", pairs = "few" }]
            [stage.base]
            kind = "make"
            [stage.tuned]
            kind = "tune"
            model = "base"
            [stage.tuned.when]
            "algorithm=ppo" = { beta = 0.1 }
            "algorithms=dpo" = { beta = 0.1 }
            "algorithm=ipo,pairs=few" = { beta = 0.1 }
            "algorithm=ipo" = { algorithm = "ipo", batch = 2 }
            "pairs=all" = { batch = 3, bata = 0.1, kind = "make" }
            "algorithm" = 3
        "#;
        let apart = r#"
            [matrix]
            algorithm = ["dpo", "ipo"]
            pairs = ["all", "few"]
            exclude = [{ algorithm = "ipo", pairs = "few" }]
            [stage.base]
            kind = "make"
            [stage.tuned]
            kind = "tune"
            model = "base"
            [stage.tuned.when]
            "algorithm=ipo,pairs=few" = { beta = 0.1 }
            "algorithm=dpo" = { batch = 2, beta = 0.2 }
            "pairs=all" = { batch = 3 }
            [stage.table]
            kind = "compare"
            scores = []
            when = { "pairs=all" = {} }
        "#;
        expect![[r#"
            error: `algorithm` never is `ppo`
            = help: did you mean `dpo`? known values: `dpo` and `ipo`
            error: there is no variable `algorithms`
            = help: did you mean `algorithm`? known variables: `algorithm` and `pairs`
            error: a stage of kind `tune` has no field `bata`
            = help: did you mean `beta`? known fields: `model`, `texts`, `algorithm`, `beta`, `note`, `batch`, `kind`, `resources`, `retries`, `timeout` and `device`
            = help: `apeft kinds tune` explains all fields
            error: `when` cannot set `kind`
            error: `algorithm` is a whole number
            error: `pairs=all` and `algorithm=dpo` have as many conditions, and both set `batch`
            = help: set it under all these conditions together
            error: `scores` is empty
            error: a stage of kind `compare` has no field `when`
            = help: known fields: `scores`, `kind`, `resources`, `retries` and `timeout`
            = help: `apeft kinds compare` explains all fields
        "#]].assert_eq(&[errors(wrong), errors(apart)].concat());
    }

    #[test]
    fn a_narrowed_matrix_leaves_arms_without_effect() {
        let settings = ["matrix.algorithm=[\"dpo\"]", "seeds=[0]"];
        let plan = plan_text(ARMS, &settings);
        assert_eq!(plan.warnings.warnings(), 3, "{}", plan.warnings.render(false));
        assert!(plan.warnings.render(false).contains("`algorithm` never is `ipo`"));
        let twice = ARMS.replace("seed=1,algorithm=dpo", "seed=1,seed=0");
        assert_eq!(errors(&twice), "error: `seed` has two values in one condition\n");
    }

    /// What errors say, without where.
    fn errors(recipe: &str) -> String {
        let said = try_plan(recipe, &[]).unwrap_err().render(false);
        let lines =
            said.lines().filter(|line| line.starts_with("error: ") || line.contains("= help"));
        lines.map(|line| line.trim().to_owned() + "\n").collect()
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
            let parts = plan
                .graph
                .node_weights()
                .map(|stage| (stage.name.clone(), stage.parameters.clone(), stage.seed));
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
            "[matrix]\nbatch = [{}]\nnote = [\"{}\"]\n[stage.a]\nkind = \
            \"make\"\n[stage.b]\nkind = \"tune\"\n\
             model = \"a\"\nbeta = \"${{matrix.batch}}\"\nnote = \"${{matrix.note}}\"\n\
             [stage.c]\nkind = \"sample\"\nmodel = \"b\"\n",
            numbers.join(", "),
            numbers.join("\", \""),
        );
        assert!(try_plan(&recipe, &[]).unwrap_err().errors() == 91, "beta above 9 is out of range");
        let recipe = recipe
            .replace("\"${matrix.batch}\"", "1")
            .replace("note = \"${", "note = \"${matrix.batch}-${");
        let plan = plan_text(&recipe, &[]);
        assert_eq!((plan.graph.node_count(), plan.graph.edge_count()), (20_001, 20_000));
        assert_eq!(plan.graph[plan.order[20_000]].name, "c@batch=100,note=100");
    }

    #[test]
    fn what_a_composite_says_is_for_the_parts_that_take_it() {
        const EVALUATED: &str = r#"
            [stage.base]
            kind = "make"
            [stage.scored]
            kind = "evaluate"
            model = "base"
        "#;
        let found = |more: &str| -> [String; 2] {
            let plan = plan_text(&format!("{EVALUATED}{more}"), &[]);
            ["scored/sample", "scored"].map(|name| {
                let stage = plan.graph.node_weights().find(|stage| stage.name == name).unwrap();
                stage.parameters["by"].as_str().unwrap().to_owned()
            })
        };
        assert_eq!(found(""), ["luck", "hand"]);
        assert_eq!(found("by = \"hand\"\n[defaults.sample]\nby = \"both\""), ["both", "hand"]);
        assert_eq!(found("by = \"luck\"\n[defaults.score]\nby = \"both\""), ["luck", "both"]);
        let each = "[defaults.sample]\nby = \"both\"\n[defaults.score]\nby = \"both\"";
        assert_eq!(found(each), ["both", "both"]);
        let defaults = "[defaults.evaluate]\nby = \"both\"";
        let arm = "[stage.scored.when.\"x=1\"]\nby = \"both\"\n[matrix]\nx = [1, 2]";
        let variable = "by = \"${matrix.how}\"\n[matrix]\nhow = [\"hand\", \"luck\"]";
        for unclear in ["by = \"both\"", defaults, arm, variable] {
            let problems = try_plan(&format!("{EVALUATED}{unclear}"), &[]).unwrap_err();
            let shown = problems.render(false);
            assert!(shown.contains("could be for several of its parts: `sample` and `score`"));
            assert!(shown.contains("`[defaults.sample]` and `[defaults.score]`"), "{shown}");
        }
        let wrong = try_plan(&format!("{EVALUATED}by = \"lukc\""), &[]).unwrap_err();
        assert!(wrong.render(false).contains("`by` cannot be `lukc`"), "{wrong}");
        let foreign = format!("{EVALUATED}[defaults.sample]\nby = \"hand\"");
        assert!(try_plan(&foreign, &[]).is_err(), "defaults of a kind are for it alone");
    }

    #[test]
    fn names_of_stages_choose_cells_and_parts() {
        let plan = plan_text(SWEEP, &[]);
        let count =
            |name: &str| plan.select("--until", &[name.to_owned()]).map(|chosen| chosen.len());
        assert_eq!(count("tuned"), Ok(8));
        assert_eq!(count("plain"), Ok(4 + 4));
        assert_eq!(count("plain/sample"), Ok(4));
        assert_eq!(count("base@size=2"), Ok(1));
        let chosen =
            plan.select("--until", &["tuned@algorithm=dpo,size=2,seed=0".to_owned()]).unwrap();
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
