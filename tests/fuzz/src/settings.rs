//! Applies arbitrary `--set` arguments to a valid recipe: errors are fine, panics are not.
//!
//! An input has one setting per line. Errors are also rendered, since messages cut texts at spans.

#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use apeft::{plan, recipe::Recipe, stage::registry};
use libfuzzer_sys::fuzz_target;

static RECIPE: LazyLock<PathBuf> = LazyLock::new(|| {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../recipes/smoke.toml"))
});

fn seed_corpus() {
    let seeds = [
        "stage.tuned.beta=0.2",
        "seeds=[0, 1]\nname=\"é\"",
        "stage.a.x={k=1,k=2}",
        "stage.\"ä\".kind='tune'",
        "matrix.algorithm=[\"dpo\"]",
        "defaults.tune.device=cpu\nstage.base=",
        "stage.\"ä\".ki='wuneun'.\"ä\".ki='wune",
    ];
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(format!("corpus/settings/seed-{number}"), seed).unwrap();
    }
}

fuzz_target!(init: seed_corpus(), |input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let settings: Vec<String> = text.lines().map(str::to_owned).collect();
    let problems = match Recipe::load(&RECIPE, &settings) {
        Ok(recipe) => match plan::plan(&recipe, &registry::catalogue(), None) {
            Ok(plan) => plan.warnings,
            Err(problems) => problems,
        },
        Err(problems) => problems,
    };
    let _ = (problems.render(false), problems.to_json());
});
