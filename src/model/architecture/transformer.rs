//! A decoder of the Llama family (Touvron et al. 2023, arXiv 2302.13971): pre-norm, rotary positions, grouped queries, SwiGLU.

use burn::{
    module::{Module, Param, ParamId},
    tensor::{DType, Device, Int, Tensor, TensorData, activation},
};

use super::{
    Dropout, Linear, ModelConfig, NumberFormat,
    attention::{KeysAndValues, Positions, attention, rotate},
};
use crate::{model::device::is_cpu, seed::Seed};

/// Spread of the initial weights (`initializer_range` of transformers).
const INITIAL_SPREAD: f64 = 0.02;

/// The whole model.
#[derive(Module, Debug)]
pub struct Transformer {
    /// Token embeddings [vocab, hidden]; the output layer too where they are tied.
    pub embedding: Param<Tensor<2>>,
    /// The blocks, first to last.
    pub blocks: Vec<Block>,
    /// Scale of the last norm [hidden].
    pub norm: Param<Tensor<1>>,
    /// The output layer [hidden, vocab], where it is not tied.
    pub head: Option<Linear>,
    /// Its sizes.
    #[module(skip)]
    pub config: ModelConfig,
    /// The format of states; weights of another one are turned into it where they are used, and keep their own.
    #[module(skip)]
    pub computes_in: NumberFormat,
}

/// Attention and feed-forward layer, each behind a norm and added to what came in. Matrices lie as [in, out].
#[derive(Module, Debug)]
pub struct Block {
    /// Scale of the norm before attention [hidden].
    pub attention_norm: Param<Tensor<1>>,
    /// Projections to queries, keys and values, side by side [hidden, (heads + 2 * kv heads) * head].
    pub query_key_value: Linear,
    /// Scales of the norms of each query and each key [head], where there are any.
    pub query_key_norms: Option<[Param<Tensor<1>>; 2]>,
    /// Projection of the heads' outputs [heads * head, hidden].
    pub attention_output: Linear,
    /// Scale of the norm before the feed-forward layer [hidden].
    pub feed_forward_norm: Param<Tensor<1>>,
    /// Projections to gate and value, side by side [hidden, 2 * intermediate].
    pub gate_up: Linear,
    /// Projection back [intermediate, hidden].
    pub down: Linear,
    /// Whether attention reaches back only over the config's window.
    #[module(skip)]
    pub has_window: bool,
}

impl ModelConfig {
    /// A model with random weights: normal with spread 0.02, norms 1, biases 0; each parameter has a stream of its own,
    /// named after it, so that the values do not depend on order, threads or device.
    pub fn init(&self, seed: &Seed, device: &Device) -> Transformer {
        let (hidden, wide) = (self.hidden_size, self.intermediate_size);
        let random = |name: &str, shape| random_matrix(&seed.split(name), name, shape, device);
        let ones = |name: &str, size: usize| parameter(name, Tensor::<1>::ones([size], device));
        let linear = |name: String, inputs: usize, outputs: usize, has_bias: bool| Linear {
            weight: random(&name, [inputs, outputs]),
            bias: has_bias.then(|| parameter(&format!("{name}.bias"), Tensor::zeros([outputs], device))),
            updates: Vec::new(),
        };
        let block = |layer: usize| {
            let name = |part: &str| format!("blocks.{layer}.{part}");
            let columns = self.query_size() + 2 * self.key_size();
            let norms = ["query_norm", "key_norm"];
            Block {
                attention_norm: ones(&name("attention_norm"), hidden),
                query_key_value: linear(name("query_key_value"), hidden, columns, self.query_key_value_bias),
                query_key_norms: self.query_key_norm.then(|| norms.map(|norm| ones(&name(norm), self.head_dim))),
                attention_output: linear(
                    name("attention_output"),
                    self.query_size(),
                    hidden,
                    self.attention_output_bias,
                ),
                feed_forward_norm: ones(&name("feed_forward_norm"), hidden),
                gate_up: linear(name("gate_up"), hidden, 2 * wide, self.feed_forward_bias),
                down: linear(name("down"), wide, hidden, self.feed_forward_bias),
                has_window: self.window(layer).is_some(),
            }
        };
        Transformer {
            embedding: random("embedding", [self.vocab_size, hidden]),
            blocks: (0..self.num_hidden_layers).map(block).collect(),
            norm: ones("norm", hidden),
            head: (!self.tie_word_embeddings).then(|| linear("head".to_owned(), hidden, self.vocab_size, false)),
            config: self.clone(),
            computes_in: NumberFormat::Float32,
        }
    }
}

