//! Templates of real models, rendered as transformers and the projects that ship them render them.
//!
//! The templates lie in the folder of data sets (`APEFT_DATA`), not here.
//! `tests/data/chat/renderings.json` holds, by template and conversation (`+`: with a generation
//! prompt), the first 16 digits of the BLAKE3 hash of what transformers 5.23.0 with Jinja 3.1.6
//! renders; `refused` and `failed` where it raises, `dated` where today's date is part of it.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    chat::ChatTemplate,
    jinja::{Failure, Jinja, TemplateProblem},
};
use crate::rows::Message;

/// The folder of templates; it must exist if `APEFT_DATA` is set.
fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("APEFT_DATA").map(PathBuf::from);
    let data = named
        .clone()
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let folder = data.join("chat-templates");
    assert!(named.is_none() || folder.is_dir(), "APEFT_DATA has no {}", folder.display());
    if !folder.is_dir() {
        let _ = writeln!(std::io::stderr(), "skipped: there is no {}", folder.display());
    }
    folder.is_dir().then_some(folder)
}

/// Recorded renderings.
#[derive(Deserialize)]
struct RecordedRendering {
    name: String,
    template: String,
    context: minijinja::Value,
    expected: Option<Value>,
    transformers_agrees: Option<bool>,
}

/// What minijinja refuses with an error and the line, where Jinja2 has further arguments and words;
/// never another text.
const REFUSED: [&str; 4] =
    ["FILTER_OPERATOR_14", "SORT_POSITIONAL_REVERSE", "SORT_POSITIONAL_MIXED", "CONTEXT_KEYWORDS"];

fn rows(path: &Path) -> Vec<RecordedRendering> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn render(template: &str, context: &minijinja::Value) -> Result<String, String> {
    Jinja::compile(template).map_err(described)?.render(context).map_err(|failure| match failure {
        Failure::Raised(message) => message,
        Failure::Failed(problem) => described(problem),
    })
}

fn described(TemplateProblem { line, reason }: TemplateProblem) -> String {
    format!("line {line}: {reason}")
}

#[test]
fn what_others_have_recorded_is_rendered() {
    let Some(folder) = folder() else { return };
    for (file, least) in [("golden.jsonl", 75), ("jinja_snippets_golden.jsonl", 93)] {
        let (mut wrong, mut right) = (Vec::new(), 0);
        for row in
            rows(&folder.join(file)).iter().filter(|row| row.transformers_agrees == Some(true))
        {
            let expected = row.expected.as_ref().and_then(Value::as_str).map(str::to_owned);
            match (render(&row.template, &row.context), expected) {
                (Ok(found), Some(expected)) if found == expected => right += 1,
                (Err(_), _) if REFUSED.contains(&row.name.as_str()) => {}
                (found, expected) => {
                    wrong.push(format!("{}: {found:?} instead of {expected:?}", row.name))
                }
            }
        }
        assert!(wrong.is_empty(), "{file}: {} differ\n{}", wrong.len(), wrong.join("\n"));
        assert!(right >= least, "{file}: {right} of {least}");
    }
}

#[test]
fn real_templates_are_rendered_as_transformers_renders_them() {
    #[derive(Deserialize)]
    struct Inputs {
        conversations: BTreeMap<String, Vec<Message>>,
        special_tokens: Value,
    }
    let Some(folder) = folder() else { return };
    let expected: BTreeMap<String, BTreeMap<String, String>> =
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/chat/renderings.json"));
    let inputs: Inputs = read(&folder.join("rendered_inputs.json"));
    let model = tempfile::tempdir().unwrap();
    fs::write(model.path().join("tokenizer_config.json"), inputs.special_tokens.to_string())
        .unwrap();
    let mut wrong = Vec::new();
    assert_eq!(expected.len(), 163);
    for (name, renderings) in &expected {
        fs::copy(folder.join("templates").join(name), model.path().join("chat_template.jinja"))
            .unwrap();
        let template = match ChatTemplate::load(model.path()) {
            Ok(template) => template.unwrap(),
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        for (conversation, expected) in renderings {
            let messages = &inputs.conversations[conversation.trim_end_matches('+')];
            let found = template.render(messages, conversation.ends_with('+'));
            let is_right = match (&found, expected.as_str()) {
                (Err(_), "refused" | "failed") | (Ok(_), "dated") => true,
                (Ok(text), hash) => blake3::hash(text.as_bytes()).to_hex().starts_with(hash),
                (Err(_), _) => false,
            };
            if !is_right {
                wrong.push(format!("{name}, {conversation}: {expected} is expected: {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}
