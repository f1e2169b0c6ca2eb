//! The `adapter_config.json` of PEFT: target layers, ranks and scales.

use std::fmt;

use regex::Regex;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, json};

/// Configuration of a LoRA adapter, under PEFT's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterConfig {
    /// Name or path of its base model; may be empty.
    #[serde(default, deserialize_with = "or_default")]
    pub base_model_name_or_path: String,
    /// The rank of updates.
    pub r: usize,
    /// LoRA alpha; the scale is alpha / rank (or / its root).
    pub lora_alpha: f64,
    /// Dropout rate in training.
    #[serde(default)]
    pub lora_dropout: f64,
    /// Target layers.
    pub target_modules: Targets,
    /// Other ranks, for modules that match these patterns.
    #[serde(default, deserialize_with = "or_default")]
    pub rank_pattern: Patterns<usize>,
    /// Other alphas, for modules that match these patterns.
    #[serde(default, deserialize_with = "or_default")]
    pub alpha_pattern: Patterns<f64>,
    /// Whether the scale is alpha over the rank's root (rsLoRA, Kalajdzievski 2023, arXiv
    /// 2312.03732).
    #[serde(default)]
    pub use_rslora: bool,
    /// Indices of the blocks with updates [default: all].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers_to_transform: Option<Blocks>,
}

/// Which linear layers have updates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Targets {
    /// A pattern for a layer's whole path, or `all-linear`.
    Pattern(String),
    /// Ends of paths, e.g. `q_proj`.
    Names(Vec<String>),
}

/// One block index or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Blocks {
    /// One.
    One(usize),
    /// Several.
    Several(Vec<usize>),
}

/// Patterns with values, in the order of the file; the first match counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Patterns<T>(pub Vec<(String, T)>);

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// An unsupported field with its value, and what is supported instead.
pub(super) type Unsupported = (String, String, &'static str);

/// Fields of PEFT that change results and are not supported; null, false and empty values are fine.
const UNSUPPORTED: [(&str, &str); 15] = [
    ("modules_to_save", "full modules are not supported"),
    ("use_dora", "DoRA's magnitudes are not supported"),
    ("lora_bias", "updates have no biases"),
    ("fan_in_fan_out", "matrices have the layout [out, in]"),
    ("layer_replication", "every layer is used once"),
    ("trainable_token_indices", "embeddings are not updated"),
    ("target_parameters", "only linear layers are updated"),
    ("exclude_modules", "use `target_modules` alone"),
    ("alora_invocation_tokens", "updates apply from the first token on"),
    ("use_qalora", "updates are plain LoRA products"),
    ("use_bdlora", "updates are plain LoRA products"),
    ("arrow_config", "there is one adapter"),
    ("kasa_config", "updates are plain LoRA products"),
    ("monteclora_config", "updates are plain LoRA products"),
    ("megatron_config", "layers are not sharded"),
];

/// Fields of PEFT that are read, or that do not change results: initialisation, training, versions.
const KNOWN: [&str; 26] = [
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "target_modules",
    "task_type",
    "use_rslora",
    "velora_config",
];

/// Whether a field is read, refused, or known to be without effect.
pub(super) fn is_known_field(name: &str) -> bool {
    KNOWN.contains(&name) || UNSUPPORTED.iter().any(|(field, _)| *field == name)
}

/// A problem in the fields beside those of [`AdapterConfig`], if any.
pub(super) fn unsupported(fields: &Value) -> Option<Unsupported> {
    let kind = &fields["peft_type"];
    if kind != "LORA" {
        return Some(("peft_type".to_owned(), kind.to_string(), "adapters are `LORA`"));
    }
    let bias = &fields["bias"];
    if !bias.is_null() && bias != "none" {
        return Some((
            "bias".to_owned(),
            bias.to_string(),
            "the model's biases are not updated; set it to `none`",
        ));
    }
    // These change the base weights at the start, so that the update belongs to weights that the
    // model does not have.
    let initial = fields["init_lora_weights"].as_str().unwrap_or_default().to_lowercase();
    if ["pissa", "olora", "corda", "loftq", "lora_ga"].iter().any(|kind| initial.starts_with(kind))
    {
        let supported =
            "it changes the model's own weights; save the adapter converted to plain LoRA";
        return Some(("init_lora_weights".to_owned(), format!("{initial:?}"), supported));
    }
    let targets = &fields["target_modules"];
    let is_list = targets.as_array().is_some_and(|names| names.iter().all(Value::is_string));
    if !targets.is_string() && !is_list {
        let supported = "it must be a pattern or a list of names of linear layers";
        return Some(("target_modules".to_owned(), targets.to_string(), supported));
    }
    for field in ["r", "lora_alpha"] {
        if !fields[field].is_number() {
            return Some((field.to_owned(), fields[field].to_string(), "it must be a number"));
        }
    }
    let pattern = &fields["layers_pattern"];
    let is_usual = pattern.is_null()
        || pattern == "layers"
        || pattern.as_array().is_some_and(|all| all.iter().all(|pattern| pattern == "layers"));
    if !is_usual {
        let supported = "the blocks of `layers_to_transform` are those of `layers`";
        return Some(("layers_pattern".to_owned(), pattern.to_string(), supported));
    }
    UNSUPPORTED.iter().find_map(|(field, supported)| {
        let value = &fields[*field];
        let nothing = value.is_null()
            || *value == json!(false)
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty);
        (!nothing).then(|| ((*field).to_owned(), value.to_string(), *supported))
    })
}

