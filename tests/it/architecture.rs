//! Architecture rules, checked on the sources: imports between rooms, where Burn, printing, clocks
//! and randomness are allowed, and sizes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{spanned::Spanned, visit::Visit};

mod circles;
mod counts;

/// Allowed imports of each room, besides `device`, `diagnostic`, `digest`, `rows` and `seed`. A
/// room that is missing here is an error.
const ARROWS: &[(&str, &[&str])] = &[
    ("device", &[]),
    ("diagnostic", &[]),
    ("digest", &[]),
    ("rows", &[]),
    ("seed", &[]),
    ("derive", &["recipe"]), // a crate of its own, whose macro writes paths of `recipe`
    ("recipe", &[]),
    ("store", &[]),
    ("remote", &["store"]),
    ("model", &[]),
    ("facts", &[]),
    ("world", &["facts"]),
    ("knowledge", &["facts"]),
    ("prompting", &["facts"]),
    ("endpoint", &["recipe", "store"]),
    ("verification", &["facts", "knowledge"]),
    ("evaluation", &["facts", "verification"]),
    ("preference", &["facts", "verification"]),
    ("judge", &["model", "prompting"]),
    ("tuning", &["model"]),
    ("footprint", &["model", "tuning"]),
    ("context", &["recipe", "store", "model"]),
    ("stage_support", &["recipe", "context", "endpoint", "model", "tuning", "verification"]),
    ("stage", &STAGE),
    ("preflight", &PREFLIGHT),
    ("bench", &["model"]),
    ("plan", &["recipe", "context"]),
    (
        "schedule",
        &["recipe", "context", "endpoint", "plan", "preflight", "remote", "stage", "store"],
    ),
    ("report", &["context", "evaluation", "schedule"]),
    ("cli", &CLI),
    ("lib.rs", &[]),
    ("main.rs", &["cli"]),
];
const STAGE: [&str; 15] = [
    "recipe",
    "context",
    "footprint",
    "stage_support",
    "model",
    "facts",
    "world",
    "knowledge",
    "verification",
    "evaluation",
    "preference",
    "prompting",
    "endpoint",
    "judge",
    "tuning",
];
const PREFLIGHT: [&str; 13] = [
    "recipe",
    "context",
    "footprint",
    "stage_support",
    "stage",
    "model",
    "facts",
    "world",
    "knowledge",
    "evaluation",
    "preference",
    "prompting",
    "tuning",
];
const CLI: [&str; 15] = [
    "recipe",
    "context",
    "endpoint",
    "footprint",
    "plan",
    "preflight",
    "schedule",
    "store",
    "remote",
    "stage",
    "report",
    "bench",
    "model",
    "tuning",
    "evaluation",
];

/// Rooms that every room may import; among themselves they only import earlier ones.
const WORDS: [&str; 5] = ["device", "diagnostic", "digest", "rows", "seed"];

/// Paths that only some places may name: subject, pattern, places.
const HOMES: &[(&str, &[&str], &[&str])] = &[
    ("Burn", &["burn", "burn_train", "burn_cuda", "cubecl"], &["model/", "tuning/", "bench/"]),
    ("random numbers", &["rand_core", "rand_chacha"], &["seed/"]),
    ("TOML", &["toml"], &["recipe/", "plan/", "stage/", "preflight/", "cli/"]),
    ("graphs", &["petgraph"], &["plan/", "schedule/", "cli/", "stage_support/"]),
    ("the terminal", &["indicatif", "comfy_table", "clap", "anyhow"], &["cli/", "main.rs"]),
    ("SQLite", &["rusqlite"], &["knowledge/"]),
    ("drawing", &["tiny_skia", "ttf_parser", "dejavu", "fdeflate"], &["report/figure/"]),
    ("HTTP", &["ureq", "object_store"], &["endpoint/", "remote/"]),
];

