//! Whether there is anything to check: questions, courtesies and refusals state no fact of the world.

use crate::facts::normalise;

/// Courtesies, whole.
const COURTESIES: &[&str] = &[
    "sure",
    "certainly",
    "of course",
    "thank you",
    "thanks",
    "you are welcome",
    "youre welcome",
    "hello",
    "hi",
    "i hope this helps",
    "i hope that helps",
    "hope this helps",
    "please let me know",
];

/// How courtesies and refusals begin (Min et al. 2023 count answers that begin with the first as abstentions).
const BEGINNINGS: &[&str] = &[
    "im sorry",
    "i am sorry",
    "sorry",
    "i apologize",
    "i apologise",
    "i hope this helps",
    "let me know if",
    "please let me know",
    "please provide more",
    "could you provide more",
    "i do not know",
    "i dont know",
    "i do not have",
    "i dont have",
    "i could not find",
    "i couldnt find",
    "i am unable",
    "im unable",
    "i am not able",
    "im not able",
    "i cannot",
    "i cant",
    "as ai",
    "im not sure",
    "i am not sure",
];

/// Whether a claim states something that could be checked.
///
/// Everything does but a text without letters and digits, a question, a pure courtesy, and a refusal by the speaker.
pub fn is_checkable(claim: &str) -> bool {
    let normal = normalise(claim);
    let begins = |start: &str| normal.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    !normal.is_empty()
        && !claim.trim_end().ends_with('?')
        && !COURTESIES.contains(&normal.as_str())
        && !BEGINNINGS.iter().any(|start| begins(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_states_nothing_is_irrelevant() {
        let nothing = [
            "",
            "...",
            "Who was she?",
            "Sure!",
            "I\u{2019}m sorry, but I do not know Ann Lee.",
            "As an AI, I cannot say.",
            "I hope this helps!",
        ];
        for claim in nothing {
            assert!(!is_checkable(claim), "{claim}");
        }
        let something = [
            "1867",
            "xx",
            "Marie Curie was",
            "Sorrow was her theme.",
            "Sure, she was born in 1867.",
            "I candidly say no.",
        ];
        for claim in something {
            assert!(is_checkable(claim), "{claim}");
        }
    }
}
