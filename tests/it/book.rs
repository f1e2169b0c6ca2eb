//! The book (`docs/`) and the other pages: every command runs, every recipe is valid, every link
//! leads somewhere, and every path that they name exists.
//!
//! What a page shows is by its form:
//!
//! | form | test |
//! | --- | --- |
//! | `sh` block | Runs with `sh -e`, in the page's own folder. |
//! | `console` block | Each line after `$ ` runs, and prints what follows; `...` stands for any lines. |
//! | block after a line `` `NAME`: `` | Becomes that file; a recipe is validated. |
//! | `rust` block after such a line | An excerpt of that file of the repository. |
//! | other `toml` block | Part of a recipe that extends the quickstart, validated. |
//! | command block after `<!-- not run: REASON -->` | Is not run. |

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fmt, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use regex::Regex;

/// Pages outside of `docs/`.
const OTHER_PAGES: [&str; 4] =
    ["README.md", "ARCHITECTURE.md", "recipes/README.md", "experiments/README.md"];

/// Pages whose commands are run, besides `docs/`.
const OTHER_RUN_PAGES: [&str; 1] = ["README.md"];

/// Maximum number of blocks that are not run.
const MOST_NOT_RUN: usize = 12;

/// Lines of a guide: two screens.
const LONGEST_GUIDE: usize = 120;

/// A fenced block of a page.
#[derive(Debug)]
struct Block {
    page: String,
    /// Number of its first line, from 1.
    line: usize,
    language: String,
    text: String,
    /// The nearest line of text before it.
    before: String,
}

/// The lines of a page outside of fenced blocks, with their numbers, and the blocks.
struct Page {
    name: String,
    prose: Vec<(usize, String)>,
    blocks: Vec<Block>,
}

impl fmt::Display for Block {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}:{}", self.page, self.line)
    }
}

impl Page {
    fn read(name: &str) -> Self {
        let text = fs::read_to_string(root().join(name)).unwrap();
        let mut page = Self { name: name.to_owned(), prose: Vec::new(), blocks: Vec::new() };
        let mut open: Option<Block> = None;
        let mut before = String::new();
        for (index, line) in text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (&mut open, fence) {
                (Some(_), Some(_)) => page.blocks.extend(open.take()),
                (Some(block), None) => block.text.push_str(&format!("{line}\n")),
                (None, Some(language)) => {
                    let (page, line) = (name.to_owned(), index + 2);
                    let (language, before) = (language.to_owned(), before.clone());
                    open = Some(Block { page, line, language, text: String::new(), before });
                }
                (None, None) => {
                    if !line.trim().is_empty() {
                        line.trim().clone_into(&mut before);
                    }
                    page.prose.push((index + 1, line.to_owned()));
                }
            }
        }
        assert!(open.is_none(), "{name}: the last block has no end");
        page
    }

    /// Anchors of its headings, as GitHub and mdBook make them.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose.iter().filter(|(_, line)| line.starts_with('#'));
        headings.map(|(_, line)| anchor(line.trim_start_matches('#'))).collect()
    }
}

impl Block {
    /// The file that it is, by the line before it.
    fn file(&self) -> Option<&str> {
        let name = self.before.strip_prefix('`')?.strip_suffix("`:")?;
        (!name.contains('`')).then_some(name)
    }

    /// Why it is not run.
    fn not_run(&self) -> Option<&str> {
        self.before.strip_prefix("<!-- not run:")?.strip_suffix("-->").map(str::trim)
    }

