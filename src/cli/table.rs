//! Tables as plain text and Markdown.

use comfy_table::{ContentArrangement, Table, TableStyle, presets};

use crate::report::{CellLine, TextTable};

/// Maximum line width, so that tables can be pasted anywhere.
const WIDTH: u16 = 100;

/// The table for a terminal; marked lines end with a star.
pub(super) fn text(table: &TextTable) -> String {
    format!("{}\n{}\n", about(table), drawn(table, presets::UTF8_HORIZONTAL_ONLY))
}

/// The sentences above a table.
fn about(table: &TextTable) -> String {
    textwrap::fill(&table.about, usize::from(WIDTH))
}

fn drawn(table: &TextTable, style: TableStyle) -> Table {
    let mut drawn = Table::new();
    // Without a set width nothing is wrapped where stdout is no terminal.
    drawn.load_style(style).set_width(WIDTH);
    drawn.set_content_arrangement(ContentArrangement::Dynamic).set_header(&table.head);
    for row in &table.rows {
        drawn.add_row(row.iter().map(|lines| joined(lines)));
    }
    drawn
}

/// The lines of a cell; marked ones end with a star.
fn joined(lines: &[CellLine]) -> String {
    let lines = lines.iter().map(
        |CellLine { text, marked }| {
            if *marked { format!("{text}*") } else { text.clone() }
        },
    );
    lines.collect::<Vec<_>>().join("\n")
}

/// The same without rules between rows, for rows of one line.
pub(super) fn lines(table: &TextTable) -> String {
    let drawn = drawn(table, presets::NOTHING).to_string();
    // Cells are padded to the width of their columns.
    let drawn: Vec<&str> = drawn.lines().map(str::trim_end).collect();
    format!("{}\n{}\n", about(table), drawn.join("\n"))
}

/// The table as Markdown; marked lines are bold.
pub(super) fn markdown(table: &TextTable) -> String {
    let mut all = format!("{}\n\n", table.about);
    all.push_str(&markdown_row(table.head.iter().map(|name| escaped(name))));
    all.push_str(&markdown_row(table.head.iter().map(|_| "---".to_owned())));
    for row in &table.rows {
        all.push_str(&markdown_row(row.iter().map(|lines| markdown_cell(lines))));
    }
    all
}

fn markdown_row(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

fn markdown_cell(lines: &[CellLine]) -> String {
    let lines =
        lines.iter().map(
            |CellLine { text, marked }| {
                if *marked { format!("**{}**", escaped(text)) } else { escaped(text) }
            },
        );
    lines.collect::<Vec<_>>().join("<br>")
}

/// A text in which no character ends a cell, nor a line break the row.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace("\r\n", "<br>").replace(['\n', '\r'], "<br>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_drawn() {
        let line = CellLine { text: "+3.4 [+2.0, +4.8]".to_owned(), marked: true };
        let table = TextTable {
            about: format!("Precision{}.", " and so on".repeat(10)),
            head: vec!["arm".to_owned(), "people".to_owned()],
            rows: vec![vec![vec![CellLine::plain("a|b")], vec![CellLine::plain("71.2"), line]]],
        };
        expect_test::expect![[r#"
            Precision and so on and so on and so on and so on and so on and so on and so on and so on and so on and so on.

            | arm | people |
            | --- | --- |
            | a\|b | 71.2<br>**+3.4 [+2.0, +4.8]** |
        "#]]
        .assert_eq(&markdown(&table));
        expect_test::expect![[r#"
            Precision and so on and so on and so on and so on and so on and so on and so on and so on and so on
            and so on.
            ──────────────────────────
             arm   people             
            ══════════════════════════
             a|b   71.2               
                   +3.4 [+2.0, +4.8]* 
            ──────────────────────────
        "#]]
        .assert_eq(&text(&table));
    }

    #[test]
    fn no_value_ends_a_markdown_cell_or_its_row() {
        assert_eq!(
            escaped("Be brief.\nBe kind|fair.\r\nEnd\r"),
            "Be brief.<br>Be kind\\|fair.<br>End<br>"
        );
    }
}
