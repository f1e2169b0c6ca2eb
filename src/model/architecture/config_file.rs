//! The `config.json` of Hugging Face directories, in and out: fields of transformers 5 and of
//! earlier versions.

use serde_json::{Map, Value, json};

use super::{
    Architecture, ConfigError, ModelConfig, NumberFormat, RotaryScaling,
    config_fields::ConfigFields, known_fields, rotary_fields::ROTARY_FIELDS,
};

impl ModelConfig {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// Names the field that is missing, wrong or unsupported.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let fields = ConfigFields(serde_json::from_str(text).map_err(ConfigError::Syntax)?);
        let architecture = architecture_of(&fields)?;
        fields.check_supported()?;
        known_fields::check(&fields.0)?;
        known_fields::check_of_architecture(&fields.0, architecture)?;
        let hidden_size = fields.size("hidden_size")?;
        let num_hidden_layers = fields.size("num_hidden_layers")?;
        let num_attention_heads = fields.size("num_attention_heads")?;
        let (key_value_heads, head_dim) =
            default_heads(architecture, num_attention_heads, hidden_size);
        // transformers takes its default where the field is missing, and all heads where it is
        // null.
        let is_null = fields.0.get("num_key_value_heads").is_some_and(Value::is_null);
        let key_value_heads = if is_null { num_attention_heads } else { key_value_heads };
        let max_position_embeddings =
            fields.size_or("max_position_embeddings", default_length(architecture))?;
        let attention_bias = matches!(architecture, Architecture::Llama | Architecture::Qwen3)
            && fields.flag("attention_bias")?;
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
            sliding_window: fields.sliding_window(
                architecture,
                num_hidden_layers,
                max_position_embeddings,
            )?,
            bos_token_id: fields.tokens("bos_token_id")?.first().copied(),
            eos_token_id: fields.tokens("eos_token_id")?,
            pad_token_id: fields.tokens("pad_token_id")?.first().copied(),
        };
        config.check_sizes()?;
        Ok(config)
    }

    /// The text of a `config.json` for transformers 5 and earlier versions; `format` is the
    /// weights' number format.
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

    /// Fields of only some architectures.
    fn own_fields(&self) -> Vec<(&'static str, Value)> {
        let length = self.sliding_window.as_ref().map(|window| window.length);
        let bias = json!(self.query_key_value_bias);
        match self.architecture {
            Architecture::Llama => {
                vec![("attention_bias", bias), ("mlp_bias", json!(self.feed_forward_bias))]
            }
            Architecture::Mistral => {
                let mut fields = vec![("sliding_window", json!(length))];
                // Only where needed: transformers reads a Mistral with `layer_types` as one whose
                // blocks differ.
                if length.is_some() && self.windows().any(|window| !window) {
                    fields.push(("layer_types", self.layer_types()));
                }
                fields
            }
            Architecture::Qwen2 => self.window_fields(length),
            Architecture::Qwen3 => {
                let mut fields = self.window_fields(length);
                fields.push(("attention_bias", bias));
                fields
            }
        }
    }

    /// For each block, whether it has a window.
    fn windows(&self) -> impl Iterator<Item = bool> {
        (0..self.num_hidden_layers).map(|block| self.window(block).is_some())
    }

    fn layer_types(&self) -> Value {
        self.windows()
            .map(|window| if window { "sliding_attention" } else { "full_attention" })
            .collect()
    }

    /// How Qwen's files say which blocks have a window.
    fn window_fields(&self, length: Option<usize>) -> Vec<(&'static str, Value)> {
        vec![
            ("layer_types", self.layer_types()),
            ("max_window_layers", json!(self.windows().take_while(|window| !window).count())),
            ("sliding_window", json!(length)),
            ("use_sliding_window", json!(length.is_some())),
        ]
    }

    fn check_sizes(&self) -> Result<(), ConfigError> {
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            let (heads, expected) =
                (self.num_key_value_heads, "it must divide `num_attention_heads`");
            return Err(ConfigError::wrong("num_key_value_heads", heads, expected));
        }
        if !self.head_dim.is_multiple_of(2) || self.head_dim == 0 {
            let expected = "the rotary embedding needs an even number";
            return Err(ConfigError::wrong("head_dim", self.head_dim, expected));
        }
        let expected = "it must be a token of the vocabulary";
        if let Some(token) =
            self.eos_token_id.iter().find(|token| **token as usize >= self.vocab_size)
        {
            return Err(ConfigError::wrong("eos_token_id", token, expected));
        }
        for (field, token) in
            [("bos_token_id", self.bos_token_id), ("pad_token_id", self.pad_token_id)]
        {
            // Llama 2 directories have -1 or the vocabulary's size where there is no padding token:
            // those are never looked up.
            if let Some(token) = token.filter(|token| *token as usize > self.vocab_size) {
                return Err(ConfigError::wrong(field, token, expected));
            }
        }
        Ok(())
    }
}

