//! Preference data for training: tokenizes rows and counts their peculiarities.

use std::path::Path;

use super::row_findings::{Finding, Findings};
use crate::{
    context::{Context, StageError},
    model::{EncodeError, Encoder, ModelConfig},
    rows::{
        CharSpan, JudgedAnswer, PreferenceAnswers, PreferenceRow, StatedFact,
        json_lines::{self, Line},
    },
    tuning::{Objective, Setting, TokenAnswer, TokenFact, TokenPreference, TokenRow, Truncation},
};

/// Options of reading rows.
#[derive(Clone, Copy, Debug)]
pub struct RowOptions {
    /// Longest prompt with completion, in tokens.
    pub max_length: usize,
    /// Truncation of longer rows.
    pub truncation: Truncation,
    /// Requirements on rows.
    pub needs: Needs,
}

/// Requirements of an algorithm on rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needs {
    /// Whether labelled completions are accepted.
    pub single_answers: bool,
    /// Whether the facts of completions are needed.
    pub facts: bool,
    /// Whether it must be known which completion of a pair has errors.
    pub errors: bool,
    /// Whether completions are compared; otherwise only desirable ones are learnt.
    pub compares: bool,
}

impl Needs {
    /// Requirements of an objective.
    pub fn of(objective: &Objective, fact_mask: bool) -> Self {
        Self {
            single_answers: objective.takes_single_answers(),
            facts: fact_mask || objective.looks_at_facts(),
            errors: objective.setting(Setting::FactMargin).is_some(),
            compares: objective.compares(),
        }
    }

    /// Requirements of a mixture of pairs.
    pub const PAIRS: Self = Self { single_answers: false, ..Self::ANY };
    /// Requirements of reference scoring, for any algorithm.
    pub const ANY: Self =
        Self { single_answers: true, facts: false, errors: false, compares: true };

    /// Checks that required fields are present and spans lie in their completions.
    pub fn check(self, row: &PreferenceRow) -> Result<(), String> {
        if !self.single_answers && matches!(row.answers, PreferenceAnswers::Single(..)) {
            let problem = "a labelled completion, but the algorithm compares pairs; kto, bco and \
            apo_zero learn from labelled completions";
            return Err(problem.to_owned());
        }
        if self.errors {
            errs(row)?;
        }
        if !self.facts {
            return Ok(());
        }
        // A completion may state nothing, such as a refusal; only a row without any fact is
        // unusable.
        if row.answers().iter().all(|answer| facts_of(answer).is_empty()) {
            let problem = "`fact_mask` and `fact_kto` need the facts of completions \
            (`chosen_facts`, `rejected_facts`; `facts` of a labelled completion); \
            `mine` writes them into pairs";
            return Err(problem.to_owned());
        }
        for answer in row.answers() {
            let text = answer.content.text();
            let problem = facts_of(answer).iter().find_map(|fact| fact.span.problem(&text));
            // A span of another text would mark tokens at random, without any other sign.
            if let Some(problem) = problem {
                return Err(format!("a fact is outside its completion: {problem}"));
            }
        }
        Ok(())
    }

    /// Reads preference data row by row as training would.
    ///
    /// # Errors
    /// Names the file, and the line that violates the requirements; or reports that there is
    /// nothing to learn.
    pub fn check_file(self, path: &Path) -> Result<(), String> {
        let (mut rows, mut weight, mut wanted) = (0_usize, 0.0, false);
        let mut checked = Ok(());
        for line in json_lines::lines::<PreferenceRow>(path).map_err(|error| error.to_string())? {
            // Malformed rows are reported before invalid contents.
            let Line { number, row } = line.map_err(|error| error.to_string())?;
            checked = checked.and_then(|()| {
                let checked = self.check(&row);
                checked.map_err(|problem| format!("{}:{number}: {problem}", path.display()))
            });
            rows += 1;
            weight += row.weight;
            wanted |= !matches!(row.answers, PreferenceAnswers::Single(_, false));
        }
        checked?;
        let problem = match (rows, weight) {
            (0, _) => NO_ROWS.to_owned(),
            (_, 0.0) => NO_WEIGHT.to_owned(),
            _ if !wanted && !self.compares => none_wanted(rows),
            _ => return Ok(()),
        };
        Err(format!("{}: {problem}", path.display()))
    }
}

