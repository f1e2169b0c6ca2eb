//! Preference data as training reads them: rows of a file become tokens.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Context, StageError};
use crate::{
    language::{Content, json_lines},
    model::{EncodeError, Encoder},
    tuning::{TokenAnswer, TokenRow},
};

/// A row of a file of preferences: a pair, or an answer with its label.
enum FileRow {
    Pair {
        prompt: Content,
        answers: [Content; 2],
        /// Whether each states anything wrong, where scores say so.
        is_wrong: [bool; 2],
    },
    Single {
        prompt: Content,
        completion: Content,
        label: bool,
    },
}

/// Rows in tokens, each answer with its end; what does not fit is cut, prompts first, and counted aloud.
pub(super) fn token_rows(
    context: &Context,
    encoder: &Encoder,
    max_length: usize,
    single_answers: bool,
) -> Result<Vec<TokenRow>, StageError> {
    let path = context.input_file("pairs", "pairs.jsonl")?;
    let found: Vec<Map<String, Value>> = json_lines::read(&path).map_err(|error| StageError(error.to_string()))?;
    let (mut rows, mut moved) = (Vec::new(), 0);
    for (index, found) in found.into_iter().enumerate() {
        let at = |problem: String| StageError(format!("{}:{}: {problem}", path.display(), index + 1));
        let row = FileRow::read(found).map_err(at)?;
        if !single_answers && matches!(row, FileRow::Single { .. }) {
            let problem = "an answer with a label, but the algorithm compares pairs; kto, bco and apo_zero learn from \
                           single answers";
            return Err(at(problem.to_owned()));
        }
        let (row, is_moved) = row.encode(encoder).map_err(|error| at(error.to_string()))?;
        moved += usize::from(is_moved);
        check(&row).map_err(at)?;
        rows.push(row);
    }
    let count = rows.len();
    if moved > 0 {
        let reason = "tokens reach over the end of the prompt, or the chat template writes it differently";
        context.warn(format!("in {moved} of {count} rows {reason}: the answer begins where they differ"));
    }
    let cut = rows.iter_mut().map(|row| row.truncate(max_length)).filter(|cut| *cut).count();
    if cut > 0 {
        let text = format!("{cut} of {count} rows are longer than {max_length} tokens: their prompts were cut first");
        context.warn(text);
    }
    let tokens: usize = rows.iter().map(TokenRow::tokens).sum();
    context.note(format!("{count} rows of {tokens} tokens"));
    Ok(rows)
}

/// Prompt and answers must have tokens.
fn check(row: &TokenRow) -> Result<(), String> {
    if row.prompt().is_empty() {
        return Err("the prompt has no tokens, and the tokenizer begins no text by itself".to_owned());
    }
    match row.answers().iter().any(|answer| answer.tokens.is_empty()) {
        true => Err("an answer has no tokens".to_owned()),
        false => Ok(()),
    }
}

impl FileRow {
    fn read(mut row: Map<String, Value>) -> Result<Self, String> {
        let known = row.keys().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        let mut content = |name: &str| match row.remove(name) {
            None => Err(form(name, &known)),
            Some(value) => serde_json::from_value::<Content>(value)
                .map_err(|_| format!("`{name}` is neither a text nor a list of messages {{\"role\", \"content\"}}")),
        };
        let prompt = content("prompt")?;
        if known.contains("`completion`") {
            let completion = content("completion")?;
            let label = row.get("label").and_then(Value::as_bool);
            let label = label.ok_or("a row with a `completion` needs a `label` that is true or false")?;
            return Ok(Self::Single { prompt, completion, label });
        }
        let answers = [content("chosen")?, content("rejected")?];
        let is_wrong = ["chosen_score", "rejected_score"]
            .map(|name| row.get(name).and_then(Value::as_f64).is_some_and(|score| score < 1.0));
        Ok(Self::Pair { prompt, answers, is_wrong })
    }

    /// In tokens; and whether the answer begins elsewhere than the prompt alone would have it.
    fn encode(self, encoder: &Encoder) -> Result<(TokenRow, bool), EncodeError> {
        match self {
            Self::Pair { prompt, answers: [chosen, rejected], is_wrong } => {
                let pair = encoder.pair(&prompt, &chosen, &rejected)?;
                let answer = |tokens, is_wrong| TokenAnswer { tokens, counts: None, is_wrong };
                let answers = [answer(pair.chosen, is_wrong[0]), answer(pair.rejected, is_wrong[1])];
                Ok((TokenRow::Pair { prompt: pair.prompt, answers }, pair.moved > 0))
            }
            Self::Single { prompt, completion, label } => {
                let pair = encoder.pair(&prompt, &completion, &completion)?;
                let row = TokenRow::Single { prompt: pair.prompt, answer: pair.chosen.into(), desirable: label };
                Ok((row, pair.moved > 0))
            }
        }
    }
}

/// What to say of a row without a field: which form it seems to have, and which one is read.
fn form(missing: &str, known: &str) -> String {
    let seems = [
        ("`instruction`", "LLaMA-Factory's alpaca form"),
        ("`conversations`", "LLaMA-Factory's sharegpt form"),
        ("`chosen`", "TRL's form with an implicit prompt"),
        ("`output_A`", "HALOs' feedback form"),
    ];
    let seems = seems.iter().find(|(field, _)| known.contains(field));
    let seems = seems.map_or_else(String::new, |(_, form)| format!("; it seems to be {form}"));
    format!(
        "the row has no `{missing}`, but {known}{seems}; what is read is {{\"prompt\", \"chosen\", \"rejected\"}} or \
         {{\"prompt\", \"completion\", \"label\"}}, texts or lists of messages"
    )
}

/// Where a folder is expected to have a file, the file itself may be named.
pub(super) fn read_reference(path: &Path) -> Result<Vec<crate::tuning::ReferenceRow>, StageError> {
    json_lines::read(path).map_err(|error| StageError(error.to_string()))
}
