//! Layout of transformers' tensors in the model's matrices: names and shapes.

use crate::model::architecture::{Block, Linear, ModelConfig};

/// The embedding, in every architecture.
pub(in crate::model) const EMBEDDING: &str = "model.embed_tokens.weight";
/// The last norm, in every architecture.
pub(super) const NORM: &str = "model.norm.weight";

/// The output layer, if not tied.
pub(super) const HEAD: &str = "lm_head.weight";

/// A linear layer, with transformers' layers whose matrices [out, in] are concatenated in it.
pub(super) struct LayerColumns {
    /// The layers, in the order of their columns.
    pub(super) parts: Vec<LayerPart>,
    /// Rows of the matrix.
    pub(super) input: usize,
    pub(super) has_bias: bool,
}

/// A layer of transformers within a linear layer.
#[derive(Clone, Copy)]
pub(super) struct LayerPart {
    /// Its name within the block.
    pub(super) name: &'static str,
    /// Its first column.
    pub(super) from: usize,
    /// Number of its columns.
    pub(super) width: usize,
}

/// Prefix of a block's tensors.
pub(super) fn block_prefix(block: usize) -> String {
    format!("model.layers.{block}.")
}

/// The linear layers of a block, in the order of [`linears`].
pub(super) fn block_columns(config: &ModelConfig) -> [LayerColumns; 4] {
    let (hidden, wide) = (config.hidden_size, config.intermediate_size);
    // Layers with the same input are one matrix: one large product is faster than several small
    // ones.
    let (query, key) = (config.query_size(), config.key_size());
    [
        LayerColumns::new(
            &[("self_attn.q_proj", query), ("self_attn.k_proj", key), ("self_attn.v_proj", key)],
            hidden,
            config.query_key_value_bias,
        ),
        LayerColumns::new(&[("self_attn.o_proj", hidden)], query, config.attention_output_bias),
        LayerColumns::new(
            &[("mlp.gate_proj", wide), ("mlp.up_proj", wide)],
            hidden,
            config.feed_forward_bias,
        ),
        LayerColumns::new(&[("mlp.down_proj", hidden)], wide, config.feed_forward_bias),
    ]
}

/// The output layer, if not tied.
pub(super) fn head_columns(config: &ModelConfig) -> LayerColumns {
    LayerColumns::new(&[("lm_head", config.vocab_size)], config.hidden_size, false)
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
pub(super) const BLOCK_NORMS: [&str; 2] =
    ["input_layernorm.weight", "post_attention_layernorm.weight"];
/// The norms of each query and each key.
pub(super) const QUERY_KEY_NORMS: [&str; 2] =
    ["self_attn.q_norm.weight", "self_attn.k_norm.weight"];

/// Names and shapes of all tensors of a model, block by block; `embedding` is the name of the
/// embedding.
pub(in crate::model) fn expected_tensors<'a>(
    config: &'a ModelConfig,
    embedding: &str,
) -> impl Iterator<Item = (String, Vec<usize>)> + use<'a> {
    let hidden = config.hidden_size;
    let vocabulary = vec![config.vocab_size, hidden];
    let ends = [(embedding.to_owned(), vocabulary), (NORM.to_owned(), vec![hidden])];
    let head = (!config.tie_word_embeddings).then(|| head_columns(config).tensors(""));
    let blocks = (0..config.num_hidden_layers).flat_map(move |block| {
        let prefix = block_prefix(block);
        let mut tensors: Vec<_> =
            BLOCK_NORMS.map(|name| (format!("{prefix}{name}"), vec![hidden])).to_vec();
        if config.query_key_norm {
            let size = vec![config.head_dim];
            tensors.extend(QUERY_KEY_NORMS.map(|name| (format!("{prefix}{name}"), size.clone())));
        }
        tensors.extend(block_columns(config).iter().flat_map(|columns| columns.tensors(&prefix)));
        tensors
    });
    ends.into_iter().chain(head.into_iter().flatten()).chain(blocks)
}

impl LayerColumns {
    /// Layers with these names and widths.
    fn new(named: &[(&'static str, usize)], input: usize, has_bias: bool) -> Self {
        let mut from = 0;
        let mut parts = Vec::with_capacity(named.len());
        for (name, width) in named {
            parts.push(LayerPart { name, from, width: *width });
            from += width;
        }
        Self { parts, input, has_bias }
    }

    /// The width of all parts.
    pub(super) fn output(&self) -> usize {
        self.parts.iter().map(|part| part.width).sum()
    }

    /// The tensors that stand in it.
    fn tensors(&self, prefix: &str) -> Vec<(String, Vec<usize>)> {
        let mut tensors = Vec::new();
        for LayerPart { name, width, .. } in &self.parts {
            tensors.push((format!("{prefix}{name}.weight"), vec![*width, self.input]));
            if self.has_bias {
                tensors.push((format!("{prefix}{name}.bias"), vec![*width]));
            }
        }
        tensors
    }
}
