//! Splits a recipe into name, seeds, matrix, defaults and stages.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use super::{
    document::RecipeText,
    matrix::Matrix,
    names::{PLAIN_NAME, TOP_LEVEL, is_plain_name, name_problem},
    node::{Data, Entry, Node, Table},
    setting,
};
use crate::diagnostic::{Problem, Problems, Source, Span, suggestion};

/// A parsed recipe, not yet checked against the kinds of stage.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Name, also of the folder of its runs.
    pub name: String,
    /// Seeds of the replicates; empty if the recipe has no `seeds`.
    pub seeds: Option<Vec<u64>>,
    /// Span of `seeds`.
    pub seeds_span: Option<Span>,
    /// The sweep.
    pub matrix: Matrix,
    /// The matrix as written, for the resolved recipe.
    pub matrix_text: Table,
    /// Default fields by kind.
    pub defaults: Vec<Entry>,
    /// Tables `[endpoint.NAME]`.
    pub endpoints: Vec<Entry>,
    /// The table `[executor]`, also of `apeft.toml`.
    pub executor: Option<Entry>,
    /// The table `[remote]`, also of `apeft.toml`.
    pub remote: Option<Entry>,
    /// Stages in the order of the recipe.
    pub stages: Vec<StageText>,
    /// The requested file.
    pub source: Arc<Source>,
    /// Problems so far; planning continues and returns them with its own.
    pub problems: Problems,
}

/// A `[stage.NAME]`.
#[derive(Clone, Debug)]
pub struct StageText {
    /// Name.
    pub name: String,
    /// Span of the name.
    pub span: Span,
    /// Fields.
    pub fields: Table,
}

impl Recipe {
    /// Reads a recipe, its bases, and settings like `stage.tuned.beta=0.2`.
    ///
    /// # Errors
    /// If a file cannot be read or is not TOML. Other problems are kept in [`Recipe::problems`] and
    /// returned by planning.
    pub fn load(path: &Path, settings: &[String]) -> Result<Self, Problems> {
        RecipeText::read(path, settings).map(Self::take_apart)
    }

    /// First comment of the file that was asked for: what the recipe is for.
    pub fn description(&self) -> String {
        let lines = self.source.text.lines().skip_while(|line| line.trim().is_empty());
        let comment = lines.map_while(|line| line.trim().strip_prefix('#'));
        comment.map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
    }

    fn take_apart(text: RecipeText) -> Self {
        let RecipeText { source, mut table, mut problems } = text;
        let mut take = |key: &str| {
            let position = table.0.iter().position(|entry| entry.key == key)?;
            Some(table.0.remove(position))
        };
        let name = read_name(take("name"), &source, &mut problems);
        let seeds = take("seeds");
        let seeds_span = seeds.as_ref().map(|entry| entry.value.span.clone());
        let seeds = seeds.map(|entry| read_seeds(&entry.value, &mut problems));
        let matrix_text =
            take("matrix").and_then(|entry| tables_only(entry, &mut problems)).unwrap_or_default();
        let defaults = take("defaults")
            .and_then(|entry| tables_only(entry, &mut problems))
            .unwrap_or_default();
        let endpoints = take("endpoint")
            .and_then(|entry| tables_only(entry, &mut problems))
            .unwrap_or_default();
        let [executor, remote] = ["executor", "remote"].map(&mut take);
        let stages = take("stage").and_then(|entry| tables_only(entry, &mut problems));
        for entry in &table.0 {
            let problem = Problem::error(format!("a recipe has no `{}`", entry.key))
                .at(&entry.key_span, "unknown key");
            problems.push(problem.help(suggestion(&entry.key, "keys", &TOP_LEVEL)));
        }
        let matrix = Matrix::read(&matrix_text, &mut problems);
        let stages = read_stages(stages, &source, &mut problems);
        let defaults =
            defaults.0.into_iter().filter(|entry| is_table(entry, &mut problems)).collect();
        let endpoints = endpoints.0.into_iter().filter(|entry| is_endpoint(entry, &mut problems));
        Self {
            name,
            seeds,
            seeds_span,
            matrix,
            matrix_text,
            defaults,
            endpoints: endpoints.collect(),
            executor,
            remote,
            stages,
            source,
            problems,
        }
    }
}