    fn is_command(&self) -> bool {
        ["sh", "console"].contains(&self.language.as_str())
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn anchor(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
    heading.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

/// Files with an extension below a folder of the repository, relative to the repository.
fn files(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == extension) {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn docs() -> Vec<Page> {
    files("docs", "md").iter().map(|name| Page::read(name)).collect()
}

fn pages() -> Vec<Page> {
    docs().into_iter().chain(OTHER_PAGES.map(Page::read)).collect()
}

/// Fails with all problems.
fn expect_none(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, to).unwrap();
        }
    }
}

/// The folder in which a page's commands run: like a checkout with the program on PATH, with a
/// small quickstart, and with a model, prompts and knowledge of the reader's.
struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        for part in ["recipes", "python", "tests/data/tiny-llama"] {
            copy(&root().join(part), &project.path(part));
        }
        let small = root().join("tests/data/book/quickstart.toml");
        fs::rename(project.path("recipes/quickstart.toml"), project.path("recipes/full.toml"))
            .unwrap();
        fs::copy(small, project.path("recipes/quickstart.toml")).unwrap();
        copy(&root().join("tests/data/tiny-llama"), &project.path("models/my-llama"));
        let file = root().join("tests/data/gguf/llama.gguf");
        fs::copy(file, project.path("models/my-llama.gguf")).unwrap();
        for (from, to) in
            [("tests/data/book", "prompts.jsonl"), ("src/cli/starter", "knowledge.jsonl")]
        {
            fs::copy(root().join(from).join(to), project.path(to)).unwrap();
        }
        fs::create_dir(project.path(".bin")).unwrap();
        symlink(env!("CARGO_BIN_EXE_apeft"), project.path(".bin/apeft")).unwrap();
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a script; its output, stdout and stderr as they come, and whether it succeeded.
    fn run(&self, script: &str) -> (String, bool) {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = [self.path(".bin")].into_iter().chain(env::split_paths(&path));
        let output = Command::new("sh")
            .args(["-e", "-c", &format!("exec 2>&1\n{script}")])
            .current_dir(self.folder.path())
            .env("PATH", env::join_paths(folders).unwrap())
            .env_remove("APEFT_CACHE")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
    }

    /// Carries out a block; what went wrong.
    fn carry_out(&self, block: &Block) -> Result<(), String> {
        match (block.language.as_str(), block.file()) {
            ("sh" | "console", _) if block.not_run().is_some() => Ok(()),
            ("sh", _) => self.run_all(block),
            ("console", _) => self.compare(block),
            ("rust", Some(file)) => excerpt(block, file),
            ("rust", None) => Err("an excerpt begins with the line `FILE`:".to_owned()),
            (language, Some(file)) => {
                let path = self.path(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, &block.text).unwrap();
                if language == "toml" { self.validate(file) } else { Ok(()) }
            }
            ("toml", None) => {
                let beginning =
                    "name = \"fragment\"\nextends = \"recipes/quickstart.toml\"\n".to_owned();
                fs::write(self.path("fragment.toml"), beginning + &block.text).unwrap();
                self.validate("fragment.toml")
            }
            _ => Ok(()),
        }
    }

    fn run_all(&self, block: &Block) -> Result<(), String> {
        let (output, is_ok) = self.run(&block.text);
        if is_ok { Ok(()) } else { Err(format!("a command failed:\n{}", shortened(&output))) }
    }

    /// Runs the commands of a `console` block and compares what they print.
    fn compare(&self, block: &Block) -> Result<(), String> {
        let mut commands: Vec<(String, Vec<&str>)> = Vec::new();
        for line in block.text.lines() {
            match (line.strip_prefix("$ "), line.strip_prefix("> "), commands.last_mut()) {
                (Some(command), ..) => commands.push((command.to_owned(), Vec::new())),
                (None, Some(more), Some((command, shown)))
                    if shown.is_empty() && command.ends_with('\\') =>
                {
                    command.push_str(&format!("\n{more}"));
                }
                (None, _, Some((_, shown))) => shown.push(line),
                (None, _, None) => return Err("the first line is not `$ COMMAND`".to_owned()),
            }
        }
        for (command, shown) in commands {
            let (output, is_ok) = self.run(&command);
            if !is_ok {
                return Err(format!("`{command}` failed:\n{}", shortened(&output)));
            }
            if !shown.is_empty() {
                compare_lines(&shown, &output)
                    .map_err(|why| format!("`{command}`: {why}; of:\n{}", shortened(&output)))?;
            }
        }
        Ok(())
    }

