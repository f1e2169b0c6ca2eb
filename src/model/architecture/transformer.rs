//! A decoder of the Llama family (Touvron et al. 2023, arXiv 2302.13971): pre-norm, rotary
//! embeddings, grouped queries, SwiGLU.

use burn::{
    module::{Module, Param, ParamId},
    tensor::{DType, Device, Int, Tensor, activation},
};

use super::{
    Dropout, Linear, ModelConfig, NumberFormat,
    attention::{ComposedPositions, KeysAndValues, Positions, attention},
};
use crate::{
    model::{
        device::{is_cpu, states_format},
        fused,
    },
    seed::Seed,
};

/// The model.
#[derive(Module, Debug)]
pub struct Transformer {
    /// Token embeddings [vocab, hidden]; also the output layer if tied.
    pub embedding: Param<Tensor<2>>,
    /// Blocks in order.
    pub blocks: Vec<Block>,
    /// Weight of the last norm [hidden].
    pub norm: Param<Tensor<1>>,
    /// Output layer [hidden, vocab], if not tied.
    pub head: Option<Linear>,
    /// Configuration.
    #[module(skip)]
    pub config: ModelConfig,
    /// Format of states; weights in another format are cast where they are used.
    #[module(skip)]
    pub computes_in: NumberFormat,
}

/// Attention and feed-forward layer, each with pre-norm and residual connection. Matrices have the
/// layout [in, out].
#[derive(Module, Debug)]
pub struct Block {
    /// Weight of the norm before attention [hidden].
    pub attention_norm: Param<Tensor<1>>,
    /// Projections to queries, keys and values, concatenated [hidden, (heads + 2 * kv heads) *
    /// head].
    pub query_key_value: Linear,
    /// Weights of the norms of queries and keys [head], if any.
    pub query_key_norms: Option<[Param<Tensor<1>>; 2]>,
    /// Output projection of attention [heads * head, hidden].
    pub attention_output: Linear,
    /// Weight of the norm before the feed-forward layer [hidden].
    pub feed_forward_norm: Param<Tensor<1>>,
    /// Gate and up projection, concatenated [hidden, 2 * intermediate].
    pub gate_up: Linear,
    /// Down projection [intermediate, hidden].
    pub down: Linear,
    /// Whether attention has the config's sliding window.
    #[module(skip)]
    pub has_window: bool,
}

/// A parameter whose id follows from its name, so that optimizer state can be matched after a
/// restart.
pub fn parameter<const D: usize>(name: &str, value: Tensor<D>) -> Param<Tensor<D>> {
    let digest = blake3::derive_key("apeft parameter id v1", name.as_bytes());
    let id = u64::from_le_bytes(digest[..8].try_into().expect("a digest is longer than 8 bytes"));
    // A parameter on the inner backend cannot require a gradient.
    let value = if value.is_autodiff() { value.require_grad() } else { value };
    Param::initialized(ParamId::from(id), value)
}

impl Transformer {
    /// The states after the last norm, for each position of each row.
    ///
    /// # Shapes
    /// - tokens: [batch, time], right-padded with any token (a position never sees later ones)
    /// - output: [batch * time, hidden]
    pub fn hidden(&self, tokens: Tensor<2, Int>) -> Tensor<2> {
        let [_, time] = tokens.dims();
        let positions = Positions::new(&self.config, 0, time, &tokens.device());
        self.hidden_with(tokens, &positions, |_, keys_and_values| keys_and_values)
    }

    /// The same at given positions. `remember` receives each block's index with its keys and
    /// values, and returns those that the queries attend to.
    pub(in crate::model) fn hidden_with(
        &self,
        tokens: Tensor<2, Int>,
        positions: &Positions,
        mut remember: impl FnMut(usize, KeysAndValues) -> KeysAndValues,
    ) -> Tensor<2> {
        let [batch, time] = tokens.dims();
        let mut states = self.embed(tokens.reshape([batch * time]));
        for (layer, block) in self.blocks.iter().enumerate() {
            let normed = rms_norm(states.clone(), &block.attention_norm, self.config.rms_norm_eps);
            let projected = block.query_key_value.forward(normed);
            let mixed =
                block.attend(projected, &self.config, positions, |new| remember(layer, new));
            states =
                block.feed_forward(states + block.attention_output.forward(mixed), &self.config);
        }
        self.last_norm(states)
    }

