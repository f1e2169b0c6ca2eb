//! Chat templates: messages to text as in transformers.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::jinja::{Failure, Jinja, TemplateProblem};
use crate::{model::files, rows::Message};

/// Special tokens that every tokenizer of transformers knows by name.
const NAMED_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Why messages could not become a text.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// An error of the file system.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// A file is damaged.
    #[error("{path}: {problem}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// There are several templates, and none is called `default`.
    #[error("{path}: no chat template is named `default`, only \
    {}", quoted(.names), path = .path.display())]
    NoDefault {
        /// The file or folder that holds them.
        path: PathBuf,
        /// Their names, in order.
        names: Vec<String>,
    },
    /// The model has no chat template.
    #[error(
        "the model in {directory} has no chat template; give a text instead of messages, or add \
        chat_template.jinja to the directory",
        directory = .directory.display()
    )]
    Missing {
        /// The model directory.
        directory: PathBuf,
    },
    /// The template is not valid Jinja.
    #[error("{path}: line {line} of the chat template is not valid Jinja: \
    {problem}", path = .path.display())]
    Syntax {
        /// The file that holds it.
        path: PathBuf,
        /// The line within the template.
        line: usize,
        /// Jinja's message.
        problem: String,
    },
    /// The template refused the messages with `raise_exception`.
    #[error("{path}: the chat template refuses the messages: {message}", path = .path.display())]
    Raised {
        /// The file that holds it.
        path: PathBuf,
        /// Its message.
        message: String,
    },
    /// The template failed.
    #[error("{path}: line {line} of the chat template failed: {problem}", path = .path.display())]
    Render {
        /// The file that holds it.
        path: PathBuf,
        /// The line within the template.
        line: usize,
        /// Jinja's message.
        problem: String,
    },
    /// There are no messages.
    #[error("a conversation needs at least one message")]
    NoMessages,
}

/// A model's chat template together with the special tokens that it may write.
#[derive(Debug)]
pub struct ChatTemplate {
    path: PathBuf,
    jinja: Jinja,
    special_tokens: BTreeMap<String, String>,
}

impl ChatTemplate {
    /// Finds a model directory's template where transformers looks for it, or none.
    ///
    /// # Errors
    /// Names the file that cannot be read or is damaged, or the line of a template that is not
    /// valid Jinja.
    pub fn load(directory: &Path) -> Result<Option<Self>, ChatError> {
        let config = read_object(&directory.join("tokenizer_config.json"))?.unwrap_or_default();
        let Some((path, source)) = find_source(directory, &config)? else { return Ok(None) };
        let special_tokens = special_tokens(directory, &config)?;
        match Jinja::compile(&source) {
            Ok(jinja) => Ok(Some(Self { path, jinja, special_tokens })),
            Err(TemplateProblem { line, reason: problem }) => {
                Err(ChatError::Syntax { path, line, problem })
            }
        }
    }

    /// Names another directory in messages.
    pub(super) fn set_directory(&mut self, directory: &Path) {
        if let Some(name) = self.path.file_name() {
            self.path = directory.join(name);
        }
    }

    /// Renders a conversation; `add_generation_prompt` begins the assistant's turn.
    ///
    /// # Errors
    /// Returns the template's message, or the line in which it failed.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, ChatError> {
        if messages.is_empty() {
            return Err(ChatError::NoMessages);
        }
        let special_tokens = &self.special_tokens;
        let variables =
            // As transformers, since templates ask `tools is not none` and not whether it is
            // defined.
            Variables { special_tokens, messages, tools: (), documents: (), add_generation_prompt };
        self.jinja.render(&variables).map_err(|failure| {
            let path = self.path.clone();
            match failure {
                Failure::Raised(message) => ChatError::Raised { path, message },
                Failure::Failed(TemplateProblem { line, reason: problem }) => {
                    ChatError::Render { path, line, problem }
                }
            }
        })
    }
}

/// Variables of a template: transformers passes tools and documents even if there are none.
#[derive(Serialize)]
struct Variables<'a> {
    #[serde(flatten)]
    special_tokens: &'a BTreeMap<String, String>,
    messages: &'a [Message],
    tools: (),
    documents: (),
    add_generation_prompt: bool,
}

