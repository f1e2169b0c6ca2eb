//! A GGUF file as a Hugging Face directory.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use memmap2::Mmap;
use serde_json::Value;

use super::{
    chat_templates::chat_templates,
    config::{config, unknown_keys},
    reader::GgufFile,
    tokenizer::tokenizer,
    weights::{Dequantised, dequantised, main_format, stored_types},
};
use crate::model::{
    architecture::{ModelConfig, NumberFormat},
    directory::{WeightsError, map, write_configs, write_text, write_weights},
    files,
    text::Encoder,
};

/// A GGUF file, mapped.
pub struct GgufModel {
    path: PathBuf,
    map: Mmap,
}

impl GgufModel {
    /// Maps a file.
    ///
    /// # Errors
    /// If it cannot be read or is empty.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        Ok(Self { path: path.to_owned(), map: map(path)? })
    }

    /// Checks the header: that every tensor of the model is there in its shape and in a type that
    /// can be read. Returns the config.
    ///
    /// # Errors
    /// What is damaged, missing or not supported.
    pub fn check(&self) -> Result<ModelConfig, WeightsError> {
        let file = self.parse()?;
        let config = self.config(&file)?;
        self.tensors(&file, &config, None)?;
        Ok(config)
    }

    /// Checks the header, the tokenizer and the chat template; reads no values of weights.
    ///
    /// # Errors
    /// What is damaged, missing or not supported.
    pub fn check_whole(&self) -> Result<(ModelConfig, Encoder), String> {
        let config = self.check().map_err(|error| error.to_string())?;
        // By the code that will read the directory: what it refuses now it would refuse later.
        let texts = tempfile::tempdir().map_err(|error| error.to_string())?;
        self.write_texts(texts.path()).map_err(|error| error.to_string())?;
        let mut encoder = Encoder::load(texts.path(), &config).map_err(|error| {
            let [written, file] = [texts.path(), &self.path].map(|path| path.display().to_string());
            error.to_string().replace(&written, &file)
        })?;
        encoder.set_directory(&self.path);
        encoder.check_vocabulary(&config).map_err(|error| error.to_string())?;
        Ok((config, encoder))
    }

    /// Writes everything except the weights: configs, tokenizer and chat templates.
    pub fn write_texts(&self, directory: &Path) -> Result<(), WeightsError> {
        let file = self.parse()?;
        let config = self.config(&file)?;
        self.write_all_texts(&file, &config, NumberFormat::Float32, directory)
    }

    /// Writes a Hugging Face directory: configs, tokenizer, chat templates and weights, one tensor
    /// after the other. `dtype` is the number format of the weights; with `auto`, 16-bit weights
    /// keep theirs and all others become float32, which represents them exactly. Returns remarks
    /// for the user.
    ///
    /// # Errors
    /// What is damaged, missing or not supported, or the file that could not be written.
    pub fn write(
        &self,
        directory: &Path,
        dtype: &str,
        largest_file: usize,
    ) -> Result<Vec<String>, WeightsError> {
        let file = self.parse()?;
        let config = self.config(&file)?;
        let format = NumberFormat::ALL.into_iter().find(|format| format.name() == dtype);
        let tensors = self.tensors(&file, &config, format)?;
        let main = main_format(&tensors);
        self.write_all_texts(&file, &config, main, directory)?;
        write_weights(tensors, directory, largest_file).map_err(|error| match error {
            // The values are wrong in this file, not only in the one that is written.
            WeightsError::NotFinite { name, format, .. } => {
                WeightsError::NotFinite { path: self.path.clone(), name, format }
            }
            error => error,
        })?;
        Ok(unknown_keys(&file))
    }

    /// The types in which the weights are stored, with the numbers of tensors: `Q4_1 (210)`.
    ///
    /// # Errors
    /// What is damaged.
    pub fn stored_types(&self) -> Result<String, WeightsError> {
        Ok(stored_types(&self.parse()?))
    }

    fn parse(&self) -> Result<GgufFile<'_>, WeightsError> {
        if let Some(found) = files::placeholder(&self.map) {
            return Err(WeightsError::malformed(&self.path, found));
        }
        GgufFile::parse(&self.map).map_err(|problem| WeightsError::malformed(&self.path, problem))
    }

    fn config(&self, file: &GgufFile) -> Result<ModelConfig, WeightsError> {
        let fields =
            config(file).map_err(|problem| WeightsError::malformed(&self.path, problem))?;
        ModelConfig::from_json(&fields.to_string())
            .map_err(|source| WeightsError::Config { path: self.path.clone(), source })
    }

    fn tensors<'a>(
        &'a self,
        file: &'a GgufFile<'a>,
        config: &ModelConfig,
        format: Option<NumberFormat>,
    ) -> Result<BTreeMap<String, Dequantised<'a>>, WeightsError> {
        dequantised(file, config, &self.map, format)
            .map_err(|problem| WeightsError::malformed(&self.path, problem))
    }

    fn write_all_texts(
        &self,
        file: &GgufFile,
        config: &ModelConfig,
        format: NumberFormat,
        directory: &Path,
    ) -> Result<(), WeightsError> {
        let wrong = |problem| WeightsError::malformed(&self.path, problem);
        let [tokenizer, settings] = tokenizer(file).map_err(wrong)?;
        let templates = chat_templates(file).map_err(wrong)?;
        write_configs(config, format, directory)?;
        write_text(&directory.join("tokenizer.json"), &indented(&tokenizer))?;
        write_text(&directory.join("tokenizer_config.json"), &indented(&settings))?;
        for (name, template) in templates {
            let path = directory.join(name);
            let folder = path.parent().unwrap_or(directory);
            fs::create_dir_all(folder).map_err(WeightsError::io(folder))?;
            write_text(&path, template)?;
        }
        Ok(())
    }
}

fn indented(value: &Value) -> String {
    format!("{value:#}\n")
}
