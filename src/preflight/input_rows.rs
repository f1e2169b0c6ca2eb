//! Checks of input files before anything runs, so that malformed rows are reported early.
//!
//! Files are read row by row as the stages read them, in constant memory.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    evaluation::{FittedCalibration, Scores},
    knowledge::{Article, Knowledge, KnowledgeFormat, format_of},
    model::{Adapter, generation_settings},
    prompting::{ClaimQuestion, FewShot},
    recipe::schema::read_parameters,
    rows::{
        Claim, Content, Document, LabelRow, Pair, ProbedFact, Prompt, Response, RetrievedPassages,
        Row, Verdict,
        json_lines::{self, JsonLinesError, Line},
    },
    stage::{
        import, knowledge, pretrain,
        sample::{self, Selection},
        tune,
    },
    stage_support::preference_rows::Needs,
    tuning::ReferenceRow,
    world::{FactTable, Phrases},
};

/// Requirements of a stage on a file or folder of its recipe.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    kind: &'static str,
    artifact: &'static str,
    more: More,
}

/// Requirements that depend on parameters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum More {
    Nothing,
    /// Requirements of an algorithm.
    Preferences(Needs),
    /// Selected prompts.
    Asked(Selection),
    /// Groups of a batch.
    Groups(Vec<String>),
    /// Chat template, with an optional system prompt.
    Template(Option<String>),
}

impl More {
    fn of_sampling(artifact: &str, values: &BTreeMap<String, Value>) -> Self {
        match read_parameters::<sample::Parameters>(values) {
            Some(parameters) if artifact == "prompts" => Self::Asked(parameters.selection),
            Some(parameters) if parameters.apply_chat_template => {
                Self::Template(parameters.system_prompt)
            }
            _ => Self::Nothing,
        }
    }
}

impl Wanted {
    /// Requirements of a stage of this kind on an input of this type.
    pub fn of(
        kind: &'static str,
        artifact: &'static str,
        values: &BTreeMap<String, Value>,
    ) -> Self {
        let more = match (kind, artifact) {
            ("tune", "pairs") => {
                let tuned = read_parameters::<tune::Parameters>(values);
                // Invalid parameters are reported elsewhere; their rows are at least to be
                // readable.
                More::Preferences(tuned.map_or(Needs::ANY, |parameters| parameters.needs()))
            }
            ("reference" | "command", "pairs") => More::Preferences(Needs::ANY),
            ("sample", "model" | "prompts") => More::of_sampling(artifact, values),
            ("pretrain", "documents") => {
                let trained = read_parameters::<pretrain::Parameters>(values);
                let groups = trained.map(|parameters| parameters.batch_composition);
                More::Groups(groups.unwrap_or_default().into_keys().collect())
            }
            _ => More::Nothing,
        };
        Self { kind, artifact, more }
    }

    /// The same requirements on what a stage of kind `import` reads.
    pub fn of_imported(self) -> Self {
        Self { kind: "import", ..self }
    }

    /// Reads a file, or the matching file of a folder, as the stage would. Types without rows,
    /// tables or models are skipped: their stages check them first.
    ///
    /// # Errors
    /// The file, the line, and the problem.
    pub fn check(&self, path: &Path) -> Result<(), String> {
        let file = file_of(path, self.artifact);
        match self.artifact {
            "prompts" => {
                some(checked::<Prompt>, &file)?;
                let More::Asked(selection) = &self.more else { return Ok(()) };
                selection.of(&file).map(drop).map_err(|error| error.to_string())
            }
            "responses" => some(checked::<Response>, &file),
            // Responses without facts have neither.
            "claims" => words(checked::<Claim>(&file)).map(drop),
            "verdicts" => words(checked::<Verdict>(&file)).map(drop),
            "labels" => labels(&file),
            "passages" => words(checked::<RetrievedPassages>(&file)).map(drop),
            "calibration" => {
                check_text(&file, |text| serde_json::from_str::<FittedCalibration>(text))
            }
            "probe" => some(checked::<ProbedFact>, &file),
            "documents" => match &self.more {
                More::Groups(groups) => pretrain::check_documents(&file, groups),
                _ => some(read_through::<Document>, &file),
            },
            "pairs" => self.check_pairs(&file),
            "reference" => some(read_through::<ReferenceRow>, &file),
            "knowledge" => check_knowledge(&file),
            "files" if self.kind == "knowledge" => check_source(path),
            "scores" if path.is_dir() => {
                check_text(&path.join("scores.json"), |text| serde_json::from_str::<Scores>(text))
            }
            "fact table" if path.is_file() => check_text(path, FactTable::parse),
            "phrases" if path.is_file() => check_text(path, |text| toml::from_str::<Phrases>(text)),
            "prompt template" if path.is_file() => match self.kind {
                "extract" => check_text(path, |text| FewShot::new(Some(text), None, 0)),
                _ => check_text(path, |text| ClaimQuestion::new(Some(text))),
            },
            "demonstrations" if path.is_file() => {
                check_text(path, |text| FewShot::new(None, Some(text), 0))
            }
            "model" => self.check_model(path),
            "adapter" => Adapter::check(path).map_err(|error| error.to_string()),
            _ => Ok(()),
        }
    }