/// Value of `chat_template` in a tokenizer's config.
#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    List(Vec<NamedTemplate>),
    ByName(BTreeMap<String, String>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A file's text, or nothing where there is no such file.
fn read(path: &Path) -> Result<Option<String>, ChatError> {
    match files::read_text(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(source) => Err(ChatError::Io { path: path.to_owned(), source }),
    }
}

/// A file with the name of a folder of transformers is not that folder.
fn is_missing(error: &io::Error) -> bool {
    [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind())
}

/// The fields of a JSON file, or nothing where there is no such file.
pub(super) fn read_object(path: &Path) -> Result<Option<Map<String, Value>>, ChatError> {
    let Some(text) = read(path)? else { return Ok(None) };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| ChatError::Malformed { path: path.to_owned(), problem: error.to_string() })
}

/// The default template and its file; separate files take precedence over the tokenizer's config.
fn find_source(
    directory: &Path,
    config: &Map<String, Value>,
) -> Result<Option<(PathBuf, String)>, ChatError> {
    let folder = directory.join("additional_chat_templates");
    for path in [folder.join("default.jinja"), directory.join("chat_template.jinja")] {
        if let Some(source) = read(&path)? {
            return Ok(Some((path, source)));
        }
    }
    // transformers asks its caller to choose among named templates, and there is nobody to ask
    // here.
    let names = template_names(&folder)?;
    if !names.is_empty() {
        return Err(ChatError::NoDefault { path: folder, names });
    }
    let path = directory.join("tokenizer_config.json");
    let Some(field) = config.get("chat_template").filter(|field| !field.is_null()) else {
        return Ok(None);
    };
    let mut templates: BTreeMap<String, String> = match Templates::deserialize(field) {
        Ok(Templates::One(source)) => return Ok(Some((path, source))),
        Ok(Templates::List(list)) => {
            list.into_iter().map(|entry| (entry.name, entry.template)).collect()
        }
        Ok(Templates::ByName(templates)) => templates,
        Err(_) => {
            let problem =
                "`chat_template` must be a template or a list of `name` and `template`".to_owned();
            return Err(ChatError::Malformed { path, problem });
        }
    };
    match templates.remove("default") {
        Some(source) => Ok(Some((path, source))),
        None if templates.is_empty() => Ok(None),
        None => Err(ChatError::NoDefault { path, names: templates.into_keys().collect() }),
    }
}