impl AdapterConfig {
    /// Whether a linear layer, e.g. `model.layers.3.self_attn.q_proj`, has an update.
    ///
    /// # Errors
    /// Names an invalid pattern.
    pub(super) fn targets(&self, path: &str) -> Result<bool, String> {
        let named = match &self.target_modules {
            // As in PEFT, where `all-linear` leaves out the output layer.
            Targets::Pattern(all) if all == "all-linear" => path != "lm_head",
            Targets::Pattern(pattern) => {
                // PEFT's patterns must match the whole path, and those of Rust any part of it.
                return Ok(compile(&format!("^(?:{pattern})$"))?.is_match(path));
            }
            Targets::Names(names) => {
                // A name is the end of a path from a dot on: `proj` is none of `q_proj`.
                names.iter().any(|name| path == name || path.ends_with(&format!(".{name}")))
            }
        };
        let block = path
            .strip_prefix("model.layers.")
            .and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        Ok(named
            && match &self.layers_to_transform {
                None => true,
                Some(Blocks::One(only)) => block == Some(*only),
                Some(Blocks::Several(blocks)) => {
                    // PEFT takes an empty list for all blocks.
                    blocks.is_empty() || block.is_some_and(|block| blocks.contains(&block))
                }
            })
    }

    /// The rank of a layer's update.
    ///
    /// # Errors
    /// Names an invalid pattern.
    pub(super) fn rank(&self, path: &str) -> Result<usize, String> {
        Ok(self.rank_pattern.find(path)?.unwrap_or(self.r))
    }

    /// The scale of a layer's update.
    ///
    /// # Errors
    /// Names an invalid pattern.
    pub(super) fn scale(&self, path: &str) -> Result<f64, String> {
        let alpha = self.alpha_pattern.find(path)?.unwrap_or(self.lora_alpha);
        let rank = self.rank(path)? as f64;
        Ok(if self.use_rslora { alpha / rank.sqrt() } else { alpha / rank })
    }

    /// The text of an `adapter_config.json` that PEFT reads.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Whole<'a> {
            peft_type: &'static str,
            task_type: &'static str,
            #[serde(flatten)]
            config: &'a AdapterConfig,
            bias: &'static str,
            fan_in_fan_out: bool,
            inference_mode: bool,
            use_dora: bool,
        }
        let whole = Whole {
            peft_type: "LORA",
            task_type: "CAUSAL_LM",
            config: self,
            bias: "none",
            fan_in_fan_out: false,
            inference_mode: true,
            use_dora: false,
        };
        serde_json::to_string_pretty(&whole).expect("names and numbers") + "\n"
    }
}

