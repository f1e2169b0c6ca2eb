//! Sentences that a model did not say: its own one about a fact, with another value.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    facts::normalise,
    rows::{CharSpan, ProbedFact},
    seed::Stream,
};

use super::sentences::FactSentence;

/// Adds sentences to a fact that lacks them: a right one if there is none, and contradicting ones
/// until there are `most`.
///
/// All are the first sentence of the model about this fact with the value of a sentence of the
/// knowledge: a right value is that of this fact, a contradicting one that of the same attribute of
/// another topic. Nothing is added where the model said nothing about the fact, or no value fits.
pub(super) fn complete<'a>(
    fact: &'a ProbedFact,
    facts: &[&ProbedFact],
    most: usize,
    said: &mut Vec<FactSentence<'a>>,
    stream: &mut Stream,
) {
    let Some(model) = said.first() else { return };
    let (text, span) = (model.text.clone(), model.span);
    let made = |stated: &str, topic: &str, is_right: bool| {
        let sentence = with_value(&span.of(&text), stated, topic)?;
        let before: String = text.chars().take(span.start()).collect();
        let span = CharSpan::new(span.start(), span.start() + sentence.chars().count());
        let text = Cow::Owned(format!("{before}{sentence}"));
        Some(FactSentence { id: Cow::Borrowed(fact.id.as_str()), text, span, is_right })
    };
    let right: Vec<FactSentence<'a>> =
        fact.truth.iter().filter_map(|stated| made(stated, &fact.topic, true)).collect();
    // Every accepted value, so that none of them becomes a contradicting one.
    let mut seen: BTreeSet<String> =
        said.iter().chain(&right).map(|sentence| normalise(&sentence.text)).collect();
    let contradicting: BTreeSet<String> = said
        .iter()
        .filter(|sentence| !sentence.is_right)
        .map(|sentence| normalise(&sentence.text))
        .collect();
    let mut missing = most.saturating_sub(contradicting.len());
    if !said.iter().any(|sentence| sentence.is_right) {
        said.extend(right.into_iter().take(1));
    }
    let is_other =
        |other: &&&ProbedFact| other.domain == fact.domain && other.attribute == fact.attribute;
    let mut others: Vec<&&ProbedFact> =
        facts.iter().filter(is_other).filter(|other| other.topic != fact.topic).collect();
    stream.shuffle(&mut others);
    // Without attributes the values would be of another type, and so no guess of any model.
    if fact.attribute.is_none() {
        others.clear();
    }
    for other in others {
        let stated = other.truth.first().and_then(|stated| made(stated, &other.topic, false));
        let Some(sentence) = stated.filter(|_| missing > 0) else { continue };
        if seen.insert(normalise(&sentence.text)) {
            said.push(sentence);
            missing -= 1;
        }
    }
}

/// A sentence of the model with the value of a sentence of the knowledge, which begins with its
/// topic; none where the two do not have the first words after the topic in common.
///
/// "She was born in Oslo." and "Marie Curie was born in Warsaw." give "She was born in Warsaw."
fn with_value(sentence: &str, stated: &str, topic: &str) -> Option<String> {
    let rest = stated.strip_prefix(topic)?;
    // What follows without a space belongs to the name, such as the genitive's ending.
    let stated: Vec<&str> = rest.split_inclusive(char::is_whitespace).collect();
    let stated: Vec<&str> =
        stated.get(1..)?.iter().map(|word| word.trim()).filter(|word| !word.is_empty()).collect();
    let own: Vec<&str> = sentence.split_whitespace().collect();
    let start = own.iter().position(|word| Some(word) == stated.first())?;
    let common = own[start..].iter().zip(&stated).take_while(|(one, other)| one == other).count();
    // Without a word of its own the sentence of the knowledge has no value.
    let value = stated.get(common..).filter(|value| !value.is_empty())?;
    Some([&own[..start + common], value].concat().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{preference::atomic::tests::fact, rows::AnswerLabel, seed::Seed};

    const R: AnswerLabel = AnswerLabel::Right;
    const C: AnswerLabel = AnswerLabel::Contradicting;

    #[test]
    fn a_value_is_put_into_the_models_sentence() {
        let swapped = |sentence: &str, stated: &str| with_value(sentence, stated, "Marie Curie");
        for (sentence, stated, expected) in [
            (
                "She was born in Oslo.",
                "Marie Curie was born in Warsaw.",
                Some("She was born in Warsaw."),
            ),
            (
                "Her birth year was 1901.",
                "Marie Curie's birth year was 1867.",
                Some("Her birth year was 1867."),
            ),
            (
                "She held French citizenship.",
                "Marie Curie held Polish citizenship.",
                Some("She held Polish citizenship."),
            ),
            (
                "She is known for the art of war.",
                "Marie Curie is known for the discovery of radium.",
                Some("She is known for the discovery of radium."),
            ),
            ("She is still alive.", "Marie Curie died in 1934.", None),
            ("She was born in Oslo.", "Warsaw is where Marie Curie was born.", None),
            ("She was born in Oslo.", "Marie Curie was born in", None),
            ("She was born in Oslo.", "Marie Curie", None),
        ] {
            assert_eq!(swapped(sentence, stated).as_deref(), expected, "{sentence} {stated}");
        }
    }

    /// The sentences of Ann's fact beside the facts of others, whose values are `right`, or as
    /// given.
    fn completed(said: &[(AnswerLabel, &str)], most: usize) -> Vec<(String, bool)> {
        let asked = fact("Ann", "knew", said);
        let others =
            [("Bo", "tea"), ("Cy", "war"), ("Di", "right"), ("Ed", "law")].map(|(topic, value)| {
                ProbedFact {
                    truth: vec![format!("{topic} knew {value}.")],
                    ..fact(topic, "knew", &[])
                }
            });
        let elsewhere = ProbedFact {
            truth: vec!["Flo knew nothing.".to_owned()],
            domain: "places".to_owned(),
            ..fact("Flo", "knew", &[])
        };
        let facts: Vec<&ProbedFact> = others.iter().chain([&asked, &elsewhere]).collect();
        let mut sentences = crate::preference::sentences::own_answers(
            &asked,
            crate::preference::AtomicForm::Question,
        );
        complete(&asked, &facts, most, &mut sentences, &mut Seed::root(0).stream());
        let mut found: Vec<(String, bool)> = sentences
            .iter()
            .map(|sentence| {
                assert_eq!(sentence.span.of(&sentence.text), sentence.text.trim());
                (sentence.text.clone().into_owned(), sentence.is_right)
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn what_the_model_did_not_say_is_added_up_to_the_maximum() {
        let sentence = |value: &str, is_right| (format!(" She knew {value}."), is_right);
        // A known fact: values of other topics contradict it, but not the one that is right.
        assert_eq!(
            completed(&[(R, "right")], 8),
            [
                sentence("law", false),
                sentence("right", true),
                sentence("tea", false),
                sentence("war", false)
            ]
        );
        // An unknown one: the knowledge's own value.
        assert_eq!(
            completed(&[(C, "law"), (C, "gold")], 2),
            [sentence("gold", false), sentence("law", false), sentence("right", true)]
        );
        assert_eq!(completed(&[(R, "right"), (C, "law")], 2).len(), 3);
        assert_eq!(completed(&[], 8), []);
    }
}
