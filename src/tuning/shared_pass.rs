//! A forward and backward pass whose texts are shared out between devices. The loss is computed
//! from all of them at once, as on one device; only sums of gradients are rounded differently.

use std::ops::Range;

use burn::optim::GradientsParams;

use super::{
    backward::{ForwardOutputs, GradientCheckpointing, Pass},
    replicas::{Replicas, StartedJob},
    tokenized::{ComputeOptions, TokenizedExample},
    transfer::Parcel,
};
use crate::{model::Transformer, seed::Seed};

/// How a pass is computed.
#[derive(Clone)]
pub(super) struct PassOptions {
    pub gradient_checkpointing: GradientCheckpointing,
    pub compute: ComputeOptions,
    pub outputs: ForwardOutputs,
    /// LoRA dropout: rate and seed.
    pub dropout: Option<(f64, Seed)>,
    /// Whether the head (with tied weights: the embedding) is trained.
    pub learn_head: bool,
}

/// A forward pass over texts, in shares.
pub(super) struct SharedPass<'a> {
    replicas: &'a Replicas,
    learn_head: bool,
    first: Share,
    /// The others, each with the number of its replica.
    others: Vec<(usize, Share)>,
}

/// The pass of a device over consecutive texts.
struct Share {
    texts: Range<usize>,
    /// With dropout, if any.
    model: Transformer,
    pass: Pass,
}

impl<'a> SharedPass<'a> {
    /// # Panics
    /// Without texts.
    pub(super) fn new(
        model: &Transformer,
        replicas: &'a Replicas,
        texts: &[TokenizedExample],
        options: &PassOptions,
    ) -> Self {
        let tokens: Vec<usize> = texts.iter().map(TokenizedExample::tokens).collect();
        let mut shares = shares(&tokens, replicas.count() + 1).into_iter();
        let first = shares.next().expect("the first device has a share");
        let before = |share: &Range<usize>| {
            let texts = texts[..share.start].iter();
            texts.map(|text| text.computed_tokens(options.compute.share_prompts)).sum()
        };
        let others: Vec<(usize, StartedJob<Share>)> = shares
            .enumerate()
            .filter(|(_, share)| !share.is_empty())
            .map(|(number, share)| {
                let (own, before, options) =
                    (texts[share.clone()].to_vec(), before(&share), options.clone());
                let pending = replicas.start(number, move |models| {
                    Share::new(&models.policy, share, (&own, before), &options)
                });
                (number, pending)
            })
            .collect();
        let own = &texts[first.clone()];
        let first = Share::new(model, first, (own, 0), options);
        let others = others.into_iter().map(|(number, pending)| (number, pending.wait())).collect();
        Self { replicas, learn_head: options.learn_head, first, others }
    }

    /// The passes of all devices in the order of the texts, with the texts of each.
    pub(super) fn shares(&self) -> impl Iterator<Item = (Range<usize>, &Pass)> {
        let others = self.others.iter().map(|(_, share)| share);
        std::iter::once(&self.first).chain(others).map(|share| (share.texts.clone(), &share.pass))
    }

    /// The log-probabilities of completions, in the order of the texts.
    ///
    /// # Shapes
    /// One list per completion, in it one number per token.
    pub(super) fn log_probabilities(&self) -> Vec<Vec<f32>> {
        let split =
            self.shares().map(|(_, pass)| pass.scoring.split(&pass.forward.log_probabilities));
        split.flatten().collect()
    }

    /// The gradients of the sum of `coefficient * log-probability` by all trained parameters, on
    /// the first device; added up in the order of the devices.
    ///
    /// # Shapes
    /// `coefficients`: `[scored tokens]`
    pub(super) fn backward(self, coefficients: &[f32]) -> GradientsParams {
        let Self { replicas, learn_head, first, others } = self;
        let (own, mut rest) = coefficients.split_at(first.scored_tokens());
        let started: Vec<StartedJob<Parcel>> = others
            .into_iter()
            .map(|(number, share)| {
                let (theirs, after) = rest.split_at(share.scored_tokens());
                rest = after;
                let theirs = theirs.to_vec();
                replicas.start(number, move |_| {
                    let Share { model, pass, .. } = share;
                    let gradients = pass.backward(&model, &theirs, learn_head);
                    Parcel::of_gradients(&model, &gradients)
                })
            })
            .collect();
        let device = first.model.device().inner();
        let mut sum = first.pass.backward(&first.model, own, learn_head);
        for parcel in started.into_iter().map(StartedJob::wait) {
            parcel.add_to(&mut sum, &first.model, &device);
        }
        sum
    }
}

impl Share {
    /// `texts`: those of the share, and the number of computed tokens of all texts before.
    fn new(
        model: &Transformer,
        range: Range<usize>,
        (texts, before): (&[TokenizedExample], usize),
        options: &PassOptions,
    ) -> Self {
        let model = match &options.dropout {
            Some((rate, seed)) => model.clone().with_dropout(*rate, seed, before),
            None => model.clone(),
        };
        let PassOptions { gradient_checkpointing, compute, outputs, .. } = *options;
        let pass = Pass::new(&model, texts, gradient_checkpointing, compute, outputs);
        Self { texts: range, model, pass }
    }

    fn scored_tokens(&self) -> usize {
        self.pass.scoring.targets.len()
    }
}

/// Consecutive texts for each device, with about the same number of tokens; the first one has at
/// least one text.
fn shares(tokens: &[usize], devices: usize) -> Vec<Range<usize>> {
    let all: usize = tokens.iter().sum();
    let mut shares = Vec::with_capacity(devices);
    let (mut end, mut used) = (0, 0);
    for device in 1..=devices {
        let start = end;
        // A text belongs to the share that has most of it.
        while end < tokens.len()
            && (end == 0
                || device == devices
                || (2 * used + tokens[end]) * devices <= 2 * all * device)
        {
            used += tokens[end];
            end += 1;
        }
        shares.push(start..end);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_similar_numbers_of_tokens() {
        for (tokens, devices, expected) in [
            (&[7, 7, 7, 7][..], 2, &[0..2, 2..4][..]),
            (&[7, 7, 7], 2, &[0..2, 2..3]),
            (&[1, 1, 10], 2, &[0..2, 2..3]),
            (&[10, 1, 1], 2, &[0..1, 1..3]),
            (&[5], 3, &[0..1, 1..1, 1..1]),
            (&[9, 9, 9, 9, 9], 1, std::slice::from_ref(&(0..5))),
            (&[4, 4, 4, 4, 4, 4, 4], 3, &[0..2, 2..5, 5..7]),
        ] {
            assert_eq!(shares(tokens, devices), expected, "{tokens:?}");
        }
    }
}
