//! Names of parameters in transformers and PEFT, and their places in the model's matrices.

use std::ops::Range;

use burn::module::ParamId;

use super::{
    AdapterConfig,
    layout::{
        BLOCK_NORMS, EMBEDDING, LayerColumns, NORM, QUERY_KEY_NORMS, block_columns, block_prefix,
        head_columns, linears,
    },
};
use crate::model::architecture::{Linear, ModelConfig, Transformer};

/// A tensor of a checkpoint or of an adapter, within a parameter of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Its name in the checkpoint, e.g. `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// The parameter's name inside the model, e.g. `blocks.0.query_key_value.weight`.
    pub inside: String,
    /// The parameter's id.
    pub parameter: ParamId,
    /// Its columns of the parameter (on the last axis).
    pub columns: Range<usize>,
    /// Number of columns of the parameter.
    pub width: usize,
    /// Whether it belongs to an adapter.
    pub is_update: bool,
}

impl Transformer {
    /// All tensors under the names of transformers and PEFT, in the order of the blocks. If tied,
    /// both names of embedding and output layer are listed.
    pub fn named_tensors(&self) -> Vec<NamedTensor> {
        let config = &self.config;
        let mut found = vec![whole(EMBEDDING, "embedding", self.embedding.id, config.hidden_size)];
        // A tied output layer can be frozen or watched under either name.
        if self.head.is_none() {
            found.push(whole("lm_head.weight", "embedding", self.embedding.id, config.hidden_size));
        }
        for (number, block) in self.blocks.iter().enumerate() {
            let (prefix, ours) = (block_prefix(number), format!("blocks.{number}."));
            let norms = [
                (&block.attention_norm, "attention_norm"),
                (&block.feed_forward_norm, "feed_forward_norm"),
            ];
            for (name, (norm, part)) in BLOCK_NORMS.iter().zip(norms) {
                found.push(whole(
                    &format!("{prefix}{name}"),
                    &format!("{ours}{part}"),
                    norm.id,
                    config.hidden_size,
                ));
            }
            for (number, (norm, name)) in
                block.query_key_norms.iter().flatten().zip(QUERY_KEY_NORMS).enumerate()
            {
                found.push(whole(
                    &format!("{prefix}{name}"),
                    &format!("{ours}query_key_norms.{number}"),
                    norm.id,
                    config.head_dim,
                ));
            }
            let parts = ["query_key_value", "attention_output", "gate_up", "down"];
            for ((columns, linear), part) in
                block_columns(config).iter().zip(linears(block)).zip(parts)
            {
                let inside = format!("{ours}{part}");
                found.extend(tensors_of(linear, columns, &prefix, &inside));
            }
        }
        found.push(whole(NORM, "norm", self.norm.id, config.hidden_size));
        if let Some(head) = &self.head {
            found.extend(tensors_of(head, &head_columns(config), "", "head"));
        }
        found
    }
}

impl ModelConfig {
    /// The linear layers that an adapter updates, each with the smaller of its two widths, which
    /// bounds the rank.
    ///
    /// # Errors
    /// Names an invalid pattern of the adapter.
    pub fn updated_layers(&self, adapter: &AdapterConfig) -> Result<Vec<(String, usize)>, String> {
        let mut found = Vec::new();
        let columns = block_columns(self);
        for block in 0..self.num_hidden_layers {
            for columns in &columns {
                found.extend(columns.updated(adapter, &block_prefix(block))?);
            }
        }
        if !self.tie_word_embeddings {
            found.extend(head_columns(self).updated(adapter, "")?);
        }
        Ok(found)
    }

    /// Number of an adapter's numbers on a model of this config.
    ///
    /// # Errors
    /// Names an invalid pattern of the adapter.
    pub fn adapter_parameters(&self, adapter: &AdapterConfig) -> Result<usize, String> {
        let blocks = (0..self.num_hidden_layers).map(block_prefix);
        let mut layers: Vec<(String, LayerColumns)> = blocks
            .flat_map(|prefix| block_columns(self).map(|columns| (prefix.clone(), columns)))
            .collect();
        layers.extend((!self.tie_word_embeddings).then(|| (String::new(), head_columns(self))));
        let mut sum = 0;
        for (prefix, columns) in &layers {
            for part in &columns.parts {
                let path = format!("{prefix}{}", part.name);
                if adapter.targets(&path)? {
                    sum += adapter.rank(&path)? * (columns.input + part.width);
                }
            }
        }
        Ok(sum)
    }

