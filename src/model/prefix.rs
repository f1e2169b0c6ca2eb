//! A prefix whose keys and values are computed once, and the tokens that follow its branches.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::{
    architecture::{KeysAndValues, Positions, Transformer},
    device::is_cpu,
};

/// Chunk size of long texts on the CPU, since scores grow with the square of the length.
pub(super) const PIECE: usize = 512;
/// The same elsewhere, where a chunk of few tokens leaves most of a GPU idle.
pub(super) const LARGE_PIECE: usize = 2048;
/// Elsewhere, lengths are rounded up to a multiple of this, so that few shapes occur and kernels
/// are reused.
pub(super) const BUCKET: usize = 64;
/// The same for branches: their lengths and their number.
const BRANCH_BUCKET: usize = 32;
const ROWS_BUCKET: usize = 8;
/// Maximum number of attention scores of branches that are in memory at once (128 MiB).
const MOST_SCORES: usize = 1 << 25;

/// A text that was read, perhaps as the rest of a longer one.
#[derive(Default)]
pub struct Prefix {
    /// Per block, keys and values, each [1, kv heads, length, head]; none of an empty prefix.
    pub(super) layers: Vec<KeysAndValues>,
    /// State after the last token, after the last norm [1, hidden]; none of an empty prefix.
    pub(super) last: Option<Tensor<2>>,
    pub(super) length: usize,
}

/// Scores the same tokens after many branches.
pub struct BranchScorer<'a> {
    model: &'a Transformer,
    /// The output layer's columns of these tokens, float32 [hidden, tokens].
    outputs: Tensor<2>,
}

/// Number of tokens to which a shared prefix is rounded down on a device, so that kernels are
/// reused.
pub(super) fn prefix_step(device: &Device) -> usize {
    if is_cpu(device) { 1 } else { BUCKET }
}

impl Transformer {
    /// Reads a text that follows another one, which may be empty and must not itself follow one.
    pub(super) fn read(&self, before: &Prefix, text: &[u32]) -> Prefix {
        if is_cpu(&self.embedding.val().device()) {
            self.read_in_pieces(before, text, PIECE, 1)
        } else {
            self.read_in_pieces(before, text, LARGE_PIECE, BUCKET)
        }
    }

    /// Reads texts that follow the same one, all at once, padded to these numbers of rows and
    /// tokens.
    /// `remember` receives each block's index with their keys and values, padding included.
    ///
    /// # Shapes
    /// - output: the state after the last token of each text, after the last norm [texts, hidden]
    pub(super) fn read_together(
        &self,
        before: &Prefix,
        texts: &[&[u32]],
        [rows, time]: [usize; 2],
        mut remember: impl FnMut(usize, &KeysAndValues),
    ) -> Tensor<2> {
        let device = self.embedding.val().device();
        let mut tokens = vec![0; rows * time];
        let mut last = Vec::with_capacity(texts.len());
        for (row, text) in texts.iter().enumerate() {
            // Padding comes after a text, and no token sees later ones.
            tokens[row * time..][..text.len()].copy_from_slice(text);
            last.push((row * time + text.len() - 1) as i32);
        }
        let positions = Positions::new(&self.config, before.length, time, &device);
        let tokens = token_tensor(&tokens, [rows, time], &device);
        let hidden = self.hidden_with(tokens, &positions, |layer, new| {
            remember(layer, &new);
            match before.layers.get(layer) {
                None => new,
                Some(before) => extended(repeated(before, rows), new),
            }
        });
        hidden.select(0, integers(last, &device))
    }

    /// Reads a text that follows another one in chunks of this many tokens, each padded to a
    /// multiple of `bucket`.
    pub(super) fn read_in_pieces(
        &self,
        before: &Prefix,
        text: &[u32],
        piece: usize,
        bucket: usize,
    ) -> Prefix {
        let device = self.embedding.val().device();
        let mut layers: Vec<Option<KeysAndValues>> =
            (0..self.config.num_hidden_layers).map(|_| None).collect();
        let mut last = None;
        let mut from = 0;
        for tokens in text.chunks(piece) {
            let time = tokens.len().next_multiple_of(bucket);
            let start = before.length + from;
            let positions = Positions::new(&self.config, start, time, &device);
            // Padding comes last and no token sees later ones, so that any token will do.
            let filled: Vec<u32> =
                tokens.iter().copied().chain(std::iter::repeat_n(0, time - tokens.len())).collect();
            let hidden = self.hidden_with(
                token_tensor(&filled, [1, time], &device),
                &positions,
                |layer, new| {
                    let own = match layers[layer].take() {
                        None => new,
                        Some(earlier) => extended(earlier, new),
                    };
                    layers[layer] = Some(own.clone());
                    match before.layers.get(layer) {
                        None => own,
                        Some(before) => extended(before.clone(), own),
                    }
                },
            );
            from += tokens.len();
            last = Some(hidden.narrow(0, tokens.len() - 1, 1));
        }
        let layers = layers
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.narrow(2, 0, from), value.narrow(2, 0, from)));
        Prefix { layers: layers.collect(), last, length: from }
    }
}

