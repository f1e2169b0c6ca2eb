//! Generation on several devices: prompts are shared out, and a thread serves each device.

use std::{
    collections::BTreeMap,
    panic::resume_unwind,
    sync::mpsc::{Sender, channel},
    thread,
};

use super::{
    answer::{GenerationEvent, Request},
    error::GenerateError,
    generate::Generator,
};
use crate::model::architecture::Transformer;

/// Why a device stopped before its last response.
enum ShareEnd {
    Failed(GenerateError),
    /// Nobody listens any more: another device or the receiver of the events has failed.
    Unheard,
}

impl From<GenerateError> for ShareEnd {
    fn from(error: GenerateError) -> Self {
        Self::Failed(error)
    }
}

/// What the threads report.
type Report = Result<GenerationEvent, GenerateError>;

impl Generator<'_> {
    /// As [`Generator::run`], with the prompts shared out between the model's device and those of
    /// its copies. Each response is the same as on one device; each device generates `batch` of
    /// them at once.
    ///
    /// # Errors
    /// As [`Generator::run`].
    pub fn run_with<E: From<GenerateError>>(
        &self,
        copies: &[Transformer],
        requests: &[Request],
        mut on_event: impl FnMut(GenerationEvent) -> Result<(), E>,
    ) -> Result<(), E> {
        if copies.is_empty() {
            return self.run(requests, on_event);
        }
        let shares = shares(requests, copies.len() + 1);
        thread::scope(|scope| {
            let (sender, reports) = channel();
            let models = std::iter::once(self.model).chain(copies);
            let threads: Vec<_> = models
                .zip(&shares)
                .map(|(model, share)| {
                    let (generator, sender) = (self.on(model), sender.clone());
                    scope.spawn(move || generator.report(share, &sender))
                })
                .collect();
            drop(sender);
            // The receiver is dropped after the first error, which ends the other devices.
            let done = reports.into_iter().try_for_each(|report| on_event(report?));
            for thread in threads {
                // A panic has its own message, such as lack of memory.
                thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            }
            done
        })
    }

    /// The same with a copy of the model.
    fn on<'a>(&'a self, model: &'a Transformer) -> Generator<'a> {
        Generator {
            model,
            sampling: self.sampling.clone(),
            seed: self.seed.clone(),
            stops: self.stops.clone(),
            ..*self
        }
    }

    /// Generates a share, and reports each event.
    fn report(&self, requests: &[Request], sender: &Sender<Report>) {
        let done =
            self.run(requests, |event| sender.send(Ok(event)).map_err(|_| ShareEnd::Unheard));
        if let Err(ShareEnd::Failed(error)) = done {
            // Unheard where another device has failed first.
            sender.send(Err(error)).ok();
        }
    }
}

/// The requests of each device: all of them, since they decide the length of the KV cache, but with
/// the responses of its own prompts only. Equal prompts are read by the same device.
fn shares(requests: &[Request], count: usize) -> Vec<Vec<Request>> {
    let mut shares = vec![requests.to_vec(); count];
    let mut numbers: BTreeMap<&[u32], usize> = BTreeMap::new();
    for (index, request) in requests.iter().enumerate().filter(|(_, one)| !one.samples.is_empty()) {
        let next = numbers.len();
        let own = *numbers.entry(&request.prompt).or_insert(next) % count;
        let others = shares.iter_mut().enumerate().filter(|(number, _)| *number != own);
        others.for_each(|(_, share)| share[index].samples.clear());
    }
    shares
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{
        model::{Sampling, architecture::config::tests::tiny, generation::GeneratedAnswer},
        seed::Seed,
    };

    fn requests() -> Vec<Request> {
        // Equal prompts, prompts without pending responses, and one that decides the cache's length.
        let prompt = |index: u32| (0..2 + index % 5).map(move |place| (7 * index + 3 * place) % 32);
        (0..11u32)
            .map(|index| Request {
                id: format!("q{index}"),
                prompt: prompt(index % 9).collect(),
                samples: if index == 4 { Vec::new() } else { (0..3).collect() },
            })
            .collect()
    }

    fn generator(model: &Transformer) -> Generator<'_> {
        let sampling = Sampling { max_new: 9, ..Sampling::default() };
        let (stops, share_beginning) = (None, false);
        Generator { model, sampling, batch: 4, seed: Seed::root(1), stops, share_beginning }
    }

    #[test]
    fn answers_are_those_of_one_device() {
        let mut model = tiny().init(&Seed::root(5), &Device::flex());
        model.embedding = model.embedding.map(|weights| weights * 20.0);
        let answers = |copies: usize| {
            let mut found: Vec<GeneratedAnswer> = Vec::new();
            let copies = vec![model.copy_on(&Device::flex()); copies];
            let done = generator(&model).run_with(&copies, &requests(), |event| {
                if let GenerationEvent::Answer(answer) = event {
                    found.push(answer);
                }
                Ok::<_, GenerateError>(())
            });
            done.unwrap();
            found.sort_by_key(|answer| (answer.request, answer.sample));
            found
        };
        let alone = answers(0);
        assert_eq!(alone.len(), 30);
        assert!(alone.iter().any(|answer| answer.tokens != alone[0].tokens));
        for copies in [1, 2, 20] {
            assert!(answers(copies) == alone, "{copies}");
        }
    }

    #[test]
    fn prompts_are_shared_out_evenly_and_equal_ones_stay_together() {
        let requests = requests();
        let shares = shares(&requests, 2);
        let pending = |share: &[Request]| -> Vec<usize> {
            let numbers = share.iter().enumerate();
            numbers.filter(|(_, one)| !one.samples.is_empty()).map(|(number, _)| number).collect()
        };
        assert_eq!(pending(&shares[0]), [0, 2, 5, 7, 9]);
        assert_eq!(pending(&shares[1]), [1, 3, 6, 8, 10]);
        assert!(shares.iter().all(|share| share.len() == requests.len()));
    }

    #[test]
    fn one_error_ends_all_devices() {
        let model = tiny().init(&Seed::root(5), &Device::flex());
        let copies = [model.clone()];
        let mut heard = 0;
        let done = generator(&model).run_with(&copies, &requests(), |_| {
            heard += 1;
            Err(GenerateError::Device("full disk".to_owned()))
        });
        assert!(matches!(done, Err(GenerateError::Device(text)) if text == "full disk"));
        assert_eq!(heard, 1);
        let damaged = model.norm.clone().map(|norm| norm * f32::NAN);
        let copies = [Transformer { norm: damaged, ..model.clone() }];
        let done = generator(&model).run_with(&copies, &requests(), |_| Ok(()));
        assert!(matches!(&done, Err(GenerateError::NotANumber(id)) if id == "q1"), "{done:?}");
    }
}
