//! The `config.json` of Hugging Face directories, in and out: transformers 5's words and those of earlier versions.

use serde_json::{Map, Value, json};

use super::{Architecture, ModelConfig, NumberFormat, RotaryScaling, SlidingWindow, known_fields};

mod rotary_fields;

use rotary_fields::ROTARY_FIELDS;

/// No real model has a size beyond this; a larger one is a damaged file.
const LARGEST_SIZE: u64 = 1 << 24;
/// What stands where no text would help.
const SIZES: &str = "it must be a whole number from 1 to 16777216";

/// Why a `config.json` is not one of ours.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is not JSON.
    #[error("it is not a JSON object: {0}")]
    Syntax(serde_json::Error),
    /// A field that must be there is not.
    #[error("the field `{0}` is missing")]
    Missing(&'static str),
    /// A field's value makes no sense.
    #[error("the field `{field}` is {found}, but {expected}")]
    Wrong {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The architecture is another one.
    #[error("the architecture `{found}` is not known; known are {known}", known = known_architectures())]
    Architecture {
        /// Its name.
        found: String,
    },
    /// The architecture is said twice, differently.
    #[error("`architectures` is `{class}`, but `model_type` is `{model_type}`: they must name the same architecture")]
    TwoArchitectures {
        /// What `architectures` says.
        class: String,
        /// What `model_type` says.
        model_type: String,
    },
    /// It asks for something that only other architectures have.
    #[error("the field `{field}` is {found}, but the architecture is `{architecture}`: {supported}")]
    NotOfArchitecture {
        /// The architecture.
        architecture: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What the architecture has.
        supported: &'static str,
    },
    /// It asks for something that we do not have.
    #[error("the field `{field}` is {found}, which is not supported: {supported}")]
    Unsupported {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What is supported.
        supported: &'static str,
    },
}

fn known_architectures() -> String {
    Architecture::ALL.map(|architecture| format!("`{}`", architecture.class())).join(", ")
}

impl ModelConfig {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// Names the field that is missing or wrong, or that asks for something that we do not have.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let fields = Fields(serde_json::from_str(text).map_err(ConfigError::Syntax)?);
        let architecture = fields.architecture()?;
        fields.check_supported()?;
        known_fields::check(&fields.0)?;
        known_fields::check_of_architecture(&fields.0, architecture)?;
        let hidden_size = fields.size("hidden_size")?;
        let num_hidden_layers = fields.size("num_hidden_layers")?;
        let num_attention_heads = fields.size("num_attention_heads")?;
        let (key_value_heads, head_dim) = default_heads(architecture, num_attention_heads, hidden_size);
        // transformers takes its default where the field is missing, and all heads where it is null.
        let is_null = fields.0.get("num_key_value_heads").is_some_and(Value::is_null);
        let key_value_heads = if is_null { num_attention_heads } else { key_value_heads };
        let max_position_embeddings = fields.size_or("max_position_embeddings", default_length(architecture))?;
        let attention_bias =
            matches!(architecture, Architecture::Llama | Architecture::Qwen3) && fields.flag("attention_bias")?;
        let config = Self {
            architecture,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads: fields.size_or("num_key_value_heads", key_value_heads)?,
            head_dim: fields.size_or("head_dim", head_dim)?,
            vocab_size: fields.size("vocab_size")?,
            rms_norm_eps: fields.number("rms_norm_eps", 1e-6)?,
            rotary: fields.rotary(max_position_embeddings)?,
            max_position_embeddings,
            tie_word_embeddings: fields.flag("tie_word_embeddings")?,
            query_key_value_bias: attention_bias || architecture == Architecture::Qwen2,
            attention_output_bias: attention_bias,
            feed_forward_bias: architecture == Architecture::Llama && fields.flag("mlp_bias")?,
            query_key_norm: architecture == Architecture::Qwen3,
            sliding_window: fields.sliding_window(architecture, num_hidden_layers, max_position_embeddings)?,
            bos_token_id: fields.tokens("bos_token_id")?.first().copied(),
            eos_token_id: fields.tokens("eos_token_id")?,
            pad_token_id: fields.tokens("pad_token_id")?.first().copied(),
        };
        config.check_sizes()?;
        Ok(config)
    }

    /// The text of a `config.json` that transformers reads, in version 5's and in earlier ones' words; `format` is that of
    /// the weights beside it.
    pub fn to_json(&self, format: NumberFormat) -> String {
        let eos = match self.eos_token_id.as_slice() {
            [one] => json!(one),
            several => json!(several),
        };
        let rotary = self.rotary.to_json();
        let mut fields = json!({
            "architectures": [self.architecture.class()],
            "attention_dropout": 0.0,
            "bos_token_id": self.bos_token_id,
            "dtype": format.name(),
            "eos_token_id": eos,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "model_type": self.architecture.model_type(),
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "pad_token_id": self.pad_token_id,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_parameters": rotary,
            "rope_theta": self.rotary.theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": format.name(),
            "use_cache": true,
            "vocab_size": self.vocab_size,
        });
        if self.rotary.scaling != RotaryScaling::Default {
            fields["rope_scaling"] = rotary;
        }
        for (field, value) in self.own_fields() {
            fields[field] = value;
        }
        format!("{fields:#}\n")
    }

    /// The fields that only some architectures have.
    fn own_fields(&self) -> Vec<(&'static str, Value)> {
        let length = self.sliding_window.as_ref().map(|window| window.length);
        let kinds = |window: bool| if window { "sliding_attention" } else { "full_attention" };
        let blocks = (0..self.num_hidden_layers).map(|block| self.window(block).is_some());
        let windows = || {
            vec![
                ("layer_types", blocks.clone().map(kinds).collect()),
                ("max_window_layers", json!(blocks.clone().take_while(|window| !window).count())),
                ("sliding_window", json!(length)),
                ("use_sliding_window", json!(length.is_some())),
            ]
        };
        match self.architecture {
            Architecture::Llama => {
                vec![("attention_bias", json!(self.query_key_value_bias)), ("mlp_bias", json!(self.feed_forward_bias))]
            }
            Architecture::Mistral => {
                // transformers reads a Mistral with `layer_types` as one whose blocks differ.
                let types = || ("layer_types", blocks.clone().map(kinds).collect());
                let differ = length.is_some() && blocks.clone().any(|window| !window);
                std::iter::once(("sliding_window", json!(length))).chain(differ.then(types)).collect()
            }
            Architecture::Qwen2 => windows(),
            Architecture::Qwen3 => {
                let mut fields = windows();
                fields.push(("attention_bias", json!(self.query_key_value_bias)));
                fields
            }
        }
    }

    fn check_sizes(&self) -> Result<(), ConfigError> {
        let wrong =
            |field, found: usize, expected| Err(ConfigError::Wrong { field, found: found.to_string(), expected });
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            let expected = "it must divide `num_attention_heads`";
            return wrong("num_key_value_heads", self.num_key_value_heads, expected);
        }
        if !self.head_dim.is_multiple_of(2) || self.head_dim == 0 {
            return wrong("head_dim", self.head_dim, "the rotary embedding needs an even number");
        }
        if let Some(token) = self.eos_token_id.iter().find(|token| **token as usize >= self.vocab_size) {
            return wrong("eos_token_id", *token as usize, "it must be a token of the vocabulary");
        }
        for (field, token) in [("bos_token_id", self.bos_token_id), ("pad_token_id", self.pad_token_id)] {
            // Llama 2 directories say -1 or the vocabulary's size where there is no padding token: those are never looked up.
            if let Some(token) = token.filter(|token| *token as usize > self.vocab_size) {
                return wrong(field, token as usize, "it must be a token of the vocabulary");
            }
        }
        Ok(())
    }
}

