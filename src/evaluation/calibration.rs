//! Calibration of a verifier, or of several together: from log-odds to the share of supported
//! claims, fitted on labels and judged on held-out topics.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    classification::{
        Confusion, ReliabilityBin, Scored, auroc, best_threshold, brier_score, calibration_error,
        reliability,
    },
    logistic::{LogisticFit, fit_logistic, probability_of},
};

/// Ranges of the expected calibration error and of the reliability diagram.
const BINS: usize = 10;
/// Penalty of Platt's regression on standardised log-odds.
const PENALTY: f64 = 1.0;
/// Threshold of uncalibrated probabilities.
const EVEN: f64 = 0.5;

/// Log-odds of a claim with its label.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledOdds<'a> {
    /// The claim's topic; held-out topics judge the calibration.
    pub topic: &'a str,
    /// Log-odds of each verifier.
    pub log_odds: Vec<f64>,
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

/// Weights of several verifiers: their combined log-odds are the intercept plus the weighted sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Combination {
    /// Combined log-odds where all verifiers' are 0.
    pub intercept: f64,
    /// The verifiers, in the order of the inputs.
    pub parts: Vec<CombinedVerifier>,
}

/// A verifier of a combination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CombinedVerifier {
    /// Name.
    pub verifier: String,
    /// Combined log-odds per log-odds of this verifier.
    pub weight: f64,
    /// AUROC of this verifier alone, on the same claims.
    pub auroc: f64,
}

/// A fitted calibration: `calibration.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedCalibration {
    /// Name of the verifier that it is for; several are joined by ` + `.
    pub verifier: String,
    /// Weights of several verifiers; none for a single one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combination: Option<Combination>,
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
    /// Without calibration, by a threshold of 0.5; several verifiers' log-odds are summed.
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

impl Combination {
    /// The combined log-odds of one claim, from those of each verifier in the order of `parts`.
    pub fn log_odds(&self, of_parts: &[f64]) -> f64 {
        let weights = self.parts.iter().map(|part| &part.weight);
        weighted_sum(self.intercept, weights, of_parts)
    }
}

/// From the log-odds of each verifier to a probability.
struct Fit {
    /// None for a single verifier.
    weights: Option<LogisticFit>,
    curve: CalibrationCurve,
}

