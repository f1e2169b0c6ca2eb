//! Settings of the command line, `--set stage.tuned.beta=0.2`, as a table to lay over a recipe.

use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::{
    document::syntax_problem,
    load::TOP_LEVEL,
    node::{Data, Entry, Node, Reading, Table},
};
use crate::diagnostic::{Problem, Problems, Source, Span, suggestion};

/// What stands for a file's name in problems of settings.
pub(super) const SET: &str = "--set";

/// Reads all settings; later ones win.
pub(super) fn parse(settings: &[String], problems: &mut Problems) -> Table {
    let source = Source::new(SET, settings.join("\n"));
    let mut all = Table::default();
    let mut offset = 0;
    for setting in settings {
        if let Some(entry) = parse_one(&source, offset, setting, problems) {
            all.merge(Table(vec![entry]));
        }
        offset += setting.len() + 1;
    }
    all
}

fn parse_one(source: &Arc<Source>, offset: usize, setting: &str, problems: &mut Problems) -> Option<Entry> {
    let whole = Span::new(source, offset..offset + setting.len());
    let example = "for example --set stage.tuned.beta=0.2, --set seeds=[0,1] or --set matrix.algorithm=[\"dpo\"]";
    let Some((path, value)) = setting.split_once('=') else {
        let problem = Problem::error(format!("`{setting}` sets nothing"));
        problems.push(problem.at(&whole, "PATH=VALUE is expected").help(example));
        return None;
    };
    let assignment = format!("{path}=0");
    let Ok(keys) = DeTable::parse(&assignment) else {
        let problem = Problem::error(format!("`{path}` is not the path of a field"));
        let span = Span::new(source, offset..offset + path.len());
        problems.push(problem.at(&span, "keys with dots between them are expected").help(example));
        return None;
    };
    let entry = Reading { source, offset, problems }.table(keys.get_ref()).0.pop()?;
    check_top_level(&entry, problems)?;
    let value = parse_value(source, offset + path.len() + 1, value, problems)?;
    Some(place(entry, value))
}

fn check_top_level(entry: &Entry, problems: &mut Problems) -> Option<()> {
    let settable: Vec<&str> = TOP_LEVEL.iter().copied().filter(|key| *key != "extends").collect();
    let problem = match &*entry.key {
        "extends" => Problem::error("`extends` cannot be set: it says which files are read"),
        key if settable.contains(&key) => return Some(()),
        key => Problem::error(format!("a recipe has no `{key}`")),
    };
    let help = suggestion(&entry.key, "beginnings of a path", &settable);
    problems.push(problem.at(&entry.key_span, "the path of a recipe's field is expected").help(help));
    None
}

/// Puts a value where the path of keys ends.
fn place(mut entry: Entry, value: Node) -> Entry {
    entry.value = match entry.value.data {
        Data::Table(mut table) => {
            let inner = table.0.pop().map(|inner| place(inner, value));
            Node { data: Data::Table(Table(inner.into_iter().collect())), ..entry.value }
        }
        _ => value,
    };
    entry
}

/// TOML where it is TOML, otherwise the text as it stands; what opens a list, table or text must also close it.
fn parse_value(source: &Arc<Source>, offset: usize, written: &str, problems: &mut Problems) -> Option<Node> {
    let text = written.trim();
    let offset = offset + (written.len() - written.trim_start().len());
    let span = Span::new(source, offset..offset + text.len());
    match DeValue::parse(text) {
        Ok(value) if !matches!(value.get_ref(), DeValue::Datetime(_)) => {
            Some(Reading { source, offset, problems }.node(&value))
        }
        Err(error) if text.starts_with(['[', '{', '"', '\'']) => {
            let problem = syntax_problem(source, &error).at(&span, "a value in TOML is expected");
            problems.push(problem.help("quotes may need quotes: --set 'matrix.algorithm=[\"dpo\"]'"));
            None
        }
        _ => Some(Node::new(Data::Text(text.to_owned()), span)),
    }
}
