//! What is learnt from a batch of rows: the derivative of its loss by the log-probability of each token.

use std::collections::BTreeMap;

use super::{
    answered::Answered,
    facts,
    held_out::HeldOut,
    objective::{Label, Objective, Row, RowLoss, Scored, Setting, Statistics},
    rows::{TokenAnswer, TokenFact, TokenPreference, TokenRow},
};

/// A preference loss on rows, against a reference.
#[derive(Debug)]
pub struct Preference {
    /// The loss.
    pub objective: Objective,
    /// What is done to it.
    pub modifiers: Modifiers,
    /// What is learnt from.
    pub rows: Vec<TokenRow>,
    /// What the reference thinks of it.
    pub reference: Reference,
    /// For losses with a reference point: with whose answers each row's prompt is mismatched.
    pub mismatch: Mismatch,
    /// How the reference follows the policy; it stays as it was where nothing is said.
    pub moving: Option<MovingReference>,
    /// What is never learnt from, but looked at to know when to stop.
    pub held_out: Option<HeldOut>,
}

/// A reference that follows the policy (TR-DPO, Gorbatovski et al. 2024, arXiv 2404.09656): after every so many steps it
/// becomes mixup * policy + (1 - mixup) * reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MovingReference {
    /// After how many optimizer steps.
    pub every: usize,
    /// The share of the policy; 1 replaces the reference.
    pub mixup: f64,
}

/// What can be done to any loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Modifiers {
    /// Rows count more the likelier their answers are under the policy, up to this weight (WPO, Zhou et al. 2024, arXiv
    /// 2406.11827; at most 1 in the authors' code, without bound in TRL 1.16). All the same where there is none.
    pub weighting: Option<f64>,
    /// What tokens beyond the length of the shorter answer count (LD-DPO, Liu et al. 2024, arXiv 2409.06411); 1 for all.
    pub beyond_shared_length: f64,
    /// Over what the likelihood term is averaged.
    pub nll_mean: NllMean,
    /// Whether only right facts of chosen and wrong facts of rejected answers count (Mask-DPO, Gu et al. 2025, arXiv
    /// 2503.02846).
    pub facts_only: bool,
}

/// Over what the negative log-likelihood of chosen answers is averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NllMean {
    /// Over the tokens of each answer, then over answers: each answer counts the same.
    #[default]
    Answers,
    /// Over all answers' tokens in the batch: each token counts the same (TRL, for DPO with `sft` and for CPO).
    Tokens,
    /// Over all tokens of prompts and answers in the batch (TRL, for ORPO).
    Texts,
}

/// With whose answers a prompt is mismatched to learn how far the policy has moved by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// Those of the next row of the data with another prompt: the same ones whatever the batches.
    #[default]
    Fixed,
    /// Those of the row before in its batch, the first with the last (TRL).
    Batch,
}

/// Log-probabilities under the reference, in nats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reference {
    /// For each row, for each answer: of each token. Empty where no loss looks at it.
    pub answers: Vec<Vec<Vec<f32>>>,
    /// For a row's prompt with another row's answers: the sum over each answer.
    pub mismatched: BTreeMap<(usize, usize), Vec<f64>>,
}

/// What the policy thinks of a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PolicyView {
    /// For each answer: the log-probability of each token.
    pub answers: Vec<Vec<f32>>,
    /// The same for the prompt's tokens but the first, where the likelihood term covers them.
    pub prompt: Vec<f32>,
    /// For each answer and token: the logarithm of the sum of squared probabilities there; empty without weighting.
    pub collisions: Vec<Vec<f32>>,
    /// How many tokens of the first answer are the most probable ones.
    pub hits: usize,
    /// The sum of the entropies where the answers' tokens stand.
    pub entropy: f64,
    /// For each answer: the sum of the mean logits where its tokens stand.
    pub logits: Vec<f64>,
    /// What the reference thinks of the answers by now; empty where it stays as it was.
    pub reference: Vec<Vec<f32>>,
}

/// The derivative of a part's loss, and what was measured on the way.
pub(super) struct Derivative {
    /// For each row of the part, for each answer (and then the prompt, where it is scored): by each token.
    pub by_token: Vec<Vec<f32>>,
    /// In the order of [`MEASURED`]; already divided for accumulation.
    pub measured: Vec<f64>,
}

