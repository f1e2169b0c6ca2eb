//! Claims from what a model lists of a sentence: where they stand, which repeat others, and which
//! have words that nobody said.

use std::collections::BTreeMap;

use crate::{
    facts::{AnswerSentence, ContentWords, normalise},
    rows::{CharSpan, Claim, ClaimId, Response},
};

/// The claims of one response, sentence by sentence.
#[derive(Debug)]
pub(super) struct SentenceClaims<'a> {
    response: &'a Response,
    /// Content words of the prompt and the answer.
    said: ContentWords,
    seen: BTreeMap<String, ClaimId>,
    /// The claims so far.
    pub(super) claims: Vec<Claim>,
}

impl<'a> SentenceClaims<'a> {
    /// No claims yet.
    pub(super) fn new(response: &'a Response) -> Self {
        let Response { topic, prompt, output, .. } = response;
        let asked = prompt.text();
        // Models put the topic's name for a pronoun, which must not count as a foreign word.
        let said = ContentWords::of(&format!("{topic} {asked} {output}"), "");
        Self { response, said, seen: BTreeMap::new(), claims: Vec::new() }
    }

    /// Adds what a model lists of a sentence.
    pub(super) fn add(&mut self, sentence: &AnswerSentence, facts: Vec<String>) {
        for text in facts {
            let id = self.response.id.claim(self.claims.len());
            let words = ContentWords::of(&text, "");
            let known = normalise(&text);
            let duplicate_of = self.seen.get(&known).cloned();
            // The first id stays, so that no duplicate refers to another duplicate.
            if duplicate_of.is_none() {
                self.seen.insert(known, id.clone());
            }
            let spans = match sentence.pieces(&text) {
                // Only the sentence is known.
                pieces if pieces.is_empty() => vec![sentence.span()],
                pieces => pieces,
            };
            let (first, last) = (spans[0], spans[spans.len() - 1]);
            self.claims.push(Claim {
                id,
                response_id: self.response.id.clone(),
                topic: self.response.topic.clone(),
                span: CharSpan::new(first.start(), last.end()),
                spans,
                sentence: Some(sentence.span()),
                duplicate_of,
                unfaithful: words.shared(&self.said) < words.len(),
                text,
                ..Claim::default()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::answer_sentences,
        rows::{Finish, ResponseId},
    };

    #[test]
    fn claims_know_their_place_their_doubles_and_foreign_words() {
        let response = Response {
            id: ResponseId::of_sample("p", 0),
            prompt_id: "p".to_owned(),
            sample: 0,
            topic: "Ada Quill".to_owned(),
            domain: String::new(),
            split: String::new(),
            prompt: "Who is Ada Quill?".into(),
            output: "She was born in *Oslo*. She was born in Oslo.".to_owned(),
            finish: Finish::Stop,
        };
        let sentences = answer_sentences(&response.output);
        let mut found = SentenceClaims::new(&response);
        found.add(&sentences[0], vec!["Ada Quill was born in Oslo.".to_owned()]);
        let facts = ["Ada Quill was born in Oslo!", "Ada Quill was born in Norway.", "Yes."];
        found.add(&sentences[1], facts.map(str::to_owned).to_vec());
        let claims = &found.claims;
        let ids: Vec<&str> = claims.iter().map(|claim| claim.id.as_str()).collect();
        assert_eq!(ids, ["p#0/0", "p#0/1", "p#0/2", "p#0/3"]);
        assert_eq!(claims[0].span.of(&response.output), "was born in *Oslo");
        assert_eq!(claims[1].duplicate_of.as_ref(), Some(&claims[0].id));
        assert_eq!(claims[2].span.of(&response.output), "was born in");
        let unfaithful: Vec<bool> = claims.iter().map(|claim| claim.unfaithful).collect();
        assert_eq!(unfaithful, [false, false, true, true]);
        assert_eq!(claims[3].span, sentences[1].span());
        assert!(claims.iter().all(|claim| claim.sentence.is_some()));
    }
}