/// What a person should know of a `config.json` that is read; nothing where it is no JSON object.
pub(in crate::model) fn remarks(text: &str) -> Vec<String> {
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(text) else { return Vec::new() };
    let mut remarks = known_fields::remarks(&fields);
    for field in ["rope_scaling", "rope_parameters"] {
        let Some(table) = fields.get(field).and_then(Value::as_object) else { continue };
        let passed_over = |(name, value): &(&String, &Value)| {
            !known_fields::is_nothing(value) && !ROTARY_FIELDS.contains(&name.as_str())
        };
        let names: Vec<String> = table.iter().filter(passed_over).map(|(name, _)| format!("`{name}`")).collect();
        if !names.is_empty() {
            remarks.push(format!("config.json: {} of `{field}` is not known and not used", names.join(", ")));
        }
    }
    remarks
}

/// Key and value heads, and the width of a head, where `config.json` says nothing, as transformers takes them.
fn default_heads(architecture: Architecture, heads: usize, hidden: usize) -> (usize, usize) {
    let width = if architecture == Architecture::Qwen3 { 128 } else { hidden / heads };
    match architecture {
        Architecture::Llama => (heads, width),
        Architecture::Mistral => (8, width),
        Architecture::Qwen2 | Architecture::Qwen3 => (32, width),
    }
}

