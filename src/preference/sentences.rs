//! Sentences of a model about single facts, and responses that they can stand in.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;

use crate::{
    facts::words,
    rows::{AnswerLabel, CharSpan, FactLabel, Finish, ProbedFact, Response},
    verification::{JudgedClaim, TallyError},
};

use super::{answers::Answers, asked::ProbedQuestions};

/// Minimum words of a sentence: topic, verb and value.
const LEAST_WORDS: usize = 3;

/// Form of the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AtomicForm {
    /// The question for the fact; the sentence is the whole completion.
    Question,
    /// The prompt for a paragraph about the topic; the sentence is its beginning.
    Paragraph,
    /// The same prompt; a whole response to it, in which the sentence stands in place of the
    /// response's own one about the fact.
    Response,
}

/// A sentence that states or contradicts a fact.
pub(super) struct FactSentence<'a> {
    /// Id of the response, or of the claim.
    pub(super) id: &'a str,
    pub(super) text: Cow<'a, str>,
    pub(super) span: CharSpan,
    pub(super) is_right: bool,
}

/// A response in which a sentence about a fact can be replaced.
pub(super) struct Host<'a> {
    output: &'a str,
    /// Place of that sentence.
    span: CharSpan,
}

/// The probe's answers to one fact that consist of a single claim in a whole sentence.
pub(super) fn own_answers(fact: &ProbedFact, form: AtomicForm) -> Vec<FactSentence<'_>> {
    // A second claim would be preferred or rejected along with the fact, right or wrong.
    let single = fact.answers.iter().filter(|answer| {
        answer.claims == 1
            && answer.finish == Finish::Stop
            && answer.reply != AnswerLabel::Other
            && is_sentence(&answer.claim)
    });
    single
        .map(|answer| {
            let (text, span) = match form {
                AtomicForm::Question => (Cow::Borrowed(answer.output.as_str()), answer.span),
                AtomicForm::Paragraph | AtomicForm::Response => {
                    cut_out(&answer.output, answer.span)
                }
            };
            let is_right = answer.reply == AnswerLabel::Right;
            FactSentence { id: answer.id.as_str(), text, span, is_right }
        })
        .collect()
}

/// The sentences of verified responses by their probed fact, about the same topic.
pub(super) fn own_sentences<'a>(
    facts: &[ProbedFact],
    answers: Answers<'a>,
) -> Result<Vec<Vec<FactSentence<'a>>>, TallyError> {
    let mut said: Vec<Vec<FactSentence<'_>>> = facts.iter().map(|_| Vec::new()).collect();
    for FactMention { fact, response, judged } in mentions(facts, answers)? {
        let claim = judged.claim;
        let (text, span) = if claim.spans.is_empty() {
            cut_out(&response.output, claim.span)
        } else {
            // Pieces are no sentence, but the claim is one.
            placed(&response.output, &claim.text)
        };
        let is_right = judged.label == FactLabel::Supported;
        said[fact].push(FactSentence { id: claim.id.as_str(), text, span, is_right });
    }
    Ok(said)
}

/// The finished responses that state or contradict each probed fact in a sentence, which another
/// one can replace.
///
/// # Errors
/// Fails where rows do not belong together.
pub(super) fn hosts<'a>(
    facts: &[ProbedFact],
    answers: Answers<'a>,
) -> Result<Vec<Vec<Host<'a>>>, TallyError> {
    let mentions = mentions(facts, answers)?;
    let mut times: BTreeMap<(usize, &str), usize> = BTreeMap::new();
    for FactMention { fact, response, .. } in &mentions {
        *times.entry((*fact, response.id.as_str())).or_default() += 1;
    }
    let mut found: Vec<Vec<Host<'_>>> = facts.iter().map(|_| Vec::new()).collect();
    for FactMention { fact, response, judged } in mentions {
        // A truncated response has no end that the model would learn, pieces have other words
        // between them, and a second statement of the fact would contradict one of the two.
        let is_once = times.get(&(fact, response.id.as_str())) == Some(&1);
        if is_once && response.finish == Finish::Stop && judged.claim.spans.is_empty() {
            found[fact].push(Host { output: &response.output, span: judged.claim.span });
        }
    }
    Ok(found)
}

impl Host<'_> {
    /// The response with the sentence that a text has at `place` instead of its own one, and the
    /// new place of that sentence.
    pub(super) fn with(&self, text: &str, place: CharSpan) -> (String, CharSpan) {
        let (start, end) = (self.span.start(), self.span.end());
        let sentence = place.of(text);
        let before: String = self.output.chars().take(start).collect();
        let after: String = self.output.chars().skip(end).collect();
        let span = CharSpan::new(start, start + sentence.chars().count());
        (format!("{before}{sentence}{after}"), span)
    }
}

/// A claim of a response in a whole sentence about a probed fact of the response's topic.
struct FactMention<'a> {
    /// Place of the fact.
    fact: usize,
    response: &'a Response,
    judged: JudgedClaim<'a>,
}

/// All of them, in the order of the responses.
fn mentions<'a>(
    facts: &[ProbedFact],
    answers: Answers<'a>,
) -> Result<Vec<FactMention<'a>>, TallyError> {
    let asked =
        ProbedQuestions::new(facts.iter().map(|fact| (fact.truth.as_slice(), fact.claim.as_ref())));
    let mut found = Vec::new();
    for (response, judged) in answers.responses.iter().zip(answers.judged()?) {
        for judged in judged {
            let is_decided = matches!(judged.label, FactLabel::Supported | FactLabel::Unsupported);
            if !is_decided || !is_sentence(&judged.claim.text) {
                continue;
            }
            // Evidence of another topic's article may answer a question about that topic.
            let fact = asked.of(&judged.claim.text, judged.evidence);
            if let Some(fact) = fact.filter(|index| facts[*index].topic == response.topic) {
                found.push(FactMention { fact, response, judged });
            }
        }
    }
    Ok(found)
}

/// Whether a claim is a whole sentence, not a bare value or truncated.
fn is_sentence(claim: &str) -> bool {
    claim.trim_end().ends_with(['.', '!', '\u{201d}', '"']) && words(claim).len() >= LEAST_WORDS
}

/// A sentence of a response as its first one: with the white space at the response's beginning.
fn cut_out<'a>(output: &str, span: CharSpan) -> (Cow<'a, str>, CharSpan) {
    placed(output, &span.of(output))
}

/// A sentence with the white space at a response's beginning.
pub(super) fn placed<'a>(output: &str, sentence: &str) -> (Cow<'a, str>, CharSpan) {
    // Tokenizers merge the space into the first word: without it the tokens would be others than
    // those that the model writes.
    let space: String = output.chars().take_while(|letter| letter.is_whitespace()).collect();
    let start = space.chars().count();
    let placed = CharSpan::new(start, start + sentence.chars().count());
    (Cow::Owned(format!("{space}{sentence}")), placed)
}
