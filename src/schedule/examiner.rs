//! Computes keys of stages and looks them up in the store.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use petgraph::{Direction, graph::NodeIndex};
use rayon::prelude::*;

use super::{
    earlier::Earlier,
    nearest::{LOOKED_AT, Nearest},
};
use crate::{
    digest::Digest,
    plan::{Fingerprint, InputContent, InputSource, Plan, PlannedInput},
    store::{Artifact, Lookup, Snapshot, Store, StoreError},
};

/// Number of stages that are looked up side by side.
pub(super) const AT_ONCE: usize = 256;

/// Computes keys and looks them up.
pub(super) struct Examiner<'a> {
    plan: &'a Plan,
    store: &'a Store,
    /// Artifacts of finished stages.
    pub(super) artifacts: BTreeMap<NodeIndex, Artifact>,
    /// Snapshots of the recipe's files and folders from their first use in this run.
    paths: Mutex<BTreeMap<(PathBuf, &'static str), Snapshot>>,
    pub(super) earlier: Earlier,
    /// Loaded on first use.
    nearest: Option<Nearest>,
}

/// Status of a stage, with its fingerprint.
pub(super) enum LookedUp {
    Cached(Artifact),
    Ready {
        fingerprint: Box<Fingerprint>,
        key: Digest,
        /// What did not match, and the path after quarantine.
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
        Self {
            plan,
            store,
            artifacts: BTreeMap::new(),
            paths: Mutex::default(),
            earlier,
            nearest: None,
        }
    }

    /// Looks up a stage: whether its inputs exist, then whether its artifact does.
    pub(super) fn examine(&self, node: NodeIndex) -> Result<LookedUp, StoreError> {
        look_up(self.store, self.identify(node))
    }

    /// Looks up several stages, of which none needs another, side by side.
    pub(super) fn examine_all(
        &self,
        nodes: &[NodeIndex],
    ) -> Vec<(NodeIndex, Result<LookedUp, StoreError>)> {
        let store = self.store;
        // Not around what follows from them: who waits at the gate need not wait for a screen.
        let _together = store.lookups();
        // Files of the recipe may take minutes to hash, which no lookup beside waits for.
        let identified: Vec<_> =
            nodes.iter().map(|node| (*node, self.if_of_files(*node))).collect();
        // Threads cost more than they save on a single stage, and the system may grant none.
        let look = |(node, found): (NodeIndex, Option<_>)| {
            (node, look_up(store, found.unwrap_or_else(|| self.identify(node))))
        };
        if identified.len() > 1 && store.ready_threads().is_ok() {
            identified.into_par_iter().map(look).collect()
        } else {
            identified.into_iter().map(look).collect()
        }
    }

    /// The fingerprint of a stage that reads files of the recipe; none of another stage.
    fn if_of_files(&self, node: NodeIndex) -> Option<Result<Box<Fingerprint>, Unknown>> {
        let mut inputs = self.plan.graph[node].inputs.iter();
        inputs.any(|input| input.source.stage().is_none()).then(|| self.identify(node))
    }

