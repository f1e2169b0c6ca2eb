//! Everything an artifact depends on, in readable form; its digest is the artifact's key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::graph::{PlannedInput, PlannedStage};
use crate::{
    context::backend,
    device::DeviceNames,
    digest::{Digest, digest_value},
    recipe::schema::Sharing,
    rows::Cell,
};

/// Version of this struct's meaning; part of every key.
///
/// 1: first version. 2: the backend names vector unit and block length; a file's extension is part
/// of the key.
const SCHEMA: u32 = 2;

/// Exactly what can change the bytes of an artifact; stored beside it as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Version of the fingerprint's own meaning.
    pub schema: u32,
    /// Kind of stage.
    pub kind: String,
    /// Version of the kind.
    pub version: u32,
    /// Parameters that affect the result, defaults filled in.
    pub parameters: BTreeMap<String, Value>,
    /// Inputs in the order of the kind's declaration, then of the recipe.
    pub inputs: Vec<FingerprintInput>,
    /// Seed of a seeded kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Backend of a kind that runs on a device: `cuda`, `wgpu`, or a CPU with all that sums depend
    /// on, as `cpu+avx512+k512`; with the number of devices where it rounds sums, as `cuda*2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
}

/// An input, by content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FingerprintInput {
    /// Field name.
    pub name: String,
    /// Artifact type that the input is read as.
    pub r#type: String,
    /// Digest of that type's files.
    pub digest: Digest,
    /// File extension of an external file, which selects its format (`.jsonl`, `.db`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// Name of the source cell, for a fan-in kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// The part of an input that enters the key.
#[derive(Clone, Debug, PartialEq)]
pub struct InputContent {
    /// Digest of the files that are read.
    pub digest: Digest,
    /// Extension of a single file.
    pub extension: Option<String>,
}

impl FingerprintInput {
    fn of((input, content): (&PlannedInput, &InputContent)) -> Self {
        Self {
            name: input.name.to_owned(),
            r#type: input.accepts.name.to_owned(),
            digest: content.digest,
            extension: content.extension.clone(),
            label: input.cell.as_deref().map(Cell::to_string),
        }
    }
}

impl Fingerprint {
    /// The fingerprint of a stage with these input contents, in input order.
    ///
    /// # Panics
    /// If the numbers of contents and inputs differ.
    pub fn of(stage: &PlannedStage, contents: &[InputContent]) -> Self {
        assert_eq!(
            contents.len(),
            stage.inputs.len(),
            "each input of `{}` has one content",
            stage.name
        );
        // A batch size that only affects speed must not invalidate any artifact.
        let redundant = stage.kind.redundant.map_or(Vec::new(), |names| names(&stage.parameters));
        let in_key = stage.kind.parameters.iter();
        let in_key =
            in_key.filter(|parameter| parameter.in_key && !redundant.contains(&parameter.name));
        let parameters = in_key.filter_map(|parameter| {
            let value = stage.parameters.get(parameter.name)?;
            let value = match parameter.table {
                Some(form) => form.in_key(value),
                None => value.clone(),
            };
            Some((parameter.name.to_owned(), value))
        });
        Self {
            schema: SCHEMA,
            kind: stage.kind.name.to_owned(),
            version: stage.kind.version,
            parameters: parameters.collect(),
            inputs: stage.inputs.iter().zip(contents).map(FingerprintInput::of).collect(),
            seed: stage.seed,
            backend: stage.device.map(|devices| shared_backend(devices, stage.kind.on_device)),
        }
    }

    /// The artifact's key.
    pub fn key(&self) -> Digest {
        let value = serde_json::to_value(self)
            .expect("a fingerprint has only text keys and finite numbers");
        digest_value("key", &value)
    }
}

