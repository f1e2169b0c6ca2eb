//! The tables of rotary positions in a `config.json`.

use serde_json::{Map, Value, json};

use super::{ConfigError, Fields, positive};
use crate::model::architecture::{Rotary, RotaryScaling, Yarn, known_fields};

/// What the tables of rotary positions can have.
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
    /// As `rope_parameters` of transformers 5.
    pub(super) fn to_json(&self) -> Value {
        let mut fields = match &self.scaling {
            RotaryScaling::Default => json!({ "rope_type": "default" }),
            RotaryScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
            RotaryScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
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
        fields["rope_theta"] = json!(self.theta);
        fields
    }
}

impl Fields {
    /// `rope_scaling` of earlier versions or `rope_parameters` of transformers 5, which prefers the former as we do.
    pub(super) fn rotary(&self, max_position_embeddings: usize) -> Result<Rotary, ConfigError> {
        let theta = self.number("rope_theta", 10_000.0)?;
        // An empty table says nothing: the other one holds.
        let said = |field| self.get(field).filter(|value| !value.as_object().is_some_and(Map::is_empty));
        let named = ["rope_scaling", "rope_parameters"].into_iter().find_map(|field| Some((field, said(field)?)));
        let Some((field, found)) = named else { return Ok(Rotary { theta, scaling: RotaryScaling::Default }) };
        let supported = "the rotary types are `default`, `linear`, `llama3` and `yarn`, the same for all layers";
        let unsupported = || ConfigError::Unsupported { field, found: found.to_string(), supported };
        let table = Fields(found.as_object().ok_or_else(unsupported)?.clone());
        table.check_supported()?;
        known_fields::check(&table.0)?;
        let kind = match table.get("rope_type").or_else(|| table.get("type")) {
            None if table.0.values().any(Value::is_object) => return Err(unsupported()),
            None => "default",
            Some(kind) => kind.as_str().ok_or_else(unsupported)?,
        };
        let inner = table.size_or("original_max_position_embeddings", max_position_embeddings)?;
        let original = self.size_or("original_max_position_embeddings", inner)?;
        let scaling = match kind {
            "default" => RotaryScaling::Default,
            "linear" => RotaryScaling::Linear { factor: table.required_number("factor")? },
            "llama3" => table.llama3(original)?,
            "yarn" => RotaryScaling::Yarn(table.yarn(original, max_position_embeddings)?),
            _ => return Err(unsupported()),
        };
        Ok(Rotary { theta: table.number("rope_theta", theta)?, scaling })
    }

    fn llama3(&self, original_max_position_embeddings: usize) -> Result<RotaryScaling, ConfigError> {
        let factor = self.required_number("factor")?;
        let low_freq_factor = self.required_number("low_freq_factor")?;
        let high_freq_factor = self.required_number("high_freq_factor")?;
        if high_freq_factor <= low_freq_factor {
            let (found, expected) = (high_freq_factor.to_string(), "it must be larger than `low_freq_factor`");
            return Err(ConfigError::Wrong { field: "high_freq_factor", found, expected });
        }
        Ok(RotaryScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings })
    }

    fn yarn(&self, original_max_position_embeddings: usize, longest: usize) -> Result<Yarn, ConfigError> {
        let optional = |field| self.get(field).map(|value| positive(field, value)).transpose();
        let mscale = ["mscale", "mscale_all_dim"].map(|field| self.get(field).and_then(Value::as_f64));
        Ok(Yarn {
            factor: self.number("factor", longest as f64 / original_max_position_embeddings as f64)?,
            original_max_position_embeddings,
            beta_fast: self.number("beta_fast", 32.0)?,
            beta_slow: self.number("beta_slow", 1.0)?,
            attention_factor: optional("attention_factor")?,
            mscale: match mscale {
                [Some(one), Some(all)] if one != 0.0 && all != 0.0 => Some([one, all]),
                _ => None,
            },
            truncate: self.flag_or("truncate", true)?,
        })
    }
}
