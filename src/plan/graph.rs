//! The plan: a directed graph of stages, ready to run.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use petgraph::graph::{DiGraph, NodeIndex};
use serde::Serialize;
use serde_json::Value;

use crate::{
    diagnostic::{Problems, Span},
    recipe::schema::{ArtifactType, Kind},
};

/// A recipe with matrix and seeds expanded, defaults filled in and inputs linked.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The recipe's `name`.
    pub recipe: String,
    /// Stages; an edge runs from what is needed to what needs it.
    pub graph: DiGraph<PlannedStage, ()>,
    /// All stages, each after everything that it needs; ties in the order of the recipe.
    pub order: Vec<NodeIndex>,
    /// The resolved recipe as TOML text, for the run's folder.
    pub resolved: String,
    /// What is worth a look in the recipe but does not stand in the way.
    pub warnings: Problems,
}

/// One node of the plan.
#[derive(Clone, Debug)]
pub struct PlannedStage {
    /// Unique in the plan: `tuned@algorithm=dpo,seed=0`.
    pub name: String,
    /// The recipe's stage that it is a cell of: `tuned`.
    pub stage: String,
    /// Its coordinates in matrix and seeds: only those on which it depends.
    pub cell: BTreeMap<String, Value>,
    /// What kind of stage it is.
    pub kind: &'static Kind,
    /// The kind's parameters, defaults filled in.
    pub parameters: BTreeMap<String, Value>,
    /// What it reads, in the order of the kind's declaration.
    pub inputs: Vec<PlannedInput>,
    /// The seed, where the kind draws at random.
    pub seed: Option<u64>,
    /// `cpu` or `cuda:N`, where the kind runs on a device.
    pub device: Option<String>,
    /// What it occupies while it runs.
    pub resources: Resources,
    /// How often it is tried again after a failure.
    pub retries: u32,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
}

/// One thing that a stage reads.
#[derive(Clone, Debug)]
pub struct PlannedInput {
    /// The field's name.
    pub name: &'static str,
    /// What it is read as; only this type's files enter the key.
    pub accepts: &'static ArtifactType,
    /// Where it comes from.
    pub source: Source,
    /// Where the recipe names it; none for what a composite wires together.
    pub span: Option<Span>,
    /// For a kind that gathers: the name of the cell it comes from, which enters the key since the result shows it.
    pub label: Option<String>,
}

/// Where an input comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A stage of the same plan.
    Stage(NodeIndex),
    /// A file or folder that exists already; absolute.
    Path(PathBuf),
}

impl Source {
    /// The stage, where it is one.
    pub fn stage(&self) -> Option<NodeIndex> {
        match self {
            Self::Stage(node) => Some(*node),
            Self::Path(_) => None,
        }
    }
}

/// What a stage occupies while it runs; never part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Resources {
    /// Processor cores; 0 where nothing was said: all for a kind that computes on the CPU's cores, otherwise one.
    pub cpus: u32,
    /// Bytes of memory; 0 where nothing was said.
    pub memory: u64,
    /// Whole GPUs, whose numbers are handed on.
    pub gpus: u32,
}
