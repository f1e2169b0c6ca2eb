//! Sentences of a model about single facts, and responses that they can stand in.

use std::{borrow::Cow, rc::Rc};

use serde::Deserialize;

use crate::{
    facts::words,
    rows::{AnswerLabel, CharSpan, FactLabel, Finish, ProbedFact, Response},
    verification::{JudgedClaim, VerifiedResponse},
};

use super::asked::ProbedQuestions;

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
    pub(super) id: Cow<'a, str>,
    pub(super) text: Cow<'a, str>,
    pub(super) span: CharSpan,
    pub(super) is_right: bool,
}

/// A response in which a sentence about a fact can be replaced.
pub(super) struct Host {
    output: Rc<str>,
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
            FactSentence { id: Cow::Borrowed(answer.id.as_str()), text, span, is_right }
        })
        .collect()
}

/// What verified responses say about probed facts, of which one is read after the other.
pub struct FactMentions {
    asked: ProbedQuestions,
    /// Topic of each fact that pairs are made of; none for the others.
    topics: Vec<Option<String>>,
    /// Sentences by fact.
    sentences: Vec<Vec<FactSentence<'static>>>,
    /// Responses by fact that its sentences can stand in.
    hosts: Vec<Vec<Host>>,
    wants: Mentions,
}

/// Which mentions of facts are kept.
#[derive(Clone, Copy, Debug)]
pub struct Mentions {
    /// The sentences themselves.
    pub sentences: bool,
    /// The responses that they stand in.
    pub hosts: bool,
}

impl FactMentions {
    /// Before the first response, of those facts that `is_used` chooses.
    pub fn new(
        facts: &[ProbedFact],
        wants: Mentions,
        is_used: impl Fn(&ProbedFact) -> bool,
    ) -> Self {
        let asked = ProbedQuestions::new(
            facts.iter().map(|fact| (fact.truth.as_slice(), fact.claim.as_ref())),
        );
        let topics = facts.iter().map(|fact| is_used(fact).then(|| fact.topic.clone()));
        // Facts that no pair is made of keep their numbers, but nothing that is said about them.
        let topics: Vec<Option<String>> = topics.collect();
        let sentences = topics.iter().map(|_| Vec::new()).collect();
        let hosts = topics.iter().map(|_| Vec::new()).collect();
        Self { asked, topics, sentences, hosts, wants }
    }

    /// Adds the claims of a response in whole sentences about probed facts of its topic.
    pub fn add(&mut self, verified: &VerifiedResponse) {
        let response = &verified.response;
        let mut found: Vec<(usize, JudgedClaim<'_>)> = Vec::new();
        for judged in verified.judged().into_iter().filter(JudgedClaim::is_fact) {
            if !is_sentence(&judged.claim.text) {
                continue;
            }
            // Evidence of another topic's article may answer a question about that topic.
            let fact = self.asked.of(&judged.claim.text, judged.evidence);
            let is_own = |fact: &usize| self.topics[*fact].as_ref() == Some(&response.topic);
            found.extend(fact.filter(is_own).map(|fact| (fact, judged)));
        }
        if self.wants.sentences {
            for (fact, judged) in &found {
                self.sentences[*fact].push(sentence_of(response, judged));
            }
        }
        if self.wants.hosts {
            self.add_hosts(response, &found);
        }
    }

    /// Adds a finished response that states or contradicts facts in sentences which another one can
    /// replace.
    fn add_hosts(&mut self, response: &Response, found: &[(usize, JudgedClaim<'_>)]) {
        let mut output: Option<Rc<str>> = None;
        for (fact, judged) in found {
            // A truncated response has no end that the model would learn, pieces have other words
            // between them, and a second statement of the fact would contradict one of the two.
            let is_once = found.iter().filter(|(other, _)| other == fact).count() == 1;
            if is_once && response.finish == Finish::Stop && judged.claim.spans.is_empty() {
                // One copy, however many facts the response states.
                let output = output.get_or_insert_with(|| response.output.as_str().into());
                let host = Host { output: Rc::clone(output), span: judged.claim.span };
                self.hosts[*fact].push(host);
            }
        }
    }

    /// The sentences about a fact, which are asked for once.
    pub(super) fn sentences(&mut self, fact: usize) -> Vec<FactSentence<'static>> {
        std::mem::take(&mut self.sentences[fact])
    }

    /// The responses that sentences about a fact can stand in.
    pub(super) fn hosts(&mut self, fact: usize) -> Vec<Host> {
        std::mem::take(&mut self.hosts[fact])
    }
}

fn sentence_of(response: &Response, judged: &JudgedClaim<'_>) -> FactSentence<'static> {
    let claim = judged.claim;
    let (text, span) = if claim.spans.is_empty() {
        cut_out(&response.output, claim.span)
    } else {
        // Pieces are no sentence, but the claim is one.
        placed(&response.output, &claim.text)
    };
    let is_right = judged.label == FactLabel::Supported;
    FactSentence { id: Cow::Owned(claim.id.to_string()), text, span, is_right }
}

impl Host {
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

/// Whether a claim is a whole sentence, not a bare value or truncated.
fn is_sentence(claim: &str) -> bool {
    claim.trim_end().ends_with(['.', '!', '\u{201d}', '"']) && words(claim).len() >= LEAST_WORDS
}

/// A sentence of a response as its first one: with the white space at the response's beginning.
fn cut_out(output: &str, span: CharSpan) -> (Cow<'static, str>, CharSpan) {
    placed(output, &span.of(output))
}

/// A sentence with the white space at a response's beginning.
pub(super) fn placed(output: &str, sentence: &str) -> (Cow<'static, str>, CharSpan) {
    // Tokenizers merge the space into the first word: without it the tokens would be others than
    // those that the model writes.
    let space: String = output.chars().take_while(|letter| letter.is_whitespace()).collect();
    let start = space.chars().count();
    let placed = CharSpan::new(start, start + sentence.chars().count());
    (Cow::Owned(format!("{space}{sentence}")), placed)
}
