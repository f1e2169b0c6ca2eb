//! The kind `calibrate`: from a verifier's log-odds to probabilities and a threshold, by labels.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{labels::read_annotated, verifiers::Verifiers};
use crate::{
    context::{
        Context, StageError,
        artifact::{CALIBRATION, CLAIMS, LABELS, VERDICTS},
        write_json,
    },
    evaluation::{
        AnnotatedResponse, CalibrationMethod, CombinedVerifier, FittedCalibration, IrrelevantFacts,
        LabelledOdds, calibrate,
    },
    facts::normalise,
    recipe::schema::{Declared, Input, Kind},
    rows::{Claim, ClaimId, FactLabel, RowsById, Verdict},
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "calibrate",
    // 1: first version. 2: several verifiers with weights. The parameter `irrelevant` changed no
    // result of before.
    version: 2,
    about: "Calibrate one or more verifiers by labels: weights, probabilities and a threshold.",
    inputs: &[
        Input::many(
            "verdicts",
            &VERDICTS,
            "Verdicts with log-odds, each of one verifier; several get weights, for `combine`.",
        ),
        Input::one("claims", &CLAIMS, "Claims of the verdicts."),
        Input::one("labels", &LABELS, "Labels by people: a stage of kind `labels`, or a file."),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&CALIBRATION],
    seeded: false,
    fan_in: false,
    on_device: None,
    cross_checks: None,
    lacks: None,
    cell_checks: None,
    redundant: None,
};

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Curve: Platt's logistic one, or an isotonic one for thousands of labels.
    #[parameter(default = "platt")]
    curve: CalibrationMethod,
    /// Groups of topics; each is held out once, to measure the calibration on it.
    #[parameter(default = 5, min = 2, max = 100)]
    folds: usize,
    /// Irrelevant facts: dropped, unsupported except in irrelevant sentences, or unsupported.
    #[parameter(default = "dropped")]
    irrelevant: IrrelevantFacts,
}

/// Fewer labelled claims make a threshold of chance.
const FEW_CLAIMS: usize = 50;

/// Writes `calibration.json`.
///
/// # Errors
/// If inputs cannot be read or do not belong together, or the labels do not suffice.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { curve, folds, irrelevant } = context.parameters()?;
    let labelled = read_annotated(context)?;
    let verifiers = Verifiers::of(context)?;
    let labels = Labels::new(&labelled, irrelevant);
    let LabelledClaims { odds, irrelevant, verdicts } =
        LabelledClaims::of(context, &verifiers, &labels)?;
    let odds: Vec<LabelledOdds<'_>> = odds.iter().map(ClaimOdds::labelled).collect();
    if odds.is_empty() {
        return Err(without_labels(irrelevant));
    }
    let calibration = calibrate(&verifiers.names(), &odds, curve, folds)
        .map_err(StageError::doing("calibrate the verdicts"))?;
    write_json(&context.output("calibration.json"), &calibration)?;
    describe(context, &calibration, verdicts);
    Ok(())
}

/// Log-odds of a labelled claim.
struct ClaimOdds {
    topic: String,
    log_odds: Vec<f64>,
    is_supported: bool,
}

impl ClaimOdds {
    fn labelled(&self) -> LabelledOdds<'_> {
        let Self { topic, log_odds, is_supported } = self;
        LabelledOdds { topic, log_odds: log_odds.clone(), is_supported: *is_supported }
    }
}

/// What remains of the verdicts.
#[derive(Default)]
struct LabelledClaims {
    odds: Vec<ClaimOdds>,
    /// Claims that are irrelevant by their labels.
    irrelevant: usize,
    /// Number of all claims with verdicts.
    verdicts: usize,
}

impl LabelledClaims {
    /// Reads verdicts and claims side by side.
    fn of(
        context: &Context,
        verifiers: &Verifiers,
        labels: &Labels<'_>,
    ) -> Result<Self, StageError> {
        let reading = "read the claims";
        let claims = RowsById::<Claim>::open(&context.input_file("claims", "claims.jsonl")?);
        let mut claims = claims.map_err(StageError::doing(reading))?;
        let mut found = Self::default();
        for of_claim in verifiers.verdicts()? {
            let of_claim = of_claim?;
            let id = &of_claim[0].claim_id;
            let claim = claims.get(id.as_str()).map_err(StageError::doing(reading))?;
            let claim = claim.ok_or_else(|| {
                StageError(format!(
                    "the verdict on `{id}` belongs to no claim; give the claims of these verdicts"
                ))
            })?;
            found.add(claim, &of_claim, labels);
        }
        claims.left().map_err(StageError::doing(reading))?;
        Ok(found)
    }

