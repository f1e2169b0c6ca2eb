//! Selects stages by the names given to `--until`, `--only` and `--force`.

use std::collections::BTreeSet;

use petgraph::{
    graph::NodeIndex,
    visit::{Dfs, Reversed},
};

use super::graph::{Plan, PlannedStage};
use crate::diagnostic::{self, Problem, Problems, Span, suggestion};

impl PlannedStage {
    /// Whether a name means this cell: its own, its stage's, or that of its composite.
    fn is_named(&self, name: &str) -> bool {
        let is_part = self.stage.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        self.stage == name || self.name == name || is_part
    }
}

impl Plan {
    /// The stages selected by names: a stage of the recipe with all cells and parts, or a single
    /// cell.
    ///
    /// `flag` is the option that the names come from: "--until".
    ///
    /// # Errors
    /// If a name selects no stage.
    pub fn select(&self, flag: &str, names: &[String]) -> Result<BTreeSet<NodeIndex>, Problems> {
        let mut selected = BTreeSet::new();
        let mut problems = Problems::default();
        for name in names {
            let before = selected.len();
            selected.extend(self.order.iter().filter(|node| self.graph[**node].is_named(name)));
            if selected.len() == before
                && !self.graph.node_weights().any(|stage| stage.is_named(name))
            {
                problems.push(self.unknown(flag, name));
            }
        }
        if problems.is_empty() { Ok(selected) } else { Err(problems) }
    }

    /// These stages and all their ancestors.
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
        problem
            .at(&span, "the name of a stage is expected")
            .help(suggestion(name, "stages", &names))
    }
}
