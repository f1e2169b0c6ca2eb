//! Long recipes, which are parsed in pieces side by side.

use std::{collections::HashSet, ops::Range, sync::Arc};

use toml::de::DeTable;

use super::{
    node::{Data, Entry, Table, TomlReader},
    side_by_side::side_by_side,
};
use crate::diagnostic::{Problems, Source};

/// Bytes of a piece, at least. The memory for tokens of one piece serves for the next.
const PIECE: usize = 256 << 10;
/// The beginning of the header with which a piece begins, after the end of the piece before.
const HEADER: &str = "\n[stage.";
/// The table of such headers.
const STAGES: &str = "stage";

/// The table of a recipe of several pieces. None if the recipe is short, if a piece has a problem,
/// or if two pieces concern the same table: the whole is parsed then.
pub(super) fn parse_pieces(source: &Arc<Source>) -> Option<Table> {
    parse_pieces_of(source, PIECE)
}

fn parse_pieces_of(source: &Arc<Source>, least: usize) -> Option<Table> {
    let pieces = pieces(&source.text, least);
    if pieces.len() < 2 {
        return None;
    }
    let tables = side_by_side(&pieces, |piece| parse_piece(source, piece));
    let mut tables = tables.into_iter();
    let mut whole = tables.next()??;
    for (table, piece) in tables.zip(&pieces[1..]) {
        join(&mut whole, table?, piece.start)?;
    }
    has_each_stage_once(&whole).then_some(whole)
}

/// Ranges of at least so many bytes, of which all but the first begin with the header of a stage.
fn pieces(text: &str, least: usize) -> Vec<Range<usize>> {
    let (mut pieces, mut start) = (Vec::new(), 0);
    while let Some(rest) = text.as_bytes().get(start + least..)
        && let Some(found) = memchr::memmem::find(rest, HEADER.as_bytes())
    {
        let end = start + least + found + 1;
        pieces.push(start..end);
        start = end;
    }
    pieces.push(start..text.len());
    pieces
}

/// The table of a piece without problems.
fn parse_piece(source: &Arc<Source>, piece: &Range<usize>) -> Option<Table> {
    let (table, errors) = DeTable::parse_recoverable(source.text.get(piece.clone())?);
    let mut problems = Problems::default();
    let mut reader = TomlReader { source, offset: piece.start, problems: &mut problems };
    let table = reader.table(table.get_ref());
    (errors.is_empty() && problems.is_empty()).then_some(table)
}

/// Adds the tables of a piece that begins at a byte. None if one of them is there already, except
/// for stages below headers such as `[stage.NAME]`.
fn join(whole: &mut Table, piece: Table, start: usize) -> Option<()> {
    for entry in piece.0 {
        let is_of_first_header = entry.key_span.range().start == start + 1;
        match whole.0.iter_mut().find(|own| own.key == entry.key) {
            None => whole.0.push(entry),
            Some(own) if own.key == STAGES && is_of_first_header && is_header(own) => {
                match (&mut own.value.data, entry.value.data) {
                    (Data::Table(own), Data::Table(more)) => own.0.extend(more.0),
                    _ => return None,
                }
            }
            Some(_) => return None,
        }
    }
    Some(())
}

/// Whether a key is the first one of a header. Tables that are written otherwise take no later
/// headers.
fn is_header(entry: &Entry) -> bool {
    let before = entry.key_span.source.text.get(..entry.key_span.range().start);
    before.is_some_and(|before| before.ends_with('['))
}

fn has_each_stage_once(table: &Table) -> bool {
    let stages = table.value(STAGES).and_then(|stages| stages.as_table());
    let mut names = HashSet::new();
    stages.is_none_or(|stages| stages.0.iter().all(|entry| names.insert(entry.key.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All keys and values with their places.
    fn written(table: &Table) -> String {
        let lines = table.0.iter().map(|Entry { key, key_span, value }| {
            let places = (key_span.range(), value.span.range());
            match &value.data {
                Data::Table(inner) => format!("{key} {places:?} {{\n{}}}\n", written(inner)),
                _ => format!("{key} {places:?} {}\n", value.to_json()),
            }
        });
        lines.collect()
    }

    fn whole(source: &Arc<Source>) -> Option<Table> {
        parse_piece(source, &(0..source.text.len()))
    }

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let text = "# what for\nname = \"\u{e4}\"\n[defaults.tune]\nbeta = 0.1\n[stage.a]\nkind = \"b\"\n\
            [stage.b]\r\nlist = [\n  [1],\n  [2]\n]\n[stage.\"c d\"]\n[stage.c.when.\"x=1\"]\nn = 1\n\
            [matrix]\nx = [1, 2]\n[stage.e]\ntext = \"\"\"\none\n\"\"\"\n";
        let source = Source::new("r.toml", text);
        for least in [1, 9, 40, 99] {
            let found = parse_pieces_of(&source, least).expect("it has no problem");
            assert_eq!(written(&found), written(&whole(&source).unwrap()), "{least}");
        }
        assert!(parse_pieces(&source).is_none(), "a short recipe is one piece");
        let stages = (0..9000)
            .map(|number| format!("[stage.s{number}]\nkind = \"command\"\nn = {number}.5\n"));
        let source = Source::new("r.toml", format!("seeds = [1]\n{}", stages.collect::<String>()));
        assert!(pieces(&source.text, 64 << 10).len() > 3);
        let found = parse_pieces_of(&source, 64 << 10).unwrap();
        assert_eq!(written(&found), written(&whole(&source).unwrap()));
    }

    #[test]
    fn what_the_whole_refuses_is_left_to_it() {
        let parts = [
            "[stage.a]\nn = 1\n",
            "[stage.a.when.b]\nn = 1\n",
            "[stage.b]\nn = 1\na.b = 2\n",
            "[stage]\n",
            "[stage]\na.n = 1\n",
            "[[stage]]\n",
            "[[stage.a]]\n",
            "stage = { c = {} }\n",
            "stage.a.n = 1\n",
            "[x]\nstage = 1\n",
            "[ stage.d ]\n",
            "[\"stage\".e]\n",
            "[x.y]\n",
            "t = \"\"\"\n[stage.f]\n",
            "u = \"\"\"\n",
            "l = [\n[stage.g]\n",
            "]\n",
            "at = 2020-01-01\n",
        ];
        let mut agreed = 0;
        for number in 0..parts.len().pow(4) {
            let places = [0, 1, 2, 3].map(|digit| number / parts.len().pow(digit) % parts.len());
            // A third of all would say as much as all.
            if number % 3 > 0 {
                continue;
            }
            let source = Source::new("r.toml", places.map(|place| parts[place]).concat());
            if let Some(found) = parse_pieces_of(&source, 1) {
                let whole = whole(&source).map(|whole| written(&whole));
                assert_eq!(whole, Some(written(&found)), "{}", source.text);
                agreed += 1;
            }
        }
        assert!(agreed > 100, "{agreed}");
    }
}
