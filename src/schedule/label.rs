//! What a user calls a run: its note and its tags.

use std::{collections::BTreeSet, path::Path};

use serde::{Deserialize, Serialize};

use super::{event::RunEvent, journal::JournalReader};

/// Note and tags of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLabel {
    /// What the run is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Names that several runs may share.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
}

impl RunLabel {
    /// The label in the journal of a run; an empty one if it has none or cannot be read.
    pub fn of(run: &Path) -> Self {
        let Ok(mut reader) = JournalReader::open(run) else { return Self::default() };
        match reader.next_with("\"run_labelled\"") {
            Ok(Some(timed)) => match timed.event {
                RunEvent::RunLabelled { label } => label,
                _ => Self::default(),
            },
            _ => Self::default(),
        }
    }

    /// Whether there is neither a note nor a tag.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
