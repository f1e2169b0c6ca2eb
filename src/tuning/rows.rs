//! What preference tuning learns from, in tokens: pairs of answers, or single answers with labels, in batches.

use std::{ops::Range, sync::Arc};

use super::{
    answered::Answered,
    trainer::{Batches, Microbatch},
};
use crate::seed::Seed;

/// An answer in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenAnswer {
    /// Its tokens, the end token included.
    pub tokens: Vec<u32>,
    /// What it states, where that is known and looked at.
    pub facts: Vec<TokenFact>,
    /// Whether it states anything wrong.
    pub is_wrong: bool,
}

/// A fact that an answer states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFact {
    /// In which of its tokens.
    pub tokens: Range<usize>,
    /// Whether it is right.
    pub supported: bool,
}

/// A row of preference data.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenRow {
    /// What was asked.
    pub prompt: Vec<u32>,
    /// What is said of its answers.
    pub preference: TokenPreference,
    /// What the row's loss counts; 1 where nothing is said.
    pub weight: f64,
}

/// What a row says of its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenPreference {
    /// The first answer is better than the second.
    Pair([TokenAnswer; 2]),
    /// An answer is desirable.
    Desirable(TokenAnswer),
    /// An answer is not.
    Undesirable(TokenAnswer),
}

/// Rows in the order in which they are learnt from: shuffled anew for each pass, cut into parts where gradients are
/// accumulated.
pub struct RowBatches {
    /// All passes after each other.
    order: Vec<Arc<[usize]>>,
    accumulation: usize,
}

/// What a row loses that is too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truncation {
    /// The first tokens of its prompt, and only then the last ones of its answers.
    #[default]
    Prompt,
    /// The last tokens of its answers; a row whose prompt leaves no room for any is left out (TRL's `keep_start`).
    Answers,
}

impl From<Vec<u32>> for TokenAnswer {
    fn from(tokens: Vec<u32>) -> Self {
        Self { tokens, ..Self::default() }
    }
}

impl TokenAnswer {
    /// Keeps at most so many of its first tokens, and the facts that begin in them.
    fn keep(&mut self, room: usize) {
        self.tokens.truncate(room);
        self.facts.retain(|fact| fact.tokens.start < room);
        self.facts.iter_mut().for_each(|fact| fact.tokens.end = fact.tokens.end.min(room));
    }
}

impl TokenRow {
    /// A row that counts as much as any other.
    pub fn new(prompt: Vec<u32>, preference: TokenPreference) -> Self {
        Self { prompt, preference, weight: 1.0 }
    }

    /// Its answers.
    pub fn answers(&self) -> &[TokenAnswer] {
        match &self.preference {
            TokenPreference::Pair(answers) => answers,
            TokenPreference::Desirable(answer) | TokenPreference::Undesirable(answer) => std::slice::from_ref(answer),
        }
    }

    /// The same, mutable.
    pub fn answers_mut(&mut self) -> &mut [TokenAnswer] {
        match &mut self.preference {
            TokenPreference::Pair(answers) => answers,
            TokenPreference::Desirable(answer) | TokenPreference::Undesirable(answer) => std::slice::from_mut(answer),
        }
    }

    /// Whether its (first) answer is to become likelier.
    pub fn has_desirable(&self) -> bool {
        !matches!(self.preference, TokenPreference::Undesirable(_))
    }

    /// Whether it has an answer that is to become less likely.
    pub fn has_undesirable(&self) -> bool {
        !matches!(self.preference, TokenPreference::Desirable(_))
    }

    /// Its prompt with its answers, or with those of another row.
    pub fn answered(&self, answers_of: &Self) -> Answered {
        let answers = answers_of.answers().iter().map(|answer| answer.tokens.clone()).collect();
        Answered { prompt: self.prompt.clone(), answers }
    }

    /// Tokens that the model reads, the prompt once for each answer.
    pub fn tokens(&self) -> usize {
        let read = |answer: &TokenAnswer| self.prompt.len() + answer.tokens.len().saturating_sub(1);
        self.answers().iter().map(read).sum()
    }

    /// Keeps at most so many tokens of prompt with each answer: answers lose their last ones, the prompt none. Says whether
    /// something is left of them.
    pub fn truncate_answers(&mut self, max_length: usize) -> bool {
        let room = max_length.saturating_sub(self.prompt.len());
        self.answers_mut().iter_mut().for_each(|answer| answer.keep(room));
        room > 0
    }

    /// Keeps at most so many tokens of prompt and longest answer: the prompt loses its first tokens (but not `begin`, which
    /// begins a text) before an answer loses its last ones, and neither becomes empty. Says whether anything was cut.
    pub fn truncate(&mut self, max_length: usize, begin: Option<u32>) -> bool {
        let longest = self.answers().iter().map(|answer| answer.tokens.len()).max().unwrap_or(0);
        // The last token of an answer is predicted, but never read.
        let excess = (self.prompt.len() + longest).saturating_sub(max_length + 1);
        if excess == 0 {
            return false;
        }
        // What begins a text must begin what is left of it.
        let kept = usize::from(max_length > 1 && begin.is_some() && self.prompt.first().copied() == begin);
        self.prompt.drain(kept..kept + excess.min(self.prompt.len().saturating_sub(1 + kept)));
        let room = (max_length + 1).saturating_sub(self.prompt.len()).max(1);
        self.answers_mut().iter_mut().for_each(|answer| answer.keep(room));
        true
    }
}

