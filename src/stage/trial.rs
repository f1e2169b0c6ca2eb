//! For tests: a kind carried out by hand in a folder of its own.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde_json::{Map, Value};

use super::{Context, InputPath, Report, StageError};
use crate::{
    language::{Claim, Finish, Judgement, Response, Verdict, json_lines},
    recipe::schema::{Chosen, Kind, Mismatch, Parameter},
    seed::Seed,
};

/// The kind's parameters where a recipe says nothing; required ones are missing.
pub(super) fn defaults(kind: &Kind) -> Map<String, Value> {
    let value =
        |parameter: &Parameter| Some((parameter.name.to_owned(), parameter.in_order(parameter.default_value()?)));
    kind.parameters.iter().filter_map(value).collect()
}

/// What does not fit together where these inputs are given and these parameters differ from the defaults: the fields.
pub(super) fn misfits(kind: &Kind, inputs: &[&str], parameters: Value) -> Vec<Mismatch> {
    let mut all: BTreeMap<String, Value> = defaults(kind).into_iter().collect();
    all.extend(parameters.as_object().unwrap().clone());
    let inputs = inputs.iter().map(|input| (*input, 1)).collect();
    kind.fits.unwrap()(&Chosen { kind, parameters: &all, inputs })
}

/// A trial of a kind: what it is given.
pub(super) struct Trial {
    pub(super) inputs: Vec<InputPath>,
    pub(super) parameters: Value,
    pub(super) seed: u64,
}

impl Trial {
    /// With these inputs (field and path), and parameters that differ from the defaults.
    pub(super) fn new(inputs: &[(&str, &Path)], parameters: Value) -> Self {
        let input = |(name, path): &(&str, &Path)| InputPath {
            name: (*name).to_owned(),
            path: (*path).to_owned(),
            label: None,
        };
        Self { inputs: inputs.iter().map(input).collect(), parameters, seed: 0 }
    }

    /// Carries the kind out into `output`; returns its notes.
    pub(super) fn run(
        self,
        kind: &Kind,
        output: &Path,
        run: fn(&Context) -> Result<(), StageError>,
    ) -> Result<Vec<String>, StageError> {
        std::fs::create_dir_all(output).unwrap();
        let mut parameters = defaults(kind);
        parameters.extend(self.parameters.as_object().unwrap().clone());
        let notes = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&notes);
        let context = Context {
            parameters: Value::Object(parameters),
            inputs: self.inputs,
            output: output.to_owned(),
            checkpoint: PathBuf::new(),
            seed: Seed::root(self.seed),
            device: "cpu".to_owned(),
            report: std::sync::Arc::new(move |report| {
                if let Report::Note { text } = report {
                    heard.lock().unwrap().push(text);
                }
            }),
        };
        run(&context)?;
        Ok(notes.lock().unwrap().clone())
    }
}

/// A folder with `responses.jsonl`, `claims.jsonl` and `verdicts.jsonl`: for each topic (domain, name, split) its answers,
/// each written as the judgements of its claims: S(upported), N(ot), I(rrelevant).
pub(super) fn judged(topics: &[(&str, &str, &str, &[&str])]) -> tempfile::TempDir {
    let (mut responses, mut claims, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
    for (domain, topic, split, answers) in topics {
        for (sample, letters) in answers.iter().enumerate() {
            let prompt_id = format!("{domain}/{topic}");
            let id = format!("{prompt_id}#{sample}");
            for (number, letter) in letters.chars().enumerate() {
                let verdict = match letter {
                    'S' => Judgement::Supported,
                    'N' => Judgement::Unsupported,
                    _ => Judgement::Irrelevant,
                };
                let claim_id = format!("{id}/{number}");
                verdicts.push(Verdict { claim_id: claim_id.clone(), verdict, probability: 0.0, evidence: Vec::new() });
                let text = format!("{topic} says {letter}{number}.");
                claims.push(Claim { id: claim_id, response_id: id.clone(), text, span: [0, 1], ..Claim::default() });
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