    /// The linear layers that an adapter can update, under their names in transformers.
    pub fn linear_layers(&self) -> Vec<String> {
        let columns = block_columns(self);
        let mut names = Vec::new();
        for block in 0..self.num_hidden_layers {
            let parts = columns.iter().flat_map(|columns| &columns.parts);
            names.extend(parts.map(|part| block_prefix(block) + part.name));
        }
        if !self.tie_word_embeddings {
            names.push("lm_head".to_owned());
        }
        names
    }
}

impl LayerColumns {
    /// The parts that an adapter updates, each with the smaller of its two widths.
    fn updated(
        &self,
        adapter: &AdapterConfig,
        prefix: &str,
    ) -> Result<Vec<(String, usize)>, String> {
        let mut found = Vec::new();
        for part in &self.parts {
            let path = format!("{prefix}{}", part.name);
            if adapter.targets(&path)? {
                found.push((path, self.input.min(part.width)));
            }
        }
        Ok(found)
    }
}

/// A tensor that is a parameter of its own.
fn whole(name: &str, inside: &str, parameter: ParamId, width: usize) -> NamedTensor {
    NamedTensor {
        name: name.to_owned(),
        inside: inside.to_owned(),
        parameter,
        columns: 0..width,
        width,
        is_update: false,
    }
}

/// The matrices and biases that are concatenated in a linear layer, and the updates of an adapter.
fn tensors_of(
    linear: &Linear,
    columns: &LayerColumns,
    prefix: &str,
    inside: &str,
) -> Vec<NamedTensor> {
    let width = columns.output();
    let mut found = Vec::new();
    for part in &columns.parts {
        let name = format!("{prefix}{}", part.name);
        for (kind, parameter) in std::iter::once(("weight", linear.weight.id))
            .chain(linear.bias.iter().map(|bias| ("bias", bias.id)))
        {
            let (theirs, ours) = (format!("{name}.{kind}"), format!("{inside}.{kind}"));
            found.push(NamedTensor {
                columns: part.from..part.from + part.width,
                ..whole(&theirs, &ours, parameter, width)
            });
        }
        let Some(number) = linear.updates.iter().position(|update| update.from == part.from) else {
            continue;
        };
        let update = &linear.updates[number];
        for (kind, ours, factor) in [("lora_A", "a", &update.a), ("lora_B", "b", &update.b)] {
            let [_, width] = factor.dims();
            let theirs = format!("{name}.{kind}.weight");
            let ours = format!("{inside}.updates.{number}.{ours}");
            found.push(NamedTensor { is_update: true, ..whole(&theirs, &ours, factor.id, width) });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use burn::tensor::Device;

    use super::*;
    use crate::{
        model::directory::layout::{EMBEDDING, expected_tensors},
        seed::Seed,
    };

    /// The names are those of a checkpoint, and their columns cover every parameter once.
    #[test]
    fn every_parameter_has_the_names_of_a_checkpoint() {
        for tie_word_embeddings in [true, false] {
            let config = ModelConfig {
                tie_word_embeddings,
                query_key_norm: true,
                query_key_value_bias: true,
                ..crate::model::architecture::config::tests::tiny()
            };
            let model = config.init(&Seed::root(1), &Device::flex());
            let named = model.named_tensors();
            let names: BTreeSet<String> = named.iter().map(|tensor| tensor.name.clone()).collect();
            let mut expected: BTreeSet<String> =
                expected_tensors(&config, EMBEDDING).map(|(name, _)| name).collect();
            expected.insert("lm_head.weight".to_owned());
            assert_eq!(names, expected);
            let mut covered: BTreeMap<String, usize> = BTreeMap::new();
            for tensor in named
                .iter()
                .filter(|tensor| !(tie_word_embeddings && tensor.name.starts_with("lm_head")))
            {
                let columns = covered.entry(tensor.inside.clone()).or_default();
                assert_eq!(*columns, tensor.columns.start, "{tensor:?}");
                *columns = tensor.columns.end;
                if *columns == tensor.width {
                    covered.remove(&tensor.inside);
                }
            }
            assert!(covered.is_empty(), "{covered:?}");
        }
    }
}
