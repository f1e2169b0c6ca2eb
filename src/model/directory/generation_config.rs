//! The `generation_config.json` of a directory. Only its EOS tokens are used, since sampling
//! parameters come from the caller. Settings that callers cannot express are errors.

use std::path::Path;

use serde_json::Value;

use super::{WeightsError, reading::read_optional_json};
use crate::model::architecture::is_nothing;

/// Settings with a counterpart in sampling.
const SETTINGS: [(&str, f64); 9] = [
    ("temperature", 1.0),
    ("top_p", 1.0),
    ("top_k", 0.0),
    ("min_p", 0.0),
    ("repetition_penalty", 1.0),
    ("max_new_tokens", 0.0),
    ("max_length", 0.0),
    ("stop_strings", 0.0),
    ("do_sample", 0.0),
];

/// Settings that change sampling and have no counterpart, each with its neutral value.
const UNSUPPORTED: [(&str, f64); 28] = [
    ("bad_words_ids", 0.0),
    ("begin_suppress_tokens", 0.0),
    ("constraints", 0.0),
    ("diversity_penalty", 0.0),
    ("dola_layers", 0.0),
    ("encoder_no_repeat_ngram_size", 0.0),
    ("encoder_repetition_penalty", 1.0),
    ("epsilon_cutoff", 0.0),
    ("eta_cutoff", 0.0),
    ("exponential_decay_length_penalty", 0.0),
    ("force_words_ids", 0.0),
    ("forced_bos_token_id", 0.0),
    ("forced_decoder_ids", 0.0),
    ("forced_eos_token_id", 0.0),
    ("guidance_scale", 1.0),
    ("max_time", 0.0),
    ("min_length", 0.0),
    ("min_new_tokens", 0.0),
    ("no_repeat_ngram_size", 0.0),
    ("num_beam_groups", 1.0),
    ("num_beams", 1.0),
    ("penalty_alpha", 0.0),
    ("sequence_bias", 0.0),
    ("suppress_tokens", 0.0),
    ("token_healing", 0.0),
    ("top_h", 0.0),
    ("typical_p", 1.0),
    ("watermarking_config", 0.0),
];

/// Checks a directory for sampling. Returns a remark where its `generation_config.json` suggests
/// settings, which are ignored.
///
/// # Errors
/// Names the file that is damaged, or the field that would change sampling and has no counterpart.
pub fn generation_settings(directory: &Path) -> Result<Option<String>, WeightsError> {
    let path = directory.join("generation_config.json");
    let Some(fields) = read_optional_json(&path)? else { return Ok(None) };
    for (field, neutral) in UNSUPPORTED {
        // Token 0 can be forced.
        let forces = field
            .starts_with("forced_")
            .then(|| fields.get(field).filter(|value| value.is_number()))
            .flatten();
        if let Some(found) = said(&fields, field, neutral).or(forces) {
            let supported = "sampling supports only temperature, top-p, top-k, min-p and \
            repetition penalty; set it to null";
            return Err(WeightsError::Adapter {
                path,
                field: field.to_owned(),
                found: found.to_string(),
                supported,
            });
        }
    }
    let suggested: Vec<String> = SETTINGS
        .into_iter()
        .filter_map(|(field, neutral)| Some(format!("{field} {}", said(&fields, field, neutral)?)))
        .collect();
    if suggested.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!(
        "generation_config.json suggests {}: ignored, since the sampling parameters decide",
        suggested.join(", ")
    )))
}

/// The value of a field, unless it is neutral.
fn said<'a>(fields: &'a Value, field: &str, neutral: f64) -> Option<&'a Value> {
    let value = fields.get(field)?;
    let is_neutral = is_nothing(value) || value.as_f64() == Some(neutral);
    (!is_neutral).then_some(value)
}
