//! Generation of responses: many concurrently, each as if it were alone.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{
    answer::{GeneratedAnswer, GenerationEvent, Request},
    batch::Batch,
    error::GenerateError,
    memory::Prefilled,
    row::GeneratedRow,
    sampling::Sampling,
    stop::Stops,
};
use crate::{
    model::{
        architecture::Transformer,
        memory_budget::{self, Exhausted},
        prefix::prefix_step,
    },
    rows::Finish,
    seed::Seed,
};

/// Generates responses with a model without autodiff (`valid()` of one in training).
pub struct Generator<'a> {
    /// The model, as [`Transformer::for_sampling`] prepares it; any other one gives the same, but
    /// slowly.
    pub model: &'a Transformer,
    /// Sampling parameters.
    pub sampling: Sampling,
    /// Maximum number of concurrent responses.
    pub batch: usize,
    /// Seed; each response draws from `seed.split("sample").split(prompt).split(number)`,
    /// independent of all others.
    pub seed: Seed,
    /// Stop strings.
    pub stops: Option<Stops<'a>>,
    /// Whether the beginning that all prompts share is read once; which one that is may change the
    /// last bits of the logits.
    pub share_beginning: bool,
}

/// A pending response, with the number of its distinct prompt.
#[derive(Clone, Copy, Debug)]
struct PendingAnswer {
    request: usize,
    sample: usize,
    prompt: usize,
}

/// What is left to generate, and who receives it.
struct Work<'a, F> {
    requests: &'a [Request],
    /// Tokens with which all prompts begin, which are read once.
    beginning: &'a [u32],
    pending: &'a mut VecDeque<PendingAnswer>,
    on_event: &'a mut F,
}