    fn validate(&self, recipe: &str) -> Result<(), String> {
        let (output, is_ok) = self.run(&format!("apeft validate {recipe}"));
        if is_ok { Ok(()) } else { Err(format!("`{recipe}` is invalid:\n{}", shortened(&output))) }
    }
}

/// The first and the last lines of a long output.
fn shortened(output: &str) -> String {
    const SHOWN: usize = 12;
    let lines: Vec<&str> = output.lines().collect();
    if lines.len() <= 2 * SHOWN {
        return output.to_owned();
    }
    [&lines[..SHOWN], &["..."], &lines[lines.len() - SHOWN..]].concat().join("\n")
}

/// Compares shown lines with an output, except what differs between machines and runs. `...` stands
/// for any lines.
fn compare_lines(shown: &[&str], output: &str) -> Result<(), String> {
    let printed: Vec<String> = output.lines().map(without_chance).collect();
    let (mut at, mut may_skip) = (0, false);
    for line in shown {
        if line.trim() == "..." {
            may_skip = true;
            continue;
        }
        let wanted = without_chance(line);
        let rest = printed.get(at..).unwrap_or_default();
        let found = rest.iter().position(|line| *line == wanted);
        match found {
            Some(after) if after == 0 || may_skip => at += after + 1,
            _ => return Err(format!("line {} is not `{line}`", at + 1)),
        }
        may_skip = false;
    }
    if may_skip || at == printed.len() {
        Ok(())
    } else {
        Err(format!("line {} is not shown", at + 1))
    }
}

/// A line in which dates, keys, amounts with a unit, fractions and runs of spaces are replaced.
fn without_chance(line: &str) -> String {
    static REPLACED: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        [
            (r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(-\d+)?", "DATE"),
            (r"\b[0-9a-f]{12,64}\b", "KEY"),
            (r"\bcpu(\+\w+)+", "BACKEND"),
            (r"\d+(\.\d+)? (s|min|h|B|kB|MB|GB|GiB)\b", "AMOUNT"),
            (r"[+-]?\d+\.\d+", "FRACTION"),
            (r"\s+", " "),
        ]
        .map(|(pattern, by)| (Regex::new(pattern).unwrap(), by))
        .into()
    });
    let mut line = line.trim_end().to_owned();
    for (pattern, by) in REPLACED.iter() {
        line = pattern.replace_all(&line, *by).into_owned();
    }
    line
}

/// Whether the block's lines follow each other in a file of the repository, in any indentation.
fn excerpt(block: &Block, file: &str) -> Result<(), String> {
    let bare = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let source = fs::read_to_string(root().join(file)).map_err(|why| format!("{file}: {why}"))?;
    if bare(&source).contains(&bare(&block.text)) {
        Ok(())
    } else {
        Err(format!("this is not in `{file}`"))
    }
}

/// Carries out all blocks of a page, up to the first that fails.
fn carry_out(page: &Page) -> Option<String> {
    if page.blocks.iter().all(|block| block.language == "text") {
        return None;
    }
    let project = Project::new();
    let mut tried = page.blocks.iter().map(|block| (block, project.carry_out(block)));
    tried.find_map(|(block, done)| Some(format!("{block}: {}", done.err()?)))
}

#[test]
fn commands_run_and_recipes_are_valid() {
    let pages: Vec<Page> = docs().into_iter().chain(OTHER_RUN_PAGES.map(Page::read)).collect();
    let commands = pages.iter().flat_map(|page| &page.blocks).filter(|block| block.is_command());
    assert!(commands.count() > 20, "the book has fewer commands than it had");
    // Two at a time, since most of a page's time is spent starting processes.
    let next = AtomicUsize::new(0);
    let work = || {
        let mut problems = Vec::new();
        while let Some(page) = pages.get(next.fetch_add(1, Ordering::Relaxed)) {
            problems.extend(carry_out(page));
        }
        problems
    };
    let problems = thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers.map(|worker| worker.join().unwrap()).concat()
    });
    expect_none(&problems);
}