impl<T: Copy> Patterns<T> {
    /// The value for a layer, where a pattern matches the end of its path.
    fn find(&self, path: &str) -> Result<Option<T>, String> {
        for (pattern, value) in &self.0 {
            // PEFT looks for these patterns at the end of a path, from a dot on.
            if compile(&format!(r"^(?:.*\.)?(?:{pattern})$"))?.is_match(path) {
                return Ok(Some(*value));
            }
        }
        Ok(None)
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| error.to_string())
}

/// PEFT writes null for absent fields.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl<T: Serialize> Serialize for Patterns<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(pattern, value)| (pattern, value)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patterns<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Patterns<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a table from patterns of module names to numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                // In the order of the file: the first match counts, and a map would sort them.
                let mut patterns = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    patterns.push(entry);
                }
                Ok(Patterns(patterns))
            }
        }
        deserializer.deserialize_map(InOrder(std::marker::PhantomData))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::model::directory) fn config(fields: Value) -> AdapterConfig {
        let mut all = json!({"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    const QUERY: &str = "model.layers.3.self_attn.q_proj";

    #[test]
    fn layers_are_targeted_as_in_peft() {
        let targets = |fields: Value, path: &str| config(fields).targets(path).unwrap();
        assert!(targets(json!({}), QUERY));
        assert!(!targets(json!({}), "model.layers.3.self_attn.k_proj"));
        assert!(!targets(json!({"target_modules": ["proj"]}), QUERY));
        assert!(targets(json!({"target_modules": "all-linear"}), QUERY));
        assert!(!targets(json!({"target_modules": "all-linear"}), "lm_head"));
        assert!(targets(json!({"target_modules": r".*layers\.[0-3]\..*(q|v)_proj"}), QUERY));
        assert!(
            !targets(json!({"target_modules": "q_proj"}), QUERY),
            "a pattern must match the whole path"
        );
        assert!(targets(json!({"layers_to_transform": [2, 3]}), QUERY));
        assert!(!targets(json!({"layers_to_transform": 2}), QUERY));
        assert!(
            config(json!({"target_modules": "("}))
                .targets(QUERY)
                .unwrap_err()
                .contains("unclosed group")
        );
    }

    #[test]
    fn ranks_and_scales_follow_the_first_pattern() {
        let text = r#"{"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "use_rslora": true,
            "rank_pattern": {"q_proj": 16, "layers.3.self_attn.q_proj": 64}, "alpha_pattern": {"layers.[0-2].*": 2}}"#;
        let config: AdapterConfig = serde_json::from_str(text).unwrap();
        assert_eq!((config.rank(QUERY).unwrap(), config.scale(QUERY).unwrap()), (16, 2.0));
        assert_eq!(config.scale("model.layers.1.self_attn.q_proj").unwrap(), 0.5);
        assert_eq!(config.scale("model.layers.7.mlp.down_proj").unwrap(), 4.0);
        let again: AdapterConfig = serde_json::from_str(&config.to_json()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn what_we_do_not_have_is_named() {
        let lora = json!({"peft_type": "LORA", "bias": "none", "use_dora": false, "modules_to_save": null, "r": 8,
            "lora_alpha": 16, "target_modules": ["q_proj"]});
        assert_eq!(unsupported(&lora), None);
        for (field, value) in [
            ("peft_type", json!("IA3")),
            ("bias", json!("all")),
            ("use_dora", json!(true)),
            ("modules_to_save", json!(["lm_head"])),
            ("init_lora_weights", json!("pissa_niter_4")),
            ("layer_replication", json!([[0, 4], [2, 5]])),
            ("target_modules", Value::Null),
            ("r", Value::Null),
            ("layers_pattern", json!(["blocks"])),
            ("kasa_config", json!({"beta": 0.1})),
        ] {
            let mut fields = lora.clone();
            fields[field] = value;
            assert_eq!(unsupported(&fields).unwrap().0, field);
        }
    }
}