    /// Mixtures and questions need fields of pairs from `mine`; tuning accepts pairs of any origin.
    fn check_pairs(&self, path: &Path) -> Result<(), String> {
        if let More::Preferences(needs) = self.more {
            return needs.check_file(path);
        }
        let mut count = 0;
        for line in words(json_lines::lines::<Pair>(path))? {
            let Line { number, row } = words(line)?;
            if let Some(problem) = row.prompt.problem(&[&row.chosen, &row.rejected]) {
                return Err(format!("{}:{number}: {problem}", path.display()));
            }
            count += 1;
        }
        some(|_| Ok(count), path)
    }

    fn check_model(&self, path: &Path) -> Result<(), String> {
        if path.is_file() && self.kind != "import" {
            return Err(format!(
                "{}: it is a file, not a model directory; give it as `path` to a stage of kind \
                `import`, and that stage as `{}`",
                path.display(),
                self.artifact
            ));
        }
        let (_, encoder) = import::check(path)?;
        // Other kinds do not sample, so that no generation config can be in their way.
        if path.is_dir() && matches!(self.kind, "import" | "sample") {
            generation_settings(path).map_err(|error| error.to_string())?;
        }
        if let More::Template(system) = &self.more {
            // Rendered once, because a template may refuse a system prompt, and only it knows.
            let asked = Content::from_user("?", system.as_deref());
            encoder
                .prompt(&asked)
                .map_err(|error| format!("`apply_chat_template` cannot be true: {error}"))?;
        }
        Ok(())
    }
}

/// The file of a type with one file, which a folder has under the type's name.
fn file_of(path: &Path, artifact: &str) -> PathBuf {
    match artifact {
        _ if !path.is_dir() => path.to_owned(),
        "knowledge" => path.join("knowledge.db"),
        _ => path.join(format!("{artifact}.jsonl")),
    }
}

fn words<T>(found: Result<T, JsonLinesError>) -> Result<T, String> {
    found.map_err(|error| error.to_string())
}

/// A file must have rows.
fn some(
    count: impl FnOnce(&Path) -> Result<usize, JsonLinesError>,
    path: &Path,
) -> Result<(), String> {
    match words(count(path))? {
        0 => Err(format!("{}: it has no rows", path.display())),
        _ => Ok(()),
    }
}

fn checked<T: Row>(path: &Path) -> Result<usize, JsonLinesError> {
    json_lines::check_rows::<T>(path)
}

fn read_through<T: serde::de::DeserializeOwned>(path: &Path) -> Result<usize, JsonLinesError> {
    json_lines::lines::<T>(path)?.try_fold(0, |count, line| line.map(|_| count + 1))
}

fn labels(path: &Path) -> Result<(), String> {
    let mut count = 0;
    for line in words(json_lines::lines::<LabelRow>(path))? {
        let Line { number, row } = words(line)?;
        row.check().map_err(|problem| format!("{}:{number}: {problem}", path.display()))?;
        count += 1;
    }
    some(|_| Ok(count), path)
}