const NO_ROWS: &str = "it has no rows";
const NO_WEIGHT: &str = "all rows have `weight` 0: there is nothing to learn";

/// Error for `sft` with undesirable completions only.
pub fn none_wanted(unwanted: usize) -> String {
    format!(
        "none of {unwanted} completions is desirable (`label` true): `sft` learns from these only"
    )
}

fn facts_of(answer: &JudgedAnswer) -> &[StatedFact] {
    answer.facts.as_deref().unwrap_or_default()
}

/// Which completions of a pair have errors, and whether only scores tell: by facts, otherwise by
/// precisions, of which less than 1 is an error. None for a labelled completion.
fn errs(row: &PreferenceRow) -> Result<Option<([bool; 2], bool)>, String> {
    let PreferenceAnswers::Pair(answers) = &row.answers else { return Ok(None) };
    if answers.iter().any(|answer| answer.facts.is_some()) {
        let errs = answers.each_ref().map(|answer| answer.facts.iter().flatten().any(is_wrong));
        return Ok(Some((errs, false)));
    }
    // Scores may be rewards of any range: only what can be a precision says something of errors.
    let precisions =
        answers.each_ref().map(|answer| answer.score.filter(|score| (0.0..=1.0).contains(score)));
    let [Some(chosen), Some(rejected)] = precisions else {
        let [chosen, rejected] = answers
            .each_ref()
            .map(|answer| answer.score.map_or("none".to_owned(), |score| score.to_string()));
        return Err(format!(
            "`fact_dpo` needs to know which completion errs: by `chosen_facts` and \
            `rejected_facts`, or by `chosen_score` and `rejected_score` that are precisions from 0 \
            to 1; there are no facts, and the scores are {chosen} and {rejected}"
        ));
    };
    Ok(Some(([chosen < 1.0, rejected < 1.0], true)))
}

fn is_wrong(fact: &StatedFact) -> bool {
    !fact.supported
}

/// Options of tokenization.
struct RowTokenizer<'a> {
    encoder: &'a Encoder,
    config: &'a ModelConfig,
    reading: RowOptions,
    findings: Findings,
}

