//! Variables in texts: `${matrix.algorithm}`, `${seed}`; `$${` is an escaped `${`.

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
pub fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find("${") {
        // `$${` is a literal `${`, as in Docker Compose.
        if rest[..dollar].ends_with('$') {
            pieces.extend([Piece::Literal(&rest[..dollar - 1]), Piece::Literal("${")]);
            rest = &rest[dollar + 2..];
            continue;
        }
        pieces.push(Piece::Literal(&rest[..dollar]));
        let Some(end) = rest[dollar..].find('}') else {
            pieces.push(Piece::Unclosed(&rest[dollar..]));
            return pieces;
        };
        pieces.push(Piece::Variable(rest[dollar + 2..dollar + end].trim()));
        rest = &rest[dollar + end + 1..];
    }
    pieces.push(Piece::Literal(rest));
    pieces.retain(|piece| *piece != Piece::Literal(""));
    pieces
}

/// The value with all variables replaced; a text that is exactly one variable takes the variable's
/// type.
pub fn fill<'a>(node: &Node, lookup: &impl Fn(&str) -> Option<&'a Node>) -> Node {
    let data = match &node.data {
        Data::Text(text) if text.contains("${") => {
            let pieces = pieces(text);
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
        Data::List(list) => Data::List(list.iter().map(|node| fill(node, lookup)).collect()),
        Data::Table(table) => {
            let entries = table.0.iter().map(|entry| Entry {
                key: entry.key.clone(),
                key_span: entry.key_span.clone(),
                value: fill(&entry.value, lookup),
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

    #[test]
    fn a_text_falls_into_literals_and_variables() {
        use Piece::{Literal, Unclosed, Variable};
        assert_eq!(pieces("a"), [Literal("a")]);
        assert_eq!(pieces(""), []);
        assert_eq!(pieces("${seed}"), [Variable("seed")]);
        assert_eq!(
            pieces("p-${ matrix.x }.q"),
            [Literal("p-"), Variable("matrix.x"), Literal(".q")]
        );
        assert_eq!(
            pieces("echo $${HOME} $5"),
            [Literal("echo "), Literal("${"), Literal("HOME} $5")]
        );
        assert_eq!(pieces("a${b"), [Literal("a"), Unclosed("${b")]);
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
