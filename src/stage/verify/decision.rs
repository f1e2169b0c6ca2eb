//! From log-odds to a verdict: calibration, threshold, and a margin within which claims are
//! undecided.

use crate::{
    context::{StageError, read_json},
    evaluation::{CalibrationCurve, FittedCalibration, probability_of},
    rows::{FactLabel, Verdict},
};

use super::task::VerifyTask;

/// Threshold of probabilities that no labels have calibrated.
const EVEN: f64 = 0.5;

/// How verdicts follow from log-odds.
pub(super) struct Decision {
    curve: Option<CalibrationCurve>,
    threshold: f64,
    margin: f64,
}

impl Decision {
    /// By the parameters and the input `calibration`, which must be of this verifier.
    ///
    /// # Errors
    /// If the calibration cannot be read, or is of another verifier.
    pub(super) fn new(task: &VerifyTask<'_>, verifier: &str) -> Result<Self, StageError> {
        let context = task.context;
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
        Ok(Self {
            threshold: task.threshold.unwrap_or(fitted),
            margin: task.abstain_margin,
            curve: calibration.map(|calibration| calibration.curve),
        })
    }

    /// A verdict with the probability and the label that follow from its log-odds; one without
    /// log-odds stays as it is.
    pub(super) fn made(&self, mut verdict: Verdict) -> Verdict {
        let Some(log_odds) = verdict.log_odds else { return verdict };
        let curve = self.curve.as_ref();
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
