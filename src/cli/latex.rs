//! The main table of a comparison for LaTeX, with the rules of `booktabs`.

use crate::{
    diagnostic::counted,
    evaluation::Comparison,
    report::{ArmEntry, ArmTable},
};

/// A table environment; it needs `\usepackage{booktabs}`.
pub(super) fn latex(stage: &str, comparison: &Comparison) -> String {
    let ArmTable { labels, domains, rows } = ArmTable::new(comparison);
    let has_baseline = comparison.baseline.is_some();
    // Per domain precision and facts, and between them the difference.
    let width = if has_baseline { 3 } else { 2 };
    let columns = "l".repeat(labels.len()) + &"rrr"[..width].repeat(domains.len());
    let mut text = format!(
        "% \\usepackage{{booktabs}}\n\\begin{{table}}\n\\centering\n\\caption{{{}}}\n\
        \\label{{tab:{}}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n",
        caption(comparison),
        stage.replace(|one: char| !one.is_ascii_alphanumeric(), "-"),
    );
    let heads = domains
        .iter()
        .map(|domain| format!("\\multicolumn{{{width}}}{{c}}{{{}}}", escaped(domain)));
    text.push_str(&row(labels.iter().map(|_| String::new()).chain(heads)));
    for place in 0..domains.len() {
        let from = labels.len() + place * width + 1;
        text.push_str(&format!("\\cmidrule(lr){{{from}-{}}}", from + width - 1));
    }
    text.push('\n');
    let below: &[&str] =
        if has_baseline { &["\\%", "difference", "facts"] } else { &["\\%", "facts"] };
    let below = domains.iter().flat_map(|_| below.iter().map(|head| (*head).to_owned()));
    text.push_str(&row(labels.iter().map(|label| escaped(label)).chain(below)));
    text.push_str("\\midrule\n");
    for one in &rows {
        let entries =
            one.entries.iter().flat_map(|entry| entry_cells(entry.as_ref(), has_baseline));
        text.push_str(&row(one.labels.iter().map(|label| escaped(label)).chain(entries)));
    }
    text + "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
}

fn caption(comparison: &Comparison) -> String {
    let baseline = comparison.baseline.as_ref().map_or_else(String::new, |baseline| {
        format!(
            ", difference from {} in points with its 95\\,\\% interval (bold if it excludes 0)",
            escaped(baseline)
        )
    });
    let seeds = comparison.arms.iter().map(|arm| arm.seeds.len().max(1)).max().unwrap_or(0);
    format!(
        "Factual precision in per cent{baseline}, and distinct facts per response; {}.",
        counted(seeds, "seed")
    )
}

fn entry_cells(entry: Option<&ArmEntry>, has_baseline: bool) -> Vec<String> {
    let precision = entry.and_then(|entry| entry.precision);
    let precision = precision.map_or("--".to_owned(), |share| format!("{:.1}", 100.0 * share));
    let facts = entry.map_or("--".to_owned(), |entry| format!("{:.1}", entry.facts));
    let mut cells = vec![precision];
    cells.extend(has_baseline.then(|| entry.map_or(String::new(), difference)));
    cells.push(facts);
    cells
}

/// `$+5.9$ {\small [$+4.1$, $+7.7$]}`; empty for the baseline.
fn difference(entry: &ArmEntry) -> String {
    let Some(difference) = entry.difference else { return String::new() };
    let mean = signed(difference);
    let mean = if entry.is_certain() { format!("\\textbf{{{mean}}}") } else { mean };
    match entry.interval {
        Some([low, high]) => format!("{mean} {{\\small [{}, {}]}}", signed(low), signed(high)),
        None => mean,
    }
}

/// Points with a sign that is no hyphen.
fn signed(share: f64) -> String {
    let points = format!("{:+.1}", 100.0 * share);
    let (sign, digits) = points.split_at(1);
    format!("${sign}${digits}")
}

fn row(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(" & ") + " \\\\\n"
}

/// A text in which no character commands LaTeX.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', character]),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '\\' => escaped.push_str("\\textbackslash{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            one if one.is_control() => escaped.push(' '),
            one => escaped.push(one),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_commands_latex() {
        assert_eq!(
            escaped("general_matched & 50 % of {a}~b^c\\d #1 $x\n<y>"),
            "general\\_matched \\& 50 \\% of \\{a\\}\\textasciitilde{}b\\textasciicircum{}c\
            \\textbackslash{}d \\#1 \\$x \\textless{}y\\textgreater{}"
        );
    }

    #[test]
    fn differences_whose_interval_excludes_zero_are_bold() {
        let entry = |low| ArmEntry {
            precision: Some(0.644),
            difference: Some(0.176),
            interval: Some([low, 0.201]),
            facts: 4.83,
            responding: 1.0,
        };
        let certain = entry_cells(Some(&entry(0.15)), true).join(" & ");
        assert_eq!(certain, "64.4 & \\textbf{$+$17.6} {\\small [$+$15.0, $+$20.1]} & 4.8");
        assert!(entry_cells(Some(&entry(-0.01)), true)[1].starts_with("$+$17.6 {\\small [$-$1.0,"));
        assert_eq!(entry_cells(None, false), ["--", "--"]);
    }
}
