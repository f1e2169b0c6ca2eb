//! The table of all algorithms, for the docs.

use std::fmt::Write as _;

use super::{ALGORITHMS, Algorithm, Setting};

/// All algorithms in Markdown: name, formula, settings with their defaults, TRL's name, source.
pub fn algorithms_table() -> String {
    let mut table = String::from(
        "| algorithm | loss | parameters | TRL | source |\n| --- | --- | --- | --- | --- |\n",
    );
    for algorithm in ALGORITHMS {
        let Algorithm { name, formula, source, .. } = algorithm;
        let trl = algorithm.trl.map_or_else(String::new, |name| format!("`{name}`"));
        let settings: Vec<String> =
            algorithm.settings.iter().map(|(setting, value)| written(*setting, *value)).collect();
        // A bar would end the cell.
        let formula = formula.replace('|', "\\|");
        writeln!(table, "| `{name}` | {formula} | {} | {trl} | {source} |", settings.join(", "))
            .expect("a text takes everything");
    }
    table
}

fn written(setting: Setting, value: f64) -> String {
    let name = setting.name();
    if setting.is_flag() {
        format!("`{name} = {}`", value > 0.0)
    } else {
        format!("`{name} = {value}`")
    }
}
