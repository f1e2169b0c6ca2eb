//! Preference data as training reads them: rows of a file become tokens.

use serde_json::{Map, Value};

use super::{Context, StageError};
use crate::{
    language::{Content, StatedFact, json_lines},
    model::{EncodeError, Encoder},
    tuning::{TokenAnswer, TokenFact, TokenPreference, TokenRow},
};

/// A row of a file of preferences: a pair, or an answer with its label.
enum FileRow {
    Pair {
        prompt: Content,
        answers: [Content; 2],
        /// Whether each states anything wrong, where scores say so.
        is_wrong: [bool; 2],
        /// What each states.
        facts: [Vec<StatedFact>; 2],
        /// Whether they end where they end.
        ends: bool,
        /// What the pair counts.
        weight: f64,
    },
    Single {
        prompt: Content,
        completion: Content,
        label: bool,
        facts: Vec<StatedFact>,
        weight: f64,
    },
}

/// How rows are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// The longest prompt with answer, in tokens.
    pub max_length: usize,
    /// Whether answers without a partner are right.
    pub single_answers: bool,
    /// Whether the facts that answers state are wanted.
    pub facts: bool,
}

/// Rows in tokens, each answer with its end; what does not fit is cut, prompts first, and counted aloud.
pub(super) fn token_rows(
    context: &Context,
    encoder: &Encoder,
    Reading { max_length, single_answers, facts }: Reading,
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
        row.check_facts(facts).map_err(at)?;
        let (row, is_moved) = row.encode(encoder, facts).map_err(|error| at(error.to_string()))?;
        moved += usize::from(is_moved);
        check(&row).map_err(at)?;
        rows.push(row);
    }
    let count = rows.len();
    if moved > 0 {
        let reason = "tokens reach over the end of the prompt, or the chat template writes it differently";
        context.warn(format!("in {moved} of {count} rows {reason}: the answer begins where they differ"));
    }
    let begin = encoder.begin().map_err(|error| StageError(error.to_string()))?;
    let cut = rows.iter_mut().map(|row| row.truncate(max_length, begin)).filter(|cut| *cut).count();
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
    if row.prompt.is_empty() {
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
            let (facts, weight) = (facts(&row, "facts")?, weight(&row)?);
            return Ok(Self::Single { prompt, completion, label, facts, weight });
        }
        let answers = [content("chosen")?, content("rejected")?];
        let facts = [facts(&row, "chosen_facts")?, facts(&row, "rejected_facts")?];
        let is_wrong = ["chosen_score", "rejected_score"]
            .map(|name| row.get(name).and_then(Value::as_f64).is_some_and(|score| score < 1.0));
        let ends = match row.get("ends") {
            None => true,
            Some(ends) => ends.as_bool().ok_or("`ends` is neither true nor false")?,
        };
        Ok(Self::Pair { prompt, answers, is_wrong, facts, ends, weight: weight(&row)? })
    }

    /// Where only facts count, there must be some.
    fn check_facts(&self, wanted: bool) -> Result<(), String> {
        let is_known = match self {
            Self::Pair { facts, .. } => facts.iter().any(|facts| !facts.is_empty()),
            Self::Single { facts, .. } => !facts.is_empty(),
        };
        let problem = "`facts_only` and `fact_kto` need the facts that answers state (`chosen_facts`, `rejected_facts`; \
                       `facts` of a single answer); `mine` writes them into pairs";
        if wanted && !is_known { Err(problem.to_owned()) } else { Ok(()) }
    }

    /// In tokens; and whether the answer begins elsewhere than the prompt alone would have it.
    fn encode(self, encoder: &Encoder, wanted: bool) -> Result<(TokenRow, bool), EncodeError> {
        match self {
            Self::Pair { prompt, answers: [chosen, rejected], is_wrong, facts, ends, weight } => {
                let pair = encoder.pair(&prompt, &chosen, &rejected)?;
                let answer = |tokens, is_wrong| TokenAnswer { tokens, is_wrong, ..TokenAnswer::default() };
                let mut answers = [answer(pair.chosen, is_wrong[0]), answer(pair.rejected, is_wrong[1])];
                if wanted {
                    for ((answer, content), facts) in answers.iter_mut().zip([&chosen, &rejected]).zip(&facts) {
                        answer.facts = in_tokens(facts, &encoder.places(&prompt, content, answer.tokens.len())?);
                    }
                }
                if !ends {
                    answers.iter_mut().for_each(|answer| encoder.cut_end(&mut answer.tokens));
                }
                let row = TokenRow { prompt: pair.prompt, preference: TokenPreference::Pair(answers), weight };
                Ok((row, pair.moved > 0))
            }
            Self::Single { prompt, completion, label, facts, weight } => {
                let pair = encoder.pair(&prompt, &completion, &completion)?;
                let mut answer = TokenAnswer::from(pair.chosen);
                if wanted {
                    answer.facts = in_tokens(&facts, &encoder.places(&prompt, &completion, answer.tokens.len())?);
                }
                let preference = match label {
                    true => TokenPreference::Desirable(answer),
                    false => TokenPreference::Undesirable(answer),
                };
                Ok((TokenRow { prompt: pair.prompt, preference, weight }, pair.moved > 0))
            }
        }
    }
}