    /// The states before the first block [tokens, hidden].
    pub fn embed(&self, tokens: Tensor<1, Int>) -> Tensor<2> {
        self.embedding.val().select(0, tokens).cast(self.states_in())
    }

    /// The format of states, keys and values.
    pub fn states_in(&self) -> DType {
        states_format(self.computes_in, &self.device())
    }

    /// States after the last norm [rows, hidden].
    pub fn last_norm(&self, states: Tensor<2>) -> Tensor<2> {
        rms_norm(states, &self.norm, self.config.rms_norm_eps)
    }

    /// The output layer, one row per token [vocab, hidden]; the embedding if tied.
    pub fn head(&self) -> Tensor<2> {
        let head = self
            .head
            .as_ref()
            .map_or_else(|| self.embedding.val(), |head| head.merged_weight().transpose());
        // Bfloat16 weights of float32 states stay as they are: their products are the CPU's own.
        if head.dtype() == self.computes_in.dtype() { head } else { head.cast(self.states_in()) }
    }

    /// The output layer, one row per token [vocab, hidden], without an adapter's updates.
    pub(in crate::model) fn head_alone(&self) -> Tensor<2> {
        self.head
            .as_ref()
            .map_or_else(|| self.embedding.val(), |head| head.weight.val().transpose())
    }

    /// Whether training changes the output layer.
    pub fn head_is_trained(&self) -> bool {
        match &self.head {
            Some(head) => head.weight.is_require_grad() || !head.updates.is_empty(),
            None => self.embedding.is_require_grad(),
        }
    }

    /// Whether an adapter updates any layer.
    pub fn has_updates(&self) -> bool {
        self.adapter_size().is_some()
    }

    /// Number of an adapter's numbers; none without one.
    pub fn adapter_size(&self) -> Option<usize> {
        let of_blocks = self.blocks.iter().flat_map(Block::linears);
        let updates = of_blocks.chain(&self.head).flat_map(|linear| &linear.updates);
        let factors = updates.flat_map(|update| [&update.a, &update.b]);
        Some(factors.map(|factor| factor.shape().num_elements()).sum()).filter(|size| *size > 0)
    }

    /// The same model with dropout in its updates, each with its own seed; `before`: tokens of the
    /// same pass that other devices compute before these.
    pub fn with_dropout(mut self, rate: f64, seed: &Seed, before: usize) -> Self {
        let of_blocks = self.blocks.iter_mut().flat_map(Block::linears_mut);
        let updates = of_blocks.chain(&mut self.head).flat_map(|linear| &mut linear.updates);
        // The number is part of a stream's name: in another order, other inputs would be dropped.
        for (number, update) in updates.enumerate() {
            let seed = seed.split(&format!("update {number}"));
            update.dropout = Some(Dropout { rate, seed, before });
        }
        self
    }

    /// The logits of the next token at each of these states, in float32.
    ///
    /// # Shapes
    /// - hidden: [rows, hidden]
    /// - output: [rows, vocab]
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.unconverted_logits(hidden).cast(DType::F32)
    }

    /// The same numbers in the format in which they are computed.
    pub(in crate::model) fn unconverted_logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        match &self.head {
            Some(head) => head.forward(hidden),
            None => fused::multiply(hidden, self.head().transpose()),
        }
    }

    /// Where its weights are.
    pub fn device(&self) -> Device {
        self.embedding.val().device()
    }

    /// Whether its weights are in host memory.
    pub fn is_on_cpu(&self) -> bool {
        is_cpu(&self.device())
    }

    /// Number format of its weights.
    pub fn format(&self) -> NumberFormat {
        let dtype = self.embedding.val().dtype();
        NumberFormat::ALL
            .into_iter()
            .find(|format| format.dtype() == dtype)
            .unwrap_or(NumberFormat::Float32)
    }

    /// The same model with its adapter merged.
    pub fn merge(mut self) -> Self {
        self.blocks = self.blocks.into_iter().map(Block::merge).collect();
        self.head = self.head.map(Linear::merge);
        self
    }
}

