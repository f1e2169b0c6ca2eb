//! Under which names, and in which shapes, transformers keeps what stands in our matrices.

use crate::model::architecture::{Block, Linear, ModelConfig};

/// The embedding, in every architecture.
pub(super) const EMBEDDING: &str = "model.embed_tokens.weight";
/// The last norm, in every architecture.
pub(super) const NORM: &str = "model.norm.weight";

/// The output layer, where it is not the embedding.
pub(super) const HEAD: &str = "lm_head.weight";

/// One of our linear layers, with the layers of transformers whose matrices [out, in] stand in it side by side.
pub(super) struct Columns {
    /// Name and width of each.
    pub(super) parts: Vec<(&'static str, usize)>,
    /// Rows of our matrix.
    pub(super) input: usize,
    pub(super) has_bias: bool,
}

/// What the tensors of a block are called begins with this.
pub(super) fn block_prefix(block: usize) -> String {
    format!("model.layers.{block}.")
}

/// The linear layers of a block, in the order of [`linears`].
pub(super) fn block_columns(config: &ModelConfig) -> [Columns; 4] {
    let (hidden, wide) = (config.hidden_size, config.intermediate_size);
    let (query, key) = (config.query_size(), config.key_size());
    let query_key_value = [("self_attn.q_proj", query), ("self_attn.k_proj", key), ("self_attn.v_proj", key)];
    let columns = |parts: &[(&'static str, usize)], input, has_bias| Columns { parts: parts.to_vec(), input, has_bias };
    [
        columns(&query_key_value, hidden, config.query_key_value_bias),
        columns(&[("self_attn.o_proj", hidden)], query, config.attention_output_bias),
        columns(&[("mlp.gate_proj", wide), ("mlp.up_proj", wide)], hidden, config.feed_forward_bias),
        columns(&[("mlp.down_proj", hidden)], wide, config.feed_forward_bias),
    ]
}

/// The output layer, where it is not tied.
pub(super) fn head_columns(config: &ModelConfig) -> Columns {
    Columns { parts: vec![("lm_head", config.vocab_size)], input: config.hidden_size, has_bias: false }
}

/// In the order of [`block_columns`].
pub(super) fn linears(block: &Block) -> [&Linear; 4] {
    [&block.query_key_value, &block.attention_output, &block.gate_up, &block.down]
}

/// In the order of [`block_columns`].
pub(super) fn linears_mut(block: &mut Block) -> [&mut Linear; 4] {
    [&mut block.query_key_value, &mut block.attention_output, &mut block.gate_up, &mut block.down]
}

/// Name and width of the norms of a block, without those of queries and keys.
pub(super) const BLOCK_NORMS: [&str; 2] = ["input_layernorm.weight", "post_attention_layernorm.weight"];
/// The norms of each query and each key.
pub(super) const QUERY_KEY_NORMS: [&str; 2] = ["self_attn.q_norm.weight", "self_attn.k_norm.weight"];

/// Names and shapes of all tensors of a model, block by block; `embedding` is the name of the embedding.
pub(super) fn expected_tensors<'a>(
    config: &'a ModelConfig,
    embedding: &str,
) -> impl Iterator<Item = (String, Vec<usize>)> + use<'a> {
    let hidden = config.hidden_size;
    let vocabulary = vec![config.vocab_size, hidden];
    let ends = [(embedding.to_owned(), vocabulary), (NORM.to_owned(), vec![hidden])];
    let head = (!config.tie_word_embeddings).then(|| head_columns(config).tensors(""));
    let blocks = (0..config.num_hidden_layers).flat_map(move |block| {
        let prefix = block_prefix(block);
        let norm = |(name, size): (&str, usize)| (prefix.clone() + name, vec![size]);
        let mut tensors: Vec<_> = BLOCK_NORMS.map(|name| norm((name, hidden))).to_vec();
        if config.query_key_norm {
            tensors.extend(QUERY_KEY_NORMS.map(|name| norm((name, config.head_dim))));
        }
        tensors.extend(block_columns(config).iter().flat_map(|columns| columns.tensors(&prefix)));
        tensors
    });
    ends.into_iter().chain(head.into_iter().flatten()).chain(blocks)
}

impl Columns {
    /// The width of all parts.
    pub(super) fn output(&self) -> usize {
        self.parts.iter().map(|(_, width)| width).sum()
    }

    /// The tensors that stand in it.
    fn tensors(&self, prefix: &str) -> Vec<(String, Vec<usize>)> {
        let matrix = |name: &str, width: usize| (format!("{prefix}{name}.weight"), vec![width, self.input]);
        let bias = |name: &str, width: usize| (format!("{prefix}{name}.bias"), vec![width]);
        let mut tensors: Vec<_> = self.parts.iter().map(|(name, width)| matrix(name, *width)).collect();
        if self.has_bias {
            tensors.extend(self.parts.iter().map(|(name, width)| bias(name, *width)));
        }
        tensors
    }
}
