//! The measures of one answer, by name.

use super::AnswerScore;

/// A measure of answers.
#[derive(Debug)]
pub struct Measure {
    /// Its name in files.
    pub name: &'static str,
    /// What it means, in one sentence.
    pub about: &'static str,
    /// Whether more of it is better; none where neither is.
    pub more_is_better: Option<bool>,
    /// Its value for an answer; none where the answer does not count.
    pub value: fn(&AnswerScore) -> Option<f64>,
}

/// All measures, in the order in which tables list them.
pub const MEASURES: &[Measure] = &[
    Measure {
        name: "precision",
        about: "The share of facts that are supported, over the answers that state facts.",
        more_is_better: Some(true),
        value: |answer| answer.precision,
    },
    Measure {
        name: "deduplicated",
        about: "Precision with each fact of an answer counted once, over the answers that state facts.",
        more_is_better: Some(true),
        value: |answer| answer.deduplicated,
    },
    Measure {
        name: "factscore",
        about: "Precision with FActScore's penalty for answers of fewer facts than gamma, over the answers that state facts.",
        more_is_better: Some(true),
        value: |answer| answer.factscore,
    },
    Measure {
        name: "f1_at_k",
        about: "F1@K of LongFact on distinct facts: precision against K facts wanted; 0 for an answer without facts.",
        more_is_better: Some(true),
        value: |answer| Some(answer.f1_at_k),
    },
    Measure {
        name: "facts",
        about: "Facts stated in an answer, repeats included.",
        more_is_better: None,
        value: |answer| Some(answer.facts as f64),
    },
    Measure {
        name: "supported",
        about: "Supported facts in an answer, repeats included.",
        more_is_better: Some(true),
        value: |answer| Some(answer.supported as f64),
    },
    Measure {
        name: "unsupported",
        about: "Unsupported facts in an answer, repeats and unintelligible sentences included.",
        more_is_better: Some(false),
        value: |answer| Some(answer.unsupported as f64),
    },
    Measure {
        name: "distinct_supported",
        about: "Different supported facts in an answer.",
        more_is_better: Some(true),
        value: |answer| Some(answer.distinct_supported as f64),
    },
    Measure {
        name: "distinct_unsupported",
        about: "Different unsupported facts in an answer.",
        more_is_better: Some(false),
        value: |answer| Some(answer.distinct_unsupported as f64),
    },
    Measure {
        name: "repeats",
        about: "Facts in an answer that it has stated already, in the same words.",
        more_is_better: Some(false),
        value: |answer| Some(answer.repeats as f64),
    },
    Measure {
        name: "responding",
        about: "The share of answers that state facts; the others are left out of precision and FActScore.",
        more_is_better: Some(true),
        value: |answer| Some(f64::from(u8::from(answer.facts > 0))),
    },
    Measure {
        name: "empty",
        about: "The share of answers without a word.",
        more_is_better: Some(false),
        value: |answer| Some(f64::from(u8::from(answer.empty))),
    },
    Measure {
        name: "abstained",
        about: "The share of answers that have words but state nothing that could be checked.",
        more_is_better: None,
        value: |answer| Some(f64::from(u8::from(answer.abstained))),
    },
    Measure {
        name: "unfinished",
        about: "The share of answers that were cut off at the longest length.",
        more_is_better: Some(false),
        value: |answer| Some(f64::from(u8::from(answer.unfinished))),
    },
    Measure {
        name: "characters",
        about: "The length of an answer in characters.",
        more_is_better: None,
        value: |answer| Some(answer.characters as f64),
    },
];

/// FActScore (Min et al. 2023): precision times exp(1 - gamma / facts) where there are at most gamma facts; a gamma of 0
/// means no penalty. Without facts there is no score.
pub fn factscore(supported: usize, facts: usize, gamma: f64) -> Option<f64> {
    let penalty = if facts as f64 > gamma { 1.0 } else { (1.0 - gamma / facts as f64).exp() };
    (facts > 0).then(|| supported as f64 / facts as f64 * penalty)
}

/// F1@K (Wei et al. 2024): the harmonic mean of precision and of min(supported / K, 1); 0 without supported facts.
///
/// # Panics
/// Where `k` is 0.
pub fn f1_at_k(supported: usize, unsupported: usize, k: usize) -> f64 {
    assert!(k > 0, "K facts are wanted, so K is at least 1");
    if supported == 0 {
        return 0.0;
    }
    let precision = supported as f64 / (supported + unsupported) as f64;
    let recall = (supported as f64 / k as f64).min(1.0);
    2.0 * precision * recall / (precision + recall)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of `--gamma 10` in FActScore's own code, recomputed.
    #[test]
    fn factscore_penalty() {
        for (facts, penalty) in [(10, 1.0), (9, 0.894839), (5, 0.367879), (1, 0.000123), (11, 1.0), (100, 1.0)] {
            assert!((factscore(facts, facts, 10.0).unwrap() - penalty).abs() < 5e-7, "{facts}");
        }
        assert_eq!(factscore(1, 2, 0.0), Some(0.5));
        assert_eq!(factscore(0, 0, 10.0), None);
    }

    /// The value of LongFact's own code for 10 supported and 8 unsupported facts at K = 100, and its limits.
    #[test]
    fn f1_at_k_values() {
        assert!((f1_at_k(10, 8, 100) - 0.169492).abs() < 5e-7);
        assert_eq!(f1_at_k(0, 8, 100), 0.0);
        assert_eq!(f1_at_k(0, 0, 100), 0.0);
        assert_eq!(f1_at_k(100, 0, 100), 1.0);
        assert_eq!(f1_at_k(200, 0, 100), 1.0);
        assert!((f1_at_k(64, 64, 64) - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<&str> = MEASURES.iter().map(|measure| measure.name).collect();
        assert_eq!(names.len(), MEASURES.len());
    }
}
