//! Answers of a model: many at once, each as if it were alone.

use rayon::prelude::*;

use super::{
    Transformer,
    memory::{Memory, Prefilled},
    sampling::Sampling,
};
use crate::{
    language::Finish,
    seed::{Seed, Stream},
};

/// Products with a single row, and those with fewer results than this where the output layer is tied, take another path in
/// the CPU backend, whose sums run in another order; beyond that, a row's numbers do not depend on how many rows there are.
const SMALL_PRODUCT: usize = 16 * 16;

/// A prompt with the answers that are wanted.
#[derive(Clone, Debug)]
pub struct Request {
    /// The prompt's identifier, which decides its answers' draws.
    pub id: String,
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// The numbers of the answers that are wanted.
    pub samples: Vec<usize>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The index of its request.
    pub request: usize,
    /// Its number.
    pub sample: usize,
    /// Its tokens, the end token included.
    pub tokens: Vec<u32>,
    /// The natural log-probability of each token under the model itself: before temperature, top-k and top-p.
    pub log_probabilities: Vec<f32>,
    /// Why it ended.
    pub finish: Finish,
}

/// Why answers could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// There is nothing to go on from.
    #[error("the prompt `{0}` has no tokens, and the tokenizer begins no text by itself")]
    EmptyPrompt(String),
    /// There is no room for an answer.
    #[error("the prompt `{id}` has {length} tokens, but the model reads at most {longest}, its answer included")]
    PromptTooLong {
        /// The prompt.
        id: String,
        /// Its tokens.
        length: usize,
        /// The model's `max_position_embeddings`.
        longest: usize,
    },
    /// A token that the model does not have.
    #[error(
        "the prompt `{id}` has the token {token}, but the model has {vocabulary} tokens: its tokenizer is another model's"
    )]
    UnknownToken {
        /// The prompt.
        id: String,
        /// The token.
        token: u32,
        /// The model's `vocab_size`.
        vocabulary: usize,
    },
    /// The model computes infinities.
    #[error(
        "after the prompt `{0}` the model's logits are not numbers: its weights are damaged or its training diverged"
    )]
    NotANumber(String),
}

/// Draws answers from a model without gradients (`valid()` of one that is being trained).
pub struct Generator<'a> {
    /// The model.
    pub model: &'a Transformer,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// The most answers that are written at once.
    pub batch: usize,
    /// Each answer draws from `seed.split("sample").split(prompt).split(number)`, whatever is drawn beside it.
    pub seed: Seed,
}

/// An answer that is being written.
struct Row {
    answer: Answer,
    stream: Stream,
    /// Where its last token goes.
    position: usize,
    /// The most tokens that it may have.
    limit: usize,
}

