//! Tokenized preference data: pairs and single labelled completions, in batches.

use std::{ops::Range, sync::Arc};

use super::{
    protocol::{Batches, Microbatch},
    tokenized::TokenizedExample,
};
use crate::seed::Seed;

/// A completion in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenAnswer {
    /// Its tokens, EOS included.
    pub tokens: Vec<u32>,
    /// Its facts, where known and needed.
    pub facts: Vec<TokenFact>,
    /// Whether it has an unsupported fact.
    pub is_wrong: bool,
}

/// A fact that a completion states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFact {
    /// The range of its tokens.
    pub tokens: Range<usize>,
    /// Whether it is supported.
    pub supported: bool,
}

/// A row of preference data.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenRow {
    /// Tokens of the prompt.
    pub prompt: Vec<u32>,
    /// Its completions with their labels.
    pub preference: TokenPreference,
    /// Weight of the row in the loss [default: 1].
    pub weight: f64,
}

/// The completions of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenPreference {
    /// The first completion is chosen, the second rejected.
    Pair([TokenAnswer; 2]),
    /// One completion that should become more probable.
    Desirable(TokenAnswer),
    /// One completion that should become less probable.
    Undesirable(TokenAnswer),
}

/// Rows in training order: shuffled in each pass, split into microbatches for gradient
/// accumulation.
pub struct RowBatches {
    /// All passes, one after the other.
    order: Vec<Arc<[usize]>>,
    accumulation: usize,
}

/// How rows beyond the maximum length are truncated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Truncation {
    /// Cut the start of the prompt first, then the end of completions.
    #[default]
    Prompt,
    /// Cut the end of completions; drop a row whose prompt leaves no room for one (TRL's
    /// `keep_start`).
    KeepStart,
}

impl From<Vec<u32>> for TokenAnswer {
    fn from(tokens: Vec<u32>) -> Self {
        Self { tokens, ..Self::default() }
    }
}

impl TokenAnswer {
    /// Keeps at most this many of its first tokens, and the facts that begin in them.
    fn keep(&mut self, room: usize) {
        self.tokens.truncate(room);
        self.facts.retain(|fact| fact.tokens.start < room);
        self.facts.iter_mut().for_each(|fact| fact.tokens.end = fact.tokens.end.min(room));
    }
}

impl TokenRow {
    /// A row with weight 1 and without facts.
    pub fn new(prompt: Vec<u32>, preference: TokenPreference) -> Self {
        Self { prompt, preference, weight: 1.0 }
    }

    /// Its completions: two of a pair, otherwise one.
    pub fn answers(&self) -> &[TokenAnswer] {
        match &self.preference {
            TokenPreference::Pair(answers) => answers,
            TokenPreference::Desirable(answer) | TokenPreference::Undesirable(answer) => {
                std::slice::from_ref(answer)
            }
        }
    }

    /// Its completions, to be changed in place.
    pub fn answers_mut(&mut self) -> &mut [TokenAnswer] {
        match &mut self.preference {
            TokenPreference::Pair(answers) => answers,
            TokenPreference::Desirable(answer) | TokenPreference::Undesirable(answer) => {
                std::slice::from_mut(answer)
            }
        }
    }

    /// Whether its (first) completion should become more probable.
    pub fn has_desirable(&self) -> bool {
        !matches!(self.preference, TokenPreference::Undesirable(_))
    }

    /// Whether it has a completion that should become less probable.
    pub fn has_undesirable(&self) -> bool {
        !matches!(self.preference, TokenPreference::Desirable(_))
    }

    /// Its prompt with its own completions, or with those of another row.
    pub fn tokenized(&self, answers_of: &Self) -> TokenizedExample {
        let completions = answers_of.answers().iter().map(|answer| answer.tokens.clone()).collect();
        TokenizedExample { prompt: self.prompt.clone(), completions }
    }

