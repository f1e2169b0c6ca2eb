//! How much memory a stage needs on its device, by its parameters and what is known of its texts.

use std::fs;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    outlook::{Origin, Outlook},
    text_sizes::TextSizes,
};
use crate::{
    context::file_of,
    device::DeviceName,
    footprint::{GenerationMemory, MemoryNeed, PassSize, ScoringMemory, TrainingMemory},
    model::{Adapter, AdapterConfig, ModelConfig, NumberFormat, number_format},
    stage::{pretrain, reference, sample, shift, tune},
    tuning::{GradientCheckpointing, LOGITS_BYTES},
};

/// An estimate of what a stage needs.
#[derive(Clone, Debug, PartialEq)]
pub struct StageMemory {
    /// Bytes by what takes them.
    pub need: MemoryNeed,
    /// What lengths of texts it rests on: `the 8 longest of 512 rows`.
    pub basis: String,
}

impl Outlook<'_> {
    /// Inputs that sizes of models and texts follow from.
    pub const SIZED: [&'static str; 8] =
        ["path", "model", "base", "adapter", "pairs", "prompts", "verifier", "extractor"];

    /// What the stage needs on a device; none where it runs no model.
    ///
    /// # Errors
    /// Says why that is unknown.
    pub fn memory(
        &self,
        device: DeviceName,
        texts: &mut TextSizes,
    ) -> Option<Result<StageMemory, String>> {
        let asks_model = self.values.get("by").and_then(Value::as_str) == Some("model");
        Some(match self.kind.name {
            "pretrain" => self.pretraining(device),
            "tune" => self.preference_tuning(device, texts),
            "sample" => self.sampling(device, texts),
            "reference" => self.reference_scoring(device),
            "shift" => self.shift_scoring(device),
            "extract" if asks_model => self.asking("extractor", device),
            "verify" if asks_model => self.asking("verifier", device),
            _ => return None,
        })
    }

    fn pretraining(&self, device: DeviceName) -> Result<StageMemory, String> {
        let parameters: pretrain::Parameters = self.valid()?;
        let config = parameters.shape();
        let memory = TrainingMemory {
            config: &config,
            on_cpu: device == DeviceName::Cpu,
            format: NumberFormat::Float32,
            adapter: None,
            other_models: 0,
            accumulates: false,
            logits_bytes: LOGITS_BYTES,
            reference_tokens: 0.0,
        };
        let (documents, length) =
            (parameters.batch_composition.values().sum(), config.max_position_embeddings);
        let mut pass = PassSize::default();
        (0..documents).for_each(|_| pass.add(0, &[length], true));
        Ok(StageMemory {
            need: memory.need(pass, GradientCheckpointing::Off),
            basis: format!("{documents} documents of `max_position_embeddings`, {length} tokens"),
        })
    }

    fn preference_tuning(
        &self,
        device: DeviceName,
        texts: &mut TextSizes,
    ) -> Result<StageMemory, String> {
        let (parameters, config): (tune::Parameters, _) = (self.valid()?, self.config("model")?);
        let adapter = self.adapter(&parameters)?;
        let adapter = adapter.map(|adapter| config.adapter_parameters(&adapter)).transpose()?;
        let (pass, basis) = self.largest_pass(&parameters, &config, texts);
        let memory = parameters.memory(&config, device, adapter);
        // Free memory chooses between both.
        let checkpointing = parameters.checkpointing();
        let need = memory.need(pass, checkpointing.unwrap_or(GradientCheckpointing::Off));
        let basis = match checkpointing {
            Some(_) => basis,
            None => {
                let less = memory.need(pass, GradientCheckpointing::PerBlock).total();
                let less = crate::footprint::size_in_words(less);
                format!("{basis}; {less} with gradient checkpointing, if memory is short")
            }
        };
        Ok(StageMemory { need, basis })
    }

    /// The adapter that is trained, if any.
    fn adapter(&self, parameters: &tune::Parameters) -> Result<Option<AdapterConfig>, String> {
        match self.origin("adapter") {
            None => Ok(parameters.new_adapter()),
            Some(Origin::Stage(stage)) => Err(stage.unknown()),
            Some(Origin::Path(path)) => {
                let [file, _] = Adapter::files(path);
                let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
                serde_json::from_str(&text).map(Some).map_err(|error| error.to_string())
            }
        }
    }

    /// The largest pass that rows can give, and what it rests on.
    fn largest_pass(
        &self,
        parameters: &tune::Parameters,
        config: &ModelConfig,
        texts: &mut TextSizes,
    ) -> (PassSize, String) {
        let (batch, share) = (parameters.batch_size, parameters.share_prompts);
        let longest = parameters.encoding.max_length.min(config.max_position_embeddings);
        let mut pass = PassSize::default();
        let folder = self.model_folder().map(|folder| (folder, config));
        let rows = self.path("pairs").and_then(|path| texts.longest_rows(path, batch, folder));
        let Some(rows) = rows else {
            // A pair with a prompt of half the length, as a larger share would be no less usual.
            let completion = longest.div_ceil(2);
            (0..batch)
                .for_each(|_| pass.add(longest - completion, &[completion, completion], share));
            let basis =
                format!("{batch} pairs of `max_length`, {longest} tokens, half of it prompt");
            return (pass, basis);
        };
        for (prompt, completions) in &rows.lengths {
            // With the token that ends a completion.
            let completions: Vec<usize> =
                completions.iter().map(|length| (length + 1).min(longest)).collect();
            let most = completions.iter().max().copied().unwrap_or(0);
            pass.add((*prompt).min(longest - most), &completions, share);
        }
        (pass, format!("the {} longest of {} rows", rows.lengths.len(), rows.all))
    }

    fn sampling(&self, device: DeviceName, texts: &mut TextSizes) -> Result<StageMemory, String> {
        let (parameters, config): (sample::Parameters, _) = (self.valid()?, self.config("model")?);
        let folder = self.model_folder().map(|folder| (folder, &config));
        let prompts = self
            .path("prompts")
            .and_then(|path| parameters.prompts(&file_of(path, "prompts.jsonl")).ok());
        let slots = parameters.batch_size;
        let (texts, prompt, basis) = match prompts {
            Some(prompts) => {
                let written = prompts.iter().map(|prompt| prompt.prompt.text());
                let longest = written.max_by_key(String::len).unwrap_or_default();
                let slots = slots.min(prompts.len() * parameters.num_samples);
                let tokens = texts.tokens(&longest, folder);
                (slots, tokens, format!("{slots} responses after the longest prompt"))
            }
            None => (slots, 0, format!("{slots} responses, without prompts, which are unknown")),
        };
        let length = prompt + parameters.max_new_tokens;
        let memory = GenerationMemory {
            config: &config,
            on_cpu: device == DeviceName::Cpu,
            format: format(&parameters.dtype, device),
            texts: texts as f64,
            prompt: prompt as f64,
            length: length as f64,
        };
        Ok(StageMemory { need: memory.need(), basis: format!("{basis}, {length} tokens each") })
    }

    fn reference_scoring(&self, device: DeviceName) -> Result<StageMemory, String> {
        let (parameters, config): (reference::Parameters, _) =
            (self.valid()?, self.config("model")?);
        let memory = scoring(&config, device, &parameters.encoding.dtype, LOGITS_BYTES);
        Ok(scored(memory, parameters.batch_tokens))
    }

    fn shift_scoring(&self, device: DeviceName) -> Result<StageMemory, String> {
        let (parameters, config): (shift::Parameters, _) = (self.valid()?, self.config("base")?);
        let memory = scoring(&config, device, &parameters.dtype, parameters.logits_bytes);
        Ok(scored(ScoringMemory { models: 2.0, ..memory }, parameters.batch_tokens))
    }

    /// A model that is asked about texts which do not exist yet.
    fn asking(&self, input: &'static str, device: DeviceName) -> Result<StageMemory, String> {
        let config = self.config(input)?;
        let dtype = self.values.get(&format!("{input}_dtype")).and_then(Value::as_str);
        let memory = scoring(&config, device, dtype.unwrap_or("auto"), LOGITS_BYTES);
        let need = MemoryNeed { weights: memory.need(0.0).weights, ..MemoryNeed::default() };
        Ok(StageMemory { need, basis: "the model alone; its prompts are unknown".to_owned() })
    }

    fn config(&self, input: &'static str) -> Result<ModelConfig, String> {
        match self.origin(input) {
            None => Err(format!("`{input}` is not given")),
            Some(Origin::Stage(stage)) => {
                Origin::model_config(&self.inputs(input).next().expect("it is given").from)
                    .ok_or_else(|| stage.unknown())
            }
            Some(origin) => {
                origin.model_config().ok_or_else(|| "the model's config is unreadable".to_owned())
            }
        }
    }

    fn valid<P: DeserializeOwned>(&self) -> Result<P, String> {
        self.parameters().ok_or_else(|| "the parameters are incomplete".to_owned())
    }
}

fn scoring<'a>(
    config: &'a ModelConfig,
    device: DeviceName,
    dtype: &str,
    logits_bytes: usize,
) -> ScoringMemory<'a> {
    ScoringMemory {
        config,
        on_cpu: device == DeviceName::Cpu,
        format: format(dtype, device),
        models: 1.0,
        logits_bytes,
    }
}

fn scored(memory: ScoringMemory<'_>, batch_tokens: usize) -> StageMemory {
    let basis = format!("passes of `batch_tokens`, {batch_tokens}");
    StageMemory { need: memory.need(batch_tokens as f64), basis }
}

/// The format of a name, of which unknown ones are reported elsewhere.
fn format(dtype: &str, device: DeviceName) -> NumberFormat {
    number_format(dtype, device).unwrap_or(NumberFormat::Float32)
}