/// Tokenized rows, each completion with EOS; too long rows are truncated or dropped. Peculiarities
/// are counted and warned of.
pub fn token_rows(
    context: &Context,
    encoder: &Encoder,
    config: &ModelConfig,
    reading: RowOptions,
) -> Result<Vec<TokenRow>, StageError> {
    let path = context.input_file("pairs", "pairs.jsonl")?;
    let mut reader =
        RowTokenizer { encoder, config, reading, findings: Findings::new(reading.needs.compares) };
    let begin = encoder.begin().map_err(|error| StageError(error.to_string()))?;
    let (mut rows, mut read) = (Vec::new(), 0);
    for line in
        json_lines::lines::<PreferenceRow>(&path).map_err(|error| StageError(error.to_string()))?
    {
        read += 1;
        let Line { number, row } = line.map_err(|error| StageError(error.to_string()))?;
        let tokens = reader
            .tokens(&row, begin, number)
            .map_err(|problem| StageError(format!("{}:{number}: {problem}", path.display())))?;
        rows.extend(tokens);
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    reader.findings.tell(context, &file);
    if rows.is_empty() {
        let problem = match read {
            0 => NO_ROWS.to_owned(),
            count => format!(
                "`max_length` leaves nothing of the completions of all {count} rows: raise it, or \
                choose another `truncation_mode`"
            ),
        };
        return Err(StageError(format!("{}: {problem}", path.display())));
    }
    // Training would run to its end without an error, and change nothing except by weight decay.
    if reader.findings.has_no_weight() {
        return Err(StageError(format!("{}: {NO_WEIGHT}", path.display())));
    }
    let tokens: usize = rows.iter().map(TokenRow::tokens).sum();
    context.note(format!("{} rows of {tokens} tokens", rows.len()));
    Ok(rows)
}

impl RowTokenizer<'_> {
    /// A tokenized and truncated row; none if nothing of its completions would be left.
    fn tokens(
        &mut self,
        row: &PreferenceRow,
        begin: Option<u32>,
        line: usize,
    ) -> Result<Option<TokenRow>, String> {
        self.reading.needs.check(row)?;
        self.findings.look(row, line);
        let (mut found, is_moved) = self.encode(row).map_err(|error| error.to_string())?;
        if is_moved {
            self.findings.add(Finding::Moved, line);
        }
        self.check_tokens(&found)?;
        // By the row and not by its tokens: an error that truncation removes still tells which
        // completion is worse.
        self.errors(row, &mut found, line)?;
        if row.ends && !found.answers().iter().any(|answer| self.has_end(&answer.tokens)) {
            self.findings.add(Finding::NoEnd, line);
        }
        let stated = row
            .answers()
            .iter()
            .filter_map(|answer| answer.facts.as_ref())
            .map(Vec::len)
            .sum::<usize>();
        if !self.cut(row, &mut found, begin, line) {
            self.findings.add(Finding::LeftOut, line);
            return Ok(None);
        }
        let kept = found.answers().iter().map(|answer| answer.facts.len()).sum::<usize>();
        if self.reading.needs.facts && kept < stated {
            self.findings.add(Finding::FactWithoutToken, line);
        }
        Ok(Some(found))
    }

    /// The tokenized row, and whether the completion begins elsewhere than the prompt alone
    /// suggests.
    fn encode(&self, row: &PreferenceRow) -> Result<(TokenRow, bool), EncodeError> {
        let PreferenceRow { prompt, weight, .. } = row;
        let answers = row.answers();
        let (chosen, rejected) = (&answers[0], answers.last().unwrap_or(&answers[0]));
        // Both at once, since a token that crosses the end of the prompt in one completion moves
        // the beginning of both.
        let pair = self.encoder.pair(prompt, &chosen.content, &rejected.content)?;
        let first = self.answer(row, chosen, pair.chosen)?;
        let preference = match row.answers {
            PreferenceAnswers::Pair(_) => {
                TokenPreference::Pair([first, self.answer(row, rejected, pair.rejected)?])
            }
            PreferenceAnswers::Single(_, true) => TokenPreference::Desirable(first),
            PreferenceAnswers::Single(_, false) => TokenPreference::Undesirable(first),
        };
        Ok((TokenRow { prompt: pair.prompt, preference, weight: *weight }, pair.moved > 0))
    }

    /// A completion of a row with the tokens of its facts.
    fn answer(
        &self,
        row: &PreferenceRow,
        judged: &JudgedAnswer,
        tokens: Vec<u32>,
    ) -> Result<TokenAnswer, EncodeError> {
        let mut found = TokenAnswer::from(tokens);
        if let Some(facts) = judged.facts.as_ref().filter(|_| self.reading.needs.facts) {
            let places = self.encoder.places(&row.prompt, &judged.content, found.tokens.len())?;
            found.facts = facts.iter().filter_map(|fact| in_tokens(fact, &places)).collect();
        }
        // After the facts, whose places are counted from the end of the tokens, EOS included.
        if !row.ends {
            self.encoder.cut_end(&mut found.tokens);
        }
        Ok(found)
    }

    /// Prompt and completions must have tokens within the model's vocabulary.
    fn check_tokens(&self, row: &TokenRow) -> Result<(), String> {
        if row.prompt.is_empty() {
            return Err("the prompt has no tokens, and the tokenizer adds no BOS".to_owned());
        }
        if row.answers().iter().any(|answer| answer.tokens.is_empty()) {
            return Err("a completion has no tokens".to_owned());
        }
        let vocabulary = self.config.vocab_size;
        let tokens = row.answers().iter().flat_map(|answer| &answer.tokens).chain(&row.prompt);
        match tokens.copied().max().filter(|token| *token as usize >= vocabulary) {
            Some(token) => Err(format!(
                "it has the token {token}, but the model has {vocabulary} tokens: the tokenizer \
                belongs to another model"
            )),
            None => Ok(()),
        }
    }

    /// For each completion, whether it has errors.
    fn errors(
        &mut self,
        row: &PreferenceRow,
        found: &mut TokenRow,
        line: usize,
    ) -> Result<(), String> {
        if !self.reading.needs.errors {
            return Ok(());
        }
        let Some((errs, by_scores)) = errs(row)? else { return Ok(()) };
        if by_scores {
            self.findings.add(Finding::ScoresAsPrecision, line);
        }
        found.answers_mut().iter_mut().zip(errs).for_each(|(answer, errs)| answer.is_wrong = errs);
        Ok(())
    }

    /// Whether a completion has EOS.
    fn has_end(&self, tokens: &[u32]) -> bool {
        // A model may have several EOS tokens, of which the tokenizer names one.
        tokens.iter().any(|token| {
            self.encoder.end() == Some(*token) || self.config.eos_token_id.contains(token)
        })
    }

    /// Truncates a row; returns the effects, and whether it is still usable.
    fn cut(
        &mut self,
        row: &PreferenceRow,
        found: &mut TokenRow,
        begin: Option<u32>,
        line: usize,
    ) -> bool {
        let (before, were_equal) = (lengths(found), are_equal(found));
        match self.reading.truncation {
            Truncation::Prompt if found.truncate(self.reading.max_length, begin) => {
                self.findings.add(Finding::PromptCut, line);
            }
            Truncation::KeepStart if !found.truncate_answers(self.reading.max_length) => {
                return false;
            }
            _ => {}
        }
        if lengths(found) != before {
            self.findings.add(Finding::AnswerCut, line);
        }
        if are_equal(found) && !were_equal {
            self.findings.add(Finding::EqualByCut, line);
        }
        let texts: Vec<String> = row.answers().iter().map(|answer| answer.content.text()).collect();
        // Equal texts are found before tokenization; here the tokenizer drops the difference.
        if were_equal && texts.len() == 2 && texts[0].trim() != texts[1].trim() {
            self.findings.add(Finding::EqualTokens, line);
        }
        let longest = found.answers().iter().map(|answer| answer.tokens.len()).max().unwrap_or(0);
        // The last token is predicted, but never read, and so has no position.
        if found.prompt.len() + longest > self.config.max_position_embeddings + 1 {
            self.findings.add(Finding::BeyondModel, line);
        }
        true
    }
}

