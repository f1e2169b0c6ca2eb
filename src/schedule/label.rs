//! What a user calls a run: its note and its tags.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

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
