//! What is there and what is not: each stage of a plan compared with the store.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use petgraph::{Direction, graph::NodeIndex};
use serde::Serialize;

use super::{
    earlier::Earlier,
    nearest::{LOOKED_AT, Nearest},
};
use crate::{
    digest::Digest,
    plan::{Content, Fingerprint, Plan, PlannedInput, Source},
    store::{Artifact, Lookup, Snapshot, Store, StoreError},
};

/// How a stage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its artifact is there.
    Cached,
    /// All that it needs is there.
    Ready,
    /// Something that it needs is not there yet.
    Waiting,
}

/// One stage of a survey.
#[derive(Debug)]
pub struct Surveyed {
    /// Which stage.
    pub node: NodeIndex,
    /// How it stands.
    pub state: State,
    /// Its key, once all that it needs is there.
    pub key: Option<Digest>,
    /// Why it is so, in words.
    pub reason: String,
    /// Its artifact.
    pub artifact: Option<Artifact>,
    /// What its key is the hash of, where it is ready.
    fingerprint: Option<Box<Fingerprint>>,
}

/// How all stages of a plan stand, in the plan's order.
#[derive(Debug)]
pub struct Survey {
    /// In the plan's order.
    pub stages: Vec<Surveyed>,
    /// What had to be moved aside: key, what did not match, where it lies now.
    pub damaged: Vec<(Digest, String, PathBuf)>,
}

/// Compares each stage of a plan with the store.
///
/// # Errors
/// Where a damaged artifact cannot be moved aside.
pub fn survey(plan: &Plan, store: &Store) -> Result<Survey, StoreError> {
    let mut examiner = Examiner::new(plan, store, Earlier::default());
    let mut survey = Survey { stages: Vec::with_capacity(plan.order.len()), damaged: Vec::new() };
    for node in plan.order.iter().copied() {
        let waiting =
            |reason| Surveyed { node, state: State::Waiting, key: None, reason, artifact: None, fingerprint: None };
        let surveyed = match examiner.examine(node)? {
            Examined::Waiting(needs) => waiting(needs),
            Examined::Unreadable(problem) => waiting(problem),
            Examined::Cached(artifact) => {
                let reason = "its artifact is there".to_owned();
                let key = Some(artifact.key);
                examiner.artifacts.insert(node, artifact.clone());
                Surveyed { node, state: State::Cached, key, reason, artifact: Some(artifact), fingerprint: None }
            }
            Examined::Ready { fingerprint, key, damaged } => {
                let reason = match &damaged {
                    Some((problem, _)) => format!("its artifact was damaged: {problem}"),
                    None => examiner.reason(node, &fingerprint),
                };
                survey.damaged.extend(damaged.map(|(problem, moved_to)| (key, problem, moved_to)));
                let (key, fingerprint) = (Some(key), Some(fingerprint));
                Surveyed { node, state: State::Ready, key, reason, artifact: None, fingerprint }
            }
        };
        survey.stages.push(surveyed);
    }
    store.save_memo();
    Ok(survey)
}

/// Computes keys and looks them up.
pub(super) struct Examiner<'a> {
    plan: &'a Plan,
    store: &'a Store,
    /// The artifacts of stages that are done.
    pub(super) artifacts: BTreeMap<NodeIndex, Artifact>,
    /// Files and folders that the recipe names, as they were when this run first looked at them.
    paths: BTreeMap<(PathBuf, &'static str), Snapshot>,
    pub(super) earlier: Earlier,
    /// Read when it is first asked.
    nearest: Option<Nearest>,
}

/// How a stage stands, with what is needed to start it.
pub(super) enum Examined {
    Cached(Artifact),
    Ready {
        fingerprint: Box<Fingerprint>,
        key: Digest,
        /// What did not match, and where it lies now.
        damaged: Option<(String, PathBuf)>,
    },
    Waiting(String),
    Unreadable(String),
}

/// Why a stage has no key.
pub(super) enum Unknown {
    Waiting(String),
    Unreadable(String),
}

impl Unknown {
    pub(super) fn words(self) -> String {
        match self {
            Self::Waiting(words) | Self::Unreadable(words) => words,
        }
    }
}

impl<'a> Examiner<'a> {
    pub(super) fn new(plan: &'a Plan, store: &'a Store, earlier: Earlier) -> Self {
        Self { plan, store, artifacts: BTreeMap::new(), paths: BTreeMap::new(), earlier, nearest: None }
    }

    /// Whether all that a stage needs is there, and if so, whether its artifact is.
    pub(super) fn examine(&mut self, node: NodeIndex) -> Result<Examined, StoreError> {
        let fingerprint = match self.identify(node) {
            Ok(fingerprint) => fingerprint,
            Err(Unknown::Waiting(needs)) => return Ok(Examined::Waiting(needs)),
            Err(Unknown::Unreadable(problem)) => return Ok(Examined::Unreadable(problem)),
        };
        let key = fingerprint.key();
        Ok(match self.store.find(&key) {
            Ok(Lookup::Found(artifact)) => Examined::Cached(artifact),
            Ok(Lookup::Absent) => Examined::Ready { fingerprint, key, damaged: None },
            Ok(Lookup::Damaged { problem, moved_to }) => {
                Examined::Ready { fingerprint, key, damaged: Some((problem, moved_to)) }
            }
            // What cannot be read is not known to be damaged: to make it again could cost days.
            Err(error) if error.is_unreadable() => Examined::Unreadable(format!("its artifact is there, but {error}")),
            Err(error) => return Err(error),
        })
    }

