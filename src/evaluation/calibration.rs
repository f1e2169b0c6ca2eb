//! Calibration of a verifier: from its log-odds to the share of supported claims, fitted on labels
//! and judged on held-out topics.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    classification::{
        Confusion, ReliabilityBin, Scored, auroc, best_threshold, brier_score, calibration_error,
        reliability,
    },
    logistic::{fit_logistic, probability_of},
};

/// Ranges of the expected calibration error and of the reliability diagram.
const BINS: usize = 10;
/// Penalty of Platt's regression on standardised log-odds.
const PENALTY: f64 = 1.0;
/// Threshold of uncalibrated probabilities.
const EVEN: f64 = 0.5;

/// A verdict's log-odds with the label of its claim.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelledOdds<'a> {
    /// The claim's topic; held-out topics judge the calibration.
    pub topic: &'a str,
    /// Log-odds of the verifier.
    pub log_odds: f64,
    /// Whether people found the claim supported.
    pub is_supported: bool,
}

/// Form of the curve from log-odds to probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CalibrationMethod {
    /// Platt's logistic curve: two numbers.
    Platt,
    /// The best curve that never falls; for thousands of labels.
    Isotonic,
}

/// A curve from log-odds to probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum CalibrationCurve {
    /// Probability of `slope` times the log-odds plus `intercept`.
    Platt {
        /// Slope.
        slope: f64,
        /// Intercept.
        intercept: f64,
    },
    /// Straight lines between points, constant beyond them.
    Isotonic {
        /// Log-odds and probability, both rising.
        points: Vec<[f64; 2]>,
    },
}

/// Measures of probabilities beside labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationQuality {
    /// Area under the receiver operating characteristic.
    pub auroc: f64,
    /// Balanced accuracy of the decisions by threshold.
    pub balanced_accuracy: f64,
    /// Expected calibration error over ten ranges.
    pub calibration_error: f64,
    /// Brier score.
    pub brier: f64,
    /// The reliability diagram.
    pub reliability: Vec<ReliabilityBin>,
}

/// A fitted calibration: `calibration.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedCalibration {
    /// Name of the verifier that it is for.
    pub verifier: String,
    /// The curve, fitted on all labels.
    pub curve: CalibrationCurve,
    /// Probability from which on a claim is supported: the highest balanced accuracy.
    pub threshold: f64,
    /// Number of labelled claims.
    pub claims: usize,
    /// Number of supported ones.
    pub supported: usize,
    /// Number of topics.
    pub topics: usize,
    /// Number of groups of topics, each of which was held out once.
    pub folds: usize,
    /// Without calibration, by a threshold of 0.5.
    pub before: CalibrationQuality,
    /// With curves and thresholds fitted on the other topics.
    pub after: CalibrationQuality,
}

/// Why no calibration could be fitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalibrationError {
    /// Too few topics to hold any out.
    #[error(
        "the labelled claims have {0} topic(s), but at least two are needed: each is held out once"
    )]
    FewTopics(usize),
    /// One label only.
    #[error(
        "{supported} of {claims} labelled claims are supported, and without some topics all \
        labels are equal; label more claims of both kinds"
    )]
    OneLabel {
        /// Supported claims.
        supported: usize,
        /// All labelled claims.
        claims: usize,
    },
}

impl CalibrationCurve {
    /// The calibrated probability of log-odds.
    pub fn probability(&self, log_odds: f64) -> f64 {
        match self {
            Self::Platt { slope, intercept } => probability_of(slope * log_odds + intercept),
            Self::Isotonic { points } => {
                let after = points.partition_point(|[odds, _]| *odds <= log_odds);
                let before = after.checked_sub(1).map(|before| points[before]);
                match (before, points.get(after).copied()) {
                    (Some([from, low]), Some([to, high])) => {
                        low + (high - low) * (log_odds - from) / (to - from)
                    }
                    (Some([_, value]), None) | (None, Some([_, value])) => value,
                    (None, None) => EVEN,
                }
            }
        }
    }

    /// Whether higher log-odds mean a higher probability.
    pub fn rises(&self) -> bool {
        match self {
            Self::Platt { slope, .. } => *slope > 0.0,
            Self::Isotonic { points } => {
                points.first().zip(points.last()).is_some_and(|(first, last)| first[1] < last[1])
            }
        }
    }

