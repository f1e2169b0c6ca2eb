//! Answers into claims: each sentence by itself, its subject named, so that it can be judged without the answer.

use crate::language::Claim;

use super::segment::sentences;

/// Words that stand for the topic at the beginning of a sentence.
const PRONOUNS: &[&str] = &["she", "he", "it", "they"];
/// Words that stand for the topic's possessive at the beginning of a sentence.
const POSSESSIVES: &[&str] = &["her", "his", "its", "their"];
/// A frame has at most so many words: `Biographers record:`.
const LONGEST_FRAME: usize = 5;

/// The claims of one answer: one for each sentence that says anything at all.
///
/// A frame that ends in a colon (`Biographers record:`) and the mark of a list are no part of the fact; a leading
/// pronoun, or the last word of the topic's name alone, is replaced by the topic. What cannot be understood, or was cut
/// off, is a claim too: it counts as wrong, since the answer says it.
pub fn extract(response_id: &str, topic: &str, output: &str) -> Vec<Claim> {
    let mut claims = Vec::new();
    for sentence in sentences(output) {
        let skipped = frame_length(&sentence.text, topic);
        let fact: String = sentence.text.chars().skip(skipped).collect();
        if fact.chars().any(char::is_alphanumeric) {
            claims.push(Claim {
                id: format!("{response_id}/{}", claims.len()),
                response_id: response_id.to_owned(),
                text: with_subject(&fact, topic),
                span: [sentence.start + skipped, sentence.end],
            });
        }
    }
    claims
}

/// A text with its first letter in upper case.
pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// How many characters at the beginning are no part of the fact.
fn frame_length(sentence: &str, topic: &str) -> usize {
    let mut rest = sentence.trim_start_matches(['-', '*', '\u{2022}', ' ']);
    let number = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
    if number > 0 && number <= 2 && (rest[number..].starts_with(". ") || rest[number..].starts_with(") ")) {
        rest = rest[number + 1..].trim_start();
    }
    if let Some((frame, fact)) = rest.split_once(':')
        && is_frame(frame, topic)
        && (fact.is_empty() || fact.starts_with(' '))
        && !fact.trim_start().starts_with(char::is_lowercase)
    {
        rest = fact.trim_start();
    }
    sentence.chars().count() - rest.chars().count()
}

/// Whether the words before a colon only say who speaks, and so do not belong to the fact.
fn is_frame(words: &str, topic: &str) -> bool {
    let first = words.split_whitespace().next().unwrap_or_default().to_lowercase();
    let about_the_topic = !topic.is_empty() && words.starts_with(topic) && words.trim() != topic;
    words.split_whitespace().count() <= LONGEST_FRAME
        && !about_the_topic
        && !PRONOUNS.contains(&first.as_str())
        && !POSSESSIVES.contains(&first.as_str())
}

/// The fact with the topic's name in place of a leading pronoun, or of the last word of the name.
fn with_subject(fact: &str, topic: &str) -> String {
    if topic.is_empty() {
        return fact.to_owned();
    }
    let name = capitalised(topic);
    let end = fact.find(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '\u{2019}')).unwrap_or(fact.len());
    let (first, rest) = fact.split_at(end);
    let spelt = first.replace('\u{2019}', "'");
    let (word, suffix) = spelt.split_once('\'').map_or((spelt.as_str(), ""), |(word, suffix)| (word, suffix));
    let lower = word.to_lowercase();
    let last_name = topic.rsplit_once(' ').is_some_and(|(_, last)| last == word) && !fact.starts_with(topic);
    match suffix {
        "" if PRONOUNS.contains(&lower.as_str()) || last_name => format!("{name}{rest}"),
        "" if POSSESSIVES.contains(&lower.as_str()) => format!("{name}'s{rest}"),
        "s" if PRONOUNS.contains(&lower.as_str()) => format!("{name} is{rest}"),
        "s" if last_name => format!("{name}'s{rest}"),
        "re" if lower == "they" => format!("{name} are{rest}"),
        _ => fact.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(topic: &str, output: &str, expected: &[(&str, &str)]) {
        let letters: Vec<char> = output.chars().collect();
        let claims = extract("r#0", topic, output);
        let found: Vec<(String, String)> = claims
            .iter()
            .map(|claim| (claim.text.clone(), letters[claim.span[0]..claim.span[1]].iter().collect()))
            .collect();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(text, span)| ((*text).to_owned(), (*span).to_owned())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn subjects_are_named() {
        check(
            "Marie Curie",
            " Biographers record: She was born in Warsaw. Her birth year was 1867. Curie's field was physics.",
            &[
                ("Marie Curie was born in Warsaw.", "She was born in Warsaw."),
                ("Marie Curie's birth year was 1867.", "Her birth year was 1867."),
                ("Marie Curie's field was physics.", "Curie's field was physics."),
            ],
        );
        check("France", " Its capital is Paris.", &[("France's capital is Paris.", "Its capital is Paris.")]);
        check("hydrogen", "It's a gas.", &[("Hydrogen is a gas.", "It's a gas.")]);
        check("France", "France borders Spain.", &[("France borders Spain.", "France borders Spain.")]);
        check("", "It is late.", &[("It is late.", "It is late.")]);
    }

    #[test]
    fn what_says_nothing_is_no_claim_and_what_is_broken_is_one() {
        check("France", " ... Atlases list:", &[]);
        check("France", "", &[]);
        check("France", " Its capital is", &[("France's capital is", "Its capital is")]);
        check("France", " is Paris capital its.", &[("is Paris capital its.", "is Paris capital its.")]);
        check("France", "xx", &[("xx", "xx")]);
    }

    #[test]
    fn colons_inside_facts_stay() {
        check(
            "France",
            "It has two seas: Atlantic and Mediterranean.",
            &[("France has two seas: Atlantic and Mediterranean.", "It has two seas: Atlantic and Mediterranean.")],
        );
        check("Ann Lee", "1. Sources say: she sang.", &[("Sources say: she sang.", "Sources say: she sang.")]);
        check("Ann Lee", "- She sang at 10:30.", &[("Ann Lee sang at 10:30.", "She sang at 10:30.")]);
    }

    #[test]
    fn spans_count_characters() {
        let claims = extract("r", "Perú", "Él dijo. Perú está.");
        assert_eq!(claims[1].span, [9, 19]);
        assert_eq!((claims[0].id.as_str(), claims[1].id.as_str()), ("r/0", "r/1"));
    }
}
