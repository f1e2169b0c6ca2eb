//! Answers of a model: many at once, each as if it were alone.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{batch::Batch, memory::Prefilled, row::Row, sampling::Sampling, stop::Stops};
use crate::{
    language::Finish,
    model::{
        architecture::Transformer,
        room::{self, Exhausted},
        text::TokenizerError,
    },
    seed::Seed,
};

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

/// What happens while answers are drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An answer has ended.
    Answer(Answer),
    /// Memory ran short: fewer answers are written at once from here on.
    FewerAtOnce {
        /// So many.
        batch: usize,
        /// What was being done, and how much was free.
        reason: String,
    },
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
    /// Even the smallest batch does not fit.
    #[error("{0}, even for {1} answers at once; lower `max_new`, or use a smaller model or format")]
    OutOfMemory(String, usize),
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
    /// Stop strings need the text of tokens.
    #[error(transparent)]
    Text(#[from] TokenizerError),
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
    /// Texts at which an answer ends.
    pub stops: Option<Stops<'a>>,
}

/// An answer to be written, with the number of its prompt among different ones.
#[derive(Clone, Copy, Debug)]
struct Job {
    request: usize,
    sample: usize,
    prompt: usize,
}

/// Why a batch did not come to its end.
enum Interruption<E> {
    Exhausted(Exhausted),
    Failed(E),
}

impl<E> From<Exhausted> for Interruption<E> {
    fn from(exhausted: Exhausted) -> Self {
        Self::Exhausted(exhausted)
    }
}

