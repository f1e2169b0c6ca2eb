//! `apeft kinds`: kinds of stage and their fields, and forms of tables that fields name.

use std::process::ExitCode;

use clap::Args;

use super::output::{print_json, print_text};
use crate::{diagnostic::suggestion, recipe::KindReference, stage::registry};

/// Arguments of `apeft kinds`.
#[derive(Args)]
#[command(after_help = "Examples:
  apeft kinds
  apeft kinds tune
  apeft kinds sample --json")]
pub(super) struct KindsArguments {
    /// Kind whose inputs and parameters are shown [default: a list of all kinds].
    #[arg(value_name = "KIND")]
    kind: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Line width of the output.
const WIDTH: usize = 100;
/// Indent of what belongs to a name.
const INDENT: &str = "      ";

pub(super) fn run(arguments: &KindsArguments) -> anyhow::Result<ExitCode> {
    let catalogue = registry::catalogue();
    let tables = catalogue.tables();
    let names: Vec<&str> =
        catalogue.names().into_iter().chain(tables.iter().map(|table| table.name)).collect();
    if let Some(name) = &arguments.kind
        && !names.contains(&name.as_str())
    {
        let help = suggestion(name, "kinds of stage", &names);
        anyhow::bail!("there is no kind of stage `{name}`: {help}");
    }
    let wanted = names
        .into_iter()
        .filter(|name| arguments.kind.as_deref().is_none_or(|wanted| wanted == *name));
    let found: Vec<KindReference> = wanted
        .filter_map(|name| match catalogue.find(name) {
            Some(kind) => Some(KindReference::of(&kind)),
            None => catalogue.table(name).map(KindReference::of_table),
        })
        .collect();
    if arguments.json {
        print_json(&found)?;
    } else if arguments.kind.is_some() {
        print_text(&found.iter().map(fields).collect::<String>())?;
    } else {
        print_text(&found.iter().map(summary).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(kind: &KindReference) -> String {
    format!("{:<13}{}\n", kind.name, kind.about)
}

/// All fields of a kind.
fn fields(kind: &KindReference) -> String {
    let mut text = format!("{}\n", kind.about);
    if !kind.inputs.is_empty() {
        text.push_str("\nInputs:\n");
    }
    for input in &kind.inputs {
        let about = format!("{} [{}: {}]", input.about, input.accepts, input.number);
        text.push_str(&field(input.name, &about));
    }
    if !kind.parameters.is_empty() {
        text.push_str("\nParameters:\n");
    }
    for parameter in &kind.parameters {
        let mut about = format!("{} [{}]", parameter.about, parameter.value);
        match parameter.default.as_str() {
            "" => {}
            "required" => about.push_str(" [required]"),
            default => about.push_str(&format!(" [default: {default}]")),
        }
        text.push_str(&field(parameter.name, &about));
    }
    text
}

fn field(name: &str, about: &str) -> String {
    let options = textwrap::Options::new(WIDTH).initial_indent(INDENT).subsequent_indent(INDENT);
    format!("  {name}\n{}\n", textwrap::fill(about, options))
}