fn lengths(row: &TokenRow) -> Vec<usize> {
    row.answers().iter().map(|answer| answer.tokens.len()).collect()
}

fn are_equal(row: &TokenRow) -> bool {
    matches!(row.answers(), [one, other] if one.tokens == other.tokens)
}

/// A fact by the tokens that overlap its span; none if it has no tokens.
fn in_tokens(fact: &StatedFact, places: &[CharSpan]) -> Option<TokenFact> {
    // Tokens between the two belong to the fact, also those with an empty range, which overlaps
    // nothing, such as a template's between messages.
    let first = places.iter().position(|place| place.overlaps(fact.span))?;
    let last = places.iter().rposition(|place| place.overlaps(fact.span))?;
    Some(TokenFact { tokens: first..last + 1, supported: fact.supported })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::Transformer;

    const OPTIONS: RowOptions =
        RowOptions { max_length: 1024, truncation: Truncation::Prompt, needs: Needs::ANY };

    /// A row's tokens with these options and a tokenizer that has EOS.
    fn tokens(row: Value, reading: RowOptions) -> Result<TokenRow, String> {
        let directory =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama");
        let config = Transformer::check(&directory).unwrap();
        let encoder = Encoder::load(&directory, &config).unwrap();
        let mut reader = RowTokenizer {
            encoder: &encoder,
            config: &config,
            reading,
            findings: Findings::new(true),
        };
        let row = serde_json::from_str(&row.to_string())
            .map_err(|error: serde_json::Error| error.to_string())?;
        let begin = encoder.begin().unwrap();
        Ok(reader.tokens(&row, begin, 1)?.expect("it is cut from the prompt's beginning"))
    }

    fn decoded(tokens: &[u32]) -> String {
        let directory =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama");
        crate::model::Tokenizer::load(&directory).unwrap().decode_with_special(tokens).unwrap()
    }

    #[test]
    fn only_facts_count_where_only_facts_shall() {
        let fact = |from: usize, to: usize, supported: bool| json!({"span": [from, to], "supported": supported});
        let answer = " Ada was born in 1815. She died in 1999.";
        let facts = json!([fact(1, 22, true), fact(23, 40, false)]);
        let wanted = RowOptions { needs: Needs { facts: true, ..Needs::ANY }, ..OPTIONS };
        let row = |facts: Value| json!({"prompt": "Who?", "chosen": answer, "rejected": answer, "chosen_facts": facts, "rejected_facts": facts});
        let found = tokens(row(facts), wanted).unwrap();
        let counted = |index: usize| -> String {
            let answer = &found.answers()[index];
            let fact = answer.facts.iter().find(|fact| fact.supported == (index == 0)).unwrap();
            decoded(&answer.tokens[fact.tokens.clone()])
        };
        assert_eq!(
            (counted(0).trim(), counted(1).trim()),
            ("Ada was born in 1815.", "She died in 1999.")
        );
        let beyond = tokens(row(json!([fact(1, 99, true)])), wanted).unwrap_err();
        assert!(
            beyond.contains("the span [1, 99] goes beyond the 40 characters of the text"),
            "{beyond}"
        );
        let bare =
            tokens(json!({"prompt": "Who?", "chosen": "a", "rejected": "b"}), wanted).unwrap_err();
        assert!(bare.contains("need the facts of completions"), "{bare}");
        let open = json!({"prompt": "Who?", "chosen": answer, "rejected": answer, "ends": false, "weight": 0.5});
        let open = tokens(open, OPTIONS).unwrap();
        assert_eq!(
            open.answers()[0].tokens.len(),
            found.answers()[0].tokens.len() - 1,
            "it does not end there"
        );
        assert_eq!((open.weight, found.weight), (0.5, 1.0));
    }

    /// Facts take precedence over scores, which count only if they can be precisions.
    #[test]
    fn facts_or_precisions_say_which_answer_errs() {
        let fact = |supported: bool| json!({"span": [0, 1], "supported": supported});
        let errs = |fields: Value| {
            let mut row = json!({"prompt": "Who?", "chosen": " Ada.", "rejected": " Bob."});
            row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let found =
                tokens(row, RowOptions { needs: Needs { errors: true, ..Needs::ANY }, ..OPTIONS })?;
            Ok::<_, String>([found.answers()[0].is_wrong, found.answers()[1].is_wrong])
        };
        // Entropies beside facts, as from `mine` with `reward = "entropy"`.
        let mined = json!({"chosen_score": -0.1, "rejected_score": -0.9, "chosen_facts": [fact(true)],
            "rejected_facts": [fact(true), fact(false)]});
        assert_eq!(errs(mined).unwrap(), [false, true]);
        assert_eq!(errs(json!({"rejected_facts": [fact(false)]})).unwrap(), [false, true]);
        assert_eq!(
            errs(json!({"chosen_facts": [], "rejected_facts": []})).unwrap(),
            [false, false]
        );
        assert_eq!(
            errs(json!({"chosen_score": 1.0, "rejected_score": 0.25})).unwrap(),
            [false, true]
        );
        assert_eq!(
            errs(json!({"chosen_score": 0.5, "rejected_score": 0.25})).unwrap(),
            [true, true]
        );
        for (scores, said) in [
            (json!({}), "the scores are none and none"),
            (json!({"chosen_score": 8.5, "rejected_score": 3.0}), "the scores are 8.5 and 3"),
            (json!({"chosen_score": -0.1, "rejected_score": -0.9}), "the scores are -0.1 and -0.9"),
            (json!({"chosen_score": 1.0}), "the scores are 1 and none"),
        ] {
            let problem = errs(scores).unwrap_err();
            assert!(
                problem.starts_with("`fact_dpo` needs to know which completion errs")
                    && problem.ends_with(said)
            );
        }
    }
}
