//! Reads and plans damaged recipes: errors are fine, panics are not.

#![no_main]

use std::{fs, path::Path, sync::LazyLock};

use apeft::{plan, recipe::Recipe, stage::registry};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap());

/// Writes each shipped recipe to the corpus as a seed.
fn seed_corpus() {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    for folder in [recipes.clone(), recipes.join("ablations")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                fs::copy(&path, Path::new("corpus/recipes").join(path.file_name().unwrap()))
                    .unwrap();
            }
        }
    }
}

fuzz_target!(init: seed_corpus(), |input: &[u8]| {
    let path = FOLDER.path().join("recipe.toml");
    fs::write(&path, input).unwrap();
    let problems = match Recipe::load(&path, &[]) {
        Ok(recipe) => match plan::plan(&recipe, &registry::catalogue(), None) {
            Ok(plan) => plan.warnings,
            Err(problems) => problems,
        },
        Err(problems) => problems,
    };
    let _ = (problems.render(false), problems.to_json());
});