impl Block {
    /// The linear layers, in the order of the computation.
    fn linears(&self) -> [&Linear; 4] {
        [&self.query_key_value, &self.attention_output, &self.gate_up, &self.down]
    }

    pub(in crate::model) fn linears_mut(&mut self) -> [&mut Linear; 4] {
        [&mut self.query_key_value, &mut self.attention_output, &mut self.gate_up, &mut self.down]
    }

    fn merge(self) -> Self {
        Self {
            query_key_value: self.query_key_value.merge(),
            attention_output: self.attention_output.merge(),
            gate_up: self.gate_up.merge(),
            down: self.down.merge(),
            ..self
        }
    }

    /// Attention at new positions; `remember` receives their keys and values, and returns those
    /// that the queries attend to.
    fn attend(
        &self,
        projected: Tensor<2>,
        config: &ModelConfig,
        positions: &Positions,
        remember: impl FnOnce(KeysAndValues) -> KeysAndValues,
    ) -> Tensor<2> {
        match positions {
            Positions::Composed(positions) => {
                let (query, new) = self.heads(projected, config, positions);
                let mask = positions.mask(self.has_window);
                attention(query, remember(new), config.num_attention_heads, mask)
            }
            Positions::Fused { positions, window } => {
                // The cache keeps the format of the model, while sums are float32.
                let format = projected.dtype();
                let projected = self.with_normed_heads(projected, config).cast(DType::F32);
                let (query, (key, value)) = fused::split_heads(projected, positions);
                let (key, value) = remember((key.cast(format), value.cast(format)));
                let seen = (key.cast(DType::F32), value.cast(DType::F32));
                let window = window.filter(|_| self.has_window).unwrap_or(usize::MAX);
                fused::attend_to(query, seen, positions, window).cast(format)
            }
        }
    }

    /// Queries, keys and values side by side, with the norms of queries and keys, if any.
    pub(super) fn with_normed_heads(
        &self,
        projected: Tensor<2>,
        config: &ModelConfig,
    ) -> Tensor<2> {
        let Some([query_norm, key_norm]) = &self.query_key_norms else { return projected };
        let (heads, groups, width) =
            (config.num_attention_heads, config.num_key_value_heads, config.head_dim);
        let [tokens, _] = projected.dims();
        let part =
            |from: usize, count: usize| projected.clone().narrow(1, from * width, count * width);
        let normed = |from, count, norm| {
            let states = part(from, count).reshape([tokens * count, width]);
            rms_norm(states, norm, config.rms_norm_eps).reshape([tokens, count * width])
        };
        let (query, key) = (normed(0, heads, query_norm), normed(heads, groups, key_norm));
        Tensor::cat(vec![query, key, part(heads + groups, groups)], 1)
    }

    /// Queries, keys and values, with rotary embeddings.
    ///
    /// # Shapes
    /// - projected: [batch * time, (heads + 2 * kv heads) * head], as `query_key_value` gives them
    /// - query: [batch, kv heads, heads / kv heads * time, head], divided by the root of `head`
    pub(super) fn heads(
        &self,
        projected: Tensor<2>,
        config: &ModelConfig,
        positions: &ComposedPositions,
    ) -> (Tensor<4>, KeysAndValues) {
        let (heads, groups, width) =
            (config.num_attention_heads, config.num_key_value_heads, config.head_dim);
        let time = positions.rotary.time();
        let rotated = positions.rotary.rotate(self.with_normed_heads(projected, config));
        let [batch, ..] = rotated.dims();
        let [query, key, value] = [(0, heads), (heads, groups), (heads + groups, groups)]
            .map(|(from, count)| rotated.clone().narrow(2, from, count).swap_dims(1, 2));
        // The query and not the scores, since it has fewer numbers; and before the next line, which
        // would copy it.
        let query = query * (width as f64).sqrt().recip();
        (query.reshape([batch, groups, heads / groups * time, width]), (key, value))
    }

