//! Lists that a language model writes.

use std::collections::BTreeSet;

use crate::rows::after_reasoning;

/// What a model's answer lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// The items in order, each once; none if the model says that there is none.
    Items(Vec<String>),
    /// No list, with what is wrong, for the model and for people.
    NoList(&'static str),
}

/// The items of an answer: lines after `-`, `*`, a bullet or a number. Reasoning before the answer,
/// a line that introduces the list, and fences of code are skipped. The single item `none` stands
/// for an empty list.
pub(super) fn listed(answer: &str) -> Listed {
    let mut items: Vec<String> = Vec::new();
    for line in after_reasoning(answer).lines().map(str::trim) {
        let is_frame = line.is_empty() || line.starts_with("```") || line.ends_with(':');
        match item(line) {
            Some(item) if !item.is_empty() => {
                // Small models repeat themselves until they are cut off.
                if !items.iter().any(|known| known == item) {
                    items.push(item.to_owned());
                }
            }
            Some(_) => {}
            None if is_frame => {}
            None if items.is_empty() => {
                return match is_none(line) {
                    true => Listed::Items(Vec::new()),
                    false => Listed::NoList("it has a line that does not begin with \"- \""),
                };
            }
            // Remarks after the list.
            None => break,
        }
    }
    match items.first() {
        None => Listed::NoList("it has no line that begins with \"- \""),
        Some(only) if items.len() == 1 && is_none(only) => Listed::Items(Vec::new()),
        Some(_) => Listed::Items(items),
    }
}

/// Where an answer's list begins to repeat itself: at its first complete line with the very item of
/// an earlier one. Greedy decoding by a small model then goes on so until it is cut off.
pub fn repeated_line(answer: &str) -> Option<usize> {
    let list = after_reasoning(answer);
    let mut place = answer.len() - list.len();
    let mut items = BTreeSet::new();
    for line in list.split_inclusive('\n') {
        let is_complete = line.ends_with('\n');
        let item = item(line.trim()).filter(|_| is_complete);
        if item.is_some_and(|item| !items.insert(item)) {
            return Some(place);
        }
        place += line.len();
    }
    None
}

/// The text of a line of a list.
fn item(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix(['-', '*', '\u{2022}', '\u{2013}']) {
        // `**Facts**` is a heading and `-5` a number.
        return rest
            .starts_with(char::is_whitespace)
            .then(|| rest.trim())
            .or_else(|| rest.is_empty().then_some(""));
    }
    let digits = line.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(line.len());
    let rest = line[digits..].strip_prefix(['.', ')']).filter(|_| digits > 0)?;
    rest.starts_with(char::is_whitespace).then(|| rest.trim())
}

fn is_none(item: &str) -> bool {
    let word = item.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase();
    ["none", "no facts", "no verifiable facts"].contains(&&*word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(answer: &str) -> Vec<String> {
        match listed(answer) {
            Listed::Items(items) => items,
            Listed::NoList(why) => panic!("{answer}: {why}"),
        }
    }

    #[test]
    fn lists_are_read_in_the_forms_that_models_write() {
        for answer in [
            "- One.\n- Two.",
            "Facts:\n* One.\n\n* Two.\n\nI hope this helps!",
            "<think>\n- Hm\n</think>\n1. One.\n2) Two.",
            "```\n\u{2022} One.\n- One.\n- Two.\n-\n```",
        ] {
            assert_eq!(items(answer), ["One.", "Two."], "{answer}");
        }
        assert_eq!(items("- 1990. It was 5."), ["1990. It was 5."]);
        for answer in ["- none", "- None.", "none", "None.", "Facts:\n- *none*"] {
            assert!(items(answer).is_empty(), "{answer}");
        }
        assert_eq!(items("- none\n- One."), ["none", "One."]);
    }

    #[test]
    fn a_list_repeats_itself_from_its_first_complete_line_with_a_known_item() {
        for (answer, kept) in [
            ("- One.\n- Two.\n- One.\n- Two.\n", "- One.\n- Two.\n"),
            ("1. One.\n2. One.\n3. Two.\n", "1. One.\n"),
            ("Facts:\n-\n-\n", "Facts:\n-\n"),
            ("<think>\n- One.\n</think>- One.\n- One.\n", "<think>\n- One.\n</think>- One.\n"),
        ] {
            assert_eq!(repeated_line(answer).map(|end| &answer[..end]), Some(kept), "{answer}");
        }
        for answer in
            ["- One.\n- One.", "- One.\n- one.\n", "So.\nSo.\n", "<think>\n- a\n- a\n", ""]
        {
            assert_eq!(repeated_line(answer), None, "{answer}");
        }
    }

    #[test]
    fn what_is_no_list_is_told() {
        for answer in ["", "Facts:", "She was born.", "<think> - a", "-5 degrees", "**Facts**"] {
            assert!(matches!(listed(answer), Listed::NoList(_)), "{answer}");
        }
    }
}
