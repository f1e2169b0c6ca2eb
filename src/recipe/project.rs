//! `apeft.toml`, a project's settings: tables of a recipe that hold for all recipes beside it.

use std::{io::ErrorKind, path::Path};

use super::{
    document::{RecipeReader, read_text},
    node::Table,
};
use crate::diagnostic::{Problem, Problems, Source, suggestion};

/// Name of the file.
pub const PROJECT_FILE: &str = "apeft.toml";

/// Tables that it may have: none of them changes a result.
pub(super) const TABLES: [&str; 2] = ["executor", "remote"];

/// The settings of a folder; empty without the file.
///
/// # Errors
/// Returns all problems of the file.
pub fn project_settings(folder: &Path) -> Result<Table, Problems> {
    let mut reader = RecipeReader::default();
    let table = reader.project(folder).unwrap_or_default();
    if reader.problems.errors() == 0 { Ok(table) } else { Err(reader.problems) }
}

impl RecipeReader {
    /// The settings of a folder, if it has any.
    pub(super) fn project(&mut self, folder: &Path) -> Option<Table> {
        let path = folder.join(PROJECT_FILE);
        if matches!(path.symlink_metadata(), Err(error) if error.kind() == ErrorKind::NotFound) {
            return None;
        }
        let shown = path.display().to_string();
        let text = match read_text(&path, &shown) {
            Ok(text) => text,
            Err(problem) => {
                self.problems.push(*problem);
                return None;
            }
        };
        let mut table = self.parse(&Source::new(shown, text));
        // A recipe may have this name too.
        if ["stage", "extends"].iter().any(|key| table.get(key).is_some()) {
            return None;
        }
        table.0.retain(|entry| {
            let is_known = TABLES.contains(&&*entry.key);
            if !is_known {
                let problem = Problem::error(format!("`{PROJECT_FILE}` has no `{}`", entry.key))
                    .at(&entry.key_span, "unknown key");
                let problem = problem.help(suggestion(&entry.key, "tables", &TABLES));
                self.problems
                    .push(problem.help("stages and all that changes results belong to a recipe"));
            }
            is_known
        });
        Some(table)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::recipe::{Recipe, project_settings};

    #[test]
    fn a_recipe_overrides_the_settings_beside_it_field_by_field() {
        let folder = tempfile::tempdir().unwrap();
        let project = "[executor]\nkind = \"slurm\"\npartition = \"cpu\"\naccount = \"lab\"\n";
        fs::write(folder.path().join("apeft.toml"), project).unwrap();
        let recipe = folder.path().join("a.toml");
        let text = "name = \"a\"\n[executor]\npartition = \"gpu\"\n[stage.x]\nkind = \"k\"\n";
        fs::write(&recipe, text).unwrap();
        let executor = Recipe::load(&recipe, &[]).unwrap().executor.unwrap();
        let found = executor.value.to_json();
        let expected = serde_json::json!({ "kind": "slurm", "partition": "gpu", "account": "lab" });
        assert_eq!(found, expected);
    }

    #[test]
    fn a_recipe_of_that_name_is_no_setting() {
        let folder = tempfile::tempdir().unwrap();
        let recipe = "name = \"a\"\n[stage.x]\nkind = \"k\"\n";
        fs::write(folder.path().join("apeft.toml"), recipe).unwrap();
        assert!(project_settings(folder.path()).unwrap().0.is_empty());
        assert!(Recipe::load(&folder.path().join("apeft.toml"), &[]).unwrap().executor.is_none());
    }

    #[test]
    fn other_keys_are_refused_at_their_place() {
        let folder = tempfile::tempdir().unwrap();
        assert!(project_settings(folder.path()).unwrap().0.is_empty());
        fs::write(folder.path().join("apeft.toml"), "[executer]\nkind = \"slurm\"\n").unwrap();
        let problems = project_settings(folder.path()).unwrap_err().render(false);
        assert!(problems.contains("apeft.toml:1:2"), "{problems}");
        assert!(problems.contains("did you mean `executor`?"), "{problems}");
    }
}
