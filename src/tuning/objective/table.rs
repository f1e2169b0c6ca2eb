//! The table of all algorithms, for the docs.

use std::fmt::Write as _;

use super::{
    ALGORITHMS, Algorithm,
    Setting::{self, GammaOverBeta},
};

/// All algorithms in Markdown: name, formula, settings with their defaults, TRL's name, source.
pub fn algorithms_table() -> String {
    let mut table = String::from(
        "| algorithm | loss | parameters | TRL | source |\n| --- | --- | --- | --- | --- |\n",
    );
    for algorithm in ALGORITHMS {
        let Algorithm { name, formula, source, .. } = algorithm;
        let trl = algorithm.trl.map_or_else(String::new, |name| format!("`{name}`"));
        // The other form of the margin has no default: it replaces `gamma`.
        let with_default = algorithm.settings.iter().filter(|(one, _)| *one != GammaOverBeta);
        let settings: Vec<String> =
            with_default.map(|(setting, value)| written(*setting, *value)).collect();
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
