//! What a model is made of: the `config.json` of Hugging Face directories.

use serde_json::{Map, Value, json};

/// The architecture that we have, as `architectures` in `config.json` names it.
const ARCHITECTURE: &str = "LlamaForCausalLM";
/// No real model has a size beyond this; a larger one is a damaged file.
const LARGEST_SIZE: u64 = 1 << 24;

/// The sizes and constants of a Llama-family model, under the names of Hugging Face's `LlamaConfig`.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width of the feed-forward layers.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key and value heads; a divisor of the number of query heads.
    pub num_key_value_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Number of tokens.
    pub vocab_size: usize,
    /// What is added to the mean square before its root is taken.
    pub rms_norm_eps: f64,
    /// The base of the rotary embedding's wave lengths.
    pub rope_theta: f64,
    /// The longest text, in tokens.
    pub max_position_embeddings: usize,
    /// Whether the output layer is the embedding.
    pub tie_word_embeddings: bool,
    /// The token that begins a text.
    pub bos_token_id: Option<u32>,
    /// The tokens that end a text.
    pub eos_token_id: Vec<u32>,
    /// The token that fills up rows of a batch.
    pub pad_token_id: Option<u32>,
}

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
    #[error("the architecture `{0}` is not known; the known one is `{ARCHITECTURE}`")]
    Architecture(String),
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

impl ModelConfig {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// Names the field that is missing or wrong, or that asks for something that we do not have.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let fields = Fields(serde_json::from_str(text).map_err(ConfigError::Syntax)?);
        fields.check_architecture()?;
        fields.check_supported()?;
        let hidden_size = fields.size("hidden_size")?;
        let num_attention_heads = fields.size("num_attention_heads")?;
        let config = Self {
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            num_hidden_layers: fields.size("num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads: fields.size_or("num_key_value_heads", num_attention_heads)?,
            head_dim: fields.size_or("head_dim", hidden_size / num_attention_heads)?,
            vocab_size: fields.size("vocab_size")?,
            rms_norm_eps: fields.number("rms_norm_eps", 1e-6)?,
            rope_theta: fields.rope_theta()?,
            max_position_embeddings: fields.size_or("max_position_embeddings", 2048)?,
            tie_word_embeddings: fields.flag("tie_word_embeddings")?,
            bos_token_id: fields.tokens("bos_token_id")?.first().copied(),
            eos_token_id: fields.tokens("eos_token_id")?,
            pad_token_id: fields.tokens("pad_token_id")?.first().copied(),
        };
        config.check_sizes()?;
        Ok(config)
    }

    /// The text of a `config.json` that transformers reads, in version 5's and in earlier ones' words.
    pub fn to_json(&self) -> String {
        let eos = match self.eos_token_id.as_slice() {
            [one] => json!(one),
            several => json!(several),
        };
        let fields = json!({
            "architectures": [ARCHITECTURE],
            "attention_bias": false,
            "attention_dropout": 0.0,
            "bos_token_id": self.bos_token_id,
            "dtype": "float32",
            "eos_token_id": eos,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "mlp_bias": false,
            "model_type": "llama",
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "pad_token_id": self.pad_token_id,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_parameters": {"rope_theta": self.rope_theta, "rope_type": "default"},
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": "float32",
            "use_cache": true,
            "vocab_size": self.vocab_size,
        });
        format!("{fields:#}\n")
    }

    /// Columns of the fused projection to queries, keys and values.
    pub(crate) fn query_key_value_size(&self) -> usize {
        (self.num_attention_heads + 2 * self.num_key_value_heads) * self.head_dim
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
        for (field, token) in [("bos_token_id", self.bos_token_id), ("pad_token_id", self.pad_token_id)] {
            // Llama 2 directories say -1 or the vocabulary's size where there is no padding token: those are never looked up.
            if let Some(token) = token.filter(|token| *token as usize > self.vocab_size) {
                return wrong(field, token as usize, "it must be a token of the vocabulary");
            }
        }
        Ok(())
    }
}

/// The fields of a `config.json`.
struct Fields(Map<String, Value>);

impl Fields {
    fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    fn check_architecture(&self) -> Result<(), ConfigError> {
        let named = self.get("architectures").and_then(|names| names.get(0)).or_else(|| self.get("model_type"));
        match named.and_then(Value::as_str) {
            Some(ARCHITECTURE | "llama") => Ok(()),
            Some(other) => Err(ConfigError::Architecture(other.to_owned())),
            None => Err(ConfigError::Missing("architectures")),
        }
    }

    fn check_supported(&self) -> Result<(), ConfigError> {
        let supported = [
            ("attention_bias", json!(false), "projections have no biases"),
            ("mlp_bias", json!(false), "feed-forward layers have no biases"),
            ("hidden_act", json!("silu"), "the activation is `silu`"),
            ("pretraining_tp", json!(1), "weights are not split"),
            ("partial_rotary_factor", json!(1.0), "all of a head is rotated"),
        ];
        for (field, only, supported) in supported {
            let same = |value: &Value| *value == only || (value.is_number() && value.as_f64() == only.as_f64());
            if let Some(found) = self.get(field).filter(|value| !same(value)) {
                return Err(ConfigError::Unsupported { field, found: found.to_string(), supported });
            }
        }
        for (field, supported) in [
            ("quantization_config", "weights are f32, f16 or bf16"),
            ("sliding_window", "attention reaches back to the first token"),
        ] {
            if let Some(found) = self.get(field) {
                return Err(ConfigError::Unsupported { field, found: found.to_string(), supported });
            }
        }
        Ok(())
    }

