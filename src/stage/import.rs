//! The kind `import`: a Hugging Face directory or a GGUF file as a model of the recipe.

use std::{fs, os::unix::fs::symlink, path::Path};

use serde::Deserialize;

use crate::{
    context::{Context, StageError, artifact::MODEL},
    model::{DTYPES, Encoder, GgufModel, LARGEST_FILE, ModelConfig, Transformer, copy_companions},
    recipe::schema::{Declared, Input, Kind},
    stage_support::model_remarks::{warn_of_generation, warn_of_model},
};

/// The kind.
pub(crate) const KIND: Kind = Kind {
    name: "import",
    version: 1,
    about: "Import a model from a Hugging Face directory or a GGUF file after checking it.",
    inputs: &[Input::one("path", &MODEL, "Hugging Face model directory, or GGUF file.").path()],
    parameters: Parameters::PARAMETERS,
    provides: &[&MODEL],
    seeded: false,
    fan_in: false,
    on_device: None,
    cross_checks: None,
    lacks: None,
    cell_checks: None,
    redundant: None,
};

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Number format of weights from a GGUF file; `auto`: float32, or 16 bits where stored so.
    #[parameter(default = "auto", words = DTYPES, aliases = ["precision", "torch_dtype"])]
    dtype: String,
}

impl Parameters {
    /// The problem of a number format for a directory, whose files are linked as they are.
    pub(crate) fn problem(&self, path: &Path) -> Option<String> {
        let is_converted = self.dtype == "auto" || path.is_file();
        (!is_converted).then(|| {
            format!(
                "`dtype` is \"{}\", but a directory is imported as it is; only weights of a GGUF \
                file are converted",
                self.dtype
            )
        })
    }
}

/// Checks that a directory or GGUF file holds a complete model with its tokenizer; reads only the
/// headers of weights.
///
/// # Errors
/// The file that is missing, damaged or of an unsupported architecture.
pub(crate) fn check(path: &Path) -> Result<(ModelConfig, Encoder), String> {
    if !path.is_file() {
        return check_directory(path);
    }
    GgufModel::open(path).map_err(|error| error.to_string())?.check_whole()
}

fn check_directory(directory: &Path) -> Result<(ModelConfig, Encoder), String> {
    let config = Transformer::check(directory).map_err(|error| error.to_string())?;
    let encoder = Encoder::load(directory, &config).map_err(|error| error.to_string())?;
    encoder.check_vocabulary(&config).map_err(|error| error.to_string())?;
    Ok((config, encoder))
}

/// Writes a GGUF file as a directory, or checks a directory and links its weights.
///
/// # Errors
/// Names the file that is missing, damaged or of an unsupported architecture.
pub(crate) fn run(context: &Context) -> Result<(), StageError> {
    let path = context.input("path")?;
    let parameters: Parameters = context.parameters()?;
    if let Some(problem) = parameters.problem(path) {
        return Err(StageError(problem));
    }
    let config = if path.is_file() {
        let importing = format!("import {}", path.display());
        convert(context, path, &parameters.dtype).map_err(StageError::doing(importing))?
    } else {
        link(context, path)?
    };
    context.note(format!(
        "{} layers of width {}, {} tokens",
        config.num_hidden_layers, config.hidden_size, config.vocab_size
    ));
    Ok(())
}

/// Writes a GGUF file as a directory, which is then checked as any other.
fn convert(context: &Context, path: &Path, dtype: &str) -> Result<ModelConfig, String> {
    let model = GgufModel::open(path).map_err(|error| error.to_string())?;
    let remarks = model.write(&context.output, dtype, LARGEST_FILE);
    remarks.map_err(|error| error.to_string())?.iter().for_each(|remark| context.warn(remark));
    let (config, encoder) = check_directory(&context.output)?;
    warn_of_model(context, &context.output, &encoder).map_err(|error| error.to_string())?;
    let stored = model.stored_types().map_err(|error| error.to_string())?;
    context.note(format!("weights were stored as {stored}"));
    Ok(config)
}

/// Checks a directory and links its weights, which the store hashes and watches instead of copying.
fn link(context: &Context, directory: &Path) -> Result<ModelConfig, StageError> {
    let importing = format!("import {}", directory.display());
    let (config, encoder) = check_directory(directory).map_err(StageError::doing(&importing))?;
    warn_of_model(context, directory, &encoder)?;
    warn_of_generation(context, directory)?;
    let weights = Transformer::weight_files(directory).map_err(StageError::doing(&importing))?;
    for path in weights {
        let name = path
            .file_name()
            .ok_or_else(|| StageError(format!("{} is not a file", path.display())))?;
        // Absolute, since the artifact is elsewhere, and past the links of a hub's cache.
        let refer =
            fs::canonicalize(&path).and_then(|target| symlink(target, context.output.join(name)));
        refer.map_err(StageError::doing(format!("link to {}", path.display())))?;
    }
    let config_file = directory.join("config.json");
    // Not `fs::copy`, which may share the storage of the user's file where the file system can.
    fs::read(&config_file)
        .and_then(|bytes| fs::write(context.output.join("config.json"), bytes))
        .map_err(StageError::doing(format!("copy {}", config_file.display())))?;
    copy_companions(directory, &context.output).map_err(StageError::doing(&importing))?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::device::DeviceName;
    use crate::{
        context::InputPath,
        model::{Tokenizer, device},
        seed::Seed,
    };

    fn import(from: &Path, to: &Path) -> Result<(), String> {
        let context = Context {
            parameters: json!({"dtype": "auto"}),
            inputs: vec![InputPath { name: "path".to_owned(), path: from.to_owned(), cell: None }],
            output: to.to_owned(),
            checkpoint: to.to_owned(),
            store: Default::default(),
            seed: Seed::root(0),
            device: DeviceName::Cpu.into(),
            report: std::sync::Arc::new(|_| ()),
        };
        run(&context).map_err(|error| error.to_string().replace(&from.display().to_string(), "DIR"))
    }

    #[test]
    fn a_whole_model_is_copied_and_a_broken_one_is_not() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (from, to) = (from.path(), to.path());
        let config = json!({"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "vocab_size": 300});
        let config = ModelConfig::from_json(&config.to_string()).unwrap();
        config
            .init(&Seed::root(0), &device(DeviceName::Cpu).unwrap())
            .save(from, LARGEST_FILE)
            .unwrap();
        assert_eq!(
            import(from, to).unwrap_err(),
            "cannot import DIR: DIR/tokenizer.json: No such file or directory (os error 2)"
        );
        Tokenizer::train(["some text"].into_iter(), 259).unwrap().save(from).unwrap();
        fs::write(from.join("README.md"), "not part of the model").unwrap();
        import(from, to).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let expected = [
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        ];
        assert_eq!(names, expected);
        assert!(
            names
                .iter()
                .all(|name| fs::read(from.join(name)).unwrap() == fs::read(to.join(name)).unwrap())
        );
        fs::remove_file(from.join("model.safetensors")).unwrap();
        assert!(import(from, to).unwrap_err().contains("model.safetensors: No such file"));
    }
}
