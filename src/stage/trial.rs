//! For tests: a kind carried out by hand in a folder of its own.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde_json::{Map, Value};

use super::{Context, InputPath, Report, StageError};
use crate::{
    recipe::schema::{Default, Kind},
    seed::Seed,
};

/// The kind's parameters where a recipe says nothing; required ones are missing.
pub(super) fn defaults(kind: &Kind) -> Map<String, Value> {
    let value = |default: &Default| match default {
        Default::Required | Default::Absent => None,
        Default::Integer(value) => Some(Value::from(*value)),
        Default::Number(value) => Some(Value::from(*value)),
        Default::Flag(value) => Some(Value::from(*value)),
        Default::Text(value) => Some(Value::from(*value)),
        Default::Texts(values) => Some(Value::from(values.to_vec())),
    };
    let parameters = kind.parameters.iter();
    parameters.filter_map(|parameter| Some((parameter.name.to_owned(), value(&parameter.default)?))).collect()
}

/// A trial of a kind: what it is given.
pub(super) struct Trial {
    pub(super) inputs: Vec<InputPath>,
    pub(super) parameters: Value,
    pub(super) seed: u64,
}

impl Trial {
    /// With these inputs (field and path), and parameters that differ from the defaults.
    pub(super) fn new(inputs: &[(&str, &Path)], parameters: Value) -> Self {
        let input = |(name, path): &(&str, &Path)| InputPath {
            name: (*name).to_owned(),
            path: (*path).to_owned(),
            label: None,
        };
        Self { inputs: inputs.iter().map(input).collect(), parameters, seed: 0 }
    }

    /// Carries the kind out into `output`; returns its notes.
    pub(super) fn run(
        self,
        kind: &Kind,
        output: &Path,
        run: fn(&Context) -> Result<(), StageError>,
    ) -> Result<Vec<String>, StageError> {
        std::fs::create_dir_all(output).unwrap();
        let mut parameters = defaults(kind);
        parameters.extend(self.parameters.as_object().unwrap().clone());
        let notes = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&notes);
        let context = Context {
            parameters: Value::Object(parameters),
            inputs: self.inputs,
            output: output.to_owned(),
            checkpoint: PathBuf::new(),
            seed: Seed::root(self.seed),
            device: "cpu".to_owned(),
            report: Box::new(move |report| {
                if let Report::Note { text } = report {
                    heard.lock().unwrap().push(text);
                }
            }),
        };
        run(&context)?;
        Ok(notes.lock().unwrap().clone())
    }
}
