//! The artifact type that a program's files are: `provides`.

use std::{fs, io, path::Path};

use crate::{
    context::{
        artifact::{
            ADAPTER, CLAIMS, FILES, KNOWLEDGE, MODEL, PAIRS, PROMPTS, RESPONSES, SCORES, VERDICTS,
        },
        is_file_of,
    },
    recipe::schema::{ArtifactType, Chosen, Lack},
};

/// All types that a program may provide.
pub(super) static TYPES: [&ArtifactType; 10] = [
    &FILES, &PROMPTS, &RESPONSES, &CLAIMS, &VERDICTS, &PAIRS, &MODEL, &ADAPTER, &KNOWLEDGE, &SCORES,
];

/// Words of `provides`: what other kinds of stage read.
pub(super) const WORDS: [&str; 9] = [
    PROMPTS.name,
    RESPONSES.name,
    CLAIMS.name,
    VERDICTS.name,
    PAIRS.name,
    MODEL.name,
    ADAPTER.name,
    KNOWLEDGE.name,
    SCORES.name,
];

/// The type with this name.
pub(super) fn named(name: &str) -> Option<&'static ArtifactType> {
    TYPES.into_iter().find(|known| known.name == name)
}

/// All types but the one that the stage names; its files are always files of any format.
pub(super) fn lacks(chosen: &Chosen<'_>) -> Vec<Lack> {
    let provided = chosen.values.get("provides").and_then(|name| name.as_str());
    // Another program may read the files of any type.
    let lacking = TYPES.into_iter().filter(|one| one.name != FILES.name);
    let lacking = lacking.filter(|one| Some(one.name) != provided);
    lacking.map(|one| Lack { artifact: one.name, why: WHY, right: RIGHT }).collect()
}

const WHY: &str = "since its `provides` does not say so";
const RIGHT: &str = "name the type of the program's files, such as `provides = \"pairs\"`";

/// Files of a type in a folder, relative to it.
pub(super) fn files(root: &Path, provided: &ArtifactType) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    add_files(root, "", provided, &mut found)?;
    Ok(found)
}

fn add_files(
    root: &Path,
    above: &str,
    provided: &ArtifactType,
    found: &mut Vec<String>,
) -> io::Result<()> {
    for entry in fs::read_dir(root.join(above))? {
        let entry = entry?;
        // Names that are no text match no pattern.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let name = format!("{above}{name}");
        if entry.file_type()?.is_dir() {
            add_files(root, &format!("{name}/"), provided, found)?;
        } else if is_file_of(provided, &name) {
            found.push(name);
        }
    }
    Ok(())
}