    fn add(&mut self, claim: Claim, of_claim: &[Verdict], labels: &Labels<'_>) {
        self.verdicts += 1;
        let label = labels.of(&claim);
        let log_odds: Option<Vec<f64>> = of_claim.iter().map(|verdict| verdict.log_odds).collect();
        if let (Some(log_odds), Some(FactLabel::Supported | FactLabel::Unsupported)) =
            (log_odds, label)
        {
            // Claims of one response depend on each other, so they are held out together.
            let topic = match claim.topic.is_empty() {
                true => claim.response_id.to_string(),
                false => claim.topic,
            };
            let is_supported = label == Some(FactLabel::Supported);
            self.odds.push(ClaimOdds { topic, log_odds, is_supported });
        } else if label == Some(FactLabel::Irrelevant) {
            self.irrelevant += 1;
        }
    }
}

/// Why nothing can be calibrated, where this number of claims are irrelevant by their labels.
fn without_labels(irrelevant: usize) -> StageError {
    StageError(match irrelevant {
        0 => {
            "no verdict with log-odds is on a labelled claim; labels name claims by `claim_id`, or \
            by `topic` and `claim`"
                .to_owned()
        }
        count => format!(
            "all labels of these claims ({count}) are `IR` (irrelevant), which tells nothing of \
            the verdicts; label claims as `S` or `NS`, or count irrelevant ones as unsupported \
            (`irrelevant = \"unsupported\"`)"
        ),
    })
}

/// Labels by the claim's id, and by its topic and words.
struct Labels<'a> {
    by_id: BTreeMap<&'a ClaimId, FactLabel>,
    /// None where people disagree.
    by_text: BTreeMap<(&'a str, String), Option<FactLabel>>,
}

impl<'a> Labels<'a> {
    fn new(labelled: &'a [AnnotatedResponse], treatment: IrrelevantFacts) -> Self {
        let mut found = Self { by_id: BTreeMap::new(), by_text: BTreeMap::new() };
        for response in labelled {
            for fact in &response.facts {
                let label = fact.label_under(treatment);
                found.by_id.insert(&fact.id, label);
                if !fact.text.is_empty() {
                    let key = (response.topic.as_str(), normalise(&fact.text));
                    let known = found.by_text.entry(key).or_insert(Some(label));
                    // The same words may be true in one response and false in another.
                    *known = known.filter(|other| *other == label);
                }
            }
        }
        found
    }

    fn of(&self, claim: &Claim) -> Option<FactLabel> {
        let words = normalise(&claim.text);
        let by_text = |topic| self.by_text.get(&(topic, words.clone())).copied().flatten();
        let by_id = self.by_id.get(&claim.id).copied();
        // A label without a topic is meant for its words under any topic.
        by_id.or_else(|| by_text(claim.topic.as_str())).or_else(|| by_text(""))
    }
}

