//! Two words as the answer of a language model: which of them it says, and their log-odds.

use std::ops::Range;

use super::reply::{FinishReason, Reply, ReplyToken};
use crate::rows::after_reasoning;

/// Letters that a part of a word needs, if a tokenizer splits the word.
const SHORTEST_PART: usize = 2;
/// Log-probabilities of servers are rounded: what the listed tokens leave of 1 is no less.
const ROUNDING: f64 = 1e-6;
/// An unlisted word is less probable than the last listed one, which a tie would hide.
const LESS: f64 = 1.0 - 1e-9;

/// Log-odds of one word against another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Odds {
    /// In nats.
    pub log_odds: f64,
    /// Whether one of the words is not among the alternatives that the server lists. It is less
    /// probable than the last of them then, so that the true log-odds are further from 0.
    pub is_bound: bool,
    /// Whether the answer says one of the words. Otherwise they are alternatives of what it says.
    pub is_said: bool,
}

/// What an answer says of two words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SaidWord {
    /// One of them.
    One {
        /// Whether it is the first one.
        is_yes: bool,
        /// Its log-odds; none where its tokens are single letters.
        odds: Option<Odds>,
    },
    /// None of them; its log-odds where one of them is first among the alternatives.
    Neither(Option<Odds>),
    /// Both, or one after a denial: "not true".
    Unclear,
}

/// Words that turn what follows them into its opposite, or leave it open.
const DENIALS: [&str; 7] = ["not", "no", "never", "neither", "nor", "cannot", "without"];

impl Reply {
    /// What it says of two words in lower case, in any case and after any reasoning. A word that
    /// begins the answer and ends a sentence counts, whatever explanation follows.
    pub fn said(&self, yes: &str, no: &str) -> SaidWord {
        let answer = SaidText::of(self);
        let words = answer.words(self.finish, [yes, no]);
        let is_one = |(_, word): &&(Range<usize>, String)| word == yes || word == no;
        let Some(first) = words.iter().find(is_one) else {
            let others = answer.tokens.iter().map(|(_, token)| *token);
            // A token that is a word is a part of another one here: "un", "true".
            let others = others.filter(|token| !stands_for_any(&token.token, [yes, no]));
            return SaidWord::Neither(others.into_iter().find_map(|token| odds(token, yes, no)));
        };
        let (place, word) = first;
        let other = words.iter().find(|other| is_one(other) && other.1 != *word);
        let before = words.iter().take_while(|other| other.0.start < place.start);
        let is_unclear = match other {
            None => before.clone().any(|(_, word)| is_denial(word)),
            Some(_) if before.count() > 0 => true,
            Some((other, _)) => !answer.text[place.end..other.start].contains(['.', '\n', '!']),
        };
        if is_unclear {
            return SaidWord::Unclear;
        }
        let parts = answer.tokens.iter().filter(|(at, token)| {
            at.start < place.end && at.end > place.start && stands_for_any(&token.token, [yes, no])
        });
        let odds = parts.into_iter().find_map(|(_, token)| odds(token, yes, no));
        let odds = odds.map(|odds| Odds { is_said: true, ..odds });
        SaidWord::One { is_yes: word == yes, odds }
    }

    /// Its text after any reasoning. A server may cut the reasoning from the text and not from the
    /// tokens, so tokens count where it sends them.
    pub fn answer(&self) -> String {
        SaidText::of(self).text
    }
}

/// What follows the reasoning of a reply.
struct SaidText<'a> {
    text: String,
    /// Its tokens with their places in the text.
    tokens: Vec<(Range<usize>, &'a ReplyToken)>,
}

impl<'a> SaidText<'a> {
    fn of(reply: &'a Reply) -> Self {
        let mut whole = String::new();
        let mut places = Vec::new();
        for token in &reply.tokens {
            let start = whole.len();
            whole.extend(token.token.chars().map(spelled));
            places.push((start..whole.len(), token));
        }
        if places.is_empty() {
            whole.clone_from(&reply.text);
        }
        let start = whole.len() - after_reasoning(&whole).len();
        let places = places.into_iter().filter(|(place, _)| place.end > start);
        let tokens = places
            .map(|(place, token)| (place.start.saturating_sub(start)..place.end - start, token));
        Self { tokens: tokens.collect(), text: whole.split_off(start) }
    }