fn default_length(architecture: Architecture) -> usize {
    match architecture {
        Architecture::Llama => 2048,
        Architecture::Mistral => 1 << 17,
        Architecture::Qwen2 | Architecture::Qwen3 => 1 << 15,
    }
}

/// The fields of a `config.json`, or of a table in it.
struct Fields(Map<String, Value>);

impl Fields {
    fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    fn architecture(&self) -> Result<Architecture, ConfigError> {
        let class = self.get("architectures").and_then(|names| names.get(0));
        let name = class.or_else(|| self.get("model_type")).and_then(Value::as_str);
        let name = name.ok_or(ConfigError::Missing("architectures"))?;
        let unknown = |name: &str| ConfigError::Architecture { found: name.to_owned() };
        let found = Architecture::named(name).ok_or_else(|| unknown(name))?;
        // transformers goes by `model_type`, others by `architectures`.
        match self.get("model_type").and_then(Value::as_str) {
            Some(model_type) if Architecture::named(model_type).is_some_and(|other| other != found) => {
                Err(ConfigError::TwoArchitectures { class: name.to_owned(), model_type: model_type.to_owned() })
            }
            Some(model_type) if Architecture::named(model_type).is_none() => Err(unknown(model_type)),
            _ => Ok(found),
        }
    }

    fn check_supported(&self) -> Result<(), ConfigError> {
        let unsupported = |field, supported| {
            let found = self.get(field).map_or_else(String::new, Value::to_string);
            Err(ConfigError::Unsupported { field, found, supported })
        };
        let is_silu = |value: &Value| value.as_str().is_some_and(|name| ["silu", "swish"].contains(&name));
        if !self.get("hidden_act").is_none_or(is_silu) {
            return unsupported("hidden_act", "the activation is `silu`");
        }
        if !self.get("partial_rotary_factor").is_none_or(|share| share.as_f64() == Some(1.0)) {
            return unsupported("partial_rotary_factor", "all of a head is rotated");
        }
        Ok(())
    }

    /// Which blocks have the window: those that `layer_types` names; else all of a Mistral, and those of a Qwen from
    /// `max_window_layers` on. As in transformers, which reads a Mistral with `layer_types` as a Ministral.
    fn sliding_window(
        &self,
        architecture: Architecture,
        blocks: usize,
        longest: usize,
    ) -> Result<Option<SlidingWindow>, ConfigError> {
        let kinds = self.get("layer_types").map(|kinds| layer_types(kinds, blocks)).transpose()?;
        let length = self.window_length(architecture, longest)?;
        let Some(length) = length else {
            let field = "layer_types";
            let found = || self.get(field).map_or_else(String::new, Value::to_string);
            let supported = "without a window (`sliding_window`, for Qwen with `use_sliding_window`) all layers have \
                             `full_attention`";
            return match kinds.is_some_and(|windows| windows.contains(&true)) {
                true => Err(ConfigError::Unsupported { field, found: found(), supported }),
                false => Ok(None),
            };
        };
        let windows = match (architecture, kinds) {
            (_, Some(windows)) => windows,
            (Architecture::Mistral, None) => vec![true; blocks],
            (_, None) => {
                let first = self.get("max_window_layers").map_or(Ok(28), |_| self.count("max_window_layers"))?;
                (0..blocks).map(|block| block >= first).collect()
            }
        };
        Ok(Some(SlidingWindow { length, blocks: windows }))
    }

    /// How far back attention reaches where a block has the window.
    fn window_length(&self, architecture: Architecture, longest: usize) -> Result<Option<usize>, ConfigError> {
        let said = self.get("sliding_window").map(|_| self.size("sliding_window")).transpose()?;
        match architecture {
            // Its attention has none, but a cache of transformers would forget what lies before it.
            Architecture::Llama => match said.filter(|length| *length < longest) {
                None => Ok(None),
                Some(length) => Err(ConfigError::NotOfArchitecture {
                    architecture: architecture.class(),
                    field: "sliding_window",
                    found: length.to_string(),
                    supported: "its attention reaches back to the first token",
                }),
            },
            Architecture::Qwen2 | Architecture::Qwen3 if !self.flag("use_sliding_window")? => Ok(None),
            // transformers takes 4096 where the field is missing, and no window where it is null.
            _ if !self.0.contains_key("sliding_window") => Ok(Some(4096)),
            _ => Ok(said),
        }
    }

