//! Reads and plans damaged recipes with arbitrary settings: errors are fine, panics are not.
//!
//! What follows the line `--set` in an input are settings, one per line.

#![no_main]

use std::{fs, path::Path, sync::LazyLock};

use apeft::{plan, recipe::Recipe, stage::registry};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap());

/// The line between a recipe and settings.
const MARK: &[u8] = b"\n--set\n";

/// Writes each shipped recipe to the corpus as a seed, and one with settings.
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
    let recipe = fs::read(recipes.join("smoke.toml")).unwrap();
    let settings = b"stage.tuned.beta=0.2\nseeds=[0, 1]\nmatrix.algorithm=[\"dpo\"]\n";
    fs::write("corpus/recipes/settings", [&recipe, MARK, &settings[..]].concat()).unwrap();
}

fuzz_target!(init: seed_corpus(), |input: &[u8]| {
    let path = FOLDER.path().join("recipe.toml");
    let place = input.windows(MARK.len()).position(|window| window == MARK);
    let (recipe, settings) = match place {
        Some(place) => (&input[..place], &input[place + MARK.len()..]),
        None => (input, &[][..]),
    };
    fs::write(&path, recipe).unwrap();
    let settings = String::from_utf8_lossy(settings);
    let settings: Vec<String> = settings.lines().map(str::to_owned).collect();
    let problems = match Recipe::load(&path, &settings) {
        Ok(recipe) => match plan::plan(&recipe, &registry::catalogue(), None) {
            Ok(plan) => plan.warnings,
            Err(problems) => problems,
        },
        Err(problems) => problems,
    };
    let _ = (problems.render(false), problems.to_json());
});
