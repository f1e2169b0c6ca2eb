//! What preference tuning learns from, in tokens: pairs of answers, or single answers with labels, in batches.

use std::sync::Arc;

use super::{
    answered::Answered,
    trainer::{Batches, Microbatch},
};
use crate::seed::Seed;

/// An answer in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAnswer {
    /// Its tokens, the end token included.
    pub tokens: Vec<u32>,
    /// For each token whether the preference looks at it; all of them where there is nothing.
    pub counts: Option<Vec<bool>>,
    /// Whether it states anything wrong.
    pub is_wrong: bool,
}

/// What a row says of its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenRow {
    /// The first answer is better than the second.
    Pair {
        /// What was asked.
        prompt: Vec<u32>,
        /// The better answer and the worse one.
        answers: [TokenAnswer; 2],
    },
    /// An answer is desirable or is not.
    Single {
        /// What was asked.
        prompt: Vec<u32>,
        /// The answer.
        answer: TokenAnswer,
        /// Whether it is desirable.
        desirable: bool,
    },
}

/// Rows in the order in which they are learnt from: shuffled anew for each pass, cut into parts where gradients are
/// accumulated.
pub struct RowBatches {
    /// All passes after each other.
    order: Vec<Arc<[usize]>>,
    accumulation: usize,
}

impl From<Vec<u32>> for TokenAnswer {
    fn from(tokens: Vec<u32>) -> Self {
        Self { tokens, counts: None, is_wrong: false }
    }
}

impl TokenRow {
    /// What was asked.
    pub fn prompt(&self) -> &[u32] {
        match self {
            Self::Pair { prompt, .. } | Self::Single { prompt, .. } => prompt,
        }
    }

    /// Its answers.
    pub fn answers(&self) -> &[TokenAnswer] {
        match self {
            Self::Pair { answers, .. } => answers,
            Self::Single { answer, .. } => std::slice::from_ref(answer),
        }
    }

    /// The same, mutable.
    pub fn answers_mut(&mut self) -> &mut [TokenAnswer] {
        match self {
            Self::Pair { answers, .. } => answers,
            Self::Single { answer, .. } => std::slice::from_mut(answer),
        }
    }

    /// Its prompt with its answers, or with those of another row.
    pub fn answered(&self, answers_of: &Self) -> Answered {
        let answers = answers_of.answers().iter().map(|answer| answer.tokens.clone()).collect();
        Answered { prompt: self.prompt().to_vec(), answers }
    }

    /// Tokens that the model reads, the prompt once for each answer.
    pub fn tokens(&self) -> usize {
        self.answers().iter().map(|answer| self.prompt().len() + answer.tokens.len() - 1).sum()
    }

    /// Keeps at most so many tokens of prompt and longest answer: the prompt loses its first tokens before an answer loses
    /// its last ones, and neither becomes empty. Says whether anything was cut.
    pub fn truncate(&mut self, max_length: usize) -> bool {
        let longest = self.answers().iter().map(|answer| answer.tokens.len()).max().unwrap_or(0);
        // The last token of an answer is predicted, but never read.
        let excess = (self.prompt().len() + longest).saturating_sub(max_length + 1);
        if excess == 0 {
            return false;
        }
        let prompt = match self {
            Self::Pair { prompt, .. } | Self::Single { prompt, .. } => prompt,
        };
        prompt.drain(..excess.min(prompt.len() - 1));
        let room = (max_length + 1).saturating_sub(self.prompt().len()).max(1);
        for answer in self.answers_mut() {
            answer.tokens.truncate(room);
            answer.counts.iter_mut().for_each(|counts| counts.truncate(room));
        }
        true
    }
}

impl RowBatches {
    /// `passes` times all rows (a part of a pass is right), in batches of `batch`, each in `accumulation` parts; shuffled
    /// where there is a seed for it.
    pub fn new(rows: usize, passes: f64, batch: usize, accumulation: usize, shuffle: Option<&Seed>) -> Self {
        let wanted = (passes * rows as f64).round() as usize;
        let mut sequence: Vec<usize> = Vec::with_capacity(wanted);
        let mut pass = 0;
        while sequence.len() < wanted && rows > 0 {
            let mut indices: Vec<usize> = (0..rows).collect();
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
        let cut = |part: usize| batch.len() * part / self.accumulation;
        let (from, to) = (cut(part), cut(part + 1));
        Microbatch::Rows { step, rows: from..to, batch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(prompt: usize, chosen: usize, rejected: usize) -> TokenRow {
        let tokens = |count: usize| (0..count as u32).collect::<Vec<u32>>();
        TokenRow::Pair { prompt: tokens(prompt), answers: [tokens(chosen).into(), tokens(rejected).into()] }
    }

    fn lengths(row: &TokenRow) -> [usize; 3] {
        let answers = row.answers();
        [row.prompt().len(), answers[0].tokens.len(), answers[1].tokens.len()]
    }

    #[test]
    fn parts_make_up_the_batch_and_batches_the_pass() {
        let batches = RowBatches::new(10, 1.5, 4, 3, Some(&Seed::root(1)));
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
        let plain = RowBatches::new(5, 1.0, 2, 1, None);
        assert_eq!(plain.order().collect::<Vec<_>>(), [vec![0, 1], vec![2, 3], vec![4]]);
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
            assert_eq!(row.truncate(max_length), before != after);
            assert_eq!(lengths(&row), after);
            assert_eq!(*row.prompt().last().unwrap() as usize, before[0] - 1, "a prompt loses its first tokens");
        }
    }
}
