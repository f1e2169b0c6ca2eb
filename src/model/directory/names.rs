//! What transformers and PEFT call the parameters of a model, and where each stands in ours.

use std::ops::Range;

use burn::module::ParamId;

use super::layout::{
    BLOCK_NORMS, Columns, EMBEDDING, NORM, QUERY_KEY_NORMS, block_columns, block_prefix, head_columns, linears,
};
use crate::model::architecture::{Linear, ModelConfig, Transformer};

/// A tensor of a checkpoint or of an adapter, in a parameter of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Its name there, e.g. `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// What the parameter is called in the model itself, e.g. `blocks.0.query_key_value.weight`.
    pub inside: String,
    /// The parameter.
    pub parameter: ParamId,
    /// Which of the parameter's columns (its last axis).
    pub columns: Range<usize>,
    /// How many columns the parameter has.
    pub width: usize,
    /// Whether an adapter brought it.
    pub is_update: bool,
}

impl Transformer {
    /// All tensors under the names of transformers and PEFT, in the order of the blocks. Where the output layer is tied to
    /// the embedding, both names are there.
    pub fn named_tensors(&self) -> Vec<NamedTensor> {
        let config = &self.config;
        let mut found = vec![whole(EMBEDDING, "embedding", self.embedding.id, config.hidden_size)];
        if self.head.is_none() {
            found.push(whole("lm_head.weight", "embedding", self.embedding.id, config.hidden_size));
        }
        for (number, block) in self.blocks.iter().enumerate() {
            let (prefix, inside) = (block_prefix(number), |part: &str| format!("blocks.{number}.{part}"));
            let norms = [(&block.attention_norm, "attention_norm"), (&block.feed_forward_norm, "feed_forward_norm")];
            for (name, (norm, part)) in BLOCK_NORMS.iter().zip(norms) {
                found.push(whole(&format!("{prefix}{name}"), &inside(part), norm.id, config.hidden_size));
            }
            let parts = ["query_key_norms.0", "query_key_norms.1"];
            for ((norm, name), part) in block.query_key_norms.iter().flatten().zip(QUERY_KEY_NORMS).zip(parts) {
                found.push(whole(&format!("{prefix}{name}"), &inside(part), norm.id, config.head_dim));
            }
            let parts = ["query_key_value", "attention_output", "gate_up", "down"];
            for ((columns, linear), part) in block_columns(config).iter().zip(linears(block)).zip(parts) {
                add(&mut found, linear, columns, &prefix, &inside(part));
            }
        }
        found.push(whole(NORM, "norm", self.norm.id, config.hidden_size));
        if let Some(head) = &self.head {
            add(&mut found, head, &head_columns(config), "", "head");
        }
        found
    }
}

impl ModelConfig {
    /// The linear layers that an adapter can update, under their names in transformers.
    pub fn linear_layers(&self) -> Vec<String> {
        let in_block = |block: usize| {
            let columns = block_columns(self);
            let names: Vec<&str> = columns.iter().flat_map(|columns| &columns.parts).map(|(name, _)| *name).collect();
            names.into_iter().map(move |name| block_prefix(block) + name)
        };
        let head = (!self.tie_word_embeddings).then(|| "lm_head".to_owned());
        (0..self.num_hidden_layers).flat_map(in_block).chain(head).collect()
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

/// The matrices and biases that stand side by side in a linear layer, and the updates of an adapter.
fn add(found: &mut Vec<NamedTensor>, linear: &Linear, columns: &Columns, prefix: &str, inside: &str) {
    let width = columns.output();
    let mut from = 0;
    for (name, part) in &columns.parts {
        let tensor = |kind: &str, parameter| NamedTensor {
            columns: from..from + part,
            ..whole(&format!("{prefix}{name}.{kind}"), &format!("{inside}.{kind}"), parameter, width)
        };
        found.push(tensor("weight", linear.weight.id));
        found.extend(linear.bias.iter().map(|bias| tensor("bias", bias.id)));
        if let Some(number) = linear.updates.iter().position(|update| update.from == from) {
            let update = &linear.updates[number];
            let tensor = |kind: &str, ours: &str, parameter, width| NamedTensor {
                is_update: true,
                ..whole(
                    &format!("{prefix}{name}.{kind}.weight"),
                    &format!("{inside}.updates.{number}.{ours}"),
                    parameter,
                    width,
                )
            };
            let [a, b] = [&update.a, &update.b].map(|factor| factor.dims()[1]);
            found.push(tensor("lora_A", "a", update.a.id, a));
            found.push(tensor("lora_B", "b", update.b.id, b));
        }
        from += part;
    }
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

    /// The names are those that a checkpoint has, and their columns make up every parameter of ours once.
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
            let mut expected: BTreeSet<String> = expected_tensors(&config, EMBEDDING).map(|(name, _)| name).collect();
            expected.insert("lm_head.weight".to_owned());
            assert_eq!(names, expected);
            let mut covered: BTreeMap<String, usize> = BTreeMap::new();
            for tensor in named.iter().filter(|tensor| !(tie_word_embeddings && tensor.name.starts_with("lm_head"))) {
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
