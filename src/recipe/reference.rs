//! The reference of a kind, for help and documentation: what its declarations say.

use serde::Serialize;

use super::{
    check::wording,
    schema::{Count, Default, Input, KindOrComposite, NamedTable, Parameter},
};

/// A kind or composite with its fields.
#[derive(Debug, Serialize)]
pub struct KindReference {
    /// Name after `kind =`.
    pub name: &'static str,
    /// Summary in one sentence.
    pub about: &'static str,
    /// Fields that name stages or files.
    pub inputs: Vec<InputReference>,
    /// Fields with values.
    pub parameters: Vec<ParameterReference>,
}

/// An input as people read it.
#[derive(Debug, Serialize)]
pub struct InputReference {
    /// Name of the field.
    pub name: &'static str,
    /// Artifact type.
    pub accepts: &'static str,
    /// Number of artifacts: `one or more`.
    pub number: &'static str,
    /// Purpose in one sentence.
    pub about: &'static str,
}

/// A parameter as people read it.
#[derive(Debug, Serialize)]
pub struct ParameterReference {
    /// Name of the field.
    pub name: &'static str,
    /// Accepted values: `a number above 0`.
    pub value: String,
    /// Default as JSON, or `required`; empty if there is none.
    pub default: String,
    /// Meaning and unit in one sentence.
    pub about: &'static str,
}

impl KindReference {
    /// The reference of a name of the catalogue.
    pub fn of(kind: &KindOrComposite) -> Self {
        let (name, about) = match kind {
            KindOrComposite::Kind(kind) => (kind.name, kind.about),
            KindOrComposite::Composite(composite) => (composite.name, composite.about),
        };
        Self {
            name,
            about,
            inputs: kind.inputs().into_iter().map(InputReference::of).collect(),
            parameters: kind.declarations().into_iter().map(ParameterReference::of).collect(),
        }
    }

    /// The reference of a form of named tables.
    pub fn of_table(table: &NamedTable) -> Self {
        let parameters = table.parameters.iter().map(ParameterReference::of).collect();
        Self { name: table.name, about: table.about, inputs: Vec::new(), parameters }
    }

    /// A section of Markdown with a table of its inputs, if any, and one of its parameters.
    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n", self.name, self.about);
        if !self.inputs.is_empty() {
            let head = "| input | type | number | purpose |\n| --- | --- | --- | --- |\n";
            text.push_str(&format!("\n{head}"));
        }
        for InputReference { name, accepts, number, about } in &self.inputs {
            text.push_str(&markdown_row([&quoted(name), accepts, number, about]));
        }
        if !self.parameters.is_empty() {
            let head = "| parameter | value | default | meaning |\n| --- | --- | --- | --- |\n";
            text.push_str(&format!("\n{head}"));
        }
        for ParameterReference { name, value, default, about } in &self.parameters {
            let default =
                if default.starts_with("req") { default.clone() } else { quoted(default) };
            text.push_str(&markdown_row([&quoted(name), value, &default, about]));
        }
        text
    }
}

/// A text as code; nothing for an empty one.
fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

fn markdown_row(cells: [&str; 4]) -> String {
    // A bar would end the table's cell.
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

impl InputReference {
    fn of(input: &Input) -> Self {
        let number = match input.count {
            Count::One => "one",
            Count::Optional => "none or one",
            Count::Many => "one or more",
            Count::Any => "any",
        };
        Self { name: input.name, accepts: input.accepts.name, number, about: input.about }
    }
}

impl ParameterReference {
    fn of(parameter: &Parameter) -> Self {
        let wording = wording(&parameter.shape);
        let named = parameter.table.map(|table| format!("the name of an `[{}]` table", table.name));
        let value = named
            .as_deref()
            .unwrap_or_else(|| wording.strip_suffix(" is expected").unwrap_or(&wording));
        let default = match (parameter.default_value(), parameter.default) {
            (Some(value), _) => value.to_string(),
            (None, Default::Required) => "required".to_owned(),
            (None, _) => String::new(),
        };
        Self {
            name: parameter.name,
            value: value.trim_end_matches(',').to_owned(),
            default,
            about: parameter.about,
        }
    }
}