    fn fitted(odds: &[LabelledOdds<'_>], method: CalibrationMethod) -> Option<Self> {
        let labels: Vec<bool> = odds.iter().map(|item| item.is_supported).collect();
        let rows: Vec<Vec<f64>> = odds.iter().map(|item| vec![item.log_odds]).collect();
        let fit = fit_logistic(&rows, &labels, PENALTY)?;
        Some(match method {
            CalibrationMethod::Platt => {
                Self::Platt { slope: fit.weights[0], intercept: fit.intercept }
            }
            CalibrationMethod::Isotonic => Self::Isotonic { points: isotonic(odds) },
        })
    }
}

/// A run of neighbours that have one value.
struct IsotonicStep {
    odds: f64,
    supported: f64,
    count: f64,
}

/// The rising steps nearest to the labels (pool adjacent violators), one point per step at the mean
/// of its log-odds.
fn isotonic(odds: &[LabelledOdds<'_>]) -> Vec<[f64; 2]> {
    let mut sorted = odds.to_vec();
    sorted.sort_by(|one, two| one.log_odds.total_cmp(&two.log_odds));
    let mut blocks: Vec<IsotonicStep> = Vec::new();
    for equal in sorted.chunk_by(|one, two| one.log_odds == two.log_odds) {
        let supported = equal.iter().filter(|item| item.is_supported).count() as f64;
        let count = equal.len() as f64;
        let mut block = IsotonicStep { odds: equal[0].log_odds * count, supported, count };
        // A block below its predecessor is merged with it.
        while let Some(last) = blocks.pop() {
            if last.supported * block.count < block.supported * last.count {
                blocks.push(last);
                break;
            }
            block.odds += last.odds;
            block.supported += last.supported;
            block.count += last.count;
        }
        blocks.push(block);
    }
    blocks.iter().map(|block| [block.odds / block.count, block.supported / block.count]).collect()
}

/// Fits a calibration on labelled claims, and measures it on topics that its curve and threshold
/// have not seen: `folds` groups of topics, each held out once.
///
/// # Errors
/// With fewer than two topics, or where all labels of a fit are equal.
pub fn calibrate(
    verifier: &str,
    odds: &[LabelledOdds<'_>],
    method: CalibrationMethod,
    folds: usize,
) -> Result<FittedCalibration, CalibrationError> {
    let names: BTreeSet<&str> = odds.iter().map(|item| item.topic).collect();
    let topics: BTreeMap<&str, usize> =
        names.iter().enumerate().map(|(index, topic)| (*topic, index)).collect();
    if topics.len() < 2 {
        return Err(CalibrationError::FewTopics(topics.len()));
    }
    // Each group of topics needs one.
    let folds = folds.min(topics.len());
    let supported = odds.iter().filter(|item| item.is_supported).count();
    let one_label = CalibrationError::OneLabel { supported, claims: odds.len() };
    let mut held_out: Vec<Scored> = Vec::with_capacity(odds.len());
    let mut decisions = Confusion::default();
    for fold in 0..folds {
        let is_own = |item: &&LabelledOdds<'_>| topics[item.topic] % folds == fold;
        let (own, others): (Vec<_>, Vec<_>) = odds.iter().partition(is_own);
        let others: Vec<LabelledOdds<'_>> = others.into_iter().copied().collect();
        let curve = CalibrationCurve::fitted(&others, method).ok_or_else(|| one_label.clone())?;
        // Also from the other topics: a threshold of the judged ones would flatter itself.
        let threshold = best_threshold(&scored(&others, &curve)).map_or(EVEN, |best| best.value);
        for item in own {
            let probability = curve.probability(item.log_odds);
            decisions.add(probability >= threshold, item.is_supported);
            held_out.push(Scored::new(probability, item.is_supported));
        }
    }
    let curve = CalibrationCurve::fitted(odds, method).ok_or_else(|| one_label.clone())?;
    let plain =
        odds.iter().map(|item| Scored::new(probability_of(item.log_odds), item.is_supported));
    let plain: Vec<Scored> = plain.collect();
    let before = quality(&plain, Confusion::at(&plain, EVEN)).ok_or_else(|| one_label.clone())?;
    let after = quality(&held_out, decisions).ok_or(one_label)?;
    let threshold = best_threshold(&held_out).map_or(EVEN, |best| best.value);
    Ok(FittedCalibration {
        verifier: verifier.to_owned(),
        curve,
        threshold,
        claims: odds.len(),
        supported,
        topics: topics.len(),
        folds,
        before,
        after,
    })
}

fn scored(odds: &[LabelledOdds<'_>], curve: &CalibrationCurve) -> Vec<Scored> {
    let scored = odds.iter();
    scored.map(|item| Scored::new(curve.probability(item.log_odds), item.is_supported)).collect()
}

fn quality(scored: &[Scored], decisions: Confusion) -> Option<CalibrationQuality> {
    Some(CalibrationQuality {
        auroc: auroc(scored)?,
        balanced_accuracy: decisions.balanced_accuracy()?,
        calibration_error: calibration_error(scored, BINS)?,
        brier: brier_score(scored)?,
        reliability: reliability(scored, BINS),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Claims of eight topics whose true log-odds are `slope` times the stated ones plus `shift`;
    /// labels follow the probability at regular steps.
    fn odds(slope: f64, shift: f64) -> Vec<LabelledOdds<'static>> {
        const TOPICS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let mut found = Vec::new();
        for step in 0..40 {
            let log_odds = f64::from(step) / 5.0 - 4.0;
            let share = probability_of(slope * log_odds + shift);
            for repeat in 0..20 {
                let is_supported = (f64::from(repeat) + 0.5) / 20.0 < share;
                let topic = TOPICS[(repeat % 8) as usize];
                found.push(LabelledOdds { topic, log_odds, is_supported });
            }
        }
        found
    }

    #[test]
    fn overconfident_odds_become_the_shares_of_supported_claims_on_held_out_topics() {
        for method in [CalibrationMethod::Platt, CalibrationMethod::Isotonic] {
            let found = calibrate("words/1", &odds(0.4, 0.8), method, 4).unwrap();
            assert!(found.before.calibration_error > 0.15, "{:?}", found.before);
            assert!(found.after.calibration_error < 0.5 * found.before.calibration_error);
            assert!(found.after.brier < found.before.brier);
            let shifted: Vec<LabelledOdds<'_>> = odds(1.0, 0.0)
                .into_iter()
                .map(|item| LabelledOdds { log_odds: item.log_odds + 2.0, ..item })
                .collect();
            let shifted = calibrate("words/1", &shifted, method, 4).unwrap();
            let gain = shifted.after.balanced_accuracy - shifted.before.balanced_accuracy;
            assert!(gain > 0.05, "{gain}");
            assert!(found.curve.rises());
            assert_eq!((found.claims, found.topics, found.folds), (800, 8, 4));
            for log_odds in [-3.0, 0.0, 2.0] {
                let expected = probability_of(0.4 * log_odds + 0.8);
                let value = found.curve.probability(log_odds);
                assert!((value - expected).abs() < 0.06, "{method:?} {value} {expected}");
            }
            let text = serde_json::to_string(&found).unwrap();
            assert_eq!(serde_json::from_str::<FittedCalibration>(&text).unwrap(), found);
        }
    }

    #[test]
    fn odds_that_are_right_stay_as_they_are() {
        let found = calibrate("words/1", &odds(1.0, 0.0), CalibrationMethod::Platt, 5).unwrap();
        let CalibrationCurve::Platt { slope, intercept } = found.curve else { panic!() };
        assert!((slope - 1.0).abs() < 0.05 && intercept.abs() < 0.05, "{slope} {intercept}");
        assert!((found.threshold - 0.5).abs() < 0.1, "{}", found.threshold);
    }

    #[test]
    fn isotonic_curves_never_fall() {
        let item = |log_odds, is_supported| LabelledOdds { topic: "a", log_odds, is_supported };
        let odds =
            [item(0.0, false), item(1.0, true), item(2.0, false), item(3.0, true), item(3.0, true)];
        assert_eq!(isotonic(&odds), [[0.0, 0.0], [1.5, 0.5], [3.0, 1.0]]);
        let curve = CalibrationCurve::Isotonic { points: isotonic(&odds) };
        let values: Vec<f64> = [-1.0, 0.0, 0.75, 1.5, 9.0].map(|x| curve.probability(x)).to_vec();
        assert_eq!(values, [0.0, 0.0, 0.25, 0.5, 1.0]);
    }

    #[test]
    fn too_few_topics_or_labels_are_named() {
        let mut odds = odds(1.0, 0.0);
        odds.iter_mut().for_each(|item| item.topic = "a");
        let platt = CalibrationMethod::Platt;
        assert_eq!(calibrate("w", &odds, platt, 5), Err(CalibrationError::FewTopics(1)));
        odds[0].topic = "b";
        odds.iter_mut().for_each(|item| item.is_supported = true);
        let error = calibrate("w", &odds, platt, 5).unwrap_err().to_string();
        assert!(error.starts_with("800 of 800 labelled claims are supported"), "{error}");
    }
}
