//! Status of each stage of a plan, from the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use petgraph::graph::NodeIndex;
use serde::Serialize;

use super::{
    earlier::Earlier,
    examiner::{AT_ONCE, Examiner, LookedUp, needs},
    nearest::{EXPLAINED_BY, Nearest},
};
use crate::{
    digest::Digest,
    plan::{Fingerprint, Plan},
    store::{Artifact, Store, StoreError},
};

/// Status of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SurveyState {
    /// Cached.
    Cached,
    /// All inputs exist.
    Ready,
    /// An input is missing.
    Waiting,
}

/// One stage of a survey.
#[derive(Debug)]
pub struct Surveyed {
    /// Stage.
    pub node: NodeIndex,
    /// Status.
    pub state: SurveyState,
    /// Key, if all inputs exist.
    pub key: Option<Digest>,
    /// Reason of the status.
    pub reason: String,
    /// Artifact.
    pub artifact: Option<Artifact>,
    /// Bytes of the inputs that exist, by name.
    pub sizes: BTreeMap<String, u64>,
    /// Fingerprint of a ready stage.
    fingerprint: Option<Box<Fingerprint>>,
}

/// Status of all stages of a plan.
#[derive(Debug)]
pub struct Survey {
    /// In plan order.
    pub stages: Vec<Surveyed>,
    /// Artifacts that a run would quarantine: key, and what does not match.
    pub damaged: Vec<(Digest, String)>,
}

impl Surveyed {
    fn missing(node: NodeIndex, state: SurveyState, reason: String) -> Self {
        let (key, artifact, fingerprint) = (None, None, None);
        Self { node, state, key, reason, artifact, sizes: BTreeMap::new(), fingerprint }
    }
}

impl Survey {
    /// The folders of the stages that have an artifact.
    pub(super) fn folders(&self) -> BTreeMap<NodeIndex, PathBuf> {
        let made = self.stages.iter().filter_map(|surveyed| {
            let artifact = surveyed.artifact.as_ref()?;
            Some((surveyed.node, artifact.files()))
        });
        made.collect()
    }
}

/// Status of all stages, from a store opened read-only.
///
/// # Errors
/// If the store cannot be read.
pub fn survey(plan: &Plan, store: &Store) -> Result<Survey, StoreError> {
    survey_some(plan, store, &plan.order)
}

/// Status of some stages and of all that they need, from a store opened read-only.
///
/// # Errors
/// If the store cannot be read.
pub fn survey_with_needs(
    plan: &Plan,
    store: &Store,
    stages: &BTreeSet<NodeIndex>,
) -> Result<Survey, StoreError> {
    let wanted = plan.with_needs(stages);
    let nodes: Vec<NodeIndex> =
        plan.order.iter().copied().filter(|node| wanted.contains(node)).collect();
    survey_some(plan, store, &nodes)
}

fn survey_some(plan: &Plan, store: &Store, nodes: &[NodeIndex]) -> Result<Survey, StoreError> {
    let mut examiner = Examiner::new(plan, store, Earlier::default());
    let mut survey = Survey { stages: Vec::with_capacity(plan.order.len()), damaged: Vec::new() };
    let mut left = nodes;
    while !left.is_empty() {
        let (together, later) = left.split_at(independent(plan, left));
        for (node, found) in examiner.examine_all(together) {
            survey.note(&mut examiner, node, found?);
        }
        left = later;
    }
    Ok(survey)
}

/// Number of the first stages of a list that need none of each other, at most [`AT_ONCE`].
fn independent(plan: &Plan, nodes: &[NodeIndex]) -> usize {
    let mut before = BTreeSet::new();
    let nodes = nodes.iter().take(AT_ONCE);
    nodes
        .take_while(|node| {
            before.insert(**node) && !needs(plan, **node).any(|need| before.contains(&need))
        })
        .count()
}

impl Survey {
    fn note(&mut self, examiner: &mut Examiner<'_>, node: NodeIndex, found: LookedUp) {
        let surveyed = match found {
            // A run would fail an unreadable stage; until then it may become readable.
            LookedUp::Waiting(reason) | LookedUp::Unreadable(reason) => {
                let state = SurveyState::Waiting;
                Surveyed::missing(node, state, reason)
            }
            LookedUp::Cached(artifact) => {
                let reason = "its artifact is in the store".to_owned();
                let key = Some(artifact.key);
                examiner.artifacts.insert(node, artifact.clone());
                Surveyed {
                    node,
                    state: SurveyState::Cached,
                    key,
                    reason,
                    artifact: Some(artifact),
                    sizes: BTreeMap::new(),
                    fingerprint: None,
                }
            }
            LookedUp::Ready { fingerprint, key, damaged } => {
                let reason = match &damaged {
                    Some((problem, _)) => format!("its artifact is damaged: {problem}"),
                    None => examiner.reason(node, &fingerprint),
                };
                self.damaged.extend(damaged.map(|(problem, _)| (key, problem)));
                let (key, fingerprint) = (Some(key), Some(fingerprint));
                let ready = Surveyed::missing(node, SurveyState::Ready, reason);
                Surveyed { key, fingerprint, ..ready }
            }
        };
        let sizes = match surveyed.state {
            SurveyState::Cached => BTreeMap::new(),
            _ => examiner.sizes(node),
        };
        self.stages.push(Surveyed { sizes, ..surveyed });
    }
}

/// All differences from the most similar artifact of the same kind, for each ready stage of a
/// survey. Reads the store's newest key files once.
pub fn explain(survey: &Survey, store: &Store) -> BTreeMap<NodeIndex, Vec<String>> {
    let ready = survey
        .stages
        .iter()
        .filter_map(|surveyed| Some((surveyed.node, surveyed.fingerprint.as_ref()?)));
    let mut nearest = None;
    let differences = ready.filter_map(|(node, fingerprint)| {
        let nearest = nearest.get_or_insert_with(|| Nearest::read(store, EXPLAINED_BY));
        Some((node, nearest.differences(fingerprint)?))
    });
    differences.collect()
}