fn random_matrix(seed: &Seed, name: &str, shape: [usize; 2], device: &Device) -> Param<Tensor<2>> {
    let mut stream = seed.stream();
    let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| (INITIAL_SPREAD * stream.normal()) as f32).collect();
    parameter(name, Tensor::from_data(TensorData::new(values, shape), device))
}

/// A parameter whose identity follows from its name, so that an optimizer's state can be matched to it after a restart.
pub(in crate::model) fn parameter<const D: usize>(name: &str, value: Tensor<D>) -> Param<Tensor<D>> {
    let digest = blake3::derive_key("apeft parameter id v1", name.as_bytes());
    let id = u64::from_le_bytes(digest[..8].try_into().expect("a digest is longer than 8 bytes"));
    let value = if value.is_autodiff() { value.require_grad() } else { value };
    Param::initialized(ParamId::from(id), value)
}

impl Transformer {
    /// The states after the last norm, of each position of each row.
    ///
    /// # Shapes
    /// - tokens: [batch, time], filled up on the right with any token (a position never sees later ones)
    /// - output: [batch * time, hidden]
    pub fn hidden(&self, tokens: Tensor<2, Int>) -> Tensor<2> {
        let [_, time] = tokens.dims();
        let positions = Positions::new(&self.config, 0, time, &tokens.device());
        self.hidden_with(tokens, &positions, |_, keys_and_values| keys_and_values)
    }

    /// The same at given positions; `remember` is told each block's number with its keys and values, and says to which
    /// ones the queries attend.
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
            let (query, keys_and_values) = block.heads(projected, &self.config, positions);
            let seen = remember(layer, keys_and_values);
            let mask = positions.mask(block.has_window);
            let mixed = attention(query, seen, self.config.num_attention_heads, mask);
            states = block.feed_forward(states + block.attention_output.forward(mixed), &self.config);
        }
        self.last_norm(states)
    }

    /// The states before the first block [tokens, hidden].
    pub fn embed(&self, tokens: Tensor<1, Int>) -> Tensor<2> {
        self.embedding.val().select(0, tokens).cast(self.computes_in.dtype())
    }

    /// States after the last block, normed [rows, hidden].
    pub fn last_norm(&self, states: Tensor<2>) -> Tensor<2> {
        rms_norm(states, &self.norm, self.config.rms_norm_eps)
    }

    /// The output layer as one row a token [vocab, hidden]; the embedding where they are tied.
    pub fn head(&self) -> Tensor<2> {
        let head = self.head.as_ref().map_or_else(|| self.embedding.val(), |head| head.merged_weight().transpose());
        head.cast(self.computes_in.dtype())
    }

    /// The output layer as one row a token [vocab, hidden], without updates of an adapter.
    pub(in crate::model) fn head_alone(&self) -> Tensor<2> {
        self.head.as_ref().map_or_else(|| self.embedding.val(), |head| head.weight.val().transpose())
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
        let of = |block: &Block| {
            [&block.query_key_value, &block.attention_output, &block.gate_up, &block.down]
                .iter()
                .any(|linear| !linear.updates.is_empty())
        };
        self.blocks.iter().any(of) || self.head.as_ref().is_some_and(|head| !head.updates.is_empty())
    }

    /// The same model, in which updates leave out a share of their input, each its own numbers.
    pub fn with_dropout(mut self, rate: f64, seed: &Seed) -> Self {
        let head = self.head.as_mut().map(|head| &mut head.updates);
        let of_blocks = self.blocks.iter_mut().flat_map(|block| {
            [&mut block.query_key_value, &mut block.attention_output, &mut block.gate_up, &mut block.down]
                .map(|linear| &mut linear.updates)
        });
        for (number, update) in of_blocks.chain(head).flatten().enumerate() {
            update.dropout = Some(Dropout { rate, seed: seed.split(&format!("update {number}")) });
        }
        self
    }

    /// The logits of the next token at each of these states, in float32.
    ///
    /// # Shapes
    /// - hidden: [rows, hidden]
    /// - output: [rows, vocab]
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        let logits = match &self.head {
            Some(head) => head.forward(hidden),
            None => hidden.matmul(self.head().transpose()),
        };
        logits.cast(DType::F32)
    }

    /// The format of its weights.
    pub fn format(&self) -> NumberFormat {
        let dtype = self.embedding.val().dtype();
        NumberFormat::ALL.into_iter().find(|format| format.dtype() == dtype).unwrap_or(NumberFormat::Float32)
    }

    /// The same model with an output layer of its own where it is tied to the embedding: on the CPU, products with a matrix
    /// that lies the other way round begin with copying it, at every step.
    pub(in crate::model) fn for_sampling(&self) -> Self {
        let device = self.embedding.val().device();
        let mut model = self.clone();
        if self.head.is_none() && is_cpu(&device) {
            let data = self.embedding.val().transpose().into_data();
            let weight = parameter("head", Tensor::from_data(data, (&device, self.format().dtype())));
            model.head = Some(Linear { weight, bias: None, updates: Vec::new() });
            model.config.tie_word_embeddings = false;
        }
        model
    }

    /// The same model with its adapter's updates in its matrices.
    pub fn merge(mut self) -> Self {
        let merge = |block: Block| Block {
            query_key_value: block.query_key_value.merge(),
            attention_output: block.attention_output.merge(),
            gate_up: block.gate_up.merge(),
            down: block.down.merge(),
            ..block
        };
        self.blocks = self.blocks.into_iter().map(merge).collect();
        self.head = self.head.map(Linear::merge);
        self
    }
}