/// The names of what is measured at each step, in TRL's words.
pub(super) const MEASURED: [&str; 15] = [
    "loss",
    "num_tokens",
    "nll_loss",
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "logps/chosen",
    "logps/rejected",
    "mean_token_accuracy",
    "kl",
    "shift",
    "entropy",
    "logits/chosen",
    "logits/rejected",
];

/// The share of a log-probability that is rounding.
const ROUNDING: f64 = 1e-6;

impl Default for Modifiers {
    fn default() -> Self {
        Self { weighting: None, beyond_shared_length: 1.0, nll_mean: NllMean::default(), facts_only: false }
    }
}

impl Preference {
    /// Prompts with their answers, as the model sees them.
    pub(super) fn answered(&self, rows: &[usize]) -> Vec<Answered> {
        rows.iter().map(|row| self.rows[*row].answered(&self.rows[*row])).collect()
    }

    /// Whether prompts are scored too.
    pub(super) fn scores_prompts(&self) -> bool {
        self.objective.nll_weight > 0.0 && self.modifiers.nll_mean == NllMean::Texts
    }

    /// For each row of a batch: the row with whose answers its prompt is mismatched.
    pub(super) fn mismatches(&self, batch: &[usize]) -> Vec<(usize, usize)> {
        let partner = |place: usize| match self.mismatch {
            Mismatch::Batch => batch[(place + batch.len() - 1) % batch.len()],
            Mismatch::Fixed => self.partner(batch[place]),
        };
        (0..batch.len()).map(|place| (batch[place], partner(place))).collect()
    }

    /// The next row with another prompt; the row itself where there is none.
    fn partner(&self, row: usize) -> usize {
        let others = (1..self.rows.len()).map(|ahead| (row + ahead) % self.rows.len());
        others.into_iter().find(|other| self.rows[*other].prompt != self.rows[row].prompt).unwrap_or(row)
    }

