//! The marks of FActScore's database inside the text of an article.

/// What FActScore puts between the passages of an article.
pub(super) const SEPARATOR: &str = "####SPECIAL####SEPARATOR####";

/// A text without FActScore's separators of passages and sentences.
pub(super) fn plain(text: &str) -> String {
    text.replace(SEPARATOR, "\n").replace("<s>", "").replace("</s>", "\n")
}