fn check_knowledge(path: &Path) -> Result<(), String> {
    // Rows are read one at a time, and not into a database.
    if matches!(format_of(path), Ok(KnowledgeFormat::JsonLines)) {
        return some(read_through::<Article>, path);
    }
    Knowledge::open(path).map(drop).map_err(|error| error.to_string())
}

/// A source of knowledge: its rows, or what the beginning of other formats tells.
fn check_source(path: &Path) -> Result<(), String> {
    if knowledge::check(path)? == KnowledgeFormat::JsonLines {
        let (file, _) = knowledge::source(path)?;
        return some(read_through::<Article>, &file);
    }
    Ok(())
}

fn check_text<T, E: std::fmt::Display>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text).map(drop).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows in public formats: TRL's conversational pairs and KTO rows, FActScore's dumps, and this
    /// project's own.
    #[test]
    fn rows_are_read_as_the_stages_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let check = |kind: &'static str, artifact: &'static str, name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            let said = Wanted::of(
                kind,
                artifact,
                &BTreeMap::from([("algorithm".to_owned(), "kto".into())]),
            )
            .check(&path);
            said.map_err(|error| error.replace(&folder.path().display().to_string(), "DIR"))
        };
        let prompt = "{\"id\":\"a\",\"prompt\":\"?\",\"topic\":\"T\",\"domain\":\"d\"}\n";
        assert_eq!(check("sample", "prompts", "p.jsonl", prompt), Ok(()));
        let twice =
            check("sample", "prompts", "p.jsonl", &format!("{prompt}\n{prompt}")).unwrap_err();
        assert!(
            twice.starts_with("DIR/p.jsonl:3: the prompt `a` occurs twice, first in line 1"),
            "{twice}"
        );
        let wrong = check("sample", "prompts", "p.jsonl", &format!("{prompt}{{\"id\":\"b\"}}\n"))
            .unwrap_err();
        assert!(wrong.starts_with("DIR/p.jsonl:2: missing field"), "{wrong}");
        let kto = "{\"prompt\":\"?\",\"completion\":\" a\",\"label\":true}\n";
        assert_eq!(check("tune", "pairs", "k.jsonl", kto), Ok(()));
        assert!(check("mix", "pairs", "k.jsonl", kto).unwrap_err().starts_with("DIR/k.jsonl:1: "));
        let parts = "{\"title\":\"T\",\"text\":[\"One.\",\"Two.\"]}\n{\"title\":\"U\"}\n";
        assert!(
            check("verify", "knowledge", "k.jsonl", parts)
                .unwrap_err()
                .starts_with("DIR/k.jsonl:2: missing field")
        );
        assert!(
            check("facts", "fact table", "t.csv", "title,born\n")
                .unwrap_err()
                .starts_with("DIR/t.csv: ")
        );
        let label = "{\"claim\":\"a\",\"label\":\"S\"}\n";
        assert_eq!(check("labels", "labels", "l.jsonl", label), Ok(()));
        assert!(
            check("agree", "labels", "l.jsonl", &format!("{label}{{\"label\":\"S\"}}\n"))
                .unwrap_err()
                .starts_with("DIR/l.jsonl:2: the row has a `label`, but neither")
        );
        assert_eq!(check("command", "files", "any.bin", "\0"), Ok(()));
        for (kind, artifact) in [
            ("sample", "prompts"),
            ("mine", "prompts"),
            ("extract", "responses"),
            ("tune", "pairs"),
            ("mix", "pairs"),
            ("mine-atomic", "probe"),
            ("verify", "knowledge"),
            ("labels", "labels"),
        ] {
            for text in ["", "\n \n\n"] {
                let empty = check(kind, artifact, "e.jsonl", text).unwrap_err();
                assert!(empty.starts_with("DIR/e.jsonl: it has no rows"), "{kind}: {empty}");
            }
        }
        for artifact in ["claims", "verdicts"] {
            assert_eq!(
                check("score", artifact, "e.jsonl", ""),
                Ok(()),
                "responses may state nothing"
            );
        }
    }
}
