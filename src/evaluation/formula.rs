//! FActScore and F1@K.

/// FActScore (Min et al. 2023): precision times exp(1 - gamma / facts) for at most gamma facts; a
/// gamma of 0 is no penalty. None without facts.
pub fn factscore(supported: usize, facts: usize, gamma: f64) -> Option<f64> {
    // As the paper's own code has it: at exactly gamma facts the exponent is 0.
    let penalty = if facts as f64 > gamma { 1.0 } else { (1.0 - gamma / facts as f64).exp() };
    (facts > 0).then(|| supported as f64 / facts as f64 * penalty)
}

/// F1@K (Wei et al. 2024): the harmonic mean of precision and of min(supported / K, 1); 0 without
/// supported facts.
///
/// # Panics
/// If `k` is 0.
pub fn f1_at_k(supported: usize, unsupported: usize, k: usize) -> f64 {
    assert!(k > 0, "K facts are wanted, so K is at least 1");
    // Both terms are 0, and their harmonic mean is not defined.
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
        for (facts, penalty) in
            [(10, 1.0), (9, 0.894839), (5, 0.367879), (1, 0.000123), (11, 1.0), (100, 1.0)]
        {
            assert!((factscore(facts, facts, 10.0).unwrap() - penalty).abs() < 5e-7, "{facts}");
        }
        assert_eq!(factscore(1, 2, 0.0), Some(0.5));
        assert_eq!(factscore(0, 0, 10.0), None);
    }

    /// The value of LongFact's own code for 10 supported and 8 unsupported facts at K = 100, and
    /// its limits.
    #[test]
    fn f1_at_k_values() {
        assert!((f1_at_k(10, 8, 100) - 0.169492).abs() < 5e-7);
        assert_eq!(f1_at_k(0, 8, 100), 0.0);
        assert_eq!(f1_at_k(0, 0, 100), 0.0);
        assert_eq!(f1_at_k(100, 0, 100), 1.0);
        assert_eq!(f1_at_k(200, 0, 100), 1.0);
        assert!((f1_at_k(64, 64, 64) - 2.0 / 3.0).abs() < 1e-12);
    }
}
