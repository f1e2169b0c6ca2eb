//! Rows of people's labels: annotated responses as FActScore publishes them, and labelled claims.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ClaimId, FactLabel, ResponseId};

/// A row of `labels.jsonl`: a response with the facts that people found in it, in the form of
/// FActScore's labelled files, or one labelled claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LabelRow {
    /// Id of the response; by default `<system>/<topic>#<number>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_id: Option<ResponseId>,
    /// Name of the model that responded; by default one of `systems`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system: String,
    /// The prompt.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub input: String,
    /// The response; a row without `label` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The topic of the response.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// Categories of the topic, such as how often people write of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cat: Vec<String>,
    /// Its sentences with their facts; none where people found that the response abstains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Vec<AnnotatedSentence>>,
    /// Id of the labelled claim in `claims.jsonl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_id: Option<ClaimId>,
    /// The labelled claim; a row with `label` needs it or `claim_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// The label of the claim: `S`, `NS` or `IR`, or true or false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<HumanLabel>,
}

/// A sentence of an annotated response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AnnotatedSentence {
    /// The sentence.
    #[serde(default)]
    pub text: String,
    /// Whether it is about the topic.
    #[serde(default = "is_relevant")]
    pub is_relevant: bool,
    /// Facts that a model found in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_atomic_facts: Option<Vec<AtomicFact>>,
    /// Facts that people found in it, with their labels; none in an irrelevant sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub human_atomic_facts: Option<Vec<AtomicFact>>,
}

/// A fact of an annotated sentence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AtomicFact {
    /// The fact.
    pub text: String,
    /// Its label; facts that people found have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<HumanLabel>,
}

/// A label by people, written `S`, `NS` or `IR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "&str", try_from = "Value")]
pub struct HumanLabel(pub FactLabel);

/// A sentence without the field is one of a file without irrelevant sentences.
fn is_relevant() -> bool {
    true
}

/// Spellings of the labels in public data sets, in lower case and with spaces for `_` and `-`.
const SPELLINGS: [(FactLabel, &[&str]); 3] = [
    (FactLabel::Supported, &["s", "supported", "supports", "true", "support", "1"]),
    (
        FactLabel::Unsupported,
        &[
            "ns",
            "unsupported",
            "not supported",
            "false",
            "refuted",
            "refutes",
            "contradicted",
            "not enough info",
            "0",
        ],
    ),
    (FactLabel::Irrelevant, &["ir", "irrelevant"]),
];

impl From<HumanLabel> for &'static str {
    fn from(label: HumanLabel) -> Self {
        match label.0 {
            FactLabel::Supported => "S",
            FactLabel::Unsupported => "NS",
            // People abstain by other means; no file has such a label.
            FactLabel::Irrelevant | FactLabel::Undecided => "IR",
        }
    }
}

impl TryFrom<Value> for HumanLabel {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let written = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let word = written.trim().to_lowercase().replace(['_', '-'], " ");
        let known = SPELLINGS.iter().find(|(_, words)| words.contains(&word.as_str()));
        known.map(|(label, _)| Self(*label)).ok_or_else(|| {
            format!(
                "the label is `{written}`, but must be `S` (supported), `NS` (not supported), \
                `IR` (irrelevant), true or false"
            )
        })
    }
}

impl LabelRow {
    /// Checks that the row is an annotated response or a labelled claim.
    ///
    /// # Errors
    /// Names the field that is missing, or that contradicts another one.
    pub fn check(&self) -> Result<(), String> {
        match (&self.label, &self.annotations, &self.output) {
            (Some(_), Some(_), _) => {
                Err("the row has both `label` and `annotations`; give one of them".to_owned())
            }
            (Some(_), None, _) if self.claim.is_none() && self.claim_id.is_none() => {
                Err("the row has a `label`, but neither `claim` nor `claim_id`".to_owned())
            }
            (None, _, None) => {
                Err("the row has neither `label` nor `output`; {claim, label} or {topic, \
                output, annotations} is expected"
                    .to_owned())
            }
            (None, _, Some(_)) if self.topic.is_empty() && self.response_id.is_none() => {
                Err("the row has neither `topic` nor `response_id`".to_owned())
            }
            _ => self.check_facts(),
        }
    }