    /// `rope_parameters` of transformers 5, or `rope_theta` and `rope_scaling` of earlier versions.
    fn rope_theta(&self) -> Result<f64, ConfigError> {
        let mut theta = self.number("rope_theta", 10_000.0)?;
        for field in ["rope_parameters", "rope_scaling"] {
            let Some(found) = self.get(field) else { continue };
            let kind = found.get("rope_type").or_else(|| found.get("type")).and_then(Value::as_str);
            if !found.is_object() || !matches!(kind, None | Some("default")) {
                let supported = "the only rotary embedding is that with `rope_type` `default`";
                return Err(ConfigError::Unsupported { field, found: found.to_string(), supported });
            }
            if let Some(value) = found.get("rope_theta") {
                theta = positive("rope_theta", value)?;
            }
        }
        Ok(theta)
    }

    fn size(&self, field: &'static str) -> Result<usize, ConfigError> {
        let value = self.get(field).ok_or(ConfigError::Missing(field))?;
        match value.as_u64() {
            Some(size @ 1..=LARGEST_SIZE) => Ok(size as usize),
            _ => Err(ConfigError::Wrong {
                field,
                found: value.to_string(),
                expected: "it must be a whole number from 1 to 16777216",
            }),
        }
    }

    fn size_or(&self, field: &'static str, default: usize) -> Result<usize, ConfigError> {
        self.get(field).map_or(Ok(default), |_| self.size(field))
    }

    fn number(&self, field: &'static str, default: f64) -> Result<f64, ConfigError> {
        self.get(field).map_or(Ok(default), |value| positive(field, value))
    }

    fn flag(&self, field: &'static str) -> Result<bool, ConfigError> {
        let Some(value) = self.get(field) else { return Ok(false) };
        let wrong = || ConfigError::Wrong { field, found: value.to_string(), expected: "it must be true or false" };
        value.as_bool().ok_or_else(wrong)
    }

    /// One token or several, or none.
    fn tokens(&self, field: &'static str) -> Result<Vec<u32>, ConfigError> {
        self.get(field).map_or(Ok(Vec::new()), |value| tokens(field, value))
    }
}

/// One token or a list of them; -1 stands for none.
pub(crate) fn tokens(field: &'static str, value: &Value) -> Result<Vec<u32>, ConfigError> {
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
pub(crate) mod tests {
    use super::*;
    use expect_test::expect;

    /// Two blocks of width 16, as the tests of this room use it.
    pub(crate) fn tiny() -> ModelConfig {
        ModelConfig {
            hidden_size: 16,
            intermediate_size: 24,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 4,
            vocab_size: 32,
            rms_norm_eps: 1e-5,
            rope_theta: 500.0,
            max_position_embeddings: 64,
            tie_word_embeddings: true,
            bos_token_id: Some(0),
            eos_token_id: vec![1],
            pad_token_id: Some(2),
        }
    }

    fn with(field: &str, value: Value) -> String {
        let mut fields: Map<String, Value> = serde_json::from_str(&tiny().to_json()).unwrap();
        fields.insert(field.to_owned(), value);
        ModelConfig::from_json(&Value::Object(fields).to_string()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let several = ModelConfig { eos_token_id: vec![1, 5], pad_token_id: None, ..tiny() };
        for config in [tiny(), several] {
            assert_eq!(ModelConfig::from_json(&config.to_json()).unwrap(), config);
        }
    }

    #[test]
    fn both_spellings_of_the_rotary_base_are_read() {
        let sizes = r#""model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "vocab_size": 9"#;
        for rope in [r#""rope_theta": 7.0"#, r#""rope_parameters": {"rope_type": "default", "rope_theta": 7.0}"#] {
            let config = ModelConfig::from_json(&format!("{{{sizes}, {rope}}}")).unwrap();
            assert_eq!((config.rope_theta, config.head_dim, config.num_key_value_heads), (7.0, 4, 2));
        }
    }

    #[test]
    fn what_we_do_not_have_is_named() {
        let messages = [
            with("architectures", json!(["GPT2LMHeadModel"])),
            with("rope_parameters", json!({"rope_type": "llama3", "factor": 8.0})),
            with("rope_scaling", json!({"type": "linear", "factor": 2.0})),
            with("attention_bias", json!(true)),
            with("hidden_size", json!(0)),
            with("vocab_size", json!("many")),
            with("num_key_value_heads", json!(3)),
            with("hidden_size", Value::Null),
        ];
        expect![[r#"
            the architecture `GPT2LMHeadModel` is not known; the known one is `LlamaForCausalLM`
            the field `rope_parameters` is {"factor":8.0,"rope_type":"llama3"}, which is not supported: the only rotary embedding is that with `rope_type` `default`
            the field `rope_scaling` is {"factor":2.0,"type":"linear"}, which is not supported: the only rotary embedding is that with `rope_type` `default`
            the field `attention_bias` is true, which is not supported: projections have no biases
            the field `hidden_size` is 0, but it must be a whole number from 1 to 16777216
            the field `vocab_size` is "many", but it must be a whole number from 1 to 16777216
            the field `num_key_value_heads` is 3, but it must divide `num_attention_heads`
            the field `hidden_size` is missing"#]]
        .assert_eq(&messages.join("\n"));
    }
}