impl Generator<'_> {
    /// Draws all answers that the requests want, and hands each over as soon as it ends. All requests of a file should be
    /// given, also those that want nothing (any more): the longest prompt decides the length of the memory, which may
    /// change the last bits of the logits.
    ///
    /// # Errors
    /// Names the prompt that is empty, too long or of another vocabulary; or what `on_answer` says.
    pub fn run<E: From<GenerateError>>(
        &self,
        requests: &[Request],
        mut on_answer: impl FnMut(Answer) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = self.check(requests)?;
        let total: usize = requests.iter().map(|request| request.samples.len()).sum();
        let fewest = (SMALL_PRODUCT / self.model.config.vocab_size + 1).max(2);
        let slots = self.batch.min(total).max(fewest);
        let device = self.model.embedding.val().device();
        let mut memory = Memory::new(&self.model.config, slots, length, &device);
        let mut rows: Vec<Option<Row>> = (0..slots).map(|_| None).collect();
        let mut waiting = self.waiting(requests);
        loop {
            for (slot, place) in rows.iter_mut().enumerate().filter(|(_, place)| place.is_none()) {
                *place = self.admit(&mut waiting, slot, &mut memory, &mut on_answer)?;
            }
            if rows.iter().all(Option::is_none) {
                return Ok(());
            }
            shrink(&mut rows, &mut memory, fewest);
            self.step(&mut rows, &mut memory, requests)?;
            for place in &mut rows {
                if let Some(row) = place.take_if(|row| self.has_ended(row)) {
                    on_answer(row.end(&self.model.config.eos_token_id))?;
                }
            }
        }
    }

    /// The length that the memory must have.
    fn check(&self, requests: &[Request]) -> Result<usize, GenerateError> {
        let longest = self.model.config.max_position_embeddings;
        let vocabulary = self.model.config.vocab_size;
        let mut length = 0;
        for Request { id, prompt, .. } in requests {
            if prompt.is_empty() {
                return Err(GenerateError::EmptyPrompt(id.clone()));
            }
            if let Some(token) = prompt.iter().find(|token| **token as usize >= vocabulary) {
                return Err(GenerateError::UnknownToken { id: id.clone(), token: *token, vocabulary });
            }
            if prompt.len() >= longest {
                return Err(GenerateError::PromptTooLong { id: id.clone(), length: prompt.len(), longest });
            }
            length = length.max(longest.min(prompt.len() + self.sampling.max_new));
        }
        Ok(length)
    }

    /// All answers to be written, each with its prompt as the model has read it: once for all answers to it.
    fn waiting<'r>(
        &'r self,
        requests: &'r [Request],
    ) -> impl Iterator<Item = Result<(Row, Prefix), GenerateError>> + 'r {
        requests.iter().enumerate().filter(|(_, request)| !request.samples.is_empty()).flat_map(
            move |(index, request)| {
                let read = std::rc::Rc::new(self.model.prefill(&request.prompt));
                request.samples.iter().map(move |sample| {
                    let seed = self.seed.split("sample").split(&request.id).split(&sample.to_string());
                    let room = self.model.config.max_position_embeddings - request.prompt.len();
                    let mut row = Row {
                        answer: Answer {
                            request: index,
                            sample: *sample,
                            tokens: Vec::new(),
                            log_probabilities: Vec::new(),
                            finish: Finish::Length,
                        },
                        stream: seed.stream(),
                        position: request.prompt.len(),
                        limit: self.sampling.max_new.min(room),
                    };
                    let drawn = row.draw(&self.sampling, &read.logits);
                    drawn.then(|| (row, read.clone())).ok_or_else(|| GenerateError::NotANumber(request.id.clone()))
                })
            },
        )
    }

    /// Puts the next answer that does not end with its first token into a slot.
    fn admit<E: From<GenerateError>>(
        &self,
        waiting: &mut impl Iterator<Item = Result<(Row, Prefix), GenerateError>>,
        slot: usize,
        memory: &mut Memory,
        on_answer: &mut impl FnMut(Answer) -> Result<(), E>,
    ) -> Result<Option<Row>, E> {
        for next in waiting {
            let (row, prompt) = next?;
            if !self.has_ended(&row) {
                memory.fill(slot, &prompt);
                return Ok(Some(row));
            }
            on_answer(row.end(&self.model.config.eos_token_id))?;
        }
        Ok(None)
    }

    /// Adds one token to each answer. Slots without one write at a place that the next one overwrites.
    fn step(&self, rows: &mut [Option<Row>], memory: &mut Memory, requests: &[Request]) -> Result<(), GenerateError> {
        let last = |row: &Option<Row>| row.as_ref().map_or((0, 0), |row| (row.last_token(), row.position));
        let (tokens, positions): (Vec<u32>, Vec<usize>) = rows.iter().map(last).unzip();
        let logits = self.model.step(memory, &tokens, &positions);
        let drawn = rows.par_iter_mut().zip(logits.par_chunks(self.model.config.vocab_size)).map(|(place, logits)| {
            let Some(row) = place else { return Ok(()) };
            row.position += 1;
            let drawn = row.draw(&self.sampling, logits);
            drawn.then_some(()).ok_or_else(|| GenerateError::NotANumber(requests[row.answer.request].id.clone()))
        });
        drawn.collect::<Vec<_>>().into_iter().collect()
    }

    fn has_ended(&self, row: &Row) -> bool {
        row.answer.tokens.len() >= row.limit || self.model.config.eos_token_id.contains(&row.last_token())
    }
}

/// A prompt that several answers share.
type Prefix = std::rc::Rc<Prefilled>;

impl Row {
    /// Draws the next token; false where the logits are not numbers.
    fn draw(&mut self, sampling: &Sampling, logits: &[f32]) -> bool {
        let Some(draw) = sampling.draw(logits, &mut self.stream) else { return false };
        self.answer.tokens.push(draw.token);
        self.answer.log_probabilities.push(draw.log_probability);
        true
    }

    fn last_token(&self) -> u32 {
        *self.answer.tokens.last().expect("an answer's first token is drawn when it begins")
    }

    fn end(mut self, end_tokens: &[u32]) -> Answer {
        if end_tokens.contains(&self.last_token()) {
            self.answer.finish = Finish::Stop;
        }
        self.answer
    }
}

