//! Stages with their parameters and inputs, as a plan foresees them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    context::{Context, InputPath},
    device::DeviceName,
    model::{GgufModel, ModelConfig},
    recipe::schema::{Kind, read_parameters},
    rows::Cell,
    seed::Seed,
    stage::{pretrain, sample},
};

/// A stage of a plan with its inputs.
#[derive(Debug)]
pub struct Outlook<'a> {
    /// Its name in the plan.
    pub name: &'a str,
    /// Kind.
    pub kind: &'static Kind,
    /// Values of the parameters, defaults filled in.
    pub values: &'a BTreeMap<String, Value>,
    /// Inputs named by [`Outlook::FOLLOWED`] or [`Outlook::COUNTED`].
    pub inputs: Vec<Foreseen<'a>>,
}

/// One input of a stage.
#[derive(Debug)]
pub struct Foreseen<'a> {
    /// Input name.
    pub name: &'static str,
    /// The source cell, for a fan-in kind.
    pub cell: Option<&'a Cell>,
    /// Origin.
    pub from: Origin<'a>,
}

/// Origin of an input.
#[derive(Debug)]
pub enum Origin<'a> {
    /// An existing file or folder.
    Path(&'a Path),
    /// Another stage.
    Stage(Outlook<'a>),
}

impl<'a> Outlook<'a> {
    /// Inputs that allow checks in advance. None leads back to responses, so that few stages are
    /// followed.
    pub const FOLLOWED: [&'static str; 13] = [
        "path",
        "program",
        "model",
        "pairs",
        "reference",
        "general",
        "atomic",
        "scores",
        "comparison",
        "shifts",
        "tables",
        "phrases",
        "labels",
    ];

    /// The parameters as the kind's struct; none if a field is missing or invalid, which is
    /// reported elsewhere.
    pub(super) fn parameters<P: DeserializeOwned>(&self) -> Option<P> {
        read_parameters(self.values)
    }

    /// Inputs of this name.
    pub(super) fn inputs(&self, name: &'static str) -> impl Iterator<Item = &Foreseen<'a>> {
        self.inputs.iter().filter(move |input| input.name == name)
    }

    pub(super) fn origin(&self, name: &'static str) -> Option<&Origin<'a>> {
        self.inputs(name).next().map(|input| &input.from)
    }

    pub(super) fn path(&self, name: &'static str) -> Option<&Path> {
        match self.origin(name)? {
            Origin::Path(path) => Some(path),
            Origin::Stage(_) => None,
        }
    }

    /// The context of an attempt that reads only files.
    pub(super) fn context(&self) -> Option<Context> {
        // All inputs or none: a check of some would report the others as missing.
        let inputs = self.inputs.iter().map(|input| match input.from {
            Origin::Path(path) => {
                Some(InputPath { name: input.name.to_owned(), path: path.to_owned(), cell: None })
            }
            Origin::Stage(_) => None,
        });
        Some(Context {
            parameters: self.values.clone().into_iter().collect(),
            inputs: inputs.collect::<Option<_>>()?,
            output: Default::default(),
            checkpoint: Default::default(),
            store: Default::default(),
            // Checks draw no numbers.
            seed: Seed::root(0),
            device: DeviceName::Cpu.into(),
            report: Arc::new(|_| ()),
        })
    }

    /// Folder of the chat template that it needs, also behind stages that import or tune its model.
    pub fn template_folder(&self) -> Option<&Path> {
        match self.origin("model")? {
            Origin::Stage(stage) if self.chats() => stage.model_folder(),
            _ => None,
        }
    }

    /// Folder of the imported or tuned model; none for a model trained from scratch.
    pub(super) fn model_folder(&self) -> Option<&Path> {
        match self.origin(if self.kind.name == "import" { "path" } else { "model" })? {
            Origin::Path(path) => Some(path),
            Origin::Stage(stage) => stage.model_folder(),
        }
    }

    pub(super) fn chats(&self) -> bool {
        self.kind.name == "sample"
            && self
                .parameters::<sample::Parameters>()
                .is_some_and(|parameters| parameters.apply_chat_template)
    }
}

impl Origin<'_> {
    pub(super) fn is_from_scratch(&self) -> bool {
        match self {
            Self::Path(_) => false,
            Self::Stage(stage) => {
                stage.kind.name == "pretrain"
                    || stage.origin("model").is_some_and(Self::is_from_scratch)
            }
        }
    }

    /// Config of a model, if the recipe determines it; unreadable ones are reported elsewhere.
    pub(super) fn model_config(&self) -> Option<ModelConfig> {
        match self {
            Self::Path(path) if path.is_file() => GgufModel::open(path).ok()?.check().ok(),
            Self::Path(path) => ModelConfig::load(path).ok(),
            Self::Stage(stage) => match stage.kind.name {
                "import" => stage.origin("path")?.model_config(),
                // Its tokenizer may turn out smaller, on which no layer's name or width depends.
                "pretrain" => Some(stage.parameters::<pretrain::Parameters>()?.shape()),
                "tune" => stage.origin("model")?.model_config(),
                _ => None,
            },
        }
    }
}
