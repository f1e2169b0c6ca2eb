//! Parts of a plan, by the names that `--until`, `--only` and `--force` give.

use std::collections::BTreeSet;

use petgraph::{
    graph::NodeIndex,
    visit::{Dfs, Reversed},
};

use super::graph::{Plan, PlannedStage};
use crate::diagnostic::{self, Problem, Problems, Span, suggestion};

impl Plan {
    /// The stages that some names mean: a stage of the recipe with all of its cells and parts, or a single cell.
    ///
    /// `flag` is where the names come from: "--until".
    ///
    /// # Errors
    /// Where a name means no stage.
    pub fn select(&self, flag: &str, names: &[String]) -> Result<BTreeSet<NodeIndex>, Problems> {
        let mut selected = BTreeSet::new();
        let mut problems = Problems::default();
        for name in names {
            let is_meant = |stage: &PlannedStage| {
                let is_part = stage.stage.strip_prefix(&**name).is_some_and(|rest| rest.starts_with('/'));
                stage.stage == *name || stage.name == *name || is_part
            };
            let before = selected.len();
            selected.extend(self.order.iter().filter(|node| is_meant(&self.graph[**node])));
            if selected.len() == before && !self.graph.node_weights().any(is_meant) {
                problems.push(self.unknown(flag, name));
            }
        }
        if problems.is_empty() { Ok(selected) } else { Err(problems) }
    }

    /// These stages and all that they need, however far back.
    pub fn with_needs(&self, stages: &BTreeSet<NodeIndex>) -> BTreeSet<NodeIndex> {
        let needs = Reversed(&self.graph);
        let mut search = Dfs::empty(needs);
        let mut found = BTreeSet::new();
        for stage in stages {
            search.move_to(*stage);
            while let Some(node) = search.next(needs) {
                found.insert(node);
            }
        }
        found
    }

    fn unknown(&self, flag: &str, name: &str) -> Problem {
        let mut names: Vec<&str> = Vec::new();
        for node in &self.order {
            let stage = &*self.graph[*node].stage;
            if names.last() != Some(&stage) {
                names.push(stage);
            }
        }
        let span = Span::whole(&diagnostic::Source::new(flag, name));
        let problem = Problem::error(format!("there is no stage `{name}`"));
        problem.at(&span, "the name of a stage is expected").help(suggestion(name, "stages", &names))
    }
}