/// Facts by the tokens that reach into their spans; none for a fact that no token states.
fn in_tokens(facts: &[StatedFact], places: &[[usize; 2]]) -> Vec<TokenFact> {
    let fact = |fact: &StatedFact| {
        let overlaps = |[from, to]: &[usize; 2]| from.max(&fact.span[0]) < to.min(&fact.span[1]);
        let first = places.iter().position(overlaps)?;
        let last = places.iter().rposition(overlaps)?;
        Some(TokenFact { tokens: first..last + 1, supported: fact.supported })
    };
    facts.iter().filter_map(fact).collect()
}

/// The facts that a row says an answer states.
fn facts(row: &Map<String, Value>, name: &str) -> Result<Vec<StatedFact>, String> {
    let Some(facts) = row.get(name) else { return Ok(Vec::new()) };
    let wrong = |_| format!("`{name}` is no list of facts {{\"span\": [from, to], \"supported\"}}");
    serde_json::from_value(facts.clone()).map_err(wrong)
}

/// What a row counts.
fn weight(row: &Map<String, Value>) -> Result<f64, String> {
    let Some(weight) = row.get("weight") else { return Ok(1.0) };
    let found = weight.as_f64().filter(|weight| *weight >= 0.0);
    found.ok_or_else(|| format!("`weight` is {weight}, but must be a number of at least 0"))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(row: Value) -> Result<FileRow, String> {
        FileRow::read(row.as_object().unwrap().clone())
    }

    #[test]
    fn a_row_of_another_form_says_which_one_it_seems_to_be() {
        let error = |row| read(row).err().unwrap();
        let llama_factory = error(json!({"instruction": "Who?", "chosen": "Ada", "rejected": "Bob"}));
        assert!(llama_factory.contains("has no `prompt`") && llama_factory.contains("alpaca form"), "{llama_factory}");
        assert!(error(json!({"chosen": "Who? Ada", "rejected": "Who? Bob"})).contains("an implicit prompt"));
        assert!(error(json!({"prompt": "Who?", "completion": "Ada"})).contains("needs a `label`"));
        assert!(error(json!({"prompt": 3, "chosen": "", "rejected": ""})).contains("neither a text nor a list"));
        assert!(error(json!({"prompt": "Who?", "chosen": "Ada"})).contains("has no `rejected`"));
    }

    #[test]
    fn only_facts_count_where_only_facts_shall() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama");
        let config = crate::model::Transformer::check(&directory).unwrap();
        let encoder = Encoder::load(&directory, &config).unwrap();
        let fact = |from: usize, to: usize, supported: bool| json!({"span": [from, to], "supported": supported});
        let answer = " Ada was born in 1815. She died in 1999.";
        let facts = json!([fact(1, 22, true), fact(23, 40, false)]);
        let row = read(json!({"prompt": "Who?", "chosen": answer, "rejected": answer, "chosen_facts": facts,
            "rejected_facts": facts}));
        let row = row.unwrap();
        row.check_facts(true).unwrap();
        let (row, _) = row.encode(&encoder, true).unwrap();
        let counted = |index: usize| -> String {
            let answer = &row.answers()[index];
            let fact = answer.facts.iter().find(|fact| fact.supported == (index == 0)).unwrap();
            encoder.tokenizer.decode_with_special(&answer.tokens[fact.tokens.clone()]).unwrap()
        };
        assert_eq!((counted(0).trim(), counted(1).trim()), ("Ada was born in 1815.", "She died in 1999."));
        let open = json!({"prompt": "Who?", "chosen": answer, "rejected": answer, "ends": false, "weight": 0.5});
        let (open, _) = read(open).unwrap().encode(&encoder, false).unwrap();
        assert_eq!(open.answers()[0].tokens.len(), row.answers()[0].tokens.len() - 1, "it does not end there");
        assert_eq!((open.weight, row.weight), (0.5, 1.0));
        let heavy = json!({"prompt": "Who?", "chosen": "a", "rejected": "b", "weight": -1});
        assert_eq!(read(heavy).err().unwrap(), "`weight` is -1, but must be a number of at least 0");
        let bare = read(json!({"prompt": "Who?", "chosen": "a", "rejected": "b"})).unwrap();
        assert!(bare.check_facts(true).unwrap_err().contains("need the facts that answers state"));
    }
}
