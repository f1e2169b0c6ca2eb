//! The kind `combine`: verdicts of several verifiers on the same claims, as one.

use serde::Deserialize;

use super::{
    verifiers::Verifiers,
    verify::{Decision, DecisionRule, WrittenVerdicts},
};
use crate::{
    context::{
        Context, StageError,
        artifact::{CALIBRATION, VERDICTS},
    },
    recipe::schema::{Declared, Input, Kind},
    rows::Verdict,
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "combine",
    version: 1,
    about: "Combine the verdicts of several verifiers by weights that `calibrate` fitted.",
    inputs: &[
        Input::many(
            "verdicts",
            &VERDICTS,
            "Verdicts of two or more verifiers on the same claims, in the calibration's order.",
        ),
        Input::one("calibration", &CALIBRATION, "Calibration of these verifiers together."),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&VERDICTS],
    seeded: false,
    fan_in: false,
    on_device: None,
    cross_checks: None,
    lacks: None,
    cell_checks: None,
    redundant: None,
};

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
struct Parameters {
    #[serde(flatten)]
    rule: DecisionRule,
}

/// Writes `verdicts.jsonl`. A claim on which a verifier has no log-odds keeps that verdict.
///
/// # Errors
/// If inputs cannot be read, or do not belong together.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { rule } = context.parameters()?;
    let verifiers = Verifiers::of(context)?;
    let name = verifiers.names().join(" + ");
    let decision = Decision::new(context, rule, &name)?;
    let fitted = decision.calibration.as_ref().and_then(|found| found.combination.as_ref());
    let Some(combination) = fitted else {
        return Err(StageError(format!(
            "the calibration has no weights; calibrate the verdicts of two or more verifiers \
            together, here `{name}`"
        )));
    };
    let mut written = WrittenVerdicts::create(context)?;
    for of_claim in verifiers.verdicts()? {
        let mut of_claim = of_claim?;
        let log_odds: Option<Vec<f64>> = of_claim.iter().map(|verdict| verdict.log_odds).collect();
        written.add(&match log_odds {
            Some(log_odds) => decision.made(Verdict {
                log_odds: Some(combination.log_odds(&log_odds)),
                verifier: name.clone(),
                ..of_claim.swap_remove(0)
            }),
            None => of_claim.swap_remove(without_log_odds(&of_claim)),
        })?;
    }
    written.finish(context)
}

/// The first verdict of a claim that has no log-odds.
fn without_log_odds(of_claim: &[Verdict]) -> usize {
    of_claim.iter().position(|verdict| verdict.log_odds.is_none()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        context::test_support::Trial,
        rows::{FactLabel, json_lines},
    };

    fn written(path: &Path, verifier: &str, log_odds: &[Option<f64>]) -> PathBuf {
        let row = |(number, odds): (usize, &Option<f64>)| {
            let mut row = json!({"claim_id": format!("a#0/{number}"), "verdict": "unsupported",
                "probability": 0.5, "evidence": [], "verifier": verifier});
            if let Some(odds) = odds {
                row["log_odds"] = json!(odds);
            }
            format!("{row}\n")
        };
        let rows: String = log_odds.iter().enumerate().map(row).collect();
        std::fs::write(path, rows).unwrap();
        path.to_owned()
    }

    fn quality() -> Value {
        json!({"auroc": 0.9, "balanced_accuracy": 0.9, "calibration_error": 0.0, "brier": 0.0,
            "reliability": []})
    }

    fn calibration(verifiers: &[&str], weights: &[f64]) -> Value {
        let parts: Vec<Value> = verifiers
            .iter()
            .zip(weights)
            .map(|(verifier, weight)| json!({"verifier": verifier, "weight": weight, "auroc": 0.5}))
            .collect();
        json!({"verifier": verifiers.join(" + "),
            "combination": {"intercept": -1.0, "parts": parts},
            "curve": {"method": "platt", "slope": 1.0, "intercept": 0.0}, "threshold": 0.5,
            "claims": 9, "supported": 4, "topics": 2, "folds": 2,
            "before": quality(), "after": quality()})
    }

    fn combined(calibration: &Value, model: &[Option<f64>]) -> Result<Vec<Verdict>, String> {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let words = [Some(1.0), Some(-2.0), None];
        let words = written(&place("words.jsonl"), "words/1", &words);
        let model = written(&place("model.jsonl"), "model 12", model);
        let fitted = place("calibration.json");
        std::fs::write(&fitted, calibration.to_string()).unwrap();
        let inputs = [
            ("verdicts", words.as_path()),
            ("verdicts", model.as_path()),
            ("calibration", fitted.as_path()),
        ];
        let output = place("out");
        let trial = Trial::new(&inputs, json!({}));
        trial.run(&KIND, &output, run).map_err(|error| error.to_string())?;
        Ok(json_lines::read(&output.join("verdicts.jsonl")).unwrap())
    }

    #[test]
    fn log_odds_are_weighted_and_decided() {
        let fitted = calibration(&["words/1", "model 12"], &[2.0, 0.5]);
        let found = combined(&fitted, &[Some(-1.0), Some(9.0), Some(1.0)]).unwrap();
        let log_odds: Vec<Option<f64>> = found.iter().map(|verdict| verdict.log_odds).collect();
        // -1 + 2 * 1 + 0.5 * -1, and -1 + 2 * -2 + 0.5 * 9.
        assert_eq!(log_odds, [Some(0.5), Some(-0.5), None]);
        let labels: Vec<FactLabel> = found.iter().map(|verdict| verdict.verdict).collect();
        let (yes, no) = (FactLabel::Supported, FactLabel::Unsupported);
        assert_eq!(labels, [yes, no, no]);
        assert!((found[0].probability - 1.0 / (1.0 + (-0.5_f64).exp())).abs() < 1e-12);
        assert_eq!(found[0].verifier, "words/1 + model 12");
        assert_eq!(found[2].verifier, "words/1");
    }

    #[test]
    fn verdicts_and_calibration_belong_together() {
        let fitted = calibration(&["words/1", "model 12"], &[2.0, 0.5]);
        let error = combined(&fitted, &[Some(1.0)]).unwrap_err();
        assert!(error.contains("give verdicts on the same claims"), "{error}");
        let three = [Some(1.0), Some(1.0), Some(1.0)];
        let error = combined(&calibration(&["words/1"], &[1.0]), &three).unwrap_err();
        assert!(error.contains("is of the verifier `words/1`"), "{error}");
        let mut single = fitted;
        single.as_object_mut().unwrap().remove("combination");
        let error = combined(&single, &three).unwrap_err();
        assert!(error.contains("the calibration has no weights"), "{error}");
    }
}
