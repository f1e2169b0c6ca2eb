//! Names that users give to artifacts: a key, `RUN`, `RUN:STAGE`, or a stage of the newest run.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};

use super::{
    run_name::{find_run, only},
    shared_args::ExperimentsArguments,
};
use crate::{digest::Digest, report::History};

/// Fewest digits of a key that name it.
const LEAST_DIGITS: usize = 6;
const ALL_DIGITS: usize = 64;

/// An artifact that was named.
#[derive(Clone, Debug)]
pub(super) struct NamedKey {
    pub(super) key: Digest,
    /// `RECIPE/RUN: STAGE`; empty if it was named by its key.
    pub(super) name: String,
}

/// The artifacts of these names, each once. Beginnings of keys are completed from the known ones.
///
/// # Errors
/// If a name is neither a key nor that of a run or stage, or names several keys.
pub(super) fn named_keys(
    experiments: &ExperimentsArguments,
    names: &[String],
    known: &BTreeSet<Digest>,
) -> anyhow::Result<Vec<NamedKey>> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for name in names {
        let named = match by_key(name, known)? {
            Some(key) => vec![NamedKey { key, name: String::new() }],
            None => by_run(experiments, name)?,
        };
        found.extend(named.into_iter().filter(|named| seen.insert(named.key)));
    }
    Ok(found)
}

/// The only artifact of a name.
///
/// # Errors
/// As of [`named_keys`], or if it names several artifacts.
pub(super) fn named_key(
    experiments: &ExperimentsArguments,
    name: &str,
    known: &BTreeSet<Digest>,
) -> anyhow::Result<NamedKey> {
    let mut found = named_keys(experiments, &[name.to_owned()], known)?;
    if found.len() != 1 {
        bail!("`{name}` names {} artifacts; name one, such as {name}:STAGE", found.len());
    }
    Ok(found.remove(0))
}

/// The key that begins with these digits.
fn by_key(name: &str, known: &BTreeSet<Digest>) -> anyhow::Result<Option<Digest>> {
    let is_hex = |letter: u8| letter.is_ascii_digit() || (b'a'..=b'f').contains(&letter);
    if name.len() < LEAST_DIGITS || !name.bytes().all(is_hex) {
        return Ok(None);
    }
    // A whole key may lie in another store.
    if name.len() == ALL_DIGITS {
        return Ok(Some(name.parse()?));
    }
    let mut matching = known.iter().filter(|key| key.to_string().starts_with(name));
    match (matching.next(), matching.count()) {
        (None, _) => Ok(None),
        (Some(key), 0) => Ok(Some(*key)),
        (Some(_), more) => bail!("`{name}` begins {} keys; write more digits", more + 1),
    }
}

/// The artifacts of a run, or of one of its stages.
fn by_run(experiments: &ExperimentsArguments, name: &str) -> anyhow::Result<Vec<NamedKey>> {
    let (run, stage) = match name.split_once(':') {
        Some((run, stage)) => (Some(run), Some(stage)),
        None if find_run(experiments, Some(name)).is_ok() => (Some(name), None),
        // A stage of the newest run.
        None => (None, Some(name)),
    };
    let recorded = find_run(experiments, run)?;
    let history = History::read(&recorded.folder)
        .with_context(|| format!("cannot read the journal in {}", recorded.folder.display()))?;
    let place = format!("the run {} of `{}`", recorded.run, recorded.recipe);
    let stages = match stage {
        None => history.stages.iter().filter(|stage| !stage.key.is_empty()).collect(),
        Some(stage) => {
            let found = only(&history, stage, &place);
            let unknown = "it is no key of this store and no run either";
            vec![if run.is_none() { found.context(unknown)? } else { found? }]
        }
    };
    let mut named = Vec::new();
    for stage in stages {
        let Ok(key) = stage.key.parse() else {
            bail!("`{}` has no key in {place}: {}", stage.name(), stage.outcome.word());
        };
        let name = format!("{}/{}: {}", recorded.recipe, recorded.run, stage.name());
        named.push(NamedKey { key, name });
    }
    Ok(named)
}