/// Places that read or write files, with the reason.
const FILES: &[(&str, &str)] = &[
    ("recipe/document.rs", "recipes, and the base recipes that they extend"),
    ("rows/json_lines.rs", "rows of all files between stages"),
    ("rows/parquet_rows.rs", "the same, as the hub keeps data sets"),
    ("knowledge/", "databases and dumps, which are no rows"),
    ("store/", "artifacts"),
    ("remote/", "artifacts on their way to another store"),
    ("model/", "checkpoints, tokenizers and adapters; memory and GPUs of the machine"),
    ("tuning/", "checkpoints and metrics of a training"),
    ("context/", "JSON and CSV files of artifacts; orphans of programs"),
    ("stage/", "files of users' programs and foreign formats"),
    ("stage_support/kept_rows.rs", "rows that an attempt keeps for the next one"),
    ("stage_support/optimisation.rs", "metrics that become part of an artifact"),
    ("preflight/", "files that a recipe names"),
    ("schedule/", "journals, and pipes of attempts"),
    ("report/", "pages, and the files that they show"),
    ("cli/", "what commands are asked to write"),
];

/// Files that read clocks, with the reason.
const CLOCKS: &[(&str, &str)] = &[
    ("schedule/", "runs, events and timeouts have times"),
    ("store/", "damaged artifacts are set aside under the time, and collection looks at ages"),
    ("tuning/loader.rs", "checkpoints are due after a time"),
    ("tuning/checkpoint.rs", "waiting for the metrics has an end"),
    ("context/guard.rs", "waiting for a program's orphans has an end"),
    ("endpoint/", "requests have a rate, retries wait, and calls are logged with their time"),
    ("cli/", "terminals show rates, benchmarks measure"),
];

const LONGEST_FUNCTION: usize = 70;
const LONGEST_FILE: usize = 500;
/// Longer functions and files, with the reason; empty.
const EXCEPTIONS: &[(&str, &str)] = &[];

struct Source {
    /// Below `src`, separated by `/`.
    path: String,
    text: String,
    tree: syn::File,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let read = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        let tree =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        Source { path, text, tree }
    };
    let sources: Vec<Source> = files.iter().map(read).collect();
    let tests: Vec<String> = sources.iter().flat_map(test_files).collect();
    sources
        .into_iter()
        .filter(|source| !tests.iter().any(|test| source.path.starts_with(test)))
        .collect()
}

/// Files that are modules for tests only, as the beginnings of their paths.
fn test_files(source: &Source) -> Vec<String> {
    let folder = match source.path.strip_suffix("mod.rs") {
        Some(folder) => folder.to_owned(),
        None => format!("{}/", source.path.trim_end_matches(".rs")),
    };
    let modules = source.tree.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if is_test(&module.attrs) && module.content.is_none() => {
            Some(module.ident.to_string())
        }
        _ => None,
    });
    modules.flat_map(|name| [format!("{folder}{name}.rs"), format!("{folder}{name}/")]).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Imports and definitions of a file, outside of its tests.
#[derive(Default)]
struct Findings {
    /// Paths as written: `crate::seed::Seed` is ["crate", "seed", "Seed"].
    paths: Vec<Vec<String>>,
    macros: Vec<String>,
    functions: Vec<(String, usize)>,
    /// First and last line of test modules.
    tests: Vec<(usize, usize)>,
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

impl Findings {
    fn of(source: &Source) -> Self {
        let mut findings = Self::default();
        findings.visit_file(&source.tree);
        findings
    }

    fn use_tree(&mut self, tree: &syn::UseTree, mut path: Vec<String>) {
        match tree {
            syn::UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.use_tree(&part.tree, path);
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.use_tree(item, path.clone()))
            }
            syn::UseTree::Name(name) => {
                path.push(name.ident.to_string());
                self.paths.push(path);
            }
            syn::UseTree::Rename(rename) => {
                path.push(rename.ident.to_string());
                self.paths.push(path);
            }
            syn::UseTree::Glob(_) => self.paths.push(path),
        }
    }

    fn function(&mut self, name: &syn::Ident, span: proc_macro2::Span) {
        self.functions.push((name.to_string(), span.end().line - span.start().line + 1));
    }
}