    /// Its words in lower case, with their places. The beginning of one of these words at the end
    /// of an answer that was cut off is that word.
    fn words(&self, finish: FinishReason, known: [&str; 2]) -> Vec<(Range<usize>, String)> {
        let is_part =
            |letter: char| letter.is_alphanumeric() || matches!(letter, '\'' | '\u{2019}');
        let mut words = Vec::new();
        let mut at = 0;
        for part in self.text.split(|letter| !is_part(letter)) {
            let start = at;
            at += part.len()
                + self.text[start + part.len()..].chars().next().map_or(0, char::len_utf8);
            let word = part.trim_matches(['\'', '\u{2019}']).to_lowercase();
            if !word.is_empty() {
                words.push((start..start + part.len(), word));
            }
        }
        if finish == FinishReason::Length
            && let Some((place, last)) = words.last_mut()
            && place.end == self.text.len()
            && let Some(word) = known.into_iter().find(|word| stands_for(last, word))
        {
            word.clone_into(last);
        }
        words
    }
}

fn is_denial(word: &str) -> bool {
    DENIALS.contains(&word) || word.ends_with("n't") || word.ends_with("n\u{2019}t")
}

/// Some servers show white space of a token as the vocabulary's letter for it.
fn spelled(letter: char) -> char {
    match letter {
        '\u{120}' | '\u{2581}' => ' ',
        '\u{10a}' => '\n',
        other => other,
    }
}

/// Log-odds in the place of a token.
fn odds(token: &ReplyToken, yes: &str, no: &str) -> Option<Odds> {
    let sum = |word: &str| -> f64 {
        let own = token.alternatives.iter().filter(|(text, _)| stands_for(text, word));
        own.map(|(_, log_prob)| log_prob.exp()).sum()
    };
    let listed = || token.alternatives.iter().map(|(_, log_prob)| log_prob.exp());
    // Where few are listed, all others together have less than the last one.
    let rest = (1.0 - listed().sum::<f64>()).max(ROUNDING);
    let most = listed().fold(rest, f64::min) * LESS;
    let (of_yes, of_no) = (sum(yes), sum(no));
    if of_yes == 0.0 && of_no == 0.0 {
        return None;
    }
    let is_bound = of_yes == 0.0 || of_no == 0.0;
    // The smallest number stands for an underflow, whose logarithm would be infinite.
    let [of_yes, of_no] =
        [of_yes, of_no].map(|sum| if sum == 0.0 { most.max(f64::MIN_POSITIVE) } else { sum });
    Some(Odds { log_odds: of_yes.ln() - of_no.ln(), is_bound, is_said: false })
}

/// Whether a token is a word or the beginning of one.
fn stands_for(token: &str, word: &str) -> bool {
    let text = token.trim_matches(|letter: char| !spelled(letter).is_alphanumeric());
    let text = text.to_lowercase();
    text.chars().count() >= SHORTEST_PART && word.starts_with(&text)
}