impl RowBatches {
    /// `passes` times these rows (a part of a pass is right), in batches of `batch`, each in `accumulation` parts; shuffled
    /// where there is a seed for it.
    pub fn new(rows: &[usize], passes: f64, batch: usize, accumulation: usize, shuffle: Option<&Seed>) -> Self {
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
        Self { order: sequence.chunks(batch).map(Arc::from).collect(), accumulation }
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
        let batch = self.order[step].clone();
        // Rounded up: where there are fewer rows than parts, the first part has one, and empty ones come last.
        let cut = |part: usize| (batch.len() * part).div_ceil(self.accumulation);
        let (from, to) = (cut(part), cut(part + 1));
        Microbatch::Rows { step, rows: from..to, batch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(prompt: usize, chosen: usize, rejected: usize) -> TokenRow {
        let tokens = |count: usize| (0..count as u32).collect::<Vec<u32>>();
        TokenRow::new(tokens(prompt), TokenPreference::Pair([tokens(chosen).into(), tokens(rejected).into()]))
    }

    fn lengths(row: &TokenRow) -> [usize; 3] {
        let answers = row.answers();
        [row.prompt.len(), answers[0].tokens.len(), answers[1].tokens.len()]
    }

    #[test]
    fn parts_make_up_the_batch_and_batches_the_pass() {
        let batches = RowBatches::new(&(0..10).collect::<Vec<_>>(), 1.5, 4, 3, Some(&Seed::root(1)));
        assert_eq!(batches.steps(), 4, "15 rows in batches of 4");
        let mut seen = Vec::new();
        for step in 0..batches.steps() {
            for part in 0..3 {
                let Microbatch::Rows { rows, batch, .. } = batches.microbatch(step, part) else { unreachable!() };
                seen.extend_from_slice(&batch[rows]);
            }
        }
        assert_eq!(seen.len(), 15);
        seen[..10].sort_unstable();
        assert_eq!(seen[..10], (0..10).collect::<Vec<usize>>(), "the first pass has every row once");
        let plain = RowBatches::new(&[0, 1, 2, 3, 4], 1.0, 2, 1, None);
        assert_eq!(plain.order().collect::<Vec<_>>(), [vec![0, 1], vec![2, 3], vec![4]]);
    }

    /// Batches of fewer rows than parts, as the last one of a pass often is: the first part has a row, and no other part
    /// begins at 0, since what is done once a batch is done there.
    #[test]
    fn the_first_part_of_a_batch_is_never_empty() {
        let batches = RowBatches::new(&[7], 1.0, 8, 4, None);
        let parts = |part| match batches.microbatch(0, part) {
            Microbatch::Rows { rows, .. } => rows,
            Microbatch::Documents { .. } => unreachable!(),
        };
        assert_eq!((0..4).map(parts).collect::<Vec<_>>(), [0..1, 1..1, 1..1, 1..1]);
    }

    proptest::proptest! {
        /// Whatever the numbers: every pass has every row once, every batch but the last is full, and its parts make it up
        /// in order, of which only the first begins at 0.
        #[test]
        fn every_row_comes_once_a_pass(count in 1usize..40, batch in 1usize..50, parts in 1usize..12, passes in 0.1f64..3.0, seed: u64) {
            let numbers: Vec<usize> = (0..count).map(|row| 3 * row + 1).collect();
            let batches = RowBatches::new(&numbers, passes, batch, parts, Some(&Seed::root(seed)));
            let mut seen = Vec::new();
            for step in 0..batches.steps() {
                let mut at = 0;
                for part in 0..parts {
                    let Microbatch::Rows { rows, batch: all, .. } = batches.microbatch(step, part) else { unreachable!() };
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

        /// Whatever the lengths: what is left fits, nothing is empty, prompts keep their last tokens and answers their first,
        /// an answer is cut only where the prompt has given all it can, and facts stay inside their answers.
        #[test]
        fn what_is_cut_fits(prompt in 1usize..60, chosen in 1usize..60, rejected in 1usize..60, most in 1usize..80, has_begin: bool) {
            let mut row = pair(prompt, chosen, rejected);
            row.answers_mut()[0].facts = vec![TokenFact { tokens: chosen - 1..chosen, supported: true }];
            let was_cut = row.truncate(most, has_begin.then_some(0));
            let [kept, first, second] = lengths(&row);
            proptest::prop_assert_eq!(was_cut, [kept, first, second] != [prompt, chosen, rejected]);
            proptest::prop_assert!(kept >= 1 && first >= 1 && second >= 1);
            proptest::prop_assert!(kept + first.max(second) - 1 <= most, "{kept} {first} {second}");
            proptest::prop_assert_eq!(*row.prompt.last().unwrap() as usize, prompt - 1);
            proptest::prop_assert!([first, second] == [chosen, rejected] || kept <= 2);
            for (answer, before) in row.answers().iter().zip([chosen, rejected]) {
                proptest::prop_assert!(answer.tokens.iter().enumerate().all(|(place, token)| place == *token as usize));
                proptest::prop_assert!(answer.tokens.len() <= before);
                proptest::prop_assert!(answer.facts.iter().all(|fact| fact.tokens.end <= answer.tokens.len()));
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
            assert_eq!(*row.prompt.last().unwrap() as usize, before[0] - 1, "a prompt loses its first tokens");
        }
        // TRL's `keep_start`: prompt and answer together, each answer by itself.
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
        assert_eq!((row.prompt[0], row.prompt[1], lengths(&row)), (0, 16, [5, 4, 3]), "its beginning stays");
        assert!(row.truncate(2, Some(0)));
        assert_eq!((row.prompt.as_slice(), lengths(&row)), (&[0, 19][..], [2, 1, 1]));
        assert_eq!(row.answers()[0].facts[0].tokens, 0..1);
    }
}
