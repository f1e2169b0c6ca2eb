//! Phrases that pick one of many, and say too much without what follows them.

use super::{
    emit::Emitter,
    lexeme::Tag,
    phrase::{Slot, View},
    predicate::Complement,
};

/// Words that pick one of many.
const RESTRICTING: &[&str] = &[
    "first", "last", "only", "second", "third", "fourth", "fifth", "most", "least", "best", "sole",
];
/// Words in `est` that are no superlatives.
const NO_SUPERLATIVES: &[&str] = &[
    "forest",
    "interest",
    "contest",
    "protest",
    "request",
    "conquest",
    "midwest",
    "harvest",
    "southwest",
    "northwest",
    "honest",
    "modest",
    "invest",
    "suggest",
    "inquest",
    "priest",
    "arrest",
];

impl Emitter<'_> {
    /// Items that say too much without what follows them (`the first woman` of `the first woman who
    /// won`), each with the clause that does, if it is one.
    pub(super) fn restricted(&self, slot: &Slot, complement: &Complement) -> Vec<(View, View)> {
        let superlative = |at: &usize| {
            let lexeme = &self.lexemes()[*at];
            let ends =
                lexeme.tag == Tag::Word && lexeme.word.len() > 5 && lexeme.word.ends_with("est");
            lexeme.is(RESTRICTING) || (ends && !lexeme.is(NO_SUPERLATIVES))
        };
        let mut found = Vec::new();
        for item in slot.items.iter().filter(|item| item.iter().any(superlative)) {
            let clause = complement
                .clauses
                .iter()
                .find(|(about, _)| about.as_ref() == Some(item))
                .map(|(_, clause)| clause.clone());
            let tied = complement.slots.iter().any(|next| {
                next.parent
                    .is_some_and(|(parent, at)| parent == 0 && slot.items.get(at) == Some(item))
            });
            if let Some(clause) = clause {
                found.push((item.clone(), clause));
            } else if tied {
                found.push((item.clone(), View::new()));
            }
        }
        found
    }
}
