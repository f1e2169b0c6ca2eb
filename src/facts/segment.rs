//! Texts into sentences, by rules: abbreviations, initials and decimals do not end one.

/// A sentence of a text, without the white space around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Its first character (not byte) in the text.
    pub start: usize,
    /// The character after its last one.
    pub end: usize,
    /// Its text.
    pub text: String,
}

/// Abbreviations after which a sentence goes on, unless a word of [`STARTERS`] follows.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "e.g", "i.e", "vol", "fig", "approx", "ca", "inc", "ltd",
    "co", "gen", "col", "lt", "sgt", "rev", "hon", "mt", "ft", "dept", "univ", "jan", "feb", "mar", "apr", "jun",
    "jul", "aug", "sep", "sept", "oct", "nov", "dec", "capt", "gov", "sen", "rep", "pres",
];

/// Words that, with a capital, begin a sentence even after an abbreviation or an initial.
const STARTERS: &[&str] = &[
    "it", "its", "he", "his", "she", "her", "they", "their", "the", "this", "these", "in", "on", "after", "during",
    "as", "a", "an", "however", "there",
];

/// Splits a text at line ends and after full stops, question and exclamation marks that end a sentence.
pub fn sentences(text: &str) -> Vec<Sentence> {
    let letters: Vec<char> = text.chars().collect();
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut index = 0;
    while index < letters.len() {
        let mut end = index + 1;
        let mut ends = letters[index] == '\n';
        if matches!(letters[index], '.' | '!' | '?' | '\u{2026}') {
            while letters
                .get(end)
                .is_some_and(|c| matches!(c, '.' | '!' | '?' | '"' | '\'' | '\u{201d}' | '\u{2019}' | ')' | ']'))
            {
                end += 1;
            }
            ends = ends_sentence(&letters, start, index, end);
        }
        if ends {
            push_trimmed(&letters, start, end, &mut sentences);
            start = end;
        }
        index = end;
    }
    push_trimmed(&letters, start, letters.len(), &mut sentences);
    sentences
}

fn push_trimmed(letters: &[char], mut start: usize, mut end: usize, sentences: &mut Vec<Sentence>) {
    while start < end && letters[start].is_whitespace() {
        start += 1;
    }
    while end > start && letters[end - 1].is_whitespace() {
        end -= 1;
    }
    if start < end {
        sentences.push(Sentence { start, end, text: letters[start..end].iter().collect() });
    }
}

/// Whether the mark at `mark`, whose closing quotes and brackets reach up to `end`, ends the sentence begun at `start`.
fn ends_sentence(letters: &[char], start: usize, mark: usize, end: usize) -> bool {
    let Some(&after) = letters.get(end) else { return true };
    if !after.is_whitespace() {
        return false;
    }
    let next: String = letters[end..]
        .iter()
        .skip_while(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '(' | '[' | '\u{201c}' | '\u{2018}'))
        .take_while(|c| c.is_alphanumeric())
        .collect();
    if next.chars().next().is_some_and(char::is_lowercase) {
        return false;
    }
    if letters[mark] != '.' {
        return true;
    }
    let before: String = letters[start..mark].iter().rev().take_while(|c| !c.is_whitespace()).collect();
    let token: String = before.chars().rev().skip_while(|c| !c.is_alphanumeric()).collect();
    let number = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
    let first_word = letters[start..mark].iter().skip_while(|c| c.is_whitespace()).all(|c| !c.is_whitespace());
    let initials = !token.is_empty() && token.split('.').all(|part| part.chars().count() == 1 && !number(part));
    if initials || ABBREVIATIONS.contains(&token.to_lowercase().as_str()) {
        return STARTERS.contains(&next.to_lowercase().as_str());
    }
    let numbered_item = number(&token) && first_word && !next.is_empty();
    let number_sign = token.eq_ignore_ascii_case("no") && number(&next);
    !numbered_item && !number_sign
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found = sentences(text);
        let texts: Vec<&str> = found.iter().map(|sentence| sentence.text.as_str()).collect();
        assert_eq!(texts, expected);
        let letters: Vec<char> = text.chars().collect();
        for sentence in &found {
            assert_eq!(letters[sentence.start..sentence.end].iter().collect::<String>(), sentence.text);
        }
    }

    #[test]
    fn plain_sentences() {
        check(" She was born in 1867. She died in 1934.", &["She was born in 1867.", "She died in 1934."]);
        check("One!  Two? Three", &["One!", "Two?", "Three"]);
        check("É vrai. \u{201c}Ça va.\u{201d} Oui.", &["É vrai.", "\u{201c}Ça va.\u{201d}", "Oui."]);
        check(" \n \n", &[]);
        check("", &[]);
        check("first line\nsecond line", &["first line", "second line"]);
    }

    #[test]
    fn abbreviations_initials_and_decimals() {
        check("Dr. J. K. Rowling met Mr. Smith.", &["Dr. J. K. Rowling met Mr. Smith."]);
        check("It weighs 3.5 kg. It is No. 5.", &["It weighs 3.5 kg.", "It is No. 5."]);
        check(
            "Its capital is Washington D.C. Its currency is the US dollar.",
            &["Its capital is Washington D.C.", "Its currency is the US dollar."],
        );
        check("Its symbol is H. It is a gas.", &["Its symbol is H.", "It is a gas."]);
        check("Its symbol is Mt. Its group is 9.", &["Its symbol is Mt.", "Its group is 9."]);
        check("Its symbol is No. It is solid.", &["Its symbol is No.", "It is solid."]);
        check(
            "Its capital is St. George's. It has no land border.",
            &["Its capital is St. George's.", "It has no land border."],
        );
        check("He lives in the U.S. state of Ohio.", &["He lives in the U.S. state of Ohio."]);
        check("1. She was born. 2. She died.", &["1. She was born.", "2. She died."]);
    }
}