impl Block {
    /// Queries, keys and values, rotated.
    ///
    /// # Shapes
    /// - projected: [batch * time, (heads + 2 * kv heads) * head], as `query_key_value` gives them
    /// - query: [batch, kv heads, heads / kv heads * time, head]
    pub(super) fn heads(
        &self,
        projected: Tensor<2>,
        config: &ModelConfig,
        positions: &Positions,
    ) -> (Tensor<4>, KeysAndValues) {
        let (heads, groups, width) = (config.num_attention_heads, config.num_key_value_heads, config.head_dim);
        let [rows, _] = projected.dims();
        let [_, _, time, _] = positions.cosine.dims();
        let batch = rows / time;
        let part = |from: usize, count: usize| {
            let part = projected.clone().narrow(1, from * width, count * width);
            part.reshape([batch, time, count, width]).swap_dims(1, 2)
        };
        let (mut query, mut key) = (part(0, heads), part(heads, groups));
        if let Some([query_norm, key_norm]) = &self.query_key_norms {
            query = rms_norm(query, query_norm, config.rms_norm_eps);
            key = rms_norm(key, key_norm, config.rms_norm_eps);
        }
        let query = rotate(query, positions).reshape([batch, groups, heads / groups * time, width]);
        (query, (rotate(key, positions), part(heads + groups, groups)))
    }

    pub(super) fn feed_forward(&self, states: Tensor<2>, config: &ModelConfig) -> Tensor<2> {
        let normed = rms_norm(states.clone(), &self.feed_forward_norm, config.rms_norm_eps);
        states + self.down.forward(swiglu(self.gate_up.forward(normed)))
    }
}

/// Root-mean-square norm (Zhang and Sennrich 2019, arXiv 1910.07467) over the last axis, in float32.
pub(super) fn rms_norm<const D: usize>(states: Tensor<D>, scale: &Param<Tensor<1>>, epsilon: f64) -> Tensor<D> {
    let format = states.dtype();
    let states = states.cast(DType::F32);
    let mean_square = states.clone().powi_scalar(2).mean_dim(D - 1);
    (states * (mean_square + epsilon).sqrt().recip()).cast(format) * scale.val().cast(format).unsqueeze()
}

/// SwiGLU (Shazeer 2020, arXiv 2002.05202) of gate and value side by side: [rows, 2 * width] to [rows, width].
fn swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    let [_, double] = gate_up.dims();
    let gate = gate_up.clone().narrow(1, 0, double / 2);
    activation::silu(gate) * gate_up.narrow(1, double / 2, double / 2)
}

