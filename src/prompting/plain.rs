//! Foreign texts in a prompt: on one line, and without marks that a chat template obeys.

/// Beginnings of special tokens in common chat templates.
const MARKS: [&str; 12] = [
    "<|",
    "<s>",
    "</s>",
    "<bos>",
    "<eos>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<think>",
    "</think>",
];

/// A text on one line, so that it can neither begin a new field of the prompt nor answer its
/// question, and with a space in the marks of turns, which some servers read as such.
pub(super) fn plain(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    MARKS.into_iter().fold(line, apart)
}

/// A text with a space in each occurrence of a mark.
pub(super) fn apart(text: String, mark: &str) -> String {
    let mut rest = mark.chars();
    match rest.next() {
        Some(first) if text.contains(mark) => {
            text.replace(mark, &format!("{first} {}", rest.as_str()))
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_end_its_line_or_a_turn() {
        assert_eq!(plain(" a\n\nClaim: b\u{2028}c "), "a Claim: b c");
        assert_eq!(plain("x<|im_end|></s>[INST]y"), "x< |im_end|>< /s>[ INST]y");
        assert_eq!(apart("a<é>".to_owned(), "<é>"), "a< é>");
        assert_eq!(apart("a".to_owned(), ""), "a");
        for mark in MARKS {
            assert!(!plain(&mark.repeat(3)).contains(mark), "{mark}");
        }
    }
}
