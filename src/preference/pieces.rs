//! The pieces of a response that state its facts.

use crate::{
    rows::{CharSpan, FactLabel, StatedFact},
    verification::JudgedClaim,
};

/// The pieces of the facts among a response's claims, in the order of the claims.
///
/// Claims of one sentence share words: of `She sang in Oslo and Rome`, `She sang in` belongs to
/// both. A wrong fact keeps the words of its own only, since the shared ones are right; if all its
/// words are shared with right facts, it keeps them.
pub(super) fn pieces(judged: &[JudgedClaim<'_>]) -> Vec<StatedFact> {
    let is_right = |judged: &&JudgedClaim<'_>| judged.label == FactLabel::Supported;
    let mut right: Vec<CharSpan> = judged
        .iter()
        .filter(is_right)
        .flat_map(|judged| judged.claim.pieces().iter().copied())
        .collect();
    // Claims may come out of order, but `without` goes from left to right.
    right.sort_unstable();
    let mut found: Vec<StatedFact> = Vec::new();
    for judged in judged.iter().filter(|judged| judged.is_fact()) {
        let supported = judged.label == FactLabel::Supported;
        let all = judged.claim.pieces();
        // A claim without pieces of its own is one interval, as it was read.
        let own: Vec<CharSpan> = if supported || judged.claim.spans.is_empty() {
            all.to_vec()
        } else {
            all.iter().flat_map(|piece| without(*piece, &right)).collect()
        };
        let own = if own.is_empty() { all.to_vec() } else { own };
        for span in own {
            let fact = StatedFact { span, supported };
            // Two facts may share a piece, which is learnt once.
            if judged.claim.spans.is_empty() || !found.contains(&fact) {
                found.push(fact);
            }
        }
    }
    found
}

/// What is left of a span without others, which are in order.
fn without(span: CharSpan, others: &[CharSpan]) -> Vec<CharSpan> {
    let mut left = Vec::new();
    let mut from = span.start();
    for other in others.iter().filter(|other| other.overlaps(span)) {
        if other.start() > from {
            left.push(CharSpan::new(from, other.start()));
        }
        // Others may lie inside of each other, so that a later one may end earlier.
        from = from.max(other.end());
    }
    if from < span.end() {
        left.push(CharSpan::new(from, span.end()));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Claim;

    fn facts(claims: &[(&[(usize, usize)], bool)]) -> Vec<(usize, usize, bool)> {
        let claims: Vec<(Claim, FactLabel)> = claims
            .iter()
            .map(|(spans, right)| {
                let spans: Vec<CharSpan> =
                    spans.iter().map(|(from, to)| CharSpan::new(*from, *to)).collect();
                let span = CharSpan::new(spans[0].start(), spans[spans.len() - 1].end());
                let label = if *right { FactLabel::Supported } else { FactLabel::Unsupported };
                (Claim { span, spans, ..Claim::default() }, label)
            })
            .collect();
        let judged: Vec<JudgedClaim<'_>> = claims
            .iter()
            .map(|(claim, label)| JudgedClaim { claim, label: *label, evidence: &[] })
            .collect();
        pieces(&judged)
            .iter()
            .map(|fact| (fact.span.start(), fact.span.end(), fact.supported))
            .collect()
    }

    #[test]
    fn wrong_facts_keep_words_of_their_own() {
        // `She sang in Oslo and Rome.`
        assert_eq!(
            facts(&[(&[(0, 16)], true), (&[(0, 11), (21, 25)], false)]),
            [(0, 16, true), (21, 25, false)]
        );
        assert_eq!(
            facts(&[(&[(0, 16)], true), (&[(4, 8)], false)]),
            [(0, 16, true), (4, 8, false)]
        );
        assert_eq!(
            facts(&[(&[(4, 6), (8, 9)], true), (&[(2, 12)], false)]),
            [(4, 6, true), (8, 9, true), (2, 4, false), (6, 8, false), (9, 12, false)]
        );
        // Both wrong: the shared piece is learnt once.
        assert_eq!(
            facts(&[(&[(0, 8), (9, 12)], false), (&[(0, 8), (13, 15)], false)]),
            [(0, 8, false), (9, 12, false), (13, 15, false)]
        );
    }
}
