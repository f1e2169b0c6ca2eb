//! Reads recipe files: the one that was asked for, and those that it extends.

use std::{
    fs,
    io::{self, Read},
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
    /// What is wrong with single values or settings.
    pub(super) problems: Problems,
}

impl RecipeText {
    /// Reads a recipe, what it extends, and settings like `stage.tuned.beta=0.2`.
    ///
    /// # Errors
    /// Where a file cannot be read or is not TOML; problems of all files come at once.
    pub(super) fn read(path: &Path, settings: &[String]) -> Result<Self, Problems> {
        let mut reader = Reader { chain: Vec::new(), problems: Problems::default(), is_readable: true };
        let read = reader.read(path, None);
        let Reader { mut problems, is_readable, .. } = reader;
        let settings = setting::parse(settings, &mut problems);
        match read {
            Some((source, mut table)) if is_readable => {
                table.merge(settings);
                Ok(Self { source, table, problems })
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
    match fs::metadata(path) {
        Ok(kind) if kind.is_file() || kind.is_dir() => return None,
        // Of a device or a pipe nobody knows where it ends, nor whether it says the same again.
        Ok(_) => {
            let problem = Problem::error("this is neither a file nor a folder");
            return Some(problem.at(span, "a file or folder is expected"));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let problem = Problem::error(format!("this file or folder cannot be looked at: {error}"));
            return Some(problem.at(span, "a file or folder is expected"));
        }
        Err(_) => {}
    }
    let problem = Problem::error("this file or folder does not exist").at(span, "no such file or folder");
    let here = std::env::current_dir().unwrap_or_default();
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

/// Reads a file, then what it extends, and so on.
struct Reader {
    chain: Vec<Link>,
    problems: Problems,
    is_readable: bool,
}

impl Reader {
    fn read(&mut self, path: &Path, named: Option<&Span>) -> Option<(Arc<Source>, Table)> {
        let tidied = tidy(path);
        let shown = if tidied.as_os_str().is_empty() { path } else { &tidied }.display().to_string();
        let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if let Some(first) = self.chain.iter().position(|link| link.canonical == canonical) {
            let circle = self.chain[first..].iter().chain([&self.chain[first]]).map(|link| &*link.shown);
            let circle = circle.collect::<Vec<_>>().join(" -> ");
            let problem = Problem::error(format!("recipes extend each other in a circle: {circle}"));
            return self.fail(problem, named, "one of them must not extend the next");
        }
        self.chain.push(Link { shown: shown.clone(), canonical });
        let text = match read_text(path, &shown) {
            Ok(text) => text,
            Err(problem) => return self.fail(*problem, named, "a recipe's path, relative to this file, is expected"),
        };
        if named.is_none() && text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            let problem = Problem::error(format!("`{shown}` is empty"));
            return self.fail(problem.help("`apeft init FOLDER` writes a recipe to start from"), None, "");
        }
        let source = Source::new(shown, text);
        let mut table = self.parse(&source);
        let Some(position) = table.0.iter().position(|entry| entry.key == "extends") else {
            return Some((source, table));
        };
        let extends = table.0.remove(position).value;
        let base = base_path(&extends, path, &mut self.problems)?;
        let (_, mut base) = self.read(&base, Some(&extends.span))?;
        base.merge(table);
        Some((source, base))
    }

    fn fail<T>(&mut self, problem: Problem, named: Option<&Span>, label: &str) -> Option<T> {
        self.problems.push(match named {
            Some(span) => problem.at(span, label),
            None => problem,
        });
        None
    }

    /// The file's table; where it is not TOML, as much of it as can be understood.
    fn parse(&mut self, source: &Arc<Source>) -> Table {
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        let mut doubled_table: Option<usize> = None;
        for error in &errors {
            // All fields of a table that is there twice would be reported once more.
            let start = error.span().unwrap_or_default().start;
            let before = source.text.get(..start).unwrap_or_default();
            let header = before.rfind("\n[").map_or(0, |newline| newline + 1);
            let is_header = !before[header..].contains('\n');
            match error.message() == DUPLICATE {
                true if is_header => doubled_table = Some(header),
                true if doubled_table == Some(header) => continue,
                _ => {}
            }
            self.problems.push_error(|| syntax_problem(source, 0, error));
        }
        self.is_readable &= errors.is_empty();
        Reading { source, offset: 0, problems: &mut self.problems }.table(table.get_ref())
    }
}

/// What the parser says of a key that is there already.
const DUPLICATE: &str = "duplicate key";

fn base_path(extends: &Node, path: &Path, problems: &mut Problems) -> Option<PathBuf> {
    let Some(text) = extends.as_text() else {
        let problem = Problem::error(format!("`extends` is {}, but a text is expected", extends.what()));
        problems.push(problem.at(&extends.span, "the path of one recipe, relative to this file"));
        return None;
    };
    Some(path.parent().unwrap_or(Path::new("")).join(text))
}

/// The most bytes that a recipe may have.
const LARGEST: u64 = 16 << 20;

/// All bytes of a file; of a device or a pipe nobody knows where it ends.
fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let kind = fs::metadata(path)?;
    if !kind.is_file() && !kind.is_dir() {
        return Err(io::Error::other("it is neither a file nor a folder; a recipe is a TOML file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {} MiB; a recipe is a TOML file", LARGEST >> 20)));
    }
    Ok(bytes)
}

fn read_text(path: &Path, shown: &str) -> Result<String, Box<Problem>> {
    let bytes = read_bytes(path).map_err(|error| {
        let (reason, near) = match error.kind() {
            io::ErrorKind::NotFound => ("there is no such file".to_owned(), neighbour(path)),
            io::ErrorKind::IsADirectory => ("it is a folder; a recipe is a TOML file".to_owned(), None),
            _ => (error.to_string(), None),
        };
        let problem = Problem::error(format!("cannot read `{shown}`: {reason}"));
        Box::new(match near {
            Some(near) => problem.help(format!("did you mean `{}`?", Path::new(shown).with_file_name(near).display())),
            None => problem,
        })
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let byte = error.utf8_error().valid_up_to();
        let problem = Problem::error(format!("`{shown}` is not a text file: byte {byte} is not UTF-8"));
        Box::new(problem.help("a recipe is TOML, written as UTF-8 text"))
    })
}

/// What the parser says of a text that begins at this byte of a source.
pub(super) fn syntax_problem(source: &Arc<Source>, offset: usize, error: &toml::de::Error) -> Problem {
    let place = error.span().unwrap_or_default();
    let span = Span::new(source, place.start + offset..place.end + offset);
    if error.message() == DUPLICATE {
        let problem = Problem::error(format!("`{}` is defined twice", span.text()));
        let problem = problem.at(&span, "the second time; give it another name, or remove one");
        return match first_definition(&span) {
            Some(first) => problem.beside(&first, "the first time"),
            None => problem,
        };
    }
    let rest = source.text.get(span.range.start..).unwrap_or_default().lines().next().unwrap_or_default();
    let word = rest.split([',', ']', '}', '#']).next().unwrap_or_default().trim();
    if error.message().starts_with("string values must be quoted") {
        return if word.is_empty() {
            Problem::error("a value is missing").at(&span, "a value is expected, or nothing of this line")
        } else {
            let span = Span::new(source, span.range.start..span.range.start + word.len());
            Problem::error(format!("`{word}` is not TOML")).at(&span, format!("a text needs quotes: \"{word}\""))
        };
    }
    match error.message().split_once(", expected ") {
        Some((what, "nothing")) => Problem::error(format!("this is not TOML: {what}")).at(&span, "one too many"),
        Some((what, expected)) => {
            let expected = expected.replace("newline, ", "the end of the line or ");
            Problem::error(format!("this is not TOML: {what}")).at(&span, format!("{expected} is expected"))
        }
        None => Problem::error(format!("this is not TOML: {}", error.message())).at(&span, ""),
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
        if line.starts_with('[') && !wanted.starts_with('[') {
            return None;
        }
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

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::recipe::node::Data;

    fn read(files: &[(&str, &str)], settings: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let text = RecipeText::read(&folder.path().join(files[0].0), &settings).unwrap();
        let json = Node::new(Data::Table(text.table), Span::new(&text.source, 0..0)).to_json();
        serde_json::to_string_pretty(&json).unwrap()
    }

    #[test]
    fn tables_merge_and_everything_else_is_replaced() {
        let recipe = "extends = \"bases/b.toml\"\nname = \"a\"\nseeds = [1]\n[stage.x]\nn = 3\nmodel = \"y\"\n";
        let base = "extends = \"c.toml\"\nname = \"b\"\nseeds = [0, 2]\n[stage.x]\nn = 2\nbeta = 0.5\n";
        let first = "[stage.x]\nn = 1\nkind = \"k\"\nmodel = { path = \"m\" }\n[stage.y]\nkind = \"l\"\n";
        let files = [("a.toml", recipe), ("bases/b.toml", base), ("bases/c.toml", first)];
        let settings =
            ["stage.y.n=4", "stage.x.beta=much", "stage.y.n=5", "matrix.z=[1, \"b\"]", "stage.x.at=2020-01-01"];
        expect![[r#"
            {
              "matrix": {
                "z": [
                  1,
                  "b"
                ]
              },
              "name": "a",
              "seeds": [
                1
              ],
              "stage": {
                "x": {
                  "at": "2020-01-01",
                  "beta": "much",
                  "kind": "k",
                  "model": "y",
                  "n": 3
                },
                "y": {
                  "kind": "l",
                  "n": 5
                }
              }
            }"#]]
        .assert_eq(&read(&files, &settings));
    }

    #[test]
    fn paths_are_relative_to_the_file_in_which_they_stand() {
        let span = |path: &str| Span::new(&Source::new(path, ""), 0..0);
        assert_eq!(resolve_path("../m/./x", &span("/a/b/r.toml")), Path::new("/a/m/x"));
        assert_eq!(resolve_path("/m", &span("/a/b/r.toml")), Path::new("/m"));
        let here = std::env::current_dir().unwrap();
        assert_eq!(resolve_path("m", &span("--set")), here.join("m"));
        assert_eq!(tidy(Path::new("./a/../b/../../c")), Path::new("../c"));
    }
}
