//! The generated pages of `docs/reference/`, written from the declarations that help, validation
//! and the readers of files use.
//!
//! Renew them with `UPDATE_EXPECT=1 cargo test --release --test it reference`.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use apeft::{
    evaluation::{AGREEMENT_MEASURES, MEASURES, SHIFT_MEASURES},
    recipe::KindReference,
    stage::registry::catalogue,
};
use syn::{Attribute, Expr, Fields, GenericArgument, Item, Lit, Member, Meta, PathArguments, Type};

/// Beginning and end of the table that the code writes into the page of algorithms.
const ALGORITHMS: (&str, &str) = (" renews it -->\n", "<!-- end of algorithms -->");

#[test]
fn the_page_of_kinds_is_current() {
    let catalogue = catalogue();
    let mut page = "# Kinds of stages\n\nGenerated from the declarations in `src/stage` by \
        `tests/it/reference.rs`; `apeft kinds KIND` shows the same. [Artifacts and \
        files](files.md) describes the types of inputs; \
        every kind also has the [common fields](recipes.md#fields-of-every-stage).\n"
        .to_owned();
    for name in catalogue.names() {
        page.push('\n');
        page.push_str(&KindReference::of(&catalogue.find(name).unwrap()).markdown());
    }
    for table in catalogue.tables() {
        page.push('\n');
        page.push_str(&KindReference::of_table(table).markdown());
    }
    expect_test::expect_file!["../../docs/reference/kinds.md"].assert_eq(&page);
}

#[test]
fn the_table_of_algorithms_is_current() {
    let page = root().join("docs/reference/algorithms.md");
    let text = fs::read_to_string(page).unwrap();
    let (head, rest) = text.split_once(ALGORITHMS.0).unwrap();
    let (_, tail) = rest.split_once(ALGORITHMS.1).unwrap();
    let table = apeft::tuning::algorithms_table();
    let current = format!("{head}{}{table}{}{tail}", ALGORITHMS.0, ALGORITHMS.1);
    expect_test::expect_file!["../../docs/reference/algorithms.md"].assert_eq(&current);
}

#[test]
fn the_page_of_commands_is_current() {
    let mut page = "# Commands\n\nGenerated from the help of every command by \
        `tests/it/reference.rs`. [Exit status](exit-status.md) lists what a command returns.\n"
        .to_owned();
    add_help(&[], &mut page);
    expect_test::expect_file!["../../docs/reference/commands.md"].assert_eq(&page);
}

/// The help of a command and, recursively, of its subcommands.
fn add_help(command: &[&str], page: &mut String) {
    let output = Command::new(env!("CARGO_BIN_EXE_apeft"))
        .args(command)
        .arg("--help")
        .env_remove("APEFT_CACHE")
        .env_remove("COLUMNS")
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?}");
    let help = String::from_utf8(output.stdout).unwrap();
    let heading = [&["apeft"], command].concat().join(" ");
    write!(page, "\n## {heading}\n\n```text\n").unwrap();
    help.trim_end().lines().for_each(|line| *page += &format!("{}\n", line.trim_end()));
    page.push_str("```\n");
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    for line in listed.take_while(|line| !line.is_empty()) {
        let name = line.trim_start().split(' ').next().unwrap();
        if line.starts_with("  ") && !line.starts_with("   ") && name != "help" {
            add_help(&[command, &[name]].concat(), page);
        }
    }
}

#[test]
fn the_page_of_files_is_current() {
    let mut page = "# Artifacts and files\n\nGenerated from the declarations of types and rows in \
        `src` by `tests/it/reference.rs`.\n\nAn artifact is a folder of ordinary files. Its \
        type is what another stage reads it as: one artifact can serve as several types, such as \
        a model and its metrics. A file or folder of the same form can stand in its place: \
        `prompts = { path = \"prompts.jsonl\" }`.\n"
        .to_owned();
    add_artifact_types(&mut page);
    add_rows(&mut page);
    add_measures(&mut page);
    expect_test::expect_file!["../../docs/reference/files.md"].assert_eq(&page);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All items of the sources in a folder, in the order of their files' names.
fn items(folder: &str) -> Vec<Item> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let read = |path: &PathBuf| syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap().items;
    paths.iter().flat_map(read).collect()
}

/// The first paragraph of a doc comment, in one line.
fn doc(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let Meta::NameValue(pair) = &attribute.meta
            && let Some(text) = literal(&pair.value)
        {
            lines.push(text.trim().to_owned());
        }
    }
    let paragraph = lines.into_iter().take_while(|line| !line.is_empty());
    paragraph.collect::<Vec<_>>().join(" ")
}