    fn size(&self, field: &'static str) -> Result<usize, ConfigError> {
        match self.count(field)? {
            0 => Err(ConfigError::Wrong { field, found: "0".to_owned(), expected: SIZES }),
            size => Ok(size),
        }
    }

    fn count(&self, field: &'static str) -> Result<usize, ConfigError> {
        let value = self.get(field).ok_or(ConfigError::Missing(field))?;
        match value.as_u64() {
            Some(size @ 0..=LARGEST_SIZE) => Ok(size as usize),
            _ => Err(ConfigError::Wrong { field, found: value.to_string(), expected: SIZES }),
        }
    }

    fn size_or(&self, field: &'static str, default: usize) -> Result<usize, ConfigError> {
        self.get(field).map_or(Ok(default), |_| self.size(field))
    }

    fn number(&self, field: &'static str, default: f64) -> Result<f64, ConfigError> {
        self.get(field).map_or(Ok(default), |value| positive(field, value))
    }

    fn required_number(&self, field: &'static str) -> Result<f64, ConfigError> {
        positive(field, self.get(field).ok_or(ConfigError::Missing(field))?)
    }

    fn flag(&self, field: &'static str) -> Result<bool, ConfigError> {
        self.flag_or(field, false)
    }

    fn flag_or(&self, field: &'static str, default: bool) -> Result<bool, ConfigError> {
        let Some(value) = self.get(field) else { return Ok(default) };
        let wrong = || ConfigError::Wrong { field, found: value.to_string(), expected: "it must be true or false" };
        value.as_bool().ok_or_else(wrong)
    }

    /// One token or several, or none.
    fn tokens(&self, field: &'static str) -> Result<Vec<u32>, ConfigError> {
        self.get(field).map_or(Ok(Vec::new()), |value| tokens(field, value))
    }
}

/// Which blocks have the window, as `layer_types` says.
fn layer_types(kinds: &Value, blocks: usize) -> Result<Vec<bool>, ConfigError> {
    let field = "layer_types";
    let read = |kind: &Value| match kind.as_str() {
        Some("sliding_attention") => Ok(true),
        Some("full_attention" | "attention") => Ok(false),
        _ => Err(ConfigError::Unsupported {
            field,
            found: kind.to_string(),
            supported: "layers have `full_attention` or `sliding_attention`",
        }),
    };
    let windows: Vec<bool> = kinds.as_array().into_iter().flatten().map(read).collect::<Result<_, _>>()?;
    if windows.len() == blocks {
        return Ok(windows);
    }
    let expected = "it must be a list with one entry for each of `num_hidden_layers`";
    Err(ConfigError::Wrong { field, found: kinds.to_string(), expected })
}

/// One token or a list of them; -1 stands for none.
pub(in crate::model) fn tokens(field: &'static str, value: &Value) -> Result<Vec<u32>, ConfigError> {
    let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let expected = "it must be a token or a list of tokens";
    let wrong = || ConfigError::Wrong { field, found: value.to_string(), expected };
    let read = |value: &Value| value.as_u64().and_then(|token| u32::try_from(token).ok()).ok_or_else(wrong);
    values.iter().filter(|value| value.as_i64() != Some(-1)).map(read).collect()
}

