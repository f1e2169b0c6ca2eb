//! From log-odds to a verdict: calibration, threshold, and a margin within which claims are
//! undecided.

use serde::Deserialize;

use crate::{
    context::{Context, StageError, read_json},
    evaluation::{FittedCalibration, probability_of},
    rows::{FactLabel, Verdict},
};

/// Threshold of probabilities that no labels have calibrated.
const EVEN: f64 = 0.5;

/// Parameters of a decision.
#[derive(Clone, Copy, Debug, Deserialize, apeft_derive::Parameters)]
pub(in crate::stage) struct DecisionRule {
    /// Probability from which on a claim is supported [default: the calibration's, else 0.5].
    #[parameter(min = 0, max = 1)]
    pub(in crate::stage) threshold: Option<f64>,
    /// Claims whose probability is nearer to the threshold are undecided; 0 is none.
    #[parameter(default = 0.0, min = 0, max = 1)]
    pub(in crate::stage) abstain_margin: f64,
}

/// How verdicts follow from log-odds.
pub(in crate::stage) struct Decision {
    /// The input `calibration`.
    pub(in crate::stage) calibration: Option<FittedCalibration>,
    threshold: f64,
    margin: f64,
}

impl Decision {
    /// By a rule and the input `calibration`, which must be of this verifier.
    ///
    /// # Errors
    /// If the calibration cannot be read, or is of another verifier.
    pub(in crate::stage) fn new(
        context: &Context,
        rule: DecisionRule,
        verifier: &str,
    ) -> Result<Self, StageError> {
        let mut calibration: Option<FittedCalibration> = None;
        if context.inputs("calibration").next().is_some() {
            let path = context.input_file("calibration", "calibration.json")?;
            let found: FittedCalibration = read_json(&path)?;
            if found.verifier != verifier {
                return Err(StageError(format!(
                    "the calibration is of the verifier `{}`, but `{verifier}` verifies; \
                    calibrate verdicts of this verifier",
                    found.verifier
                )));
            }
            calibration = Some(found);
        }
        let fitted = calibration.as_ref().map_or(EVEN, |calibration| calibration.threshold);
        let threshold = rule.threshold.unwrap_or(fitted);
        Ok(Self { threshold, margin: rule.abstain_margin, calibration })
    }

    /// A verdict with the probability and the label that follow from its log-odds; one without
    /// log-odds stays as it is.
    pub(in crate::stage) fn made(&self, mut verdict: Verdict) -> Verdict {
        let Some(log_odds) = verdict.log_odds else { return verdict };
        let curve = self.calibration.as_ref().map(|calibration| &calibration.curve);
        let probability =
            curve.map_or_else(|| probability_of(log_odds), |curve| curve.probability(log_odds));
        verdict.probability = probability;
        // Below, and not up to: a margin of 0 leaves nothing undecided, also at the threshold.
        verdict.verdict = if (probability - self.threshold).abs() < self.margin {
            FactLabel::Undecided
        } else if probability >= self.threshold {
            FactLabel::Supported
        } else {
            FactLabel::Unsupported
        };
        verdict
    }
}
