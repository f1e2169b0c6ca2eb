//! The vocabulary of all texts: help, descriptions, messages, comments and pages follow
//! `docs/STYLE.md`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use proc_macro2::{TokenStream, TokenTree};
use regex::Regex;
use serde_json::Value;

use crate::said;

/// Words that the glossary replaces, as regular expressions over lower-case text.
const FORBIDDEN: [&str; 28] = [
    r"\bso many\b",
    r"\bof (ours|yours)\b",
    r"\bby (itself|themselves)\b",
    r"\bat home\b",
    r"\bhome and away\b",
    r"\b(goes|going|go|gone) on from\b",
    r"\b(is|are) not there\b",
    r"\bnot there yet\b",
    r"\banew\b",
    r"\b(its|the|frozen) start of the tuning\b",
    r"\b(held to|of|from) its start\b",
    r"\blikelier\b",
    r"\bwronger\b",
    r"\baloud\b",
    r"\bsays (what|which|plainly|nothing of)\b",
    r"\bsay nothing of\b",
    r"\bwhat there is\b",
    r"\bwhat is (not )?there\b",
    r"\ba defect in\b",
    r"\bas it was left\b",
    r"\bmoved aside\b",
    r"\bin a circle\b",
    r"\bwhere nothing is said\b",
    r"\bend tokens?\b",
    r"\bunder way\b",
    r"\b(facts an answer|nats a token)\b",
    r"\b(chosen|rejected|desirable|undesirable|greedy) answers?\b",
    r"\b(per answer|prompt and answer|facts of answers)\b",
];

/// Longest line of help and longest description, in characters.
const LONGEST: usize = 100;

/// Pages that quote forbidden words.
const QUOTING: [&str; 1] = ["docs/STYLE.md"];

/// A text with its location.
struct Text {
    place: String,
    text: String,
}

