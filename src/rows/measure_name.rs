//! Names of measures, and of the sets of domains over which they are averaged.

use std::{cmp::Ordering, fmt};

use serde::{Deserialize, Serialize};

/// Name of the mean over all domains except the in-domain one.
pub const OUT_OF_DOMAIN: &str = "out-of-domain";

/// Name of the mean over all domains.
pub const ALL_DOMAINS: &str = "all-domains";

/// A measure of responses, by its name in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MeasureName {
    /// Share of supported facts.
    Precision,
    /// Precision with each fact of a response counted once.
    Deduplicated,
    /// Precision with FActScore's length penalty.
    Factscore,
    /// F1@K on distinct facts.
    // Derived names would depend on how a crate splits `F1AtK`.
    #[serde(rename = "f1_at_k")]
    #[strum(serialize = "f1_at_k")]
    F1AtK,
    /// Facts of a response.
    Facts,
    /// Supported facts.
    Supported,
    /// Unsupported facts.
    Unsupported,
    /// Different supported facts.
    DistinctSupported,
    /// Different unsupported facts.
    DistinctUnsupported,
    /// Facts stated before in the same words.
    Repeats,
    /// Share of responses that state facts.
    Responding,
    /// Share of responses without a word.
    Empty,
    /// Share of responses with words but without a verifiable fact.
    Abstained,
    /// Share of truncated responses.
    Unfinished,
    /// Length in characters.
    Characters,
}

/// A measure of token shift, by its name in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ShiftMeasureName {
    /// Share of tokens that are the base model's first choice.
    Unshifted,
    /// Share of tokens that are its second or third choice.
    Marginal,
    /// Share of tokens that are none of its first three choices.
    Shifted,
    /// Share of marginal and shifted tokens.
    Moved,
    /// Probability of a token under the base model.
    BaseProbability,
    /// Probability of a token under the tuned model.
    TunedProbability,
    /// KL(tuned, base) in nats per token.
    Kl,
    /// KL(base, tuned) in nats per token.
    ReverseKl,
}

impl MeasureName {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl ShiftMeasureName {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for MeasureName {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        // `pad` and not `write_str`: tables align names by a width.
        formatter.pad(self.as_str())
    }
}

impl fmt::Display for ShiftMeasureName {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

// Files list the measures of a map by name, and not in the order of the tables.
impl Ord for MeasureName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for MeasureName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ShiftMeasureName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for ShiftMeasureName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn names_in_files_are_those_of_maps_and_tables() {
        for name in [MeasureName::Precision, MeasureName::F1AtK, MeasureName::DistinctSupported] {
            assert_eq!(serde_json::to_string(&name).unwrap(), format!("\"{name}\""));
        }
        let shift = [ShiftMeasureName::Kl, ShiftMeasureName::BaseProbability];
        let map: BTreeMap<ShiftMeasureName, u8> = shift.into_iter().zip(1..).collect();
        let text = r#"{"base_probability":2,"kl":1}"#;
        assert_eq!(serde_json::to_string(&map).unwrap(), text);
        assert_eq!(serde_json::from_str::<BTreeMap<_, _>>(text).unwrap(), map);
    }
}
