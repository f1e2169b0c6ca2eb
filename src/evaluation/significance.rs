//! Multiple comparisons: corrected p-values.

/// Corrects p-values of one family for the family-wise error rate (Holm 1979).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|one, other| p_values[*one].total_cmp(&p_values[*other]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut least: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        // A less significant difference must not get a smaller corrected p-value.
        least = least.max((p_values.len() - rank) as f64 * p_values[index]).min(1.0);
        corrected[index] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holm's own procedure by hand: 4 x .01, 3 x .0134, 2 x .03, 1 x .04 at least as large as what
    /// stands before.
    #[test]
    fn many_comparisons_are_corrected() {
        let corrected = holm(&[0.04, 0.01, 0.03, 0.0134]);
        for (found, expected) in corrected.iter().zip([0.06, 0.04, 0.06, 0.0402]) {
            assert!((found - expected).abs() < 1e-12, "{corrected:?}");
        }
        assert_eq!(holm(&[0.6, 0.9]), [1.0, 1.0]);
        assert_eq!(holm(&[]), [0.0; 0]);
    }
}