    /// Tokens that the model reads, with the prompt counted once per completion.
    pub fn tokens(&self) -> usize {
        // The last token of a completion is predicted, but never read.
        let read = self.answers().iter().map(|answer| answer.tokens.len().saturating_sub(1));
        read.map(|read| self.prompt.len() + read).sum()
    }

    /// Limits prompt plus each completion to this many tokens by cutting the end of completions.
    /// Returns whether something is left of them.
    pub fn truncate_answers(&mut self, max_length: usize) -> bool {
        let room = max_length.saturating_sub(self.prompt.len());
        self.answers_mut().iter_mut().for_each(|answer| answer.keep(room));
        room > 0
    }

    /// Limits prompt plus longest completion to this many tokens: cuts the start of the prompt
    /// (except `begin`, the BOS) before the end of a completion, and empties neither. Returns
    /// whether anything was cut.
    pub fn truncate(&mut self, max_length: usize, begin: Option<u32>) -> bool {
        let longest = self.answers().iter().map(|answer| answer.tokens.len()).max().unwrap_or(0);
        // The last token of a completion is predicted, but never read.
        let excess = (self.prompt.len() + longest).saturating_sub(max_length + 1);
        if excess == 0 {
            return false;
        }
        // BOS stays at the beginning of a shortened prompt.
        let kept =
            usize::from(max_length > 1 && begin.is_some() && self.prompt.first().copied() == begin);
        self.prompt.drain(kept..kept + excess.min(self.prompt.len().saturating_sub(1 + kept)));
        let room = (max_length + 1).saturating_sub(self.prompt.len()).max(1);
        self.answers_mut().iter_mut().for_each(|answer| answer.keep(room));
        true
    }
}

impl RowBatches {
    /// `passes` passes over these rows (may be fractional), in batches of `batch`, each in
    /// `accumulation` microbatches; shuffled if a seed is given.
    pub fn new(
        rows: &[usize],
        passes: f64,
        batch: usize,
        accumulation: usize,
        shuffle: Option<&Seed>,
    ) -> Self {
        // The last pass may be a part of one; each has an order of its own.
        let wanted = (passes * rows.len() as f64).round() as usize;
        let mut sequence: Vec<usize> = Vec::with_capacity(wanted);
        let mut pass = 0;
        while sequence.len() < wanted && !rows.is_empty() {
            let mut indices = rows.to_vec();
            if let Some(seed) = shuffle {
                seed.split(&format!("pass {pass}")).stream().shuffle(&mut indices);
            }
            sequence.extend(indices);
            pass += 1;
        }
        sequence.truncate(wanted);
        let order: Vec<Arc<[usize]>> = sequence.chunks(batch).map(Arc::from).collect();
        // No batch is longer than the first, so further microbatches would all be empty.
        let accumulation = accumulation.min(order.first().map_or(1, |batch| batch.len()));
        Self { order, accumulation }
    }

    /// The rows of each batch.
    pub fn order(&self) -> impl Iterator<Item = &[usize]> {
        self.order.iter().map(|batch| &**batch)
    }
}

impl Batches for RowBatches {
    fn steps(&self) -> usize {
        self.order.len()
    }

    fn accumulation(&self) -> usize {
        self.accumulation
    }