    pub(super) fn feed_forward(&self, states: Tensor<2>, config: &ModelConfig) -> Tensor<2> {
        let normed = rms_norm(states.clone(), &self.feed_forward_norm, config.rms_norm_eps);
        states + self.down.forward(swiglu(self.gate_up.forward(normed)))
    }
}

/// Root-mean-square norm (Zhang and Sennrich 2019, arXiv 1910.07467) over the last axis, in
/// float32.
pub(super) fn rms_norm<const D: usize>(
    states: Tensor<D>,
    scale: &Param<Tensor<1>>,
    epsilon: f64,
) -> Tensor<D> {
    if fused::is_fusible(&states) {
        return fused::rms_norm(states, scale.val().cast(DType::F32), epsilon);
    }
    let format = states.dtype();
    // Squares of float16 states would overflow, and a mean of bfloat16 ones would lose its digits.
    let states = states.cast(DType::F32);
    let mean_square = states.clone().powi_scalar(2).mean_dim(D - 1);
    (states * (mean_square + epsilon).sqrt().recip()).cast(format)
        * scale.val().cast(format).unsqueeze()
}

/// SwiGLU (Shazeer 2020, arXiv 2002.05202) of gate and value side by side: [rows, 2 * width] to
/// [rows, width].
fn swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    if fused::is_fusible(&gate_up) {
        return fused::swiglu(gate_up);
    }
    let [_, double] = gate_up.dims();
    // Both before the product, so that it is one kernel with the activation.
    let [gate, value] = [0, double / 2].map(|from| gate_up.clone().narrow(1, from, double / 2));
    activation::silu(gate) * value
}

