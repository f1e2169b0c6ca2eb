//! Claims from what a model lists of a sentence: where they stand, and which have words that nobody
//! said.

use crate::{
    facts::{AnswerSentence, ContentWords, mark_listed, normalise},
    rows::{CharSpan, Claim, Response},
};

/// The claims of one response, sentence by sentence.
#[derive(Debug)]
pub(super) struct SentenceClaims<'a> {
    response: &'a Response,
    /// Content words of the prompt and the answer.
    said: ContentWords,
    claims: Vec<Claim>,
}

impl<'a> SentenceClaims<'a> {
    /// No claims yet.
    pub(super) fn new(response: &'a Response) -> Self {
        let Response { topic, prompt, output, .. } = response;
        let asked = prompt.text();
        // Models put the topic's name for a pronoun, which must not count as a foreign word.
        let said = format!("{topic} {asked} {output}");
        // In both spellings: `Bo’s` says `Bo`, and `7 May 1901` both the day and `1901`.
        let said = ContentWords::of(&format!("{said} {}", normalise(&said)), "");
        Self { response, said, claims: Vec::new() }
    }

    /// Adds what a model lists of a sentence.
    pub(super) fn add(&mut self, sentence: &AnswerSentence, facts: Vec<String>) {
        for text in facts {
            let id = self.response.id.claim(self.claims.len());
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
                unfaithful: !(self.says(&text) || self.says(&normalise(&text))),
                text,
                ..Claim::default()
            });
        }
    }

    fn says(&self, text: &str) -> bool {
        let words = ContentWords::of(text, "");
        words.shared(&self.said) == words.len()
    }

    /// The claims, with their kinds and repetitions.
    pub(super) fn marked(mut self) -> Vec<Claim> {
        mark_listed(&mut self.claims, &self.response.topic, &self.response.output);
        self.claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::answer_sentences,
        rows::{ClaimKind, Finish, ResponseId},
    };

    #[test]
    fn claims_know_their_place_their_kind_their_doubles_and_foreign_words() {
        let response = Response {
            id: ResponseId::of_sample("p", 0),
            prompt_id: "p".to_owned(),
            sample: 0,
            topic: "Ada Quill".to_owned(),
            domain: String::new(),
            split: String::new(),
            prompt: "Who is Ada Quill?".into(),
            output: "She was born in *Oslo*. She was born in Oslo on 7 May 1901, Bo\u{2019}s aunt."
                .to_owned(),
            finish: Finish::Stop,
        };
        let sentences = answer_sentences(&response.output);
        let mut found = SentenceClaims::new(&response);
        found.add(&sentences[0], vec!["Ada Quill was born in Oslo.".to_owned()]);
        let facts = [
            "Quill was born in Oslo!",
            "Ada Quill was born in Norway.",
            "Yes.",
            "Bo is a man.",
            "Bo was born in 1901.",
            "She is a person.",
        ];
        found.add(&sentences[1], facts.map(str::to_owned).to_vec());
        let claims = found.marked();
        let ids: Vec<&str> = claims.iter().map(|claim| claim.id.as_str()).collect();
        assert_eq!(ids[..4], ["p#0/0", "p#0/1", "p#0/2", "p#0/3"]);
        assert_eq!(claims[0].span.of(&response.output), "was born in *Oslo");
        assert_eq!(claims[1].duplicate_of.as_ref(), Some(&claims[0].id));
        assert_eq!(claims[2].span.of(&response.output), "was born in");
        let unfaithful: Vec<bool> = claims.iter().map(|claim| claim.unfaithful).collect();
        assert_eq!(unfaithful, [false, false, true, true, true, false, true]);
        use ClaimKind::{Fact, Refusal, Trivial};
        let kinds: Vec<ClaimKind> = claims.iter().map(|claim| claim.kind).collect();
        assert_eq!(kinds, [Fact, Fact, Fact, Refusal, Fact, Fact, Trivial]);
        assert_eq!(claims[3].span, sentences[1].span());
        assert!(claims.iter().all(|claim| claim.sentence.is_some()));
    }
}