impl<'a> BranchScorer<'a> {
    /// Scores these tokens under a model without autodiff.
    pub fn new(model: &'a Transformer, tokens: &[u32]) -> Self {
        let device = model.embedding.val().device();
        let tokens: Vec<i32> = tokens.iter().map(|token| *token as i32).collect();
        let outputs = model.head().select(0, integers(tokens, &device)).cast(DType::F32);
        Self { model, outputs: outputs.transpose() }
    }

    /// Number of tokens to which a prefix is rounded down, so that kernels are reused; the tokens
    /// beyond it belong to the branches.
    pub fn prefix_step(&self) -> usize {
        prefix_step(&self.outputs.device())
    }

    /// Reads a prefix, which may be empty.
    pub fn read(&self, prefix: &[u32]) -> Prefix {
        self.model.read(&Prefix::default(), prefix)
    }

    /// The number of branches of up to this length that are computed at once, at most `most`.
    pub fn at_once(&self, prefix: usize, longest: usize, most: usize) -> usize {
        let heads = self.model.config.num_attention_heads;
        (MOST_SCORES / (heads * longest * (prefix + longest)).max(1)).clamp(1, most.max(1))
    }

    /// The logits of the tokens after each branch of a prefix, all branches at once.
    ///
    /// # Shapes
    /// One list per branch, in it one logit per token.
    pub fn logits(&self, prefix: &Prefix, branches: &[&[u32]]) -> Vec<Vec<f32>> {
        let device = self.outputs.device();
        let longest = branches.iter().map(|branch| branch.len()).max().unwrap_or(0);
        let (time, rows) = if is_cpu(&device) {
            (longest, branches.len())
        } else {
            (longest.next_multiple_of(BRANCH_BUCKET), branches.len().next_multiple_of(ROWS_BUCKET))
        };
        let states = self.model.read_together(prefix, branches, [rows, time], |_, _| ());
        // In float32: a bfloat16 logit has two digits behind the point at most.
        let states = states.cast(DType::F32);
        let logits: Vec<f32> = states
            .matmul(self.outputs.clone())
            .into_data()
            .try_to_vec()
            .expect("logits are float32");
        let [_, count] = self.outputs.dims();
        logits.chunks(count).map(<[f32]>::to_vec).collect()
    }
}

/// Keys and values of one sequence for each of some rows.
pub(super) fn repeated((key, value): &KeysAndValues, rows: usize) -> KeysAndValues {
    let [_, groups, length, width] = key.dims();
    let shape = [rows, groups, length, width];
    (key.clone().expand(shape), value.clone().expand(shape))
}

/// Keys and values with further ones behind them.
fn extended((key, value): KeysAndValues, new: KeysAndValues) -> KeysAndValues {
    (Tensor::cat(vec![key, new.0], 2), Tensor::cat(vec![value, new.1], 2))
}

pub(super) fn token_tensor(tokens: &[u32], shape: [usize; 2], device: &Device) -> Tensor<2, Int> {
    let tokens: Vec<i32> = tokens.iter().map(|token| *token as i32).collect();
    Tensor::from_data(TensorData::new(tokens, shape), device)
}

fn integers(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::architecture::config::tests::one_of_each, seed::Seed};

    /// The logits of a whole text's next token, over the whole vocabulary.
    fn whole(model: &Transformer, text: &[u32]) -> Vec<f32> {
        let tokens = token_tensor(text, [1, text.len()], &Device::flex());
        let last = model.hidden(tokens).narrow(0, text.len() - 1, 1);
        model.logits(last).into_data().try_to_vec().unwrap()
    }

    #[test]
    fn branches_have_the_logits_that_they_have_alone() {
        let asked = [3, 9, 17];
        for config in one_of_each() {
            let model = config.init(&Seed::root(3), &Device::flex());
            let scorer = BranchScorer::new(&model, &asked);
            let text: Vec<u32> = (0..24).map(|index| (index * 7 + 1) % 31).collect();
            let branches: [&[u32]; 4] = [&[4], &[4, 9, 2, 2, 8], &[11, 30], &[5, 6, 7]];
            for length in [0, 1, 13, 24] {
                let prefix = &text[..length];
                let found = scorer.logits(&scorer.read(prefix), &branches);
                for (branch, found) in branches.iter().zip(found) {
                    let expected = whole(&model, &[prefix, branch].concat());
                    for (token, found) in asked.iter().zip(found) {
                        let expected = expected[*token as usize];
                        let what = format!("{:?} {length} {branch:?}", config.architecture);
                        assert!((expected - found).abs() < 1e-5, "{what}: {found} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn scores_in_memory_are_bounded() {
        let config = one_of_each().into_iter().next().unwrap();
        let model = config.init(&Seed::root(3), &Device::flex());
        let scorer = BranchScorer::new(&model, &[1]);
        assert_eq!(scorer.at_once(10, 10, 64), 64);
        let long = scorer.at_once(1 << 20, 64, 64);
        let heads = config.num_attention_heads;
        assert!(long < 64 && (long == 1 || long * heads * 64 * ((1 << 20) + 64) <= MOST_SCORES));
    }
}
