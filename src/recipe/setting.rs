//! Command-line settings, `--set stage.tuned.beta=0.2`, as a table that is merged into a recipe.

use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::{
    names::TOP_LEVEL,
    node::{Data, Entry, Node, Table, TomlReader},
    syntax::syntax_problem,
};
use crate::diagnostic::{Problem, Problems, Source, Span, suggestion};

/// Source name of settings in messages.
const SET: &str = "--set";

/// Reads all settings; later ones win.
pub(super) fn parse(settings: &[String], problems: &mut Problems) -> Table {
    let mut all = Table::default();
    for setting in settings {
        // One source per setting, so that messages show only the wrong one.
        if let Some(entry) = parse_one(&Source::new(SET, setting.as_str()), problems) {
            all.merge(Table(vec![entry]));
        }
    }
    all
}

/// Whether this was written on the command line.
pub fn is_setting(span: &Span) -> bool {
    span.source.path == SET
}

fn parse_one(source: &Arc<Source>, problems: &mut Problems) -> Option<Entry> {
    let setting = &source.text;
    let example = "for example --set stage.tuned.beta=0.2, --set seeds=[0,1] or --set \
    matrix.algorithm=[\"dpo\"]";
    let Some((path, value)) = assignment(setting) else {
        let problem = Problem::error(format!("`{setting}` sets nothing"));
        problems.push(problem.at(&Span::whole(source), "PATH=VALUE is expected").help(example));
        return None;
    };
    let Some(entry) = parse_path(source, path, problems) else {
        let problem = Problem::error(format!("`{path}` is not the path of a field"));
        let span = Span::new(source, 0..path.len());
        problems.push(problem.at(&span, "keys with dots between them are expected").help(example));
        return None;
    };
    check_top_level(&entry, problems)?;
    let value = parse_value(source, path.len() + 1, value, problems)?;
    if matches!(&value.data, Data::Table(table) if table.0.is_empty()) && depth(&entry) < 3 {
        let problem = Problem::error(format!(
            "`{setting}` sets nothing: a table without fields changes none"
        ));
        problems.push(
            problem.at(&Span::whole(source), "the path of a field is expected").help(example),
        );
        return None;
    }
    Some(place(entry, value))
}

/// Path and value; a key in quotes may have `=`, as the conditions of arms have.
fn assignment(setting: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (place, letter) in setting.char_indices() {
        match (letter, quote) {
            ('=', None) => return Some((&setting[..place], &setting[place + 1..])),
            ('"' | '\'', None) => quote = Some(letter),
            (_, Some(open)) if letter == open => quote = None,
            _ => {}
        }
    }
    None
}

/// The keys of a path, outermost first.
fn parse_path(source: &Arc<Source>, path: &str, problems: &mut Problems) -> Option<Entry> {
    let assignment = format!("{path}=0");
    let keys = DeTable::parse(&assignment).ok()?;
    let entry = TomlReader { source, offset: 0, problems }.table(keys.get_ref()).0.pop()?;
    // Comments and table headers are valid TOML, but no paths.
    let mut last = &entry;
    while let Data::Table(table) = &last.value.data {
        last = table.0.last()?;
    }
    Some(entry)
}

/// Number of keys of a path.
fn depth(entry: &Entry) -> usize {
    1 + entry.value.as_table().and_then(|table| table.0.first()).map_or(0, depth)
}

fn check_top_level(entry: &Entry, problems: &mut Problems) -> Option<()> {
    let settable: Vec<&str> = TOP_LEVEL.iter().copied().filter(|key| *key != "extends").collect();
    let problem = match &*entry.key {
        "extends" => Problem::error("`extends` cannot be set on the command line"),
        key if settable.contains(&key) => return Some(()),
        key => Problem::error(format!("a recipe has no `{key}`")),
    };
    let help = suggestion(&entry.key, "beginnings of a path", &settable);
    problems
        .push(problem.at(&entry.key_span, "the path of a recipe's field is expected").help(help));
    None
}

/// Inserts a value at a path of keys.
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

/// The value as TOML if valid, otherwise as plain text; text that opens a list, table or string
/// must also close it.
fn parse_value(
    source: &Arc<Source>,
    offset: usize,
    written: &str,
    problems: &mut Problems,
) -> Option<Node> {
    let text = written.trim();
    let offset = offset + (written.len() - written.trim_start().len());
    let span = Span::new(source, offset..offset + text.len());
    match DeValue::parse(text) {
        Ok(value) if !matches!(value.get_ref(), DeValue::Datetime(_)) => {
            Some(TomlReader { source, offset, problems }.node(&value))
        }
        Err(error) if text.starts_with(['[', '{', '"', '\'']) => {
            let problem =
                syntax_problem(source, offset, &error).at(&span, "a value in TOML is expected");
            problems
                .push(problem.help("quotes may need quotes: --set 'matrix.algorithm=[\"dpo\"]'"));
            None
        }
        _ => Some(Node::new(Data::Text(text.to_owned()), span)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(setting: &str) -> (Table, Problems) {
        let mut problems = Problems::default();
        let table = parse(&[setting.to_owned()], &mut problems);
        (table, problems)
    }

    #[test]
    fn what_sets_nothing_is_an_error() {
        for setting in [
            "",
            "seeds",
            "=1",
            "#=1",
            "# stage.a.n=nope",
            "   =1",
            "[stage]#=1",
            "stage.a #=1",
            "stage.=1",
            "a\n#=1",
            "stage.a={}",
            "matrix={}",
            "extends=\"x\"",
            "sede=1",
            "stage.a.n=[0, 1",
            "n\u{e4}me=\u{e9}",
        ] {
            let (table, problems) = read(setting);
            assert!(problems.errors() > 0 && table.0.is_empty(), "{setting:?} passes");
        }
    }

    #[test]
    fn places_are_in_the_setting_that_was_written() {
        let mut problems = Problems::default();
        parse(&["name=\u{e9}\u{e9}".to_owned(), "seeds=[0,1,2".to_owned()], &mut problems);
        let found = problems.to_json();
        assert_eq!((&found[0]["line"], &found[0]["column"]), (&1.into(), &7.into()), "{found}");
        assert!(problems.render(false).contains("1 | seeds=[0,1,2\n"), "{problems}");
    }

    proptest! {
        /// Any input: no panic, not even in rendering, and settings without effect are reported.
        #[test]
        fn any_setting_is_read_or_refused(path in "[a-z.#\"\\[\\] \
        \u{e4}\n=]{0,12}", value in any::<String>()) {
            let (table, problems) = read(&format!("{path}={value}"));
            prop_assert!(!table.0.is_empty() || problems.errors() > 0);
            problems.render(true);
        }

        /// Round trip of a set value.
        #[test]
        fn a_text_comes_back(text in any::<String>()) {
            let (table, problems) = read(&format!("stage.a.note={}", toml::Value::String(text.clone())));
            prop_assert_eq!(problems.errors(), 0);
            let stage = table.value("stage").and_then(Node::as_table).and_then(|stages| stages.value("a"));
            let note = stage.and_then(Node::as_table).and_then(|stage| stage.value("note"));
            prop_assert_eq!(note.and_then(Node::as_text), Some(&*text));
        }
    }
}
