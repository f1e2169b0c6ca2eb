//! The house's rules, read off the sources: who imports whom, where Burn, printing, clocks and chance live, what fits a screen.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use syn::{spanned::Spanned, visit::Visit};

/// What each room may import of ours, beside the words of `diagnostic`, `digest`, `language` and `seed`, which are free
/// to all. A room that is missing here is an error, so that nobody moves in unseen.
const ARROWS: &[(&str, &[&str])] = &[
    ("diagnostic", &[]),
    ("digest", &[]),
    ("language", &[]),
    ("seed", &[]),
    ("recipe", &[]),
    ("store", &[]),
    ("model", &[]),
    ("facts", &[]),
    ("knowledge", &["facts"]),
    ("verification", &["facts", "knowledge"]),
    ("evaluation", &["facts", "verification"]),
    ("preference", &["facts", "verification", "evaluation"]),
    ("tuning", &["model"]),
    (
        "stage",
        &["recipe", "store", "model", "facts", "knowledge", "verification", "evaluation", "preference", "tuning"],
    ),
    ("plan", &["recipe", "stage"]),
    ("schedule", &["recipe", "plan", "stage", "store"]),
    ("report", &["store", "evaluation", "schedule", "stage"]),
    ("cli", &["recipe", "plan", "schedule", "store", "stage", "report", "model", "tuning", "evaluation"]),
    ("lib.rs", &[]),
    ("main.rs", &["cli"]),
];

/// The words that every room may use; among themselves they only look upwards.
const WORDS: [&str; 4] = ["diagnostic", "digest", "language", "seed"];

/// Paths that only some places may name: what it is, how a path shows it, where it is at home.
const HOMES: &[(&str, &[&str], &[&str])] = &[
    ("Burn", &["burn", "burn_train", "burn_cuda", "cubecl"], &["model/", "tuning/"]),
    ("random numbers", &["rand_core", "rand_chacha"], &["seed/"]),
    ("TOML", &["toml"], &["recipe/", "plan/", "stage/", "cli/"]),
    ("graphs", &["petgraph"], &["plan/", "schedule/", "cli/"]),
    ("the terminal", &["indicatif", "comfy_table", "clap", "anyhow"], &["cli/", "main.rs"]),
    ("SQLite", &["rusqlite"], &["knowledge/"]),
];

/// Clocks, each with the reason why its file reads one.
const CLOCKS: &[(&str, &str)] = &[
    ("schedule/", "runs, events and timeouts have times"),
    ("store/", "damaged artifacts are set aside under the time, and collection looks at ages"),
    ("tuning/loader.rs", "a checkpoint is due after so many seconds"),
    ("tuning/checkpoint.rs", "waiting for the metrics has an end"),
    ("stage/", "checkpoints of long stages are due after so many seconds"),
    ("cli/", "terminals show rates, benchmarks measure"),
    ("report/", "a report says when it was made"),
];

const LONGEST_FUNCTION: usize = 70;
const LONGEST_FILE: usize = 500;
/// Functions and files that are longer, each with the reason; it starts empty and stays so.
const EXCEPTIONS: &[(&str, &str)] = &[];

struct Source {
    /// Below `src`, with `/`.
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
        let tree = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        Source { path, text, tree }
    };
    files.iter().map(read).collect()
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

/// What a file outside its tests names and defines.
#[derive(Default)]
struct Findings {
    /// Paths, as far as they are written: `crate::seed::Seed` is ["crate", "seed", "Seed"].
    paths: Vec<Vec<String>>,
    macros: Vec<String>,
    functions: Vec<(String, usize)>,
    /// First line and last line of test modules.
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
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.use_tree(item, path.clone())),
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
        // Macro bodies are tokens; arguments that are expressions are read as such.
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
    for source in sources() {
        let from = room(&source.path);
        let Some(allowed) = arrows.get(from) else {
            problems.push(format!("src/{}: the room `{from}` is not in the table of arrows", source.path));
            continue;
        };
        for path in Findings::of(&source).paths {
            let to = match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["crate", to, ..] => to.to_owned(),
                ["apeft", to, ..] if from == "main.rs" => to.to_owned(),
                _ => continue,
            };
            let above = WORDS.iter().position(|word| *word == from);
            let is_word =
                WORDS.iter().position(|word| *word == to).is_some_and(|place| above.is_none_or(|above| place < above));
            if to != from && !is_word && !allowed.contains(&to.as_str()) {
                problems.push(format!("src/{}: `{from}` must not know `{to}` ({})", source.path, path.join("::")));
            }
        }
    }
    complain(problems);
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
    for source in sources() {
        let findings = Findings::of(&source);
        for (what, names, homes) in HOMES {
            let strays = findings.paths.iter().any(|path| path.len() > 1 && names.contains(&path[0].as_str()));
            if strays && !homes.iter().any(|home| source.path.starts_with(home)) {
                problems.push(format!("src/{}: {what} belongs in {}", source.path, homes.join(", ")));
            }
        }
        let prints = |name: &String| ["print", "println", "eprint", "eprintln", "dbg"].contains(&name.as_str());
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
        if findings.paths.iter().any(reads_clock) && !CLOCKS.iter().any(|(home, _)| source.path.starts_with(home)) {
            problems.push(format!("src/{}: a clock is read here; say why in the table of clocks", source.path));
        }
    }
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
            problems.push(format!("src/{}: {lines} lines without tests, more than {LONGEST_FILE}", source.path));
        }
        for (name, lines) in findings.functions {
            if lines > LONGEST_FUNCTION && !excused(&format!("{}::{name}", source.path)) {
                problems.push(format!("src/{}: `{name}` has {lines} lines, more than {LONGEST_FUNCTION}", source.path));
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
            problems.push(format!("src/{}: the first line must be a caption, `//! ...`", source.path));
        }
        if source.path.ends_with("mod.rs") && source.path != "cli/mod.rs" && !Findings::of(&source).functions.is_empty()
        {
            problems.push(format!("src/{}: a mod.rs is a caption and re-exports, without functions", source.path));
        }
        for word in ["TODO", "FIXME", "XXX"] {
            if source.text.contains(word) {
                problems.push(format!("src/{}: says {word}", source.path));
            }
        }
    }
    complain(problems);
}
