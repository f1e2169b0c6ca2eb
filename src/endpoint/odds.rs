//! Log-odds of two words as the answer of a language model.

use super::reply::{Reply, ReplyToken};

/// Letters that a part of a word needs, if a tokenizer splits the word.
const SHORTEST_PART: usize = 2;

/// Log-odds of one word against another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Odds {
    /// In nats.
    pub log_odds: f64,
    /// Whether one of the words is not among the alternatives that the server lists. It is less
    /// probable than the last of them then, so that the true log-odds are further from 0.
    pub is_bound: bool,
}

impl Reply {
    /// Log-odds of `yes` against `no` where the answer first has one of them, in any case and with
    /// marks or spaces around it; none if it never has.
    pub fn odds(&self, yes: &str, no: &str) -> Option<Odds> {
        self.tokens.iter().find_map(|token| odds(token, yes, no))
    }
}

fn odds(token: &ReplyToken, yes: &str, no: &str) -> Option<Odds> {
    let sum = |word: &str| -> f64 {
        let own = token.alternatives.iter().filter(|(text, _)| stands_for(text, word));
        own.map(|(_, log_prob)| log_prob.exp()).sum()
    };
    // One that is not listed is at most as probable as the last one that is.
    let least = token.alternatives.iter().map(|(_, at)| at.exp()).fold(1.0, f64::min);
    let (of_yes, of_no) = (sum(yes), sum(no));
    if of_yes == 0.0 && of_no == 0.0 {
        return None;
    }
    let is_bound = of_yes == 0.0 || of_no == 0.0;
    // The smallest number stands for an underflow, whose logarithm would be infinite.
    let [of_yes, of_no] =
        [of_yes, of_no].map(|sum| if sum == 0.0 { least.max(f64::MIN_POSITIVE) } else { sum });
    Some(Odds { log_odds: of_yes.ln() - of_no.ln(), is_bound })
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
    }

    #[test]
    fn an_unlisted_word_is_less_probable_than_the_listed_ones() {
        let (found, is_bound) = log_odds(&[&[("True", 0.8), ("Yes", 0.1)]]).unwrap();
        assert!((found - 8f64.ln()).abs() < 1e-12 && is_bound);
        assert_eq!(log_odds(&[&[("Yes", 0.9)]]), None);
        assert_eq!(log_odds(&[]), None);
    }
}