/// Backend of devices that share the work of a kind.
fn shared_backend(devices: DeviceNames, sharing: Option<Sharing>) -> String {
    let backend = backend(devices.first());
    match devices.count() {
        count if count > 1 && sharing == Some(Sharing::ByGradients) => format!("{backend}*{count}"),
        _ => backend,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::plan::{Plan, test_support::plan_text};

    const RECIPE: &str = r#"
        [stage.base]
        kind = "make"
        [stage.tuned]
        kind = "tune"
        model = "base"
        algorithm = "dpo"
        beta = 0.5
    "#;

    fn fingerprint(plan: &Plan, name: &str) -> Fingerprint {
        let stage = plan.graph.node_weights().find(|stage| stage.stage == name).unwrap();
        let content = InputContent { digest: Digest::from_bytes([7; 32]), extension: None };
        let contents: Vec<InputContent> = stage.inputs.iter().map(|_| content.clone()).collect();
        let fingerprint = Fingerprint::of(stage, &contents);
        // Pinned keys must not depend on this machine's processor.
        let backend = fingerprint.backend.map(|backend| match backend.strip_prefix("cpu+") {
            Some(_) => "cpu+avx512+k512".to_owned(),
            None => backend,
        });
        Fingerprint { backend, ..fingerprint }
    }

    fn key(recipe: &str, settings: &[&str]) -> Digest {
        fingerprint(&plan_text(recipe, settings), "tuned").key()
    }

    #[test]
    fn fingerprints_and_keys_are_pinned() {
        let plan = plan_text(RECIPE, &[]);
        let text = |name| {
            let fingerprint = fingerprint(&plan, name);
            let text = serde_json::to_string_pretty(&fingerprint).unwrap();
            assert_eq!(serde_json::from_str::<Fingerprint>(&text).unwrap(), fingerprint);
            format!("{text}\n{}\n", fingerprint.key())
        };
        expect![[r#"
            {
              "schema": 2,
              "kind": "make",
              "version": 1,
              "parameters": {
                "size": 1
              },
              "inputs": []
            }
            f3e27428434c15ab20fc8e3a652cab06cf276eb4240f007d818de416af825c3d
        "#]]
        .assert_eq(&text("base"));
        expect![[r#"
            {
              "schema": 2,
              "kind": "tune",
              "version": 3,
              "parameters": {
                "algorithm": "dpo",
                "beta": 0.5
              },
              "inputs": [
                {
                  "name": "model",
                  "type": "model",
                  "digest": "0707070707070707070707070707070707070707070707070707070707070707"
                }
              ],
              "seed": 0,
              "backend": "cpu+avx512+k512"
            }
            f9fdaa34fa02e6f67c3d86c312213d0ffef8bde214438238508ab9a6b589d654
        "#]]
        .assert_eq(&text("tuned"));
    }

    #[test]
    fn what_can_change_the_result_changes_the_key() {
        let keys = [
            key(RECIPE, &[]),
            key(RECIPE, &["stage.tuned.beta=0.25"]),
            key(RECIPE, &["stage.tuned.algorithm=ipo"]),
            key(RECIPE, &["stage.tuned.note=x"]),
            key(RECIPE, &["seeds=[1]"]),
            key(RECIPE, &["stage.tuned.device=cuda:0"]),
            key(RECIPE, &["stage.tuned.device=cuda:0,1"]),
            key(RECIPE, &["stage.tuned.device=cuda:0,1,2"]),
        ];
        let base = fingerprint(&plan_text(RECIPE, &[]), "tuned");
        let input = |change: fn(&mut FingerprintInput)| {
            let mut changed = base.clone();
            change(&mut changed.inputs[0]);
            changed.key()
        };
        let fingerprints = [
            Fingerprint { schema: 3, ..base.clone() }.key(),
            Fingerprint { kind: "tone".to_owned(), ..base.clone() }.key(),
            Fingerprint { version: 4, ..base.clone() }.key(),
            Fingerprint { seed: None, ..base.clone() }.key(),
            Fingerprint { backend: None, ..base.clone() }.key(),
            Fingerprint { backend: Some("cpu+avx2+k512".to_owned()), ..base.clone() }.key(),
            Fingerprint { inputs: Vec::new(), ..base.clone() }.key(),
            input(|input| input.name = "texts".to_owned()),
            input(|input| input.r#type = "texts".to_owned()),
            input(|input| input.digest = Digest::from_bytes([8; 32])),
            input(|input| input.extension = Some("db".to_owned())),
            input(|input| input.label = Some("a".to_owned())),
        ];
        let all: std::collections::BTreeSet<Digest> =
            keys.iter().chain(&fingerprints).copied().collect();
        assert_eq!(all.len(), keys.len() + fingerprints.len());
    }

    #[test]
    fn a_parameter_that_others_imply_leaves_the_key() {
        let base = key(RECIPE, &[]);
        assert_eq!(key(RECIPE, &["stage.tuned.note=dpo"]), base);
        assert_ne!(key(RECIPE, &["stage.tuned.note=ipo"]), base);
        let other = key(RECIPE, &["stage.tuned.algorithm=ipo"]);
        assert_eq!(key(RECIPE, &["stage.tuned.algorithm=ipo", "stage.tuned.note=ipo"]), other);
    }

    #[test]
    fn what_cannot_change_the_result_leaves_the_key() {
        let reordered = r#"
            # A comment.
            [stage.tuned]
            beta = 5e-1
            model    =    "start"
            kind = "tune"
            batch = 3
            resources = { cpus = 4, gpus = 0, memory = "1 GB" }
            retries = 5
            timeout = "1 h"
            [stage.start]
            kind = "make"
            [matrix]
            size = [1]
        "#;
        assert_eq!(key(RECIPE, &[]), key(reordered, &[]));
        assert_eq!(key(RECIPE, &[]), key(RECIPE, &["seeds=[0]", "name=other"]));
        assert_eq!(key(RECIPE, &["stage.tuned.beta=1"]), key(RECIPE, &["stage.tuned.beta=1.0"]));
        assert_eq!(
            key(RECIPE, &["stage.tuned.device=cuda:0"]),
            key(RECIPE, &["stage.tuned.device=cuda:1"])
        );
        assert_eq!(
            key(RECIPE, &["stage.tuned.device=cuda:0,1"]),
            key(RECIPE, &["stage.tuned.device=cuda:2,3"])
        );
        // Rows that do not depend on each other are the same on any number of devices.
        let two = "cuda:0,1".parse().unwrap();
        assert_eq!(shared_backend(two, Some(Sharing::ByRows)), "cuda");
    }
}
