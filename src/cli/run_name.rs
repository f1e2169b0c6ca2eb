//! Names that users give to runs and to artifacts of their stages: `RUN` and `RUN:STAGE`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::shared_args::ExperimentsArguments;
use crate::{
    diagnostic::{known, suggestion},
    report::{History, StageHistory},
    rows::Cell,
    schedule::journal::{self, RecordedRun},
};

/// Name of the newest run, also within a recipe: `quickstart/latest`.
const LATEST: &str = "latest";

/// The newest run with a name: recipe, run, `RECIPE/RUN`, `latest`, tag or folder of a run. Without
/// a name it is the newest of all.
///
/// # Errors
/// If there is none.
pub(super) fn find_run(
    experiments: &ExperimentsArguments,
    name: Option<&str>,
) -> anyhow::Result<RecordedRun> {
    let runs = journal::runs(experiments.there()?);
    let place = experiments.experiments.display();
    let recipes: BTreeSet<&str> = runs.iter().map(|run| run.recipe.as_str()).collect();
    let recipes = recipes.into_iter().collect::<Vec<_>>().join(", ");
    let Some(name) = name.filter(|_| !runs.is_empty()) else {
        let newest = runs.into_iter().next();
        return newest.with_context(|| {
            format!("no run is recorded in {place}; `apeft run RECIPE` makes one")
        });
    };
    named(name, &runs).into_iter().next().with_context(|| {
        format!("there is no run or recipe `{name}` in {place}; there are runs of: {recipes}")
    })
}

/// Those of the runs that have this name, in their order.
pub(super) fn named(name: &str, runs: &[RecordedRun]) -> Vec<RecordedRun> {
    let name = name.trim_end_matches('/');
    // Names of recipes and runs come before all others, so that no tag hides them.
    let found = matching(runs, |run| name == run.recipe || name == run.run);
    if !found.is_empty() {
        return found;
    }
    if name == LATEST {
        return runs.iter().take(1).cloned().collect();
    }
    if let Some((recipe, name)) = name.split_once('/') {
        let of_recipe = matching(runs, |run| run.recipe == recipe);
        let found = match name {
            LATEST => of_recipe.into_iter().take(1).collect(),
            _ => matching(&of_recipe, |run| run.run == name),
        };
        if !found.is_empty() {
            return found;
        }
    }
    if let Ok(folder) = Path::new(name).canonicalize() {
        return matching(runs, |run| run.folder.canonicalize().is_ok_and(|run| run == folder));
    }
    // Last, since each journal must be opened for it.
    matching(runs, |run| journal::label_of(&run.folder).tags.contains(name))
}

fn matching(runs: &[RecordedRun], is_meant: impl Fn(&RecordedRun) -> bool) -> Vec<RecordedRun> {
    runs.iter().filter(|run| is_meant(run)).cloned().collect()
}

/// A stage of a recorded run with an artifact.
pub(super) struct FoundStage {
    pub(super) run: RecordedRun,
    pub(super) history: History,
    /// Folder of the artifact's files.
    pub(super) folder: PathBuf,
}

impl FoundStage {
    /// Its name.
    pub(super) fn stage_name(&self) -> Option<&str> {
        let mut stages = self.history.stages.iter();
        let found = stages.find(|stage| stage.artifact.as_ref() == Some(&self.folder))?;
        Some(found.name())
    }
}

/// A folder that a command takes: a path, or the artifact of a stage as `RUN:STAGE`. What exists
/// under the name comes first.
///
/// # Errors
/// If it is `RUN:STAGE` and the run has no such artifact.
pub(super) fn folder(experiments: &ExperimentsArguments, given: &Path) -> anyhow::Result<PathBuf> {
    let found = stage(experiments, given)?;
    Ok(found.map_or_else(|| given.to_owned(), |found| found.folder))
}

/// The stage that a folder names as `RUN:STAGE`; none if it is a path.
///
/// # Errors
/// If it is `RUN:STAGE` and the run has no such artifact.
pub(super) fn stage(
    experiments: &ExperimentsArguments,
    given: &Path,
) -> anyhow::Result<Option<FoundStage>> {
    let parts = given.to_str().and_then(|text| text.split_once(':'));
    let Some((run, stage)) = parts.filter(|_| !given.exists()) else { return Ok(None) };
    let found = find_stage(experiments, run, stage);
    found
        .map(Some)
        .with_context(|| format!("`{}` is neither a path nor RUN:STAGE", given.display()))
}

/// The stage of a run with an artifact, or the only cell that has these values: `tuned`,
/// `tuned@beta=0.1`, `tuned@seed=0`.
///
/// # Errors
/// If there is no such run or stage, several cells have the name, or the artifact is missing.
pub(super) fn find_stage(
    experiments: &ExperimentsArguments,
    run: &str,
    stage: &str,
) -> anyhow::Result<FoundStage> {
    let run = find_run(experiments, Some(run))?;
    let history = History::read(&run.folder)
        .with_context(|| format!("cannot read the journal in {}", run.folder.display()))?;
    let place = format!("the run {} of `{}`", run.run, run.recipe);
    let found = only(&history, stage, &place)?;
    let folder = match &found.artifact {
        None => {
            let (name, word) = (found.name(), found.outcome.word());
            let reason = Some(&found.reason).filter(|reason| !reason.is_empty());
            let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
            bail!("`{name}` has no artifact in {place}: {word}{reason}")
        }
        Some(folder) if !folder.is_dir() => bail!(
            "the artifact of `{}` in {place} is no longer in {}; `apeft run` makes it again",
            found.name(),
            folder.display()
        ),
        Some(folder) => folder.clone(),
    };
    Ok(FoundStage { run, history, folder })
}

/// The only stage of a run with this name; `place` is the run in words.
///
/// # Errors
/// If no stage or several cells have it.
pub(super) fn only<'a>(
    history: &'a History,
    stage: &str,
    place: &str,
) -> anyhow::Result<&'a StageHistory> {
    if let Some(exact) = history.stages.iter().find(|found| found.name() == stage) {
        return Ok(exact);
    }
    // As values, so that a name may leave quotes and variables out.
    let wanted = Cell::parse(stage);
    let cells: Vec<&StageHistory> =
        history.stages.iter().filter(|found| has_values(&found.cell, &wanted)).collect();
    match cells[..] {
        [only] => Ok(only),
        [] => {
            let mut names: Vec<&str> =
                history.stages.iter().map(|stage| stage.cell.stage.as_str()).collect();
            // Cells of one stage follow each other.
            names.dedup();
            // With the name of a cell, its stage is known and its values are not.
            if names.contains(&wanted.stage.as_str()) {
                let cells = history.stages.iter().filter(|one| one.cell.stage == wanted.stage);
                let cells = known(cells.map(StageHistory::name));
                bail!("no cell of `{}` in {place} is `{stage}`; there are {cells}", wanted.stage);
            }
            let help = suggestion(&wanted.stage, "stages", &names);
            bail!("there is no stage `{}` in {place}; {help}", wanted.stage)
        }
        _ => {
            let names = known(cells.iter().map(|cell| cell.name()));
            bail!("`{stage}` is {} cells in {place}; name one of {names}", cells.len())
        }
    }
}

/// Whether a cell belongs to the stage and has all values that a name gives.
fn has_values(cell: &Cell, wanted: &Cell) -> bool {
    cell.stage == wanted.stage
        && wanted.values.iter().all(|(name, value)| cell.value(name) == Some(value))
        && (wanted.seed.is_none() || wanted.seed == cell.seed)
}
