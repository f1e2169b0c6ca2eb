//! Reads recipe files: the one that was asked for, and those that it extends.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use toml::de::DeTable;

use super::{
    node::{Node, Reading, Table},
    setting,
};
use crate::diagnostic::{Problem, Problems, Source, Span, nearest};

/// A recipe as it was written: its files laid over each other and the settings of the command line laid over them.
#[derive(Debug)]
pub(super) struct RecipeText {
    /// The file that was asked for.
    pub(super) source: Arc<Source>,
    /// All keys, without `extends`.
    pub(super) table: Table,
}

impl RecipeText {
    /// Reads a recipe, what it extends, and settings like `stage.tuned.beta=0.2`.
    ///
    /// # Errors
    /// Where a file cannot be read or is not TOML; problems of all files come at once.
    pub(super) fn read(path: &Path, settings: &[String]) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut chain = Vec::new();
        let read = read_chain(path, None, &mut chain, &mut problems);
        let settings = setting::parse(settings, &mut problems);
        match read {
            Some((source, mut table)) if problems.errors() == 0 => {
                table.merge(settings);
                Ok(Self { source, table })
            }
            _ => Err(problems),
        }
    }
}

/// A path without `.` and `..`, as people would write it.
pub(super) fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if tidied.file_name().is_some() => drop(tidied.pop()),
            other => tidied.push(other),
        }
    }
    tidied
}

/// A path of a recipe as an absolute one: it is relative to the file in which it was written.
pub fn resolve_path(written: &str, span: &Span) -> PathBuf {
    let folder = Path::new(&span.source.path).parent().unwrap_or(Path::new(""));
    let joined = folder.join(written);
    tidy(&std::path::absolute(&joined).unwrap_or(joined))
}

/// Whether a file or folder that a recipe names is there, and if not, what to say about it.
pub fn missing_file(path: &Path, span: &Span) -> Option<Problem> {
    if path.exists() {
        return None;
    }
    let problem = Problem::error("this file or folder does not exist").at(span, "no such file or folder");
    let here = std::path::absolute("").unwrap_or_default();
    let shown = path.strip_prefix(&here).unwrap_or(path).display();
    let problem = problem.help(format!("looked for `{shown}`: paths are relative to the file in which they stand"));
    Some(match neighbour(path) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem,
    })
}

fn neighbour(path: &Path) -> Option<String> {
    let entries = fs::read_dir(path.parent()?).ok()?;
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str().map(str::to_owned)).collect();
    names.sort();
    nearest(path.file_name()?.to_str()?, names.iter().map(String::as_str)).map(str::to_owned)
}

/// One file in the chain of `extends`.
struct Link {
    shown: String,
    canonical: PathBuf,
}

fn read_chain(
    path: &Path,
    named: Option<&Span>,
    chain: &mut Vec<Link>,
    problems: &mut Problems,
) -> Option<(Arc<Source>, Table)> {
    let shown = tidy(path).display().to_string();
    let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if let Some(first) = chain.iter().position(|link| link.canonical == canonical) {
        let circle: Vec<&str> = chain[first..].iter().map(|link| &*link.shown).chain([&*chain[first].shown]).collect();
        let problem = Problem::error(format!("recipes extend each other in a circle: {}", circle.join(" -> ")));
        problems.push(placed(problem, named, "one of them must not extend the next"));
        return None;
    }
    chain.push(Link { shown: shown.clone(), canonical });

    let text = match read_text(path, &shown) {
        Ok(text) => text,
        Err(problem) => {
            problems.push(placed(problem, named, "a recipe's path, relative to this file, is expected"));
            return None;
        }
    };
    if named.is_none() && text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        let problem = Problem::error(format!("`{shown}` is empty"));
        problems.push(problem.help("`apeft init FOLDER` writes a recipe to start from"));
        return None;
    }
    let source = Source::new(shown, text);
    let mut table = parse(&source, problems)?;
    let Some(position) = table.0.iter().position(|entry| entry.key == "extends") else {
        return Some((source, table));
    };
    let extends = table.0.remove(position).value;
    let (_, mut base) = read_chain(&base_path(&extends, path, problems)?, Some(&extends.span), chain, problems)?;
    base.merge(table);
    Some((source, base))
}

fn base_path(extends: &Node, path: &Path, problems: &mut Problems) -> Option<PathBuf> {
    let Some(text) = extends.as_text() else {
        let problem = Problem::error(format!("`extends` is {}, but a text is expected", extends.what()));
        problems.push(problem.at(&extends.span, "the path of one recipe, relative to this file"));
        return None;
    };
    Some(path.parent().unwrap_or(Path::new("")).join(text))
}

fn placed(problem: Problem, named: Option<&Span>, label: &str) -> Problem {
    match named {
        Some(span) => problem.at(span, label),
        None => problem,
    }
}

fn read_text(path: &Path, shown: &str) -> Result<String, Problem> {
    let bytes = fs::read(path).map_err(|error| {
        let (reason, near) = match error.kind() {
            io::ErrorKind::NotFound => ("there is no such file".to_owned(), neighbour(path)),
            io::ErrorKind::IsADirectory => ("it is a folder; a recipe is a TOML file".to_owned(), None),
            _ => (error.to_string(), None),
        };
        let problem = Problem::error(format!("cannot read `{shown}`: {reason}"));
        match near {
            Some(near) => problem.help(format!("did you mean `{}`?", Path::new(shown).with_file_name(near).display())),
            None => problem,
        }
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let byte = error.utf8_error().valid_up_to();
        let problem = Problem::error(format!("`{shown}` is not a text file: byte {byte} is not UTF-8"));
        problem.help("a recipe is TOML, written as UTF-8 text")
    })
}

fn parse(source: &Arc<Source>, problems: &mut Problems) -> Option<Table> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in &errors {
        problems.push(syntax_problem(source, error));
    }
    errors.is_empty().then(|| Reading { source, offset: 0, problems }.table(table.get_ref()))
}

pub(super) fn syntax_problem(source: &Arc<Source>, error: &toml::de::Error) -> Problem {
    let span = Span::new(source, error.span().unwrap_or_default());
    if error.message() != "duplicate key" {
        return Problem::error(format!("this is not TOML: {}", error.message())).at(&span, "");
    }
    let problem = Problem::error(format!("`{}` is defined twice", span.text()));
    let problem = problem.at(&span, "the second time; give it another name, or remove one");
    match first_definition(&span) {
        Some(first) => problem.beside(&first, "the first time"),
        None => problem,
    }
}

/// The nearest earlier line that begins as this one does, up to and with the key.
fn first_definition(second: &Span) -> Option<Span> {
    let text = &second.source.text;
    let line_start = text[..second.range.start].rfind('\n').map_or(0, |newline| newline + 1);
    let wanted = text[line_start..second.range.end].trim_start();
    let mut end = line_start;
    while end > 0 {
        let start = text[..end - 1].rfind('\n').map_or(0, |newline| newline + 1);
        let line = &text[start..end];
        let indent = line.len() - line.trim_start().len();
        let rest = line.trim_start().strip_prefix(wanted);
        if rest.is_some_and(|rest| rest.trim_start().starts_with(['=', ']', '.'])) {
            let key_end = start + indent + wanted.len();
            return Some(Span::new(&second.source, key_end - second.range.len()..key_end));
        }
        end = start;
    }
    None
}
