//! Labels by people as responses with their facts, whatever form the rows have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rows::{ClaimId, FactLabel, LabelRow, ResponseId};

/// A response with the facts that people labelled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnnotatedResponse {
    /// Id of the response.
    pub id: ResponseId,
    /// The model that responded.
    pub system: String,
    /// The topic; empty if the labels do not name it.
    pub topic: String,
    /// Categories of the topic.
    pub categories: Vec<String>,
    /// The prompt.
    pub input: String,
    /// The response; for labelled claims their texts.
    pub output: String,
    /// Whether people found facts to label; otherwise the response abstains.
    pub is_annotated: bool,
    /// Sentences in which people found facts, in order.
    pub sentences: Vec<String>,
    /// The facts, in order.
    pub facts: Vec<LabelledFact>,
}

/// A fact with its label.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledFact {
    /// Id of the fact as a claim.
    pub id: ClaimId,
    /// The fact; empty if the labels name the claim by its id alone.
    pub text: String,
    /// The label.
    pub label: FactLabel,
    /// Number of its sentence in the response; none for labelled claims.
    pub sentence: Option<usize>,
    /// Whether it is from a sentence that people called irrelevant as a whole.
    pub is_of_irrelevant_sentence: bool,
}

/// Treatment of facts that people called irrelevant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum IrrelevantFacts {
    /// Not counted: precision is S / (S + NS).
    Dropped,
    /// Unsupported, but facts of irrelevant sentences are not counted.
    SentencesDropped,
    /// Unsupported, as FActScore counts them.
    Unsupported,
}

impl LabelledFact {
    /// The label under a treatment of irrelevant facts.
    pub fn label_under(&self, treatment: IrrelevantFacts) -> FactLabel {
        match (self.label, treatment) {
            (FactLabel::Irrelevant, IrrelevantFacts::Unsupported) => FactLabel::Unsupported,
            (FactLabel::Irrelevant, IrrelevantFacts::SentencesDropped)
                if !self.is_of_irrelevant_sentence =>
            {
                FactLabel::Unsupported
            }
            (label, _) => label,
        }
    }
}

/// Why labels cannot be used: two rows, by their numbers from 0, are of the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} twice")]
pub struct LabelError {
    /// What is labelled or annotated.
    pub what: String,
    /// Both rows.
    pub rows: [usize; 2],
}

/// The responses of labelled rows, each row with the name of its file.
///
/// # Errors
/// Fails where two rows are of one response or claim.
pub fn annotated_responses(
    rows: impl IntoIterator<Item = (String, LabelRow)>,
) -> Result<Vec<AnnotatedResponse>, LabelError> {
    let mut found = Annotated::default();
    for (number, (file, row)) in rows.into_iter().enumerate() {
        found
            .add(&file, row)
            .map_err(|(what, first)| LabelError { what, rows: [first, number] })?;
        found.rows += 1;
    }
    Ok(found.responses)
}

/// What is labelled twice, and the number of the first row.
type Repeated = (String, usize);

/// The responses so far.
#[derive(Default)]
struct Annotated {
    responses: Vec<AnnotatedResponse>,
    /// Place of a response, and the number of its first row.
    places: BTreeMap<ResponseId, (usize, usize)>,
    /// Number of the row by claim.
    labelled: BTreeMap<ClaimId, usize>,
    /// Number of rows before this one.
    rows: usize,
    /// Number of responses by system and topic, and of claims without id by system.
    counts: BTreeMap<(String, String), usize>,
}

impl Annotated {
    fn add(&mut self, file: &str, mut row: LabelRow) -> Result<(), Repeated> {
        if row.system.is_empty() {
            file.clone_into(&mut row.system);
        }
        match row.label {
            Some(label) => self.add_claim(row, label.0),
            None => self.add_response(row),
        }
    }

    /// The next number of a response to this topic, or of a claim without topic.
    fn next(&mut self, system: &str, topic: &str) -> usize {
        let count = self.counts.entry((system.to_owned(), topic.to_owned())).or_default();
        *count += 1;
        *count - 1
    }

    fn add_response(&mut self, row: LabelRow) -> Result<(), Repeated> {
        let id = row.response_id.unwrap_or_else(|| {
            let number = self.next(&row.system, &row.topic);
            ResponseId::of_sample(&format!("{}/{}", row.system, row.topic), number)
        });
        let mut response = AnnotatedResponse {
            system: row.system,
            topic: row.topic,
            categories: row.cat,
            input: row.input,
            output: row.output.unwrap_or_default(),
            is_annotated: row.annotations.is_some(),
            ..AnnotatedResponse::default()
        };
        for (sentence, annotated) in row.annotations.iter().flatten().enumerate() {
            response.sentences.push(annotated.text.clone());
            for fact in annotated.facts() {
                // Nobody labelled the model's facts of an irrelevant sentence.
                let label = match fact.label {
                    Some(label) if annotated.is_relevant => label.0,
                    _ => FactLabel::Irrelevant,
                };
                response.facts.push(LabelledFact {
                    id: fact_id(&id, response.facts.len()),
                    text: fact.text.clone(),
                    label,
                    sentence: Some(sentence),
                    is_of_irrelevant_sentence: !annotated.is_relevant,
                });
            }
        }
        if let Some((_, first)) = self.places.insert(id.clone(), (self.responses.len(), self.rows))
        {
            return Err((format!("response `{id}` is annotated"), first));
        }
        self.responses.push(AnnotatedResponse { id, ..response });
        Ok(())
    }