    fn microbatch(&self, step: usize, part: usize) -> Microbatch {
        let batch = Arc::clone(&self.order[step]);
        // Rounded up: with fewer rows than microbatches, the first one has a row, and empty ones
        // come last.
        let [from, to] =
            [part, part + 1].map(|part| (batch.len() * part).div_ceil(self.accumulation));
        Microbatch::Rows { step, rows: from..to, batch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(prompt: usize, chosen: usize, rejected: usize) -> TokenRow {
        let tokens = |count: usize| (0..count as u32).collect::<Vec<u32>>();
        TokenRow::new(
            tokens(prompt),
            TokenPreference::Pair([tokens(chosen).into(), tokens(rejected).into()]),
        )
    }

    fn lengths(row: &TokenRow) -> [usize; 3] {
        let answers = row.answers();
        [row.prompt.len(), answers[0].tokens.len(), answers[1].tokens.len()]
    }

    #[test]
    fn parts_make_up_the_batch_and_batches_the_pass() {
        let batches =
            RowBatches::new(&(0..10).collect::<Vec<_>>(), 1.5, 4, 3, Some(&Seed::root(1)));
        assert_eq!(batches.steps(), 4, "15 rows in batches of 4");
        let mut seen = Vec::new();
        for step in 0..batches.steps() {
            for part in 0..3 {
                let Microbatch::Rows { rows, batch, .. } = batches.microbatch(step, part) else {
                    unreachable!()
                };
                seen.extend_from_slice(&batch[rows]);
            }
        }
        assert_eq!(seen.len(), 15);
        seen[..10].sort_unstable();
        assert_eq!(
            seen[..10],
            (0..10).collect::<Vec<usize>>(),
            "the first pass has every row once"
        );
        let plain = RowBatches::new(&[0, 1, 2, 3, 4], 1.0, 2, 1, None);
        assert_eq!(plain.order().collect::<Vec<_>>(), [vec![0, 1], vec![2, 3], vec![4]]);
    }

    #[test]
    fn there_are_no_more_microbatches_than_rows() {
        let batches = RowBatches::new(&[0, 1, 2], 1.0, 1 << 40, 1 << 20, None);
        assert_eq!((batches.steps(), batches.accumulation()), (1, 3));
        assert_eq!(RowBatches::new(&[], 1.0, 8, 4, None).accumulation(), 1);
    }

    /// The last batch of a pass may have fewer rows than microbatches: the first microbatch has a
    /// row, and no other begins at 0, since work per batch is done there.
    #[test]
    fn the_first_part_of_a_batch_is_never_empty() {
        let batches = RowBatches::new(&(0..9).collect::<Vec<_>>(), 1.0, 8, 4, None);
        let parts = |part| match batches.microbatch(1, part) {
            Microbatch::Rows { rows, .. } => rows,
            Microbatch::Documents { .. } => unreachable!(),
        };
        assert_eq!((0..4).map(parts).collect::<Vec<_>>(), [0..1, 1..1, 1..1, 1..1]);
    }

    proptest::proptest! {
        /// For all sizes: every pass has every row once, every batch but the last is full, and its
        /// microbatches cover it in order; only the first begins at 0.
        #[test]
        fn every_row_comes_once_a_pass(
            count in 1usize..40,
            batch in 1usize..50,
            parts in 1usize..12,
            passes in 0.1f64..3.0,
            seed: u64,
        ) {
            let numbers: Vec<usize> = (0..count).map(|row| 3 * row + 1).collect();
            let batches = RowBatches::new(&numbers, passes, batch, parts, Some(&Seed::root(seed)));
            let mut seen = Vec::new();
            for step in 0..batches.steps() {
                let mut at = 0;
                for part in 0..batches.accumulation() {
                    let Microbatch::Rows { rows, batch: all, .. } = batches.microbatch(step, part)
                    else {
                        unreachable!()
                    };
                    proptest::prop_assert_eq!(rows.start, at);
                    proptest::prop_assert_eq!(rows.start == 0, part == 0);
                    at = rows.end;
                    seen.extend_from_slice(&all[rows]);
                }
                let full = batches.order().nth(step).unwrap().len();
                proptest::prop_assert_eq!(at, full);
                proptest::prop_assert!(full == batch || step + 1 == batches.steps());
            }
            proptest::prop_assert_eq!(seen.len(), (passes * count as f64).round() as usize);
            for pass in seen.chunks(count) {
                let mut pass = pass.to_vec();
                pass.sort_unstable();
                pass.dedup();
                proptest::prop_assert!(pass.iter().all(|row| numbers.contains(row)));
                proptest::prop_assert!(pass.len() == count || seen.len() % count == pass.len());
            }
        }

        /// For all lengths: the rest fits, nothing is empty, prompts keep their last tokens and
        /// completions their first, a completion is cut only where the prompt has been cut as far
        /// as possible, and facts stay inside their completions.
        #[test]
        fn what_is_cut_fits(
            prompt in 1usize..60,
            chosen in 1usize..60,
            rejected in 1usize..60,
            most in 1usize..80,
            has_begin: bool,
        ) {
            let mut row = pair(prompt, chosen, rejected);
            row.answers_mut()[0].facts =
                vec![TokenFact { tokens: chosen - 1..chosen, supported: true }];
            let was_cut = row.truncate(most, has_begin.then_some(0));
            let [kept, first, second] = lengths(&row);
            proptest::prop_assert_eq!(was_cut, [kept, first, second] != [prompt, chosen, rejected]);
            proptest::prop_assert!(kept >= 1 && first >= 1 && second >= 1);
            proptest::prop_assert!(kept + first.max(second) - 1 <= most, "{kept} {first} {second}");
            proptest::prop_assert_eq!(*row.prompt.last().unwrap() as usize, prompt - 1);
            proptest::prop_assert!([first, second] == [chosen, rejected] || kept <= 2);
            for (answer, before) in row.answers().iter().zip([chosen, rejected]) {
                let mut tokens = answer.tokens.iter().enumerate();
                proptest::prop_assert!(tokens.all(|(place, token)| place == *token as usize));
                proptest::prop_assert!(answer.tokens.len() <= before);
                let length = answer.tokens.len();
                proptest::prop_assert!(answer.facts.iter().all(|fact| fact.tokens.end <= length));
            }
            proptest::prop_assert!(!row.clone().truncate(most, has_begin.then_some(0)));
        }
    }

    /// The cases of TRL's issue 6548, among others; lengths of prompt, chosen and rejected.
    #[test]
    fn the_prompt_is_cut_before_an_answer_and_nothing_becomes_empty() {
        for (before, max_length, after) in [
            ([20, 40, 30], 50, [11, 40, 30]),
            ([20, 5000, 600], 2048, [1, 2048, 600]),
            ([20, 40, 30], 59, [20, 40, 30]),
            ([5, 3, 3], 1, [1, 1, 1]),
            ([100, 2, 9], 20, [12, 2, 9]),
        ] {
            let mut row = pair(before[0], before[1], before[2]);
            assert_eq!(row.truncate(max_length, None), before != after);
            assert_eq!(lengths(&row), after);
            assert_eq!(
                *row.prompt.last().unwrap() as usize,
                before[0] - 1,
                "a prompt loses its first tokens"
            );
        }
        // TRL's `keep_start`: prompt and completion together, separately for each completion.
        for (before, max_length, after) in [
            ([20, 40, 30], 50, [20, 30, 30]),
            ([20, 40, 10], 50, [20, 30, 10]),
            ([20, 40, 30], 59, [20, 39, 30]),
            ([20, 40, 30], 20, [20, 0, 0]),
        ] {
            let mut row = pair(before[0], before[1], before[2]);
            assert_eq!(row.truncate_answers(max_length), after[1] > 0);
            assert_eq!(lengths(&row), after);
        }
        let mut row = pair(20, 4, 3);
        row.answers_mut()[0].facts = vec![TokenFact { tokens: 0..2, supported: true }];
        assert!(row.truncate(8, Some(0)));
        assert_eq!(
            (row.prompt[0], row.prompt[1], lengths(&row)),
            (0, 16, [5, 4, 3]),
            "its beginning stays"
        );
        assert!(row.truncate(2, Some(0)));
        assert_eq!((row.prompt.as_slice(), lengths(&row)), (&[0, 19][..], [2, 1, 1]));
        assert_eq!(row.answers()[0].facts[0].tokens, 0..1);
    }
}
