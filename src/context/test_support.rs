//! Test support: runs a kind in a temporary folder.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde_json::{Map, Value};

use super::{Context, InputPath, StageError, StageEvent};
use crate::{
    device::DeviceName,
    recipe::schema::{Chosen, Kind, Mismatch, Parameter},
    rows::{CharSpan, Claim, FactLabel, Finish, Response, ResponseId, Verdict, json_lines},
    seed::Seed,
};

/// Default parameters of the kind, without required ones.
pub(crate) fn defaults(kind: &Kind) -> Map<String, Value> {
    kind.parameters.iter().filter_map(default_of).collect()
}

fn default_of(parameter: &Parameter) -> Option<(String, Value)> {
    Some((parameter.name.to_owned(), parameter.in_order(parameter.default_value()?)))
}

/// Mismatches of a kind with these inputs and non-default parameters.
pub(crate) fn misfits(kind: &Kind, inputs: &[&str], parameters: Value) -> Vec<Mismatch> {
    let mut all: BTreeMap<String, Value> = defaults(kind).into_iter().collect();
    all.extend(parameters.as_object().unwrap().clone());
    let inputs = inputs.iter().map(|input| (*input, 1)).collect();
    kind.cross_checks.unwrap()(&Chosen { kind, values: &all, inputs })
}

/// Context of a test run.
pub(crate) struct Trial {
    pub(crate) inputs: Vec<InputPath>,
    pub(crate) parameters: Value,
    pub(crate) seed: u64,
    pub(crate) store: PathBuf,
    pub(crate) checkpoint: PathBuf,
}

impl Trial {
    /// With these inputs (field and path) and non-default parameters.
    pub(crate) fn new(inputs: &[(&str, &Path)], parameters: Value) -> Self {
        let inputs = inputs.iter().map(|(name, path)| InputPath {
            name: (*name).to_owned(),
            path: (*path).to_owned(),
            cell: None,
        });
        let (store, checkpoint) = Default::default();
        Self { inputs: inputs.collect(), parameters, seed: 0, store, checkpoint }
    }

    /// Runs the kind into `output`; returns its notes.
    pub(crate) fn run(
        self,
        kind: &Kind,
        output: &Path,
        run: fn(&Context) -> Result<(), StageError>,
    ) -> Result<Vec<String>, StageError> {
        self.said(kind, output, run).map(|(notes, _)| notes)
    }

    /// Runs the kind into `output`; returns its warnings.
    pub(crate) fn warnings(
        self,
        kind: &Kind,
        output: &Path,
        run: fn(&Context) -> Result<(), StageError>,
    ) -> Result<Vec<String>, StageError> {
        self.said(kind, output, run).map(|(_, warnings)| warnings)
    }

    /// Runs the kind into `output`; returns its notes and warnings.
    pub(crate) fn said(
        self,
        kind: &Kind,
        output: &Path,
        run: fn(&Context) -> Result<(), StageError>,
    ) -> Result<(Vec<String>, Vec<String>), StageError> {
        std::fs::create_dir_all(output).unwrap();
        let mut parameters = defaults(kind);
        parameters.extend(self.parameters.as_object().unwrap().clone());
        let said = Arc::new(Mutex::new((Vec::new(), Vec::new())));
        let heard = Arc::clone(&said);
        let context = Context {
            parameters: Value::Object(parameters),
            inputs: self.inputs,
            output: output.to_owned(),
            checkpoint: self.checkpoint,
            store: self.store,
            seed: Seed::root(self.seed),
            device: DeviceName::Cpu.into(),
            report: std::sync::Arc::new(move |report| match report {
                StageEvent::Note { text } => heard.lock().unwrap().0.push(text),
                StageEvent::Warning { text } => heard.lock().unwrap().1.push(text),
                _ => {}
            }),
        };
        run(&context)?;
        let said = said.lock().unwrap().clone();
        Ok(said)
    }
}

/// A folder with `responses.jsonl`, `claims.jsonl` and `verdicts.jsonl`: for each topic (domain,
/// name, split) its responses, each written as the verdicts of its claims: S(upported), N(ot),
/// I(rrelevant).
pub(crate) fn judged(topics: &[(&str, &str, &str, &[&str])]) -> tempfile::TempDir {
    let (mut responses, mut claims, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
    for (domain, topic, split, answers) in topics {
        for (sample, letters) in answers.iter().enumerate() {
            let prompt_id = format!("{domain}/{topic}");
            let id = ResponseId::of_sample(&prompt_id, sample);
            for (number, letter) in letters.chars().enumerate() {
                let verdict = match letter {
                    'S' => FactLabel::Supported,
                    'N' => FactLabel::Unsupported,
                    _ => FactLabel::Irrelevant,
                };
                let claim_id = id.claim(number);
                verdicts.push(Verdict::new(claim_id.clone(), verdict, 0.0, Vec::new()));
                let text = format!("{topic} says {letter}{number}.");
                claims.push(Claim {
                    id: claim_id,
                    response_id: id.clone(),
                    text,
                    span: CharSpan::new(0, 1),
                    ..Claim::default()
                });
            }
            responses.push(Response {
                id,
                prompt_id,
                sample,
                topic: (*topic).to_owned(),
                domain: (*domain).to_owned(),
                split: (*split).to_owned(),
                prompt: format!("Tell me about {topic}.").into(),
                output: (*letters).to_owned(),
                finish: Finish::Stop,
            });
        }
    }
    let folder = tempfile::tempdir().unwrap();
    json_lines::write(&folder.path().join("responses.jsonl"), &responses).unwrap();
    json_lines::write(&folder.path().join("claims.jsonl"), &claims).unwrap();
    json_lines::write(&folder.path().join("verdicts.jsonl"), &verdicts).unwrap();
    folder
}
