//! Variables in texts: `${matrix.algorithm}`, `${seed}`; `$${` is an escaped `${`.

use std::{borrow::Cow, iter};

use super::node::{Data, Entry, Node, Table};

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Literal text.
    Literal(&'a str),
    /// Name between `${` and `}`.
    Variable(&'a str),
    /// A `${` without `}`.
    Unclosed(&'a str),
}

/// Splits a text into parts.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    iter::from_fn(move || {
        let (piece, after) = first_piece(rest)?;
        rest = after;
        Some(piece)
    })
}

/// The first part of a text, and the text after it; none of an empty text.
fn first_piece(text: &str) -> Option<(Piece<'_>, &str)> {
    // `$${` is a literal `${`, as in Docker Compose.
    if let Some(after) = text.strip_prefix("$${") {
        return Some((Piece::Literal("${"), after));
    }
    if let Some(inner) = text.strip_prefix("${") {
        return Some(match inner.split_once('}') {
            Some((name, after)) => (Piece::Variable(name.trim()), after),
            None => (Piece::Unclosed(text), ""),
        });
    }
    let end = match text.find("${") {
        Some(dollar) if text[..dollar].ends_with('$') => dollar - 1,
        Some(dollar) => dollar,
        None => text.len(),
    };
    (end > 0).then(|| (Piece::Literal(&text[..end]), &text[end..]))
}

/// The value with all variables replaced; a text that is exactly one variable takes the variable's
/// type.
pub fn fill<'n, 'a>(node: &'n Node, lookup: &impl Fn(&str) -> Option<&'a Node>) -> Cow<'n, Node> {
    let mut is_plain = true;
    node.each_text(&mut |text, _| is_plain &= !text.contains("${"));
    if is_plain { Cow::Borrowed(node) } else { Cow::Owned(filled(node, lookup)) }
}

fn filled<'a>(node: &Node, lookup: &impl Fn(&str) -> Option<&'a Node>) -> Node {
    let data = match &node.data {
        Data::Text(text) if text.contains("${") => {
            let pieces: Vec<Piece<'_>> = pieces(text).collect();
            // Only a lone variable keeps its type, so that `batch_size = "${matrix.size}"` is a
            // number.
            if let [Piece::Variable(name)] = pieces[..]
                && let Some(value) = lookup(name)
            {
                return Node {
                    data: value.data.clone(),
                    span: node.span.clone(),
                    origin: Some(value.span.clone()),
                };
            }
            let words = pieces.iter().map(|piece| match piece {
                Piece::Literal(text) | Piece::Unclosed(text) => (*text).to_owned(),
                Piece::Variable(name) => lookup(name).and_then(Node::as_word).unwrap_or_default(),
            });
            Data::Text(words.collect())
        }
        Data::List(list) => Data::List(list.iter().map(|node| filled(node, lookup)).collect()),
        Data::Table(table) => {
            let entries = table.0.iter().map(|entry| Entry {
                key: entry.key.clone(),
                key_span: entry.key_span.clone(),
                value: filled(&entry.value, lookup),
            });
            Data::Table(Table(entries.collect()))
        }
        plain => plain.clone(),
    };
    Node { data, span: node.span.clone(), origin: node.origin.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Source, Span};

    fn parts(text: &str) -> Vec<Piece<'_>> {
        pieces(text).collect()
    }

    #[test]
    fn a_text_falls_into_literals_and_variables() {
        use Piece::{Literal, Unclosed, Variable};
        assert_eq!(parts("a"), [Literal("a")]);
        assert_eq!(parts(""), []);
        assert_eq!(parts("${seed}"), [Variable("seed")]);
        assert_eq!(
            parts("p-${ matrix.x }.q"),
            [Literal("p-"), Variable("matrix.x"), Literal(".q")]
        );
        assert_eq!(
            parts("echo $${HOME} $5"),
            [Literal("echo "), Literal("${"), Literal("HOME} $5")]
        );
        assert_eq!(parts("a${b"), [Literal("a"), Unclosed("${b")]);
        assert_eq!(parts("$$${x}$"), [Literal("$"), Literal("${"), Literal("x}$")]);
    }

    #[test]
    fn one_variable_alone_keeps_its_type_and_others_are_spliced() {
        let span = Span::whole(&Source::new("x", "0.5"));
        let value = Node::new(Data::Number(0.5), span.clone());
        let fill_text = |text: &str| {
            fill(&Node::new(Data::Text(text.into()), span.clone()), &|_| Some(&value)).to_json()
        };
        assert_eq!(fill_text("${seed}"), 0.5);
        assert_eq!(fill_text("beta-${seed}"), "beta-0.5");
        assert_eq!(fill_text("$${seed}"), "${seed}");
    }
}
