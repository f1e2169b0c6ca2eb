//! Verifies that the inputs of an attempt match its key, from start to commit.

use std::{path::PathBuf, thread};

use serde::Deserialize;

use super::job::AttemptJob;
use crate::{
    digest::Digest,
    plan::Fingerprint,
    recipe::schema::Kind,
    store::{Draft, EVERY_FILE, Snapshot, Store, StoreError, Times},
};

/// Inputs of an attempt as they were at its start.
pub(super) struct Watch {
    inputs: Vec<Watched>,
}

struct Watched {
    name: String,
    path: PathBuf,
    files: &'static [&'static str],
    /// Digest in the key.
    digest: Digest,
    /// Whether it lies in the store, where nobody else may write.
    is_artifact: bool,
    /// None if an artifact has no file of the accepted type.
    seen: Option<Snapshot>,
}

impl Watch {
    /// Takes a snapshot of all inputs.
    ///
    /// # Errors
    /// Names an input that is missing or differs from the key.
    pub(super) fn begin(store: &Store, job: &AttemptJob, kind: &Kind) -> Result<Self, String> {
        let record: Fingerprint = Fingerprint::deserialize(&job.record)
            .map_err(|error| format!("cannot read the key file: {error}"))?;
        // The artifact would be served under this key, so the job must be of it.
        if record.inputs.len() != job.inputs.len() || record.key() != job.key {
            return Err(
                "internal error (please report): the attempt's inputs differ from its key's"
                    .to_owned(),
            );
        }
        let mut inputs = Vec::with_capacity(job.inputs.len());
        for (input, known) in job.inputs.iter().zip(&record.inputs) {
            let declared = kind.inputs.iter().find(|declared| declared.name == input.name);
            let mut watched = Watched {
                name: input.name.clone(),
                path: input.path.clone(),
                files: declared.map_or(EVERY_FILE, |declared| declared.accepts.files),
                digest: known.digest,
                is_artifact: input.path.starts_with(&job.store),
                seen: None,
            };
            watched.seen = watched.settled(store)?;
            watched.compare(watched.seen.as_ref())?;
            inputs.push(watched);
        }
        Ok(Self { inputs })
    }

    /// Binds a draft to these inputs; returns whether checkpoints of other inputs were discarded.
    pub(super) fn admit(&self, draft: &Draft) -> Result<bool, StoreError> {
        let times: Vec<Vec<Times>> = self
            .inputs
            .iter()
            .filter_map(|input| Some(input.seen.as_ref()?.times(input.is_artifact)))
            .collect();
        draft.begin(&times)
    }

    /// Compares the inputs with the snapshot after the work.
    ///
    /// # Errors
    /// Names an input that was written meanwhile, even if its content is equal again.
    pub(super) fn end(&self, store: &Store) -> Result<(), String> {
        self.inputs.iter().try_for_each(|input| {
            let now = input.look(store)?;
            // Equal contents do not suffice: what was read in between may have differed.
            if let (Some(before), Some(now)) = (&input.seen, &now)
                && let Some(path) = before.written_since(now)
            {
                return Err(input.written(&path.display().to_string()));
            }
            input.compare(now.as_ref())
        })
    }
}

impl Watched {
    /// A snapshot after which every change is detectable. Waits for the file system's clock after a
    /// recent write; not for artifacts, whose contents are compared again at the end.
    fn settled(&self, store: &Store) -> Result<Option<Snapshot>, String> {
        let mut seen = self.look(store)?;
        let wait = seen.as_ref().map(Snapshot::unsettled_for).unwrap_or_default();
        if !self.is_artifact && !wait.is_zero() {
            thread::sleep(wait);
            seen = self.look(store)?;
        }
        Ok(seen)
    }

    fn look(&self, store: &Store) -> Result<Option<Snapshot>, String> {
        match store.snapshot(&self.path, self.files) {
            Ok(seen) => Ok(Some(seen)),
            // An artifact may lack a type of file that it could provide; a path was named for it.
            Err(StoreError::Nothing { .. }) if self.is_artifact => Ok(None),
            Err(error) => Err(format!("the input `{}`: {error}", self.name)),
        }
    }

    fn compare(&self, seen: Option<&Snapshot>) -> Result<(), String> {
        match seen {
            Some(seen) if seen.digest() != self.digest => {
                Err(self.written(&self.path.display().to_string()))
            }
            _ => Ok(()),
        }
    }

    fn written(&self, path: &str) -> String {
        let name = &self.name;
        let advice = if self.is_artifact {
            "a stage must not write into its inputs; run again to remake it"
        } else {
            "run again while nothing writes to it (`touch` and `chmod` count too, since they hide \
            whether something did)"
        };
        format!(
            "the input `{name}` changed during the run: {path} was written after its digest was \
            taken; {advice}"
        )
    }
}
