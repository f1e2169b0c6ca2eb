//! Tables of rotary embeddings in a `config.json`.

use serde_json::{Map, Value, json};

use super::{ConfigError, Rotary, RotaryScaling, Yarn, config_fields::ConfigFields, known_fields};

/// Fields of these tables.
pub(super) const ROTARY_FIELDS: [&str; 14] = [
    "rope_type",
    "type",
    "rope_theta",
    "factor",
    "original_max_position_embeddings",
    "low_freq_factor",
    "high_freq_factor",
    "beta_fast",
    "beta_slow",
    "attention_factor",
    "mscale",
    "mscale_all_dim",
    "truncate",
    "partial_rotary_factor",
];

impl Rotary {
    /// `rope_parameters` of transformers 5.
    pub(super) fn to_json(&self) -> Value {
        let mut fields = match &self.scaling {
            RotaryScaling::Default => json!({ "rope_type": "default" }),
            RotaryScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
            RotaryScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => {
                json!({
                    "rope_type": "llama3",
                    "factor": factor,
                    "low_freq_factor": low_freq_factor,
                    "high_freq_factor": high_freq_factor,
                    "original_max_position_embeddings": original_max_position_embeddings,
                })
            }
            RotaryScaling::Yarn(yarn) => {
                let mut fields = json!({
                    "rope_type": "yarn",
                    "factor": yarn.factor,
                    "original_max_position_embeddings": yarn.original_max_position_embeddings,
                    "beta_fast": yarn.beta_fast,
                    "beta_slow": yarn.beta_slow,
                    "truncate": yarn.truncate,
                });
                if let Some(factor) = yarn.attention_factor {
                    fields["attention_factor"] = json!(factor);
                }
                if let Some([mscale, mscale_all_dim]) = yarn.mscale {
                    fields["mscale"] = json!(mscale);
                    fields["mscale_all_dim"] = json!(mscale_all_dim);
                }
                fields
            }
        };
        // transformers 5 reads the base here, earlier versions beside the table.
        fields["rope_theta"] = json!(self.theta);
        fields
    }
}

impl ConfigFields {
    /// `rope_scaling` of earlier versions or `rope_parameters` of transformers 5; the former takes
    /// precedence, as in transformers.
    pub(super) fn rotary(&self, max_position_embeddings: usize) -> Result<Rotary, ConfigError> {
        let theta = self.number("rope_theta", 10_000.0)?;
        let Some((field, found)) = self.rotary_table() else {
            return Ok(Rotary { theta, scaling: RotaryScaling::Default });
        };
        let Some(fields) = found.as_object() else { return Err(not_known(field, found)) };
        let table = ConfigFields(fields.clone());
        table.check_supported()?;
        known_fields::check(&table.0)?;
        let kind = match table.get("rope_type").or_else(|| table.get("type")) {
            // A table for each type of layer, as models with two kinds of layers have it.
            None if table.0.values().any(Value::is_object) => return Err(not_known(field, found)),
            None => "default",
            Some(kind) => kind.as_str().ok_or_else(|| not_known(field, found))?,
        };
        let inner = table.size_or("original_max_position_embeddings", max_position_embeddings)?;
        // Beside the table it takes precedence, as in transformers.
        let original = self.size_or("original_max_position_embeddings", inner)?;
        let scaling = match kind {
            "default" => RotaryScaling::Default,
            "linear" => RotaryScaling::Linear { factor: table.required_number("factor")? },
            "llama3" => table.llama3(original)?,
            "yarn" => RotaryScaling::Yarn(table.yarn(original, max_position_embeddings)?),
            _ => return Err(not_known(field, found)),
        };
        Ok(Rotary { theta: table.number("rope_theta", theta)?, scaling })
    }

    /// The table of rotary embeddings with its name; an empty one counts as missing.
    fn rotary_table(&self) -> Option<(&'static str, &Value)> {
        ["rope_scaling", "rope_parameters"].into_iter().find_map(|field| {
            let table = self.get(field)?;
            (!table.as_object().is_some_and(Map::is_empty)).then_some((field, table))
        })
    }

    fn llama3(
        &self,
        original_max_position_embeddings: usize,
    ) -> Result<RotaryScaling, ConfigError> {
        let factor = self.required_number("factor")?;
        let low_freq_factor = self.required_number("low_freq_factor")?;
        let high_freq_factor = self.required_number("high_freq_factor")?;
        if high_freq_factor <= low_freq_factor {
            let expected = "it must be larger than `low_freq_factor`";
            return Err(ConfigError::wrong("high_freq_factor", high_freq_factor, expected));
        }
        Ok(RotaryScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        })
    }

    fn yarn(
        &self,
        original_max_position_embeddings: usize,
        longest: usize,
    ) -> Result<Yarn, ConfigError> {
        let mscale =
            ["mscale", "mscale_all_dim"].map(|field| self.get(field).and_then(Value::as_f64));
        Ok(Yarn {
            factor: self
                .number("factor", longest as f64 / original_max_position_embeddings as f64)?,
            original_max_position_embeddings,
            beta_fast: self.number("beta_fast", 32.0)?,
            beta_slow: self.number("beta_slow", 1.0)?,
            attention_factor: self.optional_number("attention_factor")?,
            // transformers computes with both only if neither is 0, and else with its default.
            mscale: match mscale {
                [Some(one), Some(all)] if one != 0.0 && all != 0.0 => Some([one, all]),
                _ => None,
            },
            truncate: self.flag_or("truncate", true)?,
        })
    }
}

fn not_known(field: &'static str, found: &Value) -> ConfigError {
    let supported = "the rotary types are `default`, `linear`, `llama3` and `yarn`, the same for \
        all layers";
    ConfigError::unsupported(field, found, supported)
}