fn read_name(entry: Option<Entry>, source: &Arc<Source>, problems: &mut Problems) -> String {
    let Some(entry) = entry else {
        let stem = Path::new(&source.path)
            .file_stem()
            .map_or("experiment".into(), |stem| stem.to_string_lossy());
        let problem = Problem::error("the recipe has no `name`");
        problems
            .push(problem.at(&Span::new(source, 0..0), format!("write here: name = \"{stem}\"")));
        return String::new();
    };
    let span = &entry.value.span;
    match entry.value.as_text() {
        Some(name) if is_plain_name(name) => return name.to_owned(),
        Some(name) => problems.push(name_problem(name, "a recipe").at(span, PLAIN_NAME)),
        None => {
            let problem =
                Problem::error(format!("`name` is {}, but a text is expected", entry.value.what()));
            problems.push(problem.at(span, "a name in quotes is expected"));
        }
    }
    String::new()
}

fn read_seeds(node: &Node, problems: &mut Problems) -> Vec<u64> {
    let expected = "a list of whole numbers is expected, e.g. [0, 1, 2]";
    let mut seeds: Vec<u64> = Vec::new();
    let mut known = BTreeSet::new();
    let Some(list) = node.as_list() else {
        problems
            .push(Problem::error(format!("`seeds` is {}", node.what())).at(&node.span, expected));
        return seeds;
    };
    if list.is_empty() {
        let problem = Problem::error("`seeds` is empty").at(&node.span, expected);
        problems.push(problem.help("without the key `seeds`, everything runs once, with seed 0"));
    }
    for seed in list {
        match &seed.data {
            Data::Integer(number) if *number >= 0 && !known.insert(*number) => {
                let problem = Problem::error(format!("seed {number} appears twice in `seeds`"));
                problems.push(problem.at(&seed.span, "once is enough"));
            }
            Data::Integer(number) if *number >= 0 => seeds.push(number.unsigned_abs()),
            _ => {
                let problem = Problem::error(format!("`{}` is no seed", seed.span.text()));
                problems.push(problem.at(&seed.span, "a whole number of at least 0 is expected"));
            }
        }
    }
    seeds
}

fn tables_only(entry: Entry, problems: &mut Problems) -> Option<Table> {
    let example = match &*entry.key {
        "matrix" => "[matrix]",
        "defaults" => "[defaults.KIND]",
        "endpoint" => "[endpoint.NAME]",
        _ => "[stage.NAME]",
    };
    match entry.value.data {
        Data::Table(table) => Some(table),
        _ => {
            let problem = Problem::error(format!(
                "`{}` is {}, but a table is expected",
                entry.key,
                entry.value.what()
            ));
            problems.push(problem.at(&entry.key_span, format!("write {example}")));
            None
        }
    }
}

fn is_table(entry: &Entry, problems: &mut Problems) -> bool {
    let is_table = entry.value.as_table().is_some();
    if !is_table {
        let problem =
            Problem::error(format!("the defaults of `{}` are {}", entry.key, entry.value.what()));
        let label = format!("a table is expected: [defaults.{}]", entry.key);
        problems.push(problem.at(&entry.key_span, label));
    }
    is_table
}

fn is_endpoint(entry: &Entry, problems: &mut Problems) -> bool {
    if !is_plain_name(&entry.key) {
        problems.push(name_problem(&entry.key, "an endpoint").at(&entry.key_span, PLAIN_NAME));
    }
    let is_table = entry.value.as_table().is_some();
    if !is_table {
        let problem =
            Problem::error(format!("the endpoint `{}` is {}", entry.key, entry.value.what()));
        let label = format!("a table is expected: [endpoint.{}]", entry.key);
        problems.push(problem.at(&entry.key_span, label));
    }
    is_table
}

fn read_stages(
    table: Option<Table>,
    source: &Arc<Source>,
    problems: &mut Problems,
) -> Vec<StageText> {
    let written = table.map_or(Vec::new(), |table| table.0);
    if written.is_empty() {
        let start = Span::new(source, 0..0);
        let problem = Problem::error("the recipe has no stage")
            .at(&start, "at least one [stage.NAME] is expected");
        problems.push(problem.help("`apeft init FOLDER` writes a recipe to start from"));
    }
    let mut stages = Vec::new();
    for Entry { key, key_span, value } in written {
        if !is_plain_name(&key) {
            problems.push(name_problem(&key, "a stage").at(&key_span, PLAIN_NAME));
        }
        let what = value.what();
        match value.data {
            Data::Table(fields) => stages.push(StageText { name: key, span: key_span, fields }),
            _ if setting::is_setting(&key_span) => {
                let problem = Problem::error(format!("stage `{key}` is {what}"));
                problems.push(
                    problem.at(
                        &key_span,
                        format!("a field of it is expected: stage.{key}.FIELD=VALUE"),
                    ),
                );
            }
            _ => {
                let problem = Problem::error(format!("stage `{key}` is {what}"));
                problems.push(problem.at(&key_span, format!("a table is expected: [stage.{key}]")));
            }
        }
    }
    stages
}
