//! Bins of equivalent answers (FactTune; Tian et al. 2023, arXiv 2311.08401).

use std::collections::BTreeSet;

use crate::{facts::words, rows::ProbedAnswer};

/// The bin of equivalent answers: by its claim, or by its whole text without claim.
pub(super) fn bin_of(answer: &ProbedAnswer) -> String {
    // Around the claim an answer may have words that no other answer has.
    bin(if answer.claim.is_empty() { &answer.output } else { &answer.claim })
}

/// Texts are equivalent if their normal forms have the same set of words (the first two of
/// FactTune's rules; the others apply to answers that are not sentences).
pub(super) fn bin(text: &str) -> String {
    words(text).into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
}
