//! The plan: a directed graph of stages.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use petgraph::graph::{DiGraph, NodeIndex};
use serde::Serialize;
use serde_json::Value;

use super::executor_settings::ExecutorSettings;
use crate::{
    device::{DeviceName, DeviceNames},
    diagnostic::{Problems, Span},
    recipe::{
        RemoteSettings,
        schema::{ArtifactType, Kind},
    },
    rows::Cell,
};

/// A recipe with matrix and seeds expanded, defaults filled in and inputs linked.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The recipe's `name`.
    pub recipe: String,
    /// First comment of the recipe's file.
    pub description: String,
    /// Stages; edges point from input to consumer.
    pub graph: DiGraph<PlannedStage, ()>,
    /// All stages in topological order; ties in the order of the recipe.
    pub order: Vec<NodeIndex>,
    /// Where stages run; no part of any key.
    pub executor: ExecutorSettings,
    /// Another store that is asked before a stage runs.
    pub remote: Option<RemoteSettings>,
    /// The resolved recipe as TOML, for the run's folder; empty if planned without it.
    pub resolved: String,
    /// Warnings of the recipe.
    pub warnings: Problems,
}

/// One node of the plan.
#[derive(Clone, Debug)]
pub struct PlannedStage {
    /// Unique name in the plan: `tuned@algorithm=dpo,seed=0`.
    pub name: String,
    /// Stage of the recipe: `tuned`.
    pub stage: String,
    /// The stage with the matrix values and the seed that it depends on.
    pub cell: Arc<Cell>,
    /// Kind of stage.
    pub kind: &'static Kind,
    /// Parameters of the kind, defaults filled in.
    pub parameters: Arc<BTreeMap<String, Value>>,
    /// Inputs in the order of the kind's declaration.
    pub inputs: Vec<PlannedInput>,
    /// Seed of a seeded kind.
    pub seed: Option<u64>,
    /// Devices, for kinds that run on one; several for kinds that share their work.
    pub device: Option<DeviceNames>,
    /// Resources that the stage reserves.
    pub resources: Resources,
    /// Maximum number of retries after failures.
    pub retries: u32,
    /// Maximum duration of one attempt.
    pub timeout: Option<Duration>,
    /// Spans of the stage's fields, the one that counts first; `kind` is always present.
    pub places: Arc<[(&'static str, Span)]>,
}

impl PlannedStage {
    /// Span of a field, if the recipe sets it.
    pub fn place(&self, field: &str) -> Option<&Span> {
        self.places.iter().find(|(name, _)| *name == field).map(|(_, span)| span)
    }

    /// The resources, with a GPU for each one that its devices name.
    pub fn resources_with_gpus(&self) -> Resources {
        let devices = self.device.unwrap_or_default();
        let named = devices.all().filter(|device| *device != DeviceName::Cpu).count() as u32;
        Resources { gpus: self.resources.gpus.max(named), ..self.resources }
    }
}

/// One input of a stage.
#[derive(Clone, Debug)]
pub struct PlannedInput {
    /// Field name.
    pub name: &'static str,
    /// Type that the input is read as; only that type's files enter the key.
    pub accepts: &'static ArtifactType,
    /// Producer.
    pub source: InputSource,
    /// Span in the recipe; none for wires of a composite.
    pub span: Option<Span>,
    /// The source cell of a fan-in kind; its name is part of the key, since results contain it.
    pub cell: Option<Arc<Cell>>,
}

/// Producer of an input.
#[derive(Clone, Debug)]
pub enum InputSource {
    /// A stage of the same plan.
    Stage(NodeIndex),
    /// An existing file or folder; absolute.
    Path(PathBuf),
}

impl InputSource {
    /// The stage, unless it is a file.
    pub fn stage(&self) -> Option<NodeIndex> {
        match self {
            Self::Stage(node) => Some(*node),
            Self::Path(_) => None,
        }
    }
}

/// Resources that a running stage reserves; never part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Resources {
    /// CPU cores; 0 stands for the default: all cores for kinds that compute on the CPU, otherwise
    /// one.
    pub cpus: u32,
    /// Bytes of memory; 0 if not specified.
    pub memory: u64,
    /// Whole GPUs, passed on by number.
    pub gpus: u32,
}
