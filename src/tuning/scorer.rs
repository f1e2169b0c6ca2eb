//! What training looks at without autodiff: whole batches, mismatched prompts, held-out rows.

use burn::module::Module;

use super::{
    objective::Statistics,
    preference::{Evaluation, PolicyView, Preference, ReferencePoints, ViewedRows, answer_sums},
    replicas::Replicas,
    shared_model::SharedModel,
    tokenized::{ComputeOptions, TokenizedExample},
};
use crate::model::Transformer;

/// Tokens per pass without autodiff.
const LOOK_AT_TOKENS: usize = 8192;

/// Scores texts under the policy and the reference model, without autodiff.
#[derive(Clone, Copy)]
pub(super) struct Scorer<'a> {
    pub preference: &'a Preference,
    pub policy: &'a Transformer,
    /// The reference model, where it moves; a fixed one has been scored before.
    pub reference: Option<&'a Transformer>,
    /// Copies of both on further devices.
    pub replicas: &'a Replicas,
    pub compute: ComputeOptions,
}

impl Scorer<'_> {
    /// Log-probabilities of rows under policy and reference model.
    ///
    /// # Shapes
    /// One view per row.
    pub(super) fn views(self, rows: &[usize]) -> Vec<PolicyView> {
        let texts = self.preference.tokenized(rows);
        let scored = self.look_at_policy(&texts).into_iter();
        let mut views: Vec<PolicyView> =
            scored.map(|answers| PolicyView { answers, ..PolicyView::default() }).collect();
        self.add_reference(&texts, &mut views);
        views
    }

    /// Adds the log-probabilities under a moving reference model.
    ///
    /// # Shapes
    /// One view per text.
    pub(super) fn add_reference(self, texts: &[TokenizedExample], views: &mut [PolicyView]) {
        let Some(reference) = self.reference else { return };
        let found = self.look_at_reference(reference, texts);
        views.iter_mut().zip(found).for_each(|(view, found)| view.reference = found);
    }

    /// KTO's reference points of a batch; 0 where no loss needs them.
    pub(super) fn reference_points(self, batch: &[usize]) -> ReferencePoints {
        let preference = self.preference;
        if !preference.objective.needs_reference_point() {
            return ReferencePoints::default();
        }
        let mismatches = preference.mismatches(batch);
        let texts = preference.mismatched(&mismatches);
        let policy = answer_sums(&self.look_at_policy(&texts));
        let reference = match self.reference {
            Some(reference) => answer_sums(&self.look_at_reference(reference, &texts)),
            // A fixed reference model is no longer in memory.
            None => preference.known_sums(&mismatches),
        };
        preference.reference_points(&mismatches, &policy, &reference)
    }

    /// The statistics of a batch; `shift`: the mean of all rewards so far.
    pub(super) fn statistics(self, batch: &[usize], shift: f64) -> Statistics {
        let ReferencePoints { by_answer, by_fact } = self.reference_points(batch);
        Statistics { reference_point: by_answer, fact_point: by_fact, shift }
    }

    /// Evaluates held-out rows as one batch; `shift`: the mean of all training rewards so far.
    pub(super) fn evaluation(self, rows: &[usize], shift: f64) -> Evaluation {
        let views = self.views(rows);
        let rows_and_views = ViewedRows::whole(self.preference, rows, &views);
        Evaluation::new(&rows_and_views, &self.statistics(rows, shift))
    }

    /// Log-probabilities of texts.
    ///
    /// # Shapes
    /// One list per text, in it one per completion, in it one number per token.
    fn look_at_policy(self, texts: &[TokenizedExample]) -> Vec<Vec<Vec<f32>>> {
        // Without autodiff: the tape of a whole batch is what gradient accumulation avoids.
        let policy = self.policy.valid();
        let policy = SharedModel::new(&policy, self.replicas);
        policy.log_probabilities(texts, LOOK_AT_TOKENS, self.compute, |_| ())
    }

    /// The same under a moving reference model.
    fn look_at_reference(
        self,
        reference: &Transformer,
        texts: &[TokenizedExample],
    ) -> Vec<Vec<Vec<f32>>> {
        let reference = reference.valid();
        let reference = SharedModel::new(&reference, self.replicas).as_reference(true);
        reference.log_probabilities(texts, LOOK_AT_TOKENS, self.compute, |_| ())
    }
}
