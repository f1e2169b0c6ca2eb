//! What a recipe names as an input, read before anything runs: a row of a wrong form is known hours earlier so.
//!
//! Files are read as the stages read them, a row at a time, so that memory does not grow with them.

use std::{fs, path::Path};

use crate::{
    facts::{FactTable, Phrases},
    knowledge::{Article, Knowledge},
    language::{
        Claim, Document, Pair, PreferenceRow, ProbedFact, Prompt, Response, Row, Verdict,
        json_lines::{self, JsonLinesError},
    },
};

/// Reads a file, or that file of a folder which belongs to a type of artifact, as a kind of stage would. Types that are not
/// rows or tables are passed over: their stages look at them first.
///
/// # Errors
/// In words: the file, the line, and what is wrong with it.
pub fn check_input(kind: &str, artifact: &str, path: &Path) -> Result<(), String> {
    let file = |name: &str| if path.is_dir() { path.join(name) } else { path.to_owned() };
    let rows = match artifact {
        "prompts" => checked::<Prompt>(&file("prompts.jsonl")),
        "responses" => checked::<Response>(&file("responses.jsonl")),
        "claims" => checked::<Claim>(&file("claims.jsonl")),
        "verdicts" => checked::<Verdict>(&file("verdicts.jsonl")),
        "probe" => checked::<ProbedFact>(&file("probe.jsonl")),
        "documents" => read_through::<Document>(&file("documents.jsonl")),
        // Mixtures and questions need what our own pairs say of answers; tuning takes pairs of any origin.
        "pairs" if matches!(kind, "mix" | "questions") => read_through::<Pair>(&file("pairs.jsonl")),
        "pairs" => read_through::<PreferenceRow>(&file("pairs.jsonl")),
        "knowledge" => return check_knowledge(&file("knowledge.db")),
        "fact table" if path.is_file() => return check_text(path, FactTable::parse),
        "phrases" if path.is_file() => return check_text(path, |text| toml::from_str::<Phrases>(text)),
        _ => Ok(()),
    };
    rows.map_err(|error| error.to_string())
}

fn checked<T: Row>(path: &Path) -> Result<(), JsonLinesError> {
    json_lines::check_rows::<T>(path)
}

fn read_through<T: serde::de::DeserializeOwned>(path: &Path) -> Result<(), JsonLinesError> {
    json_lines::lines::<T>(path)?.try_for_each(|line| line.map(drop))
}

fn check_knowledge(path: &Path) -> Result<(), String> {
    if path.extension().is_some_and(|ending| ending == "jsonl") {
        return read_through::<Article>(path).map_err(|error| error.to_string());
    }
    Knowledge::open(path).map(drop).map_err(|error| error.to_string())
}

fn check_text<T, E: std::fmt::Display>(path: &Path, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text).map(drop).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows are of public formats: TRL's conversational pairs and KTO rows, FActScore's dumps, our own contract.
    #[test]
    fn rows_are_read_as_the_stages_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let check = |kind: &str, artifact: &str, name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            let said = check_input(kind, artifact, &path);
            said.map_err(|error| error.replace(&folder.path().display().to_string(), "DIR"))
        };
        let prompt = "{\"id\":\"a\",\"prompt\":\"?\",\"topic\":\"T\",\"domain\":\"d\"}\n";
        assert_eq!(check("sample", "prompts", "p.jsonl", prompt), Ok(()));
        let twice = check("sample", "prompts", "p.jsonl", &format!("{prompt}\n{prompt}")).unwrap_err();
        assert!(twice.starts_with("DIR/p.jsonl:3: the prompt `a` occurs twice, first in line 1"), "{twice}");
        let wrong = check("sample", "prompts", "p.jsonl", &format!("{prompt}{{\"id\":\"b\"}}\n")).unwrap_err();
        assert!(wrong.starts_with("DIR/p.jsonl:2: missing field"), "{wrong}");
        let kto = "{\"prompt\":\"?\",\"completion\":\" a\",\"label\":true}\n";
        assert_eq!(check("tune", "pairs", "k.jsonl", kto), Ok(()));
        assert!(check("mix", "pairs", "k.jsonl", kto).unwrap_err().starts_with("DIR/k.jsonl:1: "));
        let parts = "{\"title\":\"T\",\"text\":[\"One.\",\"Two.\"]}\n{\"title\":\"U\"}\n";
        assert!(
            check("verify", "knowledge", "k.jsonl", parts).unwrap_err().starts_with("DIR/k.jsonl:2: missing field")
        );
        assert!(check("facts", "fact table", "t.csv", "title,born\n").unwrap_err().starts_with("DIR/t.csv: "));
        assert_eq!(check("command", "files", "any.bin", "\0"), Ok(()));
    }
}
