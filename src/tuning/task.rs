//! What is learnt from a batch: the derivative of the loss by each sequence's log-probability.

use super::{
    objective::{LogRatios, Objective},
    sequences::Example,
};
use crate::model::Transformer;

/// What a training run minimises.
#[derive(Clone, Debug)]
pub enum Task {
    /// The weighted likelihood of documents.
    Documents,
    /// A preference loss on pairs; boxed since it carries a model.
    Preference(Box<Preference>),
}

/// A preference loss against a frozen start.
#[derive(Clone, Debug)]
pub struct Preference {
    /// The pair loss.
    pub objective: Objective,
    /// The weight of the chosen answer's negative log-likelihood per token (RPO, Pang et al. 2024, arXiv 2404.19733).
    pub nll_weight: f64,
    /// The model before tuning, off the tape.
    pub reference: Transformer,
}

/// The derivative of a batch's loss, and what was measured on the way.
pub(super) struct Derivative {
    /// By the log-probability of each sequence's tokens.
    pub by_sequence: Vec<f64>,
    /// Name and value, in the order of [`Task::measurements`]; already divided for accumulation.
    pub measured: Vec<f64>,
}

impl Task {
    /// The names of what is measured at each step, in TRL's words.
    pub(super) fn measurements(&self) -> &'static [&'static str] {
        match self {
            Self::Documents => &["loss", "num_tokens"],
            Self::Preference(_) => &[
                "loss",
                "num_tokens",
                "nll_loss",
                "rewards/chosen",
                "rewards/rejected",
                "rewards/margins",
                "rewards/accuracies",
                "logps/chosen",
                "logps/rejected",
            ],
        }
    }

    /// The loss of documents: the sum of each sequence's negative log-likelihood times its scale.
    ///
    /// A scale is the weight of the sequence's group over all the group's tokens in the batch.
    pub(super) fn documents(examples: &[Example], scales: &[f64], sums: &[f64]) -> Derivative {
        let loss = scales.iter().zip(sums).map(|(scale, sum)| -scale * sum).sum();
        let tokens: usize = examples.iter().map(Example::length).sum();
        Derivative { by_sequence: scales.iter().map(|scale| -scale).collect(), measured: vec![loss, tokens as f64] }
    }
}

impl Preference {
    /// The loss of pairs: the mean over the whole batch of pair loss and weighted likelihood.
    ///
    /// `examples`, and with them both lists of sums, hold the chosen answers first, then the rejected ones; `batch` is the
    /// number of pairs of the whole batch, of which these are a part where gradients are accumulated.
    pub(super) fn pairs(&self, examples: &[Example], policy: &[f64], reference: &[f64], batch: usize) -> Derivative {
        let pairs = examples.len() / 2;
        let share = 1.0 / batch as f64;
        let beta = self.objective.beta;
        let mut by_sequence = vec![0.0; 2 * pairs];
        let mut measured = vec![0.0; 9];
        measured[1] = examples.iter().map(Example::length).sum::<usize>() as f64;
        for pair in 0..pairs {
            let (chosen, rejected) = (pair, pairs + pair);
            let (chosen_tokens, rejected_tokens) =
                (examples[chosen].completion.len(), examples[rejected].completion.len());
            let ratios = LogRatios {
                chosen: policy[chosen] - reference[chosen],
                rejected: policy[rejected] - reference[rejected],
                chosen_tokens,
                rejected_tokens,
            };
            let loss = self.objective.loss(ratios);
            let nll = -policy[chosen] / chosen_tokens as f64;
            by_sequence[chosen] = share * (loss.by_chosen - self.nll_weight / chosen_tokens as f64);
            by_sequence[rejected] = share * loss.by_rejected;
            let values = [
                loss.value + self.nll_weight * nll,
                0.0,
                nll,
                beta * ratios.chosen,
                beta * ratios.rejected,
                beta * (ratios.chosen - ratios.rejected),
                f64::from(u8::from(ratios.chosen > ratios.rejected)),
                policy[chosen],
                policy[rejected],
            ];
            measured.iter_mut().zip(values).for_each(|(sum, value)| *sum += share * value);
        }
        Derivative { by_sequence, measured }
    }
}
