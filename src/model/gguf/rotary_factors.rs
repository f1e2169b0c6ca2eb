//! Rotary scaling in GGUF files: named in the metadata, or as a tensor of factors (Llama 3.1).

use serde_json::{Value, json};

use super::{metadata::missing, reader::GgufFile};

/// The tensor of factors by which frequencies are divided.
pub(super) const FACTORS: &str = "rope_freqs.weight";

/// Llama 3.1's divisors of the original length, which all its models share.
const LOW_FREQ_FACTOR: f64 = 1.0;
const HIGH_FREQ_FACTOR: f64 = 4.0;

/// The `rope_scaling` of config.json; null without scaling. `theta` is the base, `head` the width
/// of a head.
///
/// # Errors
/// Names the key or tensor that is missing or not supported.
pub(super) fn rope_scaling(
    file: &GgufFile,
    architecture: &str,
    theta: f64,
    head: u64,
) -> Result<Value, String> {
    let key = |name: &str| format!("{architecture}.rope.scaling.{name}");
    let metadata = &file.metadata;
    let named = metadata.text(&key("type"))?;
    // Files of 2023 have the factor under another name.
    let linear = metadata.number(&format!("{architecture}.rope.scale_linear"))?;
    let factor = metadata.number(&key("factor"))?.or(linear);
    let factors = file.tensors.get(FACTORS).map(|tensor| tensor.floats());
    match (named, factor, factors) {
        // Llama.cpp scales nothing under the type `none`, whatever the factor, and takes a factor
        // without a type for a linear one.
        (Some("none"), _, None) => Ok(Value::Null),
        (None | Some("linear"), None | Some(0.0 | 1.0), None) => Ok(Value::Null),
        (Some("none"), _, Some(factors)) => llama3(&factors, theta, head),
        (None, None | Some(0.0 | 1.0), Some(factors)) => llama3(&factors, theta, head),
        (None | Some("linear"), Some(factor), None) => {
            Ok(json!({"rope_type": "linear", "factor": factor}))
        }
        (Some("yarn"), Some(factor), None) => {
            let original = key("original_context_length");
            let length = metadata.integer(&original)?.ok_or_else(|| missing(&original))?;
            let [fast, slow] = [("yarn_beta_fast", 32.0), ("yarn_beta_slow", 1.0)]
                .map(|(name, default)| metadata.number(&key(name)).map(|at| at.unwrap_or(default)));
            Ok(json!({
                "rope_type": "yarn",
                "factor": factor,
                "original_max_position_embeddings": length,
                "beta_fast": fast?,
                "beta_slow": slow?,
            }))
        }
        _ => Err(format!(
            "the rotary scaling `{}`{} is not supported; supported are `none`, `linear`, \
            `yarn`, and the factors of Llama 3.1",
            named.unwrap_or("linear"),
            if file.tensors.contains_key(FACTORS) { " with a tensor of factors" } else { "" }
        )),
    }
}

/// The parameters of Llama 3.1's scaling whose factors these are.
fn llama3(factors: &[f32], theta: f64, head: u64) -> Result<Value, String> {
    let factor = f64::from(factors.iter().copied().fold(1.0, f32::max));
    if factors.len() as u64 == head / 2 && factors.iter().all(|factor| *factor == 1.0) {
        return Ok(Value::Null);
    }
    // The original length is in no key; models have a power of two, nearly all 8192.
    let lengths = std::iter::once(13).chain(8..=20).map(|power| f64::from(1u32 << power));
    for length in lengths {
        let expected = (0..head / 2).map(|place| {
            let turn = std::f64::consts::TAU * theta.powf((2 * place) as f64 / head as f64);
            let smooth = (length / turn - LOW_FREQ_FACTOR) / (HIGH_FREQ_FACTOR - LOW_FREQ_FACTOR);
            let smooth = smooth.clamp(0.0, 1.0);
            1.0 / ((1.0 - smooth) / factor + smooth)
        });
        let fits = factors
            .iter()
            .zip(expected)
            .all(|(found, expected)| (f64::from(*found) / expected - 1.0).abs() < 1e-3);
        if fits && factors.len() as u64 == head / 2 {
            return Ok(json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": LOW_FREQ_FACTOR,
                "high_freq_factor": HIGH_FREQ_FACTOR,
                "original_max_position_embeddings": length as u64,
            }));
        }
    }
    Err(format!(
        "the tensor `{FACTORS}` scales rotary embeddings in a way that is not supported; supported \
        are the factors of Llama 3.1"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Factors by the definition of Llama 3.1: wavelengths above the original length are divided,
    /// those below a quarter of it are not.
    fn factors(theta: f64, head: u64, factor: f64, length: f64) -> Vec<f32> {
        let turns = (0..head)
            .step_by(2)
            .map(|place| std::f64::consts::TAU * theta.powf(place as f64 / head as f64));
        turns
            .map(|turn| {
                let smooth = (length / turn - 1.0) / 3.0;
                let between = 1.0 / ((1.0 - smooth) / factor + smooth);
                if turn > length {
                    factor
                } else if turn < length / 4.0 {
                    1.0
                } else {
                    between
                }
            })
            .map(|value| value as f32)
            .collect()
    }

    #[test]
    fn llama3_parameters_follow_from_factors() {
        // Llama 3.1 8B, Llama 3.2 1B, and small ones.
        for (theta, head, factor, length) in [
            (5e5, 128, 8.0, 8192),
            (5e5, 64, 32.0, 8192),
            (1e4, 16, 4.0, 512),
            (5e5, 64, 8.0, 4096),
        ] {
            let found = llama3(&factors(theta, head, factor, f64::from(length)), theta, head);
            let expected = json!({"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": length});
            assert_eq!(found.unwrap(), expected);
        }
        assert_eq!(llama3(&[1.0; 8], 1e4, 16).unwrap(), Value::Null);
        let mut other = factors(5e5, 64, 8.0, 8192.0);
        other[20] *= 1.1;
        assert!(llama3(&other, 5e5, 64).unwrap_err().contains("`rope_freqs.weight`"));
        assert!(llama3(&other[..8], 5e5, 64).is_err());
    }
}
