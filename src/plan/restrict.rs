//! Parts of a plan: up to one stage, or one stage alone.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::graph::{DiGraph, NodeIndex};

use super::graph::{Plan, PlannedStage, Source};
use crate::diagnostic::{self, Problem, Problems, Span, suggestion};

impl Plan {
    /// The plan up to the stage `until`, or with the stage `only` as all that may run.
    ///
    /// Both name a stage of the recipe (all of its cells, and of its parts where it is a composite) or a single cell.
    /// What they need stays in the plan; [`Plan::only`] then says which stages may run.
    ///
    /// # Errors
    /// Where there is no such stage.
    pub fn restrict(self, until: Option<&str>, only: Option<&str>) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut find = |flag: &str, name: Option<&str>| name.map(|name| self.named(flag, name, &mut problems));
        let (until, only) = (find("--until", until), find("--only", only));
        if problems.errors() > 0 {
            return Err(problems);
        }
        let Some(targets) = only.as_ref().or(until.as_ref()) else { return Ok(self) };
        let kept = self.with_needs(targets);
        Ok(self.keep(&kept, only.as_ref()))
    }

    fn named(&self, flag: &str, name: &str, problems: &mut Problems) -> BTreeSet<NodeIndex> {
        let is_meant = |stage: &PlannedStage| {
            let is_part = stage.stage.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
            stage.stage == name || stage.name == name || is_part
        };
        let found: BTreeSet<NodeIndex> =
            self.graph.node_indices().filter(|node| is_meant(&self.graph[*node])).collect();
        if found.is_empty() {
            let mut names: Vec<&str> = Vec::new();
            for stage in self.graph.node_weights() {
                if !names.contains(&&*stage.stage) {
                    names.push(&stage.stage);
                }
            }
            let span = Span::whole(&diagnostic::Source::new(flag, name));
            let problem = Problem::error(format!("there is no stage `{name}`"));
            let problem = problem.at(&span, "the name of a stage is expected");
            problems.push(problem.help(suggestion(name, "stages", &names)));
        }
        found
    }

    fn with_needs(&self, targets: &BTreeSet<NodeIndex>) -> BTreeSet<NodeIndex> {
        let mut kept = BTreeSet::new();
        let mut waiting: Vec<NodeIndex> = targets.iter().copied().collect();
        while let Some(node) = waiting.pop() {
            if kept.insert(node) {
                waiting.extend(self.graph.neighbors_directed(node, petgraph::Direction::Incoming));
            }
        }
        kept
    }

    fn keep(self, kept: &BTreeSet<NodeIndex>, only: Option<&BTreeSet<NodeIndex>>) -> Self {
        let mut graph = DiGraph::new();
        let mut moved: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
        for node in self.order.iter().filter(|node| kept.contains(node)) {
            let mut stage = self.graph[*node].clone();
            for input in &mut stage.inputs {
                if let Source::Stage(needed) = &mut input.source {
                    *needed = moved[needed];
                }
            }
            let needs: BTreeSet<NodeIndex> = stage.inputs.iter().filter_map(|input| input.source.stage()).collect();
            let index = graph.add_node(stage);
            needs.into_iter().for_each(|needed| drop(graph.add_edge(needed, index, ())));
            moved.insert(*node, index);
        }
        let order = graph.node_indices().collect();
        let only = only.map(|only| only.iter().map(|node| moved[node]).collect());
        Self { graph, order, only, ..self }
    }
}