/// Notes how well the calibration does, and warns where it does not.
fn describe(context: &Context, found: &FittedCalibration, verdicts: usize) {
    let FittedCalibration { claims, topics, folds, threshold, before, after, .. } = found;
    context.note(format!(
        "{claims} of {verdicts} verdicts labelled, {topics} topics in {folds} groups; threshold \
        {threshold:.3}"
    ));
    context.note(format!(
        "expected calibration error {:.3} before, {:.3} on held-out topics; balanced accuracy \
        {:.1} % before, {:.1} % on held-out topics; AUROC {:.3}",
        before.calibration_error,
        after.calibration_error,
        100.0 * before.balanced_accuracy,
        100.0 * after.balanced_accuracy,
        before.auroc
    ));
    if *claims < FEW_CLAIMS {
        context.warn(format!("{claims} labelled claims are few for a calibration; label more"));
    }
    for CombinedVerifier { verifier, weight, auroc } in
        found.combination.iter().flat_map(|combination| &combination.parts)
    {
        context.note(format!("`{verifier}`: weight {weight:.3}, AUROC alone {auroc:.3}"));
    }
    if !found.curve.rises() {
        context.warn(
            "higher log-odds do not mean more supported claims: the verifier does not fit these \
            claims",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::context::test_support::{self, Trial};
    use serde_json::{Value, json};

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters =
            serde_json::from_value(test_support::defaults(&KIND).into()).unwrap();
        assert_eq!((parameters.curve, parameters.folds), (CalibrationMethod::Platt, 5));
    }

    /// Sixty claims of six topics, of which higher log-odds are more often supported; labels name
    /// even ones by id and odd ones by topic and words.
    fn written(folder: &tempfile::TempDir, verifier: &str) -> [PathBuf; 3] {
        let (mut claims, mut verdicts, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..60_u32 {
            let (id, topic) =
                (format!("r{}#0/{number}", number % 6), format!("Topic {}", number % 6));
            let log_odds = f64::from(number) / 10.0 - 2.0;
            let label = if (number / 6) * 7 % 10 < number / 6 { "S" } else { "NS" };
            claims.push(
                json!({"id": id, "response_id": format!("r{}#0", number % 6), "topic": topic,
                "text": format!("Fact {number} holds."), "span": [0, 1]}),
            );
            verdicts.push(json!({"claim_id": id, "verdict": "supported", "probability": 0.5,
                "evidence": [], "log_odds": log_odds, "verifier": verifier}));
            labels.push(match number % 2 {
                0 => json!({"claim_id": id, "label": label}),
                _ => {
                    json!({"topic": topic, "claim": format!("fact {number} holds"), "label": label})
                }
            });
        }
        labels[0]["label"] = json!("IR");
        let write = |name: &str, rows: &[Value]| {
            let path = folder.path().join(name);
            let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
            std::fs::write(&path, text).unwrap();
            path
        };
        [
            write("claims.jsonl", &claims),
            write("verdicts.jsonl", &verdicts),
            write("labels.jsonl", &labels),
        ]
    }

    fn calibrated(folder: &tempfile::TempDir, paths: &[PathBuf; 3]) -> Result<Vec<String>, String> {
        let [claims, verdicts, labels] = paths;
        let inputs = [
            ("claims", claims.as_path()),
            ("verdicts", verdicts.as_path()),
            ("labels", labels.as_path()),
        ];
        let trial = Trial::new(&inputs, json!({"folds": 3}));
        trial.run(&KIND, folder.path(), run).map_err(|error| error.to_string())
    }

    #[test]
    fn labels_are_found_by_id_and_by_words_and_irrelevant_ones_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let paths = written(&folder, "words/1");
        let notes = calibrated(&folder, &paths).unwrap();
        assert!(
            notes[0].starts_with("59 of 60 verdicts labelled, 6 topics in 3 groups"),
            "{notes:?}"
        );
        let text = std::fs::read_to_string(folder.path().join("calibration.json")).unwrap();
        let found: FittedCalibration = serde_json::from_str(&text).unwrap();
        assert_eq!((found.verifier.as_str(), found.claims), ("words/1", 59));
        assert!(found.curve.rises() && found.before.auroc > 0.5);
    }

    #[test]
    fn verdicts_of_no_or_of_several_verifiers_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let paths = written(&folder, "words/1");
        let text = std::fs::read_to_string(&paths[1]).unwrap();
        std::fs::write(&paths[1], text.replacen("words/1", "model/1", 1)).unwrap();
        let error = calibrated(&folder, &paths).unwrap_err();
        assert!(error.contains("by `model/1` and by `words/1`"), "{error}");
        std::fs::write(&paths[1], text.replace("\"log_odds\"", "\"other\"")).unwrap();
        let error = calibrated(&folder, &paths).unwrap_err();
        assert!(error.contains("have no log-odds"), "{error}");
        std::fs::write(&paths[1], text).unwrap();
        std::fs::write(&paths[2], "{\"claim_id\":\"z#0/0\",\"label\":\"S\"}\n").unwrap();
        let error = calibrated(&folder, &paths).unwrap_err();
        assert!(error.contains("no verdict with log-odds is on a labelled claim"), "{error}");
        std::fs::write(&paths[2], "{\"claim_id\":\"r0#0/0\",\"label\":\"IR\"}\n").unwrap();
        let error = calibrated(&folder, &paths).unwrap_err();
        assert!(error.starts_with("all labels of these claims (1) are `IR`"), "{error}");
    }
}