fn literal(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

fn add_artifact_types(page: &mut String) {
    page.push_str(
        "\n## Artifact types\n\n| type | meaning | files | made by | read by |\n| --- | --- | --- \
        | --- | --- |\n",
    );
    let catalogue = catalogue();
    for item in items("src") {
        let Item::Const(item) = item else { continue };
        let (Type::Path(of), Expr::Struct(value)) = (&*item.ty, &*item.expr) else { continue };
        if of.path.segments.last().is_none_or(|last| last.ident != "ArtifactType") {
            continue;
        }
        let is_name = |field: &&syn::FieldValue| matches!(&field.member, Member::Named(name) if name == "name");
        let name = literal(&value.fields.iter().find(is_name).unwrap().expr).unwrap();
        let kinds = catalogue.kinds.iter();
        let makers = kinds.clone().filter(|kind| kind.provides.iter().any(|by| by.name == name));
        let takers =
            kinds.clone().filter(|kind| kind.inputs.iter().any(|input| input.accepts.name == name));
        let provided = kinds.clone().flat_map(|kind| kind.provides.iter().copied());
        let accepted = kinds.clone().flat_map(|kind| kind.inputs).map(|input| input.accepts);
        let files = provided.chain(accepted).find(|found| found.name == name).unwrap().files;
        let code = |words: Vec<&str>| -> String {
            words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        };
        let about = doc(&item.attrs);
        let files = code(files.to_vec());
        let makers = code(makers.map(|kind| kind.name).collect());
        let takers = code(takers.map(|kind| kind.name).collect());
        writeln!(page, "| {name} | {about} | {files} | {makers} | {takers} |").unwrap();
    }
}

/// A type of rows, or of a part of them.
struct RowType {
    name: String,
    about: String,
    fields: Fields,
    /// Whether its names have hyphens in files.
    is_kebab: bool,
}

fn add_rows(page: &mut String) {
    page.push_str(
        "\n## Rows\n\nFiles that end in `.jsonl` have one JSON object per line, in UTF-8. Fields \
        that are not listed are ignored. *Messages* are a list of `{\"role\", \"content\"}`, as \
        in chat templates. A span `[start, end]` counts Unicode characters, not bytes, from 0; \
        the end is excluded.\n\n\
        `tune` and `reference` read preference data from elsewhere too: `prompt`, `chosen` and \
        `rejected`, or `prompt`, `completion` and `label`, are enough. `mix` and `mine-atomic` \
        also need `level`.\n",
    );
    let (mut rows, mut parts, mut words) = (Vec::new(), Vec::new(), BTreeMap::new());
    let mut texts = Vec::new();
    for item in items("src") {
        match item {
            Item::Struct(item) if reads(&item.attrs) => {
                let about = doc(&item.attrs);
                let is_kebab = says(&item.attrs, "serde", "kebab-case");
                let name = item.ident.to_string();
                let row = RowType { name, about, fields: item.fields, is_kebab };
                match (&row.fields, row.file().is_some()) {
                    (Fields::Unnamed(_), _) => texts.push(row.name),
                    (_, true) => rows.push(row),
                    (_, false) => parts.push(row),
                }
            }
            Item::Enum(item) if reads(&item.attrs) => {
                let names = item.variants.iter().map(|variant| snake(&variant.ident.to_string()));
                if item.variants.iter().all(|variant| variant.fields.is_empty()) {
                    words.insert(item.ident.to_string(), names.collect::<Vec<_>>());
                }
            }
            _ => {}
        }
    }
    rows.sort_by_key(|row| row.file().unwrap().to_owned());
    let names: Vec<String> = parts.iter().map(|part| part.name.clone()).collect();
    let mut used: Vec<String> = Vec::new();
    let mut listed = Listed { words: &words, texts: &texts, parts: &names, used: &mut used };
    for row in &rows {
        listed.add(row, &format!("### {}\n\n{}", row.name, row.about), page);
    }
    let mut at = 0;
    while let Some(name) = listed.used.get(at).cloned() {
        let part = parts.iter().find(|part| part.name == name).unwrap();
        listed.add(part, &format!("### {}\n\n{}", part.name, part.about), page);
        at += 1;
    }
}

impl RowType {
    /// The file whose rows these are, by the beginning of the doc comment.
    fn file(&self) -> Option<&str> {
        let file = self.about.strip_prefix("A row of `")?.split('`').next()?;
        file.ends_with(".jsonl").then_some(file)
    }
}

/// Whether the type is read from JSON.
fn reads(attributes: &[Attribute]) -> bool {
    says(attributes, "derive", "Deserialize")
}

/// Whether an attribute of this name mentions a word.
fn says(attributes: &[Attribute], name: &str, word: &str) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident(name) && list.tokens.to_string().contains(word),
        _ => false,
    })
}