impl Fit {
    /// None unless the claims have both labels.
    fn new(rows: &[&LabelledOdds<'_>], method: CalibrationMethod) -> Option<Self> {
        let labels: Vec<bool> = rows.iter().map(|row| row.is_supported).collect();
        let features: Vec<Vec<f64>> = rows.iter().map(|row| row.log_odds.clone()).collect();
        let fitted = fit_logistic(&features, &labels, PENALTY)?;
        let weights = (fitted.weights.len() > 1).then_some(fitted);
        let odds = rows.iter().map(|row| (combined(weights.as_ref(), row), row.is_supported));
        let curve = CalibrationCurve::fitted(&odds.collect::<Vec<_>>(), method)?;
        Some(Self { weights, curve })
    }

    fn scored(&self, row: &LabelledOdds<'_>) -> Scored {
        let log_odds = combined(self.weights.as_ref(), row);
        Scored::new(self.curve.probability(log_odds), row.is_supported)
    }

    /// The weights by the verifiers' names.
    fn combination(&self, names: &[&str], rows: &[LabelledOdds<'_>]) -> Option<Combination> {
        let LogisticFit { intercept, weights } = self.weights.as_ref()?;
        let part = |(index, (name, weight)): (usize, (&&str, &f64))| {
            let alone = rows.iter().map(|row| Scored::new(row.log_odds[index], row.is_supported));
            Some(CombinedVerifier {
                verifier: (*name).to_owned(),
                weight: *weight,
                auroc: auroc(&alone.collect::<Vec<_>>())?,
            })
        };
        let parts = names.iter().zip(weights).enumerate().map(part).collect::<Option<_>>()?;
        Some(Combination { intercept: *intercept, parts })
    }
}

fn weighted_sum<'a>(
    intercept: f64,
    weights: impl Iterator<Item = &'a f64>,
    log_odds: &[f64],
) -> f64 {
    intercept + weights.zip(log_odds).map(|(weight, odds)| weight * odds).sum::<f64>()
}

/// Log-odds of all verifiers together.
fn combined(weights: Option<&LogisticFit>, row: &LabelledOdds<'_>) -> f64 {
    match weights {
        Some(fit) => weighted_sum(fit.intercept, fit.weights.iter(), &row.log_odds),
        None => row.log_odds.iter().sum(),
    }
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

    /// From log-odds and labels.
    fn fitted(odds: &[(f64, bool)], method: CalibrationMethod) -> Option<Self> {
        let labels: Vec<bool> = odds.iter().map(|(_, is_supported)| *is_supported).collect();
        let rows: Vec<Vec<f64>> = odds.iter().map(|(log_odds, _)| vec![*log_odds]).collect();
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
fn isotonic(odds: &[(f64, bool)]) -> Vec<[f64; 2]> {
    let mut sorted = odds.to_vec();
    sorted.sort_by(|one, two| one.0.total_cmp(&two.0));
    let mut blocks: Vec<IsotonicStep> = Vec::new();
    for equal in sorted.chunk_by(|one, two| one.0 == two.0) {
        let supported = equal.iter().filter(|(_, is_supported)| *is_supported).count() as f64;
        let count = equal.len() as f64;
        let mut block = IsotonicStep { odds: equal[0].0 * count, supported, count };
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

/// Fits a calibration on labelled claims, and measures it on topics that its weights, curve and
/// threshold have not seen: `folds` groups of topics, each held out once. Several verifiers get
/// weights by a logistic regression on their log-odds.
///
/// # Errors
/// With fewer than two topics, or where all labels of a fit are equal.
pub fn calibrate(
    verifiers: &[&str],
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
        let fit = Fit::new(&others, method).ok_or_else(|| one_label.clone())?;
        // Also from the other topics: a threshold of the judged ones would flatter itself.
        let seen: Vec<Scored> = others.iter().map(|item| fit.scored(item)).collect();
        let threshold = best_threshold(&seen).map_or(EVEN, |best| best.value);
        for scored in own.iter().map(|item| fit.scored(item)) {
            decisions.add(scored.score >= threshold, scored.is_true);
            held_out.push(scored);
        }
    }
    let fit =
        Fit::new(&odds.iter().collect::<Vec<_>>(), method).ok_or_else(|| one_label.clone())?;
    let plain = odds
        .iter()
        .map(|item| Scored::new(probability_of(combined(None, item)), item.is_supported));
    let plain: Vec<Scored> = plain.collect();
    let before = quality(&plain, Confusion::at(&plain, EVEN)).ok_or_else(|| one_label.clone())?;
    let after = quality(&held_out, decisions).ok_or(one_label)?;
    Ok(FittedCalibration {
        verifier: verifiers.join(" + "),
        combination: fit.combination(verifiers, odds),
        curve: fit.curve,
        threshold: best_threshold(&held_out).map_or(EVEN, |best| best.value),
        claims: odds.len(),
        supported,
        topics: topics.len(),
        folds,
        before,
        after,
    })
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
                found.push(LabelledOdds { topic, log_odds: vec![log_odds], is_supported });
            }
        }
        found
    }

    #[test]
    fn overconfident_odds_become_the_shares_of_supported_claims_on_held_out_topics() {
        for method in [CalibrationMethod::Platt, CalibrationMethod::Isotonic] {
            let found = calibrate(&["words/1"], &odds(0.4, 0.8), method, 4).unwrap();
            assert!(found.before.calibration_error > 0.15, "{:?}", found.before);
            assert!(found.after.calibration_error < 0.5 * found.before.calibration_error);
            assert!(found.after.brier < found.before.brier);
            let shifted: Vec<LabelledOdds<'_>> = odds(1.0, 0.0)
                .into_iter()
                .map(|item| LabelledOdds { log_odds: vec![item.log_odds[0] + 2.0], ..item })
                .collect();
            let shifted = calibrate(&["words/1"], &shifted, method, 4).unwrap();
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
        let found = calibrate(&["words/1"], &odds(1.0, 0.0), CalibrationMethod::Platt, 5).unwrap();
        let CalibrationCurve::Platt { slope, intercept } = found.curve else { panic!() };
        assert!((slope - 1.0).abs() < 0.05 && intercept.abs() < 0.05, "{slope} {intercept}");
        assert!((found.threshold - 0.5).abs() < 0.1, "{}", found.threshold);
    }

    /// True log-odds are `a - 2 b + 0.5`, so either verifier alone is worse than both.
    #[test]
    fn several_verifiers_get_weights() {
        let mut rows = Vec::new();
        for (step, topic) in (0..900_u32).zip(["a", "b", "c", "d", "e"].into_iter().cycle()) {
            let part = |of: u32| f64::from(of % 30) / 5.0 - 3.0;
            let parts = vec![part(step), part(step / 30)];
            let share = probability_of(parts[0] - 2.0 * parts[1] + 0.5);
            // A low-discrepancy sequence in place of random numbers.
            let is_supported = (f64::from(step) * 0.618_034).fract() < share;
            rows.push(LabelledOdds { topic, log_odds: parts, is_supported });
        }
        let found = calibrate(&["one", "two"], &rows, CalibrationMethod::Platt, 5).unwrap();
        let Combination { intercept, parts } = found.combination.as_ref().unwrap();
        let weights = [parts[0].weight, parts[1].weight];
        assert!((weights[0] - 1.0).abs() < 0.2 && (weights[1] + 2.0).abs() < 0.3, "{weights:?}");
        assert!((intercept - 0.5).abs() < 0.3, "{intercept}");
        assert!(found.after.auroc > parts[0].auroc + 0.1, "{} {parts:?}", found.after.auroc);
        assert!(found.after.auroc > found.before.auroc + 0.1, "{:?}", found.before.auroc);
        let expected = intercept + weights[0] + 0.5 * weights[1];
        let combined = found.combination.as_ref().unwrap().log_odds(&[1.0, 0.5]);
        assert!((combined - expected).abs() < 1e-9);
        assert_eq!(found.verifier, "one + two");
    }

    #[test]
    fn isotonic_curves_never_fall() {
        let odds = [(0.0, false), (1.0, true), (2.0, false), (3.0, true), (3.0, true)];
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
        assert_eq!(calibrate(&["w"], &odds, platt, 5), Err(CalibrationError::FewTopics(1)));
        odds[0].topic = "b";
        odds.iter_mut().for_each(|item| item.is_supported = true);
        let error = calibrate(&["w"], &odds, platt, 5).unwrap_err().to_string();
        assert!(error.starts_with("800 of 800 labelled claims are supported"), "{error}");
    }
}
