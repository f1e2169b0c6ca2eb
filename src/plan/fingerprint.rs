//! What an artifact depends on, in a form that people can read; its digest is the artifact's key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::graph::{PlannedInput, PlannedStage};
use crate::digest::{Digest, digest_value};

/// The version of this struct's meaning; part of every key.
///
/// 1: the first.
const SCHEMA: u32 = 1;

/// Everything that can change the bytes of an artifact, and nothing else. It is kept beside the artifact as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The version of the fingerprint's own meaning.
    pub schema: u32,
    /// The kind of stage.
    pub kind: String,
    /// The kind's version.
    pub version: u32,
    /// The parameters that matter to the result, defaults filled in.
    pub parameters: BTreeMap<String, Value>,
    /// What it reads, in the order of the kind's declaration and then of the recipe.
    pub inputs: Vec<FingerprintInput>,
    /// The seed, where the kind draws at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// `cpu` or `cuda`, where the kind runs on a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
}

/// What a stage reads, by its contents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FingerprintInput {
    /// The field's name.
    pub name: String,
    /// The type of artifact that it is read as.
    pub r#type: String,
    /// The digest of that type's files.
    pub digest: Digest,
    /// For a kind that gathers: the name of the cell it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Fingerprint {
    /// The fingerprint of a stage, given the digest of each of its inputs in their order.
    ///
    /// # Panics
    /// Where there are not as many digests as inputs.
    pub fn of(stage: &PlannedStage, digests: &[Digest]) -> Self {
        assert_eq!(digests.len(), stage.inputs.len(), "each input of `{}` has one digest", stage.name);
        let in_key = stage.kind.parameters.iter().filter(|parameter| parameter.in_key);
        let parameters = in_key.filter_map(|parameter| {
            stage.parameters.get(parameter.name).map(|value| (parameter.name.to_owned(), value.clone()))
        });
        let input = |(input, digest): (&PlannedInput, &Digest)| FingerprintInput {
            name: input.name.to_owned(),
            r#type: input.accepts.name.to_owned(),
            digest: *digest,
            label: input.label.clone(),
        };
        let backend = stage.device.as_deref().map(|device| device.split(':').next().unwrap_or(device).to_owned());
        Self {
            schema: SCHEMA,
            kind: stage.kind.name.to_owned(),
            version: stage.kind.version,
            parameters: parameters.collect(),
            inputs: stage.inputs.iter().zip(digests).map(input).collect(),
            seed: stage.seed,
            backend,
        }
    }

    /// The artifact's key.
    pub fn key(&self) -> Digest {
        let value = serde_json::to_value(self).expect("a fingerprint has only text keys and finite numbers");
        digest_value("key", &value)
    }
}
