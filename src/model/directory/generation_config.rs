//! The `generation_config.json` of a directory, of which only the end tokens hold: how answers are drawn is said by whoever
//! draws them. What nobody can say here is not passed over.

use std::path::Path;

use serde_json::Value;

use super::{WeightsError, load::read_json};
use crate::model::architecture::is_nothing;

/// Settings that have a counterpart where answers are drawn.
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

/// Settings that change which tokens are drawn and have no counterpart here, each with the value that changes nothing.
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

/// Looks at a directory from which answers are to be drawn. Gives a sentence where its `generation_config.json` suggests
/// settings: they do not hold, those of whoever draws do.
///
/// # Errors
/// Names the file that is damaged, and the field that would change which tokens are drawn and has no counterpart here.
pub fn generation_settings(directory: &Path) -> Result<Option<String>, WeightsError> {
    let path = directory.join("generation_config.json");
    let fields = match read_json(&path) {
        Err(WeightsError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let said = |field: &str, neutral: f64| {
        fields.get(field).filter(|value| !is_nothing(value) && value.as_f64().is_none_or(|found| found != neutral))
    };
    for (field, neutral) in UNSUPPORTED {
        // Token 0 can be forced.
        let forces =
            field.starts_with("forced_").then(|| fields.get(field).filter(|value| value.is_number())).flatten();
        if let Some(found) = said(field, neutral).or(forces) {
            let supported =
                "tokens are drawn by temperature, top-p, top-k, min-p and repetition penalty only; set it to null";
            return Err(WeightsError::Adapter { path, field: field.to_owned(), found: found.to_string(), supported });
        }
    }
    let named = |(field, neutral): (&str, f64)| said(field, neutral).map(|value: &Value| format!("{field} {value}"));
    let suggested: Vec<String> = SETTINGS.into_iter().filter_map(named).collect();
    if suggested.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!(
        "generation_config.json suggests {}: not used here, since answers are drawn as asked for",
        suggested.join(", ")
    )))
}
