//! Sliding windows in a `config.json`.

use serde_json::Value;

use super::{Architecture, ConfigError, SlidingWindow, config_fields::ConfigFields};

impl ConfigFields {
    /// Blocks with the window: those that `layer_types` names; otherwise all of a Mistral, and
    /// those of a Qwen from `max_window_layers` on. As in transformers, which reads a Mistral with
    /// `layer_types` as a Ministral.
    pub(super) fn sliding_window(
        &self,
        architecture: Architecture,
        blocks: usize,
        longest: usize,
    ) -> Result<Option<SlidingWindow>, ConfigError> {
        let kinds = self.get("layer_types");
        let named = kinds.map(|kinds| layer_types(kinds, blocks)).transpose()?;
        let Some(length) = self.window_length(architecture, longest)? else {
            let supported = "without a window (`sliding_window`, for Qwen with \
                `use_sliding_window`) all layers have `full_attention`";
            return match (kinds, named) {
                (Some(kinds), Some(windows)) if windows.contains(&true) => {
                    Err(ConfigError::unsupported("layer_types", kinds, supported))
                }
                _ => Ok(None),
            };
        };
        let blocks = match (architecture, named) {
            (_, Some(windows)) => windows,
            (Architecture::Mistral, None) => vec![true; blocks],
            (_, None) => {
                let first = self
                    .get("max_window_layers")
                    .map_or(Ok(28), |_| self.count("max_window_layers"))?;
                (0..blocks).map(|block| block >= first).collect()
            }
        };
        Ok(Some(SlidingWindow { length, blocks }))
    }

    /// Window size of the blocks with a window.
    fn window_length(
        &self,
        architecture: Architecture,
        longest: usize,
    ) -> Result<Option<usize>, ConfigError> {
        let said = self.get("sliding_window").map(|_| self.size("sliding_window")).transpose()?;
        match architecture {
            // Its attention has no window, but transformers' cache would drop earlier tokens.
            Architecture::Llama => match said.filter(|length| *length < longest) {
                None => Ok(None),
                Some(length) => Err(ConfigError::NotOfArchitecture {
                    architecture: architecture.class(),
                    field: "sliding_window",
                    found: length.to_string(),
                    supported: "its attention reaches back to the first token",
                }),
            },
            Architecture::Qwen2 | Architecture::Qwen3 if !self.flag("use_sliding_window")? => {
                Ok(None)
            }
            // transformers takes 4096 where the field is missing, and no window where it is null.
            _ if !self.0.contains_key("sliding_window") => Ok(Some(4096)),
            _ => Ok(said),
        }
    }
}

/// Blocks with the window according to `layer_types`.
fn layer_types(kinds: &Value, blocks: usize) -> Result<Vec<bool>, ConfigError> {
    let mut windows = Vec::new();
    for kind in kinds.as_array().into_iter().flatten() {
        windows.push(match kind.as_str() {
            Some("sliding_attention") => true,
            Some("full_attention" | "attention") => false,
            _ => {
                let supported = "layers have `full_attention` or `sliding_attention`";
                return Err(ConfigError::unsupported("layer_types", kind, supported));
            }
        });
    }
    if windows.len() == blocks {
        return Ok(windows);
    }
    let expected = "it must be a list with one entry for each of `num_hidden_layers`";
    Err(ConfigError::wrong("layer_types", kinds, expected))
}