impl Generator<'_> {
    /// Draws all answers that the requests want, and hands each over as soon as it ends. All requests of a file should be
    /// given, also those that want nothing (any more): the longest prompt decides the length of the memory, which may
    /// change the last bits of the logits. Where the device's memory does not suffice, fewer are written at once.
    ///
    /// # Errors
    /// Names the prompt that is empty, too long or of another vocabulary; or what `on_event` says.
    pub fn run<E: From<GenerateError>>(
        &self,
        requests: &[Request],
        mut on_event: impl FnMut(Event) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = self.check(requests)?;
        let mut jobs = jobs(requests);
        if jobs.is_empty() {
            return Ok(());
        }
        let fewest = Batch::FEWEST;
        let model = self.model.for_sampling();
        let mut batch = self.batch.min(jobs.len()).max(fewest);
        while !jobs.is_empty() {
            let written = match room::for_memory(&model, batch, length) {
                Ok(()) => self.write(&model, requests, &mut jobs, [batch, length], &mut on_event),
                Err(exhausted) => Err(exhausted.into()),
            };
            match written {
                Ok(()) => {}
                Err(Interruption::Failed(error)) => return Err(error),
                Err(Interruption::Exhausted(Exhausted::Failure(problem))) => {
                    return Err(GenerateError::Device(problem).into());
                }
                Err(Interruption::Exhausted(Exhausted::Memory(reason))) => {
                    let device = self.model.embedding.val().device();
                    let reason = reason + &room::held(&device);
                    if batch <= fewest {
                        return Err(GenerateError::OutOfMemory(reason, batch).into());
                    }
                    device.memory_cleanup();
                    batch = (batch / 2).max(fewest);
                    on_event(Event::FewerAtOnce { batch, reason })?;
                }
            }
        }
        Ok(())
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

    /// Writes answers until no job is left. Where the device fails, those that were being written are jobs again: they
    /// are drawn anew, to the same tokens.
    fn write<E: From<GenerateError>>(
        &self,
        model: &Transformer,
        requests: &[Request],
        jobs: &mut VecDeque<Job>,
        [slots, length]: [usize; 2],
        on_event: &mut impl FnMut(Event) -> Result<(), E>,
    ) -> Result<(), Interruption<E>> {
        let mut batch = room::guarded(|| Ok(Batch::new(model, slots, length)))?;
        let written = self.write_in(&mut batch, requests, jobs, on_event);
        let numbers: BTreeMap<&[u32], usize> = prompts(requests);
        for row in batch.rows() {
            let prompt = numbers[requests[row.answer.request].prompt.as_slice()];
            jobs.push_front(Job { request: row.answer.request, sample: row.answer.sample, prompt });
        }
        written
    }

    fn write_in<E: From<GenerateError>>(
        &self,
        batch: &mut Batch<'_>,
        requests: &[Request],
        jobs: &mut VecDeque<Job>,
        on_event: &mut impl FnMut(Event) -> Result<(), E>,
    ) -> Result<(), Interruption<E>> {
        let mut read: BTreeMap<usize, Arc<Prefilled>> = BTreeMap::new();
        loop {
            while batch.free() > 0 && !jobs.is_empty() {
                self.admit(batch, requests, jobs, &mut read, on_event)?;
            }
            if batch.is_empty() {
                return Ok(());
            }
            if jobs.is_empty() {
                batch.shrink();
            }
            let drawn = batch.step(|row, logits| self.draw(row, logits, requests))?;
            drawn.map_err(|error| Interruption::Failed(error.into()))?;
            for row in batch.take_ended() {
                on_event(Event::Answer(row.answer)).map_err(Interruption::Failed)?;
            }
        }
    }

    /// Begins as many answers as there are free places: prompts are read, once each, and first tokens drawn.
    fn admit<E: From<GenerateError>>(
        &self,
        batch: &mut Batch<'_>,
        requests: &[Request],
        jobs: &mut VecDeque<Job>,
        read: &mut BTreeMap<usize, Arc<Prefilled>>,
        on_event: &mut impl FnMut(Event) -> Result<(), E>,
    ) -> Result<(), Interruption<E>> {
        let next: Vec<Job> = jobs.iter().take(batch.free()).copied().collect();
        let mut unread: Vec<&Job> = next.iter().filter(|job| !read.contains_key(&job.prompt)).collect();
        unread.dedup_by_key(|job| job.prompt);
        let prompts: Vec<&[u32]> = unread.iter().map(|job| requests[job.request].prompt.as_slice()).collect();
        let prefilled = room::guarded(|| batch.model.prefill_all(&prompts))?;
        read.extend(unread.iter().map(|job| job.prompt).zip(prefilled.into_iter().map(Arc::new)));
        for job in next {
            let prompt = Arc::clone(&read[&job.prompt]);
            let mut row = self.begin(job, requests);
            self.draw(&mut row, &prompt.logits, requests).map_err(|error| Interruption::Failed(error.into()))?;
            jobs.pop_front();
            if row.has_ended {
                on_event(Event::Answer(row.answer)).map_err(Interruption::Failed)?;
            } else {
                batch.put(row, &prompt);
            }
        }
        let still_wanted = jobs.front().map(|job| job.prompt);
        read.retain(|prompt, _| Some(*prompt) == still_wanted);
        Ok(())
    }

    fn begin(&self, job: Job, requests: &[Request]) -> Row {
        let request = &requests[job.request];
        let room = self.model.config.max_position_embeddings - request.prompt.len();
        Row {
            answer: Answer {
                request: job.request,
                sample: job.sample,
                tokens: Vec::new(),
                log_probabilities: Vec::new(),
                finish: Finish::Length,
            },
            stream: self.seed.split("sample").split(&request.id).split(&job.sample.to_string()).stream(),
            seen: if self.sampling.repetition_penalty == 1.0 { Vec::new() } else { request.prompt.clone() },
            position: request.prompt.len(),
            limit: self.sampling.max_new.min(room),
            has_ended: false,
        }
    }

    /// Adds a token to an answer, and says whether it ends there.
    fn draw(&self, row: &mut Row, logits: &[f32], requests: &[Request]) -> Result<(), GenerateError> {
        let not_a_number = || GenerateError::NotANumber(requests[row.answer.request].id.clone());
        let draw = self.sampling.draw(logits, &row.seen, &mut row.stream).ok_or_else(not_a_number)?;
        row.answer.tokens.push(draw.token);
        row.answer.log_probabilities.push(draw.log_probability);
        if self.sampling.repetition_penalty != 1.0 {
            row.seen.push(draw.token);
        }
        let stopped = match &self.stops {
            Some(stops) => stops.is_complete(&requests[row.answer.request].prompt, &row.answer.tokens)?,
            None => false,
        };
        if stopped || self.model.config.eos_token_id.contains(&draw.token) {
            row.answer.finish = Finish::Stop;
            row.has_ended = true;
        }
        row.has_ended |= row.answer.tokens.len() >= row.limit;
        Ok(())
    }
}