/// Closes the empty slots once they are half of all: no answer waits for them any more.
fn shrink(rows: &mut Vec<Option<Row>>, memory: &mut Memory, fewest: usize) {
    let taken: Vec<usize> = (0..rows.len()).filter(|slot| rows[*slot].is_some()).collect();
    if 2 * taken.len() > rows.len() || rows.len() <= fewest {
        return;
    }
    let spare = (0..rows.len()).filter(|slot| rows[*slot].is_none());
    let missing = fewest.saturating_sub(taken.len());
    let kept: Vec<usize> = taken.iter().copied().chain(spare.take(missing)).collect();
    memory.keep(&kept);
    *rows = kept.iter().map(|slot| rows[*slot].take()).collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ModelConfig, config::tests::tiny};
    use burn::tensor::{Device, Int, Tensor, TensorData};

    fn sampling(temperature: f64, max_new: usize) -> Sampling {
        Sampling { temperature, top_k: None, top_p: 1.0, max_new }
    }

    /// A model whose weights are large enough that its answers differ.
    fn model(config: &ModelConfig) -> Transformer {
        let mut model = config.init(&Seed::root(5), &Device::flex());
        model.embedding = model.embedding.map(|weights| weights * 20.0);
        model
    }

    fn requests(count: usize, samples: usize) -> Vec<Request> {
        let prompt = |index: usize| (0..2 + index % 5).map(|place| ((7 * index + 3 * place) % 32) as u32).collect();
        let request =
            |index| Request { id: format!("q{index}"), prompt: prompt(index), samples: (0..samples).collect() };
        (0..count).map(request).collect()
    }

    fn answers(model: &Transformer, requests: &[Request], batch: usize, sampling: Sampling) -> Vec<Answer> {
        let generator = Generator { model, sampling, batch, seed: Seed::root(1) };
        let mut answers = Vec::new();
        let keep = |answer| {
            answers.push(answer);
            Ok::<_, GenerateError>(())
        };
        generator.run(requests, keep).unwrap();
        answers.sort_by_key(|answer| (answer.request, answer.sample));
        answers
    }

    #[test]
    fn an_answer_does_not_depend_on_its_neighbours() {
        let wide = ModelConfig { hidden_size: 160, intermediate_size: 424, head_dim: 40, vocab_size: 515, ..tiny() };
        let deep = ModelConfig { hidden_size: 640, intermediate_size: 1500, num_hidden_layers: 1, ..wide.clone() };
        for config in [tiny(), wide, deep] {
            let model = model(&config);
            let requests = requests(7, 9);
            let all = answers(&model, &requests, 64, sampling(1.0, 20));
            assert_eq!(all.len(), 63);
            assert!(all.iter().any(|answer| answer.finish == Finish::Stop) || config.vocab_size > 32);
            assert!(all.windows(2).any(|pair| pair[0].tokens != pair[1].tokens));
            for (batch, threads) in [(1, 1), (2, 2), (3, 1), (17, 2)] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let again = pool.install(|| answers(&model, &requests, batch, sampling(1.0, 20)));
                assert!(all == again, "batch {batch}");
            }
            let mut fewer = requests.clone();
            fewer[0].samples.clear();
            fewer[3].samples = vec![4];
            let some = answers(&model, &fewer, 5, sampling(1.0, 20));
            assert_eq!(some.len(), 46);
            assert!(some.iter().all(|answer| all.contains(answer)));
        }
    }

    #[test]
    fn greedy_answers_are_those_of_the_whole_forward_pass() {
        let model = model(&ModelConfig { eos_token_id: vec![], ..tiny() });
        let requests = requests(4, 1);
        for answer in answers(&model, &requests, 4, sampling(0.0, 12)) {
            let prompt = &requests[answer.request].prompt;
            let all: Vec<i32> = prompt.iter().chain(&answer.tokens).map(|token| *token as i32).collect();
            let tokens = Tensor::<2, Int>::from_data(TensorData::new(all.clone(), [1, all.len()]), &Device::flex());
            let targets = tokens.clone().narrow(1, 1, all.len() - 1).reshape([all.len() - 1]);
            let logits = model.logits(model.hidden(tokens)).narrow(0, 0, all.len() - 1);
            let best: Vec<i32> = logits.clone().argmax(1).into_data().convert::<i32>().try_to_vec().unwrap();
            assert_eq!(best[prompt.len() - 1..], all[prompt.len()..]);
            let probabilities: Vec<f32> =
                crate::model::target_log_probabilities(logits, targets).into_data().try_to_vec().unwrap();
            for (ours, whole) in answer.log_probabilities.iter().zip(&probabilities[prompt.len() - 1..]) {
                assert!((ours - whole).abs() < 1e-4, "{ours} {whole}");
            }
        }
    }

    #[test]
    fn wrong_prompts_are_named() {
        let model = model(&tiny());
        let error = |prompt: Vec<u32>| {
            let requests = [Request { id: "q".to_owned(), prompt, samples: vec![0] }];
            let generator = Generator { model: &model, sampling: sampling(1.0, 4), batch: 1, seed: Seed::root(0) };
            generator.run(&requests, |_| Ok::<_, GenerateError>(())).unwrap_err().to_string()
        };
        assert!(error(vec![]).contains("`q` has no tokens"));
        assert!(error(vec![32]).contains("the token 32, but the model has 32 tokens"));
        assert!(error(vec![1; 64]).contains("has 64 tokens, but the model reads at most 64"));
    }
}
