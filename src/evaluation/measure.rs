//! The measures of one response, by name.

use crate::rows::MeasureName;

use super::AnswerScore;

/// A measure of responses.
#[derive(Debug)]
pub struct Measure {
    /// Its name.
    pub name: MeasureName,
    /// Definition in one sentence.
    pub about: &'static str,
    /// Whether more is better; none if neither direction is.
    pub more_is_better: Option<bool>,
    /// Upper bound, if any; the lower bound is 0.
    pub most: Option<f64>,
    /// Value for a response; none if the response does not count.
    pub value: fn(&AnswerScore) -> Option<f64>,
}

/// All measures, in the order of the tables.
pub const MEASURES: &[Measure] = &[
    Measure {
        name: MeasureName::Precision,
        about: "The share of facts that are supported, over the responses that state facts.",
        more_is_better: Some(true),
        most: Some(1.0),
        value: |answer| answer.precision,
    },
    Measure {
        name: MeasureName::Deduplicated,
        about: "Precision with each fact of a response counted once, over the responses that state \
        facts.",
        more_is_better: Some(true),
        most: Some(1.0),
        value: |answer| answer.deduplicated,
    },
    Measure {
        name: MeasureName::Factscore,
        about: "Precision with FActScore's penalty for responses of fewer facts than gamma, over \
        the responses that state facts.",
        more_is_better: Some(true),
        most: Some(1.0),
        value: |answer| answer.factscore,
    },
    Measure {
        name: MeasureName::F1AtK,
        about: "F1@K of LongFact on distinct facts: precision against K facts wanted; 0 for a \
        response without facts.",
        more_is_better: Some(true),
        most: Some(1.0),
        value: |answer| Some(answer.f1_at_k),
    },
    Measure {
        name: MeasureName::Facts,
        about: "Facts stated in a response, repeats included.",
        more_is_better: None,
        most: None,
        value: |answer| Some(answer.facts as f64),
    },
    Measure {
        name: MeasureName::Supported,
        about: "Supported facts in a response, repeats included.",
        more_is_better: Some(true),
        most: None,
        value: |answer| Some(answer.supported as f64),
    },
    Measure {
        name: MeasureName::Unsupported,
        about: "Unsupported facts in a response, repeats and unintelligible sentences included.",
        more_is_better: Some(false),
        most: None,
        value: |answer| Some(answer.unsupported as f64),
    },
    Measure {
        name: MeasureName::DistinctSupported,
        about: "Different supported facts in a response.",
        more_is_better: Some(true),
        most: None,
        value: |answer| Some(answer.distinct_supported as f64),
    },
    Measure {
        name: MeasureName::DistinctUnsupported,
        about: "Different unsupported facts in a response.",
        more_is_better: Some(false),
        most: None,
        value: |answer| Some(answer.distinct_unsupported as f64),
    },
    Measure {
        name: MeasureName::Repeats,
        about: "Facts in a response that it has stated already, in the same words.",
        more_is_better: Some(false),
        most: None,
        value: |answer| Some(answer.repeats as f64),
    },
    Measure {
        name: MeasureName::Responding,
        about: "The share of responses that state facts; the others are left out of precision and \
        FActScore.",
        more_is_better: Some(true),
        most: Some(1.0),
        value: |answer| Some(f64::from(u8::from(answer.facts + answer.undecided > 0))),
    },
    Measure {
        name: MeasureName::Empty,
        about: "The share of responses without a word.",
        more_is_better: Some(false),
        most: Some(1.0),
        value: |answer| Some(f64::from(u8::from(answer.empty))),
    },
    Measure {
        name: MeasureName::Abstained,
        about: "The share of responses that have words but state nothing that could be checked.",
        more_is_better: None,
        most: Some(1.0),
        value: |answer| Some(f64::from(u8::from(answer.abstained))),
    },
    Measure {
        name: MeasureName::Unfinished,
        about: "The share of responses that were cut off at the longest length.",
        more_is_better: Some(false),
        most: Some(1.0),
        value: |answer| Some(f64::from(u8::from(answer.unfinished))),
    },
    Measure {
        name: MeasureName::Characters,
        about: "The length of a response in characters.",
        more_is_better: None,
        most: None,
        value: |answer| Some(answer.characters as f64),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<MeasureName> =
            MEASURES.iter().map(|measure| measure.name).collect();
        assert_eq!(names.len(), MEASURES.len());
    }
}
