//! Reads recipe files and the files that they extend.

use std::{
    fs,
    io::{self, Read},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use toml::de::DeTable;

use super::{
    long::parse_pieces,
    node::{Node, Table, TomlReader},
    setting,
    syntax::{DUPLICATE, syntax_problem},
};
use crate::diagnostic::{Problem, Problems, Source, Span, nearest};

/// A recipe as written: merged files and command-line settings.
#[derive(Debug)]
pub(super) struct RecipeText {
    /// The requested file.
    pub(super) source: Arc<Source>,
    /// All keys except `extends`.
    pub(super) table: Table,
    /// Problems of single values or settings.
    pub(super) problems: Problems,
}

impl RecipeText {
    /// Reads a recipe, its bases, and settings like `stage.tuned.beta=0.2`.
    ///
    /// # Errors
    /// If a file cannot be read or is not TOML; problems of all files are returned at once.
    pub(super) fn read(path: &Path, settings: &[String]) -> Result<Self, Problems> {
        let mut reader = RecipeReader::default();
        let read = reader.read(path, None);
        let project = reader.project(path.parent().unwrap_or(Path::new("")));
        let RecipeReader { mut problems, is_unreadable, .. } = reader;
        let settings = setting::parse(settings, &mut problems);
        match read {
            Some((source, written)) if !is_unreadable => {
                let mut table = project.unwrap_or_default();
                table.merge(written);
                table.merge(settings);
                Ok(Self { source, table, problems })
            }
            _ => Err(problems),
        }
    }
}

/// A path without `.` and `..`; `..` after a link is kept, since it refers to the parent of the
/// link's target.
pub(super) fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if tidied.file_name().is_some() && !tidied.is_symlink() => {
                tidied.pop();
            }
            other => tidied.push(other),
        }
    }
    tidied
}

/// An absolute path: relative paths start at the folder of the file that mentions them, those of
/// the command line at the current folder. Links to a file are not followed.
pub fn resolve_path(written: &str, span: &Span) -> PathBuf {
    let folder = Path::new(&span.source.path).parent().unwrap_or(Path::new(""));
    let joined = folder.join(written);
    tidy(&std::path::absolute(&joined).unwrap_or(joined))
}

/// A problem if a file or folder named by a recipe does not exist.
pub fn missing_file(path: &Path, span: &Span) -> Option<Problem> {
    match fs::metadata(path) {
        Ok(kind) if kind.is_file() || kind.is_dir() => return None,
        // Devices and pipes have no known end and cannot be read twice.
        Ok(_) => {
            let problem = Problem::error("this is neither a file nor a folder");
            return Some(problem.at(span, "a file or folder is expected"));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let problem = Problem::error(format!("this file or folder cannot be read: {error}"));
            return Some(problem.at(span, "a file or folder is expected"));
        }
        Err(_) => {}
    }
    let problem =
        Problem::error("this file or folder does not exist").at(span, "no such file or folder");
    let here = std::env::current_dir().unwrap_or_default();
    let shown = path.strip_prefix(&here).unwrap_or(path).display();
    let problem = problem.help(format!("looked for `{shown}`: paths are relative to their file"));
    Some(match neighbour(path) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None if is_hub_name(path, span) => problem.help(
            "a name on a hub is no path: download it first, such as `hf download OWNER/NAME \
            --local-dir FOLDER`, and give that folder",
        ),
        None => problem,
    })
}

/// Whether a path that does not exist is written as `Owner/Name-1.5B`.
fn is_hub_name(path: &Path, span: &Span) -> bool {
    let written = span.text().trim_matches(['"', '\'']);
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let is_file = !extension.is_empty() && extension.chars().all(char::is_alphabetic);
    written.matches('/').count() == 1
        && !written.starts_with(['.', '/', '~'])
        && written.contains(|letter: char| letter.is_ascii_uppercase())
        && !is_file
        && path.parent().is_some_and(|folder| !folder.exists())
}

fn neighbour(path: &Path) -> Option<String> {
    let entries = fs::read_dir(path.parent()?).ok()?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().map(str::to_owned))
        .collect();
    // A folder's order differs between file systems, and a message must not.
    names.sort();
    nearest(path.file_name()?.to_str()?, names.iter().map(String::as_str)).map(str::to_owned)
}

/// One file in the chain of `extends`.
struct RecipeFile {
    shown: String,
    canonical: PathBuf,
}

/// Reads a file, then its bases.
#[derive(Default)]
pub(super) struct RecipeReader {
    chain: Vec<RecipeFile>,
    pub(super) problems: Problems,
    is_unreadable: bool,
}

