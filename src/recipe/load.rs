//! From the text of a recipe to its parts: name, seeds, matrix, defaults and stages.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use super::{
    document::RecipeText,
    matrix::Matrix,
    node::{Data, Entry, Node, Table},
    setting,
};
use crate::diagnostic::{Problem, Problems, Source, Span, suggestion};

/// The keys that may stand outside of all tables.
pub(super) const TOP_LEVEL: [&str; 6] = ["name", "extends", "seeds", "matrix", "defaults", "stage"];

/// A recipe: what was written, taken apart but not yet compared with the kinds of stage that there are.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Its name: the folder of its runs.
    pub name: String,
    /// Whole numbers that stages which draw at random are repeated for; none where the recipe has no `seeds`.
    pub seeds: Option<Vec<u64>>,
    /// Where they were written.
    pub seeds_span: Option<Span>,
    /// The sweep.
    pub matrix: Matrix,
    /// The matrix as it was written, for the resolved recipe.
    pub matrix_text: Table,
    /// For each kind, fields that hold for all of its stages.
    pub defaults: Vec<Entry>,
    /// Stages in the order in which they were written.
    pub stages: Vec<StageText>,
    /// The file that was asked for.
    pub source: Arc<Source>,
    /// What is wrong so far. Planning goes on all the same, so that all problems are shown at once, and hands them back.
    pub problems: Problems,
}

/// A `[stage.NAME]`.
#[derive(Clone, Debug)]
pub struct StageText {
    /// Its name.
    pub name: String,
    /// Where its name was written.
    pub span: Span,
    /// Its fields.
    pub fields: Table,
}

impl Recipe {
    /// Reads a recipe, what it extends, and settings like `stage.tuned.beta=0.2`.
    ///
    /// # Errors
    /// Where a file cannot be read or is not TOML. Whatever else is wrong is kept in [`Recipe::problems`] and comes out of
    /// planning, together with what planning finds.
    pub fn load(path: &Path, settings: &[String]) -> Result<Self, Problems> {
        RecipeText::read(path, settings).map(Self::take_apart)
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
        let matrix_text = take("matrix").and_then(|entry| tables_only(entry, &mut problems)).unwrap_or_default();
        let defaults = take("defaults").and_then(|entry| tables_only(entry, &mut problems)).unwrap_or_default();
        let stages = take("stage").and_then(|entry| tables_only(entry, &mut problems));
        for entry in &table.0 {
            let problem = Problem::error(format!("a recipe has no `{}`", entry.key)).at(&entry.key_span, "unknown key");
            problems.push(problem.help(suggestion(&entry.key, "keys", &TOP_LEVEL)));
        }
        let matrix = Matrix::read(&matrix_text, &mut problems);
        let stages = read_stages(stages, &source, &mut problems);
        let defaults = defaults.0.into_iter().filter(|entry| is_table(entry, &mut problems)).collect();
        Self { name, seeds, seeds_span, matrix, matrix_text, defaults, stages, source, problems }
    }
}

/// The longest name in bytes, since files and folders are called so.
const LONGEST_NAME: usize = 200;

/// Whether a name can serve as part of a file's name and within other names.
pub(super) fn is_plain_name(name: &str) -> bool {
    let right = |letter: char| letter.is_alphanumeric() || "-_.+".contains(letter);
    !name.is_empty() && name.len() <= LONGEST_NAME && !name.starts_with('.') && name.chars().all(right)
}

const PLAIN_NAME: &str = "letters, digits, `-`, `_`, `+` and `.` are expected";

/// What is wrong with a name that is not plain.
fn name_problem(name: &str, what: &str) -> Problem {
    match name.len() > LONGEST_NAME {
        true => Problem::error(format!("{what} has a name of {} bytes; {LONGEST_NAME} are possible", name.len())),
        false => Problem::error(format!("`{name}` cannot be {what}'s name")),
    }
}

fn read_name(entry: Option<Entry>, source: &Arc<Source>, problems: &mut Problems) -> String {
    let Some(entry) = entry else {
        let stem = Path::new(&source.path).file_stem().map_or("experiment".into(), |stem| stem.to_string_lossy());
        let problem = Problem::error("the recipe has no `name`");
        problems.push(problem.at(&Span::new(source, 0..0), format!("write here: name = \"{stem}\"")));
        return String::new();
    };
    let span = &entry.value.span;
    match entry.value.as_text() {
        Some(name) if is_plain_name(name) => return name.to_owned(),
        Some(name) => problems.push(name_problem(name, "a recipe").at(span, PLAIN_NAME)),
        None => {
            let problem = Problem::error(format!("`name` is {}, but a text is expected", entry.value.what()));
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
        problems.push(Problem::error(format!("`seeds` is {}", node.what())).at(&node.span, expected));
        return seeds;
    };
    if list.is_empty() {
        let problem = Problem::error("`seeds` is empty").at(&node.span, expected);
        problems.push(problem.help("without the key `seeds`, everything runs once, with seed 0"));
    }
    for seed in list {
        match &seed.data {
            Data::Integer(number) if *number >= 0 && !known.insert(*number) => {
                let problem = Problem::error(format!("seed {number} stands twice in `seeds`"));
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
        _ => "[stage.NAME]",
    };
    match entry.value.data {
        Data::Table(table) => Some(table),
        _ => {
            let problem = Problem::error(format!("`{}` is {}, but a table is expected", entry.key, entry.value.what()));
            problems.push(problem.at(&entry.key_span, format!("write {example}")));
            None
        }
    }
}

fn is_table(entry: &Entry, problems: &mut Problems) -> bool {
    let is_table = entry.value.as_table().is_some();
    if !is_table {
        let problem = Problem::error(format!("the defaults of `{}` are {}", entry.key, entry.value.what()));
        let label = format!("a table is expected: [defaults.{}]", entry.key);
        problems.push(problem.at(&entry.key_span, label));
    }
    is_table
}

fn read_stages(table: Option<Table>, source: &Arc<Source>, problems: &mut Problems) -> Vec<StageText> {
    let written = table.map_or(Vec::new(), |table| table.0);
    if written.is_empty() {
        let start = Span::new(source, 0..0);
        let problem = Problem::error("the recipe has no stage").at(&start, "at least one [stage.NAME] is expected");
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
                problems.push(problem.at(&key_span, format!("a field of it is expected: stage.{key}.FIELD=VALUE")));
            }
            _ => {
                let problem = Problem::error(format!("stage `{key}` is {what}"));
                problems.push(problem.at(&key_span, format!("a table is expected: [stage.{key}]")));
            }
        }
    }
    stages
}
