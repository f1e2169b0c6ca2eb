//! What a key is the hash of.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::PlannedStage;
use crate::digest::{Digest, digest_value};

/// All that an artifact depends on; saved beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The version of this format.
    pub schema: u32,
    /// The kind's name.
    pub kind: String,
    /// The kind's version.
    pub version: u32,
    /// Those parameters that can change the result.
    pub parameters: Map<String, Value>,
    /// What it reads, by content.
    pub inputs: Vec<FingerprintInput>,
    /// The seed, where the kind draws.
    pub seed: Option<u64>,
    /// What computes, where the kind runs on a device.
    pub backend: Option<String>,
}

/// One input of a fingerprint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FingerprintInput {
    /// The field's name.
    pub name: String,
    /// The type of artifact it is read as.
    pub r#type: String,
    /// Of its contents.
    pub digest: Digest,
    /// For a kind that gathers: the cell's name.
    pub label: Option<String>,
}

impl Fingerprint {
    /// The fingerprint of a stage whose inputs have these digests.
    pub fn of(stage: &PlannedStage, digests: &[Digest]) -> Self {
        let in_key = |name: &str| stage.kind.parameters.iter().any(|known| known.name == name && known.in_key);
        let parameters = stage.parameters.iter().filter(|(name, _)| in_key(name));
        let inputs = stage.inputs.iter().zip(digests).map(|(input, digest)| FingerprintInput {
            name: input.name.to_owned(),
            r#type: input.accepts.name.to_owned(),
            digest: *digest,
            label: input.label.clone(),
        });
        Self {
            schema: 1,
            kind: stage.kind.name.to_owned(),
            version: stage.kind.version,
            parameters: parameters.map(|(name, value)| (name.clone(), value.clone())).collect(),
            inputs: inputs.collect(),
            seed: stage.seed,
            backend: stage.device.as_deref().map(|device| device.split(':').next().unwrap_or(device).to_owned()),
        }
    }

    /// The key.
    pub fn key(&self) -> Digest {
        digest_value("key", &serde_json::to_value(self).expect("plain data can be written"))
    }
}

/// What differs between two fingerprints, in words: "`beta` 0.1 -> 0.2".
pub fn differences(old: &Fingerprint, new: &Fingerprint) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in &new.parameters {
        if let Some(before) = old.parameters.get(name).filter(|before| *before != value) {
            found.push(format!("`{name}` {before} -> {value}"));
        }
    }
    for (before, after) in old.inputs.iter().zip(&new.inputs) {
        if before.digest != after.digest {
            found.push(format!("`{}` changed", after.name));
        }
    }
    if old.seed != new.seed {
        found.push(format!("`seed` {:?} -> {:?}", old.seed, new.seed));
    }
    found
}
