//! Lengths of the texts in files that stages will read, in tokens.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::{Path, PathBuf},
};

use crate::{
    context::file_of,
    model::{Encoder, ModelConfig},
    rows::{PreferenceRow, json_lines},
};

/// Bytes of a token where no tokenizer exists yet: about those of English text.
const BYTES_OF_A_TOKEN: usize = 4;

/// Lengths of texts that were read, and the tokenizers that count them.
#[derive(Default)]
pub struct TextSizes {
    tokenizers: BTreeMap<PathBuf, Option<Encoder>>,
    rows: BTreeMap<(PathBuf, Option<PathBuf>, usize), Option<LongestRows>>,
}

/// The longest rows of a file of preference data.
#[derive(Clone, Debug, Default)]
pub(super) struct LongestRows {
    /// Tokens of their prompts and completions.
    pub(super) lengths: Vec<(usize, Vec<usize>)>,
    /// Number of all rows.
    pub(super) all: usize,
}

impl TextSizes {
    /// The longest rows of preference data; none if they cannot be read.
    pub(super) fn longest_rows(
        &mut self,
        pairs: &Path,
        count: usize,
        model: Option<(&Path, &ModelConfig)>,
    ) -> Option<LongestRows> {
        let folder = model.map(|(folder, _)| folder.to_owned());
        let key = (pairs.to_owned(), folder, count);
        if let Some(known) = self.rows.get(&key) {
            return known.clone();
        }
        let found = self.read_longest(pairs, count, model);
        self.rows.insert(key, found.clone());
        found
    }

    fn read_longest(
        &mut self,
        pairs: &Path,
        count: usize,
        model: Option<(&Path, &ModelConfig)>,
    ) -> Option<LongestRows> {
        let rows = json_lines::lines::<PreferenceRow>(&file_of(pairs, "pairs.jsonl")).ok()?;
        let (mut longest, mut all) = (Vec::new(), 0);
        for line in rows {
            let row = line.ok()?.row;
            let answers = row.answers().iter().map(|answer| answer.content.text());
            longest.push((row.prompt.text(), answers.collect::<Vec<String>>()));
            all += 1;
            // A few more than needed, so that not every row sorts them.
            if longest.len() > 2 * count {
                keep_longest(&mut longest, count);
            }
        }
        keep_longest(&mut longest, count);
        let lengths = longest.iter().map(|(prompt, answers)| {
            let answers = answers.iter().map(|answer| self.tokens(answer, model));
            let answers: Vec<usize> = answers.collect();
            (self.tokens(prompt, model), answers)
        });
        Some(LongestRows { lengths: lengths.collect(), all })
    }

    /// The tokens of a text, by the model's tokenizer if it exists.
    pub(super) fn tokens(&mut self, text: &str, model: Option<(&Path, &ModelConfig)>) -> usize {
        let counted = model.and_then(|(folder, config)| {
            let tokenizer = match self.tokenizers.entry(folder.to_owned()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Encoder::load(folder, config).ok()),
            };
            let tokens = tokenizer.as_ref()?.tokenizer.encode_continuation(text);
            tokens.ok().map(|tokens| tokens.len())
        });
        counted.unwrap_or_else(|| text.len().div_ceil(BYTES_OF_A_TOKEN))
    }
}

/// Keeps the rows with most bytes.
fn keep_longest(rows: &mut Vec<(String, Vec<String>)>, count: usize) {
    let bytes = |(prompt, answers): &(String, Vec<String>)| {
        prompt.len() + answers.iter().map(String::len).sum::<usize>()
    };
    rows.sort_by_key(|row| std::cmp::Reverse(bytes(row)));
    rows.truncate(count);
}