fn stands_for_any(token: &str, words: [&str; 2]) -> bool {
    words.iter().any(|word| stands_for(token, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(tokens: &[&[(&str, f64)]]) -> Reply {
        let tokens = tokens.iter().map(|alternatives| ReplyToken {
            token: alternatives[0].0.to_owned(),
            log_prob: alternatives[0].1.ln(),
            alternatives: alternatives
                .iter()
                .map(|(text, probability)| ((*text).to_owned(), probability.ln()))
                .collect(),
        });
        let (text, finish, usage) = (String::new(), FinishReason::Stop, None);
        Reply { text, finish, tokens: tokens.collect(), usage }
    }

    fn odds_of(tokens: &[&[(&str, f64)]]) -> Option<Odds> {
        match reply(tokens).said("true", "false") {
            SaidWord::One { odds, .. } | SaidWord::Neither(odds) => odds,
            SaidWord::Unclear => None,
        }
    }

    fn log_odds(tokens: &[&[(&str, f64)]]) -> Option<(f64, bool)> {
        odds_of(tokens).map(|odds| (odds.log_odds, odds.is_bound))
    }

    #[test]
    fn reasoning_denials_and_both_words_are_no_answer() {
        let said = |text: &str, finish: FinishReason| {
            let (tokens, usage) = (Vec::new(), None);
            Reply { text: text.to_owned(), finish, tokens, usage }.said("true", "false")
        };
        let (yes, no) = (Some(true), Some(false));
        for (text, expected) in [
            ("True.", yes),
            ("**false**", no),
            ("The answer is 'True'", yes),
            ("<think>True</think>False", no),
            ("False. It is not true that", no),
            ("False\nIt is true that", no),
            ("True, since he did not", yes),
            ("It is not true", None),
            ("It isn\u{2019}t true", None),
            ("Not True", None),
            ("Neither True nor False", None),
            ("The claim 'True Grit' is False", None),
            ("True or False? False", None),
            ("False? No, true", None),
        ] {
            let expected = match expected {
                Some(is_yes) => SaidWord::One { is_yes, odds: None },
                None => SaidWord::Unclear,
            };
            assert_eq!(said(text, FinishReason::Stop), expected, "{text}");
        }
        for text in ["untrue", "<think>True", "Yes", "", "Fal"] {
            assert_eq!(said(text, FinishReason::Stop), SaidWord::Neither(None), "{text}");
        }
        let cut = said("Fal", FinishReason::Length);
        assert_eq!(cut, SaidWord::One { is_yes: false, odds: None });
    }

    #[test]
    fn log_odds_are_of_the_answer_and_not_of_its_reasoning() {
        let thought: [&[(&str, f64)]; 4] = [
            &[("<think>", 1.0)],
            &[("True", 0.9), ("False", 0.1)],
            &[("</think>", 1.0)],
            &[("False", 0.75), ("True", 0.25)],
        ];
        let (found, _) = log_odds(&thought).unwrap();
        assert!((found + 3f64.ln()).abs() < 1e-12, "{found}");
        assert_eq!(log_odds(&thought[..2]), None, "the reasoning was cut off");
        assert_eq!(log_odds(&[&[("Not", 1.0)], &[(" True", 0.9), (" False", 0.1)]]), None);
        assert_eq!(log_odds(&[&[("un", 1.0)], &[("true", 0.9), ("false", 0.1)]]), None);
    }

    #[test]
    fn all_spellings_of_a_word_count() {
        let (found, is_bound) = log_odds(&[&[
            ("True", 0.3),
            (" true", 0.2),
            ("\u{120}TRUE.", 0.1),
            ("Fal", 0.1),
            ("\u{2581}False", 0.1),
            ("F", 0.05),
            ("The", 0.05),
        ]])
        .unwrap();
        assert!((found - 3f64.ln()).abs() < 1e-12 && !is_bound, "{found}");
    }

    #[test]
    fn marks_before_the_answer_are_passed_over() {
        let (found, _) =
            log_odds(&[&[("**", 0.9), ("\n", 0.1)], &[("False", 0.75), ("True", 0.25)]]).unwrap();
        assert!((found + 3f64.ln()).abs() < 1e-12);
        let opening: &[(&str, f64)] = &[("**", 0.9), ("True", 0.02), ("False", 0.01)];
        let (found, _) = log_odds(&[opening, &[("False", 0.75), ("True", 0.25)]]).unwrap();
        assert!((found + 3f64.ln()).abs() < 1e-12, "the word that is said counts: {found}");
    }

    #[test]
    fn words_that_are_not_said_count_where_they_are_alternatives() {
        let unsaid = [&[("The", 0.9)][..], &[(" claim", 0.5), ("True", 0.2), ("False", 0.1)]];
        let found = odds_of(&unsaid).unwrap();
        assert!((found.log_odds - 2f64.ln()).abs() < 1e-12 && !found.is_said && !found.is_bound);
        assert!(odds_of(&[&[("True", 0.9), ("False", 0.1)]]).unwrap().is_said);
    }

    #[test]
    fn an_unlisted_word_is_less_probable_than_the_listed_ones() {
        let (found, is_bound) = log_odds(&[&[("True", 0.8), ("Yes", 0.1)]]).unwrap();
        assert!((found - 8f64.ln()).abs() < 1e-8 && is_bound);
        // Servers that list no alternatives: the other word has at most what is left of 1.
        let (found, is_bound) = log_odds(&[&[("False", 0.9)]]).unwrap();
        assert!((found + 9f64.ln()).abs() < 1e-8 && is_bound, "{found}");
        let (found, _) = log_odds(&[&[("True", 1.0)]]).unwrap();
        assert!((found - 1e6f64.ln()).abs() < 1e-8, "{found}");
        // The last listed word is still more probable than one that is not listed.
        let (found, _) = log_odds(&[&[("Yes", 0.8), ("False", 0.1)]]).unwrap();
        assert!(found < 0.0 && found > -1e-8, "{found}");
        assert_eq!(log_odds(&[&[("Yes", 0.9)]]), None);
        assert_eq!(log_odds(&[]), None);
    }
}