/// The natural logarithm of the probability of one token in each row of logits.
///
/// Its gradient, one at the target minus the probabilities, is written out instead of derived from
/// the steps of a log-softmax, which would compute the exponential of each logit a second time.
///
/// # Shapes
/// - logits: [rows, vocab]
/// - targets, output: [rows]
pub fn target_log_probabilities(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let [rows, _] = logits.dims();
    let targets = targets.reshape([rows, 1]);
    let (plain, plain_targets) =
        (logits.clone().without_autodiff(), targets.clone().without_autodiff());
    let probabilities = activation::softmax(plain.clone(), 1);
    // The largest probability is the reciprocal of the sum of exponentials.
    let normalizer = plain.clone().max_dim(1) - probabilities.clone().max_dim(1).log();
    let value = plain.gather(1, plain_targets) - normalizer;
    if !logits.is_autodiff() {
        return value.squeeze_dim(1);
    }
    // The value as a constant, plus a term that is 0 but has the gradient.
    let slope =
        logits.clone().gather(1, targets) - (logits * Tensor::from_inner(probabilities)).sum_dim(1);
    (Tensor::from_inner(value) + (slope.clone() - slope.detach())).squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::model::{Packed, SharedPrefix};

    /// Two blocks of width 64 with grouped keys.
    fn small_config() -> ModelConfig {
        ModelConfig {
            hidden_size: 64,
            intermediate_size: 168,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 16,
            vocab_size: 2048,
            max_position_embeddings: 256,
            tie_word_embeddings: true,
            ..ModelConfig::default()
        }
    }

    /// Texts, laid out for training, with a target for each token.
    fn batch(rows: usize, time: usize, device: &Device) -> (Packed, Tensor<1, Int>) {
        let ids: Vec<u32> = (0..rows * time)
            .map(|index| ((index * index * 31 + index * 7919) % 2048) as u32)
            .collect();
        let texts: Vec<SharedPrefix> = ids
            .chunks(time)
            .map(|ids| SharedPrefix { prefix: ids.to_vec(), continuations: Vec::new() })
            .collect();
        let targets = ids.iter().map(|id| *id as i32).collect();
        let targets = Tensor::from_data(TensorData::new(targets, [rows * time]), device);
        (Packed::new(&small_config(), &texts, true, device), targets)
    }

    /// Losses by row, and the gradients of all kinds of parameter.
    fn losses_and_gradients(config: &ModelConfig) -> Vec<Vec<f32>> {
        let model = config.init(&Seed::root(0), &Device::flex().autodiff());
        let (texts, targets) = batch(12, 40, &model.device());
        let losses = target_log_probabilities(model.logits(model.states(&texts)), targets);
        let gradients = losses.clone().reshape([12, 40]).sum_dim(1).sum_dim(0).backward();
        let block = &model.blocks[0];
        let mut found: Vec<Vec<f32>> = vec![losses.into_data().try_to_vec().unwrap()];
        let linear = [&block.query_key_value, &block.attention_output, &block.gate_up, &block.down];
        for matrix in std::iter::once(&model.embedding).chain(linear.map(|linear| &linear.weight)) {
            found.push(matrix.grad(&gradients).unwrap().into_data().try_to_vec().unwrap());
        }
        for vector in [&model.norm, &block.attention_norm, &block.feed_forward_norm] {
            found.push(vector.grad(&gradients).unwrap().into_data().try_to_vec().unwrap());
        }
        found
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| losses_and_gradients(&small_config()))
        };
        let one = with(1);
        assert!(one.iter().all(|values| values.iter().any(|value| *value != 0.0)));
        for threads in [2, 3] {
            assert!(one == with(threads), "{threads} threads");
        }
    }

    #[test]
    fn bits_are_the_same_with_and_without_gradients() {
        let trained = small_config().init(&Seed::root(0), &Device::flex().autodiff());
        let frozen = small_config().init(&Seed::root(0), &Device::flex());
        let losses = |model: &Transformer| {
            let (texts, targets) = batch(3, 17, &model.device());
            target_log_probabilities(model.logits(model.states(&texts)), targets)
        };
        let (one, other) = (losses(&trained), losses(&frozen));
        assert_eq!(one.into_data(), other.into_data());
    }

    #[test]
    fn later_tokens_do_not_matter() {
        let model = small_config().init(&Seed::root(0), &Device::flex());
        let hidden = |ids: [i32; 6]| {
            let tokens =
                Tensor::<2, Int>::from_data(TensorData::new(ids.to_vec(), [1, 6]), &Device::flex());
            model.hidden(tokens).narrow(0, 0, 4).into_data()
        };
        assert_eq!(hidden([5, 9, 3, 7, 2, 2]), hidden([5, 9, 3, 7, 800, 1]));
    }

    #[test]
    fn the_gradient_of_a_log_probability_is_one_less_the_probability() {
        let device = Device::flex().autodiff();
        let logits = Tensor::<2>::from_data([[0.5f32, -1.0, 2.0], [80.0, -90.0, 0.0]], &device)
            .require_grad();
        let targets = Tensor::<1, Int>::from_data([2, 1], &device);
        let values = target_log_probabilities(logits.clone(), targets);
        let gradients =
            (values.clone() * Tensor::from_data([1.0f32, 3.0], &device)).sum().backward();
        let found: Vec<f32> = logits.grad(&gradients).unwrap().into_data().try_to_vec().unwrap();
        let sum = 0.5f64.exp() + (-1.0f64).exp() + 2.0f64.exp();
        let expected = [
            -(0.5f64.exp()) / sum,
            -(-1.0f64).exp() / sum,
            1.0 - 2.0f64.exp() / sum,
            -3.0,
            3.0,
            0.0,
        ];
        assert!(
            found
                .iter()
                .zip(expected)
                .all(|(found, expected)| (f64::from(*found) - expected).abs() < 1e-6),
            "{found:?}"
        );
        let values: Vec<f32> = values.into_data().try_to_vec().unwrap();
        assert!(
            (f64::from(values[0]) - (2.0 - sum.ln())).abs() < 1e-6
                && (values[1] + 170.0).abs() < 1e-4,
            "{values:?}"
        );
    }
}
