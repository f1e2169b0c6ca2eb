//! Models prepared for sampling.

use burn::tensor::Tensor;

use crate::model::{
    architecture::{Block, Linear, NumberFormat, Transformer, parameter},
    memory_budget,
};

impl Transformer {
    /// The same model prepared for sampling, without autodiff. On the CPU, weights are also kept in
    /// the order in which products of few rows read them, if memory allows; and a tied output layer
    /// is separate, since a product with a transposed matrix would copy it at every step.
    pub fn for_sampling(&self) -> Self {
        if !self.is_on_cpu() {
            return self.clone();
        }
        // Products in float16 are Burn's own.
        let is_packable = self.format() != NumberFormat::Float16;
        self.prepared(is_packable && memory_budget::has_room_for_weights(self))
    }

    /// On the CPU, with or without packed weights.
    pub(super) fn prepared(&self, is_packed: bool) -> Self {
        let mut model = self.clone();
        if model.head.is_none() {
            let transposed = self.embedding.val().transpose();
            let weight = if is_packed {
                transposed
            } else {
                let device = (&self.device(), self.format().dtype());
                Tensor::from_data(transposed.into_data(), device)
            };
            model.head = Some(Linear::new(parameter("head", weight), None));
            model.config.tie_word_embeddings = false;
        }
        if is_packed {
            model.blocks.iter_mut().flat_map(Block::linears_mut).for_each(Linear::pack);
            model.head.iter_mut().for_each(Linear::pack);
        }
        model
    }
}
