//! Log-odds of two words as the answer of a language model.

use super::reply::{Reply, ReplyToken};

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

impl Reply {
    /// Log-odds of `yes` against `no` where the answer first says one of them, in any case and with
    /// marks or spaces around it, or else where one of them is first among the alternatives; none
    /// if they never are.
    pub fn odds(&self, yes: &str, no: &str) -> Option<Odds> {
        let says =
            |token: &&ReplyToken| [yes, no].iter().any(|word| stands_for(&token.token, word));
        match self.tokens.iter().find(says) {
            Some(token) => odds(token, yes, no).map(|odds| Odds { is_said: true, ..odds }),
            None => self.tokens.iter().find_map(|token| odds(token, yes, no)),
        }
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
    // Some servers show the space of a token as the vocabulary's letter for it.
    let text = token.trim_matches(|letter: char| {
        !letter.is_alphanumeric() || matches!(letter, '\u{120}' | '\u{2581}')
    });
    let text = text.to_lowercase();
    text.chars().count() >= SHORTEST_PART && word.starts_with(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::reply::FinishReason;

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

    fn log_odds(tokens: &[&[(&str, f64)]]) -> Option<(f64, bool)> {
        let odds = reply(tokens).odds("true", "false")?;
        Some((odds.log_odds, odds.is_bound))
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
        let unsaid = reply(&[&[("The", 0.9)], &[(" claim", 0.5), ("True", 0.2), ("False", 0.1)]]);
        let found = unsaid.odds("true", "false").unwrap();
        assert!((found.log_odds - 2f64.ln()).abs() < 1e-12 && !found.is_said && !found.is_bound);
        assert!(reply(&[&[("True", 0.9), ("False", 0.1)]]).odds("true", "false").unwrap().is_said);
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