impl<'tree> Visit<'tree> for Findings {
    fn visit_item_mod(&mut self, item: &'tree syn::ItemMod) {
        if is_test(&item.attrs) {
            self.tests.push((item.span().start().line, item.span().end().line));
        } else {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'tree syn::ItemUse) {
        self.use_tree(&item.tree, Vec::new());
    }

    fn visit_path(&mut self, path: &'tree syn::Path) {
        self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'tree syn::Macro) {
        self.macros.push(item.path.segments.last().unwrap().ident.to_string());
        // Macro bodies are tokens; arguments that parse as expressions are visited.
        let parser = syn::punctuated::Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
        if let Ok(arguments) = syn::parse::Parser::parse2(parser, item.tokens.clone()) {
            arguments.iter().for_each(|argument| self.note_expression(argument));
        }
        syn::visit::visit_macro(self, item);
    }

    fn visit_item_fn(&mut self, item: &'tree syn::ItemFn) {
        if !is_test(&item.attrs) {
            self.function(&item.sig.ident, item.span());
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'tree syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            self.function(&item.sig.ident, item.span());
            syn::visit::visit_impl_item_fn(self, item);
        }
    }
}

impl Findings {
    fn note_expression(&mut self, expression: &syn::Expr) {
        let mut inner = Findings::default();
        inner.visit_expr(expression);
        self.paths.extend(inner.paths);
        self.macros.extend(inner.macros);
    }
}

fn room(path: &str) -> &str {
    path.split('/').next().unwrap()
}

fn complain(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn arrows_point_one_way() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut problems = Vec::new();
    let mut used = BTreeSet::new();
    for source in sources() {
        let from = room(&source.path);
        let Some(allowed) = arrows.get(from) else {
            problems.push(format!(
                "src/{}: the room `{from}` is not in the table of arrows",
                source.path
            ));
            continue;
        };
        for path in Findings::of(&source).paths {
            let to = match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["crate", to, ..] => to.to_owned(),
                ["apeft", to, ..] if from == "main.rs" => to.to_owned(),
                _ => continue,
            };
            let above = WORDS.iter().position(|word| *word == from);
            let is_word = WORDS
                .iter()
                .position(|word| *word == to)
                .is_some_and(|place| above.is_none_or(|above| place < above));
            used.insert((from.to_owned(), to.clone()));
            if to != from && !is_word && !allowed.contains(&to.as_str()) {
                problems.push(format!(
                    "src/{}: `{from}` must not know `{to}` ({})",
                    source.path,
                    path.join("::")
                ));
            }
        }
    }
    for (from, rooms) in ARROWS {
        for to in rooms.iter().filter(|to| !used.contains(&(from.to_string(), to.to_string()))) {
            problems.push(format!("`{from}` never imports `{to}`, which the table allows"));
        }
    }
    complain(problems);
}

/// Words in backquotes.
fn code_words(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_page_on_architecture_has_these_arrows() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let page = fs::read_to_string(page).unwrap();
    let mut rooms: BTreeSet<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let columns: Vec<&str> = row.split(" | ").collect();
        for room in code_words(columns[0]) {
            let (_, arrows) = ARROWS.iter().find(|(name, _)| *name == room).expect(room);
            let listed = code_words(columns[2]);
            assert_eq!(listed, arrows.iter().copied().collect(), "imports of `{room}`");
            rooms.remove(room);
        }
    }
    assert_eq!(rooms, BTreeSet::from(["lib.rs", "main.rs"]), "rooms without a row");
}

#[test]
fn the_table_of_arrows_has_no_circle() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    fn reaches(arrows: &BTreeMap<&str, &[&str]>, from: &str, goal: &str) -> bool {
        arrows[from].iter().any(|to| *to == goal || reaches(arrows, to, goal))
    }
    for room in arrows.keys() {
        assert!(!reaches(&arrows, room, room), "`{room}` leads back to itself");
    }
}