    fn add_claim(&mut self, row: LabelRow, label: FactLabel) -> Result<(), Repeated> {
        let id = row.response_id.or_else(|| row.claim_id.as_ref().map(response_of));
        let id = id.unwrap_or_else(|| {
            let number = self.next(&row.system, &row.topic);
            ResponseId::of_sample(&format!("{}/{}", row.system, row.topic), number)
        });
        let (place, _) = *self.places.entry(id.clone()).or_insert_with(|| {
            self.responses.push(AnnotatedResponse {
                id: id.clone(),
                system: row.system,
                topic: row.topic,
                categories: row.cat,
                input: row.input,
                is_annotated: true,
                ..AnnotatedResponse::default()
            });
            (self.responses.len() - 1, self.rows)
        });
        let response = &mut self.responses[place];
        let claim_id = row.claim_id.unwrap_or_else(|| fact_id(&id, response.facts.len()));
        if let Some(first) = self.labelled.insert(claim_id.clone(), self.rows) {
            return Err((format!("claim `{claim_id}` is labelled"), first));
        }
        let text = row.claim.unwrap_or_default();
        // The claims are all that is known of the response.
        if !response.output.is_empty() && !text.is_empty() {
            response.output.push(' ');
        }
        response.output.push_str(&text);
        response.facts.push(LabelledFact {
            id: claim_id,
            text,
            label,
            sentence: None,
            is_of_irrelevant_sentence: false,
        });
        Ok(())
    }
}

/// The id of a fact that people found: other than those of extracted claims, so that both may be in
/// one run.
fn fact_id(response: &ResponseId, number: usize) -> ClaimId {
    format!("{response}/fact/{number}").into()
}

/// The response of a claim by its id, `<response id>/<number>`.
fn response_of(claim: &ClaimId) -> ResponseId {
    let id = claim.as_str();
    id.rsplit_once('/').map_or(id, |(response, _)| response).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn responses(rows: &[&str]) -> Result<Vec<AnnotatedResponse>, LabelError> {
        let rows = rows.iter().map(|row| ("M".to_owned(), serde_json::from_str(row).unwrap()));
        annotated_responses(rows)
    }

    const ANSWER: &str = r#"{"input":"Q","output":"Ann is. Bo.","topic":"Ann","cat":["rare"],
        "annotations":[{"text":"Ann is.","is-relevant":true,"human-atomic-facts":[
        {"text":"a","label":"S"},{"text":"b","label":"IR"}]},
        {"text":"Bo.","is-relevant":false,"model-atomic-facts":[{"text":"c"}]}]}"#;

    #[test]
    fn irrelevant_facts_count_as_the_treatment_has_it() {
        let found = responses(&[ANSWER]).unwrap().remove(0);
        assert_eq!((found.id.as_str(), found.is_annotated), ("M/Ann#0", true));
        assert_eq!(found.facts[2].id.as_str(), "M/Ann#0/fact/2");
        let under = |treatment| -> Vec<FactLabel> {
            found.facts.iter().map(|fact| fact.label_under(treatment)).collect()
        };
        use FactLabel::{Irrelevant, Supported, Unsupported};
        assert_eq!(under(IrrelevantFacts::Dropped), [Supported, Irrelevant, Irrelevant]);
        assert_eq!(under(IrrelevantFacts::SentencesDropped), [Supported, Unsupported, Irrelevant]);
        assert_eq!(under(IrrelevantFacts::Unsupported), [Supported, Unsupported, Unsupported]);
    }

    #[test]
    fn responses_and_claims_have_ids_of_their_own() {
        let found = responses(&[
            ANSWER,
            ANSWER,
            r#"{"topic":"Bo","output":"I do not know.","annotations":null}"#,
            r#"{"claim":"x","label":true}"#,
            r#"{"claim":"y","label":false}"#,
            r#"{"claim_id":"p#3/0","label":"NS"}"#,
            r#"{"claim_id":"p#3/1","label":"S"}"#,
        ])
        .unwrap();
        let ids: Vec<&str> = found.iter().map(|response| response.id.as_str()).collect();
        assert_eq!(ids, ["M/Ann#0", "M/Ann#1", "M/Bo#0", "M/#0", "M/#1", "p#3"]);
        assert!(!found[2].is_annotated);
        assert_eq!((found[3].output.as_str(), found[3].facts.len()), ("x", 1));
        let ids: Vec<&str> = found[5].facts.iter().map(|fact| fact.id.as_str()).collect();
        assert_eq!(ids, ["p#3/0", "p#3/1"]);
    }

    #[test]
    fn nothing_is_labelled_twice() {
        let claim = r#"{"claim_id":"p#3/0","label":"NS"}"#;
        let other = r#"{"claim_id":"p#3/1","label":"NS"}"#;
        let twice = responses(&[claim, other, claim]).unwrap_err();
        assert_eq!(twice.to_string(), "the claim `p#3/0` is labelled twice");
        assert_eq!(twice.rows, [0, 2]);
        let response = r#"{"response_id":"r","topic":"A","output":"x","annotations":[]}"#;
        let twice = responses(&[response, response]).unwrap_err();
        assert_eq!(twice.to_string(), "the response `r` is annotated twice");
    }
}
