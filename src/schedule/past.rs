//! Finished attempts of earlier runs, from which later ones are estimated.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde_json::Value;

use super::{
    event::{RunEvent, StageCost},
    journal::{self, JournalReader},
};
use crate::{plan::Fingerprint, rows::Cell, store::Store};

/// Maximum number of journals read, newest first.
const JOURNALS: usize = 100;
/// Maximum total bytes of journals read.
const READ: u64 = 32 << 20;
/// Finished attempts of one kind that are kept, newest first.
const KEPT: usize = 200;

/// A finished attempt.
#[derive(Clone, Debug)]
pub(super) struct PastStage {
    /// Name of the stage, without its cell.
    pub(super) stage: String,
    pub(super) cost: StageCost,
    pub(super) seconds: f64,
    /// Of the artifact's key file; none if it was removed.
    pub(super) parameters: Option<BTreeMap<String, Value>>,
}

/// Finished attempts by kind, newest first.
#[derive(Debug, Default)]
pub struct Past(pub(super) BTreeMap<String, Vec<PastStage>>);

impl Past {
    /// Reads the newest journals in these folders of runs and in those that are registered with the
    /// store; unreadable ones are passed over.
    pub fn read(mut folders: Vec<PathBuf>, store: &Store) -> Self {
        let projects = store.projects().unwrap_or_default().into_iter();
        folders.extend(projects.filter_map(|project| project.journals));
        // The same folder may be named twice, also through a link.
        let folders: BTreeSet<PathBuf> =
            folders.into_iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        let mut runs: Vec<_> = folders.iter().flat_map(|folder| journal::runs(folder)).collect();
        // Names of runs are times, so that the newest come first.
        runs.sort_by(|one, other| other.run.cmp(&one.run));
        let (mut past, mut read) = (Self::default(), 0);
        for recorded in runs.into_iter().take(JOURNALS) {
            read += journal::size(&recorded.folder);
            if read > READ {
                break;
            }
            if let Ok(reader) = JournalReader::open(&recorded.folder) {
                past.note_run(reader, store);
            }
        }
        past
    }

    fn note_run(&mut self, mut reader: JournalReader, store: &Store) {
        let mut kinds = BTreeMap::new();
        // Only events of runs and stages; a journal is mostly metrics.
        while let Ok(Some(timed)) = reader.next_event() {
            match timed.event {
                RunEvent::RunStarted { stages, .. } => {
                    kinds = stages.into_iter().map(|stage| (stage.name, stage.kind)).collect();
                }
                RunEvent::StageFinished { stage, key, seconds, cost: Some(cost), .. } => {
                    let Some(kind) = kinds.get(&stage) else { continue };
                    let known = self.0.entry(kind.clone()).or_default();
                    if known.len() < KEPT {
                        // The key file has the parameters; without it the attempt counts less.
                        let record = key.parse().ok().and_then(|key| store.record(&key));
                        let record: Option<Fingerprint> =
                            record.and_then(|record| serde_json::from_value(record).ok());
                        let parameters = record.map(|record| record.parameters);
                        let stage = Cell::parse(&stage).stage;
                        known.push(PastStage { stage, cost, seconds, parameters });
                    }
                }
                _ => {}
            }
        }
    }
}