    /// The fingerprint of a stage, if all inputs exist.
    pub(super) fn identify(&self, node: NodeIndex) -> Result<Box<Fingerprint>, Unknown> {
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
                Err(error) => {
                    return Err(Unknown::Unreadable(format!(
                        "the input `{}`: {error}",
                        input.name
                    )));
                }
            }
        }
        Ok(Box::new(Fingerprint::of(stage, &digests)))
    }

    /// Bytes of the inputs of a stage that exist, by name.
    pub(super) fn sizes(&self, node: NodeIndex) -> BTreeMap<String, u64> {
        let mut sizes = BTreeMap::new();
        for input in &self.plan.graph[node].inputs {
            let bytes = match &input.source {
                InputSource::Stage(need) => {
                    self.artifacts.get(need).map(|artifact| artifact.bytes_of(input.accepts.files))
                }
                InputSource::Path(path) => {
                    self.paths().get(&(path.clone(), input.accepts.name)).map(Snapshot::bytes)
                }
            };
            if let Some(bytes) = bytes {
                *sizes.entry(input.name.to_owned()).or_default() += bytes;
            }
        }
        sizes
    }

    /// Why there is no artifact: differences from the stage's last one, or from the most similar
    /// one.
    pub(super) fn reason(&mut self, node: NodeIndex, fingerprint: &Fingerprint) -> String {
        let since_last =
            self.earlier.differences(self.store, &self.plan.graph[node].name, fingerprint);
        // Its own last artifact explains a change better than a twin of another recipe.
        let found = since_last.or_else(|| {
            self.nearest
                .get_or_insert_with(|| Nearest::read(self.store, LOOKED_AT))
                .differences(fingerprint)
        });
        match found {
            None => "no artifact yet".to_owned(),
            Some(found) if found.len() <= 3 => found.join(", "),
            Some(found) => format!("{} and {} more", found[..3].join(", "), found.len() - 3),
        }
    }

    /// The error if an input file of a stage changed since its key was computed.
    pub(super) fn written(&self, node: NodeIndex) -> Option<String> {
        let mut inputs = self.plan.graph[node].inputs.iter();
        inputs.find_map(|input| match &input.source {
            InputSource::Stage(_) => None,
            InputSource::Path(path) => {
                let now = self.look(path, input);
                now.err().map(|error| format!("the input `{}`: {error}", input.name))
            }
        })
    }

    fn digest(&self, input: &PlannedInput) -> Result<InputContent, StoreError> {
        match &input.source {
            InputSource::Stage(node) => {
                let (artifact, patterns) = (&self.artifacts[node], input.accepts.files);
                // Only files of the type that is read: new metrics beside a model change nothing.
                match artifact.digest_of(patterns) {
                    Some(digest) => Ok(InputContent { digest, extension: None }),
                    None => Err(StoreError::Nothing {
                        path: artifact.files(),
                        wanted: patterns.join(", "),
                    }),
                }
            }
            InputSource::Path(path) => {
                let now = self.look(path, input)?;
                // How a file is read may depend on its extension; a folder's name says nothing.
                let ending = path.extension().filter(|_| now.is_file());
                let extension = ending.map(|ending| ending.to_string_lossy().into_owned());
                let digest = now.digest();
                self.paths().entry((path.clone(), input.accepts.name)).or_insert(now);
                Ok(InputContent { digest, extension })
            }
        }
    }

    fn paths(&self) -> MutexGuard<'_, BTreeMap<(PathBuf, &'static str), Snapshot>> {
        self.paths.lock().expect("no thread panics while it holds the snapshots")
    }

    /// Digest of a file or folder of the recipe. All stages of a run must read the same contents: a
    /// change since the first use is an error.
    fn look(&self, path: &Path, input: &PlannedInput) -> Result<Snapshot, StoreError> {
        let now = self.store.snapshot(path, input.accepts.files)?;
        match self.paths().get(&(path.to_owned(), input.accepts.name)) {
            Some(first) if first.digest() != now.digest() => Err(StoreError::Written(
                first.written_since(&now).unwrap_or_else(|| path.to_owned()),
            )),
            _ => Ok(now),
        }
    }
}

/// Looks up an identified stage.
fn look_up(
    store: &Store,
    identified: Result<Box<Fingerprint>, Unknown>,
) -> Result<LookedUp, StoreError> {
    let fingerprint = match identified {
        Ok(fingerprint) => fingerprint,
        Err(Unknown::Waiting(needs)) => return Ok(LookedUp::Waiting(needs)),
        Err(Unknown::Unreadable(problem)) => return Ok(LookedUp::Unreadable(problem)),
    };
    let key = fingerprint.key();
    Ok(match store.find(&key) {
        Ok(Lookup::Found(artifact)) => LookedUp::Cached(artifact),
        Ok(Lookup::Absent) => LookedUp::Ready { fingerprint, key, damaged: None },
        Ok(Lookup::Damaged { problem, moved_to }) => {
            LookedUp::Ready { fingerprint, key, damaged: Some((problem, moved_to)) }
        }
        // An unreadable artifact may be intact; remaking it could cost days.
        Err(error) if error.is_unreadable() => {
            LookedUp::Unreadable(format!("its artifact is there, but {error}"))
        }
        Err(error) => return Err(error),
    })
}

/// The stages that a stage reads from, each once.
pub(super) fn needs(plan: &Plan, node: NodeIndex) -> impl Iterator<Item = NodeIndex> {
    let mut needs: Vec<NodeIndex> =
        plan.graph.neighbors_directed(node, Direction::Incoming).collect();
    // A stage may read another one as several inputs, with an edge for each.
    needs.sort_unstable();
    needs.dedup();
    needs.into_iter()
}
