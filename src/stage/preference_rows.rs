//! Preference data as training reads them: rows of a file become tokens, and what is odd about them is counted.

use super::{
    Context, StageError,
    row_findings::{Finding, Findings},
};
use crate::{
    language::{
        JudgedAnswer, PreferenceAnswers, PreferenceRow, StatedFact,
        json_lines::{self, Line},
    },
    model::{EncodeError, Encoder, ModelConfig},
    tuning::{TokenAnswer, TokenFact, TokenPreference, TokenRow, Truncation},
};

/// How rows are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// The longest prompt with answer, in tokens.
    pub max_length: usize,
    /// What longer ones lose.
    pub truncation: Truncation,
    /// Whether answers without a partner are right.
    pub single_answers: bool,
    /// Whether the facts that answers state are wanted.
    pub facts: bool,
    /// Whether it must be known which answer of a pair states anything wrong.
    pub errors: bool,
}

/// What rows are read with.
struct Reader<'a> {
    encoder: &'a Encoder,
    config: &'a ModelConfig,
    reading: Reading,
    findings: Findings,
}

/// Rows in tokens, each answer with its end; what does not fit is cut, or left out. What is odd about rows is counted, and
/// said as warnings.
pub(super) fn token_rows(
    context: &Context,
    encoder: &Encoder,
    config: &ModelConfig,
    reading: Reading,
) -> Result<Vec<TokenRow>, StageError> {
    let path = context.input_file("pairs", "pairs.jsonl")?;
    let mut reader = Reader { encoder, config, reading, findings: Findings::default() };
    let begin = encoder.begin().map_err(|error| StageError(error.to_string()))?;
    let mut rows = Vec::new();
    for line in json_lines::lines::<PreferenceRow>(&path).map_err(|error| StageError(error.to_string()))? {
        let Line { number, row } = line.map_err(|error| StageError(error.to_string()))?;
        let at = |problem: String| StageError(format!("{}:{number}: {problem}", path.display()));
        rows.extend(reader.tokens(&row, begin, number).map_err(at)?);
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    reader.findings.tell(context, &file);
    if rows.is_empty() {
        return Err(StageError(format!("{}: there are no rows to learn from", path.display())));
    }
    if reader.findings.has_no_weight() {
        return Err(StageError(format!("{}: all rows have `weight` 0: there is nothing to learn", path.display())));
    }
    let tokens: usize = rows.iter().map(TokenRow::tokens).sum();
    context.note(format!("{} rows of {tokens} tokens", rows.len()));
    Ok(rows)
}

impl Reader<'_> {
    /// A row in tokens, cut to length; none where nothing would be left of its answers.
    fn tokens(&mut self, row: &PreferenceRow, begin: Option<u32>, line: usize) -> Result<Option<TokenRow>, String> {
        self.check(row)?;
        self.findings.look(row, line);
        let (mut found, is_moved) = self.encode(row).map_err(|error| error.to_string())?;
        if is_moved {
            self.findings.add(Finding::Moved, line);
        }
        self.check_tokens(&found)?;
        self.errors(row, &mut found, line)?;
        if row.ends && !found.answers().iter().any(|answer| self.has_end(&answer.tokens)) {
            self.findings.add(Finding::NoEnd, line);
        }
        let stated = row.answers().iter().filter_map(|answer| answer.facts.as_ref()).map(Vec::len).sum::<usize>();
        if !self.cut(row, &mut found, begin, line) {
            self.findings.add(Finding::LeftOut, line);
            return Ok(None);
        }
        let kept = found.answers().iter().map(|answer| answer.facts.len()).sum::<usize>();
        if self.reading.facts && kept < stated {
            self.findings.add(Finding::FactWithoutToken, line);
        }
        Ok(Some(found))
    }

    /// What the algorithm needs must be there, and spans must lie in their answers.
    fn check(&self, row: &PreferenceRow) -> Result<(), String> {
        if !self.reading.single_answers && matches!(row.answers, PreferenceAnswers::Single(..)) {
            let problem = "an answer with a label, but the algorithm compares pairs; kto, bco and apo_zero learn from \
                           single answers";
            return Err(problem.to_owned());
        }
        if !self.reading.facts {
            return Ok(());
        }
        let facts = |answer: &JudgedAnswer| answer.facts.clone().unwrap_or_default();
        if row.answers().iter().all(|answer| facts(answer).is_empty()) {
            let problem = "`facts_only` and `fact_kto` need the facts that answers state (`chosen_facts`, \
                           `rejected_facts`; `facts` of a single answer); `mine` writes them into pairs";
            return Err(problem.to_owned());
        }
        for answer in row.answers() {
            let text = answer.content.text();
            if let Some(problem) = facts(answer).iter().find_map(|fact| fact.span_problem(&text)) {
                return Err(format!("a fact does not stand in its answer: {problem}"));
            }
        }
        Ok(())
    }

    /// In tokens; and whether the answer begins elsewhere than the prompt alone would have it.
    fn encode(&self, row: &PreferenceRow) -> Result<(TokenRow, bool), EncodeError> {
        let PreferenceRow { prompt, ends, weight, .. } = row;
        let answers = row.answers();
        let (chosen, rejected) = (&answers[0], answers.last().unwrap_or(&answers[0]));
        let pair = self.encoder.pair(prompt, &chosen.content, &rejected.content)?;
        let answer = |judged: &JudgedAnswer, tokens: Vec<u32>| {
            let mut found = TokenAnswer::from(tokens);
            if let Some(facts) = judged.facts.as_ref().filter(|_| self.reading.facts) {
                let places = self.encoder.places(prompt, &judged.content, found.tokens.len())?;
                found.facts = in_tokens(facts, &places);
            }
            if !ends {
                self.encoder.cut_end(&mut found.tokens);
            }
            Ok::<_, EncodeError>(found)
        };
        let first = answer(chosen, pair.chosen)?;
        let preference = match row.answers {
            PreferenceAnswers::Pair(_) => TokenPreference::Pair([first, answer(rejected, pair.rejected)?]),
            PreferenceAnswers::Single(_, true) => TokenPreference::Desirable(first),
            PreferenceAnswers::Single(_, false) => TokenPreference::Undesirable(first),
        };
        Ok((TokenRow { prompt: pair.prompt, preference, weight: *weight }, pair.moved > 0))
    }

    /// Prompt and answers must have tokens, and the model must know them.
    fn check_tokens(&self, row: &TokenRow) -> Result<(), String> {
        if row.prompt.is_empty() {
            return Err("the prompt has no tokens, and the tokenizer begins no text by itself".to_owned());
        }
        if row.answers().iter().any(|answer| answer.tokens.is_empty()) {
            return Err("an answer has no tokens".to_owned());
        }
        let vocabulary = self.config.vocab_size;
        let tokens = row.answers().iter().flat_map(|answer| &answer.tokens).chain(&row.prompt);
        match tokens.copied().max().filter(|token| *token as usize >= vocabulary) {
            Some(token) => Err(format!(
                "it has the token {token}, but the model has {vocabulary} tokens: its tokenizer is another model's"
            )),
            None => Ok(()),
        }
    }

    /// Says of each answer whether it states anything wrong: by its facts, else by precisions, of which less than 1 is an
    /// error.
    fn errors(&mut self, row: &PreferenceRow, found: &mut TokenRow, line: usize) -> Result<(), String> {
        if !self.reading.errors {
            return Ok(());
        }
        let PreferenceAnswers::Pair(answers) = &row.answers else { return Ok(()) };
        let errs = if answers.iter().any(|answer| answer.facts.is_some()) {
            let is_wrong = |fact: &StatedFact| !fact.supported;
            answers.each_ref().map(|answer| answer.facts.iter().flatten().any(is_wrong))
        } else {
            let precision = |answer: &JudgedAnswer| answer.score.filter(|score| (0.0..=1.0).contains(score));
            let [Some(chosen), Some(rejected)] = answers.each_ref().map(precision) else {
                let score = |answer: &JudgedAnswer| answer.score.map_or("none".to_owned(), |score| score.to_string());
                let [chosen, rejected] = answers.each_ref().map(score);
                return Err(format!(
                    "`fact_dpo` needs to know which answer errs: by `chosen_facts` and `rejected_facts`, or by \
                     `chosen_score` and `rejected_score` that are precisions from 0 to 1; there are no facts, and the \
                     scores are {chosen} and {rejected}"
                ));
            };
            self.findings.add(Finding::ScoresAsPrecision, line);
            [chosen < 1.0, rejected < 1.0]
        };
        found.answers_mut().iter_mut().zip(errs).for_each(|(answer, errs)| answer.is_wrong = errs);
        Ok(())
    }

    /// Whether an answer has a token that ends it.
    fn has_end(&self, tokens: &[u32]) -> bool {
        let is_end = |token: &u32| self.encoder.end() == Some(*token) || self.config.eos_token_id.contains(token);
        tokens.iter().any(is_end)
    }

    /// Cuts a row to length, and says what that did to it; and whether it is of use any more.
    fn cut(&mut self, row: &PreferenceRow, found: &mut TokenRow, begin: Option<u32>, line: usize) -> bool {
        let lengths = |row: &TokenRow| row.answers().iter().map(|answer| answer.tokens.len()).collect::<Vec<_>>();
        let are_equal = |row: &TokenRow| matches!(row.answers(), [one, other] if one.tokens == other.tokens);
        let (before, were_equal) = (lengths(found), are_equal(found));
        match self.reading.truncation {
            Truncation::Prompt if found.truncate(self.reading.max_length, begin) => {
                self.findings.add(Finding::PromptCut, line);
            }
            Truncation::Answers if !found.truncate_answers(self.reading.max_length) => return false,
            _ => {}
        }
        if lengths(found) != before {
            self.findings.add(Finding::AnswerCut, line);
        }
        if are_equal(found) && !were_equal {
            self.findings.add(Finding::EqualByCut, line);
        }
        let texts: Vec<String> = row.answers().iter().map(|answer| answer.content.text()).collect();
        if were_equal && texts.len() == 2 && texts[0].trim() != texts[1].trim() {
            self.findings.add(Finding::EqualTokens, line);
        }
        let longest = found.answers().iter().map(|answer| answer.tokens.len()).max().unwrap_or(0);
        if found.prompt.len() + longest > self.config.max_position_embeddings + 1 {
            self.findings.add(Finding::BeyondModel, line);
        }
        true
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::Transformer;

    const READING: Reading =
        Reading { max_length: 1024, truncation: Truncation::Prompt, single_answers: true, facts: false, errors: false };

    /// A row's tokens, read so; with a tokenizer that has an end token.
    fn tokens(row: Value, reading: Reading) -> Result<TokenRow, String> {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama");
        let config = Transformer::check(&directory).unwrap();
        let encoder = Encoder::load(&directory, &config).unwrap();
        let mut reader = Reader { encoder: &encoder, config: &config, reading, findings: Findings::default() };
        let row = serde_json::from_str(&row.to_string()).map_err(|error: serde_json::Error| error.to_string())?;
        let begin = encoder.begin().unwrap();
        Ok(reader.tokens(&row, begin, 1)?.expect("it is cut from the prompt's beginning"))
    }

    fn decoded(tokens: &[u32]) -> String {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama");
        crate::model::Tokenizer::load(&directory).unwrap().decode_with_special(tokens).unwrap()
    }

    #[test]
    fn only_facts_count_where_only_facts_shall() {
        let fact = |from: usize, to: usize, supported: bool| json!({"span": [from, to], "supported": supported});
        let answer = " Ada was born in 1815. She died in 1999.";
        let facts = json!([fact(1, 22, true), fact(23, 40, false)]);
        let wanted = Reading { facts: true, ..READING };
        let row = |facts: Value| json!({"prompt": "Who?", "chosen": answer, "rejected": answer, "chosen_facts": facts, "rejected_facts": facts});
        let found = tokens(row(facts), wanted).unwrap();
        let counted = |index: usize| -> String {
            let answer = &found.answers()[index];
            let fact = answer.facts.iter().find(|fact| fact.supported == (index == 0)).unwrap();
            decoded(&answer.tokens[fact.tokens.clone()])
        };
        assert_eq!((counted(0).trim(), counted(1).trim()), ("Ada was born in 1815.", "She died in 1999."));
        let beyond = tokens(row(json!([fact(1, 99, true)])), wanted).unwrap_err();
        assert!(beyond.contains("the span [1, 99] goes beyond the 40 characters of the text"), "{beyond}");
        let bare = tokens(json!({"prompt": "Who?", "chosen": "a", "rejected": "b"}), wanted).unwrap_err();
        assert!(bare.contains("need the facts that answers state"), "{bare}");
        let open = json!({"prompt": "Who?", "chosen": answer, "rejected": answer, "ends": false, "weight": 0.5});
        let open = tokens(open, READING).unwrap();
        assert_eq!(open.answers()[0].tokens.len(), found.answers()[0].tokens.len() - 1, "it does not end there");
        assert_eq!((open.weight, found.weight), (0.5, 1.0));
    }

    /// Which answers err: facts say it before scores do, and scores only where they can be precisions.
    #[test]
    fn facts_or_precisions_say_which_answer_errs() {
        let fact = |supported: bool| json!({"span": [0, 1], "supported": supported});
        let errs = |fields: Value| {
            let mut row = json!({"prompt": "Who?", "chosen": " Ada.", "rejected": " Bob."});
            row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let found = tokens(row, Reading { errors: true, ..READING })?;
            Ok::<_, String>([found.answers()[0].is_wrong, found.answers()[1].is_wrong])
        };
        // Entropies beside facts: the scores of `mine` with `reward = "entropy"`.
        let mined = json!({"chosen_score": -0.1, "rejected_score": -0.9, "chosen_facts": [fact(true)],
            "rejected_facts": [fact(true), fact(false)]});
        assert_eq!(errs(mined).unwrap(), [false, true]);
        assert_eq!(errs(json!({"rejected_facts": [fact(false)]})).unwrap(), [false, true]);
        assert_eq!(errs(json!({"chosen_facts": [], "rejected_facts": []})).unwrap(), [false, false]);
        assert_eq!(errs(json!({"chosen_score": 1.0, "rejected_score": 0.25})).unwrap(), [false, true]);
        assert_eq!(errs(json!({"chosen_score": 0.5, "rejected_score": 0.25})).unwrap(), [true, true]);
        for (scores, said) in [
            (json!({}), "the scores are none and none"),
            (json!({"chosen_score": 8.5, "rejected_score": 3.0}), "the scores are 8.5 and 3"),
            (json!({"chosen_score": -0.1, "rejected_score": -0.9}), "the scores are -0.1 and -0.9"),
            (json!({"chosen_score": 1.0}), "the scores are 1 and none"),
        ] {
            let problem = errs(scores).unwrap_err();
            assert!(problem.starts_with("`fact_dpo` needs to know which answer errs") && problem.ends_with(said));
        }
    }
}