/// What the tables of fields refer to.
struct Listed<'a> {
    words: &'a BTreeMap<String, Vec<String>>,
    /// Types around a text, such as ids.
    texts: &'a [String],
    parts: &'a [String],
    /// Parts that a field has named so far.
    used: &'a mut Vec<String>,
}

impl Listed<'_> {
    /// The table of a type's fields.
    fn add(&mut self, row: &RowType, heading: &str, page: &mut String) {
        writeln!(
            page,
            "\n{heading}\n\n| field | value | required | meaning |\n| --- | --- | --- | --- |"
        )
        .unwrap();
        for field in &row.fields {
            let name = field.ident.as_ref().unwrap().to_string();
            let name = if row.is_kebab { name.replace('_', "-") } else { name };
            let value = self.value(&field.ty);
            let required = if says(&field.attrs, "serde", "default") { "" } else { "yes" };
            let about = cell(&doc(&field.attrs));
            let name = name.trim_start_matches("r#");
            writeln!(page, "| `{name}` | {value} | {required} | {about} |").unwrap();
        }
    }

    /// A type in words.
    fn value(&mut self, of: &Type) -> String {
        let Type::Path(path) = of else { panic!("a row has a field of a type without a name") };
        let last = path.path.segments.last().unwrap();
        let inner = match &last.arguments {
            PathArguments::AngleBracketed(list) => list.args.last(),
            _ => None,
        };
        let name = last.ident.to_string();
        match (name.as_str(), inner) {
            ("Option", Some(GenericArgument::Type(inner))) => self.value(inner),
            ("Vec", Some(GenericArgument::Type(inner))) => format!("list of {}", self.value(inner)),
            ("String", _) => "text".to_owned(),
            ("Content", _) => "text or messages".to_owned(),
            ("CharSpan", _) => "`[start, end]`".to_owned(),
            ("bool", _) => "true or false".to_owned(),
            ("f64" | "f32", _) => "number".to_owned(),
            ("usize" | "u64" | "u32", _) => "whole number".to_owned(),
            _ => self.named(&name),
        }
    }

    /// An enum as its words, a struct as a link.
    fn named(&mut self, name: &str) -> String {
        if let Some(words) = self.words.get(name) {
            return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
        }
        if self.texts.iter().any(|text| text == name) {
            return "text".to_owned();
        }
        assert!(self.parts.iter().any(|part| part == name), "`{name}` has no words");
        if !self.used.iter().any(|used| used == name) {
            self.used.push(name.to_owned());
        }
        format!("[{name}](#{})", name.to_lowercase())
    }
}

fn add_measures(page: &mut String) {
    page.push_str(
        "\n## Measures\n\nMeasures of responses, in `scores.json`, `comparison.json` and their \
        tables; [Scores](../explanation/scores.md) compares them.\n\n| measure | better | meaning \
        |\n| --- | --- | --- |\n",
    );
    for measure in MEASURES {
        let better = match measure.more_is_better {
            Some(true) => "more",
            Some(false) => "less",
            None => "",
        };
        writeln!(page, "| `{}` | {better} | {} |", measure.name, measure.about).unwrap();
    }
    page.push_str(
        "\nMeasures of token shift, in `shift.json` and `diagnosis.json`:\n\n| measure | meaning \
        |\n| --- | --- |\n",
    );
    for measure in SHIFT_MEASURES {
        writeln!(page, "| `{}` | {} |", measure.name, measure.about).unwrap();
    }
    page.push_str(
        "\nMeasures of agreement with people, in `agreement.json` and `agreement.csv`:\n\n| measure \
        | meaning |\n| --- | --- |\n",
    );
    for measure in AGREEMENT_MEASURES {
        writeln!(page, "| `{}` | {} |", measure.name.as_str(), measure.about).unwrap();
    }
}

/// `FactLabel` as serde writes it: `fact_label`.
fn snake(name: &str) -> String {
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.extend(letter.to_lowercase());
    }
    word
}

/// A bar would end the table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
