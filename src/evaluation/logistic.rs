//! Logistic regression with a ridge penalty, by Newton's method: small, exact and without random
//! numbers, so that the same rows give the same coefficients everywhere.

use serde::{Deserialize, Serialize};

/// A fitted regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogisticFit {
    /// Log-odds where all features are 0.
    pub intercept: f64,
    /// Log-odds by unit of each feature.
    pub weights: Vec<f64>,
}

/// Maximum number of steps; six or seven are usual.
const MOST_STEPS: usize = 100;
/// A step that moves no coefficient by more than this is the last one.
const LAST_STEP: f64 = 1e-10;

/// Probability of these log-odds.
pub fn probability_of(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// Fits rows of features to labels. It minimises the negative log-likelihood plus half of `penalty`
/// times the squared weights of the standardised features; scikit-learn's `C` is 1 / `penalty`.
/// None unless there are rows with either label.
pub fn fit_logistic(rows: &[Vec<f64>], labels: &[bool], penalty: f64) -> Option<LogisticFit> {
    let positives = labels.iter().filter(|label| **label).count();
    if positives == 0 || positives == labels.len() {
        return None;
    }
    let scales: Vec<[f64; 2]> = (0..rows[0].len()).map(|column| scale(rows, column)).collect();
    let standard: Vec<Vec<f64>> = rows.iter().map(|row| standardised(row, &scales)).collect();
    let mut beta = vec![0.0; scales.len() + 1];
    let mut loss = penalised_loss(&standard, labels, penalty, &beta);
    for _ in 0..MOST_STEPS {
        let step = newton_step(&standard, labels, penalty, &beta)?;
        let mut size = 1.0;
        // Where the likelihood is far from a parabola a whole step can overshoot.
        loop {
            let next: Vec<f64> = beta.iter().zip(&step).map(|(b, s)| b - size * s).collect();
            let found = penalised_loss(&standard, labels, penalty, &next);
            if found <= loss || size < LAST_STEP {
                (beta, loss) = (next, found);
                break;
            }
            size /= 2.0;
        }
        if step.iter().all(|step| (size * step).abs() < LAST_STEP) {
            break;
        }
    }
    // Back to the units of the rows.
    let weights: Vec<f64> = beta[1..].iter().zip(&scales).map(|(b, [_, s])| b / s).collect();
    let shift: f64 = weights.iter().zip(&scales).map(|(weight, [mean, _])| weight * mean).sum();
    Some(LogisticFit { intercept: beta[0] - shift, weights })
}

/// Mean and standard deviation of a column; a constant one has a deviation of 1.
fn scale(rows: &[Vec<f64>], column: usize) -> [f64; 2] {
    let count = rows.len() as f64;
    let mean = rows.iter().map(|row| row[column]).sum::<f64>() / count;
    let variance = rows.iter().map(|row| (row[column] - mean).powi(2)).sum::<f64>() / count;
    [mean, if variance > 0.0 { variance.sqrt() } else { 1.0 }]
}

/// A 1 for the intercept, and the features with mean 0 and deviation 1.
fn standardised(row: &[f64], scales: &[[f64; 2]]) -> Vec<f64> {
    let features =
        row.iter().zip(scales).map(|(value, [mean, deviation])| (value - mean) / deviation);
    std::iter::once(1.0).chain(features).collect()
}

fn log_odds(row: &[f64], beta: &[f64]) -> f64 {
    row.iter().zip(beta).map(|(value, beta)| value * beta).sum()
}

fn penalised_loss(rows: &[Vec<f64>], labels: &[bool], penalty: f64, beta: &[f64]) -> f64 {
    let of_rows = rows.iter().zip(labels).map(|(row, label)| {
        let signed = if *label { log_odds(row, beta) } else { -log_odds(row, beta) };
        // ln(1 + exp(-x)) without overflow.
        (-signed.abs()).exp().ln_1p() + (-signed).max(0.0)
    });
    let squares: f64 = beta[1..].iter().map(|weight| weight * weight).sum();
    of_rows.sum::<f64>() + penalty / 2.0 * squares
}

/// The inverse Hessian times the gradient; none where they are not finite.
fn newton_step(rows: &[Vec<f64>], labels: &[bool], penalty: f64, beta: &[f64]) -> Option<Vec<f64>> {
    let size = beta.len();
    let mut gradient = vec![0.0; size];
    let mut hessian = vec![vec![0.0; size]; size];
    for (row, label) in rows.iter().zip(labels) {
        let probability = probability_of(log_odds(row, beta));
        let error = probability - f64::from(u8::from(*label));
        let curvature = probability * (1.0 - probability);
        for one in 0..size {
            gradient[one] += error * row[one];
            for two in 0..=one {
                hessian[one][two] += curvature * row[one] * row[two];
            }
        }
    }
    // The intercept is not penalised: it would pull the mean probability to one half.
    for index in 1..size {
        gradient[index] += penalty * beta[index];
        hessian[index][index] += penalty;
    }
    solved(hessian, gradient)
}

/// Solves a symmetric positive definite system, whose lower half is given, by Cholesky's method.
fn solved(mut matrix: Vec<Vec<f64>>, mut vector: Vec<f64>) -> Option<Vec<f64>> {
    let size = vector.len();
    for row in 0..size {
        for column in 0..=row {
            let known: f64 = (0..column).map(|k| matrix[row][k] * matrix[column][k]).sum();
            let left = matrix[row][column] - known;
            if row != column {
                matrix[row][column] = left / matrix[column][column];
            } else if left > 0.0 {
                matrix[row][row] = left.sqrt();
            } else {
                return None;
            }
        }
    }
    for row in 0..size {
        let known: f64 = (0..row).map(|k| matrix[row][k] * vector[k]).sum();
        vector[row] = (vector[row] - known) / matrix[row][row];
    }
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|k| matrix[k][row] * vector[k]).sum();
        vector[row] = (vector[row] - known) / matrix[row][row];
    }
    Some(vector)
}

impl LogisticFit {
    /// Log-odds of a row of features.
    pub fn log_odds(&self, row: &[f64]) -> f64 {
        self.intercept + log_odds(row, &self.weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        rows: Vec<Vec<f64>>,
        labels: Vec<bool>,
        penalty: f64,
        intercept: f64,
        weights: Vec<f64>,
    }

    #[test]
    fn coefficients_are_those_of_scikit_learn() {
        let goldens: Vec<Golden> =
            serde_json::from_str(include_str!("../../tests/data/logistic.json")).unwrap();
        assert_eq!(goldens.len(), 3);
        for Golden { rows, labels, penalty, intercept, weights } in goldens {
            let fit = fit_logistic(&rows, &labels, penalty).unwrap();
            assert!((fit.intercept - intercept).abs() < 1e-6, "{} {intercept}", fit.intercept);
            for (found, expected) in fit.weights.iter().zip(&weights) {
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
    }

    #[test]
    fn separable_rows_converge_by_the_penalty_and_a_constant_column_has_no_weight() {
        let rows: Vec<Vec<f64>> = (0..10).map(|x| vec![f64::from(x), 3.0]).collect();
        let labels: Vec<bool> = (0..10).map(|x| x > 4).collect();
        let fit = fit_logistic(&rows, &labels, 1.0).unwrap();
        assert!(fit.weights[0] > 0.5 && fit.weights[0].is_finite());
        assert_eq!(fit.weights[1], 0.0);
        assert!((fit.log_odds(&[4.5, 3.0])).abs() < 1e-6);
        assert_eq!(fit_logistic(&rows, &[true; 10], 1.0), None);
        assert_eq!(fit_logistic(&[], &[], 1.0), None);
    }
}
