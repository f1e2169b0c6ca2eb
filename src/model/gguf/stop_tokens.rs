//! Tokens that end an answer: EOS, and the ends of a turn that a chat template writes.

use super::metadata::GgufMetadata;

/// Ends of turns that models have beside EOS, where the metadata name only one of them.
const ENDS_OF_TURNS: [&str; 2] = ["<|eot_id|>", "<|im_end|>"];

/// The ids, EOS first.
///
/// # Errors
/// Names the key with a value of another type.
pub(super) fn stop_tokens(metadata: &GgufMetadata) -> Result<Vec<u64>, String> {
    let mut ids = Vec::new();
    for name in ["eos", "eot", "eom"] {
        ids.extend(metadata.integer(&format!("tokenizer.ggml.{name}_token_id"))?);
    }
    let template = metadata.text("tokenizer.chat_template")?.unwrap_or_default();
    let tokens = metadata.texts("tokenizer.ggml.tokens")?.unwrap_or_default();
    // A model that was tuned for chat ends its turns so even if its base model's EOS was kept.
    for end in ENDS_OF_TURNS.into_iter().filter(|end| template.contains(end)) {
        ids.extend(tokens.iter().position(|token| *token == end).map(|place| place as u64));
    }
    let mut unique = Vec::new();
    for id in ids {
        if !unique.contains(&id) {
            unique.push(id);
        }
    }
    Ok(unique)
}