/// Remarks for the user on a `config.json`; none where it is not a JSON object.
pub(in crate::model) fn remarks(text: &str) -> Vec<String> {
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(text) else { return Vec::new() };
    let mut remarks = known_fields::remarks(&fields);
    for field in ["rope_scaling", "rope_parameters"] {
        let Some(table) = fields.get(field).and_then(Value::as_object) else { continue };
        let names: Vec<String> = table
            .iter()
            .filter(|(_, value)| !known_fields::is_nothing(value))
            .filter(|(name, _)| !ROTARY_FIELDS.contains(&name.as_str()))
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        if !names.is_empty() {
            remarks.push(format!(
                "config.json: {} of `{field}` is unknown and ignored",
                names.join(", ")
            ));
        }
    }
    remarks
}

/// The architecture that `architectures` and `model_type` agree on.
fn architecture_of(fields: &ConfigFields) -> Result<Architecture, ConfigError> {
    let class = fields.get("architectures").and_then(|names| names.get(0));
    let name = class.or_else(|| fields.get("model_type")).and_then(Value::as_str);
    let name = name.ok_or(ConfigError::Missing("architectures"))?;
    let found = architecture(name)?;
    // transformers decides by `model_type`, others by `architectures`.
    let Some(model_type) = fields.get("model_type").and_then(Value::as_str) else {
        return Ok(found);
    };
    if architecture(model_type)? != found {
        return Err(ConfigError::TwoArchitectures {
            class: name.to_owned(),
            model_type: model_type.to_owned(),
        });
    }
    Ok(found)
}

fn architecture(name: &str) -> Result<Architecture, ConfigError> {
    Architecture::named(name).ok_or_else(|| ConfigError::Architecture { found: name.to_owned() })
}

/// Key and value heads and head size where `config.json` has none, with transformers' defaults.
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

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::model::architecture::{
        Rotary,
        config::tests::{one_of_each, tiny},
    };

    fn with(field: &str, value: Value) -> String {
        let mut fields: Map<String, Value> =
            serde_json::from_str(&tiny().to_json(NumberFormat::Float32)).unwrap();
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
            assert_eq!(
                ModelConfig::from_json(&config.to_json(NumberFormat::Float32)).unwrap(),
                config
            );
        }
    }

    #[test]
    fn what_is_not_said_is_as_in_transformers() {
        let llama = bare("LlamaForCausalLM", json!({}));
        assert_eq!(
            (llama.num_key_value_heads, llama.head_dim, llama.max_position_embeddings),
            (32, 2, 2048)
        );
        let mistral = bare("MistralForCausalLM", json!({}));
        assert_eq!((mistral.num_key_value_heads, mistral.max_position_embeddings), (8, 131_072));
        assert_eq!(mistral.window(29), Some(4096));
        assert_eq!(
            bare("MistralForCausalLM", json!({"sliding_window": null})).sliding_window,
            None
        );
        let qwen2 = bare("Qwen2ForCausalLM", json!({"sliding_window": 7}));
        assert_eq!(
            (qwen2.head_dim, qwen2.query_key_value_bias, qwen2.attention_output_bias),
            (2, true, false)
        );
        assert_eq!(qwen2.sliding_window, None);
        let windows =
            bare("Qwen2ForCausalLM", json!({"sliding_window": 7, "use_sliding_window": true}));
        assert_eq!([27, 28, 29].map(|block| windows.window(block)), [None, Some(7), Some(7)]);
        let qwen3 = bare("Qwen3ForCausalLM", json!({"num_key_value_heads": 4}));
        assert_eq!(
            (qwen3.head_dim, qwen3.num_key_value_heads, qwen3.query_key_norm),
            (128, 4, true)
        );
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
        let read =
            bare("LlamaForCausalLM", json!({"rope_scaling": yarn, "rope_theta": 7.0})).rotary;
        let RotaryScaling::Yarn(yarn) = read.scaling else { panic!("{:?}", read.scaling) };
        assert_eq!(
            (read.theta, yarn.factor, yarn.original_max_position_embeddings),
            (7.0, 4.0, 64)
        );
        assert_eq!(
            (yarn.beta_fast, yarn.beta_slow, yarn.truncate, yarn.mscale),
            (32.0, 1.0, true, None)
        );
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
            unknown architecture `GPT2LMHeadModel`; known: `LlamaForCausalLM`, `MistralForCausalLM`, `Qwen2ForCausalLM`, `Qwen3ForCausalLM`
            the field `low_freq_factor` is missing
            the field `rope_scaling` is {"factor":2.0,"type":"dynamic"}, which is not supported: the rotary types are `default`, `linear`, `llama3` and `yarn`, the same for all layers
            the field `rope_parameters` is {"full_attention":{"rope_theta":2.0}}, which is not supported: the rotary types are `default`, `linear`, `llama3` and `yarn`, the same for all layers
            the field `partial_rotary_factor` is 0.5, which is not supported: rotary embeddings cover the whole head
            the field `quantization_config` is {"bits":4}, which is not supported: weights are float32, float16 or bfloat16
            the field `hidden_act` is "gelu", which is not supported: the activation is `silu`
            the field `hidden_size` is 0, but it must be an integer from 1 to 16777216
            the field `vocab_size` is "many", but it must be an integer from 1 to 16777216
            the field `num_key_value_heads` is 3, but it must divide `num_attention_heads`
            the field `mlp_bias` is "yes", but it must be true or false
            the field `hidden_size` is missing"#]].assert_eq(&messages.join("\n"));
    }
}
