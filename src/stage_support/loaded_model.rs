//! A model with its adapter and tokenizer, as stages load one that they do not train.

use crate::{
    context::{Context, StageError},
    model::{Adapter, Encoder, Placement, Transformer, other_devices},
};

use super::model_remarks::{warn_of_adapter, warn_of_model};

/// A model with its adapter, and its tokenizer.
pub struct LoadedModel {
    /// The model.
    pub model: Transformer,
    /// The tokenizer and the chat template.
    pub encoder: Encoder,
}

impl LoadedModel {
    /// Loads the model of an input with the adapter of another one, if that is given, and warns of
    /// their peculiarities.
    ///
    /// # Errors
    /// If the device cannot compute in this number format, or a file cannot be read.
    pub fn load(
        context: &Context,
        [input, adapter]: [&str; 2],
        dtype: &str,
    ) -> Result<Self, StageError> {
        let folder = context.input(input)?;
        let place = Placement::named(context.device.first(), dtype)
            .map_err(StageError::doing("use the device"))?;
        let mut model = Transformer::load(folder, &place)
            .map_err(StageError::doing(format!("load the {input}")))?;
        if let Some(given) = context.inputs(adapter).next() {
            Adapter::load(&given.path, &mut model)
                .map_err(StageError::doing("load the adapter"))?;
        }
        let encoder = Encoder::load(folder, &model.config)
            .map_err(StageError::doing(format!("load the {input}'s tokenizer")))?;
        warn_of_model(context, folder, &encoder)?;
        warn_of_adapter(context, adapter, folder)?;
        Ok(Self { model, encoder })
    }
}

/// Copies of a model on all devices of the stage but the first.
///
/// # Errors
/// If a device is missing.
pub fn copies(context: &Context, model: &Transformer) -> Result<Vec<Transformer>, StageError> {
    let devices = other_devices(context.device).map_err(StageError::doing("use the device"))?;
    Ok(devices.iter().map(|device| model.copy_on(device)).collect())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, sync::Arc};

    use super::*;
    use crate::{context::InputPath, device::DeviceName, seed::Seed};

    fn loaded(inputs: &[(&str, &Path)], dtype: &str) -> Result<LoadedModel, StageError> {
        let inputs = inputs.iter().map(|(name, path)| {
            let (name, path) = ((*name).to_owned(), path.to_path_buf());
            InputPath { name, path, cell: None }
        });
        let context = Context {
            parameters: Default::default(),
            inputs: inputs.collect(),
            output: Default::default(),
            checkpoint: Default::default(),
            store: Default::default(),
            seed: Seed::root(0),
            device: DeviceName::Cpu.into(),
            report: Arc::new(|_| ()),
        };
        LoadedModel::load(&context, ["judge", "judge_adapter"], dtype)
    }

    #[test]
    fn a_model_is_loaded_with_what_belongs_to_it_and_errors_name_its_input() {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama");
        let found = loaded(&[("judge", &model)], "auto").unwrap();
        assert!(found.encoder.tokenizer.vocab_size() <= found.model.config.vocab_size);
        let said = |inputs: &[(&str, &Path)], dtype| match loaded(inputs, dtype) {
            Err(StageError(said)) => said,
            Ok(_) => panic!("{inputs:?}"),
        };
        assert_eq!(said(&[], "auto"), "the input `judge` was not given");
        assert!(said(&[("judge", &model)], "float8").starts_with("cannot use the device: "));
        let empty = tempfile::tempdir().unwrap();
        assert!(said(&[("judge", empty.path())], "auto").starts_with("cannot load the judge: "));
        let adapter = [("judge", model.as_path()), ("judge_adapter", empty.path())];
        assert!(said(&adapter, "auto").starts_with("cannot load the adapter: "));
        for entry in fs::read_dir(&model).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap();
            if !name.to_string_lossy().starts_with("tokenizer") {
                fs::copy(&entry, empty.path().join(name)).unwrap();
            }
        }
        let problem = said(&[("judge", empty.path())], "auto");
        assert!(problem.starts_with("cannot load the judge's tokenizer: "), "{problem}");
    }
}