/// Why a batch was interrupted.
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
    /// Generates all requested responses, and passes each on as soon as it ends. Pass all requests
    /// of a file, also those without pending responses: the longest prompt decides the length of
    /// the KV cache, which may change the last bits of the logits. If the device's memory is too
    /// small, fewer responses run concurrently.
    ///
    /// # Errors
    /// Names the prompt that is empty, too long or of another vocabulary; or returns the error of
    /// `on_event`.
    pub fn run<E: From<GenerateError>>(
        &self,
        requests: &[Request],
        mut on_event: impl FnMut(GenerationEvent) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = self.check(requests)?;
        let mut pending = pending_answers(requests);
        if pending.is_empty() {
            return Ok(());
        }
        let mut slots = self.batch.min(pending.len()).max(Batch::FEWEST);
        let beginning = self.beginning(requests);
        while !pending.is_empty() {
            let mut work =
                Work { requests, beginning, pending: &mut pending, on_event: &mut on_event };
            let written = match memory_budget::fits_kv_cache(self.model, slots, length) {
                Ok(()) => self.write(slots, length, &mut work),
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
                    let reason = reason + &memory_budget::pool_usage(&device);
                    if slots <= Batch::FEWEST {
                        return Err(GenerateError::OutOfMemory(reason, slots).into());
                    }
                    // The pools keep what the larger batch has freed, and may not fit the smaller
                    // one.
                    device.memory_cleanup();
                    slots = (slots / 2).max(Batch::FEWEST);
                    on_event(GenerationEvent::FewerAtOnce { batch: slots, reason })?;
                }
            }
        }
        Ok(())
    }

    /// The required length of the KV cache.
    fn check(&self, requests: &[Request]) -> Result<usize, GenerateError> {
        let longest = self.model.config.max_position_embeddings;
        let vocabulary = self.model.config.vocab_size;
        let mut length = 0;
        for Request { id, prompt, .. } in requests {
            if prompt.is_empty() {
                return Err(GenerateError::EmptyPrompt(id.clone()));
            }
            if let Some(token) = prompt.iter().find(|token| **token as usize >= vocabulary) {
                return Err(GenerateError::UnknownToken {
                    id: id.clone(),
                    token: *token,
                    vocabulary,
                });
            }
            if prompt.len() >= longest {
                return Err(GenerateError::PromptTooLong {
                    id: id.clone(),
                    length: prompt.len(),
                    longest,
                });
            }
            // The cache has the same length for all responses, so that their last bits do not
            // depend on neighbours.
            length = length.max(longest.min(prompt.len() + self.sampling.max_new));
        }
        Ok(length)
    }

    /// The tokens with which all prompts begin, as far as they are read once. Each prompt has a
    /// token more, whose state predicts the next one.
    fn beginning<'r>(&self, requests: &'r [Request]) -> &'r [u32] {
        let Some(first) = requests.first().filter(|_| self.share_beginning) else { return &[] };
        let shortest = requests.iter().map(|request| request.prompt.len()).min().unwrap_or(1);
        let shared = requests.iter().fold(shortest - 1, |shared, Request { prompt, .. }| {
            let same = first.prompt.iter().zip(prompt).take(shared);
            same.take_while(|(one, other)| one == other).count()
        });
        let step = prefix_step(&self.model.embedding.val().device());
        &first.prompt[..shared - shared % step]
    }

    /// Generates until no response is pending. If the device fails, unfinished responses are
    /// pending again; they are drawn again, with the same tokens.
    fn write<E: From<GenerateError>, F: FnMut(GenerationEvent) -> Result<(), E>>(
        &self,
        slots: usize,
        length: usize,
        work: &mut Work<'_, F>,
    ) -> Result<(), Interruption<E>> {
        let mut batch =
            memory_budget::guarded(|| Ok(Batch::new(self.model, slots, length, work.beginning)))?;
        let written = self.write_in(&mut batch, work);
        let numbers = numbers_of_prompts(work.requests);
        for GeneratedRow { answer, .. } in batch.rows() {
            let prompt = numbers[work.requests[answer.request].prompt.as_slice()];
            let again = PendingAnswer { request: answer.request, sample: answer.sample, prompt };
            // In front, so that their prompts are read together with those of the next responses.
            work.pending.push_front(again);
        }
        written
    }

    fn write_in<E: From<GenerateError>, F: FnMut(GenerationEvent) -> Result<(), E>>(
        &self,
        batch: &mut Batch<'_>,
        work: &mut Work<'_, F>,
    ) -> Result<(), Interruption<E>> {
        let mut read: BTreeMap<usize, Arc<Prefilled>> = BTreeMap::new();
        loop {
            // Responses may end with their first token, which leaves their slots free.
            while batch.free() > 0 && !work.pending.is_empty() {
                self.admit(batch, &mut read, work)?;
            }
            if batch.is_empty() {
                return Ok(());
            }
            if work.pending.is_empty() {
                batch.shrink();
            }
            let drawn = batch.step(|row, logits| self.draw(row, logits, work.requests))?;
            drawn.map_err(|error| Interruption::Failed(error.into()))?;
            for row in batch.take_ended() {
                work.pass_on(row.answer)?;
            }
        }
    }

    /// Starts responses in all free slots: reads prompts, once each, and draws first tokens.
    fn admit<E: From<GenerateError>, F: FnMut(GenerationEvent) -> Result<(), E>>(
        &self,
        batch: &mut Batch<'_>,
        read: &mut BTreeMap<usize, Arc<Prefilled>>,
        work: &mut Work<'_, F>,
    ) -> Result<(), Interruption<E>> {
        let next: Vec<PendingAnswer> = work.pending.iter().take(batch.free()).copied().collect();
        let mut unread: Vec<&PendingAnswer> =
            next.iter().filter(|wanted| !read.contains_key(&wanted.prompt)).collect();
        unread.dedup_by_key(|wanted| wanted.prompt);
        let shared = work.beginning.len();
        let prompts: Vec<&[u32]> =
            unread.iter().map(|wanted| &work.requests[wanted.request].prompt[shared..]).collect();
        let prefilled = memory_budget::guarded(|| batch.read(&prompts))?;
        read.extend(
            unread.iter().map(|wanted| wanted.prompt).zip(prefilled.into_iter().map(Arc::new)),
        );
        for wanted in next {
            let prompt = Arc::clone(&read[&wanted.prompt]);
            let mut row = self.begin(wanted, &work.requests[wanted.request]);
            self.draw(&mut row, &prompt.logits, work.requests)
                .map_err(|error| Interruption::Failed(error.into()))?;
            work.pending.pop_front();
            if row.has_ended {
                work.pass_on(row.answer)?;
            } else {
                batch.put(row, prompt);
            }
        }
        // Responses to one prompt follow each other: a prompt that is not the next one's is done.
        let still_wanted = work.pending.front().map(|wanted| wanted.prompt);
        read.retain(|prompt, _| Some(*prompt) == still_wanted);
        Ok(())
    }

    fn begin(&self, wanted: PendingAnswer, request: &Request) -> GeneratedRow {
        let room = self.model.config.max_position_embeddings - request.prompt.len();
        GeneratedRow {
            answer: GeneratedAnswer {
                request: wanted.request,
                sample: wanted.sample,
                tokens: Vec::new(),
                log_probabilities: Vec::new(),
                finish: Finish::Length,
            },
            stream: self
                .seed
                .split("sample")
                .split(&request.id)
                .split(&wanted.sample.to_string())
                .stream(),
            // Only the penalty needs the prompt, and copies of long prompts add up.
            seen: if self.sampling.repetition_penalty == 1.0 {
                Vec::new()
            } else {
                request.prompt.clone()
            },
            position: request.prompt.len(),
            limit: self.sampling.max_new.min(room),
            has_ended: false,
        }
    }

    /// Adds a token to a response; returns whether it ends there.
    fn draw(
        &self,
        row: &mut GeneratedRow,
        logits: &[f32],
        requests: &[Request],
    ) -> Result<(), GenerateError> {
        let request = &requests[row.answer.request];
        let draw = self
            .sampling
            .draw(logits, &row.seen, &mut row.stream)
            .ok_or_else(|| GenerateError::NotANumber(request.id.clone()))?;
        row.answer.tokens.push(draw.token);
        row.answer.log_probabilities.push(draw.log_probability);
        if self.sampling.repetition_penalty != 1.0 {
            row.seen.push(draw.token);
        }
        let stopped = match &self.stops {
            Some(stops) => stops.is_complete(&request.prompt, &row.answer.tokens)?,
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

impl<E, F: FnMut(GenerationEvent) -> Result<(), E>> Work<'_, F> {
    /// Passes on a finished response.
    fn pass_on(&mut self, answer: GeneratedAnswer) -> Result<(), Interruption<E>> {
        (self.on_event)(GenerationEvent::Answer(answer)).map_err(Interruption::Failed)
    }
}

/// All requested responses, those to equal prompts one after the other.
fn pending_answers(requests: &[Request]) -> VecDeque<PendingAnswer> {
    let numbers = numbers_of_prompts(requests);
    let mut pending = Vec::new();
    for (request, Request { prompt, samples, .. }) in requests.iter().enumerate() {
        let prompt = numbers[prompt.as_slice()];
        pending.extend(samples.iter().map(|sample| PendingAnswer {
            request,
            sample: *sample,
            prompt,
        }));
    }
    pending.sort_by_key(|wanted| wanted.prompt);
    pending.into()
}

/// The distinct prompts, numbered in the order of their first requests.
fn numbers_of_prompts(requests: &[Request]) -> BTreeMap<&[u32], usize> {
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
    use crate::model::{Prefix, directory::tests::add_updates, memory_budget::tests::FAULTS};
    use burn::tensor::{Device, Int, Tensor, TensorData};

    fn sampling(temperature: f64, max_new: usize) -> Sampling {
        Sampling { temperature, max_new, ..Sampling::default() }
    }

    /// A model whose weights are large enough that its responses differ.
    fn model(config: &ModelConfig) -> Transformer {
        let mut model = config.init(&Seed::root(5), &Device::flex());
        model.embedding = model.embedding.map(|weights| weights * 20.0);
        model.for_sampling()
    }

    fn requests(count: usize, samples: usize) -> Vec<Request> {
        let prompt = |index: usize| {
            (0..2 + index % 5).map(|place| ((7 * index + 3 * place) % 32) as u32).collect()
        };
        let request = |index| Request {
            id: format!("q{index}"),
            prompt: prompt(index),
            samples: (0..samples).collect(),
        };
        (0..count).map(request).collect()
    }

    fn answers(
        model: &Transformer,
        requests: &[Request],
        batch: usize,
        sampling: Sampling,
    ) -> Vec<GeneratedAnswer> {
        let generator = Generator {
            model,
            sampling,
            batch,
            seed: Seed::root(1),
            stops: None,
            share_beginning: false,
        };
        answers_of(&generator, requests)
    }

    fn answers_of(generator: &Generator<'_>, requests: &[Request]) -> Vec<GeneratedAnswer> {
        let mut answers = Vec::new();
        let keep = |event| {
            let GenerationEvent::Answer(answer) = event else { panic!("there is room: {event:?}") };
            answers.push(answer);
            Ok::<_, GenerateError>(())
        };
        generator.run(requests, keep).unwrap();
        answers.sort_by_key(|answer| (answer.request, answer.sample));
        answers
    }

    #[test]
    fn a_beginning_that_prompts_share_is_read_once_to_the_same_answers() {
        for config in one_of_each() {
            let model = model(&ModelConfig { eos_token_id: vec![], ..config });
            let mut requests = requests(7, 2);
            for (index, request) in requests.iter_mut().enumerate() {
                // The first one has a single token after it, and some are equal.
                request.prompt.truncate(1 + index / 2);
                request.prompt.splice(0..0, (0..21).map(|place| place * 7 % 32));
            }
            let greedy = sampling(0.0, 12);
            let apart = answers(&model, &requests, 64, greedy.clone());
            let together = |batch, requests: &[Request]| {
                let sampling = greedy.clone();
                let (seed, stops) = (Seed::root(1), None);
                let model = &model;
                let generator =
                    Generator { model, sampling, batch, seed, stops, share_beginning: true };
                assert_eq!(generator.beginning(requests).len(), 21);
                answers_of(&generator, requests)
            };
            let all = together(64, &requests);
            assert_eq!(all.len(), 14);
            for (one, other) in all.iter().zip(&apart) {
                assert_eq!(one.tokens, other.tokens, "{:?}", model.config.architecture);
                let mut each = one.log_probabilities.iter().zip(&other.log_probabilities);
                assert!(each.all(|(one, other)| (one - other).abs() < 1e-4));
            }
            for batch in [1, 3, 5] {
                assert!(all == together(batch, &requests), "batch {batch}");
            }
            let mut fewer = requests.clone();
            fewer[0].samples.clear();
            fewer[5].samples = vec![1];
            fewer.reverse();
            let mut some = together(4, &fewer);
            some.iter_mut().for_each(|answer| answer.request = 6 - answer.request);
            assert_eq!(some.len(), 11);
            assert!(some.iter().all(|answer| all.contains(answer)));
        }
    }

    #[test]
    fn an_answer_does_not_depend_on_its_neighbours() {
        let wide = ModelConfig {
            hidden_size: 160,
            intermediate_size: 424,
            head_dim: 40,
            vocab_size: 515,
            ..tiny()
        };
        let deep = ModelConfig {
            hidden_size: 640,
            intermediate_size: 1500,
            num_hidden_layers: 1,
            ..wide.clone()
        };
        for config in [tiny(), wide, deep].into_iter().chain(one_of_each()) {
            let model = model(&config);
            let requests = requests(7, 9);
            let all = answers(&model, &requests, 64, sampling(1.0, 20));
            assert_eq!(all.len(), 63);
            assert!(
                all.iter().any(|answer| answer.finish == Finish::Stop) || config.vocab_size > 32
            );
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
                assert!(
                    all == answers(&model, &requests, batch, sampling(1.0, 12)),
                    "rank {rank}, batch {batch}"
                );
            }
        }
    }

    #[test]
    fn prompts_that_are_equal_are_read_once_and_answered_each_for_itself() {
        let model = model(&tiny());
        let mut requests = requests(4, 3);
        requests[3].prompt = requests[0].prompt.clone();
        assert_eq!(
            pending_answers(&requests).iter().map(|wanted| wanted.prompt).collect::<Vec<_>>(),
            [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
        );
        let together = answers(&model, &requests, 64, sampling(1.0, 20));
        let alone = answers(&model, &requests[3..], 64, sampling(1.0, 20));
        let tokens = |answers: &[GeneratedAnswer]| {
            answers.iter().map(|answer| answer.tokens.clone()).collect::<Vec<_>>()
        };
        assert_eq!(tokens(&together[9..]), tokens(&alone));
        assert_ne!(tokens(&together[..3]), tokens(&alone));
    }

    #[test]
    fn packed_weights_change_no_bit() {
        for config in one_of_each() {
            let plain = config.init(&Seed::root(5), &Device::flex());
            // Prompts of one token, too, whose products have a single row.
            let mut requests = requests(5, 3);
            requests[0].prompt.truncate(1);
            let of =
                |is_packed| answers(&plain.prepared(is_packed), &requests, 4, sampling(1.0, 12));
            assert!(of(true) == of(false));
        }
    }

    #[test]
    fn where_memory_runs_short_fewer_are_written_at_once_to_the_same_answers() {
        let model = model(&ModelConfig { vocab_size: 515, ..tiny() });
        let requests = requests(6, 4);
        let whole = answers(&model, &requests, 64, sampling(1.0, 20));
        for faults in [vec![0], vec![1], vec![2], vec![9], vec![5, 30], vec![3, 3, 3]] {
            FAULTS.set(faults.clone());
            let generator = Generator {
                model: &model,
                sampling: sampling(1.0, 20),
                batch: 15,
                seed: Seed::root(1),
                stops: None,
                share_beginning: false,
            };
            let (mut found, mut batches) = (Vec::new(), Vec::new());
            let keep = |event| {
                match event {
                    GenerationEvent::Answer(answer) => found.push(answer),
                    GenerationEvent::FewerAtOnce { batch, reason } => {
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
        let generator = Generator {
            model: &model,
            sampling: sampling(1.0, 9),
            batch: 15,
            seed: Seed::root(1),
            stops: None,
            share_beginning: false,
        };
        let error = generator
            .run(&requests, |_| Ok::<_, GenerateError>(()))
            .map_err(|error| error.to_string());
        assert_eq!(FAULTS.take(), Vec::<usize>::new());
        assert!(error.is_err_and(|error| {
            error.contains("even for 2 concurrent responses; lower `max_new_tokens`")
        }));
    }

    #[test]
    fn long_prompts_are_read_in_pieces_to_the_same_answers() {
        for config in one_of_each() {
            let model = model(&config);
            let prompt: Vec<u32> = (0..41).map(|place| place * 7 % 32).collect();
            let logits = |piece, bucket| {
                let read = model.read_in_pieces(&Prefix::default(), &prompt, piece, bucket);
                model.prefilled(read).unwrap().logits
            };
            let whole = logits(64, 1);
            for (piece, bucket) in [(8, 1), (40, 1), (64, 16), (64, 64)] {
                let close = logits(piece, bucket)
                    .iter()
                    .zip(&whole)
                    .all(|(one, other)| (one - other).abs() < 2e-4);
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
            let all: Vec<i32> =
                prompt.iter().chain(&answer.tokens).map(|token| *token as i32).collect();
            let tokens = Tensor::<2, Int>::from_data(
                TensorData::new(all.clone(), [1, all.len()]),
                &Device::flex(),
            );
            let targets = tokens.clone().narrow(1, 1, all.len() - 1).reshape([all.len() - 1]);
            let logits = model.logits(model.hidden(tokens)).narrow(0, 0, all.len() - 1);
            let best: Vec<i32> =
                logits.clone().argmax(1).into_data().convert::<i32>().try_to_vec().unwrap();
            assert_eq!(best[prompt.len() - 1..], all[prompt.len()..]);
            let probabilities: Vec<f32> =
                target_log_probabilities(logits, targets).into_data().try_to_vec().unwrap();
            for (ours, whole) in
                answer.log_probabilities.iter().zip(&probabilities[prompt.len() - 1..])
            {
                assert!((ours - whole).abs() < 1e-4, "{ours} {whole}");
            }
        }
    }

    #[test]
    fn wrong_prompts_are_named() {
        let model = model(&tiny());
        let error = |prompt: Vec<u32>| {
            let requests = [Request { id: "q".to_owned(), prompt, samples: vec![0] }];
            let generator = Generator {
                model: &model,
                sampling: sampling(1.0, 4),
                batch: 1,
                seed: Seed::root(0),
                stops: None,
                share_beginning: false,
            };
            generator.run(&requests, |_| Ok::<_, GenerateError>(())).unwrap_err().to_string()
        };
        assert!(error(vec![]).contains("`q` has no tokens"));
        assert!(error(vec![32]).contains("the token 32, but the model's vocabulary has 32"));
        assert!(error(vec![1; 64]).contains("has 64 tokens, but the model's context is 64 tokens"));
    }
}