/// The names of the templates that have files of their own.
fn template_names(folder: &Path) -> Result<Vec<String>, ChatError> {
    let listed: io::Result<Vec<fs::DirEntry>> =
        fs::read_dir(folder).and_then(|entries| entries.collect());
    let files = match listed {
        Ok(files) => files,
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        Err(source) => return Err(ChatError::Io { path: folder.to_owned(), source }),
    };
    let mut names: Vec<String> = files
        .iter()
        .filter_map(|file| file.file_name().to_str()?.strip_suffix(".jinja").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// The special tokens by name. As in transformers, special_tokens_map.json counts only beside a
/// config without `added_tokens_decoder`, and then takes precedence.
pub(super) fn special_tokens(
    directory: &Path,
    config: &Map<String, Value>,
) -> Result<BTreeMap<String, String>, ChatError> {
    let mut tokens = tokens_of(config);
    // Written by versions that write everything into the config.
    if config.contains_key("added_tokens_decoder") {
        return Ok(tokens);
    }
    let legacy = read_object(&directory.join("special_tokens_map.json"))?.unwrap_or_default();
    for (name, token) in tokens_of(&legacy) {
        if NAMED_TOKENS.contains(&name.as_str()) || !tokens.contains_key(&name) {
            tokens.insert(name, token);
        }
    }
    Ok(tokens)
}

/// All fields that name a token, as a text or as an object with the text as its `content`.
fn tokens_of(fields: &Map<String, Value>) -> BTreeMap<String, String> {
    let own = fields.iter().filter(|(name, _)| name.ends_with("_token"));
    // transformers 5 writes tokens that are not of its usual seven into tables of their own.
    let groups = ["model_specific_special_tokens", "extra_special_tokens"];
    let grouped = groups.into_iter().filter_map(|group| fields.get(group)?.as_object()).flatten();
    let mut tokens = BTreeMap::new();
    for (name, token) in own.chain(grouped) {
        if let Some(text) = token.as_str().or_else(|| token.get("content")?.as_str()) {
            tokens.insert(name.clone(), text.to_owned());
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        #[serde(default)]
        name: String,
        template: String,
        special_tokens: Map<String, Value>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        messages: Vec<Message>,
        add_generation_prompt: bool,
        expected: Option<String>,
        raises: Option<String>,
    }

    fn golden<T: DeserializeOwned>(name: &str) -> T {
        let path = format!("{}/tests/data/chat/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }

    fn check(golden: &Golden) {
        let mut config = golden.special_tokens.clone();
        config.insert("chat_template".to_owned(), json!(golden.template));
        let template =
            load(&[("tokenizer_config.json", &json!(config).to_string())]).unwrap().unwrap();
        for case in &golden.cases {
            let rendered = template.render(&case.messages, case.add_generation_prompt);
            match (rendered, &case.expected, &case.raises) {
                (Ok(text), Some(expected), None) => {
                    assert_eq!(&text, expected, "{} {:?}", golden.name, case.messages)
                }
                (Err(ChatError::Raised { message, .. }), None, Some(raises)) => {
                    assert_eq!(&message, raises)
                }
                (rendered, ..) => panic!("{}: {rendered:?} of {:?}", golden.name, case.messages),
            }
        }
    }

    /// Loads a directory of these files.
    fn load(files: &[(&str, &str)]) -> Result<Option<ChatTemplate>, ChatError> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        ChatTemplate::load(directory.path())
    }

    fn user(content: &str) -> Vec<Message> {
        vec![Message { role: "user".to_owned(), content: content.to_owned() }]
    }

    fn rendered(files: &[(&str, &str)]) -> String {
        load(files).unwrap().unwrap().render(&user("hi"), true).unwrap()
    }

    /// The message for these files, or for the template in them, without the folder's path.
    fn problem(files: &[(&str, &str)]) -> String {
        let problem = match load(files) {
            Ok(template) => template.unwrap().render(&user("hi"), true).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        let folder = format!("{}/", std::env::temp_dir().display());
        let (_, named) = problem.split_once(&folder).unwrap();
        named.split_once('/').unwrap().1.to_owned()
    }

    #[test]
    fn models_write_what_transformers_writes() {
        for model in ["llama3", "llama3.1", "qwen2.5", "mistral", "mistral-v0.3", "zephyr"] {
            check(&golden(model));
        }
    }

    #[test]
    fn every_feature_is_as_in_transformers() {
        golden::<Vec<Golden>>("features").iter().for_each(check);
    }

    #[test]
    fn the_default_template_is_found_where_transformers_finds_it() {
        let config = ("tokenizer_config.json", r#"{"chat_template": "config"}"#);
        let list = r#"{"chat_template": [{"name": "rag", "template": "rag"}, {"name": "default", "template": "listed"}]}"#;
        let file = ("chat_template.jinja", "file\r\n");
        let tools = ("additional_chat_templates/tool_use.jinja", "tools");
        let default = ("additional_chat_templates/default.jinja", "additional");
        assert_eq!(rendered(&[config]), "config");
        assert_eq!(rendered(&[("tokenizer_config.json", list)]), "listed");
        assert_eq!(rendered(&[file]), "file");
        assert_eq!(rendered(&[config, file, tools]), "file");
        assert_eq!(rendered(&[config, file, default]), "additional");
        assert_eq!(
            rendered(&[("tokenizer_config.json", r#"{"chat_template": {"default": "named"}}"#)]),
            "named"
        );
        // Only processors of images and sounds read chat_template.json.
        let processor = ("chat_template.json", r#"{"chat_template": "processor"}"#);
        for nothing in ["{}", r#"{"chat_template": null}"#, r#"{"chat_template": []}"#] {
            assert!(load(&[("tokenizer_config.json", nothing), processor]).unwrap().is_none());
        }
        assert!(load(&[]).unwrap().is_none());
    }

    #[test]
    fn special_tokens_are_read_as_transformers_reads_them() {
        let template = (
            "chat_template.jinja",
            "{{ bos_token }} {{ eos_token }} {{ pad_token }} {{ image_token }}",
        );
        let with = |config: Value, legacy: Value| {
            let (config, legacy) = (config.to_string(), legacy.to_string());
            rendered(&[
                template,
                ("tokenizer_config.json", &config),
                ("special_tokens_map.json", &legacy),
            ])
        };
        let added =
            |token: &str| json!({"__type": "AddedToken", "content": token, "lstrip": false});
        let legacy =
            || json!({"bos_token": added("<lb>"), "eos_token": "<le>", "image_token": "<li>"});
        let config = json!({"bos_token": "<b>", "eos_token": added("<e>"), "pad_token": null, "add_bos_token": true});
        assert_eq!(with(config.clone(), json!({})), "<b> <e>  ");
        assert_eq!(with(json!({}), legacy()), "<lb> <le>  <li>");
        assert_eq!(
            with(json!({"bos_token": "<b>", "image_token": "<i>"}), legacy()),
            "<lb> <le>  <i>"
        );
        assert_eq!(
            with(json!({"bos_token": "<b>", "added_tokens_decoder": {}}), legacy()),
            "<b>   "
        );
        assert_eq!(
            with(json!({"extra_special_tokens": {"image_token": "<i>"}}), json!({})),
            "   <i>"
        );
        assert_eq!(with(json!({"additional_special_tokens": ["<i>"]}), json!({})), "   ");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let config = |text: &'static str| problem(&[("tokenizer_config.json", text)]);
        let template = |text: &'static str| problem(&[("chat_template.jinja", text)]);
        let messages = [
            config("{"),
            config(r#"{"chat_template": 7}"#),
            config(
                r#"{"chat_template": [{"name": "tool_use", "template": ""}, {"name": "rag", "template": ""}]}"#,
            ),
            problem(&[("additional_chat_templates/rag.jinja", "")]),
            template("a\n{% for m in messages %}\n{% endif %}"),
            template("{{ messages[0].content | nothing }}"),
            template("a\nb {{ messages[0].name.first }}"),
            template(
                "{% if messages | length %}\n{{ raise_exception('Roles must alternate, é!') }}{% \
                endif %}",
            ),
            template(
                "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            ),
            template("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
        ];
        expect![[r#"
            tokenizer_config.json: EOF while parsing an object at line 1 column 1
            tokenizer_config.json: `chat_template` must be a template or a list of `name` and `template`
            tokenizer_config.json: no chat template is named `default`, only `rag`, `tool_use`
            additional_chat_templates: no chat template is named `default`, only `rag`
            chat_template.jinja: line 3 of the chat template is not valid Jinja: syntax error: unknown statement endif
            chat_template.jinja: line 1 of the chat template failed: unknown filter: filter nothing is unknown
            chat_template.jinja: line 2 of the chat template failed: undefined value: `messages[0].name` is undefined
            chat_template.jinja: the chat template refuses the messages: Roles must alternate, é!
            chat_template.jinja: line 1 of the chat template failed: it takes more than 5000000 steps
            chat_template.jinja: line 1 of the chat template failed: invalid operation: recursion limit exceeded"#]]
        .assert_eq(&messages.join("\n"));
        let missing = ChatError::Missing { directory: "models/tiny".into() }.to_string();
        let said = "the model in models/tiny has no chat template; give a text instead of \
        messages, or add \
            chat_template.jinja to the directory";
        assert_eq!(missing, said);
        let template = load(&[("chat_template.jinja", "{{ messages }}")]).unwrap().unwrap();
        assert!(matches!(template.render(&[], true), Err(ChatError::NoMessages)));
    }
}