    /// All mismatches that a run meets, each once.
    pub fn all_mismatches<'a>(&self, batches: impl Iterator<Item = &'a [usize]>) -> Vec<(usize, usize)> {
        let mut found: Vec<(usize, usize)> = batches.flat_map(|batch| self.mismatches(batch)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// A row's prompt with another row's answers.
    pub fn mismatched(&self, (row, other): (usize, usize)) -> Answered {
        self.rows[row].answered(&self.rows[other])
    }

    /// Sum and number of the rewards of rows.
    pub(super) fn rewards(&self, rows: &[Row]) -> (f64, f64) {
        let reward = |answer: &Scored| self.objective.reward(answer);
        rows.iter().fold((0.0, 0.0), |(sum, count), row| match row {
            Row::Pair { chosen, rejected, .. } => (sum + reward(chosen) + reward(rejected), count + 2.0),
            Row::Single { answer, .. } => (sum + reward(answer), count + 1.0),
        })
    }

    /// How far the policy has moved from the reference on mismatched answers: their mean log-ratio, at least 0, and the
    /// same by the facts that they state.
    pub(super) fn reference_points(
        &self,
        mismatches: &[(usize, usize)],
        policy: &[Vec<f64>],
        reference: &[Vec<f64>],
    ) -> [f64; 2] {
        let (mut sum, mut answers, mut by_fact, mut facts) = (0.0, 0.0, 0.0, 0.0);
        for ((mismatch, policy), reference) in mismatches.iter().zip(policy).zip(reference) {
            for (answer, (policy, reference)) in policy.iter().zip(reference).enumerate() {
                let stated = self.rows[mismatch.1].answers()[answer].facts.len() as f64;
                (sum, answers) = (sum + policy - reference, answers + 1.0);
                if stated > 0.0 {
                    (by_fact, facts) = (by_fact + policy - reference, facts + stated);
                }
            }
        }
        [(sum, answers), (by_fact, facts)].map(|(sum, count)| (sum / f64::max(count, 1.0)).max(0.0))
    }

    /// Rows as losses see them. `at_start`: as if the policy were the reference.
    pub(super) fn scored(&self, rows: &[usize], views: &[PolicyView], at_start: bool) -> Vec<Row> {
        let scored = |row: usize, answer: usize, view: &PolicyView| {
            let weights = self.weights(row, answer);
            let sum =
                |values: &[f32]| values.iter().zip(&weights).map(|(value, weight)| f64::from(*value) * weight).sum();
            let policy: f64 = sum(&view.answers[answer]);
            let reference = match self.reference_of(row, view) {
                Some(answers) => sum(&answers[answer]),
                None => policy,
            };
            let tokens = weights.len() as f64;
            Scored { policy: if at_start { reference } else { policy }, reference, tokens }
        };
        let row = |(row, view): (&usize, &PolicyView)| match &self.rows[*row].preference {
            TokenPreference::Pair(answers) => Row::Pair {
                chosen: scored(*row, 0, view),
                rejected: scored(*row, 1, view),
                wronger: f64::from(u8::from(answers[1].is_wrong)) - f64::from(u8::from(answers[0].is_wrong)),
            },
            TokenPreference::Desirable(_) => Row::Single { answer: scored(*row, 0, view), label: Label::Desirable },
            TokenPreference::Undesirable(_) => Row::Single { answer: scored(*row, 0, view), label: Label::Undesirable },
        };
        rows.iter().zip(views).map(row).collect()
    }

    /// What the reference thinks of a row's answers; none where no loss looks at it.
    pub(super) fn reference_of<'a>(&'a self, row: usize, view: &'a PolicyView) -> Option<&'a Vec<Vec<f32>>> {
        if view.reference.is_empty() { self.reference.answers.get(row) } else { Some(&view.reference) }
    }

    /// How far policy and reference are apart: the mean over the tokens of rows of the difference of their log-probabilities,
    /// as a share of one nat more than the reference's; 0 where there is no reference.
    pub(super) fn apart(&self, rows: &[usize], views: &[PolicyView]) -> f64 {
        let (mut sum, mut tokens) = (0.0, 0.0);
        for (row, view) in rows.iter().zip(views) {
            let Some(reference) = self.reference_of(*row, view) else { continue };
            let answers = view.answers.iter().flatten().zip(reference.iter().flatten());
            for (policy, reference) in answers.map(|(policy, reference)| (f64::from(*policy), f64::from(*reference))) {
                sum += (policy - reference).abs() / (1.0 + reference.abs());
                tokens += 1.0;
            }
        }
        sum / f64::max(tokens, 1.0)
    }

    /// What each token of an answer counts in the preference.
    fn weights(&self, row: usize, answer: usize) -> Vec<f64> {
        let answers = self.rows[row].answers();
        let shared = answers.iter().map(|answer| answer.tokens.len()).min().unwrap_or(0);
        let is_pair = answers.len() == 2;
        // In a chosen answer what is right counts, in a rejected one what is wrong.
        let is_better = answer == 0 && self.rows[row].has_desirable();
        let counts = |place: usize| {
            let counted = |fact: &TokenFact| fact.supported == is_better && fact.tokens.contains(&place);
            !self.modifiers.facts_only || answers[answer].facts.iter().any(counted)
        };
        let weight = |place: usize| match (counts(place), is_pair && place >= shared) {
            (false, _) => 0.0,
            (true, true) => self.modifiers.beyond_shared_length,
            (true, false) => 1.0,
        };
        (0..answers[answer].tokens.len()).map(weight).collect()
    }

    /// What a row's preference counts, with weighting by its likelihood under the policy.
    fn row_weight(&self, row: usize, view: &PolicyView) -> f64 {
        let Some(ceiling) = self.modifiers.weighting else { return self.rows[row].weight };
        let answers = view.answers.iter().zip(&view.collisions).map(|(policy, collisions)| {
            let relative = policy.iter().zip(collisions).map(|(policy, collision)| f64::from(policy - collision));
            (relative.sum::<f64>() / policy.len() as f64).exp()
        });
        // An answer of tokens that the policy is sure of has more than 1.
        self.rows[row].weight * answers.product::<f64>().min(ceiling)
    }

    /// The derivative of the part of a batch that begins at `first`, whose losses are known.
    pub(super) fn derivative(
        &self,
        batch: &[usize],
        first: usize,
        views: &[PolicyView],
        losses: &[RowLoss],
        statistics: &Statistics,
    ) -> Derivative {
        let rows = &batch[first..first + views.len()];
        let share = 1.0 / batch.len() as f64;
        let sums = BatchSums::new(&self.rows, batch, self.modifiers.nll_mean);
        let mut found = Derivative { by_token: Vec::new(), measured: vec![0.0; MEASURED.len()] };
        for ((row, view), loss) in rows.iter().zip(views).zip(losses) {
            let weight = self.row_weight(*row, view);
            let nll = sums.likelihood(&self.rows[*row], view);
            let nll_weight = self.objective.nll_weight * self.rows[*row].weight;
            for (answer, policy) in view.answers.iter().enumerate() {
                let by_nll = if answer == 0 { nll.by_token * nll_weight } else { 0.0 };
                let by_preference = share * weight * loss.by[answer];
                let weights = self.weights(*row, answer);
                debug_assert_eq!(weights.len(), policy.len());
                found.by_token.push(weights.iter().map(|weight| (by_preference * weight - by_nll) as f32).collect());
            }
            if self.scores_prompts() {
                let by_nll = (-nll.by_token * nll_weight) as f32;
                found.by_token.push(vec![by_nll; view.prompt.len()]);
            }
            found.measured[0] += share * weight * loss.value + nll_weight * nll.value;
            found.measured[2] += nll.value;
        }
        found.measured[0] += facts::add(self, batch, first, views, statistics, &mut found.by_token);
        self.measure(&sums, rows, views, &mut found.measured);
        // Said once a batch, so that it is to the bit what it was.
        let once = |is_measured, value| match (is_measured, first) {
            (false, _) => f64::NAN,
            (true, 0) => value,
            (true, _) => 0.0,
        };
        found.measured[10] = once(self.objective.needs_reference_point(), statistics.reference_point);
        found.measured[11] = once(self.objective.has_running_shift(), statistics.shift);
        found
    }

    /// Whether the chosen answer has the higher reward. The reference was computed side by side with other texts: what
    /// rounding of log-probabilities does is a tie.
    pub(super) fn is_ahead(&self, chosen: &Scored, rejected: &Scored) -> bool {
        let nats = match self.objective.needs_reference() {
            true => chosen.reference.abs() + rejected.reference.abs(),
            false => 0.0,
        };
        let rounding = ROUNDING * nats * self.objective.setting(Setting::Beta).unwrap_or(1.0);
        self.objective.reward(chosen) - self.objective.reward(rejected) > rounding
    }

    /// Adds what the part contributes to the batch's rewards, log-probabilities and counts.
    fn measure(&self, sums: &BatchSums, rows: &[usize], views: &[PolicyView], measured: &mut [f64]) {
        let reward = |answer: &Scored| self.objective.reward(answer);
        let log_probability = |answer: &Scored| self.objective.log_probability(answer);
        let (chosen_share, rejected_share) = (1.0 / sums.chosen, 1.0 / sums.rejected);
        // Which of two answers is ahead can be asked of pairs only.
        if sums.pairs == 0.0 {
            measured[6] = f64::NAN;
        }
        for (count, means) in [(sums.chosen, [2, 3, 7, 9, 13].as_slice()), (sums.rejected, &[4, 8, 5, 14])] {
            if count == 0.0 {
                means.iter().for_each(|mean| measured[*mean] = f64::NAN);
            }
        }
        for ((row, view), scored) in rows.iter().zip(views).zip(self.scored(rows, views, false)) {
            measured[1] += self.rows[*row].tokens() as f64;
            measured[12] += view.entropy / (sums.chosen_tokens + sums.rejected_tokens);
            let (chosen_logits, rejected_logits) = (1.0 / sums.chosen_tokens, 1.0 / sums.rejected_tokens);
            match scored {
                Row::Pair { chosen, rejected, .. } => {
                    measured[6] += f64::from(u8::from(self.is_ahead(&chosen, &rejected))) / sums.pairs;
                    measured[7] += chosen_share * log_probability(&chosen);
                    measured[8] += rejected_share * log_probability(&rejected);
                    let (chosen, rejected) = (reward(&chosen), reward(&rejected));
                    measured[3] += chosen_share * chosen;
                    measured[4] += rejected_share * rejected;
                    measured[5] += match sums.pairs == sums.chosen && sums.pairs == sums.rejected {
                        true => chosen_share * (chosen - rejected),
                        false => chosen_share * chosen - rejected_share * rejected,
                    };
                    measured[9] += view.hits as f64 / sums.chosen_tokens;
                    measured[13] += chosen_logits * view.logits[0];
                    measured[14] += rejected_logits * view.logits[1];
                }
                Row::Single { answer, label: Label::Desirable } => {
                    let reward = chosen_share * reward(&answer);
                    measured[3] += reward;
                    measured[5] += reward;
                    measured[7] += chosen_share * log_probability(&answer);
                    measured[9] += view.hits as f64 / sums.chosen_tokens;
                    measured[13] += chosen_logits * view.logits[0];
                }
                // The margin of a batch without pairs is that of the two means.
                Row::Single { answer, label: Label::Undesirable } => {
                    let reward = rejected_share * reward(&answer);
                    measured[4] += reward;
                    measured[5] -= reward;
                    measured[8] += rejected_share * log_probability(&answer);
                    measured[14] += rejected_logits * view.logits[0];
                }
            }
        }
    }
}

/// What a mean over a whole batch is divided by.
struct BatchSums {
    pairs: f64,
    chosen: f64,
    rejected: f64,
    chosen_tokens: f64,
    rejected_tokens: f64,
    prompt_tokens: f64,
    nll_mean: NllMean,
}

/// A row's part in the batch's likelihood term.
struct Likelihood {
    value: f64,
    /// How much each scored token of it counts.
    by_token: f64,
}

impl BatchSums {
    fn new(rows: &[TokenRow], batch: &[usize], nll_mean: NllMean) -> Self {
        let mut sums = Self {
            pairs: 0.0,
            chosen: 0.0,
            rejected: 0.0,
            chosen_tokens: 0.0,
            rejected_tokens: 0.0,
            prompt_tokens: 0.0,
            nll_mean,
        };
        for row in batch.iter().map(|row| &rows[*row]) {
            sums.pairs += f64::from(u8::from(row.has_desirable() && row.has_undesirable()));
            let tokens = |answer: Option<&TokenAnswer>| answer.map_or(0.0, |answer| answer.tokens.len() as f64);
            if row.has_desirable() {
                sums.chosen += 1.0;
                sums.chosen_tokens += tokens(row.answers().first());
                sums.prompt_tokens += row.prompt.len() as f64 - 1.0;
            }
            if row.has_undesirable() {
                sums.rejected += 1.0;
                sums.rejected_tokens += tokens(row.answers().last());
            }
        }
        sums
    }

    fn likelihood(&self, row: &TokenRow, view: &PolicyView) -> Likelihood {
        if !row.has_desirable() {
            return Likelihood { value: 0.0, by_token: 0.0 };
        }
        let by_token = match self.nll_mean {
            NllMean::Answers => 1.0 / (self.chosen * view.answers[0].len() as f64),
            NllMean::Tokens => 1.0 / self.chosen_tokens,
            NllMean::Texts => 1.0 / (self.chosen_tokens + self.prompt_tokens),
        };
        let prompt = if self.nll_mean == NllMean::Texts { view.prompt.as_slice() } else { &[] };
        let sum: f64 = view.answers[0].iter().chain(prompt).map(|value| f64::from(*value)).sum();
        Likelihood { value: -sum * by_token, by_token }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: a token of probability 0.9 beside one of 0.1 has 0.9 / (0.81 + 0.01), and the answers' means are multiplied.
    #[test]
    fn a_row_of_sure_tokens_has_no_weight_above_the_ceiling() {
        let weight = |ceiling: Option<f64>, probability: f64| {
            let preference = Preference {
                objective: Objective::plain("dpo", &[]).unwrap(),
                modifiers: Modifiers { weighting: ceiling, ..Modifiers::default() },
                rows: vec![TokenRow::new(vec![0], TokenPreference::Pair([vec![1, 2].into(), vec![3].into()]))],
                reference: Reference::default(),
                mismatch: Mismatch::Fixed,
                moving: None,
                held_out: None,
            };
            let [policy, collision] = [probability, 0.82].map(|value: f64| value.ln() as f32);
            let of_answers = |value: f32| vec![vec![value; 2], vec![value]];
            let view =
                PolicyView { answers: of_answers(policy), collisions: of_answers(collision), ..PolicyView::default() };
            preference.row_weight(0, &view)
        };
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        near(weight(Some(1.0), 0.9), 1.0);
        near(weight(Some(1e6), 0.9), (0.9f64 / 0.82).powi(2));
        near(weight(Some(1.0), 0.1), (0.1f64 / 0.82).powi(2));
        near(weight(None, 0.1), 1.0);
    }
}
