//! Whether what an attempt reads is what its key says, from the first look to the seal.

use std::{path::PathBuf, thread};

use super::attempt::Job;
use crate::{
    digest::Digest,
    plan::Fingerprint,
    recipe::schema::Kind,
    store::{Draft, Snapshot, Store, StoreError, Times},
};

/// The inputs of an attempt, each as it was when the attempt began.
pub(super) struct Watch {
    inputs: Vec<Watched>,
}

struct Watched {
    name: String,
    path: PathBuf,
    files: &'static [&'static str],
    /// Its contents as the key has them.
    digest: Digest,
    /// Whether it lies in the store, where nobody has any business to write.
    is_artifact: bool,
    /// Nothing where an artifact has no file of the type that it is read as.
    seen: Option<Snapshot>,
}

impl Watch {
    /// Looks at everything that an attempt is to read.
    ///
    /// # Errors
    /// Names the input that is gone, or is another than the key says.
    pub(super) fn begin(store: &Store, job: &Job, kind: &Kind) -> Result<Self, String> {
        let record: Fingerprint = serde_json::from_value(job.record.clone())
            .map_err(|error| format!("the record of the key cannot be read: {error}"))?;
        if record.inputs.len() != job.inputs.len() || record.key() != job.key {
            return Err("the attempt was told of other inputs than its key has".to_owned());
        }
        let mut inputs = Vec::with_capacity(job.inputs.len());
        for (input, known) in job.inputs.iter().zip(&record.inputs) {
            let declared = kind.inputs.iter().find(|declared| declared.name == input.name);
            let mut watched = Watched {
                name: input.name.clone(),
                path: input.path.clone(),
                files: declared.map_or(&["*"], |declared| declared.accepts.files),
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

    /// Lets a draft begin from these inputs; says whether checkpoints had to go, since they were made from others.
    pub(super) fn admit(&self, draft: &Draft) -> Result<bool, StoreError> {
        let times = |input: &Watched| Some(input.seen.as_ref()?.times(input.is_artifact));
        let times: Vec<Vec<Times>> = self.inputs.iter().filter_map(times).collect();
        draft.begin(&times)
    }

    /// Looks again, once all was read.
    ///
    /// # Errors
    /// Names what was written meanwhile, even if it is the same again.
    pub(super) fn end(&self, store: &Store) -> Result<(), String> {
        self.inputs.iter().try_for_each(|input| {
            let now = input.look(store)?;
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
    /// A look after which every change shows. It waits for the clock of the disk where a file was written just now; an
    /// artifact is not waited for: its contents are compared once more in the end.
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
            Err(StoreError::Nothing { .. }) if self.is_artifact => Ok(None),
            Err(error) => Err(format!("the input `{}`: {error}", self.name)),
        }
    }

    fn compare(&self, seen: Option<&Snapshot>) -> Result<(), String> {
        match seen {
            Some(seen) if seen.digest() != self.digest => Err(self.written(&self.path.display().to_string())),
            _ => Ok(()),
        }
    }

    fn written(&self, path: &str) -> String {
        let name = &self.name;
        let advice = if self.is_artifact {
            "a stage must not write into what it reads; a fresh run makes it again"
        } else {
            "run again when nothing writes to it"
        };
        format!("the input `{name}` changed during the run: {path} was written after its digest was taken; {advice}")
    }
}
