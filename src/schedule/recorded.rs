//! The runs that are recorded in a folder: an identifier and a journal for each.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// File name of the journal.
pub(super) const EVENTS: &str = "events.jsonl";

/// Link to the newest run of a recipe.
pub(super) const LATEST: &str = "latest";

/// A recorded run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedRun {
    /// Recipe name.
    pub recipe: String,
    /// Identifier of the run.
    pub run: String,
    /// Folder of the run.
    pub folder: PathBuf,
}

/// Folders of other runs of the same recipe, newest first.
pub fn siblings(run: &Path) -> Vec<PathBuf> {
    let Some(parent) = run.parent() else { return Vec::new() };
    let recipe = parent.file_name().unwrap_or_default().to_string_lossy();
    let mut others = list_recipe(&recipe, parent).unwrap_or_default();
    // A copy in place of the link would be one of the others a second time.
    others.retain(|other| other.run != LATEST && Some(other.run.as_ref()) != run.file_name());
    sort(&mut others);
    others.into_iter().map(|other| other.folder).collect()
}

/// All recorded runs, newest first.
pub fn runs(experiments: &Path) -> Vec<RecordedRun> {
    let mut runs = list(experiments).unwrap_or_default();
    // A copy in place of the link would always seem the newest.
    runs.retain(|recorded| recorded.run != LATEST);
    sort(&mut runs);
    runs
}

/// All recorded runs; none if the folder is missing.
pub(super) fn list(experiments: &Path) -> io::Result<Vec<RecordedRun>> {
    let mut runs = Vec::new();
    let recipes = match folders(experiments) {
        // Nothing has run here yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        listed => listed?,
    };
    for (recipe, path) in recipes {
        runs.extend(list_recipe(&recipe, &path)?);
    }
    Ok(runs)
}

/// The recorded runs of one recipe.
fn list_recipe(recipe: &str, path: &Path) -> io::Result<Vec<RecordedRun>> {
    let mut runs = Vec::new();
    for (run, folder) in folders(path)? {
        match fs::metadata(folder.join(EVENTS)) {
            // Without a journal it is no run. One that cannot be looked at may be a run, whose keys
            // are in use.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => {
                found?;
                runs.push(RecordedRun { recipe: recipe.to_owned(), run, folder });
            }
        }
    }
    Ok(runs)
}

/// Subfolders, without links.
fn folders(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        // A link such as `latest` would count its run twice.
        if entry.file_type()?.is_dir() {
            folders.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    Ok(folders)
}

/// Newest first by name, which is a time; the target of `latest` comes first, in case a clock was
/// set back.
pub(super) fn sort(runs: &mut [RecordedRun]) {
    let mut newest: BTreeMap<String, String> = BTreeMap::new();
    for run in runs.iter() {
        let name = newest.entry(run.recipe.clone()).or_default();
        if age(&run.run) > age(name) {
            name.clone_from(&run.run);
        }
    }
    runs.sort_by_cached_key(|run| {
        let is_latest = run.is_latest();
        let (time, count) = age(if is_latest { &newest[&run.recipe] } else { &run.run });
        (Reverse((time.to_owned(), count, is_latest)), run.recipe.clone())
    });
}

impl RecordedRun {
    /// Whether the link `latest` of its recipe points to it.
    fn is_latest(&self) -> bool {
        let link = self.folder.parent().and_then(|parent| fs::read_link(parent.join(LATEST)).ok());
        link.is_some_and(|link| link.file_name().is_some_and(|name| name == self.run.as_str()))
    }
}

/// A run's identifier as time and number, so that `-10` follows `-2`.
fn age(run: &str) -> (&str, u32) {
    const TIME: usize = "2026-11-23T04-49-05".len();
    match (run.get(..TIME), run.get(TIME + 1..)) {
        (Some(time), Some(count)) => (time, count.parse().unwrap_or(1)),
        _ => (run, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_does_not_hide_the_newest_run() {
        let folder = tempfile::tempdir().unwrap();
        for run in [
            "2031-01-01T00-00-00",
            "2031-01-01T00-00-00-2",
            "2031-01-01T00-00-00-10",
            "2020-01-01T00-00-00",
        ] {
            let path = folder.path().join("quick").join(run);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("events.jsonl"), "").unwrap();
        }
        std::os::unix::fs::symlink("2020-01-01T00-00-00", folder.path().join("quick/latest"))
            .unwrap();
        let names: Vec<String> = runs(folder.path()).into_iter().map(|run| run.run).collect();
        let expected = [
            "2020-01-01T00-00-00",
            "2031-01-01T00-00-00-10",
            "2031-01-01T00-00-00-2",
            "2031-01-01T00-00-00",
        ];
        assert_eq!(names, expected);
    }
}
