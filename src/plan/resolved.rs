//! The resolved recipe as TOML: everything in one file, defaults written out, paths absolute; planning it gives the same plan.

use serde_json::Value;

use crate::recipe::{
    Data, Node, Recipe, StageText, Table, resolve_path,
    schema::{Catalogue, Word},
};

/// The text of the resolved recipe.
pub(super) fn resolved(recipe: &Recipe, catalogue: &Catalogue) -> String {
    let mut text = format!("name = {}\n", quoted(&recipe.name));
    if let Some(seeds) = &recipe.seeds {
        text.push_str(&format!("seeds = {seeds:?}\n"));
    }
    if !recipe.matrix_text.0.is_empty() {
        text.push_str("\n[matrix]\n");
        write_table(&recipe.matrix_text, &mut text);
    }
    for stage in &recipe.stages {
        let Some(word) = stage.fields.value("kind").and_then(Node::as_text).and_then(|kind| catalogue.find(kind))
        else {
            continue;
        };
        text.push_str(&format!("\n[stage.{}]\n", key(&stage.name)));
        write_stage(stage, &word, recipe, &mut text);
    }
    // What a part of a composite takes from its own kind's defaults cannot be written into the composite's stage.
    for entry in &recipe.defaults {
        let in_composite = catalogue.composites.iter().any(|composite| {
            composite.parts.iter().any(|part| part.kind.name == entry.key)
                && recipe
                    .stages
                    .iter()
                    .any(|stage| stage.fields.value("kind").and_then(Node::as_text) == Some(composite.name))
        });
        if let (true, Some(table), Some(word)) = (in_composite, entry.value.as_table(), catalogue.find(&entry.key)) {
            text.push_str(&format!("\n[defaults.{}]\n", key(&entry.key)));
            table.0.iter().for_each(|entry| write_field(&entry.key, &entry.value, &word, &mut text));
        }
    }
    text
}

fn write_stage(stage: &StageText, word: &Word, recipe: &Recipe, text: &mut String) {
    let name = match word {
        Word::Kind(kind) => kind.name,
        Word::Composite(composite) => composite.name,
    };
    for entry in &stage.fields.0 {
        write_field(&entry.key, &entry.value, word, text);
    }
    let defaults = recipe.defaults.iter().find(|entry| entry.key == name).and_then(|entry| entry.value.as_table());
    let written = |field: &str| stage.fields.get(field).is_some();
    for entry in defaults.iter().flat_map(|table| &table.0).filter(|entry| !written(&entry.key)) {
        write_field(&entry.key, &entry.value, word, text);
    }
    let Word::Kind(kind) = word else { return };
    for parameter in kind.parameters {
        let is_default = !written(parameter.name) && defaults.is_none_or(|table| table.get(parameter.name).is_none());
        if let (true, Some(value)) = (is_default, parameter.default_value()) {
            text.push_str(&format!("{} = {}\n", key(parameter.name), escaped(&value)));
        }
    }
}

fn write_table(table: &Table, text: &mut String) {
    for entry in &table.0 {
        text.push_str(&format!("{} = {}\n", key(&entry.key), inline(&entry.value)));
    }
}

fn write_field(name: &str, value: &Node, word: &Word, text: &mut String) {
    let is_file = |text: &str| word.parameters().iter().any(|known| known.name == name && known.is_file(text));
    let value = match word.inputs().iter().find(|input| input.name == name) {
        Some(input) => inline(&absolute(value, input.is_path)),
        None if value.as_text().is_some_and(is_file) => inline(&absolute(value, true)),
        None => inline(value),
    };
    text.push_str(&format!("{} = {value}\n", key(name)));
}

/// An input's value with its paths absolute.
fn absolute(node: &Node, is_path: bool) -> Node {
    let data = match &node.data {
        Data::Text(path) if is_path => Data::Text(resolve_path(path, &node.span).display().to_string()),
        Data::List(list) => Data::List(list.iter().map(|node| absolute(node, is_path)).collect()),
        Data::Table(table) => {
            let mut table = table.clone();
            table.0.iter_mut().for_each(|entry| entry.value = absolute(&entry.value, true));
            Data::Table(table)
        }
        other => other.clone(),
    };
    Node { data, ..node.clone() }
}

fn inline(node: &Node) -> String {
    match &node.data {
        Data::Text(text) => quoted(text),
        Data::Integer(integer) => integer.to_string(),
        Data::Number(number) => toml::Value::Float(*number).to_string(),
        Data::Flag(flag) => flag.to_string(),
        Data::List(list) => format!("[{}]", list.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Data::Table(table) => {
            let entries = table.0.iter().map(|entry| format!("{} = {}", key(&entry.key), inline(&entry.value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A default as TOML; a `${` in it is no variable.
fn escaped(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(&text.replace("${", "$${")),
        Value::Array(list) => format!("[{}]", list.iter().map(escaped).collect::<Vec<_>>().join(", ")),
        Value::Number(number) if number.is_f64() => toml::Value::Float(number.as_f64().unwrap_or_default()).to_string(),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn key(name: &str) -> String {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { quoted(name) }
}