/// All answers that are wanted, those to equal prompts one after the other.
fn jobs(requests: &[Request]) -> VecDeque<Job> {
    let numbers = prompts(requests);
    let wanted = requests.iter().enumerate().flat_map(|(request, Request { prompt, samples, .. })| {
        let prompt = numbers[prompt.as_slice()];
        samples.iter().map(move |sample| Job { request, sample: *sample, prompt })
    });
    let mut jobs: Vec<Job> = wanted.collect();
    jobs.sort_by_key(|job| job.prompt);
    jobs.into()
}

/// The different prompts, numbered in the order of their first requests.
fn prompts(requests: &[Request]) -> BTreeMap<&[u32], usize> {
    let mut numbers = BTreeMap::new();
    for request in requests {
        let next = numbers.len();
        numbers.entry(request.prompt.as_slice()).or_insert(next);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::architecture::{
        ModelConfig,
        config::tests::{one_of_each, tiny},
        target_log_probabilities,
    };
    use crate::model::{directory::tests::add_updates, room::tests::FAULTS};
    use burn::tensor::{Device, Int, Tensor, TensorData};

    fn sampling(temperature: f64, max_new: usize) -> Sampling {
        Sampling { temperature, max_new, ..Sampling::default() }
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
        let generator = Generator { model, sampling, batch, seed: Seed::root(1), stops: None };
        let mut answers = Vec::new();
        let keep = |event| {
            let Event::Answer(answer) = event else { panic!("there is room: {event:?}") };
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
        for config in [tiny(), wide, deep].into_iter().chain(one_of_each()) {
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
    fn an_adapter_does_not_tie_answers_to_their_neighbours() {
        for rank in [1, 3, 8] {
            let mut model = model(&ModelConfig { hidden_size: 160, vocab_size: 515, ..tiny() });
            let fields = format!(
                r#"{{"r": {rank}, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj", "up_proj", "down_proj"]}}"#
            );
            add_updates(&mut model, &serde_json::from_str(&fields).unwrap());
            let requests = requests(5, 7);
            let all = answers(&model, &requests, 64, sampling(1.0, 12));
            for batch in [1, 2, 5, 16] {
                assert!(all == answers(&model, &requests, batch, sampling(1.0, 12)), "rank {rank}, batch {batch}");
            }
        }
    }

    #[test]
    fn prompts_that_are_equal_are_read_once_and_answered_each_for_itself() {
        let model = model(&tiny());
        let mut requests = requests(4, 3);
        requests[3].prompt = requests[0].prompt.clone();
        assert_eq!(
            jobs(&requests).iter().map(|job| job.prompt).collect::<Vec<_>>(),
            [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
        );
        let together = answers(&model, &requests, 64, sampling(1.0, 20));
        let alone = answers(&model, &requests[3..], 64, sampling(1.0, 20));
        let tokens = |answers: &[Answer]| answers.iter().map(|answer| answer.tokens.clone()).collect::<Vec<_>>();
        assert_eq!(tokens(&together[9..]), tokens(&alone));
        assert_ne!(tokens(&together[..3]), tokens(&alone));
    }

    #[test]
    fn where_memory_runs_short_fewer_are_written_at_once_to_the_same_answers() {
        let model = model(&ModelConfig { vocab_size: 515, ..tiny() });
        let requests = requests(6, 4);
        let whole = answers(&model, &requests, 64, sampling(1.0, 20));
        for faults in [vec![0], vec![1], vec![2], vec![9], vec![5, 30], vec![3, 3, 3]] {
            FAULTS.set(faults.clone());
            let generator =
                Generator { model: &model, sampling: sampling(1.0, 20), batch: 15, seed: Seed::root(1), stops: None };
            let (mut found, mut batches) = (Vec::new(), Vec::new());
            let keep = |event| {
                match event {
                    Event::Answer(answer) => found.push(answer),
                    Event::FewerAtOnce { batch, reason } => {
                        assert!(reason.contains("ran out of memory"), "{reason}");
                        batches.push(batch);
                    }
                }
                Ok::<_, GenerateError>(())
            };
            generator.run(&requests, keep).unwrap();
            found.sort_by_key(|answer| (answer.request, answer.sample));
            assert!(found == whole, "{faults:?}");
            assert_eq!(batches.len(), faults.len());
        }
        FAULTS.set(vec![0, 0, 0, 0]);
        let generator =
            Generator { model: &model, sampling: sampling(1.0, 9), batch: 15, seed: Seed::root(1), stops: None };
        let error = generator.run(&requests, |_| Ok::<_, GenerateError>(())).map_err(|error| error.to_string());
        assert_eq!(FAULTS.take(), Vec::<usize>::new());
        assert!(error.is_err_and(|error| error.contains("even for 2 answers at once; lower `max_new`")));
    }

    #[test]
    fn long_prompts_are_read_in_pieces_to_the_same_answers() {
        for config in one_of_each() {
            let model = model(&config);
            let prompt: Vec<u32> = (0..41).map(|place| place * 7 % 32).collect();
            let logits = |piece, bucket| model.prefill(&prompt, piece, bucket).unwrap().logits;
            let whole = logits(64, 1);
            for (piece, bucket) in [(8, 1), (40, 1), (64, 16), (64, 64)] {
                let close = logits(piece, bucket).iter().zip(&whole).all(|(one, other)| (one - other).abs() < 2e-4);
                assert!(close, "{:?} {piece} {bucket}", config.architecture);
            }
        }
    }

    #[test]
    fn greedy_answers_are_those_of_the_whole_forward_pass() {
        for config in one_of_each() {
            check_greedy(&ModelConfig { eos_token_id: vec![], ..config });
        }
    }

    fn check_greedy(config: &ModelConfig) {
        let model = model(config);
        let requests = requests(4, 1);
        for answer in answers(&model, &requests, 4, sampling(0.0, 12)) {
            let prompt = &requests[answer.request].prompt;
            let all: Vec<i32> = prompt.iter().chain(&answer.tokens).map(|token| *token as i32).collect();
            let tokens = Tensor::<2, Int>::from_data(TensorData::new(all.clone(), [1, all.len()]), &Device::flex());
            let targets = tokens.clone().narrow(1, 1, all.len() - 1).reshape([all.len() - 1]);
            let logits = model.logits(model.hidden(tokens)).narrow(0, 0, all.len() - 1);
            let best: Vec<i32> = logits.clone().argmax(1).into_data().convert::<i32>().try_to_vec().unwrap();
            assert_eq!(best[prompt.len() - 1..], all[prompt.len()..]);
            let probabilities: Vec<f32> = target_log_probabilities(logits, targets).into_data().try_to_vec().unwrap();
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
            let generator =
                Generator { model: &model, sampling: sampling(1.0, 4), batch: 1, seed: Seed::root(0), stops: None };
            generator.run(&requests, |_| Ok::<_, GenerateError>(())).unwrap_err().to_string()
        };
        assert!(error(vec![]).contains("`q` has no tokens"));
        assert!(error(vec![32]).contains("the token 32, but the model has 32 tokens"));
        assert!(error(vec![1; 64]).contains("has 64 tokens, but the model reads at most 64"));
    }
}
