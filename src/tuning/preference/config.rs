//! What a run of preference tuning is given: objective, modifiers, rows and reference model.

use super::held_out::HeldOut;
use crate::tuning::{
    objective::Objective,
    reference::ReferenceLogProbs,
    rows::{TokenFact, TokenRow},
    tokenized::TokenizedExample,
};

/// A preference loss on rows, against a reference model.
#[derive(Debug)]
pub struct Preference {
    /// One algorithm, or a weighted sum of several.
    pub objective: Objective,
    /// Modifiers of the loss.
    pub modifiers: Modifiers,
    /// All rows, for training and evaluation; others name them by index.
    pub rows: Vec<TokenRow>,
    /// Log-probabilities of the rows under the reference model.
    pub reference: ReferenceLogProbs,
    /// For losses with a reference point: which row's completions each prompt is combined with.
    pub mismatch: KlPairs,
    /// How the reference model follows the policy; fixed where absent.
    pub moving: Option<MovingReference>,
    /// Rows for evaluation only.
    pub held_out: Option<HeldOut>,
}

/// A reference model that follows the policy (TR-DPO, Gorbatovski et al. 2024, arXiv 2404.09656):
/// after every `every` steps it becomes mixup * policy + (1 - mixup) * reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MovingReference {
    /// Optimizer steps between updates.
    pub every: usize,
    /// Share of the policy; 1 replaces the reference model.
    pub mixup: f64,
}

/// Modifiers that work with any loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Modifiers {
    /// WPO: weight rows by the probability of their completions under the policy, up to this weight
    /// (Zhou et al. 2024, arXiv 2406.11827; at most 1 in the authors' code, without bound in TRL
    /// 1.16). Without it all rows weigh the same.
    pub max_weight: Option<f64>,
    /// LD-DPO: weight of tokens beyond the length of the shorter completion (Liu et al. 2024, arXiv
    /// 2409.06411); 1 is off.
    pub ld_alpha: f64,
    /// How the likelihood term is averaged.
    pub nll_reduction: NllReduction,
    /// Mask-DPO: count only supported facts of chosen and unsupported facts of rejected completions
    /// (Gu et al. 2025, arXiv 2503.02846).
    pub fact_mask: bool,
}

/// How the negative log-likelihood of chosen completions is averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum NllReduction {
    /// Over the tokens of each completion, then over completions: all completions weigh the same.
    #[default]
    Completions,
    /// Over all completions' tokens in the batch: all tokens weigh the same (TRL, for DPO with
    /// `sft` and for CPO).
    Tokens,
    /// Over all tokens of prompts and completions in the batch (TRL, for ORPO).
    Texts,
}

/// Which row's completions a prompt is combined with to estimate KTO's reference point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum KlPairs {
    /// Those of the next row of the data with another prompt: the same for all batches.
    #[default]
    Fixed,
    /// Those of the previous row in its batch, the first with the last (TRL).
    Batch,
}

impl Default for Modifiers {
    /// No modification.
    fn default() -> Self {
        Self {
            max_weight: None,
            ld_alpha: 1.0,
            nll_reduction: NllReduction::default(),
            fact_mask: false,
        }
    }
}

impl Preference {
    /// Tokenized examples of rows, in the order of the rows.
    pub(in crate::tuning) fn tokenized(&self, rows: &[usize]) -> Vec<TokenizedExample> {
        rows.iter().map(|row| self.rows[*row].tokenized(&self.rows[*row])).collect()
    }

    /// Whether prompts are scored too.
    pub(in crate::tuning) fn scores_prompts(&self) -> bool {
        self.objective.rpo_alpha > 0.0 && self.modifiers.nll_reduction == NllReduction::Texts
    }

    /// Weight of each token of a row's completion in the preference.
    ///
    /// # Shapes
    /// One number per token of the completion.
    pub(super) fn token_weights(&self, row: usize, answer: usize) -> Vec<f64> {
        let row = &self.rows[row];
        let lengths = row.answers().iter().map(|answer| answer.tokens.len());
        // A single completion has no shorter one beside it: no token is beyond the shared length.
        let shared = if row.answers().len() == 2 { lengths.min() } else { lengths.max() };
        let shared = shared.unwrap_or(0);
        // In a chosen completion supported facts count, in a rejected one unsupported facts.
        let is_better = answer == 0 && row.has_desirable();
        let answer = &row.answers()[answer];
        (0..answer.tokens.len())
            .map(|place| {
                if self.modifiers.fact_mask && !is_in_fact(&answer.facts, is_better, place) {
                    0.0
                } else if place >= shared {
                    self.modifiers.ld_alpha
                } else {
                    1.0
                }
            })
            .collect()
    }
}

/// Whether a token belongs to a fact that is (or is not) supported.
fn is_in_fact(facts: &[TokenFact], supported: bool, place: usize) -> bool {
    facts.iter().any(|fact| fact.supported == supported && fact.tokens.contains(&place))
}