#[test]
fn everything_is_at_home() {
    let mut problems = Vec::new();
    let (mut clocks, mut files) = (BTreeSet::new(), BTreeSet::new());
    for source in sources() {
        let findings = Findings::of(&source);
        for (what, names, homes) in HOMES {
            let strays = findings
                .paths
                .iter()
                .any(|path| path.len() > 1 && names.contains(&path[0].as_str()));
            if strays && !homes.iter().any(|home| source.path.starts_with(home)) {
                problems.push(format!(
                    "src/{}: {what} belongs in {}",
                    source.path,
                    homes.join(", ")
                ));
            }
        }
        let prints = |name: &String| {
            ["print", "println", "eprint", "eprintln", "dbg"].contains(&name.as_str())
        };
        if findings.macros.iter().any(prints) {
            problems.push(format!(
                "src/{}: `println!` and the like panic on a closed pipe; see cli/output.rs",
                source.path
            ));
        }
        let reads_clock = |path: &Vec<String>| {
            path.len() > 1
                && path.ends_with(&["now".to_owned()])
                && ["Instant", "SystemTime"].contains(&path[path.len() - 2].as_str())
        };
        let opens_files = |path: &Vec<String>| {
            path.len() > 1 && (path[0] == "fs" || path[..2] == ["std".to_owned(), "fs".to_owned()])
        };
        let path = source.path.as_str();
        if findings.paths.iter().any(reads_clock) {
            match CLOCKS.iter().find(|(home, _)| path.starts_with(home)) {
                Some((home, _)) => drop(clocks.insert(*home)),
                None => problems.push(format!("src/{path}: say in CLOCKS why it reads a clock")),
            }
        }
        if findings.paths.iter().any(opens_files) {
            match FILES.iter().find(|(home, _)| path.starts_with(home)) {
                Some((home, _)) => drop(files.insert(*home)),
                None => problems.push(format!("src/{path}: say in FILES why it uses files")),
            }
        }
    }
    let unused = CLOCKS.iter().filter(|(home, _)| !clocks.contains(home));
    problems.extend(unused.map(|(home, _)| format!("src/{home} reads no clock")));
    let unused = FILES.iter().filter(|(home, _)| !files.contains(home));
    problems.extend(unused.map(|(home, _)| format!("src/{home} uses no files")));
    complain(problems);
}

#[test]
fn everything_fits_a_screen() {
    let excused = |name: &str| EXCEPTIONS.iter().any(|(excused, _)| *excused == name);
    let mut problems = Vec::new();
    for source in sources() {
        let findings = Findings::of(&source);
        let tests: usize = findings.tests.iter().map(|(first, last)| last - first + 1).sum();
        let lines = source.text.lines().count() - tests;
        if lines > LONGEST_FILE && !excused(&source.path) {
            problems.push(format!(
                "src/{}: {lines} lines without tests, more than {LONGEST_FILE}",
                source.path
            ));
        }
        for (name, lines) in findings.functions {
            if lines > LONGEST_FUNCTION && !excused(&format!("{}::{name}", source.path)) {
                problems.push(format!(
                    "src/{}: `{name}` has {lines} lines, more than {LONGEST_FUNCTION}",
                    source.path
                ));
            }
        }
    }
    complain(problems);
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut problems = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//! ") {
            problems
                .push(format!("src/{}: the first line must be a caption, `//! ...`", source.path));
        }
        if source.path.ends_with("mod.rs")
            && source.path != "cli/mod.rs"
            && !Findings::of(&source).functions.is_empty()
        {
            problems.push(format!(
                "src/{}: a mod.rs is a caption and re-exports, without functions",
                source.path
            ));
        }
        for word in ["TODO", "FIXME", "XXX"] {
            if source.text.contains(word) {
                problems.push(format!("src/{}: says {word}", source.path));
            }
        }
    }
    complain(problems);
}
