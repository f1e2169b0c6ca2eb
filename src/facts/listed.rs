//! Claims that a language model lists, told apart as those of rules are.

use std::collections::BTreeSet;

use super::{
    claim::Answer, clauses::mark_repetitions, kind::of_claim, normal::normalise,
    number::is_measure, scan::tokens, subject::with_subject, token::Token, verb::is_verb,
};
use crate::rows::{Claim, ClaimKind};

/// Marks the claims that a language model listed of a response as rules mark theirs: kinds, and
/// facts in the words of an earlier one, whether their subject is the topic's name or a pronoun.
///
/// Of headings, rules make no claims; here they are claims of their kind: a line that is no prose,
/// the topic's name alone, and words before a colon.
pub fn mark_listed(claims: &mut [Claim], topic: &str, output: &str) {
    let answer = Answer::read(topic, output);
    let dropped: BTreeSet<String> =
        answer.prose.dropped.iter().map(|line| normalise(line)).collect();
    let mut normal = Vec::with_capacity(claims.len());
    for claim in claims.iter_mut() {
        let named = with_subject(&claim.text, &answer.about, answer.pronouns);
        let words = tokens(&named);
        let is_dropped = !states(&words) && dropped.contains(&normalise(&claim.text));
        claim.kind = match is_dropped || says_nothing(&named, topic) {
            true => ClaimKind::Heading,
            false => of_claim(&named, &words, &answer.about),
        };
        normal.push(normalise(&named));
    }
    mark_repetitions(claims, &normal);
}

/// Whether words have a verb or a number: a line in bold may be a sentence.
fn states(words: &[Token]) -> bool {
    words.iter().any(|word| !word.capital && is_verb(&word.word) || is_measure(&word.word))
}

/// Whether rules make no claim of a text.
fn says_nothing(text: &str, topic: &str) -> bool {
    // A model that lists a fact in bold makes no heading of it.
    let plain = text.trim_matches(|letter| matches!(letter, '#' | '*' | '_' | '|' | ' '));
    Answer::read(topic, plain).read.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::extract_clauses;

    const OUTPUT: &str = "# Ada Quill\n\nAda Quill sang. She is a person. She is an inspiration to \
        many. Her brother Bo danced. He is a person.\n\n## Early life\n\n**She was a poet**\n\nWho is \
        she? I have no information about her. I'm not sure, but she was born in Oslo. However, she \
        was a poet and teacher.\n\n| Field | Poetry |\n";

    fn listed(texts: &[&str]) -> Vec<Claim> {
        let claim = |(number, text): (usize, &&str)| Claim {
            id: format!("r/{number}").as_str().into(),
            text: (*text).to_owned(),
            ..Claim::default()
        };
        let mut claims: Vec<Claim> = texts.iter().enumerate().map(claim).collect();
        mark_listed(&mut claims, "Ada Quill", OUTPUT);
        claims
    }

    /// What rules claim, listed by a model, is marked as rules mark it.
    #[test]
    fn claims_of_rules_are_marked_alike() {
        let rules = extract_clauses(&"r".into(), "Ada Quill", OUTPUT);
        let texts: Vec<&str> = rules.iter().map(|claim| &*claim.text).collect();
        let marks = |claims: &[Claim]| -> Vec<_> {
            claims.iter().map(|claim| (claim.kind, claim.duplicate_of.clone())).collect()
        };
        assert_eq!(marks(&listed(&texts)), marks(&rules), "{texts:#?}");
    }

    #[test]
    fn what_rules_drop_is_a_heading_unless_it_states_something() {
        for text in ["Early life", "**Early life**", "Ada Quill", "Quill.", "Career:"] {
            assert_eq!(listed(&[text])[0].kind, ClaimKind::Heading, "{text}");
        }
        for text in ["She was a poet", "**Ada Quill was a poet**", "Career", "Born in 1901", "Poet"]
        {
            assert_eq!(listed(&[text])[0].kind, ClaimKind::Fact, "{text}");
        }
    }

    #[test]
    fn only_facts_repeat_facts() {
        let claims = listed(&[
            "She sang.",
            "Quill sang!",
            "Ada Quill sang",
            "He sang.",
            "She is a person.",
            "Ada Quill is a person.",
        ]);
        let repeated: Vec<Option<&str>> =
            claims.iter().map(|claim| claim.duplicate_of.as_ref().map(|id| id.as_str())).collect();
        assert_eq!(repeated, [None, Some("r/0"), Some("r/0"), None, None, None]);
    }
}