impl RecipeReader {
    fn read(&mut self, path: &Path, named: Option<&Span>) -> Option<(Arc<Source>, Table)> {
        if path.to_str().is_none() {
            let problem =
                Problem::error(format!("the name of `{}` is not UTF-8; rename it", path.display()));
            return self.fail(
                problem,
                named,
                "a recipe's path, relative to this file, is expected",
            );
        }
        let tidied = tidy(path);
        let shown =
            if tidied.as_os_str().is_empty() { path } else { &tidied }.display().to_string();
        // By the real path, since a chain can come back through a link or another spelling.
        let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if let Some(first) = self.chain.iter().position(|link| link.canonical == canonical) {
            let circle =
                self.chain[first..].iter().chain([&self.chain[first]]).map(|link| &*link.shown);
            let circle = circle.collect::<Vec<_>>().join(" -> ");
            let problem = Problem::error(format!("recipes extend each other in a cycle: {circle}"));
            return self.fail(problem, named, "one of them must not extend the next");
        }
        self.chain.push(RecipeFile { shown: shown.clone(), canonical });
        let text = match read_text(path, &shown) {
            Ok(text) => text,
            Err(problem) => {
                return self.fail(
                    *problem,
                    named,
                    "a recipe's path, relative to this file, is expected",
                );
            }
        };
        // A base recipe may be empty while it is being written; the recipe that is run may not.
        if named.is_none()
            && text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
        {
            let problem = Problem::error(format!("`{shown}` is empty"));
            return self.fail(
                problem.help("`apeft init FOLDER` writes a recipe to start from"),
                None,
                "",
            );
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

    /// The file's table; of invalid TOML as much as can be parsed.
    pub(super) fn parse(&mut self, source: &Arc<Source>) -> Table {
        if let Some(table) = parse_pieces(source) {
            return table;
        }
        // All errors at once: a parser that stops at the first one costs a run of the command each.
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        let mut doubled_table: Option<usize> = None;
        // Errors come in order, so that each is searched for headers only from the one before it.
        let (mut searched, mut header) = (0, 0);
        for error in &errors {
            // Fields of a duplicate table would be reported again.
            let start = error.span().unwrap_or_default().start.min(source.text.len());
            if start < searched {
                (searched, header) = (0, 0);
            }
            header = last_header(&source.text.as_bytes()[searched..start])
                .map_or(header, |at| searched + at);
            searched = start.saturating_sub(1);
            let is_header = !source.text.as_bytes()[header..start].contains(&b'\n');
            match error.message() == DUPLICATE {
                true if is_header => doubled_table = Some(header),
                true if doubled_table == Some(header) => continue,
                _ => {}
            }
            self.problems.push_error(|| syntax_problem(source, 0, error));
        }
        self.is_unreadable |= !errors.is_empty();
        TomlReader { source, offset: 0, problems: &mut self.problems }.table(table.get_ref())
    }
}

fn base_path(extends: &Node, path: &Path, problems: &mut Problems) -> Option<PathBuf> {
    let Some(text) = extends.as_text() else {
        let problem =
            Problem::error(format!("`extends` is {}, but a text is expected", extends.what()));
        problems.push(problem.at(&extends.span, "the path of one recipe, relative to this file"));
        return None;
    };
    Some(path.parent().unwrap_or(Path::new("")).join(text))
}

/// Maximum size of a recipe in bytes.
const LARGEST: u64 = 16 << 20;

/// All bytes of a regular file; devices and pipes have no known end.
fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let kind = fs::metadata(path)?;
    if !kind.is_file() && !kind.is_dir() {
        return Err(io::Error::other("it is neither a file nor a folder; a recipe is a TOML file"));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large from one that just fits.
    fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other(format!(
            "it is larger than {} MiB; a recipe is a TOML file",
            LARGEST >> 20
        )));
    }
    Ok(bytes)
}

pub(super) fn read_text(path: &Path, shown: &str) -> Result<String, Box<Problem>> {
    let bytes = read_bytes(path).map_err(|error| {
        let (reason, near) = match error.kind() {
            io::ErrorKind::NotFound => ("there is no such file".to_owned(), neighbour(path)),
            io::ErrorKind::IsADirectory => {
                ("it is a folder; a recipe is a TOML file".to_owned(), None)
            }
            _ => (error.to_string(), None),
        };
        let problem = Problem::error(format!("cannot read `{shown}`: {reason}"));
        Box::new(match near {
            Some(near) => problem.help(format!(
                "did you mean `{}`?",
                Path::new(shown).with_file_name(near).display()
            )),
            None => problem,
        })
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let byte = error.utf8_error().valid_up_to();
        let problem =
            Problem::error(format!("`{shown}` is not a text file: byte {byte} is not UTF-8"));
        Box::new(problem.help("a recipe is TOML, written as UTF-8 text"))
    })
}

/// The position after the last newline that a `[` follows.
fn last_header(text: &[u8]) -> Option<usize> {
    text.windows(2).rposition(|pair| pair == b"\n[").map(|newline| newline + 1)
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
        let recipe = "extends = \"bases/b.toml\"\nname = \"a\"\nseeds = [1]\n[stage.x]\nn = \
        3\nmodel = \"y\"\n";
        let base =
            "extends = \"c.toml\"\nname = \"b\"\nseeds = [0, 2]\n[stage.x]\nn = 2\nbeta = 0.5\n";
        let first =
            "[stage.x]\nn = 1\nkind = \"k\"\nmodel = { path = \"m\" }\n[stage.y]\nkind = \"l\"\n";
        let files = [("a.toml", recipe), ("bases/b.toml", base), ("bases/c.toml", first)];
        let settings = [
            "stage.y.n=4",
            "stage.x.beta=much",
            "stage.y.n=5",
            "matrix.z=[1, \"b\"]",
            "stage.x.at=2020-01-01",
        ];
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
