//! Checkpoints of stages that take long: sealed generations in the folder that outlives an attempt.
//!
//! A generation is written aside, sealed with the digests of its files, and renamed into place; the last two are kept, so
//! that one which a crash or a disk has damaged costs one interval of work and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{StoreError, durable, manifest::Manifest};

/// How many generations are kept.
const KEPT: usize = 2;

/// Writes the next generation: `write` is handed an empty folder for its files. Returns the generation's folder.
///
/// # Errors
/// Those of `write`, or where the disk is full; earlier generations stay as they are.
pub fn save<E: From<StoreError>>(folder: &Path, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<PathBuf, E> {
    let present = generations(folder)?;
    let next = present.first().map_or(1, |(number, _)| number + 1);
    let aside = folder.join("unfinished");
    durable::remove_folder(&aside)?;
    durable::create_folder(&aside)?;
    write(&aside)?;
    Manifest::seal(&aside, None, None)?;
    let target = folder.join(format!("generation-{next}"));
    fs::rename(&aside, &target).map_err(StoreError::io("put in place", &target))?;
    durable::sync(folder)?;
    for (_, old) in present.iter().skip(KEPT - 1) {
        durable::remove_folder(old)?;
    }
    Ok(target)
}

/// The folder of the newest generation whose files match their digests; those that do not are removed.
///
/// # Errors
/// Where the folder cannot be listed.
pub fn newest(folder: &Path) -> Result<Option<PathBuf>, StoreError> {
    for (_, path) in generations(folder)? {
        match problem(&path) {
            None => return Ok(Some(path)),
            Some(problem) => {
                tracing::warn!("the checkpoint {} is damaged and not used: {problem}", path.display());
                durable::remove_folder(&path)?;
            }
        }
    }
    Ok(None)
}

/// What is wrong with a generation.
pub(super) fn problem(generation: &Path) -> Option<String> {
    Manifest::read(generation, None).and_then(|manifest| manifest.check(generation, None)).err()
}

/// All generations, newest first.
pub(super) fn generations(folder: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let mut found: Vec<(u64, PathBuf)> = durable::entries(folder)?
        .into_iter()
        .filter_map(|(name, path)| Some((name.strip_prefix("generation-")?.parse().ok()?, path)))
        .collect();
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save_text(folder: &Path, text: &str) {
        save(folder, |new| fs::write(new.join("state"), text).map_err(StoreError::io("write", new))).unwrap();
    }

    fn newest_text(folder: &Path) -> Option<String> {
        newest(folder).unwrap().map(|path| fs::read_to_string(path.join("state")).unwrap())
    }

    #[test]
    fn two_generations_are_kept_and_a_damaged_one_gives_way_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest_text(folder.path()), None);
        for step in ["one", "two", "three"] {
            save_text(folder.path(), step);
        }
        assert_eq!(generations(folder.path()).unwrap().len(), 2);
        assert_eq!(newest_text(folder.path()).unwrap(), "three");
        fs::write(folder.path().join("generation-3/state"), "thref").unwrap();
        assert_eq!(newest_text(folder.path()).unwrap(), "two");
        save_text(folder.path(), "three again");
        assert_eq!(newest_text(folder.path()).unwrap(), "three again");
        assert_eq!(generations(folder.path()).unwrap().len(), 2);
    }

    #[test]
    fn a_failure_while_writing_leaves_the_last_generation() {
        let folder = tempfile::tempdir().unwrap();
        save_text(folder.path(), "one");
        let failed = save(folder.path(), |new| {
            fs::write(new.join("state"), "half").unwrap();
            Err(StoreError::Empty)
        });
        assert!(failed.is_err());
        assert_eq!(newest_text(folder.path()).unwrap(), "one");
        save_text(folder.path(), "two");
        assert_eq!(newest_text(folder.path()).unwrap(), "two");
    }
}