impl Text {
    fn new(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { place: place.into(), text: text.into() }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Fails with a line for each forbidden word.
fn check_words(texts: &[Text]) {
    let patterns: Vec<Regex> =
        FORBIDDEN.iter().map(|pattern| Regex::new(pattern).unwrap()).collect();
    let mut found = BTreeSet::new();
    for Text { place, text } in texts {
        let lower = text.to_lowercase();
        let lower = lower.split_whitespace().collect::<Vec<_>>().join(" ");
        found.extend(
            patterns
                .iter()
                .filter_map(|pattern| Some(format!("{place}: {}", pattern.find(&lower)?.as_str()))),
        );
    }
    let list: Vec<String> = found.into_iter().collect();
    assert!(
        list.is_empty(),
        "{} forbidden words (see docs/STYLE.md):\n{}",
        list.len(),
        list.join("\n")
    );
}

/// Fails with a line for each text that is too long.
fn check_lengths(texts: &[Text]) {
    let long = texts.iter().filter(|text| text.text.chars().count() > LONGEST);
    let long: Vec<String> = long.map(|text| format!("{}: {}", text.place, text.text)).collect();
    assert!(
        long.is_empty(),
        "{} texts of more than {LONGEST} characters:\n{}",
        long.len(),
        long.join("\n")
    );
}

/// Output of the program.
fn output_of(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_apeft")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", said::words(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Lines of the help of a command and, recursively, of its subcommands.
fn collect_help(command: &[&str], lines: &mut Vec<Text>) {
    let help = output_of(&[command, &["--help"]].concat());
    let place = format!("apeft {}", command.join(" "));
    let mut in_commands = false;
    for line in help.lines() {
        let line = line.trim_end();
        lines.push(Text::new(&place, line.split("[default:").next().unwrap_or(line).trim()));
        let subcommand = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '));
        in_commands = line == "Commands:" || in_commands && !line.is_empty();
        if let (true, Some(name)) =
            (in_commands, subcommand.and_then(|rest| rest.split(' ').next()))
            && name != "help"
        {
            collect_help(&[command, &[name]].concat(), lines);
        }
    }
}

/// Descriptions of kinds, inputs and parameters, by their path in the schema.
fn collect_descriptions(value: &Value, place: &str, texts: &mut Vec<Text>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get("description") {
                texts.push(Text::new(place, text));
            }
            fields.iter().for_each(|(name, field)| {
                collect_descriptions(field, &format!("{place}/{name}"), texts)
            });
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_descriptions(item, &format!("{place}/{index}"), texts);
            }
        }
        _ => {}
    }
}

/// Files of these extensions below a folder of the repository.
fn files(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let has_extension =
                path.extension().is_some_and(|found| extensions.iter().any(|one| found == *one));
            if path.is_dir() {
                folders.push(path);
            } else if has_extension {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// String literals and doc comments of tokens, by line.
fn collect_literals(tokens: TokenStream, path: &str, texts: &mut Vec<Text>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => collect_literals(group.stream(), path, texts),
            TokenTree::Literal(literal) => {
                let line = literal.span().start().line;
                if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                    texts.push(Text::new(format!("{path}:{line}"), text.value()));
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

/// Comments of a file whose lines begin with this mark.
fn collect_comments(text: &str, mark: &str, path: &str, texts: &mut Vec<Text>) {
    let lines = text
        .lines()
        .enumerate()
        .filter_map(|(index, line)| Some((index + 1, line.trim().strip_prefix(mark)?)));
    texts.extend(lines.map(|(line, comment)| Text::new(format!("{path}:{line}"), comment)));
}

#[test]
fn help_uses_the_glossary_and_short_lines() {
    let mut lines = Vec::new();
    collect_help(&[], &mut lines);
    assert!(lines.iter().any(|line| line.place == "apeft cache gc"), "subcommands were not found");
    check_words(&lines);
    check_lengths(&lines);
}

/// Examples in the help of a command, each without its redirection or pipe.
fn examples(command: &str) -> Vec<String> {
    let help = output_of(&[command, "--help"]);
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    let lines = lines.take_while(|line| line.starts_with("  "));
    let ends = Regex::new(" [|>] .*").unwrap();
    lines.map(|line| ends.replace(line.trim(), "").into_owned()).collect()
}

#[test]
fn examples_that_need_no_model_and_no_run_succeed() {
    let program = Path::new(env!("CARGO_BIN_EXE_apeft"));
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let store = tempfile::tempdir().unwrap();
    for command in ["validate", "plan", "explain", "dag", "kinds", "schema", "doctor"] {
        let examples = examples(command);
        assert!(!examples.is_empty(), "`apeft {command}` has no examples");
        for example in examples {
            let output = Command::new("sh")
                .args(["-c", &example])
                .current_dir(root())
                .env("PATH", &path)
                .env("APEFT_CACHE", store.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "{example}: {}", said::words(&output));
        }
    }
}

#[test]
fn descriptions_of_kinds_and_parameters_are_short() {
    let schema: Value = serde_json::from_str(&output_of(&["schema"])).unwrap();
    let mut texts = Vec::new();
    collect_descriptions(&schema, "", &mut texts);
    assert!(texts.len() > 200, "only {} descriptions", texts.len());
    check_words(&texts);
    // The schema appends the accepted artifact type of an input.
    let end = Regex::new(r" \([a-z ]+\)\.$").unwrap();
    texts.iter_mut().for_each(|text| text.text = end.replace(&text.text, ".").into_owned());
    check_lengths(&texts);
}

#[test]
fn sources_use_the_glossary() {
    let mut texts = Vec::new();
    for file in files("src", &["rs"]) {
        let (path, text) = (shown(&file), fs::read_to_string(&file).unwrap());
        collect_literals(text.parse().unwrap(), &path, &mut texts);
        collect_comments(&text, "//", &path, &mut texts);
    }
    check_words(&texts);
}

#[test]
fn recipes_and_pages_use_the_glossary() {
    let mut texts = Vec::new();
    for file in [files("recipes", &["toml"]), files("src/cli/starter", &["toml"])].concat() {
        collect_comments(&fs::read_to_string(&file).unwrap(), "#", &shown(&file), &mut texts);
    }
    let pages =
        ["docs", "recipes", "experiments", "benches"].map(|folder| files(folder, &["md"])).concat();
    for file in
        pages.into_iter().chain(["README.md", "ARCHITECTURE.md"].map(|page| root().join(page)))
    {
        let path = shown(&file);
        if !QUOTING.contains(&path.as_str()) {
            // Paragraphs, since phrases may span lines.
            let text = fs::read_to_string(&file).unwrap();
            texts.extend(text.split("\n\n").map(|paragraph| Text::new(&path, paragraph)));
        }
    }
    check_words(&texts);
}