#[test]
fn few_commands_are_not_run_and_each_has_a_reason() {
    let pages = pages();
    let mut problems = Vec::new();
    let mut count = 0;
    for block in pages.iter().flat_map(|page| &page.blocks) {
        let Some(reason) = block.not_run() else { continue };
        count += 1;
        if !block.is_command() || reason.split_whitespace().count() < 2 {
            problems.push(format!("{block}: a reason of a command is expected, not `{reason}`"));
        }
    }
    expect_none(&problems);
    assert!(count <= MOST_NOT_RUN, "{count} blocks are not run; at most {MOST_NOT_RUN} may be");
}

#[test]
fn links_lead_somewhere() {
    static LINK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\]\(([^)\s]+)\)").unwrap());
    let mut anchors: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    let mut problems = Vec::new();
    let (pages, mut count) = (pages(), 0);
    for page in &pages {
        anchors.insert(root().join(&page.name).canonicalize().unwrap(), page.anchors());
    }
    for page in &pages {
        let folder = root().join(&page.name).parent().unwrap().to_owned();
        for (line, text) in &page.prose {
            for link in LINK.captures_iter(text).map(|found| found.get(1).unwrap().as_str()) {
                if link.contains("://") {
                    continue;
                }
                count += 1;
                let (path, heading) = link.split_once('#').unwrap_or((link, ""));
                let target =
                    if path.is_empty() { root().join(&page.name) } else { folder.join(path) };
                let Ok(target) = target.canonicalize() else {
                    problems.push(format!("{}:{line}: `{path}` does not exist", page.name));
                    continue;
                };
                let is_known = anchors.get(&target).is_some_and(|known| known.contains(heading));
                if !heading.is_empty() && !is_known {
                    problems.push(format!("{}:{line}: `{link}` has no such heading", page.name));
                }
            }
        }
    }
    expect_none(&problems);
    assert!(count > 50, "only {count} links were found");
}

#[test]
fn named_paths_exist() {
    static CODE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"`([\w./-]+)`").unwrap());
    let (mut problems, mut count) = (Vec::new(), 0);
    for page in pages() {
        let folder = root().join(&page.name).parent().unwrap().to_owned();
        let places = [root().to_owned(), root().join("src"), folder];
        for (line, text) in &page.prose {
            for path in CODE.captures_iter(text).map(|found| found.get(1).unwrap().as_str()) {
                if !is_of_the_repository(path) {
                    continue;
                }
                count += 1;
                if !places.iter().any(|place| place.join(path).exists()) {
                    problems.push(format!("{}:{line}: `{path}` does not exist", page.name));
                }
            }
        }
    }
    expect_none(&problems);
    assert!(count > 40, "only {count} paths were found");
}

/// Whether a text in code letters is a path of the repository: it begins with one of its folders,
/// or of a room, or is a source file.
fn is_of_the_repository(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    let is_below = ["src", "tests", "docs", "recipes", "benches", ".ci"].contains(&first)
        || root().join("src").join(first).is_dir() && path.contains('.');
    is_below && path.contains('/') || path.ends_with(".rs") || path == "justfile"
}

#[test]
fn every_page_is_in_the_summary() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let is_missing = |name: &String| {
        let name = name.strip_prefix("docs/").unwrap();
        name != "SUMMARY.md" && !summary.contains(&format!("]({name})"))
    };
    let missing: Vec<String> = files("docs", "md").into_iter().filter(is_missing).collect();
    expect_none(&missing);
}

#[test]
fn guides_fit_two_screens() {
    let mut problems = Vec::new();
    for name in files("docs/guides", "md") {
        let lines = fs::read_to_string(root().join(&name)).unwrap().lines().count();
        if lines > LONGEST_GUIDE {
            problems.push(format!("{name} has {lines} lines; at most {LONGEST_GUIDE} fit"));
        }
    }
    expect_none(&problems);
}