    fn check_facts(&self) -> Result<(), String> {
        let sentences = self.annotations.iter().flatten();
        let facts = sentences.flat_map(|sentence| sentence.human_atomic_facts.iter().flatten());
        let without_label = facts.into_iter().find(|fact| fact.label.is_none());
        without_label.map_or(Ok(()), |fact| Err(format!("the fact `{}` has no label", fact.text)))
    }
}

impl AnnotatedSentence {
    /// Its facts: those of people, or those of the model where people call the sentence irrelevant.
    pub fn facts(&self) -> impl Iterator<Item = &AtomicFact> {
        // People split relevant sentences only; FActScore counts the others by the model's facts.
        let facts =
            if self.is_relevant { &self.human_atomic_facts } else { &self.model_atomic_facts };
        facts.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Result<LabelRow, String> {
        let row: LabelRow = serde_json::from_str(text).map_err(|error| error.to_string())?;
        row.check().map(|()| row)
    }

    #[test]
    fn labels_are_read_in_the_spellings_of_public_data_sets() {
        let label = |written: &str| {
            row(&format!(r#"{{"claim":"a","label":{written}}}"#)).map(|row| row.label.unwrap().0)
        };
        for written in ["\"S\"", "true", "1", "\"SUPPORTED\"", "\"supports\"", "\"True\""] {
            assert_eq!(label(written), Ok(FactLabel::Supported), "{written}");
        }
        for written in ["\"NS\"", "false", "0", "\"not_supported\"", "\"REFUTES\"", "\"refuted\""] {
            assert_eq!(label(written), Ok(FactLabel::Unsupported), "{written}");
        }
        assert_eq!(label("\"IR\""), Ok(FactLabel::Irrelevant));
        let problem = label("\"maybe\"").unwrap_err();
        assert!(problem.starts_with("the label is `maybe`, but must be `S`"), "{problem}");
        assert!(label("2").unwrap_err().starts_with("the label is `2`"));
    }

    #[test]
    fn a_row_is_an_annotated_response_or_a_labelled_claim() {
        let response = r#"{"input":"Q","output":"Ann is. Bo.","topic":"Ann","cat":["rare","Asia"],
            "annotations":[{"text":"Ann is.","is-relevant":true,"model-atomic-facts":[{"text":"m"}],
            "human-atomic-facts":[{"text":"Ann is.","label":"S"}]},
            {"text":"Bo.","is-relevant":false,"model-atomic-facts":[{"text":"Bo."}],
            "human-atomic-facts":null}]}"#;
        let found = row(response).unwrap();
        let facts = found.annotations.iter().flatten().flat_map(AnnotatedSentence::facts);
        assert_eq!(facts.map(|fact| fact.text.as_str()).collect::<Vec<_>>(), ["Ann is.", "Bo."]);
        let again = serde_json::to_string(&found).unwrap();
        assert!(again.contains(r#""is-relevant":true"#) && again.contains(r#""label":"S""#));
        assert_eq!(row(&again).unwrap(), found);
        assert!(row(r#"{"output":"I do not know.","topic":"Ann","annotations":null}"#).is_ok());
        assert!(row(r#"{"claim_id":"a#0/1","label":"NS"}"#).is_ok());
        for (text, problem) in [
            (r#"{"label":"S"}"#, "neither `claim` nor `claim_id`"),
            (r#"{"topic":"Ann"}"#, "neither `label` nor `output`"),
            (r#"{"output":"x"}"#, "neither `topic` nor `response_id`"),
            (r#"{"claim":"x","label":"S","annotations":[]}"#, "both `label` and `annotations`"),
            (
                r#"{"topic":"A","output":"x","annotations":[{"human-atomic-facts":[{"text":"f"}]}]}"#,
                "the fact `f` has no label",
            ),
        ] {
            assert!(row(text).unwrap_err().contains(problem), "{text}");
        }
    }
}
