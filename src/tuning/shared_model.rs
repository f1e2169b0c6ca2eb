//! Log-probabilities under a model whose devices share the texts.

use std::sync::{Arc, Mutex, mpsc::channel};

use super::{
    likelihood::{groups, log_probabilities},
    replicas::{Replicas, StartedJob},
    tokenized::{ComputeOptions, TokenizedExample},
};
use crate::model::Transformer;

/// A model without autodiff, with its copies on further devices if any.
#[derive(Clone, Copy)]
pub struct SharedModel<'a> {
    model: &'a Transformer,
    replicas: Option<&'a Replicas>,
    is_reference: bool,
}

impl<'a> From<&'a Transformer> for SharedModel<'a> {
    fn from(model: &'a Transformer) -> Self {
        Self { model, replicas: None, is_reference: false }
    }
}

/// The indices of texts, and the texts.
type Group = (Vec<usize>, Vec<TokenizedExample>);

impl<'a> SharedModel<'a> {
    /// A model with its copies.
    pub fn new(model: &'a Transformer, replicas: &'a Replicas) -> Self {
        Self { model, replicas: Some(replicas), is_reference: false }
    }

    /// Whether it is the reference model of a training run, not its policy.
    pub(super) fn as_reference(self, is_reference: bool) -> Self {
        Self { is_reference, ..self }
    }

    /// As [`log_probabilities`] on one device, to the bit: devices share whole groups of texts.
    ///
    /// # Shapes
    /// One list per example, in it one list per completion, in it one number per token.
    pub fn log_probabilities(
        self,
        examples: &[TokenizedExample],
        batch_tokens: usize,
        compute: ComputeOptions,
        mut progress: impl FnMut(usize),
    ) -> Vec<Vec<Vec<f32>>> {
        let Some(replicas) = self.replicas.filter(|replicas| replicas.count() > 0) else {
            return log_probabilities(self.model, examples, batch_tokens, compute, progress);
        };
        let groups = groups(examples, batch_tokens).into_iter().map(|group| {
            let texts = group.iter().map(|index| examples[*index].clone()).collect();
            (group, texts)
        });
        let queue = Arc::new(Mutex::new(groups.collect::<Vec<Group>>().into_iter()));
        let (sender, scored) = channel();
        let is_reference = self.is_reference;
        let pending: Vec<StartedJob<()>> = (0..replicas.count())
            .map(|number| {
                let (queue, sender) = (Arc::clone(&queue), sender.clone());
                replicas.start(number, move |models| {
                    let model = models.scored(is_reference);
                    while let Some((group, texts)) = next(&queue) {
                        sender.send((group, score(&model, &texts, compute))).ok();
                    }
                })
            })
            .collect();
        drop(sender);
        let mut found = vec![Vec::new(); examples.len()];
        let mut done = 0;
        let mut note = |(group, scored): (Vec<usize>, Vec<Vec<Vec<f32>>>)| {
            done += group.len();
            group.into_iter().zip(scored).for_each(|(index, scored)| found[index] = scored);
            progress(done);
        };
        while let Some((group, texts)) = next(&queue) {
            note((group, score(self.model, &texts, compute)));
            scored.try_iter().for_each(&mut note);
        }
        // Until the last device has none left.
        scored.iter().for_each(&mut note);
        pending.into_iter().for_each(StartedJob::wait);
        found
    }
}

fn next(queue: &Mutex<std::vec::IntoIter<Group>>) -> Option<Group> {
    queue.lock().expect("no holder panics").next()
}

/// One group is one pass.
fn score(
    model: &Transformer,
    texts: &[TokenizedExample],
    compute: ComputeOptions,
) -> Vec<Vec<Vec<f32>>> {
    log_probabilities(model, texts, usize::MAX, compute, |_| ())
}
