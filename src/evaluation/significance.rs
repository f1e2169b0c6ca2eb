//! How probable a difference would be if there were none: by the spread over seeds, and corrected where many are compared.

use super::{
    Cell, RESAMPLES, Replicate,
    interval::{Level, everything, statistic},
};
use crate::seed::Seed;

/// For each measure the two-sided p-value of its mean difference.
///
/// Several replicates are compared by Student's t over their means, which errs on the safe side however few they are and
/// however much their spreads differ (Ibragimov and Müller 2010); a single one by flipping the signs of its topics at random,
/// which says nothing of other seeds. None where nothing counts, or where replicates agree to the last digit.
pub fn p_values(replicates: &[Replicate], measures: usize, seed: &Seed) -> Vec<Option<f64>> {
    if let [only] = replicates {
        return sign_flips(only, measures, seed);
    }
    let means: Vec<Vec<Option<f64>>> = replicates
        .iter()
        .map(|replicate| statistic(std::slice::from_ref(replicate), measures, &mut everything))
        .collect();
    (0..measures)
        .map(|measure| t_test(&means.iter().filter_map(|means| means[measure]).collect::<Vec<f64>>()))
        .collect()
}

/// The share of random signs of the topics that give a mean at least as far from zero, what was found counted in.
fn sign_flips(replicate: &Replicate, measures: usize, seed: &Seed) -> Vec<Option<f64>> {
    let replicate = std::slice::from_ref(replicate);
    let found = statistic(replicate, measures, &mut everything);
    let mut as_far = vec![1usize; measures];
    let mut stream = seed.split("signs").stream();
    for _ in 0..RESAMPLES {
        let flipped = statistic(replicate, measures, &mut |level, count| match level {
            Level::Replicates => everything(level, count),
            Level::Topics => (0..count).map(|topic| (topic, if stream.below(2) == 0 { 1.0 } else { -1.0 })).collect(),
        });
        for (as_far, (flipped, found)) in as_far.iter_mut().zip(flipped.into_iter().zip(&found)) {
            // Sums in another order may differ in their last digits.
            *as_far += usize::from(flipped.zip(*found).is_some_and(|(one, other)| one.abs() >= other.abs() - 1e-12));
        }
    }
    let share = |count: usize| count as f64 / (RESAMPLES + 1) as f64;
    found.into_iter().zip(as_far).map(|(found, as_far)| found.map(|_| share(as_far))).collect()
}

/// The two-sided p-value of the mean of these values against zero; none for fewer than two, or without spread.
fn t_test(values: &[f64]) -> Option<f64> {
    let mut total = Cell::default();
    values.iter().for_each(|value| total.add(*value));
    let mean = total.sum / total.count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let error = (squares / (total.count - 1.0) / total.count).sqrt();
    (values.len() > 1 && error > 1e-12).then(|| two_sided(mean / error, values.len() - 1))
}

/// Student's distribution: the probability of being at least this far from zero (Abramowitz and Stegun 1964, 26.7.3 and 4).
fn two_sided(t: f64, freedom: usize) -> f64 {
    let angle = (t.abs() / (freedom as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let odd = freedom % 2;
    let mut term = if odd == 1 { cosine } else { 1.0 };
    let mut series = if freedom == 1 { 0.0 } else { term };
    for step in (2 + odd..freedom).step_by(2) {
        term *= (step - 1) as f64 / step as f64 * cosine * cosine;
        series += term;
    }
    let inside = if odd == 1 { (angle + sine * series) * std::f64::consts::FRAC_2_PI } else { sine * series };
    (1.0 - inside).clamp(0.0, 1.0)
}

/// Corrects p-values of one family so that the chance of any false finding among them is that of one (Holm 1979).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|one, other| p_values[*one].total_cmp(&p_values[*other]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut least: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max((p_values.len() - rank) as f64 * p_values[index]).min(1.0);
        corrected[index] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicate(values: &[f64]) -> Replicate {
        Replicate { domains: vec![values.iter().map(|value| vec![Cell { sum: *value, count: 1.0 }]).collect()] }
    }

    /// The tables of Student's distribution in textbooks.
    #[test]
    fn students_distribution_is_that_of_the_tables() {
        for (freedom, t, p) in [
            (1, 12.706, 0.05),
            (1, 1.0, 0.5),
            (2, 4.303, 0.05),
            (3, 3.182, 0.05),
            (3, 5.841, 0.01),
            (4, 2.776, 0.05),
            (4, 4.604, 0.01),
            (5, 2.571, 0.05),
            (9, 2.262, 0.05),
            (10, 3.169, 0.01),
            (30, 2.042, 0.05),
        ] {
            assert!((two_sided(t, freedom) - p).abs() < 1e-4, "{freedom} {t}: {}", two_sided(t, freedom));
            assert_eq!(two_sided(-t, freedom), two_sided(t, freedom));
        }
        assert_eq!(two_sided(0.0, 4), 1.0);
    }

    /// Mean 2, standard error 1 / sqrt(3): t is 3.4641 with 2 degrees of freedom, and p = 1 - t / sqrt(t^2 + 2).
    #[test]
    fn several_seeds_are_compared_by_their_means() {
        let seeds = [replicate(&[1.0, 1.0]), replicate(&[0.0, 4.0]), replicate(&[3.0])];
        let p = p_values(&seeds, 1, &Seed::root(0))[0].unwrap();
        let by_hand = 1.0 - (12f64 / 14.0).sqrt();
        assert!((p - by_hand).abs() < 1e-12, "{p} {by_hand}");
        assert_eq!(p_values(&[replicate(&[1.0]), replicate(&[1.0])], 1, &Seed::root(0)), [None]);
        assert_eq!(p_values(&[], 1, &Seed::root(0)), [None]);
    }

    /// Of the 16 signs of four equal differences two give a mean as large; of one topic's all do.
    #[test]
    fn one_seed_is_compared_by_the_signs_of_its_topics() {
        let p = p_values(&[replicate(&[0.5; 4])], 1, &Seed::root(0))[0].unwrap();
        assert!((p - 2.0 / 16.0).abs() < 0.02, "{p}");
        assert_eq!(p_values(&[replicate(&[0.5])], 1, &Seed::root(0)), [Some(1.0)]);
        assert_eq!(p_values(&[replicate(&[])], 1, &Seed::root(0)), [None]);
    }

    /// Holm's own procedure by hand: 4 x .01, 3 x .0134, 2 x .03, 1 x .04 at least as large as what stands before.
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
