//! Which files belong to an artifact type: globs in which `*` stays within a folder.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use globset::{GlobBuilder, GlobSet};

/// The patterns of every file, at any depth.
pub const EVERY_FILE: &[&str] = &["**"];

/// Compiled patterns of file names relative to a folder.
#[derive(Clone, Debug)]
pub struct FilePatterns(Arc<GlobSet>);

impl FilePatterns {
    /// Compiles patterns, once per process: thousands of cells ask for the same few types.
    pub fn of(patterns: &[&str]) -> Self {
        static COMPILED: Mutex<BTreeMap<String, Arc<GlobSet>>> = Mutex::new(BTreeMap::new());
        let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        let globs = compiled.entry(patterns.join("\n")).or_insert_with(|| compile(patterns));
        Self(Arc::clone(globs))
    }

    /// Whether a name matches one of the patterns.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

fn compile(patterns: &[&str]) -> Arc<GlobSet> {
    let mut globs = GlobSet::builder();
    for pattern in patterns {
        // A model's weights are those beside its config, not those of a folder within it.
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        globs.add(glob.expect("the program's own patterns are globs"));
    }
    Arc::new(globs.build().expect("a few globs compile"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_run_of_characters_within_a_folder() {
        for (pattern, name, expected) in [
            ("config.json", "config.json", true),
            ("config.json", "config.jsonl", false),
            ("*.safetensors", "model-00001-of-00002.safetensors", true),
            ("*.safetensors", "model.safetensors.index.json", false),
            ("*.safetensors", "adapter/adapter_model.safetensors", false),
            ("additional_chat_templates/*.jinja", "additional_chat_templates/rag.jinja", true),
            ("tokenizer*.json", "tokenizer.json", true),
            ("tokenizer*.json", "tokenizer_config.json", true),
            ("*", "any/thing", false),
            ("**", "any/thing", true),
            ("**", ".hidden", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbY", false),
            ("*é", "né", true),
        ] {
            assert_eq!(FilePatterns::of(&[pattern]).matches(name), expected, "{pattern} {name}");
        }
    }

    /// Matching takes linear time, whatever the number of stars.
    #[test]
    fn many_stars_take_no_longer_than_one() {
        let (pattern, name) = ("a*".repeat(30) + "b", "a".repeat(200));
        assert!(!FilePatterns::of(&[&pattern]).matches(&name));
    }
}
