//! A report's tables as text for terminals and as Markdown.

use comfy_table::{ContentArrangement, presets};

use crate::report::{Line, Table};

/// Tables keep to so many characters a line, so that they can be pasted anywhere.
const WIDTH: u16 = 100;

/// For a terminal; a star follows what is marked.
pub(super) fn text(table: &Table) -> String {
    let mut drawn = comfy_table::Table::new();
    drawn.load_style(presets::UTF8_HORIZONTAL_ONLY).set_width(WIDTH);
    drawn.set_content_arrangement(ContentArrangement::Dynamic).set_header(&table.head);
    let line = |line: &Line| format!("{}{}", line.text, if line.marked { "*" } else { "" });
    let cell = |lines: &Vec<Line>| lines.iter().map(line).collect::<Vec<_>>().join("\n");
    for row in &table.rows {
        drawn.add_row(row.iter().map(cell));
    }
    let mut about = String::new();
    let mut used = 0;
    for word in table.about.split(' ') {
        let length = word.chars().count();
        let fits = used + 1 + length <= usize::from(WIDTH);
        about.push_str(if used == 0 {
            ""
        } else if fits {
            " "
        } else {
            "\n"
        });
        about.push_str(word);
        used = if used > 0 && fits { used + 1 + length } else { length };
    }
    format!("{about}\n{drawn}\n")
}

/// For a text that is read on the web; what is marked is bold.
pub(super) fn markdown(table: &Table) -> String {
    let safe = |text: &str| text.replace('|', "\\|");
    let line = |line: &Line| if line.marked { format!("**{}**", safe(&line.text)) } else { safe(&line.text) };
    let cell = |lines: &Vec<Line>| lines.iter().map(line).collect::<Vec<_>>().join("<br>");
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut all = format!("{}\n\n", table.about);
    all.push_str(&row(table.head.iter().map(|name| safe(name)).collect()));
    all.push_str(&row(vec!["---".to_owned(); table.head.len()]));
    table.rows.iter().for_each(|cells| all.push_str(&row(cells.iter().map(cell).collect())));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_drawn() {
        let line = Line { text: "+3.4 [+2.0, +4.8]".to_owned(), marked: true };
        let table = Table {
            about: format!("Precision{}.", " and so on".repeat(10)),
            head: vec!["arm".to_owned(), "people".to_owned()],
            rows: vec![vec![vec![Line::plain("a|b")], vec![Line::plain("71.2"), line]]],
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
}
