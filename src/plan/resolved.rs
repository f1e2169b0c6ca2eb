//! The resolved recipe as one TOML file with defaults and absolute paths; planning it gives the
//! same plan.

use serde_json::Value;

use super::space::WHEN;
use crate::recipe::{
    Data, Entry, Node, Recipe, StageText, Table, resolve_path,
    schema::{Catalogue, KindOrComposite},
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
    for entry in &recipe.endpoints {
        write_endpoint(entry, catalogue, &mut text);
    }
    for stage in &recipe.stages {
        let Some(declared) = stage
            .fields
            .value("kind")
            .and_then(Node::as_text)
            .and_then(|kind| catalogue.find(kind))
        else {
            continue;
        };
        text.push_str(&format!("\n[stage.{}]\n", key(&stage.name)));
        write_stage(stage, &declared, recipe, &mut text);
        write_arms(stage, &declared, &mut text);
    }
    // Defaults of a part's own kind cannot be expressed in the stage of its composite.
    for entry in &recipe.defaults {
        let in_composite = catalogue.composites.iter().any(|composite| {
            composite.parts.iter().any(|part| part.kind.name == entry.key)
                && recipe.stages.iter().any(|stage| {
                    stage.fields.value("kind").and_then(Node::as_text) == Some(composite.name)
                })
        });
        if let (true, Some(table), Some(declared)) =
            (in_composite, entry.value.as_table(), catalogue.find(&entry.key))
        {
            text.push_str(&format!("\n[defaults.{}]\n", key(&entry.key)));
            table
                .0
                .iter()
                .for_each(|entry| write_field(&entry.key, &entry.value, &declared, &mut text));
        }
    }
    text
}

/// A table that stages name, with its defaults.
fn write_endpoint(entry: &Entry, catalogue: &Catalogue, text: &mut String) {
    let Some(table) = entry.value.as_table() else { return };
    text.push_str(&format!("\n[endpoint.{}]\n", key(&entry.key)));
    write_table(table, text);
    let parameters = catalogue.table("endpoint").map_or(&[][..], |form| form.parameters);
    for parameter in parameters.iter().filter(|known| table.get(known.name).is_none()) {
        if let Some(value) = parameter.default_value() {
            text.push_str(&format!("{} = {}\n", key(parameter.name), escaped(&value)));
        }
    }
}

fn write_stage(stage: &StageText, declared: &KindOrComposite, recipe: &Recipe, text: &mut String) {
    let name = match declared {
        KindOrComposite::Kind(kind) => kind.name,
        KindOrComposite::Composite(composite) => composite.name,
    };
    for entry in stage.fields.0.iter().filter(|entry| entry.key != WHEN) {
        write_field(&entry.key, &entry.value, declared, text);
    }
    let defaults = recipe
        .defaults
        .iter()
        .find(|entry| entry.key == name)
        .and_then(|entry| entry.value.as_table());
    for entry in defaults.iter().flat_map(|table| &table.0) {
        if stage.fields.get(&entry.key).is_none() {
            write_field(&entry.key, &entry.value, declared, text);
        }
    }
    // Defaults of the kinds are written out, so that the file keeps its meaning when they change.
    let KindOrComposite::Kind(kind) = declared else { return };
    for parameter in kind.parameters {
        let is_default = stage.fields.get(parameter.name).is_none()
            && defaults.is_none_or(|table| table.get(parameter.name).is_none());
        if let (true, Some(value)) = (is_default, parameter.default_value()) {
            text.push_str(&format!("{} = {}\n", key(parameter.name), escaped(&value)));
        }
    }
}

fn write_arms(stage: &StageText, declared: &KindOrComposite, text: &mut String) {
    let arms = stage.fields.value(WHEN).and_then(Node::as_table);
    for arm in arms.iter().flat_map(|arms| &arms.0) {
        text.push_str(&format!("\n[stage.{}.when.{}]\n", key(&stage.name), key(&arm.key)));
        for field in arm.value.as_table().iter().flat_map(|own| &own.0) {
            write_field(&field.key, &field.value, declared, text);
        }
    }
}

fn write_table(table: &Table, text: &mut String) {
    for entry in &table.0 {
        text.push_str(&format!("{} = {}\n", key(&entry.key), inline(&entry.value)));
    }
}

fn write_field(name: &str, value: &Node, declared: &KindOrComposite, text: &mut String) {
    let parameter = declared.parameter(name);
    let is_file = value
        .as_text()
        .is_some_and(|text| parameter.is_some_and(|parameter| parameter.is_file(text)));
    let value = match declared.input(name) {
        Some(input) => inline(&absolute(value, input.is_path)),
        None if is_file => inline(&absolute(value, true)),
        None => inline(value),
    };
    text.push_str(&format!("{} = {value}\n", key(name)));
}

/// An input's value with absolute paths.
fn absolute(node: &Node, is_path: bool) -> Node {
    let data = match &node.data {
        Data::Text(path) if is_path => {
            Data::Text(resolve_path(path, &node.span).display().to_string())
        }
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
            let entries = table
                .0
                .iter()
                .map(|entry| format!("{} = {}", key(&entry.key), inline(&entry.value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A default as TOML, with `${` escaped.
fn escaped(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(&text.replace("${", "$${")),
        Value::Array(list) => {
            format!("[{}]", list.iter().map(escaped).collect::<Vec<_>>().join(", "))
        }
        Value::Number(number) if number.is_f64() => {
            toml::Value::Float(number.as_f64().unwrap_or_default()).to_string()
        }
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn key(name: &str) -> String {
    let is_bare = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if is_bare { name.to_owned() } else { quoted(name) }
}