fn positive(field: &'static str, value: &Value) -> Result<f64, ConfigError> {
    let wrong = || ConfigError::Wrong { field, found: value.to_string(), expected: "it must be a number above 0" };
    value.as_f64().filter(|number| number.is_finite() && *number > 0.0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::model::architecture::{
        Rotary,
        config::tests::{one_of_each, tiny},
    };

    fn with(field: &str, value: Value) -> String {
        let mut fields: Map<String, Value> = serde_json::from_str(&tiny().to_json(NumberFormat::Float32)).unwrap();
        fields.insert(field.to_owned(), value);
        ModelConfig::from_json(&Value::Object(fields).to_string()).unwrap_err().to_string()
    }

    /// A config of an architecture with nothing but its sizes and these fields.
    fn bare(class: &str, fields: Value) -> ModelConfig {
        let mut all = json!({"architectures": [class], "hidden_size": 64, "intermediate_size": 8, "num_hidden_layers": 30,
            "num_attention_heads": 32, "vocab_size": 9});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        ModelConfig::from_json(&all.to_string()).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        for config in one_of_each() {
            assert_eq!(ModelConfig::from_json(&config.to_json(NumberFormat::Float32)).unwrap(), config);
        }
    }

    #[test]
    fn what_is_not_said_is_as_in_transformers() {
        let llama = bare("LlamaForCausalLM", json!({}));
        assert_eq!((llama.num_key_value_heads, llama.head_dim, llama.max_position_embeddings), (32, 2, 2048));
        let mistral = bare("MistralForCausalLM", json!({}));
        assert_eq!((mistral.num_key_value_heads, mistral.max_position_embeddings), (8, 131_072));
        assert_eq!(mistral.window(29), Some(4096));
        assert_eq!(bare("MistralForCausalLM", json!({"sliding_window": null})).sliding_window, None);
        let qwen2 = bare("Qwen2ForCausalLM", json!({"sliding_window": 7}));
        assert_eq!((qwen2.head_dim, qwen2.query_key_value_bias, qwen2.attention_output_bias), (2, true, false));
        assert_eq!(qwen2.sliding_window, None);
        let windows = bare("Qwen2ForCausalLM", json!({"sliding_window": 7, "use_sliding_window": true}));
        assert_eq!([27, 28, 29].map(|block| windows.window(block)), [None, Some(7), Some(7)]);
        let qwen3 = bare("Qwen3ForCausalLM", json!({"num_key_value_heads": 4}));
        assert_eq!((qwen3.head_dim, qwen3.num_key_value_heads, qwen3.query_key_norm), (128, 4, true));
    }

    #[test]
    fn all_spellings_of_rotary_positions_are_read() {
        let yarn = json!({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "mscale": 1.0});
        for (fields, theta) in [
            (json!({"rope_theta": 7.0}), 7.0),
            (json!({"rope_parameters": {"rope_type": "default", "rope_theta": 7.0}}), 7.0),
            (json!({"rope_parameters": {"rope_theta": 7.0}, "rope_theta": 5.0}), 7.0),
            (json!({"rope_scaling": null}), 10_000.0),
        ] {
            let config = bare("LlamaForCausalLM", fields);
            assert_eq!(config.rotary, Rotary { theta, scaling: RotaryScaling::Default });
        }
        let read = bare("LlamaForCausalLM", json!({"rope_scaling": yarn, "rope_theta": 7.0})).rotary;
        let RotaryScaling::Yarn(yarn) = read.scaling else { panic!("{:?}", read.scaling) };
        assert_eq!((read.theta, yarn.factor, yarn.original_max_position_embeddings), (7.0, 4.0, 64));
        assert_eq!((yarn.beta_fast, yarn.beta_slow, yarn.truncate, yarn.mscale), (32.0, 1.0, true, None));
    }

    #[test]
    fn what_we_do_not_have_is_named() {
        let messages = [
            with("architectures", json!(["GPT2LMHeadModel"])),
            with("rope_parameters", json!({"rope_type": "llama3", "factor": 8.0})),
            with("rope_scaling", json!({"type": "dynamic", "factor": 2.0})),
            with("rope_parameters", json!({"full_attention": {"rope_theta": 2.0}})),
            with("rope_parameters", json!({"rope_type": "default", "partial_rotary_factor": 0.5})),
            with("quantization_config", json!({"bits": 4})),
            with("hidden_act", json!("gelu")),
            with("hidden_size", json!(0)),
            with("vocab_size", json!("many")),
            with("num_key_value_heads", json!(3)),
            with("mlp_bias", json!("yes")),
            with("hidden_size", Value::Null),
        ];
        expect![[r#"
            the architecture `GPT2LMHeadModel` is not known; known are `LlamaForCausalLM`, `MistralForCausalLM`, `Qwen2ForCausalLM`, `Qwen3ForCausalLM`
            the field `low_freq_factor` is missing
            the field `rope_scaling` is {"factor":2.0,"type":"dynamic"}, which is not supported: the rotary types are `default`, `linear`, `llama3` and `yarn`, the same for all layers
            the field `rope_parameters` is {"full_attention":{"rope_theta":2.0}}, which is not supported: the rotary types are `default`, `linear`, `llama3` and `yarn`, the same for all layers
            the field `partial_rotary_factor` is 0.5, which is not supported: all of a head is rotated
            the field `quantization_config` is {"bits":4}, which is not supported: weights are float32, float16 or bfloat16
            the field `hidden_act` is "gelu", which is not supported: the activation is `silu`
            the field `hidden_size` is 0, but it must be a whole number from 1 to 16777216
            the field `vocab_size` is "many", but it must be a whole number from 1 to 16777216
            the field `num_key_value_heads` is 3, but it must divide `num_attention_heads`
            the field `mlp_bias` is "yes", but it must be true or false
            the field `hidden_size` is missing"#]].assert_eq(&messages.join("\n"));
    }
}