    /// What the key of a stage is the hash of, once all that it needs is there.
    pub(super) fn identify(&mut self, node: NodeIndex) -> Result<Box<Fingerprint>, Unknown> {
        let missing: Vec<String> = needs(self.plan, node)
            .filter(|need| !self.artifacts.contains_key(need))
            .map(|need| format!("`{}`", self.plan.graph[need].name))
            .collect();
        if let Some(first) = missing.first() {
            return Err(Unknown::Waiting(match missing.len() {
                1..=3 => format!("needs {}", missing.join(", ")),
                more => format!("needs {first} and {} others", more - 1),
            }));
        }
        let stage = &self.plan.graph[node];
        let mut digests = Vec::with_capacity(stage.inputs.len());
        for input in &stage.inputs {
            match self.digest(input) {
                Ok(digest) => digests.push(digest),
                Err(error) => return Err(Unknown::Unreadable(format!("the input `{}`: {error}", input.name))),
            }
        }
        Ok(Box::new(Fingerprint::of(stage, &digests)))
    }

    /// Why there is no artifact, in words: what differs from the stage's last one, or else from the nearest.
    pub(super) fn reason(&mut self, node: NodeIndex, fingerprint: &Fingerprint) -> String {
        let since_last = self.earlier.differences(self.store, &self.plan.graph[node].name, fingerprint);
        let found = since_last.or_else(|| {
            self.nearest.get_or_insert_with(|| Nearest::read(self.store, LOOKED_AT)).differences(fingerprint)
        });
        match found {
            None => "no artifact yet".to_owned(),
            Some(found) if found.len() <= 3 => found.join(", "),
            Some(found) => format!("{} and {} more", found[..3].join(", "), found.len() - 3),
        }
    }

    /// Whether a file that a stage reads was written since its key was computed, and which.
    pub(super) fn written(&self, node: NodeIndex) -> Option<String> {
        let mut inputs = self.plan.graph[node].inputs.iter();
        inputs.find_map(|input| match &input.source {
            Source::Stage(_) => None,
            Source::Path(path) => {
                let now = self.look(path, input);
                now.err().map(|error| format!("the input `{}`: {error}", input.name))
            }
        })
    }

    fn digest(&mut self, input: &PlannedInput) -> Result<Content, StoreError> {
        match &input.source {
            Source::Stage(node) => {
                let (artifact, patterns) = (&self.artifacts[node], input.accepts.files);
                match artifact.digest_of(patterns) {
                    Some(digest) => Ok(Content { digest, extension: None }),
                    None => Err(StoreError::Nothing { path: artifact.files(), wanted: patterns.join(", ") }),
                }
            }
            Source::Path(path) => {
                let now = self.look(path, input)?;
                let ending = path.extension().filter(|_| now.is_file());
                let extension = ending.map(|ending| ending.to_string_lossy().into_owned());
                let digest = now.digest();
                self.paths.entry((path.clone(), input.accepts.name)).or_insert(now);
                Ok(Content { digest, extension })
            }
        }
    }

    /// Looks at a file or folder that the recipe names. All stages of a run read the same contents: what was another when the
    /// run first looked is an error.
    fn look(&self, path: &Path, input: &PlannedInput) -> Result<Snapshot, StoreError> {
        let now = self.store.snapshot(path, input.accepts.files)?;
        match self.paths.get(&(path.to_owned(), input.accepts.name)) {
            Some(first) if first.digest() != now.digest() => {
                Err(StoreError::Written(first.written_since(&now).unwrap_or_else(|| path.to_owned())))
            }
            _ => Ok(now),
        }
    }
}

/// The stages that a stage reads from, each once.
pub(super) fn needs(plan: &Plan, node: NodeIndex) -> impl Iterator<Item = NodeIndex> {
    let mut needs: Vec<NodeIndex> = plan.graph.neighbors_directed(node, Direction::Incoming).collect();
    needs.sort_unstable();
    needs.dedup();
    needs.into_iter()
}

/// All differences from the nearest artifact of the same kind, for each stage of a survey that is ready; nothing where none
/// is near. The records of the store are read once.
pub fn explain(survey: &Survey, store: &Store) -> BTreeMap<NodeIndex, Vec<String>> {
    let ready = survey.stages.iter().filter_map(|surveyed| Some((surveyed.node, surveyed.fingerprint.as_ref()?)));
    let mut nearest = None;
    let differences = ready.filter_map(|(node, fingerprint)| {
        let nearest = nearest.get_or_insert_with(|| Nearest::read(store, usize::MAX));
        Some((node, nearest.differences(fingerprint)?))
    });
    differences.collect()
}