/// The natural logarithm of the probability of one token in each row of logits.
///
/// Its gradient, one at the target less the probabilities, is written down instead of being derived from the steps of a
/// log-softmax, since that would take the exponential of each logit a second time.
///
/// # Shapes
/// - logits: [rows, vocab]
/// - targets, output: [rows]
pub fn target_log_probabilities(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let [rows, _] = logits.dims();
    let targets = targets.reshape([rows, 1]);
    let (plain, plain_targets) = (logits.clone().without_autodiff(), targets.clone().without_autodiff());
    let probabilities = activation::softmax(plain.clone(), 1);
    // The largest probability is the reciprocal of the sum of exponentials.
    let normalizer = plain.clone().max_dim(1) - probabilities.clone().max_dim(1).log();
    let value = plain.gather(1, plain_targets) - normalizer;
    if !logits.is_autodiff() {
        return value.squeeze_dim(1);
    }
    let slope = logits.clone().gather(1, targets) - (logits * Tensor::from_inner(probabilities)).sum_dim(1);
    (Tensor::from_inner(value) + (slope.clone() - slope.detach())).squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::speed::quickstart_shape;

    fn batch(rows: usize, time: usize) -> (Tensor<2, Int>, Tensor<1, Int>) {
        let device = Device::flex().autodiff();
        let ids: Vec<i32> = (0..rows * time).map(|index| ((index * index * 31 + index * 7919) % 2048) as i32).collect();
        let tokens = Tensor::from_data(TensorData::new(ids.clone(), [rows, time]), &device);
        (tokens, Tensor::from_data(TensorData::new(ids, [rows * time]), &device))
    }

    /// Losses by row, and the gradients of all kinds of parameter.
    fn losses_and_gradients(config: &ModelConfig) -> Vec<Vec<f32>> {
        let model = config.init(&Seed::root(0), &Device::flex().autodiff());
        let (tokens, targets) = batch(12, 40);
        let losses = target_log_probabilities(model.logits(model.hidden(tokens)), targets);
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
            pool.install(|| losses_and_gradients(&quickstart_shape()))
        };
        let one = with(1);
        assert!(one.iter().all(|values| values.iter().any(|value| *value != 0.0)));
        for threads in [2, 3] {
            assert!(one == with(threads), "{threads} threads");
        }
    }

    #[test]
    fn bits_are_the_same_with_and_without_gradients() {
        let trained = quickstart_shape().init(&Seed::root(0), &Device::flex().autodiff());
        let frozen = quickstart_shape().init(&Seed::root(0), &Device::flex());
        let (tokens, targets) = batch(3, 17);
        let one = target_log_probabilities(trained.logits(trained.hidden(tokens.clone())), targets.clone());
        let (tokens, targets) = (tokens.inner(), targets.inner());
        let other = target_log_probabilities(frozen.logits(frozen.hidden(tokens)), targets);
        assert_eq!(one.into_data(), other.into_data());
    }

    #[test]
    fn later_tokens_do_not_matter() {
        let model = quickstart_shape().init(&Seed::root(0), &Device::flex());
        let hidden = |ids: [i32; 6]| {
            let tokens = Tensor::<2, Int>::from_data(TensorData::new(ids.to_vec(), [1, 6]), &Device::flex());
            model.hidden(tokens).narrow(0, 0, 4).into_data()
        };
        assert_eq!(hidden([5, 9, 3, 7, 2, 2]), hidden([5, 9, 3, 7, 800, 1]));
    }

    #[test]
    fn the_gradient_of_a_log_probability_is_one_less_the_probability() {
        let device = Device::flex().autodiff();
        let logits = Tensor::<2>::from_data([[0.5f32, -1.0, 2.0], [80.0, -90.0, 0.0]], &device).require_grad();
        let targets = Tensor::<1, Int>::from_data([2, 1], &device);
        let values = target_log_probabilities(logits.clone(), targets);
        let gradients = (values.clone() * Tensor::from_data([1.0f32, 3.0], &device)).sum().backward();
        let found: Vec<f32> = logits.grad(&gradients).unwrap().into_data().try_to_vec().unwrap();
        let sum = 0.5f64.exp() + (-1.0f64).exp() + 2.0f64.exp();
        let expected = [-(0.5f64.exp()) / sum, -(-1.0f64).exp() / sum, 1.0 - 2.0f64.exp() / sum, -3.0, 3.0, 0.0];
        assert!(
            found.iter().zip(expected).all(|(found, expected)| (f64::from(*found) - expected).abs() < 1e-6),
            "{found:?}"
        );
        let values: Vec<f32> = values.into_data().try_to_vec().unwrap();
        assert!(
            (f64::from(values[0]) - (2.0 - sum.ln())).abs() < 1e-6 && (values[1] + 170.0).abs() < 1e-4,
            "{values:?}"
        );
    }
}
