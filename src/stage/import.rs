//! `import`: a Hugging Face directory becomes a model of the recipe.

use std::{fs, os::unix::fs::symlink};

use super::{
    Context, StageError,
    artifact::MODEL,
    model_remarks::{warn_of_generation, warn_of_model},
};
use crate::{
    model::{Encoder, Transformer, copy_companions},
    recipe::schema::{Input, Kind},
};

/// What the engine knows of it.
pub(super) const KIND: Kind = Kind {
    name: "import",
    version: 1,
    about: "Takes a model from a Hugging Face directory, once it is known to be whole and of an architecture that we have.",
    inputs: &[Input::one("path", &MODEL, "The Hugging Face directory.").path()],
    parameters: &[],
    provides: &[&MODEL],
    draws: false,
    gathers: false,
    on_device: false,
    fits: None,
    lacks: None,
    suits: None,
};

/// Checks the directory and refers to its weights, which the store hashes once and watches: 16 GB are not copied.
///
/// # Errors
/// Names the file that is missing, damaged or of another architecture.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let directory = context.input("path")?;
    let cannot = || format!("import {}", directory.display());
    let config = Transformer::check(directory).map_err(StageError::doing(cannot()))?;
    let encoder = Encoder::load(directory, &config).map_err(StageError::doing(cannot()))?;
    encoder.check_vocabulary(&config).map_err(StageError::doing(cannot()))?;
    warn_of_model(context, directory, &encoder)?;
    warn_of_generation(context, directory)?;
    let weights = Transformer::weight_files(directory).map_err(StageError::doing(cannot()))?;
    for path in weights {
        let name = path.file_name().ok_or_else(|| StageError(format!("{} is not a file", path.display())))?;
        let refer = fs::canonicalize(&path).and_then(|target| symlink(target, context.output.join(name)));
        refer.map_err(StageError::doing(format!("refer to {}", path.display())))?;
    }
    let config_file = directory.join("config.json");
    fs::read(&config_file)
        .and_then(|bytes| fs::write(context.output.join("config.json"), bytes))
        .map_err(StageError::doing(format!("copy {}", config_file.display())))?;
    copy_companions(directory, &context.output).map_err(StageError::doing(cannot()))?;
    context.note(format!(
        "{} layers of width {}, {} tokens",
        config.num_hidden_layers, config.hidden_size, config.vocab_size
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::{
        model::{LARGEST_FILE, ModelConfig, Tokenizer, device},
        seed::Seed,
        stage::InputPath,
    };

    fn import(from: &Path, to: &Path) -> Result<(), String> {
        let context = Context {
            parameters: json!({}),
            inputs: vec![InputPath { name: "path".to_owned(), path: from.to_owned(), label: None }],
            output: to.to_owned(),
            checkpoint: to.to_owned(),
            seed: Seed::root(0),
            device: "cpu".to_owned(),
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
        config.init(&Seed::root(0), &device("cpu").unwrap()).save(from, LARGEST_FILE).unwrap();
        assert_eq!(
            import(from, to).unwrap_err(),
            "cannot import DIR: DIR/tokenizer.json: No such file or directory (os error 2)"
        );
        Tokenizer::train(["some text"].into_iter(), 259).unwrap().save(from).unwrap();
        fs::write(from.join("README.md"), "not part of the model").unwrap();
        import(from, to).unwrap();
        let mut names: Vec<_> = fs::read_dir(to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let expected =
            ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
        assert_eq!(names, expected);
        assert!(names.iter().all(|name| fs::read(from.join(name)).unwrap() == fs::read(to.join(name)).unwrap()));
        fs::remove_file(from.join("model.safetensors")).unwrap();
        assert!(import(from, to).unwrap_err().contains("model.safetensors: No such file"));
    }
}
